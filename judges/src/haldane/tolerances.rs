//! Tolerances: how much worse is worth acting on.

use super::rule;
use crate::config::Metric;

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

/// Smallest shift worth acting on, in the unit: as stated, else 5 ms of what is a time.
pub(super) fn absolute_tolerance(metric: &Metric) -> f64 {
    let default = metric.seconds_in_unit().map_or(0.0, |seconds| rule::LEAST_LATENCY / seconds);
    metric.tolerance.absolute.unwrap_or(default)
}
