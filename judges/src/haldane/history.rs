//! History: what a metric's shift looks like while nothing is released.
//!
//! Windows of the judgement's size are cut from the time before it, newest first, and compared as the judgement compares its own:
//! placebo windows. Their shifts say how far the arms stand apart anyway (the centre) and how far they drift (a quantile).

use std::ops::Range;

use super::finite;
use crate::evidence::Points;
use crate::scorecard::HistoryNumbers;
use crate::stats::{Sample, Z_95, median_of_sorted, quantile_of_sorted};

/// Most placebo windows; where the history is shorter than so many windows they overlap.
const MOST_WINDOWS: usize = 20;
/// Fewest placebo windows that a limit is learnt from.
pub(super) const ENOUGH_WINDOWS: usize = HistoryNumbers::ENOUGH_WINDOWS;
/// Blocks that a short history is cut into, and the points that each needs.
const BLOCKS: usize = 6;
const FEWEST_IN_BLOCK: usize = 5;
/// Quantile of the placebo shifts that the limit is a multiple of.
const QUANTILE: f64 = 0.90;
/// Share of a standing difference that is credited: the windows that it is learnt from overlap, and may end before it does.
const CREDITED: f64 = 0.5;
/// Multiple of the quantile for a regression and a suspicion, and what each doubling of the number of metrics adds.
const FACTOR: (f64, f64) = (1.25, 0.5);
const FACTOR_SUSPECT: (f64, f64) = (1.0, 0.5);
/// Multiple of the quantile where there are too few windows to learn from.
const FACTOR_FEW: f64 = 2.0;
/// Placebo levels are floored at this fraction of their median.
const LEVEL_FLOOR: f64 = 0.1;
/// A shift from a level of zero, as a fraction of it; finite so that quantiles can be taken.
const FROM_ZERO: f64 = 1e6;

/// One placebo pair: the indices into the history of the arm that stands for the baseline, and of the one that stands for the canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placebo {
    pub(super) baseline: Range<usize>,
    pub(super) canary: Range<usize>,
}

/// Pairs of windows, newest first, from the histories of both arms (their lengths), for windows of `n` points (baseline, canary).
pub(super) fn both_arms(lengths: (usize, usize), n: (usize, usize)) -> Vec<Placebo> {
    let (length, width) = (lengths.0.min(lengths.1), n.0.max(n.1));
    offsets(length, width, width)
        .map(|back| {
            let cut = |length: usize, n: usize| length - back - n..length - back;
            Placebo { baseline: cut(lengths.0, n.0), canary: cut(lengths.1, n.1) }
        })
        .collect()
}

/// Pairs of adjacent windows, newest first, from one series: before and after.
pub(super) fn one_series(length: usize, n: (usize, usize)) -> Vec<Placebo> {
    offsets(length, n.0 + n.1, n.1)
        .map(|back| {
            let end = length - back;
            Placebo { baseline: end - n.1 - n.0..end - n.1, canary: end - n.1..end }
        })
        .collect()
}

/// Pairs of blocks from one series that is too short for windows: six equal ones at its end, each with each, the newer for the canary.
fn blocks(length: usize, width: usize) -> Vec<Placebo> {
    let width = width.min(length / BLOCKS);
    if width < FEWEST_IN_BLOCK {
        return Vec::new();
    }
    let block = |back: usize| length - (back + 1) * width..length - back * width;
    (0..BLOCKS).flat_map(|newer| (newer + 1..BLOCKS).map(move |older| Placebo { baseline: block(older), canary: block(newer) })).collect()
}

/// How many points before the end of the history each window ends. Windows overlap where the history does not last for all.
fn offsets(length: usize, width: usize, stride: usize) -> impl Iterator<Item = usize> {
    let room = length.checked_sub(width).filter(|_| width > 0);
    let stride = stride.min(room.unwrap_or(0) / (MOST_WINDOWS - 1)).max(1);
    let windows = room.map_or(0, |room| (room / stride + 1).min(MOST_WINDOWS));
    (0..windows).map(move |k| k * stride)
}

/// What the placebo windows of one metric say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Learnt {
    /// Number of placebo windows (K); at least 1.
    pub(super) windows: usize,
    points: usize,
    both_arms: bool,
    /// Quantile of their distances from the centre (Q).
    quantile: f64,
    /// Their centre (b0); 0 where it cannot be told.
    pub(super) centre: f64,
    /// Windows that do not overlap, where the arms were observed over the same time.
    disjoint: Option<usize>,
}

impl Learnt {
    /// Learns from the histories of both arms, turned so that more is worse. `shift` gives the shift of a pair of windows and the
    /// level that it is a fraction of (1 for shifts in the unit); `None` where they have too few points. With `by_blocks` a past that is
    /// too short for windows is cut into blocks, where the arms are compared before and after.
    pub(super) fn of(
        histories: (&[f64], &[f64]),
        n: (usize, usize),
        concurrent: bool,
        by_blocks: bool,
        shift: impl Fn(&[f64], &[f64]) -> Option<(f64, f64)>,
    ) -> Option<Self> {
        let learn = |pairs: Vec<Placebo>, from: (&[f64], &[f64]), both_arms: bool| {
            let points = pairs.first().map_or(0, |pair| pair.canary.len());
            let shifts: Vec<(f64, f64)> =
                pairs.into_iter().filter_map(|pair| shift(&from.0[pair.baseline], &from.1[pair.canary])).collect();
            Self::from_shifts(&shifts, points, both_arms)
        };
        let (baseline, canary) = histories;
        let both = learn(both_arms((baseline.len(), canary.len()), n), histories, true);
        if concurrent {
            // How one arm drifts says nothing about two that drift together. Five windows that overlap are one window five times.
            let disjoint = baseline.len().min(canary.len()) / n.0.max(n.1).max(1);
            return both.map(|learnt| Self { disjoint: Some(disjoint), ..learnt });
        }
        let enough = |learnt: &Self| learnt.is_enough();
        if both.as_ref().is_some_and(enough) {
            return both;
        }
        let one = learn(one_series(baseline.len(), n), (baseline, baseline), false);
        let windows = if one.as_ref().is_some_and(enough) { one } else { both.or(one) };
        if windows.as_ref().is_some_and(enough) {
            return windows;
        }
        if !by_blocks {
            return windows;
        }
        learn(blocks(canary.len(), n.0.max(n.1)), (canary, canary), false).filter(Self::is_enough).or(windows)
    }

    /// Learns from counts, in the unit of a rate: a shift relative to a rate near 0 has no bound. `difference` gives the difference of
    /// the pooled rates of two windows, turned so that more is worse, and its variance if events were independent.
    ///
    /// What sampling alone explains is taken out, so that what is left is drift: from the square of the quantile as much as a normal
    /// error of that variance has, and a centre within its own error is 0.
    pub(super) fn of_rates(
        histories: (&Points, &Points),
        n: (usize, usize),
        concurrent: bool,
        difference: impl Fn((f64, f64), (f64, f64)) -> Option<(f64, f64)>,
    ) -> Option<Self> {
        let learn = |pairs: Vec<Placebo>, canary: &Points, both_arms: bool| {
            let differences: Vec<(f64, f64)> = pairs
                .into_iter()
                .filter_map(|pair| difference(window_counts(histories.0, pair.baseline)?, window_counts(canary, pair.canary)?))
                .collect();
            Self::from_differences(&differences, n, both_arms)
        };
        let both = learn(both_arms((histories.0.len(), histories.1.len()), n), histories.1, true);
        if concurrent {
            let disjoint = histories.0.len().min(histories.1.len()) / n.0.max(n.1).max(1);
            return both.map(|learnt| Self { disjoint: Some(disjoint), ..learnt });
        }
        both.or_else(|| learn(one_series(histories.0.len(), n), histories.0, false))
    }

    fn from_differences(differences: &[(f64, f64)], n: (usize, usize), both_arms: bool) -> Option<Self> {
        let windows = differences.len();
        if windows == 0 {
            return None;
        }
        let ascending = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let variance = differences.iter().map(|(_, variance)| variance).sum::<f64>() / windows as f64;
        let median = median_of_sorted(&ascending(differences.iter().map(|(shift, _)| *shift).collect()));
        // A median's variance is pi/2 times a mean's.
        let error = Z_95 * (std::f64::consts::FRAC_PI_2 * variance / windows as f64).sqrt();
        let centre = if both_arms && windows >= ENOUGH_WINDOWS && median.abs() > error { CREDITED * median } else { 0.0 };
        let quantile = quantile_of_sorted(&ascending(differences.iter().map(|(shift, _)| (shift - centre).abs()).collect()), QUANTILE);
        // The 90 % quantile of the size of a normal error is its one-sided 95 % one.
        let drift = (quantile * quantile - Z_95 * Z_95 * variance).max(0.0).sqrt();
        Some(Self { windows, points: n.0.max(n.1), both_arms, quantile: drift, centre, disjoint: None })
    }

    fn from_shifts(shifts: &[(f64, f64)], points: usize, both_arms: bool) -> Option<Self> {
        if shifts.is_empty() {
            return None;
        }
        let ascending = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let floor = LEVEL_FLOOR * median_of_sorted(&ascending(shifts.iter().map(|(_, level)| level.abs()).collect()));
        let relative: Vec<f64> =
            shifts.iter().map(|(shift, level)| super::ratio_to(*shift, level.abs().max(floor)).clamp(-FROM_ZERO, FROM_ZERO)).collect();
        let enough = relative.len() >= ENOUGH_WINDOWS;
        let centre = if both_arms && enough { CREDITED * median_of_sorted(&ascending(relative.clone())) } else { 0.0 };
        let distances = ascending(relative.iter().map(|r| (r - centre).abs()).collect());
        Some(Self {
            windows: relative.len(),
            points,
            both_arms,
            quantile: quantile_of_sorted(&distances, QUANTILE),
            centre,
            disjoint: None,
        })
    }

    /// Whether there are enough windows for a limit of their own.
    pub(super) fn is_enough(&self) -> bool {
        self.disjoint.unwrap_or(self.windows).min(self.windows) >= ENOUGH_WINDOWS
    }

    /// Whether there are so few windows, for arms over the same time, that the test must allow for autocorrelation all the same.
    pub(super) fn is_short(&self) -> bool {
        self.disjoint.is_some_and(|disjoint| disjoint < MOST_WINDOWS)
    }

    /// Distance from the centre that placebo windows make usual, for a regression or a suspicion; where they are few it only
    /// widens the limits that apply without history.
    pub(super) fn usual(&self, suspect: bool, chances: f64) -> f64 {
        if !self.is_enough() {
            return FACTOR_FEW * self.quantile;
        }
        let (base, each_doubling) = if suspect { FACTOR_SUSPECT } else { FACTOR };
        (base + each_doubling * chances.log2()) * self.quantile
    }

    pub(super) fn numbers(&self, chances: f64) -> HistoryNumbers {
        let known = |value: f64| finite(value).filter(|value| *value < FROM_ZERO);
        HistoryNumbers {
            windows: self.windows,
            window_points: self.points,
            both_arms: self.both_arms,
            quantile: known(self.quantile),
            centre: self.centre,
            limit: self.is_enough().then(|| known(self.usual(false, chances))).flatten(),
        }
    }
}

/// Events and total of a window of counts, where it has at least half of its intervals, and two.
fn window_counts(points: &Points, window: Range<usize>) -> Option<(f64, f64)> {
    let Points::Counts { events, totals } = points else { return None };
    let (events, totals) = (events.get(window.clone())?, totals.get(window)?);
    let present = || events.iter().zip(totals).filter(|(x, m)| x.is_finite() && m.is_finite());
    if present().count() < (events.len() / 2).max(2) {
        return None;
    }
    let (x, m) = present().fold((0.0, 0.0), |(x, m), (events, total)| (x + events, m + total));
    (m > 0.0).then_some((x, m))
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
    fn windows_are_disjoint_while_the_history_lasts_and_overlap_where_it_is_short() {
        let starts = |pairs: Vec<Placebo>| pairs.into_iter().map(|pair| pair.canary.start).collect::<Vec<_>>();
        assert_eq!(
            starts(both_arms((300, 300), (60, 60))),
            [240, 228, 216, 204, 192, 180, 168, 156, 144, 132, 120, 108, 96, 84, 72, 60, 48, 36, 24, 12]
        );
        let long = starts(both_arms((3_000, 3_000), (60, 60)));
        assert_eq!((long.len(), long[0], long[19]), (20, 2_940, 1_800));
        assert_eq!(starts(both_arms((60, 60), (60, 60))), [0]);
        assert_eq!(starts(both_arms((59, 500), (60, 60))), [0; 0]);
        assert_eq!(starts(both_arms((0, 0), (0, 0))), [0; 0]);
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
