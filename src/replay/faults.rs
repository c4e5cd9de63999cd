//! Faults that are put into recorded healthy canaries, so that anyone can ask what their own gate would find.
//!
//! A fault is written `KIND/PERCENT/FACTOR`: what happens, in which share of the canary's window, and how far the values move in the
//! metric's worse direction (times the factor where a rise is worse or either, divided by it where a fall is). Baseline and past stay as
//! they were recorded.
//!
//! | kind | what happens |
//! | --- | --- |
//! | `shift/100/F` | the whole window is worse |
//! | `step/P/F` | the last P % are worse |
//! | `drift/P/F` | the last P % grow worse evenly, up to the factor |
//! | `healed/P/F` | the first P % are worse |
//! | `minor/P/F` | P % of the points, anywhere, are worse |
//! | `block/P/F` | P % in one piece, which ends before the last third, are worse |
//! | `spread/0/F` | values scatter F times as far around their median |
//! | `silent/P/0` | the last P % are missing |
//! | `zero/P/0` | the last P % are 0 |
//! | `none/0/1` | nothing; what is found then is found without a fault |
//!
//! Of distributions the requests move to where their bounds, times the factor, lie: within a bucket they are spread evenly. Other spreads,
//! and zeros, cannot be put into them.
//!
//! Of ratios with counts the events move, to whole numbers and at most to the total; of others the ratio, at most to all.

use std::fmt;
use std::str::FromStr;

use haldane_judges::config::{Direction, Kind, Metric};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use super::case::CaseMetric;
use crate::analysis::BucketSamples;

/// Largest factor of a fault.
const MAX_FACTOR: f64 = 1e6;

/// What happens in a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FaultShape {
    Shift,
    Step,
    Drift,
    Healed,
    Minor,
    Block,
    Spread,
    Silent,
    Zero,
    None,
}

impl FaultShape {
    const ALL: [Self; 10] =
        [Self::Shift, Self::Step, Self::Drift, Self::Healed, Self::Minor, Self::Block, Self::Spread, Self::Silent, Self::Zero, Self::None];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Step => "step",
            Self::Drift => "drift",
            Self::Healed => "healed",
            Self::Minor => "minor",
            Self::Block => "block",
            Self::Spread => "spread",
            Self::Silent => "silent",
            Self::Zero => "zero",
            Self::None => "none",
        }
    }

    /// The percentage that goes with it, where that is no choice.
    const fn only_percent(self) -> Option<f64> {
        match self {
            Self::Shift => Some(100.0),
            Self::Spread | Self::None => Some(0.0),
            _ => None,
        }
    }

    /// The factor, likewise.
    const fn only_factor(self) -> Option<f64> {
        match self {
            Self::Silent | Self::Zero => Some(0.0),
            Self::None => Some(1.0),
            _ => None,
        }
    }
}

/// A fault, such as `step/20/2`: the last 20 % of the window at twice their level, or at half where a fall is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    shape: FaultShape,
    /// Of the window's points, 0 to 100.
    percent: f64,
    /// Above 1 wherever values move.
    factor: f64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.shape.as_str(), self.percent, self.factor)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = text.chars().take(60).collect::<String>();
        let mut parts = text.split('/');
        let (Some(kind), Some(percent), Some(factor), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(format!("`{shown}` is no fault; write KIND/PERCENT/FACTOR, such as step/20/2"));
        };
        let shape = FaultShape::ALL.into_iter().find(|shape| shape.as_str() == kind).ok_or_else(|| {
            let known = FaultShape::ALL.map(FaultShape::as_str).join(", ");
            format!("`{shown}`: `{}` is no kind of fault; use {known}", kind.chars().take(60).collect::<String>())
        })?;
        let number = |what: &str, text: &str| {
            text.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| format!("`{shown}`: the {what} is no number"))
        };
        let (percent, factor) = (number("percentage", percent)?, number("factor", factor)?);
        match shape.only_percent() {
            Some(only) if percent != only => return Err(format!("`{shown}`: {kind} has no share of the window; write {kind}/{only}/...")),
            None if !(percent > 0.0 && percent <= 100.0) => {
                return Err(format!("`{shown}`: {percent} is no share of the window in per cent; give above 0 to 100"));
            }
            _ => {}
        }
        match shape.only_factor() {
            Some(only) if factor != only => return Err(format!("`{shown}`: {kind} has no factor; write {kind}/{percent}/{only}")),
            None if !(factor > 1.0 && factor <= MAX_FACTOR) => {
                return Err(format!(
                    "`{shown}`: {factor} makes nothing worse; give a factor above 1 to {MAX_FACTOR} (the metric says which way is worse)"
                ));
            }
            _ => {}
        }
        Ok(Self { shape, percent, factor })
    }
}

/// What becomes of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Edit {
    Keep,
    Times(f64),
    Zero,
    Absent,
}

impl Fault {
    /// The metric with the fault in the canary's points and in those of its instances; `None` where the metric cannot show it: nothing
    /// would change, a factor would move a value below 0 the other way, a fall to 0 is no fault, or the baseline is silent too.
    ///
    /// `judged` says what is worse and in which unit; `random` where points are chosen.
    pub(super) fn put_into(self, recorded: &CaseMetric, judged: &Metric, random: &mut StdRng) -> Option<CaseMetric> {
        if let (Some(canary), Some(baseline)) = (&recorded.canary_buckets, &recorded.baseline_buckets) {
            return self.put_into_buckets(recorded, (baseline, canary), judged, random);
        }
        let n = recorded.canary.len();
        if n == 0 {
            return None;
        }
        if self.shape == FaultShape::None {
            return Some(recorded.clone());
        }
        if self.shape == FaultShape::Zero && judged.direction == Direction::Increase {
            return None;
        }
        if self.shape != FaultShape::Silent && recorded.canary.iter().flatten().any(|value| *value < 0.0) {
            return None;
        }
        let span = self.span(n);
        if self.shape == FaultShape::Silent {
            let known = recorded.baseline.iter().rev().take(self.span(recorded.baseline.len())).any(Option::is_some);
            if judged.may_be_absent || !known {
                return None;
            }
        }
        let mut faulty = recorded.clone();
        if self.shape == FaultShape::Spread {
            faulty.canary = match &recorded.canary_totals {
                Some(totals) => spread_counts(&recorded.canary, totals, self.factor, random),
                None => spread(&recorded.canary, self.factor),
            };
            for points in faulty.canary_instances.iter_mut().flat_map(super::Instances::all_mut) {
                *points = spread(points, self.factor);
            }
        } else {
            let edits = self.edits(n, span, judged.direction, random);
            let counted = recorded.canary_totals.is_some();
            for (i, (point, edit)) in faulty.canary.iter_mut().zip(&edits).enumerate() {
                let total = recorded.canary_totals.as_ref().and_then(|totals| *totals.get(i)?);
                *point = edited(*point, *edit)
                    .map(|value| if counted { whole(value, *point, random).min(total.unwrap_or(value)) } else { value });
            }
            for points in faulty.canary_instances.iter_mut().flat_map(super::Instances::all_mut) {
                points.iter_mut().zip(&edits).for_each(|(point, edit)| *point = edited(*point, *edit));
            }
            if let (FaultShape::Silent, Some(totals)) = (self.shape, &mut faulty.canary_totals) {
                totals.iter_mut().zip(&edits).for_each(|(total, edit)| *total = edited(*total, *edit));
            }
        }
        if judged.kind == Kind::Ratio && recorded.canary_totals.is_none() {
            bound(&mut faulty, recorded, 100.0 * judged.percentage_point());
        }
        (faulty.canary != recorded.canary).then_some(faulty)
    }

    /// The same of a distribution. What moves past the last bound stays above it, and what lay above it stays there.
    fn put_into_buckets(
        self,
        recorded: &CaseMetric,
        (baseline, canary): (&BucketSamples, &BucketSamples),
        judged: &Metric,
        random: &mut StdRng,
    ) -> Option<CaseMetric> {
        let n = canary.counts.len();
        if self.shape == FaultShape::None {
            return Some(recorded.clone());
        }
        let below_zero = canary.bounds.first().is_some_and(|bound| *bound < 0.0);
        if n == 0 || matches!(self.shape, FaultShape::Spread | FaultShape::Zero) || below_zero && self.shape != FaultShape::Silent {
            return None;
        }
        if self.shape == FaultShape::Silent {
            let known = baseline.counts.iter().rev().take(self.span(baseline.counts.len())).any(Option::is_some);
            if judged.may_be_absent || !known {
                return None;
            }
        }
        let mut moved = canary.clone();
        let edits = self.edits(n, self.span(n), judged.direction, random);
        for (row, edit) in moved.counts.iter_mut().zip(edits) {
            match edit {
                Edit::Times(factor) => {
                    if let Some(counts) = row {
                        *counts = times(&canary.bounds, counts, factor, random);
                    }
                }
                Edit::Absent => *row = None,
                Edit::Keep | Edit::Zero => {}
            }
        }
        (moved != *canary).then(|| CaseMetric { canary_buckets: Some(moved), ..recorded.clone() })
    }

    /// Points of `n` that the fault touches, at least one.
    fn span(self, n: usize) -> usize {
        ((self.percent / 100.0 * n as f64).round_ties_even() as usize).clamp(1, n.max(1))
    }

    /// What becomes of each of `n` points, of which `span` are touched.
    fn edits(self, n: usize, span: usize, direction: Direction, random: &mut StdRng) -> Vec<Edit> {
        let worse = if direction == Direction::Decrease { 1.0 / self.factor } else { self.factor };
        let late = n - span;
        let last = |edit: Edit| (0..n).map(|i| if i < late { Edit::Keep } else { edit }).collect();
        match self.shape {
            FaultShape::None | FaultShape::Spread => vec![Edit::Keep; n],
            FaultShape::Shift | FaultShape::Step => last(Edit::Times(worse)),
            FaultShape::Silent => last(Edit::Absent),
            FaultShape::Zero => last(Edit::Zero),
            FaultShape::Drift => {
                let grown = |i: usize| Edit::Times(1.0 + (worse - 1.0) * ((i + 1 - late) as f64 / span as f64));
                (0..n).map(|i| if i < late { Edit::Keep } else { grown(i) }).collect()
            }
            FaultShape::Healed => (0..n).map(|i| if i < span { Edit::Times(worse) } else { Edit::Keep }).collect(),
            FaultShape::Minor => {
                let mut places: Vec<usize> = (0..n).collect();
                places.shuffle(random);
                let mut edits = vec![Edit::Keep; n];
                for place in places.into_iter().take(span) {
                    if let Some(edit) = edits.get_mut(place) {
                        *edit = Edit::Times(worse);
                    }
                }
                edits
            }
            FaultShape::Block => {
                let room = n.saturating_sub(span + n.div_ceil(3));
                let start = random.random_range(0..=room);
                (0..n).map(|i| if (start..start + span).contains(&i) { Edit::Times(worse) } else { Edit::Keep }).collect()
            }
        }
    }
}

/// The counts of an interval whose requests all take `factor` times as long; a bucket's lie evenly between its bounds, the first from 0 on.
fn times(bounds: &[f64], counts: &[f64], factor: f64, random: &mut StdRng) -> Vec<f64> {
    let mut moved = vec![0.0; counts.len()];
    let mut lower = 0.0;
    for (j, count) in counts.iter().enumerate() {
        // Above the last bound nothing says how far.
        let Some(upper) = bounds.get(j) else {
            if let Some(last) = moved.last_mut() {
                *last += count;
            }
            break;
        };
        let (from, to) = (lower * factor, upper * factor);
        // Requests that came out below each bound so far.
        let mut before = 0.0;
        for (k, slot) in moved.iter_mut().enumerate() {
            let share = bounds.get(k).map_or(1.0, |bound| if to > from { ((bound - from) / (to - from)).clamp(0.0, 1.0) } else { 1.0 });
            let below = (share * count).max(before);
            // Whole numbers stay so: what lies below a bound is rounded up or down by chance.
            let below = if share < 1.0 { whole(below, Some(*count), random).clamp(before, *count) } else { *count };
            *slot += below - before;
            before = below;
        }
        lower = *upper;
    }
    moved
}

fn edited(point: Option<f64>, edit: Edit) -> Option<f64> {
    match edit {
        Edit::Keep => point,
        Edit::Times(factor) => point.map(|value| value * factor),
        Edit::Zero => point.map(|_| 0.0),
        Edit::Absent => None,
    }
}

/// Events that were a whole number stay one: rounded up or down by chance, so that many of them move by the factor on average.
fn whole(value: f64, before: Option<f64>, random: &mut StdRng) -> f64 {
    if before.is_some_and(|before| before.fract() == 0.0) && value.fract() != 0.0 {
        value.floor() + f64::from(u8::from(random.random::<f64>() < value.fract()))
    } else {
        value
    }
}

/// Values `factor` times as far from their median, and not below 0.
fn spread(points: &[Option<f64>], factor: f64) -> Vec<Option<f64>> {
    let Some(middle) = median(points.iter().flatten().copied()) else { return points.to_vec() };
    points.iter().map(|point| point.map(|value| (middle + (value - middle) * factor).max(0.0))).collect()
}

/// Events whose share of the total is `factor` times as far from the median share.
fn spread_counts(events: &[Option<f64>], totals: &[Option<f64>], factor: f64, random: &mut StdRng) -> Vec<Option<f64>> {
    let known = || events.iter().zip(totals).filter_map(|(events, total)| Some(((*events)?, (*total)?))).filter(|(_, total)| *total > 0.0);
    let Some(middle) = median(known().map(|(events, total)| events / total)) else { return events.to_vec() };
    let mut moved = |events: Option<f64>, total: Option<f64>| match (events, total) {
        (Some(before), Some(total)) if total > 0.0 => {
            let value = (middle + (before / total - middle) * factor).clamp(0.0, 1.0) * total;
            Some(whole(value, Some(before), random).min(total))
        }
        _ => events,
    };
    events.iter().zip(totals).map(|(events, total)| moved(*events, *total)).collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| haldane_judges::stats::quantile_of_sorted(&sorted, 0.5))
}

/// A ratio is at most `most`, unless it was recorded in another unit.
fn bound(faulty: &mut CaseMetric, recorded: &CaseMetric, most: f64) {
    let within = |points: &[Option<f64>]| points.iter().flatten().all(|value| *value <= most);
    if within(&recorded.canary) && within(&recorded.baseline) {
        let instances = faulty.canary_instances.iter_mut().flat_map(super::Instances::all_mut);
        for value in std::iter::once(&mut faulty.canary).chain(instances).flatten().flatten() {
            *value = value.min(most);
        }
    }
}

/// A number that follows from the texts alone, for whatever must be chosen and be the same in every run.
pub(super) fn seed_of(texts: &[&str]) -> u64 {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    digest.finalize().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// Chance that follows from the texts alone.
pub(super) fn random_of(texts: &[&str]) -> StdRng {
    StdRng::seed_from_u64(seed_of(texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(kind: Kind, direction: Direction) -> Metric {
        serde_json::from_value(serde_json::json!({"name": "m", "kind": kind, "direction": direction})).unwrap()
    }

    fn put(fault: &str, recorded: &CaseMetric, judged: &Metric) -> Option<CaseMetric> {
        fault.parse::<Fault>().unwrap().put_into(recorded, judged, &mut random_of(&[fault]))
    }

    fn values(canary: &[f64]) -> CaseMetric {
        let points: Vec<Option<f64>> = canary.iter().copied().map(Some).collect();
        CaseMetric { name: "m".to_owned(), baseline: points.clone(), canary: points, ..CaseMetric::default() }
    }

    /// The canary's points as multiples of 100, which all were.
    fn factors(fault: &str, direction: Direction) -> Vec<f64> {
        let faulty = put(fault, &values(&[100.0; 10]), &metric(Kind::Value, direction)).unwrap();
        faulty.canary.iter().map(|point| point.unwrap_or(f64::NAN) / 100.0).collect()
    }

    #[test]
    fn a_fault_touches_the_points_that_its_name_says() {
        assert_eq!(factors("shift/100/1.5", Direction::Increase), [1.5; 10]);
        assert_eq!(factors("step/20/2", Direction::Either), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(factors("step/20/2", Direction::Decrease), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]);
        assert_eq!(factors("drift/40/5", Direction::Increase), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(factors("healed/20/5", Direction::Increase), [5.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors("zero/10/0", Direction::Decrease), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        let silent = factors("silent/30/0", Direction::Increase);
        assert!(silent[..7].iter().all(|factor| *factor == 1.0) && silent[7..].iter().all(|factor| factor.is_nan()), "{silent:?}");
        let minor = factors("minor/40/5", Direction::Increase);
        assert_eq!(minor.iter().filter(|factor| **factor == 5.0).count(), 4, "{minor:?}");
        let block = factors("block/40/5", Direction::Increase);
        let start = block.iter().position(|factor| *factor == 5.0).unwrap();
        assert!(start + 4 <= 6 && block[start..start + 4] == [5.0; 4] && block.iter().sum::<f64>() == 26.0, "{block:?}");
        assert_eq!(factors("none/0/1", Direction::Increase), [1.0; 10]);
    }

    #[test]
    fn a_wider_spread_keeps_the_median_and_stays_above_zero() {
        let faulty = put("spread/0/4", &values(&[8.0, 9.0, 10.0, 11.0, 13.0]), &metric(Kind::Value, Direction::Increase)).unwrap();
        assert_eq!(faulty.canary, [2.0, 6.0, 10.0, 14.0, 22.0].map(Some));
        let faulty = put("spread/0/4", &values(&[1.0, 10.0, 11.0]), &metric(Kind::Value, Direction::Increase)).unwrap();
        assert_eq!(faulty.canary, [0.0, 10.0, 14.0].map(Some));
    }

    #[test]
    fn events_stay_whole_and_below_their_total_and_move_by_the_factor_on_average() {
        let n = 400;
        let recorded = CaseMetric { canary_totals: Some(vec![Some(4.0); n]), ..values(&vec![1.0; n]) };
        let ratio = metric(Kind::Ratio, Direction::Increase);
        let events = |fault: &str| -> Vec<f64> { put(fault, &recorded, &ratio).unwrap().canary.into_iter().flatten().collect() };
        let half_more = events("shift/100/1.5");
        assert!(half_more.iter().all(|events| *events == 1.0 || *events == 2.0));
        let mean = half_more.iter().sum::<f64>() / n as f64;
        assert!((mean - 1.5).abs() < 0.1, "{mean}");
        assert!(events("shift/100/50").iter().all(|events| *events == 4.0));
        let silent = put("silent/10/0", &recorded, &ratio).unwrap();
        assert!(silent.canary[n - 40..].iter().chain(&silent.canary_totals.unwrap()[n - 40..]).all(Option::is_none));
    }

    #[test]
    fn requests_of_a_distribution_move_between_their_buckets_and_none_is_lost() {
        let row = vec![40.0, 30.0, 20.0, 10.0];
        let buckets = BucketSamples { bounds: vec![1.0, 2.0, 4.0], counts: vec![Some(row.clone()), None], spacing: Default::default() };
        let recorded = CaseMetric {
            name: "m".to_owned(),
            baseline_buckets: Some(buckets.clone()),
            canary_buckets: Some(buckets),
            ..CaseMetric::default()
        };
        let judged = metric(Kind::Distribution, Direction::Increase);
        let moved = |fault: &str| put(fault, &recorded, &judged).map(|faulty| faulty.canary_buckets.unwrap().counts);
        assert_eq!(moved("shift/100/2"), Some(vec![Some(vec![20.0, 20.0, 30.0, 30.0]), None]));
        assert_eq!(moved("shift/100/1000").unwrap()[0].as_ref().unwrap(), &[0.0, 0.0, 0.0, 100.0]);
        let rounded = moved("shift/100/1.3").unwrap()[0].clone().unwrap();
        assert!(rounded.iter().all(|count| count.fract() == 0.0) && rounded.iter().sum::<f64>() == 100.0, "{rounded:?}");
        assert_eq!(moved("silent/100/0"), Some(vec![None, None]));
        assert_eq!((moved("spread/0/2"), moved("zero/20/0")), (None, None));
    }

    #[test]
    fn a_ratio_is_at_most_all() {
        let faulty = put("shift/100/5", &values(&[0.1, 0.3]), &metric(Kind::Ratio, Direction::Increase)).unwrap();
        assert_eq!(faulty.canary, [Some(0.5), Some(1.0)]);
    }

    #[test]
    fn what_a_metric_cannot_show_is_not_put_into_it() {
        let rising = metric(Kind::Value, Direction::Increase);
        assert!(put("zero/17/0", &values(&[1.0; 10]), &rising).is_none(), "a fall is no fault of it");
        assert!(put("zero/17/0", &values(&[1.0; 10]), &metric(Kind::Value, Direction::Either)).is_some());
        assert!(put("step/20/2", &values(&[0.0; 10]), &rising).is_none(), "twice nothing is nothing");
        assert!(put("step/20/2", &values(&[-1.0; 10]), &rising).is_none(), "twice as far below zero is a fall");
        assert!(put("spread/0/2", &values(&[1.0; 10]), &rising).is_none());
        let both = CaseMetric { baseline: vec![None; 10], ..values(&[1.0; 10]) };
        assert!(put("silent/10/0", &both, &rising).is_none(), "the baseline is silent too");
    }

    #[test]
    fn the_instances_that_are_averaged_have_the_fault_too() {
        let one = vec![Some(90.0), Some(110.0)];
        let recorded =
            CaseMetric { canary_instances: Some(super::super::Instances::Numbered(vec![one.clone(), one])), ..values(&[90.0, 110.0]) };
        let faulty = put("step/50/2", &recorded, &metric(Kind::Value, Direction::Increase)).unwrap();
        let moved = vec![Some(90.0), Some(220.0)];
        assert_eq!(faulty.canary_instances, Some(super::super::Instances::Numbered(vec![moved.clone(), moved])));
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_would_be() {
        for (text, part) in [
            ("step", "write KIND/PERCENT/FACTOR, such as step/20/2"),
            ("step/20/2/1", "write KIND/PERCENT/FACTOR"),
            ("jump/20/2", "`jump` is no kind of fault; use shift, step"),
            ("step/x/2", "the percentage is no number"),
            ("step/20/inf", "the factor is no number"),
            ("step/0/2", "0 is no share of the window in per cent; give above 0 to 100"),
            ("step/101/2", "101 is no share"),
            ("step/20/0.5", "0.5 makes nothing worse; give a factor above 1"),
            ("silent/20/2", "silent has no factor; write silent/20/0"),
            ("shift/50/2", "write shift/100/"),
            ("none/0/2", "write none/0/1"),
        ] {
            let refused = text.parse::<Fault>().unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
        assert_eq!("drift/33/1.5".parse::<Fault>().unwrap().to_string(), "drift/33/1.5");
    }
}
