//! Declared limits: is one provably broken? They hold whatever the baseline does.

use super::ladder::{Claim, Rung, Size, walk};
use super::level::counts::PooledArm;
use super::minority::{count_test, indicator};
use super::remark::ExaminerRemark;
use super::rule;
use super::subject::Subject;
use crate::evidence::{Buckets, Points};
use crate::explain;
use crate::limit;
use crate::quantity;
use crate::scorecard::{Examiner, Interval, MetricResult, Mode, Reason, ThresholdNumbers};
use crate::stats::binomial::{RateBounds, clopper_pearson};

pub(super) fn examine(subject: &Subject<'_>, result: &mut MetricResult) -> Option<ExaminerRemark> {
    let limits = &subject.metric.limits;
    if !limits.enforce {
        return None;
    }
    if let (Points::Buckets(baseline), Points::Buckets(canary)) = (&subject.cleaned.baseline.points, &subject.cleaned.canary.points) {
        return of_buckets(subject, baseline, canary).and_then(observation);
    }
    if limits.max.is_none() && limits.min.is_none() {
        return None;
    }
    observation(if subject.cleaned.is_counted() { of_counts(subject, result) } else { of_values(subject, result) })
}

fn observation((rung, sentence): (Rung, String)) -> Option<ExaminerRemark> {
    (rung >= Rung::Suspect).then_some(ExaminerRemark {
        examiner: Examiner::Limits,
        rung,
        reason: Reason::Limit,
        mode: Mode::Threshold,
        sentence,
    })
}

/// Points that most of a window must have past a limit.
fn most(n: usize) -> usize {
    if n < rule::FEWEST { n } else { rule::FEWEST.max((rule::LIMIT_SHARES.0 * n as f64).ceil() as usize) }
}

/// What the points past a limit say, with those of the baseline. Used by the judge of limits alone as well.
pub(super) fn of_points(baseline: &[f64], canary: &[f64], past: impl Fn(f64) -> bool) -> (Rung, usize, usize) {
    let test = count_test(&indicator(baseline, &past), &indicator(canary, &past));
    let (nb, nc) = test.n;
    if nc == 0 {
        return (Rung::Open, 0, 0);
    }
    let rung = if test.asked >= most(nc) && test.asked > 0 {
        let both = nb > 0 && test.other >= most(nb) && test.other > 0;
        walk(&Claim::certain(if both { Size::Near } else { Size::Beyond }))
    } else {
        let at_least = |share: f64| test.asked >= rule::FEW_INTERVALS.max((share * nc as f64).ceil() as usize);
        let size = Size::of(at_least(rule::LIMIT_SHARES.2), at_least(rule::LIMIT_SHARES.1));
        walk(&Claim { p: test.p, p_alone: test.p, p_dependent: test.p_dependent, ..Claim::certain(size) })
    };
    (rung, test.asked, nc)
}

fn of_values(subject: &Subject<'_>, result: &mut MetricResult) -> (Rung, String) {
    let limits = subject.metric.limits;
    let (baseline, canary) = (subject.cleaned.baseline.values(), subject.cleaned.canary.values());
    let past = |v: f64| limits.max.is_some_and(|max| v > max) || limits.min.is_some_and(|min| v < min);
    let (rung, points, n) = of_points(&baseline, &canary, past);
    let there = baseline.iter().filter(|v| v.is_finite() && past(**v)).count();
    if rung >= Rung::Suspect && result.threshold.is_none() {
        result.threshold =
            Some(ThresholdNumbers { max: limits.max, min: limits.min, points_past: Some(points), points: Some(n), rate_interval: None });
    }
    let limit = limit::limit_words(subject.metric, limits.max, limits.min, false);
    let both = if there > 0 { format!("; so are {there} of the baseline's") } else { String::new() };
    let typical = subject.medians[1].map(|median| format!(", median {}", explain::quantity(subject.metric, median))).unwrap_or_default();
    (rung, format!("{points} of {} are past the limit ({limit}){typical}{both}", explain::count(n as u64, "point")))
}

/// The gravest of a distribution's limits: of each, the requests slower than the first bucket bound at or above it.
fn of_buckets(subject: &Subject<'_>, baseline: &Buckets, canary: &Buckets) -> Option<(Rung, String)> {
    let of_limit = |(name, value, share): (&'static str, f64, f64)| {
        let j = canary.bounds().partition_point(|bound| bound * rule::REACHES < value);
        let bound = canary.bounds().get(j)?;
        let low = |arm: &Buckets| {
            let sums = arm.sums();
            let total: f64 = sums.iter().sum();
            let slower: f64 = sums.iter().skip(j + 1).sum();
            (slower, total, clopper_pearson(slower.min(total), total, rule::P_SUSPECT).map_or(0.0, |bounds| bounds.low))
        };
        let (slower, total, least) = low(canary);
        let seen = total > 0.0 && least > share;
        let worse = canary.above(j).iter().zip(canary.totals()).filter(|(x, m)| **m > 0.0 && **x > share * **m).count();
        let (_, of_baseline, least_of_baseline) = low(baseline);
        let both = of_baseline > 0.0 && least_of_baseline > share;
        let rung = walk(&Claim::certain(Size::of(seen, seen && worse >= rule::FEW_INTERVALS && !both)));
        let so = if both { "; so is the baseline" } else { "" };
        let limit = limit::distribution_limit_words(subject.metric, (name, value, share));
        let sentence = format!(
            "{} of {} requests are slower than {}, past the limit ({limit}){so}",
            explain::rate(if total > 0.0 { slower / total } else { 0.0 }),
            quantity::number(total),
            explain::quantity(subject.metric, *bound)
        );
        Some((rung, sentence))
    };
    let found = subject.metric.limits.of_distributions().into_iter().filter_map(of_limit);
    found.reduce(|first, next| if next.0 > first.0 { next } else { first })
}

fn of_counts(subject: &Subject<'_>, result: &mut MetricResult) -> (Rung, String) {
    let limits = subject.metric.limits;
    let (b, c) = (PooledArm::of(&subject.cleaned.baseline), PooledArm::of(&subject.cleaned.canary));
    let bounds = c.bounds();
    let past = |bounds: RateBounds| limits.max.is_some_and(|max| bounds.low > max) || limits.min.is_some_and(|min| bounds.high < min);
    let (events, totals) = subject.cleaned.canary.counted();
    let worse = events
        .iter()
        .zip(&totals)
        .filter(|(x, m)| **m > 0.0 && (limits.max.is_some_and(|max| **x > max * **m) || limits.min.is_some_and(|min| **x < min * **m)));
    let seen = c.total > 0.0 && past(bounds);
    // One bad interval is seen, and proves nothing.
    let proved = seen && worse.count() >= rule::FEW_INTERVALS;
    let both = b.total > 0.0 && past(b.bounds());
    let limit = limit::limit_words(subject.metric, limits.max, limits.min, true);
    let so = if both { format!("; the baseline's {} is past it too", explain::rate(b.rate)) } else { String::new() };
    let between = format!("the rate lies between {} and {}", explain::rate(bounds.low), explain::rate(bounds.high));
    let rung = walk(&Claim::certain(Size::of(seen, proved && !both)));
    if rung >= Rung::Suspect && result.threshold.is_none() {
        let interval = Interval { level: 1.0 - 2.0 * rule::P_SUSPECT, low: Some(bounds.low), high: Some(bounds.high) };
        let (max, min) = (limits.max, limits.min);
        result.threshold = Some(ThresholdNumbers { max, min, points_past: None, points: None, rate_interval: Some(interval) });
    }
    (rung, format!("{between}, past the limit ({limit}){so}"))
}
