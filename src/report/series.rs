//! Both arms of one metric as they are drawn: one number an interval, thinned where there are many.

use haldane_judges::config::Direction;

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

    /// Divided by what another metric was at the time; both end together.
    pub(super) fn over(self, other: &Self) -> Self {
        let over = |mut points: Vec<Option<f64>>, other: &[Option<f64>]| {
            let lacks = points.len().saturating_sub(other.len());
            points[..lacks].fill(None);
            for (point, other) in points.iter_mut().rev().zip(other.iter().rev()) {
                *point = point.zip(*other).filter(|(_, other)| *other > 0.0).map(|(point, other)| point / other).filter(|v| v.is_finite());
            }
            points
        };
        Self { baseline: over(self.baseline, &other.baseline), canary: over(self.canary, &other.canary) }
    }

    /// The canary's points multiplied.
    pub(super) fn with_canary_times(mut self, factor: f64) -> Self {
        for point in &mut self.canary {
            *point = point.map(|value| value * factor).filter(|v| v.is_finite());
        }
        self
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
    /// Between which levels a canary is usual here.
    pub(super) usual: Option<(f64, f64)>,
}

impl LevelLimits {
    /// Whether a value is past a limit; `None` where there is none.
    pub(super) fn is_past(&self, direction: Direction) -> Option<impl Fn(f64) -> bool> {
        let (low, high) = range(self.limits.iter().copied())?;
        Some(move |value: f64| match direction {
            Direction::Increase => value > high,
            Direction::Decrease => value < low,
            Direction::Either => value > high || value < low,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_divided_from_their_ends() {
        let series = |baseline: &[f64], canary: &[f64]| DrawnSeries {
            baseline: baseline.iter().copied().map(Some).collect(),
            canary: canary.iter().copied().map(Some).collect(),
        };
        let quotient = series(&[1.0, 8.0, 9.0], &[6.0, 4.0]).over(&series(&[2.0, 3.0], &[0.0, 2.0, 0.0]));
        assert_eq!((quotient.baseline, quotient.canary), (vec![None, Some(4.0), Some(3.0)], vec![Some(3.0), None]));
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
