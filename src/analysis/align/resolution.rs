//! How far apart the points of a series are, where that is more than the step they were asked at.

use haldane_judges::evidence::Arm;

use crate::source::Window;

/// Fewest points from which a distance is told.
const FEWEST: usize = 8;
/// Fewest changes of value from which it is told that values are repeated.
const FEWEST_CHANGES: usize = 8;
/// Fewest points that are worth asking for at a larger step.
pub(in crate::analysis) const FEWEST_AT_LARGER_STEP: usize = 2;

/// Steps between the points of series that lie on one grid, taken together: 1 where they lie on neighbouring places, `k` where they lie
/// on every `k`-th place alone.
///
/// `k` is the greatest common divisor of the distances between them. `None` where there are fewer than eight points, or where so few of the
/// places at that distance have one that they may lie there by chance: an irregular series has no resolution.
pub(crate) fn stride<'a>(series: impl Iterator<Item = &'a [f64]>) -> Option<usize> {
    let mut present: Vec<bool> = Vec::new();
    for values in series {
        present.resize(present.len().max(values.len()), false);
        for (present, value) in present.iter_mut().zip(values) {
            *present |= !value.is_nan();
        }
    }
    let places: Vec<usize> = present.iter().enumerate().filter(|(_, present)| **present).map(|(place, _)| place).collect();
    even_distance(&places, FEWEST)
}

/// The greatest common divisor of the distances between rising places, where at least `fewest` of them fill half of what it allows.
fn even_distance(places: &[usize], fewest: usize) -> Option<usize> {
    let (first, last) = (places.first()?, places.last()?);
    if places.len() < fewest.max(2) {
        return None;
    }
    let stride = places.windows(2).fold(0_u64, |so_far, pair| gcd(so_far, (pair[1] - pair[0]) as u64));
    let stride = usize::try_from(stride).ok()?;
    let room = (last - first) / stride.max(1) + 1;
    (2 * places.len() >= room).then_some(stride)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

pub(crate) fn least_common_multiple(a: u64, b: u64) -> u64 {
    (a / gcd(a, b).max(1)).saturating_mul(b)
}

/// For how many steps a series repeats each of its values: its source has a new one less often than it is asked.
///
/// Told from where the values change. `None` where they are whole numbers, which may well stay the same for a while, where they change
/// too seldom to tell, or where they change within a gap at no such place: a gap is no repetition. 1 where they change at neighbouring
/// places.
pub(crate) fn repeats(values: &[f64]) -> Option<usize> {
    if !values.iter().any(|value| value.is_finite() && value.fract() != 0.0) {
        return None;
    }
    let present: Vec<(usize, f64)> = values.iter().copied().enumerate().filter(|(_, value)| value.is_finite()).collect();
    // Between which places a value gave way to another: the second is known where they are neighbours.
    let changes: Vec<(usize, usize)> =
        present.windows(2).filter(|pair| pair[0].1.to_bits() != pair[1].1.to_bits()).map(|pair| (pair[0].0, pair[1].0)).collect();
    let known: Vec<usize> = changes.iter().filter(|(before, here)| here - before == 1).map(|(_, here)| *here).collect();
    let distance = even_distance(&known, FEWEST_CHANGES)?;
    let phase = known.first()? % distance;
    // The last place up to `here` at which values may change.
    let fits = |(before, here): &(usize, usize)| here.checked_sub((here + distance - phase) % distance).is_some_and(|last| last > *before);
    changes.iter().all(fits).then_some(distance)
}

/// How far apart the points of a metric's arms are, in seconds, where that is more than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) struct Coarse {
    baseline: Option<u64>,
    canary: Option<u64>,
}

impl Coarse {
    /// From the window and the stride of each arm's queries; `None` where all have a point each step, or it cannot be told.
    pub(in crate::analysis) fn of(queries: impl Iterator<Item = (Arm, Window, Option<usize>)>) -> Option<Self> {
        let (mut found, mut asked) = (Self { baseline: None, canary: None }, u64::MAX);
        for (arm, window, stride) in queries {
            let step = u64::from(window.step_seconds);
            asked = asked.min(step);
            let Some(seconds) = stride.map(|stride| step.saturating_mul(stride as u64)) else { continue };
            let of_arm = if arm == Arm::Baseline { &mut found.baseline } else { &mut found.canary };
            // What is made of several queries has a point where all of them have.
            *of_arm = Some(of_arm.map_or(seconds, |other| least_common_multiple(other, seconds)));
        }
        (found.seconds() > asked).then_some(found)
    }

    /// The smallest distance at which both arms have points: the coarser arm's, where one divides the other.
    fn seconds(self) -> u64 {
        least_common_multiple(self.baseline.unwrap_or(1), self.canary.unwrap_or(1))
    }

    /// The step at which both arms have points, in seconds; `None` where it is longer than a step may be.
    pub(in crate::analysis) fn step_seconds(self) -> Option<u32> {
        u32::try_from(self.seconds()).ok()
    }

    /// Which arm has points how far apart.
    pub(in crate::analysis) fn describe(self) -> String {
        match (self.baseline, self.canary) {
            (Some(baseline), Some(canary)) if baseline == canary => format!("both arms have a point every {canary} s"),
            (Some(baseline), Some(canary)) => format!("the baseline has a point every {baseline} s and the canary every {canary} s"),
            (Some(one), None) => format!("the baseline has a point every {one} s"),
            (None, Some(one)) => format!("the canary has a point every {one} s"),
            (None, None) => "neither arm has points".to_owned(),
        }
    }
}

/// The part of a window that whole steps of another length fill, on the multiples of that length; it may be empty.
pub(in crate::analysis) fn inwards(window: Window, step_seconds: u32) -> Window {
    let step = i64::from(step_seconds.max(1));
    let start = match window.start.rem_euclid(step) {
        0 => window.start,
        past => window.start.saturating_add(step - past),
    };
    let end = window.end.saturating_sub(window.end.rem_euclid(step));
    Window { start, end: end.max(start), step_seconds }
}

/// The last `points` steps of a window, of which it has at least so many.
pub(in crate::analysis) fn newest(window: Window, points: usize) -> Window {
    let left_out = i64::try_from(window.len().saturating_sub(points)).unwrap_or(i64::MAX);
    let start = window.start.saturating_add(left_out.saturating_mul(i64::from(window.step_seconds)));
    Window { start: start.min(window.end), ..window }
}

/// Whether an answer at a larger step has at least half of the points that the one before it, with so many over the same time, lets expect.
pub(in crate::analysis) fn is_as_full(before: usize, distance_seconds: u64, after: usize, step_seconds: u32) -> bool {
    let expected = (before as u64).saturating_mul(distance_seconds) / u64::from(step_seconds.max(1));
    // The ends of the window may have cost a point.
    (after as u64).saturating_mul(2).saturating_add(1) >= expected
}

#[cfg(test)]
mod tests {
    use haldane_judges::evidence::ABSENT;
    use proptest::prelude::*;

    use super::*;

    fn at(length: usize, present: impl Fn(usize) -> bool) -> Vec<f64> {
        (0..length).map(|i| if present(i) { i as f64 + 0.5 } else { ABSENT }).collect()
    }

    fn stride_of(series: &[Vec<f64>]) -> Option<usize> {
        stride(series.iter().map(Vec::as_slice))
    }

    #[test]
    fn points_on_every_fifth_place_are_five_steps_apart_wherever_they_begin() {
        for offset in 0..5 {
            assert_eq!(stride_of(&[at(60, |i| i % 5 == offset)]), Some(5));
        }
        assert_eq!(stride_of(&[at(60, |_| true)]), Some(1));
    }

    #[test]
    fn the_series_of_an_arm_count_together() {
        let pods = [at(80, |i| i % 10 == 0), at(80, |i| i % 10 == 5)];
        assert_eq!((stride_of(&pods), stride_of(&pods[..1])), (Some(5), Some(10)));
        assert_eq!(stride_of(&[at(60, |i| i % 3 == 0), at(60, |i| i % 3 == 1)]), Some(1));
    }

    #[test]
    fn a_gap_leaves_the_resolution_and_few_or_irregular_points_have_none() {
        assert_eq!(stride_of(&[at(60, |i| i % 5 == 0 && !(20..35).contains(&i))]), Some(5));
        assert_eq!(
            (stride_of(&[at(35, |i| i % 5 == 0)]), stride_of(&[at(36, |i| i % 5 == 0)])),
            (None, Some(5)),
            "seven points, and eight"
        );
        assert_eq!(stride_of(&[at(60, |i| [0, 4, 12, 18, 34, 40, 52, 58].contains(&i))]), None, "all are even by chance");
        assert_eq!(stride_of(&[]), None);
    }

    #[test]
    fn runs_of_one_length_are_a_value_that_is_repeated() {
        let repeated = |k: usize| (0..60).map(|i| ((i / k) as f64 * 0.7).sin()).collect::<Vec<f64>>();
        assert_eq!((repeats(&repeated(5)), repeats(&repeated(2)), repeats(&repeated(1))), (Some(5), Some(2), Some(1)));
        let mut shifted = repeated(5);
        shifted.drain(..3);
        shifted[20] = f64::NAN;
        assert_eq!(repeats(&shifted), Some(5), "the first run may be cut, and a point missing");
        for gappy in [2, 3, 4] {
            let mut cut = repeated(5);
            cut.iter_mut().enumerate().filter(|(i, _)| i % 7 == gappy).for_each(|(_, value)| *value = f64::NAN);
            assert_eq!(repeats(&cut), Some(5), "gaps among repeated values");
        }
        let whole: Vec<f64> = (0..60).map(|i| (i / 5) as f64).collect();
        assert_eq!(repeats(&whole), None, "a count may stay the same");
        assert_eq!(repeats(&[0.5; 60]), None, "what never changes says nothing");
    }

    #[test]
    fn a_regular_pattern_of_gaps_repeats_nothing() {
        let reports = |k: usize, at: &[usize]| {
            (0..120).map(|i| if at.contains(&(i % k)) { (i as f64 * 0.7).sin() } else { f64::NAN }).collect::<Vec<f64>>()
        };
        for (k, at) in [(5, &[0, 1][..]), (5, &[0, 1, 2]), (3, &[1, 2]), (4, &[0, 3]), (10, &[4, 5])] {
            assert!(repeats(&reports(k, at)).is_none_or(|k| k == 1), "{at:?} of {k}");
        }
        // Two values a cycle, the first of them twice: nobody knows what came in between.
        let pairs: Vec<f64> =
            (0..120).map(|i| if i % 5 < 3 { ((i / 5 * 2 + usize::from(i % 5 == 2)) as f64 * 0.7).sin() } else { f64::NAN }).collect();
        assert_eq!(repeats(&pairs), None);
    }

    #[test]
    fn the_coarser_arm_wins_and_both_resolutions_are_named() {
        let window = |step_seconds| Window { start: 0, end: 3600, step_seconds };
        let of = |baseline, canary| Coarse::of([(Arm::Baseline, window(60), baseline), (Arm::Canary, window(60), canary)].into_iter());
        let coarse = of(Some(5), Some(1)).unwrap();
        assert_eq!(coarse.step_seconds(), Some(300));
        assert_eq!(coarse.describe(), "the baseline has a point every 300 s and the canary every 60 s");
        assert_eq!(of(Some(2), Some(3)).unwrap().step_seconds(), Some(360), "both have points there");
        assert_eq!(of(Some(5), Some(5)).unwrap().describe(), "both arms have a point every 300 s");
        assert_eq!(of(None, Some(2)).unwrap().describe(), "the canary has a point every 120 s");
        assert_eq!((of(Some(1), Some(1)), of(None, None)), (None, None));
        let ratio = [(Arm::Canary, Some(1)), (Arm::Canary, Some(5)), (Arm::Baseline, Some(1)), (Arm::Baseline, None)];
        let ratio = Coarse::of(ratio.into_iter().map(|(arm, stride)| (arm, window(60), stride))).unwrap();
        assert_eq!(ratio.describe(), "the baseline has a point every 60 s and the canary every 300 s");
        let own = [(Arm::Baseline, window(300), Some(1)), (Arm::Canary, window(300), Some(1))];
        assert_eq!(Coarse::of(own.into_iter()), None, "queries with a step of their own are asked at that");
        assert_eq!(of(Some(usize::MAX), Some(usize::MAX - 1)).unwrap().step_seconds(), None);
    }

    #[test]
    fn an_answer_that_lost_most_points_is_not_as_full() {
        // 12 points five minutes apart, or 60 a minute, of an hour.
        assert!(is_as_full(12, 300, 11, 300) && is_as_full(60, 60, 12, 300) && is_as_full(0, 60, 0, 300));
        assert!(!is_as_full(12, 300, 2, 300) && !is_as_full(60, 60, 0, 300));
    }

    proptest! {
        #[test]
        fn a_stride_divides_every_distance_and_no_larger_one_does(places in prop::collection::btree_set(0_usize..300, 0..60)) {
            let values = at(300, |i| places.contains(&i));
            let Some(stride) = stride_of(&[values]) else { return Ok(()) };
            let first = places.first().copied().unwrap_or(0);
            prop_assert!(places.iter().all(|place| (place - first) % stride == 0));
            for larger in stride + 1..300 {
                prop_assert!(places.iter().any(|place| (place - first) % larger != 0));
            }
        }

        #[test]
        fn a_window_moved_inwards_lies_within_it_on_the_new_grid(start in -1_000_000_i64..4_000_000_000, points in 0_i64..2_000, step in 1_u32..4_000, times in 1_u32..50) {
            let window = Window { start, end: start + points * i64::from(step), step_seconds: step };
            let coarser = inwards(window, step * times);
            let new = i64::from(step) * i64::from(times);
            prop_assert!(coarser.start >= window.start && coarser.start % new == 0 && coarser.start - window.start < new);
            prop_assert!(coarser.is_empty() || coarser.end <= window.end && coarser.end % new == 0 && window.end - coarser.end < new);
            prop_assert_eq!(coarser.seconds(), coarser.len() as i64 * new);
            let shorter = newest(coarser, coarser.len().saturating_sub(1));
            prop_assert_eq!((shorter.end, shorter.len(), shorter.start % new), (coarser.end, coarser.len().saturating_sub(1), 0));
        }

        #[test]
        fn no_values_make_it_panic(values in prop::collection::vec(prop::num::f64::ANY, 0..80), more in prop::collection::vec(prop::num::f64::ANY, 0..80)) {
            let _ = (repeats(&values), stride([values.as_slice(), more.as_slice()].into_iter()));
        }
    }

    #[test]
    fn extreme_windows_end_without_a_panic() {
        for (start, end) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MAX - 1, i64::MAX), (i64::MIN, i64::MIN)] {
            for step_seconds in [0, 1, u32::MAX] {
                let window = inwards(Window { start, end, step_seconds }, step_seconds);
                let _ = (window.len(), newest(window, 3).len());
            }
        }
    }
}
