//! Values: gauges, percentiles, rates, and ratios of which only the quotient is known.

use super::finding::Finding;
use super::history::{Learnt, window_sample};
use super::looks;
use super::{Context, fall_back, finite, ratio_to, relative_tolerances, relative_tolerances_with_history};
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
use crate::stats::prediction::student_quantile;
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
/// Shift in units of noise that a regression needs where history says what is usual.
const NOISE_WITH_HISTORY: f64 = 1.0;
/// Share of the detectable shift that the window must rule out where history calls the whole of it usual.
const RULED_OUT_WITH_HISTORY: f64 = 0.5;
/// Rise of a rate that must be detectable, in percentage points, where that is more than the detectable multiple of it.
const DETECTABLE_POINTS: f64 = 1.0;
/// Leave-one-out spread of the baseline's instances that a new instance may exceed by this factor.
const INSTANCE_FACTOR: f64 = 1.5;
/// Instances that are compared one by one.
const MOST_INSTANCES: usize = 8;

/// Everything the rule of one metric looks at, turned so that more is worse.
#[derive(Clone, Copy)]
struct Measured {
    n: (usize, usize),
    shift: f64,
    relative: f64,
    level: f64,
    noise: f64,
    in_noise: f64,
    test: RankTest,
    /// The rank test's p-value, over all looks of a plan.
    p: f64,
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
    let mut measured = measure(metric, (&baseline, &canary), (&b, &c), sign);
    let spread = instance_spread(metric, cleaned, sign);
    let learnt = learn(metric, cleaned, sign);
    let bar = Bar::of(metric, &measured, spread, learnt, context);
    // Earlier looks matter only where the rest of the evidence would do.
    let p_looks = if enough && flagged(&Measured { p: 0.0, ..measured }, &bar).is_some() {
        let turned = |values: &[f64]| {
            let sample = Sample::of_present(values).ok()?;
            Some(if sign < 0.0 { sample.negated() } else { sample })
        };
        looks::p_over_looks(context.looks, measured.p, cleaned, turned)
    } else {
        None
    };
    measured.p = p_looks.unwrap_or(measured.p);
    let mut numbers = numbers(&measured, (&b, &c), metric);
    if cleaned.is_aligned() {
        numbers.paired = paired(&baseline, &canary, sign);
    }
    numbers.p_looks = p_looks;
    let flag = if enough { flagged(&measured, &bar).or_else(|| flagged_alone(metric, &measured, spread, learnt, context)) } else { None };
    finding.result.numbers = Some(numbers);
    finding.result.limit = Some(bar.limit.clone());
    finding.result.history = learnt.map(|learnt| learnt.numbers(chances(metric, context)));
    if let Some((status, reason)) = flag {
        let sentence = sentence(metric, &measured, (&b, &c), &bar.limit, (sign, reason));
        finding.decide(status, reason, Mode::Statistical, sentence);
        return finding.close();
    }
    raise_guards(&mut finding, metric, &measured, &bar, enough, sign, context);
    if finding.result.guards.is_empty() {
        let sentence = sentence(metric, &measured, (&b, &c), &bar.limit, (sign, Reason::WithinTolerance));
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
        p: test.p.greater,
        test,
        inflation,
        rho,
        interval,
        not_ruled_out,
        pre_divided,
    }
}

/// How far the baseline's instances stand apart, as a fraction of the level.
#[derive(Debug, Clone, Copy)]
struct Spread {
    /// Largest absolute shift of one against the others.
    largest: f64,
    /// What 95 of 100 canaries of as many instances stay below, were their instances drawn from the same normal population: of two or
    /// three instances the largest says little.
    predicted: f64,
}

impl Spread {
    /// Relative shift that a canary of new instances may show.
    fn allowance(spread: Option<Self>) -> f64 {
        spread.map_or(0.0, |spread| (INSTANCE_FACTOR * spread.largest).max(spread.predicted))
    }
}

/// Largest absolute relative shift of one baseline instance against the mean of the others, for concurrent arms read per
/// instance; `None` with fewer than two instances that report.
fn instance_spread(metric: &Metric, cleaned: &Cleaned, sign: f64) -> Option<Spread> {
    if !cleaned.is_concurrent() {
        return None;
    }
    let length = cleaned.baseline.points.len();
    let reporting: Vec<&Vec<f64>> = cleaned
        .baseline
        .instances
        .iter()
        .map(|i| &i.values)
        .filter(|i| present(i).len() >= (length / 2).max(2) && i.len() == length)
        .collect();
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
    let relative: Vec<f64> = shifts.iter().map(|(shift, level)| ratio_to(*shift, level.max(floor)).abs()).collect();
    let largest = relative.iter().copied().max_by(f64::total_cmp)?;
    // An instance's distance from the others' mean is k / (k - 1) times that from the mean of all.
    let k = relative.len() as f64;
    let variance = relative.iter().map(|r| (r * (k - 1.0) / k).powi(2)).sum::<f64>() / (k - 1.0).max(1.0);
    let canary = cleaned.canary.instances.iter().filter(|one| !present(&one.values).is_empty()).count().max(1) as f64;
    let predicted = student_quantile(0.95, k - 1.0) * (variance * (1.0 / canary + 1.0 / k)).sqrt();
    Some(Spread { largest, predicted })
}

/// What the metric's past says, turned so that more is worse; `None` where it has none.
fn learn(metric: &Metric, cleaned: &Cleaned, sign: f64) -> Option<Learnt> {
    let histories = (cleaned.baseline.history_values(), cleaned.canary.history_values());
    let n = (cleaned.baseline.points.len(), cleaned.canary.points.len());
    let by_blocks = !is_pre_divided(metric);
    Learnt::of((&histories.0, &histories.1), n, cleaned.is_concurrent(), by_blocks, |baseline, canary| {
        let (b, c) = (window_sample(baseline)?, window_sample(canary)?);
        // A rate is zero in most windows: its shifts are learnt in points, and not as fractions of next to nothing.
        let level = if is_pre_divided(metric) { 1.0 } else { location(metric, &b) };
        Some((sign * location_shift(metric, &b, &c), level))
    })
}

/// What a shift must exceed to count.
struct Bar {
    /// The tolerances for a regression, as reported.
    limit: AppliedLimit,
    /// Relative and absolute shift for a suspicion.
    suspect: (f64, f64),
    /// Levels of the autocorrelation-corrected p-value for both; 1 where history takes its place.
    p_ess: (f64, f64),
    /// Whether a gross shift needs no such p-value.
    gross: bool,
    /// Relative shift that history calls usual, by which the metric is blind where it is large; `None` where history does not decide.
    usual: Option<f64>,
}

impl Bar {
    fn of(metric: &Metric, measured: &Measured, spread: Option<Spread>, learnt: Option<Learnt>, context: Context) -> Self {
        match learnt {
            Some(learnt) if learnt.is_enough() => Self::from_history(metric, measured, spread, learnt, context),
            few => Self::without_history(metric, measured, spread, few, context),
        }
    }

    fn from_history(metric: &Metric, measured: &Measured, spread: Option<Spread>, learnt: Learnt, context: Context) -> Self {
        let (stated, suspect, from) = relative_tolerances_with_history(metric);
        let absolute = absolute_tolerance(metric);
        let usual = |suspect: bool| learnt.usual(suspect, chances(metric, context));
        // The distance from the centre must reach what is usual and the tolerance, the shift itself the tolerance.
        let needed = |tolerance: f64, usual: f64| {
            if measured.pre_divided {
                (tolerance, absolute.max(learnt.centre + usual.max(tolerance * measured.level)))
            } else {
                ((learnt.centre + tolerance.max(usual)).max(tolerance), absolute)
            }
        };
        let regressed = needed(stated, usual(false));
        let from = if regressed == (stated, absolute) { from } else { "history" };
        let blind = if measured.pre_divided { ratio_to(usual(false), measured.level) } else { usual(false) };
        // A rate's limit within a point blinds nobody, however many times the rate it is.
        let told = measured.pre_divided && usual(false) <= DETECTABLE_POINTS * metric.percentage_point();
        Self {
            limit: applied(measured, regressed, from, spread, NOISE_WITH_HISTORY),
            suspect: needed(suspect, usual(true)),
            p_ess: if learnt.is_short() { (P_ESS, P_ESS_SUSPECT) } else { (1.0, 1.0) },
            gross: false,
            usual: Some(if told { 0.0 } else { blind.max(stated) }),
        }
    }

    fn without_history(metric: &Metric, measured: &Measured, spread: Option<Spread>, few: Option<Learnt>, context: Context) -> Self {
        let (stated, suspect, from) = relative_tolerances(metric);
        let absolute = absolute_tolerance(metric);
        let usual = few.map_or(0.0, |learnt| learnt.usual(false, 1.0));
        let usual = if measured.pre_divided { ratio_to(usual, measured.level) } else { usual };
        // What few instances leave open is no regression; it is a suspicion.
        let (widened, observed) = (Spread::allowance(spread), spread.map_or(0.0, |spread| INSTANCE_FACTOR * spread.largest));
        let relative = stated.max(usual).max(widened);
        let from = if relative <= stated {
            from
        } else if widened >= usual {
            "instances"
        } else {
            "history"
        };
        Self {
            limit: applied(measured, (relative, absolute), from, spread, noise_needed(context)),
            suspect: (suspect.max(usual).max(observed), absolute),
            p_ess: (P_ESS, P_ESS_SUSPECT),
            gross: true,
            usual: None,
        }
    }
}

fn applied(measured: &Measured, (relative, absolute): (f64, f64), from: &str, spread: Option<Spread>, shift_in_noise: f64) -> AppliedLimit {
    AppliedLimit {
        relative,
        absolute,
        from: from.to_owned(),
        p: P,
        shift_in_noise: (!measured.pre_divided).then_some(shift_in_noise),
        instance_spread: spread.and_then(|spread| finite(spread.largest)),
    }
}

/// Chances of a false flag that the metric shares: rates are learnt in points and compete among themselves.
fn chances(metric: &Metric, context: Context) -> f64 {
    if is_pre_divided(metric) { context.chances_of_ratios() } else { context.chances() }
}

fn absolute_tolerance(metric: &Metric) -> f64 {
    let stated = metric.tolerance.absolute.unwrap_or(0.0);
    if is_pre_divided(metric) { stated.max(RATIO_POINTS * metric.percentage_point()) } else { stated }
}

/// Shift in units of noise that a regression needs; it grows with the number of metrics, of which the largest is looked at.
fn noise_needed(context: Context) -> f64 {
    2.0 + 0.5 * context.chances().log2()
}

fn flagged(m: &Measured, bar: &Bar) -> Option<(Status, Reason)> {
    let noisy_enough = |needed: f64| m.pre_divided || m.in_noise >= needed;
    let check = |(relative, absolute): (f64, f64), p_ess: f64| {
        let large = m.shift > 0.0 && m.shift >= absolute && m.relative >= relative;
        let shifted = large && m.p <= P && m.p_ess <= p_ess && noisy_enough(bar.limit.shift_in_noise.unwrap_or(0.0));
        let gross =
            large && bar.gross && m.relative >= GROSS_RELATIVE && m.test.cles >= GROSS_CLES && noisy_enough(GROSS_NOISE) && m.p <= P;
        if shifted {
            Some(Reason::Shift)
        } else if gross {
            Some(Reason::Gross)
        } else {
            None
        }
    };
    if let Some(reason) = check((bar.limit.relative, bar.limit.absolute), bar.p_ess.0) {
        return Some((Status::Regressed, reason));
    }
    check(bar.suspect, bar.p_ess.1).map(|reason| (Status::Suspect, reason))
}

/// What this look would flag were it the only one is suspect at least: a plan asks for more before it fails, and not before it passes.
fn flagged_alone(
    metric: &Metric,
    m: &Measured,
    spread: Option<Spread>,
    learnt: Option<Learnt>,
    context: Context,
) -> Option<(Status, Reason)> {
    context.looks?;
    let bar = Bar::of(metric, m, spread, learnt, Context { looks: None, ..context });
    let (_, reason) = flagged(&Measured { p: m.test.p.greater, ..*m }, &bar)?;
    Some((Status::Suspect, reason))
}

fn raise_guards(finding: &mut Finding, metric: &Metric, m: &Measured, bar: &Bar, enough: bool, sign: f64, context: Context) {
    let fewest = m.n.0.min(m.n.1);
    let needed = (metric.min_points as usize).max(if m.pre_divided && bar.usual.is_none() { FEWEST_PRE_DIVIDED } else { FEWEST });
    if fewest < needed {
        let sentence = format!("{} where {needed} are needed", explain::count(fewest as u64, "point"));
        finding.guard(Guard::FewPoints, sentence);
        let missing = needed.max(FEWEST_WITH_INTERVAL as usize) - fewest;
        finding.result.remedies = remedy::for_points(metric, missing, context.step_seconds);
    }
    let detectable = metric.detectable;
    // What cannot be ruled out only matters where it would be past the absolute tolerance.
    let matters = m.interval.high >= metric.tolerance.absolute.unwrap_or(0.0);
    // Where the metric often changes by that much, the window must rule out half of it to acquit on its own.
    let (told, ruled_out) = match bar.usual {
        Some(usual) => (usual <= detectable, RULED_OUT_WITH_HISTORY * detectable),
        None => (m.pre_divided, detectable),
    };
    if enough && !told && m.not_ruled_out > ruled_out && matters {
        let wanted = explain::change(sign * detectable);
        let bound = if let Some(usual) = bar.usual {
            let usual =
                if usual.is_finite() { format!("changes of {}", explain::change(sign * usual)) } else { "changes of any size".to_owned() };
            format!("{usual} are usual here by its own history, where one of {wanted} must be told from them")
        } else if m.level == 0.0 {
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
        p_looks: None,
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
        Reason::WithinTolerance if m.relative < limit.relative || m.shift < limit.absolute => {
            format!("{what}: within the tolerance; {allowed}")
        }
        Reason::WithinTolerance if m.p > P || m.p_ess > P_ESS_SUSPECT => {
            let p = explain::digits(m.p.max(m.p_ess));
            format!("{what}: the evidence for it is weak (p {p}); {allowed}")
        }
        Reason::WithinTolerance => format!("{what}: not clear of the scatter; {allowed}"),
        Reason::Gross => format!("{what}: worse in {} % of comparisons; {allowed}", explain::digits(100.0 * m.test.cles)),
        _ => format!("{what}; {allowed}"),
    }
}
