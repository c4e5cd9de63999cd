//! The level: is the canary worse than the baseline, beyond the tolerance and beyond what is usual here?
//!
//! Each kind of metric reduces its data to one estimate with one standard error; all walk the same ladder.

pub(super) mod counts;
pub(super) mod distribution;
pub(super) mod events;
pub(super) mod value;

use super::finding::Finding;
use super::rule;
use super::subject::Subject;
use crate::config::{Kind, Metric};
use crate::explain;
use crate::scorecard::{MetricResult, Mode, Reason, Status};
use crate::threshold::{self, Decision, present};

/// Judges the level of a metric.
pub(super) fn judge(finding: Finding, subject: &Subject<'_>) -> MetricResult {
    match subject.metric.kind {
        _ if subject.cleaned.is_counted() => counts::judge(finding, subject),
        Kind::Distribution => distribution::judge(finding, subject),
        Kind::Events => events::judge(finding, subject),
        Kind::Value | Kind::Ratio => value::judge(finding, subject),
    }
}

/// What the limits decide of a metric whose points are values.
fn by_limits(subject: &Subject<'_>) -> Decision {
    let (metric, cleaned) = (subject.metric, subject.cleaned);
    let level = subject.medians[0];
    let of = |values: Vec<f64>| threshold::decide_value(metric, &present(&values), level);
    threshold::unless_of_both(of(cleaned.canary.values()), || of(cleaned.baseline.values()))
}

/// The relative tolerances that apply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerances {
    /// For a regression, as a fraction of the level.
    pub(super) regressed: f64,
    /// For a suspicion.
    pub(super) suspect: f64,
    /// Where the first comes from: `config`, `history` or `default`.
    pub(super) from: &'static str,
}

/// The tolerances of a metric with so many placebo windows: what the config states, or a default that the past narrows.
pub(super) fn tolerances(metric: &Metric, windows: usize) -> Tolerances {
    let past = if windows < rule::ENOUGH_WINDOWS { 0.0 } else { (windows as f64 / rule::FULL_PAST as f64).min(1.0) };
    let between = |(without, with): (f64, f64)| without + past * (with - without);
    let (regressed, from) = match metric.tolerance.relative {
        Some(stated) => (stated, "config"),
        None if past > 0.0 => (between(rule::TOLERANCE), "history"),
        None => (between(rule::TOLERANCE), "default"),
    };
    Tolerances { regressed, suspect: between(rule::SUSPECT_PART) * regressed, from }
}

/// In what the arms are the same.
enum Same {
    /// One constant.
    Constant,
    /// One and the same series that varies: the query tells the arms apart by nothing.
    Series,
}

fn sameness(subject: &Subject<'_>) -> Option<Same> {
    let samples = subject.samples.as_ref()?;
    let (bs, cs) = (&samples.baseline, &samples.canary);
    if bs.is_constant() && cs.is_constant() && bs.min() == cs.min() {
        // A rate that is the same throughout was measured of requests that could have failed.
        return if subject.is_rate() { None } else { Some(Same::Constant) };
    }
    subject.cleaned.is_one_series().then_some(Same::Series)
}

fn same_arms(mut finding: Finding, subject: &Subject<'_>, same: &Same) -> MetricResult {
    match same {
        Same::Constant => {
            let value = present(&subject.cleaned.baseline.values()).first().copied().unwrap_or(0.0);
            let sentence =
                format!("both arms are the same throughout ({}), so that nothing could differ", explain::quantity(subject.metric, value));
            finding.decide(Status::Pass, Reason::Identical, Mode::None, sentence);
        }
        Same::Series => {
            let sentence =
                "both arms are one and the same series, point by point, so that nothing is compared; does the query tell them apart?";
            finding.decide(Status::Inconclusive, Reason::SameSeries, Mode::None, sentence.to_owned());
        }
    }
    finding.close()
}
