//! Ratios with counts: errors out of requests, conversions out of visits.

use super::finding::Finding;
use super::value::RATIO_POINTS;
use super::{Context, fall_back, finite, ratio_to, relative_tolerances};
use crate::config::{Direction, Metric};
use crate::evidence::Points;
use crate::explain;
use crate::quality::{CleanArm, Cleaned};
use crate::remedy::{self, RatioTraffic};
use crate::scorecard::{AppliedLimit, ArmCounts, CountNumbers, Guard, Interval, MetricResult, Mode, Reason, Remedy, Status};
use crate::stats::Sample;
use crate::stats::binomial::{RateBounds, clopper_pearson};
use crate::stats::counts::{self, CountComparison};
use crate::stats::mann_whitney::mann_whitney;
use crate::stats::power::POWER;
use crate::threshold::{self, sum};

/// Level of the exact test for a regression, shared among the ratios beyond three of a canary.
const P: f64 = 0.01;
const P_SUSPECT: f64 = 0.05;
/// Fewest events in the arm that is worse.
const EVENTS: f64 = remedy::LEAST_EVENTS as f64;
/// Level of the comparison with the baseline in threshold mode, shared among all metrics of a canary.
const P_THRESHOLD: f64 = 0.05;
/// Intervals of the worse arm that must have events: one bad minute is no regression.
const EVENT_INTERVALS: usize = 3;
/// Fewest intervals in each arm.
const FEWEST: usize = 3;
/// A gross shift: by the baseline's rate itself, and worse in nearly every one of at least so many intervals.
const GROSS_RELATIVE: f64 = 1.0;
const GROSS_SHARE: f64 = 0.95;
const GROSS_INTERVALS: usize = 5;
/// Independent intervals that a test which allows for bursts must be left with to acquit.
const FEWEST_EFFECTIVE: f64 = 5.0;
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
    let compared = compare(cleaned, rises);
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
        worse_share,
        p_dispersion: compared.p_dispersion,
        test: compared.test.name().to_owned(),
        power,
        power_at_rate: traffic.regressed_rate,
    });
    let (relative_limit, relative_suspect, from) = relative_tolerances(metric);
    let absolute = metric.tolerance.absolute.unwrap_or(0.0).max(RATIO_POINTS * 0.01);
    let p_limit = P / (context.live_ratios as f64 / 3.0).max(1.0);
    let limit =
        AppliedLimit { relative: relative_limit, absolute, from: from.to_owned(), p: p_limit, shift_in_noise: None, instance_spread: None };
    finding.result.limit = Some(limit.clone());
    let worse_events = if rises { canary.events } else { baseline.events };
    let intervals = baseline.intervals.min(canary.intervals);
    let check = |relative_limit: f64, p: f64| {
        intervals >= FEWEST && worse_events >= EVENTS && shift > 0.0 && shift >= absolute && relative >= relative_limit && compared.p <= p
    };
    let what = sentence(&baseline, &canary, relative, rises, &limit);
    if is_spread_out(if rises { &cleaned.canary } else { &cleaned.baseline }) && check(relative_limit, p_limit) {
        finding.decide(Status::Regressed, Reason::Shift, Mode::Counts, format!("{what}; {}", p_words(&compared)));
        return finding.close();
    }
    // Drift in both arms leaves the burst-proof tests with next to no independent intervals; no drift explains this.
    let gross = intervals >= GROSS_INTERVALS
        && worse_events >= EVENTS
        && shift >= absolute
        && relative >= relative_limit.max(GROSS_RELATIVE)
        && worse_share >= GROSS_SHARE
        && compared.p_pooled <= p_limit;
    if gross {
        let sentence = format!("{what}; worse in {} % of the intervals", explain::digits(100.0 * worse_share));
        finding.decide(Status::Regressed, Reason::Gross, Mode::Counts, sentence);
        return finding.close();
    }
    if check(relative_suspect, P_SUSPECT) {
        finding.decide(Status::Suspect, Reason::Shift, Mode::Counts, format!("{what}; {}", p_words(&compared)));
        return finding.close();
    }
    raise_guards(&mut finding, metric, &canary, intervals, (power, traffic.regressed_rate));
    let unconfirmed = compared.effective.filter(|effective| {
        *effective < FEWEST_EFFECTIVE && shift > 0.0 && shift >= absolute && relative >= relative_suspect && compared.p_pooled <= p_limit
    });
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
    let worse_than_tolerated = shift > 0.0 && shift >= absolute && relative >= relative_limit && worse.events >= EVENTS;
    let p = (worse_than_tolerated && unconfirmed.is_none()).then_some(compared.p_pooled);
    fall_back(&mut finding, decide_by_limits(metric, (&baseline, &canary), p, context));
    finding.close()
}

/// Whether events occur in several intervals, or in every one that had traffic.
fn is_spread_out(arm: &CleanArm) -> bool {
    let (events, totals) = arm.counted();
    let above_zero = |values: &[f64]| values.iter().filter(|v| **v > 0.0).count();
    above_zero(&events) >= EVENT_INTERVALS.min(above_zero(&totals))
}

/// Compares the worse arm's rate with the better one's: paired by interval where the arms align.
fn compare(cleaned: &Cleaned, rises: bool) -> CountComparison {
    let (worse, better) = if rises { (&cleaned.canary, &cleaned.baseline) } else { (&cleaned.baseline, &cleaned.canary) };
    if cleaned.is_aligned()
        && let (Points::Counts { events: xw, totals: mw }, Points::Counts { events: xb, totals: mb }) = (&worse.points, &better.points)
    {
        let shared: Vec<usize> = (0..xw.len()).filter(|i| mw[*i] > 0.0 && mb[*i] > 0.0).collect();
        let seen = |arm: &[f64]| arm.iter().filter(|m| **m > 0.0).count();
        // Pairing must not throw away an arm's traffic: with few shared intervals the arms are compared as they are.
        if shared.len() >= FEWEST && shared.len() * 2 >= seen(mw).max(seen(mb)) {
            let pick = |values: &[f64]| shared.iter().map(|i| values[*i]).collect::<Vec<f64>>();
            let (xw, mw, xb, mb) = (pick(xw), pick(mw), pick(xb), pick(mb));
            let compared =
                counts::compare_aligned(counts::ArmCounts { events: &xw, totals: &mw }, counts::ArmCounts { events: &xb, totals: &mb });
            if let Ok(compared) = compared {
                return compared;
            }
        }
    }
    let ((xw, mw), (xb, mb)) = (worse.counted(), better.counted());
    counts::compare_unaligned(counts::ArmCounts { events: &xw, totals: &mw }, counts::ArmCounts { events: &xb, totals: &mb })
        .unwrap_or(CountComparison { p: 1.0, test: counts::CountTest::NoTraffic, p_pooled: 1.0, p_dispersion: None, effective: None })
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
    if let Some(p) = p.filter(|p| decision.status != Status::Regressed && *p <= P_THRESHOLD / context.live.max(1) as f64) {
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
