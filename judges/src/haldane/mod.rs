//! The judge `haldane-v1`.
//!
//! A metric is regressed when its shift is large in two units at once, against the baseline's level and against its scatter, and a
//! rank test confirms it; ratios with counts take an exact test in place of the scatter. A metric that is not flagged passes only
//! if a regression would have shown; otherwise its declared limits decide.
//!
//! Where the time before the window was read (`history.rs`), placebo windows say what is usual, and take the place of the scatter and of
//! the allowance for autocorrelation. `looks.rs` is about judging one canary again and again.
//!
//! Two guards look at what a level hides: `trend.rs` for what grows over the window, `instances.rs` for one instance unlike all others.

pub(crate) mod finding;
mod history;
mod instances;
mod looks;
mod ratio;
mod trend;
mod value;

use crate::config::{CheckedConfig, Kind, Metric};
use crate::evidence::{Evidence, Looks};
use crate::quality::{self, Cleaned, Unjudged};
use crate::scorecard::{MetricResult, Mode, Reason, Status};
use crate::threshold::Decision;
use finding::Finding;

/// What is the same for every metric of one canary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Metrics that could differ at all (m).
    pub(crate) live: usize,
    /// Ratio metrics among them (m_ratio).
    pub(crate) live_ratios: usize,
    /// Metrics among them that accumulate.
    pub(crate) live_accumulating: usize,
    pub(crate) step_seconds: f64,
    pub(crate) observed_seconds: f64,
    /// The plan of looks, where there is one.
    pub(crate) looks: Option<Looks>,
}

impl Context {
    /// How many chances a healthy canary has of being flagged: its metrics, each once a look.
    pub(crate) fn chances(&self) -> f64 {
        self.chances_of(self.live)
    }

    /// The same for its ratio metrics alone.
    pub(crate) fn chances_of_ratios(&self) -> f64 {
        self.chances_of(self.live_ratios)
    }

    /// The same for those that accumulate.
    pub(crate) fn chances_of_leaks(&self) -> f64 {
        self.chances_of(self.live_accumulating)
    }

    fn chances_of(&self, metrics: usize) -> f64 {
        metrics.max(1) as f64 * self.looks.map_or(1.0, |plan| f64::from(plan.looks.max(1)))
    }
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
        live_accumulating: quality::count_live(config, &cleaned, |metric| metric.accumulating),
        step_seconds: evidence.step_seconds,
        observed_seconds: evidence.observed_seconds,
        looks: evidence.looks,
    };
    config
        .metrics
        .iter()
        .zip(cleaned)
        .enumerate()
        .map(|(i, (metric, cleaned))| {
            let context = Context { step_seconds: evidence.step_seconds_of(i), ..context };
            let to_confirm = cleaned.as_ref().ok().filter(|_| metric.confirm > 1).cloned();
            let result = judge_one(metric, cleaned, context);
            let result = match to_confirm {
                Some(cleaned) => looks::confirmed(result, metric, &cleaned, context),
                None => result,
            };
            looks::held_back_early(result, context)
        })
        .collect()
}

/// Judges a metric by this look alone.
fn judge_one(metric: &Metric, cleaned: Result<Cleaned, Unjudged>, context: Context) -> MetricResult {
    match Finding::of(metric, cleaned) {
        Ok((finding, cleaned)) if cleaned.is_counted() => ratio::judge(finding, metric, &cleaned, context),
        Ok((finding, cleaned)) => {
            let level = value::judge(finding, metric, &cleaned, context);
            instances::check(trend::check(level, metric, &cleaned, context), metric, &cleaned, context)
        }
        Err(closed) => *closed,
    }
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

/// The same with enough history, where what is usual is known.
const SUSPECT_FRACTION_HISTORY: f64 = 0.5;
const DEFAULT_RELATIVE_HISTORY: (f64, f64) = (0.10, 0.05);

fn relative_tolerances_with_history(metric: &Metric) -> (f64, f64, &'static str) {
    match metric.tolerance.relative {
        Some(stated) => (stated, SUSPECT_FRACTION_HISTORY * stated, "config"),
        None => (DEFAULT_RELATIVE_HISTORY.0, DEFAULT_RELATIVE_HISTORY.1, "default"),
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

/// Lets a further guard's finding replace what was found before where it is graver; what was found then follows it in the sentence.
fn overrule(result: &mut MetricResult, status: Status, reason: Reason, sentence: &str) {
    let gravity = |status: Status| match status {
        Status::Regressed => 2,
        Status::Suspect => 1,
        Status::Pass | Status::Inconclusive | Status::NoData | Status::Error => 0,
    };
    if gravity(status) <= gravity(result.status) {
        return;
    }
    result.sentence = match result.status {
        Status::Suspect => format!("{sentence}; {}", result.sentence),
        _ => sentence.to_owned(),
    };
    (result.status, result.reason, result.mode) = (status, reason, Mode::Statistical);
    result.remedies.clear();
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
