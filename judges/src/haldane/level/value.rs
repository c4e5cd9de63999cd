//! Values: gauges, percentiles, rates, and ratios of which only the quotient is known.

use super::same::{same_arms, sameness};
use crate::config::Direction;
use crate::draft::ResultDraft;
use crate::explain;
use crate::haldane::fallback::{by_limits, fall_back, or_by_limit};
use crate::haldane::ladder::{self, Claim, Rung, Size};
use crate::haldane::numbers::{finite, ratio_to};
use crate::haldane::past::{Compared, Past, PlaceboHistory, Usual, WindowPair, factor, window_sample};
use crate::haldane::rule::{self, Levels};
use crate::haldane::subject::Subject;
use crate::haldane::tolerances::{Tolerances, tolerances};
use crate::limit::present;
use crate::quantity;
use crate::remedy;
use crate::scorecard::{AppliedLimit, Guard, HistoryNumbers, Interval, MetricResult, Mode, Numbers, PairedNumbers, Reason, Status};
use crate::stats::dependence::{lag1_autocorrelation, pooled_inflation, variance_inflation};
use crate::stats::differences::{hodges_lehmann, shift_with_interval_90};
use crate::stats::mann_whitney::mann_whitney;
use crate::stats::mann_whitney::{RankTest, mann_whitney_of};
use crate::stats::paired::{paired_rank_test, paired_rank_test_of};
use crate::stats::ranks::PooledRanks;
use crate::stats::student::{t4_isf, t4_sf};
use crate::stats::{Sample, Z_95, median_of_sorted, normal_sf, pooled_scatter, pooled_scatter_in, scatter};

/// Asymptotic variance of a Hodges-Lehmann shift of normal samples, in those of a difference of means.
const HODGES: f64 = std::f64::consts::FRAC_PI_3;

/// Two windows to compare, and what is known of the time before them.
pub(in crate::haldane) struct Arms<'a> {
    pub(in crate::haldane) baseline: &'a [f64],
    pub(in crate::haldane) canary: &'a [f64],
    pub(in crate::haldane) past: &'a Past,
    pub(in crate::haldane) direction: Direction,
    pub(in crate::haldane) concurrent: bool,
    /// Shifts are in the unit, between means.
    pub(in crate::haldane) rate: bool,
    /// Variance between fresh instances, as a fraction of the level squared.
    pub(in crate::haldane) pods: f64,
}

/// Everything the ladder needs to know of two windows of values, turned so that more is worse.
#[derive(Debug, Clone, Copy)]
pub(in crate::haldane) struct ValueEstimate {
    pub(in crate::haldane) n: (usize, usize),
    /// +1 where a rise of the series is worse, else -1.
    pub(in crate::haldane) sign: f64,
    /// The estimate (E): the shift as a fraction of the level, against the same clock time where that decides; in the unit for rates.
    pub(in crate::haldane) effect: f64,
    /// The shift as it is, in the unit.
    pub(in crate::haldane) shift: f64,
    /// The baseline's typical point, or the mean of a rate.
    pub(in crate::haldane) location: f64,
    /// Size of the baseline's level (L), in the unit.
    pub(in crate::haldane) level: f64,
    /// What the effect is a fraction of: the level, and 1 for rates.
    pub(in crate::haldane) unit: f64,
    /// Its standard error (sigma), and the parts of it that are not the past's.
    pub(in crate::haldane) sigma: f64,
    pub(in crate::haldane) drift: f64,
    pub(in crate::haldane) sampling: f64,
    pub(in crate::haldane) pods: f64,
    pub(in crate::haldane) usual: Usual,
    /// The same estimate of means, with a past only.
    pub(in crate::haldane) means: Option<(f64, f64)>,
    /// Scatter within the arms, in the unit.
    pub(in crate::haldane) noise: f64,
    /// The same of few points, each arm's as a fraction of its own level where that is the larger, so that a canary which is worse by a
    /// factor scatters no more for it; 0 of many.
    pub(in crate::haldane) relative_noise: f64,
    pub(in crate::haldane) test: RankTest,
    pub(in crate::haldane) p_ess: f64,
    pub(in crate::haldane) inflation: f64,
    pub(in crate::haldane) rho: (f64, f64),
    /// 90 % sampling interval of the shift, in the unit, from the same clock time where that decides.
    pub(in crate::haldane) interval: (f64, f64),
    pub(in crate::haldane) rate: bool,
}

impl ValueEstimate {
    /// What the p-values of ranks and of means are multiplied by, which share one level where there are both.
    fn legs(&self) -> (f64, f64) {
        if self.means.is_some() { rule::LEGS } else { (1.0, 1.0) }
    }

    /// Standard error by which an effect is excluded. A rate has none without a past but that of its means.
    fn error(&self) -> f64 {
        if self.has_means_alone() { self.sigma.max((self.shift - self.interval.0) / Z_95) } else { self.sigma }
    }

    fn has_means_alone(&self) -> bool {
        self.rate && !self.usual.is_enough()
    }

    /// The effect of the ranks that reaches a level of the ladder.
    fn reaches(&self, level: f64) -> f64 {
        t4_isf(level / self.legs().0) * self.sigma
    }

    /// Whether fresh instances, of which little is known, are most of what may explain the shift.
    fn is_mostly_of_pods(&self) -> bool {
        !self.usual.is_enough() && self.pods * self.pods > self.drift * self.drift + self.sampling * self.sampling
    }

    /// The same of the means; 0 where there are none.
    fn mean_reaches(&self, level: f64) -> f64 {
        self.means.map_or(0.0, |(_, sigma)| t4_isf(level / self.legs().1) * sigma)
    }
}

/// Measures two windows that have points; `None` where an arm has none.
pub(in crate::haldane) fn measure(arms: &Arms<'_>) -> Option<ValueEstimate> {
    Some(measured(arms, &Sample::of_present(arms.baseline).ok()?, &Sample::of_present(arms.canary).ok()?).0)
}

/// The same of windows whose points were sorted before, with their ranks, the canary's first.
fn measured(arms: &Arms<'_>, b: &Sample, c: &Sample) -> (ValueEstimate, PooledRanks) {
    let rate = arms.rate;
    let rho = (lag1_autocorrelation(arms.baseline), lag1_autocorrelation(arms.canary));
    // Dependence as the baseline has it, so that no move of the canary widens its own allowance; rates have no other.
    let inflation = if rate { pooled_inflation(rho.1, c.len(), rho.0, b.len()) } else { variance_inflation(rho.0, b.len()) };
    let (shift, (mut low, mut high)) = if rate {
        let shift = location_shift(rate, c, b);
        let error = (variance_of_mean(c) + variance_of_mean(b)).sqrt() * inflation.sqrt();
        (shift, (shift - Z_95 * error, shift + Z_95 * error))
    } else {
        let (shift, interval) = shift_with_interval_90(c, b, inflation);
        (shift, (interval.low, interval.high))
    };
    let level = level_of(rate, b, &arms.past.baseline);
    let unit = if rate { 1.0 } else { level };
    let compare = |canary: &[f64], baseline: &[f64]| {
        let (c, b) = (window_sample(canary)?, window_sample(baseline)?);
        let by_means = if rate { (0.0, 0.0) } else { (c.mean() - b.mean(), b.median().abs()) };
        Some(WindowPair { by_location: (location_shift(rate, &c, &b), location(rate, &b).abs()), by_means })
    };
    let n = (arms.baseline.len(), arms.canary.len());
    let compared = Compared::of(arms.past, n, arms.concurrent, !rate, &compare);
    let learnt = PlaceboHistory::of(&compared, rate, location(rate, b).abs(), |pair| pair.by_location);
    // A few windows are as like to be a start-up as what is usual: until there are enough, this window's own scatter decides alone, and
    // the shift is as it is.
    let usual = learnt.usual();
    let usual = if usual.is_enough() { usual } else { Usual { clock: None, ..usual } };
    let raw = if unit > 0.0 { (shift / unit).clamp(-rule::LARGEST_SHIFT, rule::LARGEST_SHIFT) } else { 0.0 };
    let raw = if rate { shift } else { raw };
    let at_clock = |shift: f64| usual.clock.map_or(shift, |earlier| factor(shift) / factor(earlier) - 1.0);
    let effect = at_clock(raw);

    let scatter_within = pooled_scatter(c, b);
    let (mut drift, mut sampling, mut pods) = (0.0, 0.0, 0.0);
    if !rate && unit > 0.0 {
        let few = b.len().min(c.len());
        let own = scatter(b);
        let noise = if few >= rule::BASELINE_SCATTER_FROM { correction(b.len()) * own } else { correction(few) * scatter_within };
        drift = correction(b.len()) * own / unit;
        sampling = (HODGES * inflation * (1.0 / c.len() as f64 + 1.0 / b.len() as f64)).sqrt() * noise / unit;
        if arms.concurrent && !usual.is_enough() {
            pods = arms.pods.sqrt();
        }
    }
    let sigma = with_past((drift * drift + sampling * sampling + pods * pods).sqrt(), usual);
    let sign = sign_of(arms.direction, effect);
    let means = (usual.is_enough() && !rate).then(|| means(&compared, (b, c), level, inflation)).flatten();
    let ranks = PooledRanks::of(c, b);
    let test = mann_whitney_of(&ranks, sign < 0.0);
    if usual.clock.is_some() && unit > 0.0 {
        let seen = |bound: f64| if bound.is_finite() { unit * at_clock(bound / unit) } else { bound };
        (low, high) = (seen(low), seen(high));
    }
    let interval = if sign < 0.0 { (-high, -low) } else { (low, high) };
    let measured = ValueEstimate {
        n: (b.len(), c.len()),
        sign,
        effect: sign * effect,
        shift: sign * shift,
        location: location(rate, b),
        level,
        unit,
        sigma,
        drift,
        sampling,
        pods,
        usual,
        means: means.map(|(effect, sigma)| (sign * effect, sigma)),
        noise: scatter_within,
        relative_noise: if b.len().min(c.len()) < rule::FEW_NOISY.0 {
            pooled_scatter_in((b, level), (c, level.max(c.median().abs())))
        } else {
            0.0
        },
        p_ess: normal_sf(test.z / inflation.sqrt()),
        test,
        inflation,
        rho,
        interval,
        rate,
    };
    (measured, ranks)
}

/// +1 where a rise is worse, -1 where a fall is; the sign of the effect where either is.
fn sign_of(direction: Direction, effect: f64) -> f64 {
    match direction {
        Direction::Increase => 1.0,
        Direction::Decrease => -1.0,
        Direction::Either => {
            if effect < 0.0 {
                -1.0
            } else {
                1.0
            }
        }
    }
}

/// What a scatter of so few points understates.
fn correction(n: usize) -> f64 {
    if n > 1 { n as f64 / (n as f64 - 1.0) } else { 1.0 }
}

fn variance_of_mean(sample: &Sample) -> f64 {
    let n = sample.len() as f64;
    if n < 2.0 {
        return f64::INFINITY;
    }
    let mean = sample.mean();
    sample.sorted().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
}

/// This window's own standard error together with the placebo windows' spread: the former counts as so many windows.
fn with_past(own: f64, usual: Usual) -> f64 {
    if !usual.is_enough() {
        return own;
    }
    let k = usual.windows as f64;
    ((rule::OWN_WINDOWS * own * own + k * usual.spread * usual.spread) / (rule::OWN_WINDOWS + k)).sqrt()
}

/// Hodges-Lehmann shift; the difference of means for a rate, whose values are mostly zero.
fn location_shift(rate: bool, c: &Sample, b: &Sample) -> f64 {
    if rate { c.mean() - b.mean() } else { hodges_lehmann(c, b) }
}

fn location(rate: bool, sample: &Sample) -> f64 {
    if rate { sample.mean() } else { sample.median() }
}

/// Size of the baseline's level, floored by the mean size of its values and of those before them.
fn level_of(rate: bool, b: &Sample, past: &[f64]) -> f64 {
    let size = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, n) = values.filter(|v| v.is_finite()).fold((0.0, 0.0), |(sum, n), v| (sum + v.abs(), n + 1.0));
        if n > 0.0 { sum / n } else { 0.0 }
    };
    let own = size(&mut b.sorted().iter().copied());
    let before = size(&mut past.iter().copied());
    location(rate, b).abs().max(rule::LEVEL_FLOOR * own).max(rule::LEVEL_FLOOR * before)
}

/// The difference of means and its standard error, as fractions of the level: bursts inside a window move the mean, and not the ranks.
fn means(compared: &Compared, (b, c): (&Sample, &Sample), level: f64, inflation: f64) -> Option<(f64, f64)> {
    if level <= 0.0 {
        return None;
    }
    let learnt = PlaceboHistory::of(compared, false, b.median().abs(), |pair| pair.by_means);
    let usual = learnt.usual();
    if !usual.is_enough() {
        return None;
    }
    let raw = (c.mean() - b.mean()) / level;
    let effect = usual.clock.map_or(raw, |earlier| factor(raw) / factor(earlier) - 1.0);
    let sd = |sample: &Sample| (variance_of_mean(sample) * sample.len() as f64).sqrt();
    let own = if b.len() > 1 {
        let sampling = variance_of_mean(b) * b.len() as f64 * inflation * (1.0 / b.len() as f64 + 1.0 / c.len() as f64);
        (sd(b).powi(2) + sampling).sqrt() / level
    } else {
        return None;
    };
    Some((effect, with_past(own, usual)))
}

/// What a shift must reach, from the tolerances and the past.
#[derive(Debug, Clone, Copy)]
pub(in crate::haldane) struct Bar {
    pub(in crate::haldane) tolerance: Tolerances,
    /// In the unit.
    pub(in crate::haldane) absolute: f64,
    /// Both relative tolerances in units of the effect.
    relative: (f64, f64),
    /// The effect that must be excluded for a pass.
    detectable: f64,
}

impl Bar {
    pub(in crate::haldane) fn of(subject: &Subject<'_>, m: &ValueEstimate) -> Self {
        let tolerance = tolerances(subject.metric, m.usual.windows);
        let absolute = subject.absolute_tolerance();
        let scale = if m.rate { m.level } else { 1.0 };
        let detectable = subject.metric.detectable * scale;
        let detectable = if m.rate {
            // A rate that is told to a point is told.
            let point = rule::RATE_DETECTABLE * subject.metric.percentage_point();
            if m.usual.is_enough() { detectable.max(m.effect + point) } else { detectable.max(point) }
        } else if absolute > 0.0 && m.unit > 0.0 {
            detectable.max(absolute / m.unit)
        } else {
            detectable
        };
        Self { tolerance, absolute, relative: (tolerance.regressed * scale, tolerance.suspect * scale), detectable }
    }

    /// The shift, in the unit, that is beyond the tolerance.
    pub(in crate::haldane) fn beyond(&self, m: &ValueEstimate) -> f64 {
        (self.tolerance.regressed * m.level).max(self.absolute)
    }

    /// Whether the shift lies beyond it by its sampling interval.
    fn is_surely_exceeded(&self, m: &ValueEstimate) -> bool {
        m.interval.0 > 0.0 && m.interval.0 * rule::REACHES >= self.beyond(m)
    }

    /// How large an effect is, and what the past and the sample's dependence ask of rates.
    pub(in crate::haldane) fn size(&self, m: &ValueEstimate, effect: f64) -> Size {
        let effect = effect * rule::REACHES;
        let evident = !m.rate || m.usual.is_enough() || m.p_ess <= rule::P_RATE;
        let large = effect > 0.0 && effect * m.unit >= self.absolute && evident;
        Size::of(large && effect >= self.relative.1, large && effect >= self.relative.0)
    }
}

/// p-value of an effect of that standard error, by four degrees of freedom: shifts of healthy metrics have heavy tails.
fn p_of(effect: f64, sigma: f64) -> f64 {
    if sigma > 0.0 {
        t4_sf(effect / sigma)
    } else if effect > 0.0 {
        0.0
    } else {
        1.0
    }
}

const LEVELS: Levels = Levels { regressed: (rule::P_VALUE, 1.0), suspect: (rule::P_SUSPECT, 1.0) };

/// What the ladder is asked of the ranks, and of the means.
pub(in crate::haldane) fn claims(subject: &Subject<'_>, m: &ValueEstimate, chances: f64, healed: [bool; 2]) -> (Claim, Option<Claim>) {
    let bar = Bar::of(subject, m);
    let history = m.usual.is_enough();
    let few = m.n.0.min(m.n.1);
    let beyond_by_sample = bar.is_surely_exceeded(m);
    let noisy = !m.rate && !history && few < rule::FEW_NOISY.0 && m.relative_noise > rule::FEW_NOISY.1 && !is_gross(m);
    let early = is_early(subject, m);
    // Ranks say little of rates, which are mostly zero: means are their estimate.
    let proved = m.rate || m.test.p.greater <= rule::P_RANK;
    let p = p_of(m.effect * rule::REACHES, m.sigma);
    let legs = m.legs();
    let p = legs.0 * p;
    let against = m.unit > 0.0
        && m.effect >= subject.metric.detectable * if m.rate { m.level } else { 1.0 }
        && m.test.p.greater <= rule::AGAINST.1
        && m.shift >= (rule::AGAINST.2 * m.noise).max(bar.absolute)
        && m.effect >= rule::AGAINST.0 * t4_isf(rule::P_SUSPECT) * m.sigma;
    let enough = few >= rule::FEWEST.max(subject.metric.min_points as usize) && (!m.rate || history || few >= rule::FEWEST_RATE);
    // Few points around a typical one of 0 have no level that a change could be excluded of, only the floor that stands for it.
    let enough = enough && (m.rate || few >= rule::BASELINE_SCATTER_FROM || m.location != 0.0);
    let ranks = Claim {
        size: bar.size(m, m.effect),
        p,
        p_alone: if proved { p } else { 1.0 },
        p_dependent: 0.0,
        levels: LEVELS,
        chances,
        neighbours: subject.rivals() as f64,
        admissible: proved && !healed[0] && !noisy,
        early,
        visible: few >= rule::FEWEST && !in_one_bucket(subject),
        unexplained: beyond_by_sample && !history || against,
        // With a past, what is certainly beyond the tolerance and usual all the same is neither suspect nor acquitted.
        p_detectable: (enough && !beyond_by_sample).then(|| p_of((bar.detectable - m.effect) * rule::REACHES, m.error())),
        p_pass: rule::P_PASS / subject.context.passing_looks(),
    };
    let means = m.means.map(|(effect, sigma)| {
        let p = legs.1 * p_of(effect * rule::REACHES, sigma);
        let size = bar.size(m, effect);
        Claim { size, p, p_alone: p, admissible: !healed[1] && !noisy, unexplained: false, p_detectable: None, ..ranks }
    });
    (ranks, means)
}

/// Whether a plan is in its first half and has too few points yet for anything but a gross shift to be proved.
fn is_early(subject: &Subject<'_>, m: &ValueEstimate) -> bool {
    let first_half = subject.context.looks.is_some_and(|plan| plan.look.saturating_mul(2) < plan.looks);
    first_half && m.n.0.min(m.n.1) < rule::PLAN_POINTS && !is_gross(m)
}

/// Whether the typical points of both arms lie in one bucket of the histogram that they are interpolated in: what moved there may be the
/// interpolation alone.
fn in_one_bucket(subject: &Subject<'_>) -> bool {
    bucket(subject).is_some()
}

/// That bucket, as it is bounded.
fn bucket(subject: &Subject<'_>) -> Option<(f64, f64)> {
    let bounds = [&subject.cleaned.baseline.bounds, &subject.cleaned.canary.bounds].into_iter().find(|bounds| !bounds.is_empty())?;
    let [Some(b), Some(c)] = subject.medians else { return None };
    let place = |v: f64| bounds.partition_point(|bound| *bound < v);
    let at = place(b);
    (at == place(c) && at < bounds.len()).then(|| (if at > 0 { bounds[at - 1] } else { 0.0 }, bounds[at]))
}

/// A shift of the level itself, in nearly all comparisons, clear of the scatter (which rates have none of).
pub(in crate::haldane) fn is_gross(m: &ValueEstimate) -> bool {
    let relative = if m.rate { ratio_to(m.shift, m.level) } else { m.effect };
    relative * rule::REACHES >= rule::GROSS.0 && m.test.cles >= rule::GROSS.1 && (m.rate || m.shift >= rule::GROSS.2 * m.noise)
}

/// Variance of the difference of an arm of fresh instances from the baseline's: a prior and what the baseline's own instances show, each
/// left out once, in squared fractions of the level.
pub(in crate::haldane) fn pod_variance(subject: &Subject<'_>) -> f64 {
    let length = subject.baseline.len();
    let turn = |v: f64| subject.mirror.map_or(v, |bound| bound - v);
    let usable = |values: &Vec<f64>| present(values).len() >= (length / 2).max(2) && values.len() == length;
    let instances: Vec<Vec<f64>> = subject
        .cleaned
        .baseline
        .instances
        .iter()
        .map(|instance| instance.values.iter().map(|v| turn(*v)).collect())
        .filter(usable)
        .collect();
    let k = instances.len();
    let (mut variance, mut degrees) = (0.0, 0.0);
    if k >= 2 {
        let mut sums = vec![(0.0, 0.0); length];
        for one in &instances {
            for ((sum, n), v) in sums.iter_mut().zip(one).filter(|(_, v)| v.is_finite()) {
                *sum += v;
                *n += 1.0;
            }
        }
        let compared: Vec<(f64, f64)> = instances
            .iter()
            .take(rule::MOST_INSTANCES)
            .filter_map(|one| {
                let others: Vec<f64> =
                    one.iter().zip(&sums).map(|(v, (sum, n))| if v.is_finite() { (sum - v) / (n - 1.0) } else { sum / n }).collect();
                let (one, others) = (window_sample(one)?, window_sample(&others)?);
                Some((hodges_lehmann(&one, &others), others.median().abs()))
            })
            .collect();
        let mut levels: Vec<f64> = compared.iter().map(|(_, level)| *level).collect();
        levels.sort_unstable_by(f64::total_cmp);
        let floor = rule::LEVEL_FLOOR * median_of_sorted(&levels);
        let apart: Vec<f64> =
            compared.iter().map(|(shift, level)| ratio_to(*shift, level.max(floor)).abs().min(rule::LARGEST_SHIFT)).collect();
        let n = apart.len() as f64;
        if n >= 2.0 {
            // An instance's distance from the others' mean is n / (n - 1) times that from the mean of all.
            variance = apart.iter().map(|r| (r * (n - 1.0) / n).powi(2)).sum::<f64>() / (n - 1.0);
            degrees = n - 1.0;
        }
    }
    let of_canary = subject.cleaned.canary.instances.iter().filter(|one| !present(&one.values).is_empty()).count().max(1) as f64;
    let (sd, worth) = rule::POD;
    (worth * sd * sd + degrees * variance) / (worth + degrees) * (1.0 / of_canary + 1.0 / k.max(1) as f64)
}

/// The arms of the whole window.
pub(in crate::haldane) fn whole<'a>(subject: &'a Subject<'_>) -> Arms<'a> {
    Arms {
        baseline: &subject.baseline,
        canary: &subject.canary,
        past: &subject.past,
        direction: subject.direction,
        concurrent: subject.cleaned.is_concurrent(),
        rate: subject.is_rate(),
        pods: *subject.pods.get_or_init(|| pod_variance(subject)),
    }
}

/// The relative shift of the canary's last points against those of the baseline, turned so that more is worse.
pub(in crate::haldane) fn relative_shift(means: bool, sign: f64, c: &Sample, b: &Sample) -> f64 {
    let shift = if means { c.mean() - b.mean() } else { crate::stats::differences::hodges_lehmann(c, b) };
    let level = if means { b.mean() } else { b.median() }.abs();
    ratio_to(sign * shift, level)
}

/// Whether a worsening of the whole window has provably gone: its last third shows less than half of the tolerance, against the whole
/// baseline and, where the arms align, against the same intervals, and is better than what came before it by a rank test.
///
/// By means where the worsening is one of means. Not against other days' clock times, of which a third of a window says too little.
fn has_healed(subject: &Subject<'_>, m: &ValueEstimate, bar: &Bar, means: bool) -> bool {
    let n = subject.canary.len();
    if n < rule::RECENT.2 || m.usual.clock.is_some() {
        return false;
    }
    let (before, last) = subject.canary.split_at(n - n.div_ceil(rule::HEALED.0));
    let sample = |values: &[f64]| Sample::of_present(values).ok();
    let less = |baseline: &[f64]| {
        let relative = sample(last).zip(sample(baseline)).map(|(last, b)| relative_shift(m.rate || means, m.sign, &last, &b));
        relative.is_some_and(|relative| relative < rule::HEALED.1 * bar.tolerance.regressed)
    };
    let turned = |values: &[f64]| sample(values).map(|sample| if m.sign < 0.0 { sample.negated() } else { sample });
    let better = || {
        let parts = turned(before).zip(turned(last));
        parts.is_some_and(|(before, last)| mann_whitney(&before, &last).p.greater <= rule::P_RANK)
    };
    let aligned = subject.cleaned.is_aligned();
    less(&subject.baseline) && (!aligned || less(&subject.baseline[subject.baseline.len() - last.len()..])) && better()
}

pub(super) fn judge(mut draft: ResultDraft, subject: &Subject<'_>) -> MetricResult {
    let metric = subject.metric;
    let Some(samples) = &subject.samples else {
        // Coverage of at least half leaves a point in each arm, unless the window has none at all.
        draft.decide(Status::NoData, Reason::LowCoverage, Mode::None, "there are no points".to_owned());
        return draft.close();
    };
    let (m, ranks) = measured(&whole(subject), &samples.baseline, &samples.canary);
    let few = m.n.0.min(m.n.1);
    if few >= rule::FEWEST.max(metric.min_points as usize)
        && let Some(same) = sameness(subject)
    {
        return same_arms(draft, subject, &same);
    }
    let bar = Bar::of(subject, &m);
    // Only what is beyond the tolerance can have been proved, and so can have healed.
    let healed = [(Some(m.effect), false), (m.means.map(|(effect, _)| effect), true)]
        .map(|(effect, means)| effect.is_some_and(|effect| bar.size(&m, effect) == Size::Beyond) && has_healed(subject, &m, &bar, means));
    let (claim, means) = claims(subject, &m, subject.chances(), healed);
    let by_ranks = if m.unit > 0.0 { ladder::walk(&claim) } else { ladder::walk(&from_nothing(subject, &m)) };
    let by_means = means.as_ref().map(ladder::walk).filter(|rung| *rung >= Rung::Suspect && *rung > by_ranks);
    draft.result.numbers = Some(numbers(subject, &m, &ranks));
    draft.result.limit = Some(applied(&m, &bar, claim.chances));
    draft.result.history = history_numbers(&m);
    let said = MetricSentences { subject, m: &m, bar: &bar, claim: &claim };
    match by_means.unwrap_or(by_ranks) {
        rung @ (Rung::Regressed | Rung::Suspect) => {
            let status = if rung == Rung::Regressed { Status::Regressed } else { Status::Suspect };
            let (reason, sentence) = said.against(by_means.is_some(), healed[usize::from(by_means.is_some())], rung);
            draft.decide(status, reason, Mode::Statistical, sentence);
            if rung == Rung::Suspect {
                if m.is_mostly_of_pods() {
                    draft.result.remedies = vec![remedy::for_fresh_instances(metric)];
                }
                or_by_limit(&mut draft, by_limits(subject));
            }
            return draft.close();
        }
        Rung::Acquitted => {
            draft.decide(Status::Pass, Reason::WithinTolerance, Mode::Statistical, said.acquitted());
            return draft.close();
        }
        Rung::Open => {}
    }
    raise_guards(&mut draft, &said);
    let mut decision = by_limits(subject);
    if bar.is_surely_exceeded(&m) && decision.status == Status::Pass {
        decision.status = Status::Inconclusive;
        decision.reason = Reason::InsufficientEvidence;
    }
    fall_back(&mut draft, decision);
    draft.close()
}

/// Nothing but zeros in the baseline and before it: no fraction can be told, so that a stated absolute tolerance decides, and any rise is
/// suspect without one.
fn from_nothing(subject: &Subject<'_>, m: &ValueEstimate) -> Claim {
    let absolute = subject.absolute_tolerance();
    let rises = m.shift > 0.0;
    let any = subject.canary.iter().any(|v| v.is_finite() && m.sign * v > 0.0);
    let large = rises && (absolute == 0.0 || m.shift * rule::REACHES >= absolute);
    Claim {
        admissible: absolute > 0.0 && m.interval.0 > 0.0,
        neighbours: 1.0,
        p_detectable: (!rises && !any || absolute > 0.0 && m.interval.1 < absolute).then_some(0.0),
        ..Claim::certain(Size::of(large, large))
    }
}

fn applied(m: &ValueEstimate, bar: &Bar, chances: f64) -> AppliedLimit {
    AppliedLimit {
        relative: bar.tolerance.regressed,
        absolute: bar.absolute,
        from: bar.tolerance.from.to_owned(),
        p: rule::P_VALUE / chances.max(1.0) / m.legs().0,
        proved_from: finite(m.reaches(rule::P_VALUE / chances.max(1.0))),
        instance_spread: (m.pods > 0.0).then_some(m.pods).and_then(finite),
    }
}

fn history_numbers(m: &ValueEstimate) -> Option<HistoryNumbers> {
    (m.usual.windows > 0).then(|| HistoryNumbers {
        windows: m.usual.windows,
        window_points: m.n.0.max(m.n.1),
        spread: finite(m.usual.spread).filter(|spread| *spread < rule::LARGEST_SHIFT),
        usual: finite(m.reaches(rule::P_SUSPECT)).filter(|usual| m.usual.is_enough() && *usual > 0.0 && *usual < rule::LARGEST_SHIFT),
        clock: m.usual.clock.and_then(finite),
    })
}

/// The typical points of baseline and canary as they were reported.
fn locations(subject: &Subject<'_>, rate: bool) -> (f64, f64) {
    let at = |sample: &Sample| subject.original(location(rate, sample));
    subject.samples.as_ref().map_or((0.0, 0.0), |samples| (at(&samples.baseline), at(&samples.canary)))
}

fn numbers(subject: &Subject<'_>, m: &ValueEstimate, ranks: &PooledRanks) -> Numbers {
    let (baseline, canary) = locations(subject, m.rate);
    let usual = t4_isf(rule::P_SUSPECT) * m.sigma;
    Numbers {
        n_baseline: m.n.0,
        n_canary: m.n.1,
        baseline,
        canary,
        level: m.level,
        mirrored_at: subject.mirror,
        shift: m.shift,
        relative_shift: finite(ratio_to(m.shift, m.level)),
        shift_interval: Some(Interval { level: 0.9, low: finite(m.interval.0), high: finite(m.interval.1) }),
        effect: m.effect,
        sigma: finite(m.sigma),
        effect_interval: (m.sigma > 0.0).then(|| Interval { level: 0.9, low: finite(m.effect - usual), high: finite(m.effect + usual) }),
        drift: finite(m.drift),
        sampling: finite(m.sampling),
        pods: finite(m.pods),
        mean_effect: m.means.and_then(|(effect, _)| finite(effect)),
        mean_sigma: m.means.and_then(|(_, sigma)| finite(sigma)),
        noise: m.noise,
        shift_in_noise: if m.rate { None } else { finite(ratio_to(m.shift, m.noise)) },
        u: m.test.u,
        cles: m.test.cles,
        z: m.test.z,
        p: m.test.p.greater,
        p_ess: m.p_ess,
        variance_inflation: m.inflation,
        rho_baseline: m.rho.0,
        rho_canary: m.rho.1,
        paired: if subject.cleaned.is_aligned() { paired(subject, m.sign, ranks) } else { None },
    }
}

fn paired(subject: &Subject<'_>, sign: f64, ranks: &PooledRanks) -> Option<PairedNumbers> {
    let samples = subject.samples.as_ref()?;
    let (canary, baseline) = ((&*subject.canary, &samples.canary), (&*subject.baseline, &samples.baseline));
    if let Ok(test) = paired_rank_test_of(canary, baseline, ranks, sign < 0.0) {
        return Some(PairedNumbers { pairs: subject.baseline.len(), effective: test.effective, p: test.p });
    }
    // An arm has gaps, so that the pairs are fewer than the points that were ranked.
    let both = |(b, c): &(&f64, &f64)| b.is_finite() && c.is_finite();
    let pairs = subject.baseline.iter().zip(subject.canary.iter()).filter(both);
    let (b, c): (Vec<f64>, Vec<f64>) = pairs.map(|(b, c)| (sign * b, sign * c)).unzip();
    let test = paired_rank_test(&c, &b).ok()?;
    Some(PairedNumbers { pairs: b.len(), effective: test.effective, p: test.p })
}

fn raise_guards(draft: &mut ResultDraft, said: &MetricSentences<'_>) {
    let (metric, m, context) = (said.subject.metric, said.m, said.subject.context);
    let few = m.n.0.min(m.n.1);
    let least = if m.rate && !m.usual.is_enough() { rule::FEWEST_RATE } else { rule::FEWEST };
    let needed = (metric.min_points as usize).max(least);
    if few < needed {
        let sentence = format!("{} where {needed} are needed", explain::count(few as u64, "point"));
        draft.guard(Guard::FewPoints, sentence);
        draft.result.remedies = remedy::for_points(metric, needed - few, context.step_seconds);
        return;
    }
    draft.guard(Guard::CouldNotDetect, said.open());
    // Only the sampling error shrinks with more points; what the arms and the past scatter anyway stays.
    let windows = if m.usual.is_enough() { m.usual.windows } else { 0 };
    let share = rule::OWN_WINDOWS / (rule::OWN_WINDOWS + windows as f64);
    let sampling = if m.has_means_alone() { m.error() } else { m.sampling };
    let stays = (m.error().powi(2) - share * sampling * sampling).max(0.0);
    let room = ((said.bar.detectable - m.effect) / t4_isf(said.claim.p_pass)).max(0.0);
    let growth = share * sampling * sampling / (room * room - stays).max(0.0);
    let growth = if m.unit > 0.0 { growth.max(1.0) } else { f64::INFINITY };
    draft.result.remedies = remedy::for_values(metric, growth, context.observed_seconds, context.step_seconds);
}

/// A shift below so much of the levels is rounding.
const NOTHING: f64 = 1e-12;

/// The sentences of one metric.
struct MetricSentences<'a> {
    subject: &'a Subject<'a>,
    m: &'a ValueEstimate,
    bar: &'a Bar,
    claim: &'a Claim,
}

impl MetricSentences<'_> {
    /// +1 where a rise of the values as they were reported is worse.
    fn sign(&self) -> f64 {
        self.m.sign * self.subject.original_sign()
    }

    /// A relative effect as people read it: "+68 %", or in points for rates.
    fn effect(&self, effect: f64) -> String {
        if self.m.rate {
            let points = explain::difference(self.subject.metric, effect.abs());
            format!("{}{points}", if self.sign() * effect < 0.0 { "-" } else { "+" })
        } else {
            let sign = if self.subject.mirror.is_some() { 1.0 } else { self.sign() };
            explain::change(sign * effect)
        }
    }

    /// Where levels end: 0, or the bound that what is near it is measured from.
    fn nothing(&self) -> String {
        self.subject.mirror.map_or_else(|| "0".to_owned(), |bound| explain::quantity(self.subject.metric, bound))
    }

    /// An effect, or where it is larger the fall to 0 of what is never below.
    fn at_most_all(&self, effect: f64) -> f64 {
        let samples = self.subject.samples.as_ref();
        let falls = self.sign() < 0.0 && self.subject.mirror.is_none() && !self.m.rate;
        let never_below = samples.is_some_and(|samples| samples.baseline.min() >= 0.0 && samples.canary.min() >= 0.0);
        if falls && never_below { effect.min(1.0) } else { effect }
    }

    /// "rose 828 ms (+68 %), median 1,217 ms in the baseline, 2,045 ms in the canary".
    fn moved(&self) -> String {
        let (metric, m) = (self.subject.metric, self.m);
        let (from, to) = locations(self.subject, m.rate);
        let middle = if m.rate { "mean" } else { "median" };
        let times = self.subject.cleaned.scaled.map_or_else(String::new, |factor| {
            format!(" ({} times {} for its share of the traffic)", explain::quantity(metric, to / factor), quantity::number(factor))
        });
        let levels =
            format!("{middle} {} in the baseline, {} in the canary{times}", explain::quantity(metric, from), explain::quantity(metric, to));
        // What is left of a difference of equal numbers is none.
        if m.shift.abs() <= NOTHING * from.abs().max(to.abs()) {
            return format!("the typical point did not move ({levels})");
        }
        let verb = if self.sign() * m.shift > 0.0 { "rose" } else { "fell" };
        let of = match self.subject.mirror {
            Some(_) => format!(" of what is left to {}", explain::quantity(metric, self.subject.original(0.0))),
            None => String::new(),
        };
        let change = if m.unit > 0.0 && m.level > 0.0 {
            format!(
                " ({}{of})",
                explain::change(if self.subject.mirror.is_some() { m.shift / m.level } else { self.sign() * m.shift / m.level })
            )
        } else {
            String::new()
        };
        format!("{verb} {}{change}, {levels}", explain::difference(metric, m.shift.abs()))
    }

    /// "±31 %", or in points for rates: the least that raises a suspicion, of the typical point or of the mean.
    fn least(&self, of_means: bool) -> String {
        let m = self.m;
        let size = if of_means { m.mean_reaches(rule::P_SUSPECT) } else { m.reaches(rule::P_SUSPECT) };
        let percent = 100.0 * size;
        match (m.rate, percent.is_finite()) {
            (_, false) => "any change".to_owned(),
            (true, true) => format!("±{}", explain::difference(self.subject.metric, size)),
            (false, true) => format!("±{} %", quantity::number(percent)),
        }
    }

    /// "here ±31 % is usual".
    fn usual(&self, of_means: bool) -> String {
        let m = self.m;
        if m.sigma == 0.0 {
            return String::new();
        }
        let of = if of_means { " of the mean" } else { "" };
        let clock = if let Some(earlier) = m.usual.clock.filter(|_| !of_means) {
            format!(
                "; {} than at this hour on earlier days, which differed by {}",
                self.effect(m.effect),
                explain::change(self.sign() * m.sign * earlier)
            )
        } else {
            String::new()
        };
        let by = if m.usual.is_enough() {
            format!(" by {} windows before", m.usual.windows)
        } else if m.is_mostly_of_pods() {
            ", most of it between fresh instances".to_owned()
        } else {
            String::new()
        };
        format!("; here {} is usual{of}{by}{clock}", self.least(of_means))
    }

    fn limit(&self) -> String {
        let absolute = (self.bar.absolute > 0.0).then(|| explain::difference(self.subject.metric, self.bar.absolute));
        self.limit_of(self.bar.tolerance.regressed, absolute)
    }

    fn limit_of(&self, relative: f64, absolute: Option<String>) -> String {
        if self.subject.mirror.is_some() {
            explain::limit_of_the_rest(relative, absolute)
        } else {
            explain::limit(self.sign(), relative, absolute)
        }
    }

    fn against(&self, by_means: bool, healed: bool, rung: Rung) -> (Reason, String) {
        let m = self.m;
        let moved = if by_means {
            let mean = self.effect(m.means.map_or(0.0, |(effect, _)| effect));
            if self.claim.size >= Size::Near {
                format!("{}; its mean moved by {mean}", self.moved())
            } else {
                format!("its mean moved by {mean} while the typical point moved by {}", self.effect(m.effect))
            }
        } else {
            self.moved()
        };
        let what = format!("{moved}; {}{}", self.limit(), self.usual(by_means));
        if rung == Rung::Regressed {
            return (if by_means { Reason::Mean } else { Reason::Shift }, what);
        }
        if m.unit == 0.0 {
            let never = format!("the baseline was {} throughout", self.nothing());
            return (Reason::FromNothing, format!("{moved}, and {never}, so that no fraction can be told; state tolerance.absolute"));
        }
        let (claim, chances) = (self.claim, self.claim.chances);
        if by_means || claim.size < Size::Near || claim.p_alone > rule::P_SUSPECT {
            if by_means {
                return (Reason::Mean, what);
            }
            let why = if self.bar.is_surely_exceeded(m) {
                "its points lie beyond the tolerance, which their scatter does not explain"
            } else {
                "undecided, and what there is speaks against it"
            };
            return (Reason::UndecidedAgainst, format!("{what}; {why}"));
        }
        let why = if healed && claim.size == Size::Beyond {
            return (Reason::Healed, format!("was worse at first, no longer: {what}"));
        } else if claim.size < Size::Beyond {
            let near = self.limit_of(self.bar.tolerance.suspect, None);
            format!("beyond the smaller tolerance ({})", near.trim_start_matches("limit "))
        } else if m.test.p.greater > rule::P_RANK {
            format!("too few points for a rank test to prove it (p {})", quantity::p_value(m.test.p.greater))
        } else if is_early(self.subject, m) {
            format!("{} points in the first half of a plan prove no shift that is not gross", m.n.0.min(m.n.1))
        } else if !claim.admissible {
            format!("{} points that scatter by {} % prove nothing", m.n.0.min(m.n.1), quantity::number(100.0 * m.relative_noise))
        } else {
            let among = explain::count(self.subject.rivals() as u64, "metric");
            let looks = if chances > self.subject.rivals() as f64 { " and the plan's looks" } else { "" };
            let chance = m.reaches(rule::P_VALUE / chances);
            format!("among {among}{looks} one of up to {} may come by chance", self.effect(chance))
        };
        (Reason::Shift, format!("{what}; {why}"))
    }

    fn acquitted(&self) -> String {
        let m = self.m;
        let excluded = if m.rate || m.unit == 0.0 {
            String::new()
        } else {
            let size = t4_isf(rule::P_SUSPECT) * m.sigma;
            let wanted =
                if self.bar.detectable.is_finite() { self.effect(self.bar.detectable) } else { "a change without bound".to_owned() };
            let ends = [self.effect(m.effect - size), self.effect(m.effect + size)];
            format!("; {} ({} to {}), where {wanted} would have shown", self.effect(m.effect), ends[0], ends[1])
        };
        let judged = match bucket(self.subject) {
            Some((low, high)) if m.shift > 0.0 => {
                let bound = |value: f64| explain::quantity(self.subject.metric, value);
                format!("both lie in one bucket of the histogram ({} to {}), inside of which nothing can be told", bound(low), bound(high))
            }
            _ if m.shift <= 0.0 => "not worse".to_owned(),
            _ if self.claim.size == Size::Small => "within the tolerance".to_owned(),
            _ => "not beyond what is usual".to_owned(),
        };
        format!("{}: {judged}{excluded}; {}", self.moved(), self.limit())
    }

    fn open(&self) -> String {
        let m = self.m;
        if m.unit == 0.0 {
            return format!("the baseline is {} throughout, so that nothing can be said relative to it", self.nothing());
        }
        let size = t4_isf(self.claim.p_pass) * m.error();
        if m.interval.0 <= 0.0 && self.claim.p_detectable.is_none() {
            return format!("{} points around a typical one of 0 have no level that a change could be excluded of", m.n.0.min(m.n.1));
        }
        if self.claim.p_detectable.is_none() {
            return format!("{}: the points lie beyond the tolerance, but {} is usual here", self.moved(), self.least(false));
        }
        let high = self.effect(self.at_most_all(m.effect + size));
        let detectable = self.effect(self.bar.detectable);
        // Of what cannot be told apart when it is written.
        let left_open = if high == detectable {
            format!("not even a change of {high} could be ruled out")
        } else {
            format!("a change of {high} could not be ruled out, where one of {detectable} must be")
        };
        if m.usual.is_enough() && !m.rate {
            return format!("{} is usual here by its own history: {left_open}", self.least(false));
        }
        left_open
    }
}
