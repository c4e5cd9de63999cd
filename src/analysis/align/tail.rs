//! The end of a window that is too young: points that may still come, or change.
//!
//! A store is said to settle so long after a point's time (`settle` of the source). What is missing before that is late or gone, nobody
//! can tell which. So both arms end before the first such place where either has nothing: it counts neither as a gap nor as silence. What is
//! there is judged, with a warning that it may change. Where that would leave out more than a fifth of the window, the metric is not judged:
//! an arm that died so recently must not pass.
//!
//! Where a missing point means zero, it says nothing of how late the data is: values are never cut then, and counts by their totals alone.

use haldane_judges::evidence::{Arm, ArmPoints, FetchFailure, Observation, Points};

use super::spoken;
use crate::source::Window;

/// Points at the end of a window that may still come or change at a time, in Unix seconds, where they settle after so many seconds.
pub(in crate::analysis) fn young_points(window: Window, settle_seconds: i64, now: i64) -> usize {
    let settled = now.saturating_sub(settle_seconds);
    let young = window.end.saturating_sub(settled).max(0);
    let step = i64::from(window.step_seconds.max(1));
    usize::try_from(young / step + i64::from(young % step > 0)).unwrap_or(usize::MAX).min(window.len())
}

/// One in so many of the window's points is left out of its end at most.
const MOST_LEFT_OUT: usize = 5;

/// What became of the young end of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) enum Tail {
    /// Both arms lost so many points at their end; 0 where neither lacks one.
    LeftOut(usize),
    /// That would be too many, and nothing was done: so many points of this arm have not arrived.
    Unjudged(Arm, usize),
}

/// Leaves the end of both arms out, from the first young place on where either has nothing, where that is a fifth of the window at most.
/// `young` has how many points at the end of each arm are.
pub(in crate::analysis) fn leave_out_missing(observation: &mut Observation, absent_means_zero: bool, young: impl Fn(Arm) -> usize) -> Tail {
    let Observation::Sampled { baseline, canary } = observation else { return Tail::LeftOut(0) };
    let of_baseline = missing_from(baseline, absent_means_zero, young(Arm::Baseline));
    let of_canary = missing_from(canary, absent_means_zero, young(Arm::Canary));
    let (arm, missing) = if of_baseline.from_end > of_canary.from_end { (Arm::Baseline, of_baseline) } else { (Arm::Canary, of_canary) };
    let shorter = baseline.points.len().min(canary.points.len());
    if missing.from_end.saturating_mul(MOST_LEFT_OUT) > shorter {
        return Tail::Unjudged(arm, missing.points);
    }
    for arm in [baseline, canary] {
        cut(arm, missing.from_end);
    }
    Tail::LeftOut(missing.from_end)
}

/// Why a metric is not judged of which so many points of an arm have not arrived.
pub(in crate::analysis) fn failure(arm: Arm, points: usize, window: Window, settle_seconds: i64) -> FetchFailure {
    let settled = clock(window.end.saturating_add(settle_seconds));
    let missing = if points == 1 { "1 point of the".to_owned() } else { format!("{points} points of the") };
    let have = if points == 1 { "has" } else { "have" };
    let message = format!("{missing} {arm} {have} not arrived, and may until {settled}; ask again then");
    FetchFailure { arm, reason: "young".to_owned(), message }
}

fn clock(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.strftime("%H:%M:%S UTC").to_string())
}

/// What a series lacks of its young end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct TailGap {
    /// Places from the first that it lacks to the end; 0 where it has them all.
    from_end: usize,
    /// How many of those it lacks.
    points: usize,
}

/// What an arm lacks of its last `young` points: what the series of it does that lacks the earliest.
fn missing_from(arm: &ArmPoints, absent_means_zero: bool, young: usize) -> TailGap {
    let first_missing = |values: &[f64]| {
        let tail = &values[values.len().saturating_sub(young)..];
        let from_end = tail.iter().position(|value| value.is_nan()).map_or(0, |at| tail.len() - at);
        TailGap { from_end, points: tail.iter().filter(|value| value.is_nan()).count() }
    };
    let whole = match &arm.points {
        Points::Values(_) if absent_means_zero => return TailGap::default(),
        Points::Values(values) => first_missing(values),
        Points::Counts { totals, .. } if absent_means_zero => first_missing(totals),
        Points::Counts { events, totals } => first_missing(events).max(first_missing(totals)),
        Points::Buckets(buckets) => first_missing(buckets.totals()),
    };
    // One that reported up to there is late too; one that did not is gone, or new.
    let reported = |values: &&[f64]| young < values.len() && !values[values.len() - young - 1].is_nan();
    let instances = arm.instances.iter().map(|instance| instance.values.as_slice()).filter(reported).map(first_missing);
    instances.max().unwrap_or_default().max(whole)
}

fn cut(arm: &mut ArmPoints, n: usize) {
    let shorten = |values: &mut Vec<f64>| values.truncate(values.len().saturating_sub(n));
    let shorten_points = |points: &mut Points| match points {
        Points::Values(values) => shorten(values),
        Points::Counts { events, totals } => {
            shorten(events);
            shorten(totals);
        }
        Points::Buckets(buckets) => *buckets = buckets.slice(0..buckets.len().saturating_sub(n)),
    };
    shorten_points(&mut arm.points);
    arm.instances.iter_mut().for_each(|instance| shorten(&mut instance.values));
    // They end where the window does, some days earlier.
    for earlier in &mut arm.earlier {
        shorten_points(&mut earlier.points);
    }
}

/// What a scorecard says of a window with a young end, as it was read at `now`. `left_out` names the metrics of which points were.
pub(in crate::analysis) fn warning(window: Window, settle_seconds: i64, now: i64, source: &str, left_out: &[&str]) -> Option<String> {
    const SHOWN: usize = 5;
    let young = young_points(window, settle_seconds, now);
    if young == 0 {
        return None;
    }
    let ago = now.saturating_sub(window.end);
    let ended = if ago >= 0 { format!("ended {} ago", spoken(ago)) } else { format!("ends in {}", spoken(ago.saturating_neg())) };
    let step = i64::from(window.step_seconds);
    let since = window.end.saturating_sub(step.saturating_mul(i64::try_from(young).unwrap_or(i64::MAX).saturating_sub(1)));
    let points = if young == 1 {
        format!("its last point ({})", clock(since))
    } else {
        format!("its last {young} points (from {} on)", clock(since))
    };
    let cut = match left_out {
        [] => String::new(),
        [first, rest @ ..] => {
            let mut names = format!("`{first}`");
            rest.iter().take(SHOWN - 1).for_each(|name| names.push_str(&format!(", `{name}`")));
            if left_out.len() > SHOWN {
                names.push_str(&format!(" and {} more", left_out.len() - SHOWN));
            }
            format!("; where an arm lacks one, both were judged up to there ({names})")
        }
    };
    Some(format!(
        "the tail is young: the window {ended}, and samples of `{source}` may arrive for {}, so that {points} may still come or change{cut}; \
         ask again after {} for a settled answer",
        spoken(settle_seconds),
        clock(window.end.saturating_add(settle_seconds))
    ))
}

#[cfg(test)]
mod tests {
    use haldane_judges::evidence::{ABSENT, Earlier, Instance};
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Window = Window { start: 0, end: 600, step_seconds: 60 };

    fn observation(baseline: &[f64], canary: &[f64]) -> Observation {
        Observation::Sampled { baseline: ArmPoints::values(baseline.to_vec()), canary: ArmPoints::values(canary.to_vec()) }
    }

    fn lengths(observation: &Observation) -> (usize, usize) {
        match observation {
            Observation::Sampled { baseline, canary } => (baseline.points.len(), canary.points.len()),
            Observation::Failed(_) => panic!("no samples"),
        }
    }

    #[test]
    fn points_are_young_until_they_have_settled() {
        let young = |now| young_points(WINDOW, 60, now);
        assert_eq!([600, 601, 659, 660, 661].map(young), [1, 1, 1, 0, 0]);
        assert_eq!((young_points(WINDOW, 61, 600), young_points(WINDOW, 0, 600), young_points(WINDOW, i64::MAX, 600)), (2, 0, 10));
    }

    /// Ten points, some of whose last are missing.
    fn ten(missing: &[usize]) -> Vec<f64> {
        (0..10).map(|i| if missing.contains(&i) { ABSENT } else { 1.0 }).collect()
    }

    #[test]
    fn both_arms_end_before_the_first_young_place_that_either_lacks() {
        let mut late = observation(&ten(&[]), &ten(&[8]));
        assert_eq!((leave_out_missing(&mut late, false, |_| 2), lengths(&late)), (Tail::LeftOut(2), (8, 8)));
        let mut whole = observation(&ten(&[]), &ten(&[]));
        assert_eq!((leave_out_missing(&mut whole, false, |_| 2), lengths(&whole)), (Tail::LeftOut(0), (10, 10)));
    }

    #[test]
    fn earlier_days_end_where_the_window_does() {
        let earlier = |days: u32| Earlier { days, points: Points::Values((0..30).map(f64::from).collect()) };
        let arm = |missing: &[usize]| ArmPoints::values(ten(missing)).with_earlier(vec![earlier(1), earlier(7)]);
        let mut late = Observation::Sampled { baseline: arm(&[]), canary: arm(&[8]) };
        assert_eq!((leave_out_missing(&mut late, false, |_| 2), lengths(&late)), (Tail::LeftOut(2), (8, 8)));
        let Observation::Sampled { baseline, canary } = late else { panic!("sampled") };
        for earlier in baseline.earlier.iter().chain(&canary.earlier) {
            assert_eq!(earlier.points, Points::Values((0..28).map(f64::from).collect()));
        }
    }

    #[test]
    fn what_is_missing_before_the_tail_stays_a_gap() {
        let mut silent = observation(&ten(&[]), &ten(&[6, 7, 8, 9]));
        assert_eq!((leave_out_missing(&mut silent, false, |_| 2), lengths(&silent)), (Tail::LeftOut(2), (8, 8)));
        let Observation::Sampled { canary, .. } = silent else { panic!("sampled") };
        assert!(matches!(canary.points, Points::Values(values) if values[5] == 1.0 && values[6].is_nan() && values[7].is_nan()));
    }

    #[test]
    fn more_than_a_fifth_of_the_window_is_not_left_out_but_waited_for() {
        let mut gone = observation(&ten(&[]), &ten(&[7, 9]));
        assert_eq!((leave_out_missing(&mut gone, false, |_| 5), lengths(&gone)), (Tail::Unjudged(Arm::Canary, 2), (10, 10)));
        let failure = failure(Arm::Canary, 2, WINDOW, 60);
        assert_eq!(failure.message, "2 points of the canary have not arrived, and may until 00:11:00 UTC; ask again then");
    }

    #[test]
    fn where_absent_means_zero_values_are_never_cut_and_counts_by_their_totals() {
        let mut values = observation(&ten(&[]), &ten(&[9]));
        assert_eq!((leave_out_missing(&mut values, true, |_| 2), lengths(&values)), (Tail::LeftOut(0), (10, 10)));
        let counts = |events: &[usize], totals: &[usize]| ArmPoints::counts(ten(events), ten(totals));
        let mut ratio = Observation::Sampled { baseline: counts(&[], &[]), canary: counts(&[8, 9], &[9]) };
        assert_eq!((leave_out_missing(&mut ratio, true, |_| 2), lengths(&ratio)), (Tail::LeftOut(1), (9, 9)));
        let mut ratio = Observation::Sampled { baseline: counts(&[], &[]), canary: counts(&[8, 9], &[9]) };
        assert_eq!((leave_out_missing(&mut ratio, false, |_| 2), lengths(&ratio)), (Tail::LeftOut(2), (8, 8)));
    }

    #[test]
    fn an_arm_that_has_settled_has_no_late_points() {
        let mut earlier = observation(&ten(&[9]), &ten(&[]));
        let young = |arm| if arm == Arm::Canary { 1 } else { 0 };
        assert_eq!((leave_out_missing(&mut earlier, false, young), lengths(&earlier)), (Tail::LeftOut(0), (10, 10)));
    }

    #[test]
    fn an_instance_that_reported_until_then_is_late_and_one_that_did_not_is_gone() {
        let instance = |name: &str, values: &[f64]| Instance { name: name.to_owned(), values: values.to_vec() };
        let arm = |last: &[f64]| ArmPoints::from_instances(vec![instance("a", &[1.0; 4]), instance("b", last)]);
        assert_eq!(missing_from(&arm(&[1.0, 1.0, 1.0, ABSENT]), false, 1), TailGap { from_end: 1, points: 1 });
        assert_eq!(missing_from(&arm(&[1.0, 1.0, ABSENT, ABSENT]), false, 1), TailGap::default());
    }

    #[test]
    fn the_warning_says_how_young_what_may_change_and_when_to_come_back() {
        let said = warning(WINDOW, 60, 612, "main", &["latency"]).unwrap();
        for part in ["ended 12 s ago", "`main` may arrive for 60 s", "its last point (00:10:00 UTC)", "(`latency`)", "after 00:11:00 UTC"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(warning(WINDOW, 150, 612, "main", &[]).unwrap().contains("its last 3 points (from 00:08:00 UTC on)"));
        assert_eq!(warning(WINDOW, 60, 660, "main", &[]), None);
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_but_the_young_end_and_nothing_is_changed(
            points in prop::collection::vec((prop::option::of(0.0_f64..9.0), prop::option::of(0.0_f64..9.0)), 0..40), young in 0_usize..60
        ) {
            let known = |point: Option<f64>| point.unwrap_or(ABSENT);
            let (baseline, canary): (Vec<f64>, Vec<f64>) = points.iter().map(|pair| (known(pair.0), known(pair.1))).unzip();
            let mut cut = observation(&baseline, &canary);
            let n = match leave_out_missing(&mut cut, false, |_| young) {
                Tail::LeftOut(n) => n,
                Tail::Unjudged(_, missing) => {
                    prop_assert!(missing <= young.min(points.len()));
                    return Ok(());
                }
            };
            prop_assert!(n <= young.min(points.len()) && 5 * n <= points.len());
            let kept = points.len() - n;
            let Observation::Sampled { baseline: b, canary: c } = cut else { return Err(TestCaseError::fail("no samples")) };
            for (arm, before) in [(b, &baseline), (c, &canary)] {
                let Points::Values(values) = arm.points else { return Err(TestCaseError::fail("no values")) };
                prop_assert_eq!(values.len(), kept);
                prop_assert!(values.iter().zip(before).all(|(after, before)| after.to_bits() == before.to_bits()));
                prop_assert!(values[kept.saturating_sub(young.saturating_sub(n))..].iter().all(|value| !value.is_nan()), "the rest of the tail is whole");
            }
        }

        #[test]
        fn no_times_make_it_panic(start: i64, end: i64, step_seconds: u32, settle: i64, now: i64) {
            let window = Window { start, end, step_seconds };
            prop_assert!(young_points(window, settle, now) <= window.len());
            let _ = (warning(window, settle, now, "a", &["b"; 9]), failure(Arm::Canary, 3, window, settle));
        }
    }
}
