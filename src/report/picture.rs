//! What of a metric is drawn: its points with their times, what was usual before, limits, and where its shift lies.

use haldane_judges::config::Direction;
use haldane_judges::scorecard::{MetricResult, Mode};
use jiff::Timestamp;

use super::view::telling;
use crate::analysis::{ArmSamples, MetricProvenance, MetricSamples, Scorecard};

/// What is drawn of one metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MetricPicture {
    /// The baseline's points; rates for counts, medians for buckets.
    pub(super) baseline: Vec<Option<f64>>,
    /// The canary's.
    pub(super) canary: Vec<Option<f64>>,
    /// Their times.
    pub(super) time: TimeAxis,
    /// Between what 90 % of the baseline's points before the window lay, where at least twenty are known.
    pub(super) usual: Option<(f64, f64)>,
    /// Levels that matter: declared limits that were tried (`max`, `min`), and up to what the canary is tolerated.
    pub(super) limits: Vec<(&'static str, f64)>,
    /// Place of the release among the points, where it is known.
    pub(super) released: Option<f64>,
    /// Bounds of a histogram with the shares of both arms' requests at or below them.
    pub(super) curve: Option<Vec<(f64, f64, f64)>>,
}

/// When the points of a window are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimeAxis {
    /// The window's start, where it has times.
    pub(super) start: Option<Timestamp>,
    /// Distance between points, in seconds.
    pub(super) step_seconds: u32,
}

impl TimeAxis {
    /// The time of a point, as an axis names it.
    #[must_use]
    pub(super) fn name(&self, place: usize) -> String {
        // A point speaks of the step before it.
        let after = i64::try_from(place + 1).unwrap_or(i64::MAX).saturating_mul(i64::from(self.step_seconds));
        match self.start.and_then(|start| start.checked_add(jiff::SignedDuration::from_secs(after)).ok()) {
            Some(time) => time.strftime("%H:%M").to_string(),
            None => super::format::seconds(after.unsigned_abs()),
        }
    }
}

/// Points from which it is told what was usual.
const ENOUGH: usize = 20;

impl MetricPicture {
    /// What is to be drawn of a metric; `None` where the scorecard has no samples of it.
    #[must_use]
    pub(super) fn of(card: &Scorecard, metric: &MetricResult, provenance: &MetricProvenance) -> Option<Self> {
        let samples = provenance.samples.as_ref()?;
        let step_seconds = provenance.step_seconds.unwrap_or(card.data.step_seconds);
        let start = card.data.canary_window.as_ref().map(|window| window.start);
        let released = card.data.released_at.zip(start).filter(|_| step_seconds > 0).map(|(released, start)| {
            // The point that speaks of the first step has place 0 and lies at its end.
            released.duration_since(start).as_secs_f64() / f64::from(step_seconds) - 1.0
        });
        let threshold = metric.threshold.as_ref();
        let limits = [("max", threshold.and_then(|limits| limits.max)), ("min", threshold.and_then(|limits| limits.min))];
        let curve = metric.distribution.as_ref().map(|of| &of.curve).filter(|curve| curve.len() > 1);
        Some(Self {
            baseline: drawn(&samples.baseline),
            canary: drawn(&samples.canary),
            time: TimeAxis { start, step_seconds },
            usual: usual(samples),
            limits: limits.into_iter().filter_map(|(word, limit)| Some((word, limit?))).chain(tolerated(metric)).collect(),
            released,
            curve: curve.map(|curve| curve.iter().map(|point| (point.bound, point.baseline, point.canary)).collect()),
        })
    }
}

/// The level of a canary that is as much worse as is tolerated, where worse is one way and one level is compared.
fn tolerated(metric: &MetricResult) -> Option<(&'static str, f64)> {
    let limit = metric.limit.as_ref().filter(|_| matches!(metric.mode, Mode::Statistical | Mode::Counts))?;
    let turn = match metric.direction {
        Direction::Increase => 1.0,
        Direction::Decrease => -1.0,
        Direction::Either => return None,
    };
    let (level, size) = match (&metric.counts, &metric.numbers) {
        (Some(counts), _) => (counts.baseline.rate, counts.baseline.rate.min(1.0 - counts.baseline.rate)),
        (None, Some(numbers)) => (numbers.baseline, numbers.level),
        (None, None) => return None,
    };
    let value = level + turn * (limit.relative * size).max(limit.absolute);
    value.is_finite().then_some(("tolerated", value))
}

fn drawn(arm: &ArmSamples) -> Vec<Option<f64>> {
    arm.numbers().into_iter().map(|value| value.filter(|v| v.is_finite())).collect()
}

fn usual(samples: &MetricSamples) -> Option<(f64, f64)> {
    let mut before: Vec<f64> = samples.baseline_history.as_ref().map(drawn)?.into_iter().flatten().collect();
    if before.len() < ENOUGH {
        return None;
    }
    before.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| before[((before.len() - 1) as f64 * share).round() as usize];
    Some((at(0.05), at(0.95)))
}

/// Where a metric's shift lies, in units of its tolerance: 0 is no difference, 1 is what is tolerated, above 0 is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ShiftPlace {
    /// The estimate.
    pub(super) shift: f64,
    /// Its interval; an open end is absent.
    pub(super) interval: Option<(Option<f64>, Option<f64>)>,
    /// The estimate from which the metric is regressed, where it is told by a standard error.
    pub(super) proved_from: Option<f64>,
}

impl ShiftPlace {
    /// Where the shift of a metric lies; `None` where statistics decided nothing, or nothing is tolerated.
    #[must_use]
    pub(super) fn of(metric: &MetricResult) -> Option<Self> {
        let limit = metric.limit.as_ref().filter(|_| metric.mode != Mode::None)?;
        // In the unit of the shift: a fraction of the level, or the metric's own.
        let (shift, interval, tolerance) = if let Some(one) = metric.distribution.as_ref().and_then(telling) {
            (
                one.shift,
                one.shift_interval.map(|interval| (interval.low, interval.high)),
                (limit.relative * one.baseline.abs()).max(limit.absolute),
            )
        } else if let Some(counts) = &metric.counts {
            let rate = counts.baseline.rate;
            let level = rate.min(1.0 - rate).max(0.0);
            let turn = |end: Option<f64>| end.map(|end| if metric.direction == Direction::Decrease { rate - end } else { end - rate });
            let (low, high) = (turn(counts.canary.interval.low), turn(counts.canary.interval.high));
            let ends = if metric.direction == Direction::Decrease { (high, low) } else { (low, high) };
            (counts.shift, Some(ends), (limit.relative * level).max(limit.absolute))
        } else if let Some(numbers) = &metric.numbers {
            let interval = numbers.effect_interval.map(|interval| (interval.low, interval.high));
            // The estimate of a ratio is in its unit, all others are fractions of the level.
            let is_fraction = metric.kind != haldane_judges::config::Kind::Ratio;
            if is_fraction && numbers.level > 0.0 {
                (numbers.effect, interval, limit.relative.max(limit.absolute / numbers.level))
            } else {
                let interval = interval.filter(|_| !is_fraction).or(numbers.shift_interval.map(|interval| (interval.low, interval.high)));
                let shift = if is_fraction { numbers.shift } else { numbers.effect };
                (shift, interval, (limit.relative * numbers.level).max(limit.absolute))
            }
        } else {
            let events = metric.events.as_ref()?;
            (events.relative_shift?, None, limit.relative)
        };
        let place = |value: f64| Some(value / tolerance).filter(|place| place.is_finite());
        Some(Self {
            shift: place(shift)?,
            interval: interval.map(|(low, high)| (low.and_then(place), high.and_then(place))),
            proved_from: limit.proved_from.and_then(place).filter(|_| metric.counts.is_none() && metric.distribution.is_none()),
        })
    }
}
