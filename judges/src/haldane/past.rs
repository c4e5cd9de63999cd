//! The time before the window: what a metric's shift looks like while nothing is released, for every kind of metric.
//!
//! Windows of the judgement's shape are cut from the past, newest first, both arms moved back together, and compared as the judgement
//! compares its own: placebo windows. Each may be compared with the same clock time of earlier days, so that what the hour does is not
//! held against the canary.

use std::ops::Range;

use super::numbers::ratio_to;
use super::rule;
use crate::evidence::Points;
use crate::quality::CleanMetric;
use crate::stats::{Sample, median_of_sorted, quantile_of_sorted};

/// One placebo pair: the indices into the past of the arm that stands for the baseline, and of the one that stands for the canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placebo {
    pub(super) baseline: Range<usize>,
    pub(super) canary: Range<usize>,
    /// Points by which the windows were moved back beyond the start of the judged ones.
    back: usize,
}

/// Pairs of windows, newest first, from the pasts of both arms (their lengths), for windows of `n` points (baseline, canary). A past that
/// is shorter than the window is one window, of as many points as it has, where it has at least half of them.
pub(super) fn both_arms(lengths: (usize, usize), n: (usize, usize)) -> Vec<Placebo> {
    let length = lengths.0.min(lengths.1);
    let width = n.0.max(n.1);
    let n = if length < width && 2 * length >= width { (n.0.min(length), n.1.min(length)) } else { n };
    let width = n.0.max(n.1);
    offsets(length, width, width).map(|back| of_both(lengths, n, back)).collect()
}

/// The windows of both arms that end so many points before the ends of their pasts, which hold them.
fn of_both(lengths: (usize, usize), n: (usize, usize), back: usize) -> Placebo {
    let cut = |length: usize, n: usize| length - back - n..length - back;
    Placebo { baseline: cut(lengths.0, n.0), canary: cut(lengths.1, n.1), back }
}

/// The same of one series, the baseline's window before the canary's.
fn of_one(length: usize, n: (usize, usize), back: usize) -> Placebo {
    let end = length - back;
    Placebo { baseline: end - n.1 - n.0..end - n.1, canary: end - n.1..end, back }
}

/// Pairs of adjacent windows, newest first, from one series: before and after.
pub(super) fn one_series(length: usize, n: (usize, usize)) -> Vec<Placebo> {
    offsets(length, n.0 + n.1, n.1).map(|back| of_one(length, n, back)).collect()
}

/// Pairs of windows of a kind of metric whose requests are counted.
pub(super) struct Windows {
    pub(super) pairs: Vec<Placebo>,
    /// Whether both windows of each lie in the baseline's past.
    pub(super) one_series: bool,
}

/// Pairs of windows that do not overlap, newest first, from pasts of so many intervals: of both arms, or of the baseline alone where the
/// arms lie apart and the canary has none.
pub(super) fn disjoint_windows(lengths: (usize, usize), n: (usize, usize), concurrent: bool) -> Windows {
    let (length, width) = (lengths.0.min(lengths.1), n.0.max(n.1));
    let apart = |length: usize, width: usize, stride: usize| {
        let windows = length.checked_sub(width).filter(|_| stride > 0).map_or(0, |room| room / stride + 1);
        (0..windows.min(rule::MOST_WINDOWS)).map(move |k| k * stride)
    };
    // One that is shorter than the window is one window, of what it has.
    let both =
        if length < width { both_arms(lengths, n) } else { apart(length, width, width).map(|back| of_both(lengths, n, back)).collect() };
    let alone = both.is_empty() && !concurrent;
    let pairs = if alone { apart(lengths.0, n.0 + n.1, n.1).map(|back| of_one(lengths.0, n, back)).collect() } else { both };
    Windows { pairs, one_series: alone }
}

/// How many points before the end of the past each window ends. Windows overlap where the past does not last for all.
fn offsets(length: usize, width: usize, stride: usize) -> impl Iterator<Item = usize> {
    let room = length.checked_sub(width).filter(|_| width > 0);
    let stride = stride.min(room.unwrap_or(0) / (rule::MOST_WINDOWS - 1)).max(1);
    let windows = room.map_or(0, |room| (room / stride + 1).min(rule::MOST_WINDOWS));
    (0..windows).map(move |k| k * stride)
}

/// The past of both arms as values.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// Points before the arm's window, oldest first.
    pub(super) baseline: Vec<f64>,
    pub(super) canary: Vec<f64>,
    days: Vec<Day>,
    /// Points of the windows that come after.
    window: (usize, usize),
}

/// Both arms some days ago; each ends so many days before its own window's end.
#[derive(Debug, Clone)]
enum Day {
    /// As it was read.
    Stated { baseline: Vec<f64>, canary: Vec<f64> },
    /// The first points of both pasts, so many of each.
    OfPast { baseline: usize, canary: usize },
}

/// Days that are compared at the same clock time: yesterday, and the same day of last week.
const DAYS: [u32; 2] = [1, 7];

impl Past {
    /// The past of a metric read as values, mirrored at a bound where there is one.
    pub(super) fn of(cleaned: &CleanMetric, step_seconds: f64, mirror: Option<f64>) -> Self {
        let turned = |values: Vec<f64>| match mirror {
            Some(bound) => values.into_iter().map(|v| bound - v).collect(),
            None => values,
        };
        let (baseline, canary) = (turned(cleaned.baseline.history_values()), turned(cleaned.canary.history_values()));
        let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
        let per_day = (86_400.0 / step_seconds).round();
        let whole = step_seconds > 0.0 && (per_day * step_seconds - 86_400.0).abs() < 1e-6;
        let day = |days: u32| {
            let stated = |arm: &crate::quality::CleanArm| {
                let earlier = arm.earlier.iter().find(|earlier| earlier.days == days)?;
                if let Points::Values(values) = &earlier.points { Some(turned(values.clone())) } else { None }
            };
            if let (Some(baseline), Some(canary)) = (stated(&cleaned.baseline), stated(&cleaned.canary)) {
                return Some(Day::Stated { baseline, canary });
            }
            // A past that lasts for days holds them itself.
            let back = whole.then_some(per_day as usize * days as usize)?;
            let cut = |past: &[f64], n: usize| (past.len() >= back && back >= n).then(|| past.len() - back + n);
            Some(Day::OfPast { baseline: cut(&baseline, n.0)?, canary: cut(&canary, n.1)? })
        };
        let days = DAYS.into_iter().filter_map(day).collect();
        Self { baseline, canary, days, window: n }
    }

    /// Whether nothing is known of the same clock time of earlier days, so that shifts are as they are.
    pub(super) fn has_no_clock(&self) -> bool {
        self.days.is_empty()
    }
}

/// What two windows say of one another: the shift of the canary's and the level that it is a fraction of, in the unit, by location and by
/// means.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowPair {
    pub(super) by_location: (f64, f64),
    pub(super) by_means: (f64, f64),
}

/// How windows are compared, the canary's first; `None` with too few points.
pub(super) type Compare<'a> = &'a dyn Fn(&[f64], &[f64]) -> Option<WindowPair>;

/// Every pair of windows that is learnt from, compared once.
#[derive(Debug)]
pub(super) struct Compared {
    /// Placebo windows, newest first.
    pairs: Vec<Option<WindowPair>>,
    /// Windows of the baseline alone, before and after, where they are to take the place of those.
    alone: Option<Vec<Option<WindowPair>>>,
    /// Of each day: this window then, and each placebo window.
    days: Vec<(Option<WindowPair>, Vec<Option<WindowPair>>)>,
    disjoint: Option<usize>,
}

impl Compared {
    /// Compares windows of `n` points (baseline, canary). `clock` asks for the same clock time of earlier days too.
    pub(super) fn of(past: &Past, n: (usize, usize), concurrent: bool, clock: bool, compare: Compare<'_>) -> Self {
        let windows = both_arms((past.baseline.len(), past.canary.len()), n);
        // By where both windows start and end in the past: days of a long past are windows of it.
        let mut known: Vec<(Placebo, Option<WindowPair>)> = Vec::with_capacity(windows.len());
        let mut within = |baseline: Range<usize>, canary: Range<usize>| {
            if let Some((_, pair)) = known.iter().find(|(at, _)| at.baseline == baseline && at.canary == canary) {
                return *pair;
            }
            let pair = compare(&past.canary[canary.clone()], &past.baseline[baseline.clone()]);
            known.push((Placebo { baseline, canary, back: 0 }, pair));
            pair
        };
        let pairs: Vec<Option<WindowPair>> = windows.iter().map(|pair| within(pair.baseline.clone(), pair.canary.clone())).collect();
        let enough = pairs.iter().flatten().count();
        let disjoint = concurrent.then(|| past.baseline.len().min(past.canary.len()) / n.0.max(n.1).max(1));
        if !concurrent && enough < rule::ENOUGH_WINDOWS && !past.baseline.is_empty() {
            let of = |pair: &Placebo| compare(&past.baseline[pair.canary.clone()], &past.baseline[pair.baseline.clone()]);
            let alone: Vec<Option<WindowPair>> = one_series(past.baseline.len(), n).iter().map(of).collect();
            if alone.iter().flatten().count() > enough {
                return Self { pairs, alone: Some(alone), days: Vec::new(), disjoint };
            }
        }
        // The last `n` points (baseline, canary) of a day before those that lie `back` from its end.
        let mut at = |day: &Day, back: (usize, usize)| {
            let cut = |length: usize, back: usize, n: usize| {
                let end = length.checked_sub(back)?;
                Some(end.checked_sub(n)?..end)
            };
            match day {
                Day::Stated { baseline, canary } => {
                    compare(&canary[cut(canary.len(), back.1, n.1)?], &baseline[cut(baseline.len(), back.0, n.0)?])
                }
                Day::OfPast { baseline, canary } => within(cut(*baseline, back.0, n.0)?, cut(*canary, back.1, n.1)?),
            }
        };
        let mut of_day = |day: &Day| {
            let now = at(day, (0, 0));
            // Each placebo window ends where the judged one begins.
            let moved = |pair: &Placebo| at(day, (past.window.0 + pair.back, past.window.1 + pair.back));
            (now, windows.iter().map(moved).collect())
        };
        let days = if clock { past.days.iter().map(&mut of_day).collect() } else { Vec::new() };
        Self { pairs, alone: None, days, disjoint }
    }
}

/// What the placebo windows of one metric say.
#[derive(Debug, Clone)]
pub(super) struct PlaceboHistory {
    /// Their shifts, as fractions of the level (in the unit, where levels are 1).
    shifts: Vec<f64>,
    /// The same against the same clock time of earlier days, where that is known.
    clock: Vec<f64>,
    /// Shift of this window's clock time on earlier days.
    earlier: Option<f64>,
    /// Windows that do not overlap, where the arms were observed over the same time.
    disjoint: Option<usize>,
}

/// What decides: the placebo windows' number and spread, and whether they are read at the same clock time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    /// Windows (K).
    pub(super) windows: usize,
    /// Standard deviation of their shifts (Q).
    pub(super) spread: f64,
    /// Shift of this clock time on earlier days, where the comparison is with those.
    pub(super) clock: Option<f64>,
}

impl Usual {
    /// Whether the past decides.
    pub(super) fn is_enough(self) -> bool {
        self.windows >= rule::ENOUGH_WINDOWS
    }
}

impl PlaceboHistory {
    /// Learns from compared windows. `level` floors the level of this clock time on earlier days. With `rates` shifts are in the unit, and no
    /// clock is asked.
    pub(super) fn of(compared: &Compared, rates: bool, level: f64, which: impl Fn(&WindowPair) -> (f64, f64)) -> Self {
        let disjoint = compared.disjoint;
        if let Some(alone) = &compared.alone {
            let shifts = relative(alone, rates, &which).into_iter().flatten().collect();
            return Self { shifts, clock: Vec::new(), earlier: None, disjoint };
        }
        let shifts = relative(&compared.pairs, rates, &which);
        let (clock, earlier) = if rates { (Vec::new(), None) } else { at_the_same_clock(&compared.days, &shifts, level, &which) };
        Self { shifts: shifts.into_iter().flatten().collect(), clock, earlier, disjoint }
    }

    /// What decides. The same clock time does where it makes the spread smaller.
    pub(super) fn usual(&self) -> Usual {
        let raw = Usual { windows: self.shifts.len(), spread: spread(&self.shifts), clock: None };
        let clock = self.earlier.map(|earlier| Usual { windows: self.clock.len(), spread: spread(&self.clock), clock: Some(earlier) });
        let chosen = clock.filter(|clock| clock.is_enough() && clock.spread < raw.spread).unwrap_or(raw);
        // Windows that overlap are one window several times.
        let windows = match self.disjoint {
            Some(disjoint) if chosen.windows > 0 => chosen.windows.min(disjoint.max(1)),
            _ => chosen.windows,
        };
        Usual { windows, ..chosen }
    }
}

/// Shifts as fractions of their levels, floored; a level of 0 makes any shift as large as can be.
fn relative(compared: &[Option<WindowPair>], rates: bool, which: &impl Fn(&WindowPair) -> (f64, f64)) -> Vec<Option<f64>> {
    let mut levels: Vec<f64> = compared.iter().flatten().map(|pair| which(pair).1.abs()).collect();
    levels.sort_unstable_by(f64::total_cmp);
    let floor = rule::LEVEL_FLOOR * median_of_sorted(&levels);
    let one = |pair: WindowPair| {
        let (shift, level) = which(&pair);
        if rates { shift } else { fraction(shift, level.abs().max(floor)) }
    };
    compared.iter().map(|compared| compared.map(one)).collect()
}

fn fraction(shift: f64, level: f64) -> f64 {
    ratio_to(shift, level).clamp(-rule::LARGEST_SHIFT, rule::LARGEST_SHIFT)
}

/// The factor that a relative shift is.
pub(super) fn factor(shift: f64) -> f64 {
    (1.0 + shift).max(rule::LEAST_FACTOR)
}

/// Standard deviation that placebo shifts have about 0, by a quantile of their sizes.
fn spread(shifts: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = shifts.iter().map(|shift| shift.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    quantile_of_sorted(&sizes, rule::PLACEBO_QUANTILE.0) / rule::PLACEBO_QUANTILE.1
}

/// The placebo shifts against the same clock time of earlier days, and this window's shift on those days: the geometric mean of their
/// factors, less 1. With last week too where enough windows have it, else with yesterday alone.
fn at_the_same_clock(
    days: &[(Option<WindowPair>, Vec<Option<WindowPair>>)],
    shifts: &[Option<f64>],
    level: f64,
    which: &impl Fn(&WindowPair) -> (f64, f64),
) -> (Vec<f64>, Option<f64>) {
    let of_day = |(now, placebos): &(Option<WindowPair>, Vec<Option<WindowPair>>)| {
        let now = now.as_ref().map(which).map(|(shift, own)| fraction(shift, own.abs().max(rule::LEVEL_FLOOR * level)));
        Some((now.filter(|now| now.is_finite())?, relative(placebos, false, which)))
    };
    let days: Vec<(f64, Vec<Option<f64>>)> = days.iter().filter_map(of_day).collect();
    for used in (1..=days.len()).rev() {
        let days = &days[..used];
        let mean = |factors: &mut dyn Iterator<Item = f64>| (factors.map(f64::ln).sum::<f64>() / used as f64).exp();
        let of_window = |(i, shift): (usize, &Option<f64>)| {
            let earlier: Option<Vec<f64>> = days.iter().map(|(_, placebos)| placebos.get(i).copied().flatten()).collect();
            Some(factor((*shift)?) / mean(&mut earlier?.into_iter().map(factor)) - 1.0)
        };
        let clock: Vec<f64> = shifts.iter().enumerate().filter_map(of_window).collect();
        if clock.len() >= rule::ENOUGH_WINDOWS {
            let now = mean(&mut days.iter().map(|(now, _)| factor(*now))) - 1.0;
            return (clock, Some(now));
        }
    }
    (Vec::new(), None)
}

/// The finite points of a window, where it has at least half of its points, and two.
pub(super) fn window_sample(values: &[f64]) -> Option<Sample> {
    let present = values.iter().filter(|v| v.is_finite()).count();
    if present < (values.len() / 2).max(2) { None } else { Sample::of_present(values).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_disjoint_while_the_past_lasts_and_overlap_where_it_is_short() {
        let starts = |pairs: Vec<Placebo>| pairs.into_iter().map(|pair| pair.canary.start).collect::<Vec<_>>();
        assert_eq!(
            starts(both_arms((300, 300), (60, 60))),
            [240, 228, 216, 204, 192, 180, 168, 156, 144, 132, 120, 108, 96, 84, 72, 60, 48, 36, 24, 12]
        );
        let long = starts(both_arms((3_000, 3_000), (60, 60)));
        assert_eq!((long.len(), long[0], long[19]), (20, 2_940, 1_800));
        assert_eq!(starts(both_arms((60, 60), (60, 60))), [0]);
        assert_eq!(starts(both_arms((0, 0), (0, 0))), [0; 0]);
    }

    #[test]
    fn a_past_one_point_short_of_the_window_is_a_window() {
        let pairs = both_arms((59, 500), (60, 60));
        assert_eq!((pairs.len(), pairs[0].baseline.clone(), pairs[0].canary.clone()), (1, 0..59, 441..500));
        assert!(both_arms((29, 500), (60, 60)).is_empty());
    }

    #[test]
    fn windows_of_requests_use_all_of_a_past_that_holds_few() {
        let starts = |lengths, n, concurrent| {
            disjoint_windows(lengths, n, concurrent).pairs.iter().map(|pair| pair.canary.start).collect::<Vec<_>>()
        };
        assert_eq!(starts((300, 300), (30, 30), true), [270, 240, 210, 180, 150, 120, 90, 60, 30, 0]);
        assert_eq!(starts((70, 90), (30, 30), true), [60, 30]);
        assert_eq!(starts((20, 90), (30, 30), true).len(), 1);
        assert_eq!((starts((0, 0), (30, 30), true).len(), starts((100, 0), (10, 20), false)), (0, vec![80, 60, 40, 20]));
    }

    #[test]
    fn one_series_is_cut_into_before_and_after() {
        let pairs = one_series(100, (10, 20));
        assert_eq!((pairs[0].baseline.clone(), pairs[0].canary.clone()), (70..80, 80..100));
        assert!(pairs.iter().all(|pair| pair.baseline.end == pair.canary.start && pair.baseline.len() == 10 && pair.canary.len() == 20));
        assert_eq!(pairs.len(), 20);
        assert!(one_series(29, (10, 20)).is_empty());
    }
}
