//! The judge `haldane-v1`.
//!
//! A metric is regressed when its shift is large in two units at once, against the baseline's level and against its scatter, and a
//! rank test confirms it; ratios with counts take an exact test in place of the scatter. A metric that is not flagged passes only
//! if a regression would have shown; otherwise its declared limits decide.

pub(crate) mod finding;
mod ratio;
mod value;

use crate::config::{CheckedConfig, Kind, Metric};
use crate::evidence::Evidence;
use crate::quality::{self, Cleaned, Unjudged};
use crate::scorecard::{MetricResult, Mode, Status};
use crate::threshold::Decision;
use finding::Finding;

/// What is the same for every metric of one canary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Metrics that could differ at all (m).
    pub(crate) live: usize,
    /// Ratio metrics among them (m_ratio).
    pub(crate) live_ratios: usize,
    pub(crate) step_seconds: f64,
    pub(crate) observed_seconds: f64,
}

/// Judges every metric. The result has one entry for each, in the config's order.
pub(crate) fn judge_metrics(
    config: &CheckedConfig,
    evidence: &Evidence,
    live: usize,
    cleaned: Vec<Result<Cleaned, Unjudged>>,
) -> Vec<MetricResult> {
    let context = Context {
        live,
        live_ratios: quality::count_live(config, &cleaned, |metric| metric.kind == Kind::Ratio),
        step_seconds: evidence.step_seconds,
        observed_seconds: evidence.observed_seconds,
    };
    config
        .metrics
        .iter()
        .zip(cleaned)
        .map(|(metric, cleaned)| match Finding::of(metric, cleaned) {
            Ok((finding, cleaned)) if cleaned.is_counted() => ratio::judge(finding, metric, &cleaned, context),
            Ok((finding, cleaned)) => value::judge(finding, metric, &cleaned, context),
            Err(closed) => *closed,
        })
        .collect()
}

/// Fraction of a stated relative tolerance from which a metric is suspect.
const SUSPECT_FRACTION: f64 = 0.4;
/// Relative tolerances where the config states none: regressed, suspect.
const DEFAULT_RELATIVE: (f64, f64) = (0.25, 0.10);

/// The relative tolerances of a metric: regressed, suspect, and where they come from.
fn relative_tolerances(metric: &Metric) -> (f64, f64, &'static str) {
    match metric.tolerance.relative {
        Some(stated) => (stated, SUSPECT_FRACTION * stated, "config"),
        None => (DEFAULT_RELATIVE.0, DEFAULT_RELATIVE.1, "default"),
    }
}

/// Takes over what threshold mode decided, saying which guard led there.
fn fall_back(finding: &mut Finding, decision: Decision) {
    let guards: Vec<&str> = finding.result.guards.iter().map(|guard| guard.sentence.as_str()).collect();
    let sentence = format!("{}; too little for statistics: {}", decision.sentence, guards.join("; "));
    finding.decide(decision.status, decision.reason, Mode::Threshold, sentence);
    finding.result.threshold = Some(decision.numbers);
    if decision.status != Status::Inconclusive {
        finding.result.remedies.clear();
    }
}

/// `value / unit`, where a unit of 0 makes anything but 0 infinite.
fn ratio_to(value: f64, unit: f64) -> f64 {
    if unit > 0.0 {
        value / unit
    } else if value == 0.0 {
        0.0
    } else {
        f64::INFINITY.copysign(value)
    }
}

/// A number for the scorecard: absent where it is not finite.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
