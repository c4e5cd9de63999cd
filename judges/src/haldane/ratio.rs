//! Ratios with counts: errors out of requests, conversions out of visits.

use super::finding::Finding;
use super::history::Learnt;
use super::value::RATIO_POINTS;
use super::{Context, fall_back, finite, ratio_to, relative_tolerances, relative_tolerances_with_history};
use crate::config::{Direction, Metric};
use crate::evidence::{Looks, Points};
use crate::explain;
use crate::quality::{CleanArm, Cleaned};
use crate::remedy::{self, RatioTraffic};
use crate::scorecard::{AppliedLimit, ArmCounts, CountNumbers, Guard, Interval, MetricResult, Mode, Reason, Remedy, Status};
use crate::stats::binomial::{RateBounds, clopper_pearson};
use crate::stats::counts::{self, CountComparison};
use crate::stats::mann_whitney::mann_whitney;
use crate::stats::power::POWER;
use crate::stats::sequential::sequential_p;
use crate::stats::{Sample, normal_isf};
use crate::threshold::{self, sum};

/// Level of the exact test for a regression, shared among the ratios beyond three of a canary.
const P: f64 = 0.01;
const P_SUSPECT: f64 = 0.05;
/// Fewest events in the arm that is worse.
const EVENTS: f64 = remedy::LEAST_EVENTS as f64;
/// Level of the comparison with the baseline in threshold mode, shared among all metrics of a canary, and never above [`P`].
const P_THRESHOLD: f64 = 0.05;
/// Intervals of the worse arm that must have events: one bad minute is no regression.
const EVENT_INTERVALS: usize = 3;
/// Fewest intervals in each arm.
const FEWEST: usize = 3;
/// A gross shift: by the baseline's rate itself, and worse in nearly every one of at least so many intervals.
const GROSS_RELATIVE: f64 = 1.0;
const GROSS_SHARE: f64 = 0.95;
const GROSS_INTERVALS: usize = 5;
/// Level of the tests that allow for bursts for a gross shift, which no burst explains that is ten times the baseline throughout.
const P_GROSS: f64 = 0.05;
const TENFOLD: f64 = 9.0;
/// Independent intervals that a test which allows for bursts must be left with to acquit.
const FEWEST_EFFECTIVE: f64 = 5.0;
/// Looks back at a growing window; of a plan with more of them, so many evenly spread ones.
const MOST_LOOKS: u32 = 100;
/// Smallest rise of a rate that must be detectable: one percentage point.
const DETECTABLE_POINTS: f64 = 0.01;

/// One arm, pooled over the window.
struct Pooled {
    events: f64,
    total: f64,
    rate: f64,
    bounds: RateBounds,
    intervals: usize,
}

impl Pooled {
    fn of(arm: &CleanArm) -> Self {
        let (events, totals) = arm.counted();
        let (x, m) = (sum(&events), sum(&totals));
        let rate = if m > 0.0 { x / m } else { 0.0 };
        let bounds = clopper_pearson(x.min(m), m, 0.05).unwrap_or(RateBounds { low: 0.0, high: 1.0 });
        Self { events: x, total: m, rate, bounds, intervals: events.len() }
    }

    fn numbers(&self) -> ArmCounts {
        let interval = Interval { level: 0.9, low: Some(self.bounds.low), high: Some(self.bounds.high) };
        ArmCounts { events: self.events, total: self.total, rate: self.rate, interval }
    }

    fn words(&self) -> String {
        format!("{} ({} of {})", explain::rate(self.rate), explain::digits(self.events), explain::digits(self.total))
    }
}

pub(super) fn judge(mut finding: Finding, metric: &Metric, cleaned: &Cleaned, context: Context) -> MetricResult {
    let (baseline, canary) = (Pooled::of(&cleaned.baseline), Pooled::of(&cleaned.canary));
    let rises = match metric.direction {
        Direction::Increase => true,
        Direction::Decrease => false,
        Direction::Either => canary.rate >= baseline.rate,
    };
    let tests = Tests::of(cleaned, rises, context.looks);
    let compared = tests.compared;
    let worse_share = worse_share(cleaned, rises);
    let shift = if rises { canary.rate - baseline.rate } else { baseline.rate - canary.rate };
    let relative = ratio_to(shift, level(baseline.rate));
    let (max, min) = threshold::resolve(metric, (baseline.total > 0.0).then_some(baseline.rate));
    let traffic = RatioTraffic {
        canary_total: canary.total,
        canary_rate: canary.rate,
        baseline_total: baseline.total,
        baseline_rate: baseline.rate,
        regressed_rate: rate_to_detect(metric, baseline.rate, rises),
        rises,
        limit: if rises { max } else { min },
        observed_seconds: context.observed_seconds,
    };
    let power = traffic.power(canary.total.round() as u64, baseline.total.round() as u64);
    finding.result.counts = Some(CountNumbers {
        baseline: baseline.numbers(),
        canary: canary.numbers(),
        shift,
        relative_shift: finite(relative),
        p: compared.p,
        p_pooled: compared.p_pooled,
        p_bursts: compared.p_bursts,
        p_looks: context.looks.map(|_| tests.p_regressed),
        worse_share,
        p_dispersion: compared.p_dispersion,
        test: compared.test.name().to_owned(),
        power,
        power_at_rate: traffic.regressed_rate,
    });
    let p_limit = P / (context.live_ratios as f64 / 3.0).max(1.0);
    let learnt = learn(cleaned, rises);
    let bar = Bar::of(metric, (&baseline, &canary), learnt, p_limit, context);
    let limit = bar.limit.clone();
    finding.result.history = learnt.map(|learnt| learnt.numbers(context.chances_of_ratios()));
    finding.result.limit = Some(limit.clone());
    let worse_events = if rises { canary.events } else { baseline.events };
    let intervals = baseline.intervals.min(canary.intervals);
    let beyond = |(relative_limit, absolute): (f64, f64)| shift > 0.0 && shift >= absolute && relative >= relative_limit;
    let check = |limits: (f64, f64), p: f64, level: f64| intervals >= FEWEST && worse_events >= EVENTS && beyond(limits) && p <= level;
    let regressed = (limit.relative, limit.absolute);
    let what = sentence(&baseline, &canary, relative, rises, &limit);
    let spread_out = is_spread_out(if rises { &cleaned.canary } else { &cleaned.baseline });
    if spread_out && check(regressed, tests.p_regressed, p_limit) {
        finding.decide(Status::Regressed, Reason::Shift, Mode::Counts, format!("{what}; {}", p_words(&compared)));
        return finding.close();
    }
    // Drift in both arms leaves the burst-proof tests with next to no independent intervals; no drift explains this.
    let gross = intervals >= GROSS_INTERVALS
        && worse_events >= EVENTS
        && beyond((limit.relative.max(GROSS_RELATIVE), limit.absolute))
        && worse_share >= GROSS_SHARE
        && tests.p_pooled <= p_limit
        && (tests.p_regressed <= P_GROSS || relative >= TENFOLD);
    if gross {
        let sentence = format!("{what}; worse in {} % of the intervals", explain::digits(100.0 * worse_share));
        finding.decide(Status::Regressed, Reason::Gross, Mode::Counts, sentence);
        return finding.close();
    }
    if check(bar.suspect, tests.p, P_SUSPECT) {
        finding.decide(Status::Suspect, Reason::Shift, Mode::Counts, format!("{what}; {}", p_words(&compared)));
        return finding.close();
    }
    raise_guards(&mut finding, metric, &canary, intervals, (power, traffic.regressed_rate));
    // Exact power is an average; an arm that saw more events than most may not exclude what it was to exclude.
    let not_excluded = if rises { canary.bounds.high >= traffic.regressed_rate } else { canary.bounds.low <= traffic.regressed_rate };
    if finding.result.guards.is_empty() && beyond(bar.suspect) && not_excluded {
        let sentence =
            format!("a rate of {} cannot be excluded, of which {} were seen", explain::rate(traffic.regressed_rate), canary.words());
        finding.guard(Guard::LowPower, sentence);
    }
    if let Some(usual) = bar.usual.filter(|usual| *usual > (traffic.regressed_rate - baseline.rate).abs()) {
        let points = |rate: f64| explain::digits(100.0 * rate);
        let sentence = format!(
            "changes of {} pp are usual here by its own history, where one of {} pp must be told from them",
            points(usual),
            points((traffic.regressed_rate - baseline.rate).abs())
        );
        finding.guard(Guard::CouldNotDetect, sentence);
    }
    let unconfirmed =
        compared.effective.filter(|effective| *effective < FEWEST_EFFECTIVE && beyond(bar.suspect) && tests.p_pooled <= p_limit);
    if let Some(effective) = unconfirmed {
        let worth = explain::digits(effective);
        let sentence = format!(
            "events come in bursts or drift: the {intervals} intervals are worth {worth} independent ones, too few to explain the change away"
        );
        finding.guard(Guard::LowPower, sentence);
    }
    if finding.result.guards.is_empty() {
        let (reason, words) = if baseline.events + canary.events == 0.0 {
            (
                Reason::Identical,
                format!("no events in either arm ({} and {} requests)", explain::digits(baseline.total), explain::digits(canary.total)),
            )
        } else {
            (Reason::WithinTolerance, format!("{what}: {}", p_words(&compared)))
        };
        finding.decide(Status::Pass, reason, Mode::Counts, words);
        return finding.close();
    }
    finding.result.remedies = remedies(metric, &traffic, intervals, context);
    let worse = if rises { &canary } else { &baseline };
    // Pooled counts convict here, but not where they were found to come in bursts or drift.
    let worse_than_tolerated = beyond(regressed) && worse.events >= EVENTS && spread_out;
    let p = (worse_than_tolerated && unconfirmed.is_none()).then_some(tests.p_regressed);
    fall_back(&mut finding, decide_by_limits(metric, (&baseline, &canary), p, context));
    finding.close()
}

/// Whether events occur in several intervals, or in every one that had traffic.
fn is_spread_out(arm: &CleanArm) -> bool {
    let (events, totals) = arm.counted();
    let above_zero = |values: &[f64]| values.iter().filter(|v| **v > 0.0).count();
    above_zero(&events) >= EVENT_INTERVALS.min(above_zero(&totals))
}

/// The comparison at this look, and its p-values over all looks so far.
struct Tests {
    compared: CountComparison,
    /// For a suspicion.
    p: f64,
    /// For a regression: with bursts allowed for that the counts are too few to show.
    p_regressed: f64,
    /// Of the pooled counts.
    p_pooled: f64,
}

impl Tests {
    fn of(cleaned: &Cleaned, rises: bool, plan: Option<Looks>) -> Self {
        let whole = (cleaned.baseline.points.len(), cleaned.canary.points.len());
        let compared = compare(cleaned, rises, whole);
        let p_values = |compared: &CountComparison| [compared.p, compared.p.max(compared.p_bursts), compared.p_pooled];
        let [p, p_regressed, p_pooled] = match plan {
            None => p_values(&compared),
            Some(plan) => {
                let seen = looks_so_far(plan, whole, cleaned.grows_along());
                let tested: Vec<([f64; 3], f64)> =
                    seen.into_iter().map(|(size, time)| (p_values(&compare(cleaned, rises, size)), time)).collect();
                [0, 1, 2].map(|i| sequential_p(tested.iter().map(|(p, time)| (normal_isf(p[i].clamp(1e-300, 1.0 - 1e-12)), *time))))
            }
        };
        Self { compared, p, p_regressed, p_pooled }
    }
}

/// The intervals (baseline, canary) that each look so far saw, with the fraction of the plan at which it was taken. The canary grows,
/// and the baseline with it unless it was there in whole.
fn looks_so_far(plan: Looks, whole: (usize, usize), grows_along: bool) -> Vec<((usize, usize), f64)> {
    let (look, looks) = (plan.look.max(1), plan.looks.max(plan.look).max(1));
    let every = look.div_ceil(MOST_LOOKS).max(1);
    let part = |length: usize, i: u32| (length as f64 * f64::from(i) / f64::from(look)).round() as usize;
    // Counted back from this look, which is always among them.
    (0..look.div_ceil(every))
        .map(|back| look - back * every)
        .map(|i| ((if grows_along { part(whole.0, i) } else { whole.0 }, part(whole.1, i)), f64::from(i) / f64::from(looks)))
        .collect()
}

/// Compares the worse arm's rate with the better one's over the first intervals (baseline, canary): paired by interval where the
/// arms align.
fn compare(cleaned: &Cleaned, rises: bool, size: (usize, usize)) -> CountComparison {
    let untested =
        CountComparison { p: 1.0, test: counts::CountTest::NoTraffic, p_pooled: 1.0, p_bursts: 1.0, p_dispersion: None, effective: None };
    let (Points::Counts { events: xb, totals: mb }, Points::Counts { events: xc, totals: mc }) =
        (&cleaned.baseline.points, &cleaned.canary.points)
    else {
        return untested;
    };
    let first = |values: &'_ [f64], size: usize| values[..size.min(values.len())].to_vec();
    let (baseline, canary) = ((first(xb, size.0), first(mb, size.0)), (first(xc, size.1), first(mc, size.1)));
    let ((xw, mw), (xb, mb)) = if rises { (canary, baseline) } else { (baseline, canary) };
    if cleaned.is_aligned() {
        let shared: Vec<usize> = (0..xw.len().min(xb.len())).filter(|i| mw[*i] > 0.0 && mb[*i] > 0.0).collect();
        let seen = |arm: &[f64]| arm.iter().filter(|m| **m > 0.0).count();
        // Pairing must not throw away an arm's traffic: with few shared intervals the arms are compared as they are.
        if shared.len() >= FEWEST && shared.len() * 2 >= seen(&mw).max(seen(&mb)) {
            let pick = |values: &[f64]| shared.iter().map(|i| values[*i]).collect::<Vec<f64>>();
            let (xw, mw, xb, mb) = (pick(&xw), pick(&mw), pick(&xb), pick(&mb));
            let compared =
                counts::compare_aligned(counts::ArmCounts { events: &xw, totals: &mw }, counts::ArmCounts { events: &xb, totals: &mb });
            if let Ok(compared) = compared {
                return compared;
            }
        }
    }
    let counted = |events: Vec<f64>, totals: Vec<f64>| -> (Vec<f64>, Vec<f64>) {
        events.into_iter().zip(totals).filter(|(x, m)| x.is_finite() && m.is_finite()).unzip()
    };
    let ((xw, mw), (xb, mb)) = (counted(xw, mw), counted(xb, mb));
    counts::compare_unaligned(counts::ArmCounts { events: &xw, totals: &mw }, counts::ArmCounts { events: &xb, totals: &mb })
        .unwrap_or(untested)
}

/// What the metric's past says, turned so that more is worse; `None` where it has none.
fn learn(cleaned: &Cleaned, rises: bool) -> Option<Learnt> {
    let none = Points::Counts { events: Vec::new(), totals: Vec::new() };
    let baseline = cleaned.baseline.history.as_ref()?;
    let canary = cleaned.canary.history.as_ref().unwrap_or(&none);
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    Learnt::of_rates((baseline, canary), n, cleaned.is_concurrent(), |(xb, mb), (xc, mc)| {
        let difference = xc / mc - xb / mb;
        Some((if rises { difference } else { -difference }, sampling_variance((xb, mb), (xc, mc))))
    })
}

/// Variance of the difference of two rates if events are independent and the rates the same.
fn sampling_variance((xb, mb): (f64, f64), (xc, mc): (f64, f64)) -> f64 {
    let rate = ((xb + xc) / (mb + mc)).clamp(0.0, 1.0);
    rate * (1.0 - rate) * (1.0 / mb + 1.0 / mc)
}

/// What a difference of rates must exceed to count.
struct Bar {
    /// For a regression, as reported.
    limit: AppliedLimit,
    /// For a suspicion: relative, and as a rate.
    suspect: (f64, f64),
    /// Drift that enough history calls usual, as a rate.
    usual: Option<f64>,
}

impl Bar {
    fn of(metric: &Metric, (baseline, canary): (&Pooled, &Pooled), learnt: Option<Learnt>, p: f64, context: Context) -> Self {
        let absolute = metric.tolerance.absolute.unwrap_or(0.0).max(RATIO_POINTS * 0.01);
        let enough = learnt.filter(Learnt::is_enough);
        let (stated, suspect, from) = if enough.is_some() { relative_tolerances_with_history(metric) } else { relative_tolerances(metric) };
        let needed = |relative: f64, for_suspect: bool, p: f64| {
            let tolerance = absolute.max(relative * level(baseline.rate));
            let drift = learnt.map_or(0.0, |learnt| learnt.usual(for_suspect, context.chances_of_ratios()));
            if drift == 0.0 {
                return (enough.map_or(0.0, |learnt| learnt.centre) + tolerance).max(absolute);
            }
            // Drift is what is left of the placebo windows without their sampling error; this window has its own.
            let variance = if baseline.total > 0.0 && canary.total > 0.0 {
                sampling_variance((baseline.events, baseline.total), (canary.events, canary.total))
            } else {
                0.0
            };
            let usual = drift.hypot(normal_isf(p) * variance.sqrt());
            (enough.map_or(0.0, |learnt| learnt.centre) + tolerance.max(usual)).max(absolute)
        };
        let shift = needed(stated, false, p);
        let from = if shift > absolute.max(stated * level(baseline.rate)) { "history" } else { from };
        let limit = AppliedLimit {
            relative: stated,
            absolute: if from == "history" { shift } else { absolute },
            from: from.to_owned(),
            p,
            shift_in_noise: None,
            instance_spread: None,
        };
        let suspect = (suspect, needed(suspect, true, P_SUSPECT));
        Self { limit, suspect, usual: enough.map(|learnt| learnt.usual(false, context.chances_of_ratios())) }
    }
}

/// Share of the intervals in which the worse arm's rate is above the better one's; over all pairs of intervals where they do not align.
fn worse_share(cleaned: &Cleaned, rises: bool) -> f64 {
    let (worse, better) = if rises { (&cleaned.canary, &cleaned.baseline) } else { (&cleaned.baseline, &cleaned.canary) };
    let (worse, better) = (worse.values(), better.values());
    if cleaned.is_aligned() {
        let both: Vec<(f64, f64)> = worse.into_iter().zip(better).filter(|(w, b)| w.is_finite() && b.is_finite()).collect();
        let wins: f64 = both
            .iter()
            .map(|(w, b)| {
                if w > b {
                    1.0
                } else if w == b {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        return if both.is_empty() { 0.5 } else { wins / both.len() as f64 };
    }
    match (Sample::of_present(&worse), Sample::of_present(&better)) {
        (Ok(worse), Ok(better)) => mann_whitney(&worse, &better).cles,
        _ => 0.5,
    }
}

/// The level that a change of a rate is measured against: the rate, or what is left of it to 1 where that is less, so that 99.9 %
/// success is judged as .1 % failure is.
fn level(rate: f64) -> f64 {
    rate.min(1.0 - rate).max(0.0)
}

/// Rate of the regression that the traffic must be able to show: a rise by `detectable`, at least one percentage point; its mirror
/// image where a fall is worse.
fn rate_to_detect(metric: &Metric, rate: f64, rises: bool) -> f64 {
    if rises {
        (rate + (metric.detectable * level(rate)).max(DETECTABLE_POINTS)).min(1.0)
    } else if rate > 0.5 {
        (rate - (metric.detectable * level(rate)).max(DETECTABLE_POINTS)).max(0.0)
    } else {
        (rate / (1.0 + metric.detectable)).min(rate - DETECTABLE_POINTS).max(0.0)
    }
}

fn raise_guards(finding: &mut Finding, metric: &Metric, canary: &Pooled, intervals: usize, power: (f64, f64)) {
    let needed = FEWEST.max(metric.min_points as usize);
    if intervals < needed {
        finding.guard(Guard::FewPoints, format!("{} where {needed} are needed", explain::count(intervals as u64, "interval")));
    }
    if canary.total < metric.min_requests as f64 {
        let seen = explain::count(canary.total.round() as u64, "canary request");
        finding.guard(Guard::FewRequests, format!("{seen} where {} are needed", metric.min_requests));
    }
    if power.0 < POWER {
        let sentence = format!(
            "a change to {} would be found with {} % power where 80 % are needed",
            explain::rate(power.1),
            (power.0 * 100.0).floor()
        );
        finding.guard(Guard::LowPower, sentence);
    }
}

fn remedies(metric: &Metric, traffic: &RatioTraffic, intervals: usize, context: Context) -> Vec<Remedy> {
    let needed = FEWEST.max(metric.min_points as usize);
    let mut remedies = Vec::new();
    if intervals < needed {
        remedies = remedy::for_points(metric, needed - intervals, context.step_seconds);
        remedies.truncate(1);
    }
    remedies.extend(remedy::for_ratio(metric, traffic));
    remedies
}

/// The declared limits, and the comparison with the baseline where the canary is worse than tolerated: few requests may convict.
fn decide_by_limits(metric: &Metric, arms: (&Pooled, &Pooled), p: Option<f64>, context: Context) -> threshold::Decision {
    let (baseline, canary) = arms;
    let level = (baseline.total > 0.0).then_some(baseline.rate);
    let mut decision = threshold::decide_ratio(metric, canary.events, canary.total, level);
    if let Some(p) = p.filter(|p| decision.status != Status::Regressed && *p <= (P_THRESHOLD / context.live.max(1) as f64).min(P)) {
        decision.status = Status::Regressed;
        decision.reason = Reason::Counts;
        decision.sentence = format!("{} against {} in the baseline, p {}", canary.words(), baseline.words(), explain::digits(p));
    }
    decision
}

fn p_words(compared: &CountComparison) -> String {
    let p = if compared.p < 1e-300 { "below 1e-300".to_owned() } else { explain::digits(compared.p) };
    format!("p {p} ({})", compared.test.name())
}

fn sentence(baseline: &Pooled, canary: &Pooled, relative: f64, rises: bool, limit: &AppliedLimit) -> String {
    let moved = canary.rate - baseline.rate;
    let levels = format!("{} in the baseline, {} in the canary", baseline.words(), canary.words());
    if moved == 0.0 {
        return format!("did not move: {levels}");
    }
    let verb = if moved > 0.0 { "rose" } else { "fell" };
    let change = explain::change(if rises { relative } else { -relative });
    let points = explain::digits(moved.abs() * 100.0);
    let sign = if rises { 1.0 } else { -1.0 };
    let absolute = format!("{} pp", explain::digits(100.0 * limit.absolute));
    let allowed = explain::limit(sign, limit.relative, Some(absolute));
    format!("{verb} {points} pp ({change}), {levels}; {allowed}")
}
