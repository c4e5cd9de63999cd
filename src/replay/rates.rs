//! Rates with intervals that resample whole groups, and the area under the ROC curve.
//!
//! Canaries of one service resemble each other, so that their number overstates what is known. An interval is the middle 95 % of
//! the rate over 1,000 samples of groups drawn with replacement (Efron & Tibshirani 1993, chapter 8, with the group as the
//! unit); the seed is fixed. Where all groups agree on 0 or 1, resampling shows no spread, and the Clopper-Pearson interval of as
//! many independent trials as there are groups takes its place.

use std::collections::BTreeMap;

use haldane_judges::stats::binomial::clopper_pearson;
use haldane_judges::stats::quantile_of_sorted;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde::Serialize;

/// Samples of groups that an interval is made of.
pub(super) const RESAMPLES: usize = 1000;
/// Fewest groups that are resampled.
const FEWEST_GROUPS: usize = 3;
const SEED: u64 = 1;
/// Least distance of two points of a curve, along either axis.
const CURVE_STEP: f64 = 0.002;

/// A rate under way: hits and trials by group.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(BTreeMap<String, (u64, u64)>);

impl Tally {
    /// Counts `hits` of `trials` for a group.
    pub(super) fn add(&mut self, group: &str, hits: u64, trials: u64) {
        if !self.0.contains_key(group) {
            self.0.insert(group.to_owned(), (0, 0));
        }
        if let Some((all_hits, all_trials)) = self.0.get_mut(group) {
            *all_hits += hits;
            *all_trials += trials;
        }
    }

    /// Counts one trial.
    pub(super) fn one(&mut self, group: &str, hit: bool) {
        self.add(group, u64::from(hit), 1);
    }

    pub(super) fn hits(&self) -> u64 {
        self.0.values().map(|(hits, _)| hits).sum()
    }

    pub(super) fn trials(&self) -> u64 {
        self.0.values().map(|(_, trials)| trials).sum()
    }

    /// The rate; `None` without a trial.
    pub(super) fn rate(&self) -> Option<Rate> {
        let (hits, trials) = (self.hits(), self.trials());
        let rate = if trials == 0 { return None } else { hits as f64 / trials as f64 };
        Some(Rate { rate, hits, trials, groups: self.0.len(), interval: self.interval(hits, trials) })
    }

    fn interval(&self, hits: u64, trials: u64) -> Option<[f64; 2]> {
        let groups: Vec<(u64, u64)> = self.0.values().copied().filter(|(_, trials)| *trials > 0).collect();
        if groups.len() < FEWEST_GROUPS {
            return None;
        }
        if hits == 0 || hits == trials {
            let n = groups.len() as f64;
            let bounds = clopper_pearson(if hits == 0 { 0.0 } else { n }, n, 0.025).ok()?;
            return Some([bounds.low, bounds.high]);
        }
        let mut random = StdRng::seed_from_u64(SEED);
        let mut rates: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let (mut hits, mut trials) = (0, 0);
                for _ in 0..groups.len() {
                    if let Some(group) = groups.get(random.random_range(0..groups.len())) {
                        hits += group.0;
                        trials += group.1;
                    }
                }
                hits as f64 / trials as f64
            })
            .collect();
        Some(middle(&mut rates))
    }
}

/// The interval of what follows from the rates of two tallies, rising with the first and falling with the second: both are resampled
/// together, since a group may be in both. Where one of them shows no spread, the ends of their own intervals that are worst together;
/// that is wider. `None` with fewer than three groups of either.
pub(super) fn interval_of_two(rising: &Tally, falling: &Tally, of: impl Fn(f64, f64) -> Option<f64>) -> Option<[f64; 2]> {
    let (first, second) = (rising.rate()?, falling.rate()?);
    let ([low, high], [least, most]) = (first.interval?, second.interval?);
    let is_mixed = |rate: &Rate| rate.hits > 0 && rate.hits < rate.trials;
    if !is_mixed(&first) || !is_mixed(&second) {
        return Some([of(low, most)?, of(high, least)?]);
    }
    let names: std::collections::BTreeSet<&String> = rising.0.keys().chain(falling.0.keys()).collect();
    let of_group = |tally: &Tally, name: &String| tally.0.get(name).copied().unwrap_or_default();
    let groups: Vec<_> = names.into_iter().map(|name| (of_group(rising, name), of_group(falling, name))).collect();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut values: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let (mut first, mut second) = ((0, 0), (0, 0));
            for _ in 0..groups.len() {
                if let Some((one, other)) = groups.get(random.random_range(0..groups.len())) {
                    first = (first.0 + one.0, first.1 + one.1);
                    second = (second.0 + other.0, second.1 + other.1);
                }
            }
            let rate = |(hits, trials): (u64, u64)| (trials > 0).then(|| hits as f64 / trials as f64);
            of(rate(first)?, rate(second)?)
        })
        .collect();
    (!values.is_empty()).then(|| middle(&mut values))
}

/// The middle 95 %.
fn middle(values: &mut [f64]) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    [quantile_of_sorted(values, 0.025), quantile_of_sorted(values, 0.975)]
}

/// A share with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Rate {
    /// `hits / trials`.
    pub rate: f64,
    /// How many of them.
    pub hits: u64,
    /// Of how many.
    pub trials: u64,
    /// Groups that they are from.
    pub groups: usize,
    /// 95 % interval; absent with fewer than three groups.
    pub interval: Option<[f64; 2]>,
}

/// How well ranking canaries by how far they exceed their limits tells regressed from healthy ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranking {
    groups: BTreeMap<String, u32>,
    /// Exceedance, group, whether regressed.
    canaries: Vec<(f32, u32, bool)>,
}

impl Ranking {
    pub(super) fn add(&mut self, group: &str, exceedance: f64, regressed: bool) {
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let number = match self.groups.get(group) {
            Some(number) => *number,
            None => {
                self.groups.insert(group.to_owned(), next);
                next
            }
        };
        self.canaries.push((exceedance as f32, number, regressed));
    }

    /// Shares of the healthy and of the regressed canaries that are flagged as the bar is lowered, from [0, 0] to [1, 1]; `None` where one
    /// of the two kinds is missing. Canaries of one rank are flagged together.
    pub(super) fn curve(&self) -> Option<Vec<[f64; 2]>> {
        let mut canaries = self.canaries.clone();
        canaries.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let of = |regressed: bool| canaries.iter().filter(|canary| canary.2 == regressed).count() as f64;
        let (healthy, regressed) = (of(false), of(true));
        if healthy == 0.0 || regressed == 0.0 {
            return None;
        }
        let (mut flagged, mut found) = (0.0, 0.0);
        let mut points = vec![[0.0, 0.0]];
        for tied in canaries.chunk_by(|a, b| a.0 == b.0) {
            found += tied.iter().filter(|canary| canary.2).count() as f64;
            flagged += tied.iter().filter(|canary| !canary.2).count() as f64;
            let next = [flagged / healthy, found / regressed];
            // More than a drawing can show is not kept.
            let last = points.last().copied().unwrap_or_default();
            if (next[0] - last[0]).max(next[1] - last[1]) >= CURVE_STEP || next == [1.0, 1.0] {
                points.push(next);
            }
        }
        Some(points)
    }

    /// How good it is; `None` where one of the two kinds is missing.
    pub(super) fn roc(&self) -> Option<Roc> {
        let mut canaries = self.canaries.clone();
        canaries.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let regressed = canaries.iter().filter(|canary| canary.2).count();
        let healthy = canaries.len() - regressed;
        if regressed == 0 || healthy == 0 {
            return None;
        }
        let all = vec![1; self.groups.len()];
        let area = area_of(&canaries, &all)?;
        let detection = [0.01, 0.02, 0.05, 0.10].map(|alarms| {
            // The most that are found while no more than this share of the healthy ones is flagged; ties are flagged together.
            let allowed = (alarms * healthy as f64).floor() as usize;
            let (mut flagged, mut found, mut best) = (0, 0, 0);
            for tied in canaries.chunk_by(|a, b| a.0 == b.0) {
                found += tied.iter().filter(|canary| canary.2).count();
                flagged += tied.iter().filter(|canary| !canary.2).count();
                if flagged > allowed {
                    break;
                }
                best = found;
            }
            [alarms, best as f64 / regressed as f64]
        });
        let interval = (self.groups.len() >= FEWEST_GROUPS).then(|| {
            let mut random = StdRng::seed_from_u64(SEED);
            let mut areas: Vec<f64> = (0..RESAMPLES)
                .filter_map(|_| {
                    let mut weights = vec![0_u32; self.groups.len()];
                    for _ in 0..weights.len() {
                        let drawn = random.random_range(0..weights.len());
                        if let Some(weight) = weights.get_mut(drawn) {
                            *weight += 1;
                        }
                    }
                    area_of(&canaries, &weights)
                })
                .collect();
            middle(&mut areas)
        });
        Some(Roc { area, interval, detection: detection.to_vec() })
    }
}

/// Chance that a regressed canary ranks above a healthy one, ties counting half; `None` where the weights leave one kind out.
fn area_of(sorted: &[(f32, u32, bool)], weights: &[u32]) -> Option<f64> {
    let weight = |canary: &(f32, u32, bool)| weights.get(canary.1 as usize).map_or(0.0, |weight| f64::from(*weight));
    let (mut above, mut healthy, mut won) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let sum = |regressed: bool| tied.iter().filter(|canary| canary.2 == regressed).map(weight).sum::<f64>();
        let (bad, good) = (sum(true), sum(false));
        won += good * (above + bad / 2.0);
        above += bad;
        healthy += good;
    }
    (above > 0.0 && healthy > 0.0).then(|| won / (above * healthy))
}

/// The receiver operating characteristic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Roc {
    /// Area under the curve: the chance that a regressed canary exceeds its limits by more than a healthy one.
    pub area: f64,
    /// 95 % interval of the area.
    pub interval: Option<[f64; 2]>,
    /// Pairs of a share of healthy canaries that may be flagged, and the share of regressed ones that is then found.
    pub detection: Vec<[f64; 2]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_that_are_ranked_rightly() {
        let mut ranking = Ranking::default();
        for (i, (exceedance, regressed)) in [(3.0, true), (1.0, true), (1.0, false), (0.5, false)].into_iter().enumerate() {
            ranking.add(&i.to_string(), exceedance, regressed);
        }
        let roc = ranking.roc().unwrap();
        // Of the four pairs three are right and one is a tie.
        assert!((roc.area - 3.5 / 4.0).abs() < 1e-12);
        assert_eq!(roc.detection[0], [0.01, 0.5]);
        // One of two found before any alarm; the tie is flagged at once.
        assert_eq!(ranking.curve().unwrap(), [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]]);
    }

    #[test]
    fn an_interval_is_wide_where_canaries_of_a_group_agree() {
        let (mut together, mut apart) = (Tally::default(), Tally::default());
        for i in 0..200 {
            let hit = i % 10 == 0;
            together.one(&format!("{}", i % 10), hit);
            apart.one(&i.to_string(), hit);
        }
        let width = |tally: &Tally| tally.rate().unwrap().interval.map(|[low, high]| high - low).unwrap();
        assert!(width(&together) > 3.0 * width(&apart), "{} {}", width(&together), width(&apart));
    }

    #[test]
    fn no_hit_in_ten_groups_is_not_taken_for_never() {
        let mut tally = Tally::default();
        (0..10).for_each(|i| tally.one(&i.to_string(), false));
        // Clopper-Pearson: 1 - 0.025^(1/10).
        let [low, high] = tally.rate().unwrap().interval.unwrap();
        assert!(low == 0.0 && (high - 0.308_497).abs() < 1e-5, "{high}");
    }
}
