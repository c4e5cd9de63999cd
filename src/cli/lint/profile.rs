//! What a series is like before anybody judges it: how complete, how fine, how tied, how dependent.

use haldane_judges::stats::Sample;
use haldane_judges::stats::dependence::{lag1_autocorrelation, variance_inflation};
use serde::Serialize;

/// What the points of one arm are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Profile {
    /// Points that the window has.
    pub(super) expected: usize,
    /// Those of them that are numbers.
    pub(super) present: usize,
    /// Those that are infinite.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) infinite: usize,
    /// The longest gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) longest_gap: Option<Gap>,
    /// The values; absent without any.
    #[serde(flatten)]
    pub(super) values: Option<Values>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Points that follow each other and are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    /// How many.
    pub(super) points: usize,
    /// Where.
    pub(super) at: Place,
}

/// A part of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Start,
    Middle,
    End,
    Everywhere,
}

/// What the values are like, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Values {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
    /// Different values.
    pub(super) distinct: usize,
    /// Share of the points that equal another, 0 to 1.
    pub(super) tied: f64,
    /// The value that is there most often; the smallest of several.
    pub(super) commonest: f64,
    /// Share of the points that have it, 0 to 1.
    pub(super) commonest_share: f64,
    /// Autocorrelation of neighbouring points, as the judge estimates it.
    pub(super) lag1: f64,
    /// Independent points that the series is worth.
    pub(super) effective: f64,
}

impl Profile {
    /// The profile of one entry for each point of a window, of which those that are no finite numbers are missing.
    pub(super) fn of(points: &[f64]) -> Self {
        let places = places(points);
        Self {
            expected: points.len(),
            present: places.len(),
            infinite: points.iter().filter(|v| v.is_infinite()).count(),
            longest_gap: longest_gap(&places, points.len()),
            values: Values::of(points),
        }
    }

    /// The same values, complete as `points` are: the rate of an interval without traffic is unknown, but its counts are not missing.
    pub(super) fn complete_as(self, points: &[f64]) -> Self {
        Self { values: self.values, ..Self::of(points) }
    }

    /// Whether every point that is there has the same value.
    pub(super) fn is_constant(&self) -> bool {
        self.values.is_some_and(|values| values.distinct == 1)
    }
}

impl Values {
    fn of(points: &[f64]) -> Option<Self> {
        let sample = Sample::of_present(points).ok()?;
        let n = sample.len() as f64;
        let groups: Vec<&[f64]> = sample.sorted().chunk_by(|a, b| a == b).collect();
        let tied: usize = groups.iter().map(|group| group.len()).filter(|n| *n > 1).sum();
        // The last of equals wins, so the smallest value is looked at last.
        let commonest = groups.iter().rev().max_by_key(|group| group.len())?;
        let lag1 = lag1_autocorrelation(points);
        Some(Self {
            min: sample.min(),
            median: sample.median(),
            max: sample.max(),
            distinct: groups.len(),
            tied: tied as f64 / n,
            commonest: commonest[0],
            commonest_share: commonest.len() as f64 / n,
            lag1,
            effective: n / variance_inflation(lag1, sample.len()),
        })
    }
}

fn places(points: &[f64]) -> Vec<usize> {
    (0..points.len()).filter(|i| points[*i].is_finite()).collect()
}

fn longest_gap(present: &[usize], expected: usize) -> Option<Gap> {
    let (Some(first), Some(last)) = (present.first(), present.last()) else {
        return (expected > 0).then_some(Gap { points: expected, at: Place::Everywhere });
    };
    let middle = present.windows(2).map(|pair| Gap { points: pair[1] - pair[0] - 1, at: Place::Middle });
    let ends = [Gap { points: *first, at: Place::Start }, Gap { points: expected - 1 - last, at: Place::End }];
    // Of equals the last: a gap at an end says more than one in the middle.
    middle.chain(ends).max_by_key(|gap| gap.points).filter(|gap| gap.points > 0)
}

/// Points missing after the last one; all of them where there is none.
pub(super) fn missing_at_end(points: &[f64]) -> usize {
    points.iter().rev().take_while(|v| !v.is_finite()).count()
}

/// Points missing between two others, at most.
pub(super) fn missing_between(points: &[f64]) -> usize {
    places(points).windows(2).map(|pair| pair[1] - pair[0] - 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const N: f64 = f64::NAN;

    fn gap(points: usize, at: Place) -> Option<Gap> {
        Some(Gap { points, at })
    }

    #[test]
    fn the_longest_gap_is_found_where_it_is() {
        let longest = |points: &[f64]| Profile::of(points).longest_gap;
        assert_eq!(longest(&[1.0, 2.0, 3.0]), None);
        assert_eq!(longest(&[N, N, 3.0, N, 5.0]), gap(2, Place::Start));
        assert_eq!(longest(&[1.0, N, N, 4.0, N]), gap(2, Place::Middle));
        assert_eq!(longest(&[1.0, N, 3.0, N]), gap(1, Place::End));
        assert_eq!(longest(&[N, f64::INFINITY]), gap(2, Place::Everywhere));
        assert_eq!(longest(&[]), None);
    }

    #[test]
    fn ties_and_the_commonest_value_are_counted() {
        let values = Profile::of(&[0.0, 3.0, -0.0, 0.0, 5.0, 5.0, N, 7.0]).values.unwrap();
        assert_eq!((values.distinct, values.commonest, values.min, values.median, values.max), (4, 0.0, 0.0, 3.0, 7.0));
        assert!((values.tied - 5.0 / 7.0).abs() < 1e-12 && (values.commonest_share - 3.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn a_series_that_wanders_is_worth_fewer_points_than_it_has() {
        // Neighbours that always differ in sign correlate negatively, which the judge takes for none.
        let independent: Vec<f64> = (0..60).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 } + f64::from(i) * 1e-3).collect();
        let wandering: Vec<f64> = (0..60).map(|i| (f64::from(i) / 10.0).sin()).collect();
        let worth = |points: &[f64]| Profile::of(points).values.unwrap().effective;
        assert!((worth(&independent) - 60.0).abs() < 1e-9);
        assert!(worth(&wandering) < 10.0);
    }

    #[test]
    fn what_is_missing_at_the_end_is_counted_from_there_and_what_is_between_apart() {
        let points = [&[1.0, N][..], &[1.0][..], &[N, N][..], &[][..], &[N, 1.0, N, N, 4.0, N, 6.0, N][..]];
        assert_eq!(points.map(missing_at_end), [1, 0, 2, 0, 1]);
        assert_eq!(points.map(missing_between), [0, 0, 0, 0, 2]);
    }

    proptest! {
        #[test]
        fn every_series_has_a_profile_that_adds_up(points in prop::collection::vec(prop_oneof![any::<f64>(), -2.0..2.0, Just(N)], 0..80)) {
            let profile = Profile::of(&points);
            let gap = profile.longest_gap.map_or(0, |gap| gap.points);
            prop_assert!(profile.present + gap <= profile.expected);
            prop_assert_eq!(profile.values.is_some(), profile.present > 0);
            if let Some(values) = profile.values {
                prop_assert!(values.distinct >= 1 && values.distinct <= profile.present);
                prop_assert!(values.min <= values.median && values.median <= values.max);
                prop_assert!(values.effective >= 1.0 - 1e-9 && values.effective <= profile.present as f64 + 1e-9);
                prop_assert!((0.0..=1.0).contains(&values.tied) && values.commonest_share > 0.0);
            }
        }
    }
}
