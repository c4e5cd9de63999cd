//! Values: gauges, percentiles, rates, and ratios of which only the quotient is known.

use super::finding::Finding;
use super::{Context, fall_back, finite, ratio_to, relative_tolerances};
use crate::config::{Direction, Kind, Metric};
use crate::explain;
use crate::quality::Cleaned;
use crate::remedy;
use crate::scorecard::{AppliedLimit, Guard, Interval, MetricResult, Mode, Numbers, Paired, Reason, Status};
use crate::stats::dependence::{lag1_autocorrelation, pooled_inflation};
use crate::stats::differences::{ShiftInterval, hodges_lehmann, shift_interval_90};
use crate::stats::mann_whitney::{RankTest, mann_whitney};
use crate::stats::paired::paired_rank_test;
use crate::stats::power::{detectable_shift, growth_for};
use crate::stats::{Sample, Z_95, normal_sf, pooled_scatter};
use crate::threshold::{self, present};

/// Fewest points an arm needs for any test.
const FEWEST: usize = 3;
/// Points of each arm from which the shift has an interval.
const FEWEST_WITH_INTERVAL: f64 = 5.0;
/// Fewest points of a ratio without counts for a statistical pass.
const FEWEST_PRE_DIVIDED: usize = 10;
/// Levels of the two p-values for a regression, and of the second for a suspicion.
const P: f64 = 0.05;
const P_ESS: f64 = 0.10;
const P_ESS_SUSPECT: f64 = 0.20;
/// A gross shift: by the level itself, nearly every point worse, clear of the scatter.
const GROSS_RELATIVE: f64 = 1.0;
const GROSS_CLES: f64 = 0.95;
const GROSS_NOISE: f64 = 3.0;
/// Smallest absolute tolerance of a ratio, in percentage points.
pub(super) const RATIO_POINTS: f64 = 0.1;
/// Leave-one-out spread of the baseline's instances that a new instance may exceed by this factor.
const INSTANCE_FACTOR: f64 = 1.5;
/// Instances that are compared one by one.
const MOST_INSTANCES: usize = 8;

/// Everything the rule of one metric looks at, turned so that more is worse.
struct Measured {
    n: (usize, usize),
    shift: f64,
    relative: f64,
    level: f64,
    noise: f64,
    in_noise: f64,
    test: RankTest,
    p_ess: f64,
    inflation: f64,
    rho: (f64, f64),
    interval: ShiftInterval,
    not_ruled_out: f64,
    pre_divided: bool,
}

pub(super) fn judge(mut finding: Finding, metric: &Metric, cleaned: &Cleaned, context: Context) -> MetricResult {
    let (baseline, canary) = (cleaned.baseline.values(), cleaned.canary.values());
    let samples = (Sample::of_present(&baseline), Sample::of_present(&canary));
    let (Ok(b), Ok(c)) = samples else {
        // Coverage of at least half leaves a point in each arm, unless the window has none at all.
        finding.decide(Status::NoData, Reason::LowCoverage, Mode::None, "there are no points".to_owned());
        return finding.close();
    };
    let enough = b.len().min(c.len()) >= FEWEST;
    let same_series = baseline.len() == canary.len() && baseline.iter().zip(&canary).all(|(b, c)| b == c || b.is_nan() && c.is_nan());
    if b.len().min(c.len()) >= FEWEST.max(metric.min_points as usize) && (same_series || one_constant(&b, &c)) {
        let sentence = format!("both arms are the same ({})", explain::quantity(metric, b.median()));
        finding.decide(Status::Pass, Reason::Identical, Mode::None, sentence);
        if !b.is_constant() {
            finding.result.warnings.push("both arms are one and the same series; does the query tell them apart?".to_owned());
        }
        return finding.close();
    }
    let sign = direction_sign(metric, &b, &c);
    let measured = measure(metric, (&baseline, &canary), (&b, &c), sign);
    let spread = instance_spread(metric, cleaned, sign);
    let limit = applied_limit(metric, &measured, spread, context);
    let mut numbers = numbers(&measured, (&b, &c), metric);
    if cleaned.is_aligned() {
        numbers.paired = paired(&baseline, &canary, sign);
    }
    let flag = if enough { flagged(metric, &measured, &limit, spread) } else { None };
    finding.result.numbers = Some(numbers);
    finding.result.limit = Some(limit.clone());
    if let Some((status, reason)) = flag {
        let sentence = sentence(metric, &measured, (&b, &c), &limit, (sign, reason));
        finding.decide(status, reason, Mode::Statistical, sentence);
        return finding.close();
    }
    raise_guards(&mut finding, metric, &measured, enough, sign, context);
    if finding.result.guards.is_empty() {
        let sentence = sentence(metric, &measured, (&b, &c), &limit, (sign, Reason::WithinTolerance));
        finding.decide(Status::Pass, Reason::WithinTolerance, Mode::Statistical, sentence);
    } else {
        let decision = threshold::decide_value(metric, &present(&canary), threshold::baseline_level(cleaned));
        fall_back(&mut finding, decision);
    }
    finding.close()
}

fn one_constant(b: &Sample, c: &Sample) -> bool {
    b.is_constant() && c.is_constant() && b.min() == c.min()
}

fn is_pre_divided(metric: &Metric) -> bool {
    metric.kind == Kind::Ratio
}

/// +1 where a rise is worse, -1 where a fall is; the sign of the shift where either is.
fn direction_sign(metric: &Metric, b: &Sample, c: &Sample) -> f64 {
    match metric.direction {
        Direction::Increase => 1.0,
        Direction::Decrease => -1.0,
        Direction::Either if location_shift(metric, b, c) < 0.0 => -1.0,
        Direction::Either => 1.0,
    }
}

/// Hodges-Lehmann shift; the difference of means for a ratio, whose values are mostly zero.
fn location_shift(metric: &Metric, b: &Sample, c: &Sample) -> f64 {
    if is_pre_divided(metric) { c.mean() - b.mean() } else { hodges_lehmann(c, b) }
}

fn location(metric: &Metric, sample: &Sample) -> f64 {
    if is_pre_divided(metric) { sample.mean() } else { sample.median() }
}

fn measure(metric: &Metric, series: (&[f64], &[f64]), samples: (&Sample, &Sample), sign: f64) -> Measured {
    let turned = |sample: &Sample| if sign < 0.0 { sample.negated() } else { sample.clone() };
    let (b, c) = (turned(samples.0), turned(samples.1));
    let pre_divided = is_pre_divided(metric);
    let shift = location_shift(metric, &b, &c);
    let level = location(metric, &b).abs();
    let relative = ratio_to(shift, level);
    let noise = pooled_scatter(&c, &b);
    let in_noise = ratio_to(shift, noise);
    let test = mann_whitney(&c, &b);
    let rho = (lag1_autocorrelation(series.0), lag1_autocorrelation(series.1));
    let inflation = pooled_inflation(rho.1, c.len(), rho.0, b.len());
    let interval = shift_interval_90(&c, &b, inflation);
    let not_ruled_out = if level > 0.0 { interval.high / level } else { f64::INFINITY };
    Measured {
        n: (b.len(), c.len()),
        shift,
        relative,
        level,
        noise,
        in_noise,
        p_ess: normal_sf(test.z / inflation.sqrt()),
        test,
        inflation,
        rho,
        interval,
        not_ruled_out,
        pre_divided,
    }
}

/// Largest absolute relative shift of one baseline instance against the mean of the others, for concurrent arms read per
/// instance; `None` with fewer than two instances that report.
fn instance_spread(metric: &Metric, cleaned: &Cleaned, sign: f64) -> Option<f64> {
    if !cleaned.is_concurrent() {
        return None;
    }
    let length = cleaned.baseline.points.len();
    let reporting: Vec<&Vec<f64>> =
        cleaned.baseline.instances.iter().filter(|i| present(i).len() >= (length / 2).max(2) && i.len() == length).collect();
    if reporting.len() < 2 {
        return None;
    }
    let others_mean = |except: usize, t: usize| {
        let others = || reporting.iter().enumerate().filter(|(i, _)| *i != except).map(|(_, v)| v[t]).filter(|v| v.is_finite());
        let n = others().count();
        if n == 0 { f64::NAN } else { others().sum::<f64>() / n as f64 }
    };
    let shifts: Vec<(f64, f64)> = (0..reporting.len().min(MOST_INSTANCES))
        .filter_map(|i| {
            let others: Vec<f64> = (0..length).map(|t| others_mean(i, t)).collect();
            let (one, rest) = (Sample::of_present(reporting[i]).ok()?, Sample::of_present(&others).ok()?);
            Some((sign * location_shift(metric, &rest, &one), location(metric, &rest).abs()))
        })
        .collect();
    let mut levels: Vec<f64> = shifts.iter().map(|(_, level)| *level).collect();
    levels.sort_unstable_by(f64::total_cmp);
    // Levels are floored at a tenth of their median, so that one idle instance does not make every shift huge.
    let floor = 0.1 * crate::stats::median_of_sorted(&levels);
    shifts.iter().map(|(shift, level)| ratio_to(*shift, level.max(floor)).abs()).max_by(f64::total_cmp)
}

fn applied_limit(metric: &Metric, measured: &Measured, spread: Option<f64>, context: Context) -> AppliedLimit {
    let (stated, _, from) = relative_tolerances(metric);
    let widened = spread.map_or(0.0, |spread| INSTANCE_FACTOR * spread);
    let (relative, from) = if widened > stated { (widened, "instances") } else { (stated, from) };
    let shift_in_noise = (!measured.pre_divided).then(|| noise_needed(context));
    AppliedLimit {
        relative,
        absolute: absolute_tolerance(metric),
        from: from.to_owned(),
        p: P,
        shift_in_noise,
        instance_spread: spread.and_then(finite),
    }
}

fn absolute_tolerance(metric: &Metric) -> f64 {
    let stated = metric.tolerance.absolute.unwrap_or(0.0);
    if is_pre_divided(metric) { stated.max(RATIO_POINTS * metric.percentage_point()) } else { stated }
}

/// Shift in units of noise that a regression needs; it grows with the number of metrics, of which the largest is looked at.
fn noise_needed(context: Context) -> f64 {
    2.0 + 0.5 * (context.live.max(1) as f64).log2()
}

fn flagged(metric: &Metric, m: &Measured, limit: &AppliedLimit, spread: Option<f64>) -> Option<(Status, Reason)> {
    let (_, suspect, _) = relative_tolerances(metric);
    let widened = spread.map_or(0.0, |spread| INSTANCE_FACTOR * spread);
    let noisy_enough = |needed: f64| m.pre_divided || m.in_noise >= needed;
    let check = |relative: f64, p_ess: f64| {
        let large = m.shift > 0.0 && m.shift >= limit.absolute && m.relative >= relative;
        let shifted = large && m.test.p.greater <= P && m.p_ess <= p_ess && noisy_enough(limit.shift_in_noise.unwrap_or(0.0));
        let gross =
            large && m.relative >= GROSS_RELATIVE && m.test.cles >= GROSS_CLES && noisy_enough(GROSS_NOISE) && m.test.p.greater <= P;
        if shifted {
            Some(Reason::Shift)
        } else if gross {
            Some(Reason::Gross)
        } else {
            None
        }
    };
    if let Some(reason) = check(limit.relative, P_ESS) {
        return Some((Status::Regressed, reason));
    }
    check(suspect.max(widened), P_ESS_SUSPECT).map(|reason| (Status::Suspect, reason))
}

fn raise_guards(finding: &mut Finding, metric: &Metric, m: &Measured, enough: bool, sign: f64, context: Context) {
    let fewest = m.n.0.min(m.n.1);
    let needed = (metric.min_points as usize).max(if m.pre_divided { FEWEST_PRE_DIVIDED } else { FEWEST });
    if fewest < needed {
        let sentence = format!("{} where {needed} are needed", explain::count(fewest as u64, "point"));
        finding.guard(Guard::FewPoints, sentence);
        let missing = needed.max(FEWEST_WITH_INTERVAL as usize) - fewest;
        finding.result.remedies = remedy::for_points(metric, missing, context.step_seconds);
    }
    // What cannot be ruled out only matters where it would be past the absolute tolerance.
    let matters = m.interval.high >= metric.tolerance.absolute.unwrap_or(0.0);
    let detectable = metric.detectable;
    if enough && !m.pre_divided && m.not_ruled_out > detectable && matters {
        let wanted = explain::change(sign * detectable);
        let bound = if m.level == 0.0 {
            "the baseline's level is 0, so that nothing can be said relative to it".to_owned()
        } else if m.not_ruled_out.is_finite() {
            format!("a change of {} could not be ruled out, where one of {wanted} must be", explain::change(sign * m.not_ruled_out))
        } else {
            format!("too few points to rule out a change of any size, where one of {wanted} must be")
        };
        finding.guard(Guard::CouldNotDetect, bound);
        if finding.result.remedies.is_empty() {
            let growth = growth_needed(detectable, m);
            finding.result.remedies = remedy::for_values(metric, growth, context.observed_seconds, context.step_seconds);
        }
    }
}

/// Times the points that would bring the bound below the detectable shift; infinite where more points would not help.
fn growth_needed(detectable: f64, m: &Measured) -> f64 {
    if m.level == 0.0 {
        return f64::INFINITY;
    }
    let room = detectable - m.relative.max(0.0);
    let growth = growth_for(standard_error(m), room / Z_95);
    // Fewer points than these have no interval at all, whatever their scatter.
    growth.max(FEWEST_WITH_INTERVAL / m.n.0.min(m.n.1) as f64)
}

/// Standard error of the relative shift: from the interval, or from the scatter where the samples are too small for one.
fn standard_error(m: &Measured) -> f64 {
    if m.level == 0.0 {
        return f64::INFINITY;
    }
    let width = (m.interval.high - m.interval.low) / (2.0 * Z_95);
    if width.is_finite() && width > 0.0 {
        return width / m.level;
    }
    // Asymptotic standard error of the Hodges-Lehmann shift of normal samples: sqrt(pi/3) sigma sqrt(1/m + 1/n).
    let sizes = (1.0 / m.n.0 as f64 + 1.0 / m.n.1 as f64) * m.inflation;
    (std::f64::consts::PI / 3.0 * sizes).sqrt() * m.noise / m.level
}

fn numbers(m: &Measured, samples: (&Sample, &Sample), metric: &Metric) -> Numbers {
    Numbers {
        n_baseline: m.n.0,
        n_canary: m.n.1,
        baseline: location(metric, samples.0),
        canary: location(metric, samples.1),
        level: m.level,
        shift: m.shift,
        relative_shift: finite(m.relative),
        shift_interval: Some(Interval { level: 0.9, low: finite(m.interval.low), high: finite(m.interval.high) }),
        noise: m.noise,
        shift_in_noise: if m.pre_divided { None } else { finite(m.in_noise) },
        u: m.test.u,
        cles: m.test.cles,
        z: m.test.z,
        p: m.test.p.greater,
        p_ess: m.p_ess,
        variance_inflation: m.inflation,
        rho_baseline: m.rho.0,
        rho_canary: m.rho.1,
        not_ruled_out: finite(m.not_ruled_out),
        detectable: finite(detectable_shift(standard_error(m))),
        paired: None,
    }
}

fn paired(baseline: &[f64], canary: &[f64], sign: f64) -> Option<Paired> {
    let both = |(b, c): &(&f64, &f64)| b.is_finite() && c.is_finite();
    let (b, c): (Vec<f64>, Vec<f64>) = baseline.iter().zip(canary).filter(both).map(|(b, c)| (sign * b, sign * c)).unzip();
    let test = paired_rank_test(&c, &b).ok()?;
    Some(Paired { pairs: b.len(), effective: test.effective, p: test.p })
}

/// "rose 41 ms (+28 %), median 146 ms in the baseline, 187 ms in the canary, 4.2x the usual scatter; limit +25 %". The shift is that
/// of the typical pair of points, which need not be the medians' difference to the last digit.
fn sentence(metric: &Metric, m: &Measured, samples: (&Sample, &Sample), limit: &AppliedLimit, (sign, reason): (f64, Reason)) -> String {
    let (from, to) = (location(metric, samples.0), location(metric, samples.1));
    let moved = sign * m.shift;
    let middle = if is_pre_divided(metric) { "mean" } else { "median" };
    let levels = format!("{middle} {} in the baseline, {} in the canary", explain::quantity(metric, from), explain::quantity(metric, to));
    if moved == 0.0 {
        return format!("did not move ({levels})");
    }
    let verb = if moved > 0.0 { "rose" } else { "fell" };
    let change = explain::change(sign * m.relative);
    let scatter = if m.pre_divided || !m.in_noise.is_finite() || m.shift <= 0.0 {
        String::new()
    } else {
        format!(", {}x the usual scatter", explain::digits(m.in_noise))
    };
    let what = format!("{verb} {} ({change}), {levels}{scatter}", explain::difference(metric, moved.abs()));
    let absolute = (limit.absolute > 0.0).then(|| explain::difference(metric, limit.absolute));
    let allowed = explain::limit(sign, limit.relative, absolute);
    match reason {
        Reason::WithinTolerance if m.shift <= 0.0 => format!("{what}: not worse; {allowed}"),
        Reason::WithinTolerance if m.relative < limit.relative => format!("{what}: within the tolerance; {allowed}"),
        Reason::WithinTolerance if m.test.p.greater > P || m.p_ess > P_ESS_SUSPECT => {
            let p = explain::digits(m.test.p.greater.max(m.p_ess));
            format!("{what}: the evidence for it is weak (p {p}); {allowed}")
        }
        Reason::WithinTolerance => format!("{what}: not clear of the scatter; {allowed}"),
        Reason::Gross => format!("{what}: worse in {} % of comparisons; {allowed}", explain::digits(100.0 * m.test.cles)),
        _ => format!("{what}; {allowed}"),
    }
}
