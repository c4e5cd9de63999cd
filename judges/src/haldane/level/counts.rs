//! Ratios with counts: errors out of requests, conversions out of visits. The unit of observation is a request, the stratum an interval.

use std::ops::Range;

use crate::config::{Direction, Metric};
use crate::draft::ResultDraft;
use crate::evidence::{Looks, Points};
use crate::explain;
use crate::haldane::fallback::{fall_back, or_by_limit};
use crate::haldane::ladder::{self, Claim, Rung, Size};
use crate::haldane::numbers::{finite, ratio_to};
use crate::haldane::past::{Windows, disjoint_windows};
use crate::haldane::rule::{self, Levels};
use crate::haldane::subject::Subject;
use crate::haldane::tolerances::{Tolerances, tolerances};
use crate::limit;
use crate::quality::{CleanArm, CleanMetric};
use crate::quantity;
use crate::remedy::{self, RatioTraffic};
use crate::scorecard::{AppliedLimit, ArmCounts, CountNumbers, Guard, HistoryNumbers, Interval, MetricResult, Mode, Reason, Status};
use crate::stats::binomial::{RateBounds, clopper_pearson};
use crate::stats::normal_isf;
use crate::stats::sequential::sequential_p;
use crate::stats::strata::{ArmComparison, Stratum, deviate, standardised_rates};

/// Looks back at a growing window; of a plan with more of them, so many evenly spread ones.
const MOST_LOOKS: u32 = 24;

/// One arm, pooled over the window.
pub(in crate::haldane) struct PooledArm {
    pub(in crate::haldane) events: f64,
    pub(in crate::haldane) total: f64,
    pub(in crate::haldane) rate: f64,
    pub(in crate::haldane) intervals: usize,
}

impl PooledArm {
    pub(in crate::haldane) fn of(arm: &CleanArm) -> Self {
        let (x, m, intervals) = arm.counts().fold((0.0, 0.0, 0), |(events, total, n), (x, m)| (events + x, total + m, n + 1));
        Self { events: x, total: m, rate: if m > 0.0 { x / m } else { 0.0 }, intervals }
    }

    /// Bounds of the rate, each at one-sided 95 %. They cost more than all else here.
    pub(in crate::haldane) fn bounds(&self) -> RateBounds {
        clopper_pearson(self.events.min(self.total), self.total, rule::P_SUSPECT).unwrap_or(RateBounds { low: 0.0, high: 1.0 })
    }

    fn numbers(&self) -> ArmCounts {
        let bounds = self.bounds();
        let interval = Interval { level: 0.9, low: Some(bounds.low), high: Some(bounds.high) };
        ArmCounts { events: self.events, total: self.total, rate: self.rate, interval }
    }

    fn words(&self) -> String {
        format!("{} ({} of {})", explain::rate(self.rate), quantity::number(self.events), quantity::number(self.total))
    }
}

/// How events are read: the rarer of events and non-events, and whether the canary's having more of them is worse. So a success rate is
/// judged as the error rate that it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::haldane) struct Reading {
    complement: bool,
    more_is_worse: bool,
}

impl Reading {
    pub(in crate::haldane) fn of(direction: Direction, baseline: (f64, f64), canary: (f64, f64)) -> Self {
        let complement = 2.0 * (baseline.0 + canary.0) > baseline.1 + canary.1;
        let more_is_worse = match direction {
            Direction::Increase => !complement,
            Direction::Decrease => complement,
            // Whichever way it went, in the rarer of events and non-events.
            Direction::Either => {
                let rarer = |(x, m): (f64, f64)| if complement { m - x } else { x };
                rarer(canary) * baseline.1 >= rarer(baseline) * canary.1
            }
        };
        Self { complement, more_is_worse }
    }

    /// Whether non-events are read.
    pub(in crate::haldane) fn is_complement(self) -> bool {
        self.complement
    }

    /// Whether a rise of the rate as it was reported is worse.
    fn rises(self) -> bool {
        self.more_is_worse != self.complement
    }

    /// Strata of two arms' (events, totals), entry by entry; what is missing has no traffic.
    fn strata(self, baseline: (&[f64], &[f64]), canary: (&[f64], &[f64])) -> Vec<Stratum> {
        let length = baseline.0.len().max(canary.0.len());
        let at = |(events, totals): (&[f64], &[f64]), i: usize| match (events.get(i), totals.get(i)) {
            (Some(x), Some(m)) if x.is_finite() && m.is_finite() && *m > 0.0 => (if self.complement { m - x } else { *x }, *m),
            _ => (0.0, 0.0),
        };
        (0..length)
            .map(|i| {
                let (b, c) = (at(baseline, i), at(canary, i));
                let ((events, total), (other_events, other_total)) = if self.more_is_worse { (c, b) } else { (b, c) };
                Stratum { events, total, other_events, other_total }
            })
            .collect()
    }

    /// How much worse the canary's rate is, of rates of baseline and canary in this reading.
    fn worsening(self, (baseline, canary): (f64, f64)) -> f64 {
        if self.more_is_worse { canary - baseline } else { baseline - canary }
    }

    /// Rates of baseline and canary in this reading from those of the asked arm and the other.
    fn arms(self, (asked, other): (f64, f64)) -> (f64, f64) {
        if self.more_is_worse { (other, asked) } else { (asked, other) }
    }
}

/// The level that a change of a rate is measured against: the rate, or what is left of it to 1 where that is less.
fn level_of(rate: f64) -> f64 {
    rate.min(1.0 - rate).max(0.0)
}

/// The estimate of one comparison.
pub(in crate::haldane) struct CountEstimate {
    pub(in crate::haldane) compared: ArmComparison,
    /// Standardised rates of baseline and canary, in the reading.
    pub(in crate::haldane) rates: (f64, f64),
    /// Shift of the rate, above 0 is worse.
    pub(in crate::haldane) shift: f64,
    pub(in crate::haldane) level: f64,
    /// Events of the arm that has more where it is worse, and its intervals with some.
    pub(in crate::haldane) events: f64,
    pub(in crate::haldane) intervals: usize,
    pub(in crate::haldane) reading: Reading,
}

impl CountEstimate {
    pub(in crate::haldane) fn of(strata: &[Stratum], reading: Reading, aligned: bool, placebos: &[f64]) -> Self {
        let compared = if aligned { ArmComparison::aligned(strata, placebos) } else { ArmComparison::unaligned(strata, placebos) };
        let standardised = if aligned { standardised_rates(strata) } else { pooled_rates(strata) };
        let rates = reading.arms(standardised);
        Self {
            compared,
            rates,
            shift: reading.worsening(rates),
            level: level_of(rates.0),
            events: strata.iter().map(|one| one.events).sum(),
            intervals: strata.iter().filter(|one| one.events > 0.0 && (!aligned || one.other_total > 0.0)).count(),
            reading,
        }
    }

    pub(in crate::haldane) fn relative(&self) -> f64 {
        ratio_to(self.shift, self.level)
    }

    pub(in crate::haldane) fn size(&self, tolerance: Tolerances, absolute: f64) -> Size {
        size_of(self.shift, self.level, tolerance, absolute)
    }
}

fn size_of(shift: f64, level: f64, tolerance: Tolerances, absolute: f64) -> Size {
    let reaches = |relative: f64| {
        let shift = shift * rule::REACHES;
        shift > 0.0 && shift >= absolute && shift >= relative * level
    };
    Size::of(reaches(tolerance.suspect), reaches(tolerance.regressed))
}

/// How large a worsening is, of which alone most comparisons need to know.
pub(in crate::haldane) fn size(strata: &[Stratum], reading: Reading, aligned: bool, tolerance: Tolerances, absolute: f64) -> Size {
    let rates = reading.arms(if aligned { standardised_rates(strata) } else { pooled_rates(strata) });
    size_of(reading.worsening(rates), level_of(rates.0), tolerance, absolute)
}

fn pooled_rates(strata: &[Stratum]) -> (f64, f64) {
    let sums =
        strata.iter().fold([0.0; 4], |s, one| [s[0] + one.events, s[1] + one.total, s[2] + one.other_events, s[3] + one.other_total]);
    let rate = |x: f64, m: f64| if m > 0.0 { x / m } else { 0.0 };
    (rate(sums[0], sums[1]), rate(sums[2], sums[3]))
}

pub(in crate::haldane) const LEVELS: Levels = Levels { regressed: (rule::P_COUNTS, 1.0), suspect: (rule::P_SUSPECT, 1.0) };

/// Smallest absolute shift worth acting on, as a fraction.
pub(in crate::haldane) fn absolute_tolerance(metric: &Metric) -> f64 {
    metric.tolerance.absolute.unwrap_or(0.0).max(rule::RATE_POINTS * 0.01)
}

/// The counts of an arm as slices (events, totals).
fn slices(points: &Points) -> (&[f64], &[f64]) {
    match points {
        Points::Counts { events, totals } => (events, totals),
        Points::Values(_) | Points::Buckets(_) => (&[], &[]),
    }
}

/// Whether the arms are compared interval by interval: they align, and most of their traffic lies in intervals that both have;
/// `totals` are those of the asked arm and of the other.
pub(super) fn pairs_up(cleaned: &CleanMetric, totals: impl Iterator<Item = (f64, f64)>) -> bool {
    let count = |(shared, asked, other): (usize, usize, usize), (a, b): (f64, f64)| {
        let (has_a, has_b) = (usize::from(a > 0.0), usize::from(b > 0.0));
        (shared + has_a * has_b, asked + has_a, other + has_b)
    };
    let (shared, asked, other) = totals.fold((0, 0, 0), count);
    cleaned.is_aligned() && shared * 2 >= asked.max(other)
}

/// Strata of both arms' intervals between two places, counted from the window's start.
pub(in crate::haldane) fn strata_of(cleaned: &CleanMetric, reading: Reading, baseline: Range<usize>, canary: Range<usize>) -> Vec<Stratum> {
    fn cut(points: &Points, range: Range<usize>) -> (&[f64], &[f64]) {
        let (events, totals) = slices(points);
        let range = range.start.min(events.len())..range.end.min(events.len());
        (&events[range.clone()], &totals[range])
    }
    reading.strata(cut(&cleaned.baseline.points, baseline), cut(&cleaned.canary.points, canary))
}

/// Deviates of placebo windows, which do not overlap.
fn placebos(cleaned: &CleanMetric, reading: Reading, aligned: bool) -> Vec<f64> {
    let Some(baseline) = cleaned.baseline.history.as_ref() else { return Vec::new() };
    let none = Points::Counts { events: Vec::new(), totals: Vec::new() };
    let canary = cleaned.canary.history.as_ref().unwrap_or(&none);
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    let (b, c) = (slices(baseline), slices(canary));
    let Windows { pairs, one_series } = disjoint_windows((b.0.len(), c.0.len()), n, cleaned.is_concurrent());
    let c = if one_series { b } else { c };
    pairs
        .into_iter()
        .filter_map(|pair| {
            let strata = reading.strata((&b.0[pair.baseline.clone()], &b.1[pair.baseline]), (&c.0[pair.canary.clone()], &c.1[pair.canary]));
            let traffic = |of: &dyn Fn(&Stratum) -> f64| strata.iter().filter(|one| of(one) > 0.0).count() * 2 >= strata.len();
            let seen = traffic(&|one| one.total) && traffic(&|one| one.other_total);
            seen.then(|| if aligned { deviate(&strata) } else { ArmComparison::unaligned(&strata, &[]).z })
        })
        .collect()
}

/// p-value of a regression over all looks of the plan so far, given this look's own and that of the first intervals of both arms; the
/// look's own without a plan.
pub(super) fn over_looks(cleaned: &CleanMetric, plan: Option<Looks>, own: f64, p_of: impl Fn(Range<usize>, Range<usize>) -> f64) -> f64 {
    let Some(plan) = plan else { return own };
    let (look, looks) = (plan.look.max(1), plan.looks.max(plan.look).max(1));
    let every = look.div_ceil(MOST_LOOKS).max(1);
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    let part = |length: usize, i: u32| (length as f64 * f64::from(i) / f64::from(look)).round() as usize;
    // Counted back from this look, which is always among them.
    let seen = (0..look.div_ceil(every)).map(|back| look - back * every).map(|i| {
        let p = if i == look { own } else { p_of(0..if cleaned.grows_along() { part(n.0, i) } else { n.0 }, 0..part(n.1, i)) };
        (normal_isf(p.clamp(1e-300, 1.0 - 1e-12)), f64::from(i) / f64::from(looks))
    });
    sequential_p(seen)
}

pub(super) fn judge(mut draft: ResultDraft, subject: &Subject<'_>) -> MetricResult {
    let (metric, cleaned, context) = (subject.metric, subject.cleaned, subject.context);
    let (baseline, canary) = (PooledArm::of(&cleaned.baseline), PooledArm::of(&cleaned.canary));
    let reading = Reading::of(metric.direction, (baseline.events, baseline.total), (canary.events, canary.total));
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    if is_one_series(cleaned) {
        let sentence =
            "both arms are one and the same counts, interval by interval, so that nothing is compared; does the query tell them apart?";
        draft.decide(Status::Inconclusive, Reason::SameSeries, Mode::None, sentence.to_owned());
        return draft.close();
    }
    let strata = strata_of(cleaned, reading, 0..n.0, 0..n.1);
    let aligned = pairs_up(cleaned, strata.iter().map(|one| (one.total, one.other_total)));
    let learnt = placebos(cleaned, reading, aligned);
    let m = CountEstimate::of(&strata, reading, aligned, &learnt);
    let (p, p_independent) = (m.compared.p(), m.compared.p_independent());
    let tolerance = tolerances(metric, learnt.len());
    let absolute = absolute_tolerance(metric);
    let size = m.size(tolerance, absolute);
    let earlier = |b: Range<usize>, c: Range<usize>| {
        let strata = strata_of(cleaned, reading, b, c);
        if aligned { ArmComparison::aligned(&strata, &learnt).p() } else { ArmComparison::unaligned(&strata, &learnt).p() }
    };
    let p_regressed = if size == Size::Beyond { over_looks(cleaned, context.looks, p, earlier) } else { p };
    let intervals = baseline.intervals.min(canary.intervals);
    let needed = rule::FEWEST.max(metric.min_points as usize);
    let healed = size == Size::Beyond && has_healed(subject, &m, tolerance);
    let excluded = excluded(metric, &m, (&baseline, &canary));
    let enough = canary.total >= metric.min_requests as f64 && baseline.total > 0.0 && intervals >= needed;
    let p_detectable = excluded.p(&m);
    let chances = (context.live_counts as f64 / rule::FREE_RATIOS).max(1.0);
    let claim = Claim {
        size,
        p: p_regressed,
        p_alone: p,
        p_dependent: 0.0,
        levels: LEVELS,
        chances,
        neighbours: 1.0,
        admissible: m.intervals >= rule::FEW_INTERVALS && intervals >= rule::FEWEST && !healed,
        early: false,
        visible: m.events >= rule::FEW_EVENTS,
        unexplained: size == Size::Beyond && p_independent <= rule::P_UNEXPLAINED,
        p_detectable: enough.then_some(p_detectable),
        p_pass: rule::P_PASS / context.passing_looks(),
    };
    let inflation = m.compared.inflation();
    draft.result.counts = Some(CountNumbers {
        baseline: baseline.numbers(),
        canary: canary.numbers(),
        shift: m.shift,
        relative_shift: finite(m.relative()),
        aligned,
        z: m.compared.z,
        p,
        p_independent,
        p_looks: context.looks.filter(|_| size == Size::Beyond).map(|_| p_regressed),
        inflation,
        p_detectable,
        detectable_rate: excluded.original(reading),
    });
    draft.result.history = (!learnt.is_empty()).then(|| HistoryNumbers {
        windows: learnt.len(),
        window_points: n.0.max(n.1),
        spread: finite(learnt.iter().map(|z| z * z).sum::<f64>() / learnt.len() as f64).map(f64::sqrt),
        usual: None,
        clock: None,
    });
    draft.result.limit = Some(AppliedLimit {
        relative: tolerance.regressed,
        absolute,
        from: tolerance.from.to_owned(),
        p: rule::P_COUNTS / chances,
        proved_from: None,
        instance_spread: None,
    });
    let what = moved(&m, (&baseline, &canary), tolerance.regressed, absolute);
    match ladder::walk(&claim) {
        Rung::Regressed => {
            let sentence = format!("{what}; p {} over {intervals} intervals, bursts allowed for", quantity::p_value(p_regressed));
            draft.decide(Status::Regressed, Reason::Shift, Mode::Counts, sentence);
            return draft.close();
        }
        Rung::Suspect => {
            let (reason, sentence) = suspicion(&what, &m, &claim, &strata, healed);
            draft.decide(Status::Suspect, reason, Mode::Counts, sentence);
            or_by_limit(&mut draft, by_limits(metric, &baseline, &canary));
            return draft.close();
        }
        Rung::Acquitted => {
            let wanted = explain::rate(excluded.original(reading));
            let sentence = if baseline.events + canary.events == 0.0 {
                let seen = [baseline.total, canary.total].map(quantity::number);
                format!("no events seen in either arm ({} and {} requests), where a rate of {wanted} would have shown", seen[0], seen[1])
            } else {
                format!("{what}: p {}, and a rate of {wanted} would have shown", quantity::p_value(p))
            };
            draft.decide(Status::Pass, Reason::WithinTolerance, Mode::Counts, sentence);
            return draft.close();
        }
        Rung::Open => {}
    }
    if intervals < needed {
        draft.guard(Guard::FewPoints, format!("{} where {needed} are needed", explain::count(intervals as u64, "interval")));
    }
    if canary.total < metric.min_requests as f64 {
        let seen = explain::count(canary.total.round() as u64, "canary request");
        draft.guard(Guard::FewRequests, format!("{seen} where {} are needed", metric.min_requests));
    }
    if draft.result.guards.is_empty() || p_detectable > claim.p_pass {
        let bursts = if inflation >= 2.0 {
            format!("; events come in bursts here (they vary {} times as much as independent ones)", quantity::number(inflation))
        } else {
            String::new()
        };
        let sentence = format!(
            "{} (of {}) and {} (of {}) leave open whether the rate is {}{bursts}",
            explain::rate(baseline.rate),
            quantity::number(baseline.total),
            explain::rate(canary.rate),
            quantity::number(canary.total),
            explain::rate(excluded.original(reading))
        );
        draft.guard(Guard::CouldNotDetect, sentence);
    }
    let (max, min) = limit::resolve(metric, (baseline.total > 0.0).then_some(baseline.rate));
    let traffic = RatioTraffic {
        canary_total: canary.total,
        canary_rate: canary.rate,
        baseline_total: baseline.total,
        variances: (excluded.rate * (1.0 - excluded.rate), excluded.baseline * (1.0 - excluded.baseline)),
        room: excluded.distance - m.shift,
        inflation,
        would: format!("exclude a rate of {}", explain::rate(excluded.original(reading))),
        rises: reading.rises(),
        limit: if reading.rises() { max } else { min },
        observed_seconds: context.observed_seconds,
        missing_intervals: needed.saturating_sub(intervals),
        step_seconds: context.step_seconds,
    };
    draft.result.remedies = remedy::for_ratio(metric, &traffic);
    fall_back(&mut draft, by_limits(metric, &baseline, &canary));
    draft.close()
}

/// What the limits decide.
fn by_limits(metric: &Metric, baseline: &PooledArm, canary: &PooledArm) -> limit::Decision {
    let level = (baseline.total > 0.0).then_some(baseline.rate);
    let of = |arm: &PooledArm| limit::decide_ratio(metric, arm.events, arm.total, level);
    limit::unless_of_both(of(canary), || of(baseline))
}

/// Whether both arms are the same counts, which vary: no two arms are.
fn is_one_series(cleaned: &CleanMetric) -> bool {
    let seen = slices(&cleaned.baseline.points).1.iter().filter(|m| m.is_finite()).count() >= rule::FEWEST;
    seen && cleaned.is_one_series() && cleaned.varies()
}

/// The worsening that must be excluded for a pass, in the reading.
struct ExclusionLimit {
    /// The baseline's rate.
    baseline: f64,
    /// The canary's rate were it so much worse.
    rate: f64,
    /// How far that is.
    distance: f64,
    totals: (f64, f64),
}

/// A rise by `detectable`, at least a point; a fall of a rare rate to what a rise of the same factor comes from.
fn excluded(metric: &Metric, m: &CountEstimate, (baseline, canary): (&PooledArm, &PooledArm)) -> ExclusionLimit {
    let rate = m.rates.0;
    let (at, distance) = if m.reading.more_is_worse {
        let distance = (metric.detectable * m.level).max(rule::DETECTABLE_RATE);
        ((rate + distance).min(1.0), distance)
    } else {
        let distance = (rate * metric.detectable / (1.0 + metric.detectable)).max(rule::DETECTABLE_RATE);
        ((rate - distance).max(0.0), distance)
    };
    ExclusionLimit { baseline: rate, rate: at, distance, totals: (baseline.total, canary.total) }
}

impl ExclusionLimit {
    /// p-value that the canary is that much worse.
    fn p(&self, m: &CountEstimate) -> f64 {
        let over = |rate: f64, total: f64| if total > 0.0 { rate * (1.0 - rate) / total } else { 0.0 };
        let error = (over(self.rate, self.totals.1) + over(self.baseline, self.totals.0)).sqrt();
        if error > 0.0 { m.compared.p_of((self.distance - m.shift) / error) } else { 1.0 }
    }

    /// The rate as the metric is reported.
    fn original(&self, reading: Reading) -> f64 {
        if reading.complement { 1.0 - self.rate } else { self.rate }
    }
}

/// Whether the last third of the canary shows less than half of the tolerance, against the whole baseline and, where the arms align, the
/// same intervals of it.
fn has_healed(subject: &Subject<'_>, m: &CountEstimate, tolerance: Tolerances) -> bool {
    let cleaned = subject.cleaned;
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    if n.1 < rule::RECENT.2 {
        return false;
    }
    let k = n.1.div_ceil(rule::HEALED.0);
    let less = |baseline: Range<usize>| {
        let rates = m.reading.arms(pooled_rates(&strata_of(cleaned, m.reading, baseline, n.1 - k..n.1)));
        m.reading.worsening(rates) < rule::HEALED.1 * (tolerance.regressed * m.level).max(absolute_tolerance(subject.metric))
    };
    less(0..n.0) && (!cleaned.is_aligned() || less(n.0 - k..n.0))
}

fn suspicion(what: &str, m: &CountEstimate, claim: &Claim, strata: &[Stratum], healed: bool) -> (Reason, String) {
    if healed {
        return (Reason::Healed, format!("was worse at first, no longer: {what}"));
    }
    let p_independent = m.compared.p_independent();
    if claim.p_alone > rule::P_SUSPECT {
        let sentence = format!(
            "{what}; chance alone cannot explain it (p {} if requests are independent), bursts could (p {}): {}",
            quantity::p_value(p_independent),
            quantity::p_value(claim.p_alone),
            concentration(m.rates.0.min(m.rates.1), strata)
        );
        return (Reason::Bursts, sentence);
    }
    if claim.size == Size::Beyond && !claim.admissible {
        let events = if m.intervals == 1 { "one interval".to_owned() } else { explain::count(m.intervals as u64, "interval") };
        return (Reason::Shift, format!("{what}; all of it in {events}, which proves nothing (p {})", quantity::p_value(claim.p_alone)));
    }
    let why = if claim.size == Size::Beyond {
        format!("p {} where {} would prove it", quantity::p_value(claim.p), quantity::p_value(claim.levels.regressed.0 / claim.chances))
    } else {
        format!("beyond the smaller tolerance (p {})", quantity::p_value(claim.p_alone))
    };
    (Reason::Shift, format!("{what}; {why}"))
}

/// "71 % of the excess lies in 3 of 30 intervals".
pub(super) fn concentration(usual: f64, strata: &[Stratum]) -> String {
    let mut excess: Vec<f64> = strata.iter().map(|one| (one.events - usual * one.total).max(0.0)).collect();
    excess.sort_unstable_by(|a, b| b.total_cmp(a));
    let all: f64 = excess.iter().sum();
    let most = excess.iter().take(rule::FEW_INTERVALS).sum::<f64>();
    let share = if all > 0.0 { most / all } else { 0.0 };
    let few = rule::FEW_INTERVALS.min(strata.len());
    format!("{} of the excess lies in {few} of {} intervals", explain::rate(share), strata.len())
}

/// Part of a shift by which the difference of two rates must miss it to be another thing.
const OTHER: f64 = 0.01;

/// "rose 1.4 pp (+72 %), 1.9 % (19 of 1000) in the baseline, 3.3 % (33 of 1000) in the canary; limit +25 % and 0.1 pp".
fn moved(m: &CountEstimate, (baseline, canary): (&PooledArm, &PooledArm), relative: f64, absolute: f64) -> String {
    let levels = format!("{} in the baseline, {} in the canary", baseline.words(), canary.words());
    let rises = m.reading.rises();
    if m.shift == 0.0 {
        return format!("did not move: {levels}");
    }
    let verb = if (m.shift > 0.0) == rises { "rose" } else { "fell" };
    let points = quantity::number(m.shift.abs() * 100.0);
    // The percentage is of the rarer of the baseline's events and non-events, which is named where it is not what the rate counts.
    let of_the_rest = baseline.rate > 0.5;
    let of = if of_the_rest { " of what is left to 100 %" } else { "" };
    let reported = if rises { 1.0 } else { -1.0 };
    let change = explain::change(if of_the_rest { -reported } else { reported } * m.relative());
    // Where the arms' traffic varies by the interval, and not alike, the rates of all requests differ by something else.
    let is_other = ((canary.rate - baseline.rate).abs() - m.shift.abs()).abs() > OTHER * m.shift.abs();
    let within = if is_other { " within the intervals" } else { "" };
    let absolute = Some(format!("{} pp", quantity::number(100.0 * absolute)));
    let allowed = if of_the_rest { explain::limit_of_the_rest(relative, absolute) } else { explain::limit(reported, relative, absolute) };
    format!("{verb} {points} pp{within} ({change}{of}), {levels}; {allowed}")
}
