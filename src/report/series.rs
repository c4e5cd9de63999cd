//! Both arms of one metric as they are drawn: one number an interval, thinned where there are many.

use haldane_judges::config::Direction;
use haldane_judges::scorecard::MetricResult;

use crate::analysis::{ArmSamples, MetricSamples};

/// Pieces that a longer series is cut into; each keeps its lowest and its highest point.
const PIECES: usize = 60;

/// Both arms, interval by interval, in the metric's unit; `None` is a missing point.
pub(super) struct DrawnSeries {
    pub(super) baseline: Vec<Option<f64>>,
    pub(super) canary: Vec<Option<f64>>,
}

impl DrawnSeries {
    /// With a quantile that is drawn of a histogram's intervals.
    pub(super) fn of(samples: &MetricSamples, quantile: f64) -> Self {
        Self { baseline: numbers(&samples.baseline, quantile), canary: numbers(&samples.canary, quantile) }
    }

    /// Smallest and largest of both arms; `None` where there is no point.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        range(self.baseline.iter().chain(&self.canary).flatten().copied())
    }
}

/// Smallest and largest.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .fold(None, |range: Option<(f64, f64)>, value| Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value)))))
}

fn numbers(arm: &ArmSamples, quantile: f64) -> Vec<Option<f64>> {
    let numbers = match arm {
        ArmSamples::Buckets(samples) => {
            samples.buckets().map(|buckets| buckets.quantiles(quantile).into_iter().map(Some).collect()).unwrap_or_default()
        }
        _ => arm.numbers(),
    };
    numbers.into_iter().map(|value| value.filter(|v| v.is_finite())).collect()
}

/// Points of a series by their interval. Of a long one each piece keeps its lowest and its highest, so that a spike stays what it is.
pub(super) fn thinned(points: &[Option<f64>]) -> Vec<Option<(usize, f64)>> {
    let piece = points.len().div_ceil(PIECES);
    if piece <= 2 {
        return points.iter().enumerate().map(|(i, value)| value.map(|v| (i, v))).collect();
    }
    let mut out = Vec::with_capacity(2 * PIECES);
    for (number, part) in points.chunks(piece).enumerate() {
        let known = || part.iter().enumerate().filter_map(|(i, value)| value.map(|v| (number * piece + i, v)));
        let (low, high) = (known().min_by(|a, b| a.1.total_cmp(&b.1)), known().max_by(|a, b| a.1.total_cmp(&b.1)));
        let (first, last) = if low.map(|one| one.0) <= high.map(|one| one.0) { (low, high) } else { (high, low) };
        out.push(first);
        if last != first {
            out.push(last);
        }
    }
    out
}

/// Where the limit of the levels lies, in the metric's unit, and what the past calls usual.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LevelLimits {
    /// Levels from which the canary is worse.
    pub(super) limits: Vec<f64>,
    /// Between which levels nine of ten canaries would lie in which nothing changed.
    pub(super) usual: Option<(f64, f64)>,
}

impl LevelLimits {
    /// How many of the canary's points lie past a limit, and the interval from which on most do; nothing where there is no limit. Of all
    /// intervals it is the one from which on the points past it outnumber the others by most, so that a single early one is no beginning.
    pub(super) fn past(&self, metric: &MetricResult, canary: &[Option<f64>]) -> Option<(usize, Option<usize>)> {
        let (low, high) = range(self.limits.iter().copied())?;
        let is_past = |value: f64| match metric.direction {
            Direction::Increase => value > high,
            Direction::Decrease => value < low,
            Direction::Either => value > high || value < low,
        };
        Some(since_most(canary, is_past))
    }
}

/// How many points are so, and the interval from which on most are.
fn since_most(points: &[Option<f64>], is_so: impl Fn(f64) -> bool) -> (usize, Option<usize>) {
    let (mut count, mut more, mut most, mut since) = (0, 0_i64, 0_i64, None);
    for (i, value) in points.iter().enumerate().rev() {
        let Some(value) = value else { continue };
        if is_so(*value) {
            count += 1;
            more += 1;
        } else {
            more -= 1;
        }
        if more > most {
            (most, since) = (more, Some(i));
        }
    }
    (count, since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_past_its_limit_since_most_points_are() {
        let is = |points: &[f64], past: usize, since: Option<usize>| {
            let canary: Vec<Option<f64>> = points.iter().map(|value| Some(*value).filter(|v| !v.is_nan())).collect();
            assert_eq!(since_most(&canary, |value| value > 1.0), (past, since), "{points:?}");
        };
        is(&[0.0, 0.0, 2.0, 2.0, 2.0], 3, Some(2));
        is(&[2.0, 0.0, 0.0, 0.0, 2.0, 2.0, f64::NAN, 2.0], 4, Some(4));
        is(&[2.0, 2.0, 0.0, 2.0], 3, Some(0));
        is(&[2.0, 0.0, 0.0], 1, None);
        is(&[0.0], 0, None);
        is(&[], 0, None);
    }

    #[test]
    fn a_spike_of_one_point_survives_thinning() {
        let mut points = vec![Some(1.0); 10_080];
        points[5_003] = Some(99.0);
        points[7_001] = Some(-5.0);
        points[12..700].fill(None);
        let kept = thinned(&points);
        assert!(kept.len() <= 120, "{}", kept.len());
        assert!(kept.contains(&Some((5_003, 99.0))) && kept.contains(&Some((7_001, -5.0))));
        assert!(kept.contains(&None), "a gap stays a gap");
        assert!(kept.iter().flatten().is_sorted_by_key(|(i, _)| *i));
    }
}
