//! What every examiner is given: one metric's arms as series, turned and mirrored as they are judged, with their past.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::context::Context;
use super::past::Past;
use super::rule;
use super::tolerances::absolute_tolerance;
use crate::config::{Direction, Kind, Metric};
use crate::evidence::Points;
use crate::quality::{CleanArm, CleanMetric, level};
use crate::stats::Sample;

/// Both arms' points as they are judged, sorted once for every examiner.
pub(super) struct SortedSamples {
    pub(super) baseline: Sample,
    pub(super) canary: Sample,
}

/// The points of each arm that are present, ascending, as they were reported; `None` where an arm has none, and of what has no values.
pub(super) struct SortedArms {
    baseline: Option<Sample>,
    canary: Option<Sample>,
}

impl SortedArms {
    pub(super) fn of(cleaned: &CleanMetric) -> Self {
        let of = |arm: &CleanArm| match &arm.points {
            Points::Values(values) => Sample::of_present(values).ok(),
            Points::Counts { .. } | Points::Buckets(_) => None,
        };
        Self { baseline: of(&cleaned.baseline), canary: of(&cleaned.canary) }
    }

    /// The levels of both arms, of whatever kind they are.
    pub(super) fn levels(&self, cleaned: &CleanMetric) -> [Option<f64>; 2] {
        if cleaned.counts_requests() {
            return [level(&cleaned.baseline), level(&cleaned.canary)];
        }
        self.medians()
    }

    fn medians(&self) -> [Option<f64>; 2] {
        [&self.baseline, &self.canary].map(|sample| sample.as_ref().map(Sample::median))
    }
}

/// One metric under examination.
pub(super) struct Subject<'a> {
    pub(super) metric: &'a Metric,
    pub(super) cleaned: &'a CleanMetric,
    pub(super) context: Context,
    /// One entry an interval, NaN where missing; mirrored where the metric is judged from its upper bound. Empty where requests are counted.
    pub(super) baseline: Cow<'a, [f64]>,
    pub(super) canary: Cow<'a, [f64]>,
    /// Medians of both arms' values as they were reported.
    pub(super) medians: [Option<f64>; 2],
    /// The bound that the values are mirrored at: `bound - value` is judged in their place.
    pub(super) mirror: Option<f64>,
    /// Which change of the series above is worse.
    pub(super) direction: Direction,
    /// The points of both arms that are present, ascending; `None` where an arm has none, and where requests are counted.
    pub(super) samples: Option<SortedSamples>,
    /// Variance between fresh instances, once it was asked for.
    pub(super) pods: OnceCell<f64>,
    /// The past, mirrored likewise; empty for counts, whose past stays counts.
    pub(super) past: Past,
}

impl<'a> Subject<'a> {
    pub(super) fn of(metric: &'a Metric, cleaned: &'a CleanMetric, arms: SortedArms, context: Context) -> Self {
        let values = |arm: &'a CleanArm| match &arm.points {
            Points::Values(values) => values.as_slice(),
            Points::Counts { .. } | Points::Buckets(_) => &[],
        };
        let (baseline, canary) = (values(&cleaned.baseline), values(&cleaned.canary));
        let mirror = if cleaned.counts_requests() { None } else { upper_bound(metric, &arms, baseline) };
        let past = if cleaned.counts_requests() { Past::default() } else { Past::of(cleaned, context.step_seconds, mirror) };
        let direction = match (metric.direction, mirror) {
            (Direction::Increase, Some(_)) => Direction::Decrease,
            (Direction::Decrease, Some(_)) => Direction::Increase,
            (direction, _) => direction,
        };
        let medians = arms.medians();
        let turned = |values: &'a [f64]| match mirror {
            Some(bound) => Cow::Owned(values.iter().map(|v| bound - v).collect()),
            None => Cow::Borrowed(values),
        };
        let sample = |sample: Sample| match mirror {
            Some(bound) => sample.mirrored(bound),
            None => sample,
        };
        let samples = match (arms.baseline, arms.canary) {
            (Some(baseline), Some(canary)) => Some(SortedSamples { baseline: sample(baseline), canary: sample(canary) }),
            _ => None,
        };
        let (baseline, canary) = (turned(baseline), turned(canary));
        Self { metric, cleaned, context, baseline, canary, medians, mirror, direction, samples, pods: OnceCell::new(), past }
    }

    /// Points of the longer arm's window.
    pub(super) fn longest(&self) -> usize {
        self.cleaned.baseline.points.len().max(self.cleaned.canary.points.len())
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
        let values = || self.baseline.iter().chain(self.canary.iter()).filter(|v| v.is_finite());
        let n = values().count();
        let zeros = values().filter(|v| **v == 0.0).count();
        let counted = self.metric.absent_means_zero || zeros as f64 > rule::SPARSE * n as f64;
        zeros > 0 && zeros < n && values().all(|v| *v >= 0.0) && counted
    }

    /// Smallest absolute shift worth acting on, in the unit.
    pub(super) fn absolute_tolerance(&self) -> f64 {
        if self.cleaned.is_distribution() {
            return absolute_tolerance(self.metric);
        }
        let stated = self.metric.tolerance.absolute.unwrap_or(0.0);
        if self.is_rate() { stated.max(rule::RATE_POINTS * self.metric.percentage_point()) } else { stated }
    }
}

/// The upper bound that a metric is judged from: that of a ratio or of a percentage of which less is worse, where the baseline's level is
/// nearer to it than to 0. `None` where any point lies outside of the bounds: it is none of the kind after all.
fn upper_bound(metric: &Metric, arms: &SortedArms, baseline: &[f64]) -> Option<f64> {
    let percent = metric.percentage_point() == 1.0;
    let bound = match metric.kind {
        Kind::Ratio if percent => 100.0,
        Kind::Ratio => 1.0,
        Kind::Value if percent && metric.direction == Direction::Decrease => 100.0,
        Kind::Value | Kind::Events | Kind::Distribution => return None,
    };
    let within = |v: f64| (0.0..=bound * (1.0 + 1e-9)).contains(&v);
    let all_within = |sample: &Option<Sample>| sample.as_ref().is_none_or(|sample| within(sample.min()) && within(sample.max()));
    if !all_within(&arms.baseline) || !all_within(&arms.canary) {
        return None;
    }
    let level = match (metric.kind, &arms.baseline) {
        // In the order of time, as means of points are everywhere.
        (Kind::Ratio, Some(sample)) => baseline.iter().filter(|v| v.is_finite()).sum::<f64>() / sample.len() as f64,
        (_, Some(sample)) => sample.median(),
        (_, None) => return None,
    };
    (level > bound / 2.0).then_some(bound)
}
