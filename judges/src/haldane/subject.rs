//! What every examiner is given: one metric's arms as series, turned and mirrored as they are judged, with their past.

use std::cell::OnceCell;

use super::Context;
use super::past::Past;
use super::rule;
use crate::config::{Direction, Kind, Metric};
use crate::quality::Cleaned;
use crate::stats::Sample;

/// Both arms' points, sorted once for every examiner.
pub(super) struct Samples {
    pub(super) baseline: Sample,
    pub(super) canary: Sample,
}

impl Samples {
    fn of(baseline: &[f64], canary: &[f64]) -> Option<Self> {
        Some(Self { baseline: Sample::of_present(baseline).ok()?, canary: Sample::of_present(canary).ok()? })
    }
}

/// One metric under examination.
pub(super) struct Subject<'a> {
    pub(super) metric: &'a Metric,
    pub(super) cleaned: &'a Cleaned,
    pub(super) context: Context,
    /// One entry an interval, NaN where missing; rates for counts. Mirrored where the metric is judged from its upper bound.
    pub(super) baseline: Vec<f64>,
    pub(super) canary: Vec<f64>,
    /// The bound that the values are mirrored at: `bound - value` is judged in their place.
    pub(super) mirror: Option<f64>,
    /// Which change of the series above is worse.
    pub(super) direction: Direction,
    /// The points of both arms that are present, ascending; `None` where an arm has none, and for counts.
    pub(super) samples: Option<Samples>,
    /// Variance between fresh instances, once it was asked for.
    pub(super) pods: OnceCell<f64>,
    /// The past, mirrored likewise; empty for counts, whose past stays counts.
    pub(super) past: Past,
}

impl<'a> Subject<'a> {
    pub(super) fn of(metric: &'a Metric, cleaned: &'a Cleaned, context: Context) -> Self {
        let (baseline, canary) = (cleaned.baseline.values(), cleaned.canary.values());
        let mirror = if cleaned.counts_requests() { None } else { upper_bound(metric, &baseline, &canary) };
        let turn = |v: f64| mirror.map_or(v, |bound| bound - v);
        let past = if cleaned.counts_requests() { Past::default() } else { Past::of(cleaned, context.step_seconds, turn) };
        let turned = |values: Vec<f64>| values.into_iter().map(turn).collect::<Vec<f64>>();
        let direction = match (metric.direction, mirror) {
            (Direction::Increase, Some(_)) => Direction::Decrease,
            (Direction::Decrease, Some(_)) => Direction::Increase,
            (direction, _) => direction,
        };
        let (baseline, canary) = if mirror.is_some() { (turned(baseline), turned(canary)) } else { (baseline, canary) };
        let samples = if cleaned.is_counted() { None } else { Samples::of(&baseline, &canary) };
        Self { metric, cleaned, context, baseline, canary, mirror, direction, samples, pods: OnceCell::new(), past }
    }

    /// A ratio of which only the quotient is known.
    pub(super) fn is_rate(&self) -> bool {
        self.metric.kind == Kind::Ratio && !self.cleaned.is_counted()
    }

    /// A value as it was reported.
    pub(super) fn original(&self, value: f64) -> f64 {
        self.mirror.map_or(value, |bound| bound - value)
    }

    /// +1 where a positive difference of the series as they were reported is a positive one of those judged, else -1.
    pub(super) fn original_sign(&self) -> f64 {
        if self.mirror.is_some() { -1.0 } else { 1.0 }
    }

    /// Chances that a healthy canary has of a false flag of this kind: rates compete among the ratios, everything else among all.
    pub(super) fn chances(&self) -> f64 {
        self.context.chances_of(self.rivals())
    }

    /// Metrics that this one's level is shared with.
    pub(super) fn rivals(&self) -> usize {
        if self.is_rate() { self.context.live_ratios } else { self.context.live }
    }

    /// Whether both arms are non-negative and nearly always 0, or said to be 0 where nothing is reported: events, whatever their kind.
    pub(super) fn is_sparse(&self) -> bool {
        let values = || self.baseline.iter().chain(&self.canary).filter(|v| v.is_finite());
        let n = values().count();
        let zeros = values().filter(|v| **v == 0.0).count();
        let counted = self.metric.absent_means_zero || zeros as f64 > rule::SPARSE * n as f64;
        zeros > 0 && zeros < n && values().all(|v| *v >= 0.0) && counted
    }

    /// Smallest absolute shift worth acting on, in the unit.
    pub(super) fn absolute_tolerance(&self) -> f64 {
        if self.cleaned.is_distribution() {
            return super::level::distribution::absolute_tolerance(self.metric);
        }
        let stated = self.metric.tolerance.absolute.unwrap_or(0.0);
        if self.is_rate() { stated.max(rule::RATE_POINTS * self.metric.percentage_point()) } else { stated }
    }
}

/// The upper bound that a metric is judged from: that of a ratio or of a percentage of which less is worse, where the baseline's level is
/// nearer to it than to 0. `None` where any point lies outside of the bounds: it is none of the kind after all.
fn upper_bound(metric: &Metric, baseline: &[f64], canary: &[f64]) -> Option<f64> {
    let percent = metric.percentage_point() == 1.0;
    let bound = match metric.kind {
        Kind::Ratio if percent => 100.0,
        Kind::Ratio => 1.0,
        Kind::Value if percent && metric.direction == Direction::Decrease => 100.0,
        Kind::Value | Kind::Events | Kind::Distribution => return None,
    };
    let within = |v: &f64| (0.0..=bound * (1.0 + 1e-9)).contains(v);
    let present = || baseline.iter().chain(canary).filter(|v| v.is_finite());
    if !present().all(within) {
        return None;
    }
    let values: Vec<f64> = baseline.iter().copied().filter(|v| v.is_finite()).collect();
    let level =
        if metric.kind == Kind::Ratio { values.iter().sum::<f64>() / values.len().max(1) as f64 } else { crate::stats::median_of(values) };
    (level > bound / 2.0).then_some(bound)
}
