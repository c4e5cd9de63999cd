//! Events out of totals, compared interval by interval: an exact stratified deviate, and how much more than independent events the sum
//! varies.
//!
//! The unit of observation is a request, the stratum an interval. [`deviate`] is the normal score if requests are independent. What the
//! scatter between intervals says about bursts and drift is a `Spread`: a posterior of the inflation of the variance, over which the
//! p-value is averaged, so that nothing is switched on or off by it. [`ArmComparison`] takes the smaller p of two readings of that scatter.

use std::sync::LazyLock;

use super::{normal_isf, normal_sf};

/// Points of the grid on which the standard deviation between intervals is averaged: `2^(j/2)` for `j` = -10..=41, in standard
/// deviations of independent requests. Numerical, not a choice.
const GRID: usize = 52;
/// Scale of the half-Cauchy prior of that standard deviation.
const EXCESS: f64 = 0.5;
/// Autocorrelation of the excess before there is data, and the intervals that this belief is worth.
const RHO: (f64, f64) = (0.5, 10.0);
/// Largest autocorrelation of the excess.
const RHO_MAX: f64 = 0.9;
/// Part of a sum that is less than half of its last digit, 2^-54.
const LAST_DIGIT: f64 = f64::EPSILON / 4.0;
/// Newton steps of the saddlepoint; it converges in a few.
const STEPS: usize = 60;

/// The counts of one interval of both arms. `worse` is the arm that is asked about, the canary where more events are worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stratum {
    /// Events of the arm that is asked about.
    pub events: f64,
    /// Its total, at least its events.
    pub total: f64,
    /// Events of the other arm.
    pub other_events: f64,
    /// Its total.
    pub other_total: f64,
}

impl Stratum {
    /// Share of the interval's requests that went to the arm that is asked about.
    fn share(&self) -> f64 {
        over(self.total, self.total + self.other_total)
    }

    /// Whether both arms have requests, and neither so many that the other has none beside them.
    fn compares(&self) -> bool {
        self.total > 0.0 && self.other_total > 0.0 && self.share() < 1.0 && 1.0 - self.share() < 1.0
    }

    /// Without any there is nothing to share, and nothing that scatters around a common rate.
    fn has_events(&self) -> bool {
        self.events + self.other_events > 0.0
    }

    fn both(&self) -> (f64, f64) {
        (self.events + self.other_events, self.total + self.other_total)
    }
}

/// `a / b`, and 0 where `b` is not above 0.
fn over(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Rates of both arms, standardised to the same intervals by the weights `m_1 m_2 / (m_1 + m_2)`, the arm that is asked about first.
///
/// Their difference is the Mantel-Haenszel risk difference, their quotient the Mantel-Haenszel risk ratio, so that traffic shares which
/// change within the window do no harm. Greenland & Robins 1985, doi:10.2307/2530643.
#[must_use]
pub fn standardised_rates(strata: &[Stratum]) -> (f64, f64) {
    let (mut weight, mut events, mut others) = (0.0, 0.0, 0.0);
    for stratum in strata {
        let share = stratum.share();
        weight += share * stratum.other_total;
        events += stratum.events * (1.0 - share);
        others += stratum.other_events * share;
    }
    (over(events, weight), over(others, weight))
}

/// A tail of a sum.
struct SumTail {
    /// Its normal deviate.
    z: f64,
    /// The saddlepoint.
    t: f64,
}

/// Events and the chance of each, stratum by stratum, with room for what is computed of each.
#[derive(Default)]
struct Terms {
    events: Vec<f64>,
    chances: Vec<f64>,
    shares: Vec<f64>,
}

impl Terms {
    /// Sums of what is made of each stratum's events and chance.
    fn sum(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        self.events.iter().zip(&self.chances).map(|(y, q)| of(*y, *q)).sum()
    }

    /// Sum of the tilted events, and their variance.
    fn tilted(&mut self, t: f64) -> (f64, f64) {
        let grown = t.exp();
        // By themselves, so that divisions are made several at a time: expit(t + logit q), by its own odds.
        self.shares.resize(self.chances.len(), 0.0);
        for (share, q) in self.shares.iter_mut().zip(&self.chances) {
            let odds = grown * q / (1.0 - q);
            let part = odds / (1.0 + odds);
            *share = if odds.is_finite() { part } else { 1.0 };
        }
        let add = |(first, second): (f64, f64), (y, share): (&f64, &f64)| (first + y * share, second + y * share * (1.0 - share));
        self.events.iter().zip(&self.shares).fold((0.0, 0.0), add)
    }
}

/// Normal deviate of `P(sum of Binomial(y_i, q_i) >= s)`: Lugannani & Rice 1980 with the lattice correction of Daniels 1987.
///
/// `near` is the saddlepoint of a sum near by. Where `s` lies outside of what can be, the deviate is -40 or 40.
fn tail(s: f64, terms: &mut Terms, near: Option<f64>) -> SumTail {
    let total: f64 = terms.events.iter().sum();
    if s <= 0.0 {
        return SumTail { z: -40.0, t: 0.0 };
    }
    if s > total {
        return SumTail { z: 40.0, t: 0.0 };
    }
    let at = s - 0.5;
    let at = if at > 0.0 && at < total { at } else { total / 2.0 };
    let logit = |p: f64| (p / (1.0 - p)).ln();
    let mean = over(terms.sum(|y, q| y * q), total).clamp(1e-9, 1.0 - 1e-9);
    let mut t = near.unwrap_or_else(|| (at.max(1e-9) / (total - at).max(1e-9)).ln() - logit(mean));
    // Newton for K'(t) = s - 1/2; the tilted shares and their variance at t.
    for _ in 0..STEPS {
        let (first, second) = terms.tilted(t);
        let step = over(first - at, second).clamp(-2.0, 2.0);
        t = (t - step).clamp(-40.0, 40.0);
        if step.abs() <= 1e-13 * t.abs().max(1.0) {
            break;
        }
    }
    let (_, curvature) = terms.tilted(t);
    let growth = t.exp_m1();
    let cumulant = terms.sum(|y, q| y * (q * growth).ln_1p());
    let w = (2.0 * (t * at - cumulant)).max(0.0).sqrt().copysign(t) * f64::from(u8::from(t != 0.0));
    let u = 2.0 * (t / 2.0).sinh() * curvature.sqrt();
    if u.abs() < 0.02 {
        let (variance, third) = (terms.sum(|y, q| y * q * (1.0 - q)), terms.sum(|y, q| y * q * (1.0 - q) * (1.0 - 2.0 * q)));
        return SumTail { z: w + over(third, variance.max(1e-12).powf(1.5)) / 6.0, t };
    }
    SumTail { z: w + (u / w).ln() / w, t }
}

/// Normal deviate of the stratified exact test that the arm which is asked about has more events, mid-p; 0 without events.
///
/// Given an interval's events `X`, that arm's are Binomial(X, q), `q` being its share of the requests. Where events are the majority,
/// non-events take their place; where the sum is below its mean, the arms are swapped, so that swapping them gives exactly the opposite.
/// Scaled by `sqrt(V_binomial / V_hypergeometric)`, which is 1 for rare events. Intervals in which an arm has no traffic carry no weight.
///
/// Counts may be fractional, as extrapolated increases of counters are.
#[must_use]
pub fn deviate(strata: &[Stratum]) -> f64 {
    let compared = || strata.iter().filter(|stratum| stratum.compares());
    let (events, requests) = compared().map(Stratum::both).fold((0.0, 0.0), |sum, (x, n)| (sum.0 + x, sum.1 + n));
    let flip = 2.0 * events > requests;
    let mut terms = Terms { events: Vec::with_capacity(strata.len()), chances: Vec::with_capacity(strata.len()), shares: Vec::new() };
    let (mut s, mut mean, mut total, mut hypergeometric) = (0.0, 0.0, 0.0, 0.0);
    for stratum in compared().filter(|stratum| flip || stratum.has_events()) {
        let n = stratum.both().1;
        let read = |events: f64, total: f64| if flip { total - events } else { events };
        let own = read(stratum.events, stratum.total);
        // Added as the arms' sum is, so that an arm which has them all has no more than all by rounding.
        let y = own + read(stratum.other_events, stratum.other_total);
        let q = stratum.share();
        s += own;
        total += y;
        mean += y * q;
        hypergeometric += y * over(n - y, n - 1.0) * q * (1.0 - q);
        // Without events there is nothing to share, and those of one share add up.
        match (terms.events.last_mut(), terms.chances.last()) {
            _ if y <= 0.0 => {}
            (Some(same), Some(share)) if *share == q => *same += y,
            _ => {
                terms.events.push(y);
                terms.chances.push(q);
            }
        }
    }
    if total <= 0.0 {
        return 0.0;
    }
    let less = s < mean;
    if less {
        s = total - s;
        terms.chances.iter_mut().for_each(|q| *q = 1.0 - *q);
    }
    let left = tail(s, &mut terms, None);
    let right = tail(s + 1.0, &mut terms, Some(left.t));
    let (left, right) = (left.z, right.z);
    let middle = f64::midpoint(normal_sf(left), normal_sf(right));
    let z = if middle > 1e-200 && middle < 1.0 - 1e-12 {
        normal_isf(middle)
    } else if s >= total {
        left
    } else {
        f64::midpoint(left, right)
    };
    let binomial = terms.sum(|y, q| y * q * (1.0 - q));
    let z = z * if hypergeometric > 0.0 { (binomial / hypergeometric).sqrt() } else { 1.0 };
    if flip != less { -z } else { z }
}

/// Residuals of one reading: `r` with variance `v` and fourth cumulant `k` if requests are independent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Residual {
    pub(super) r: f64,
    pub(super) v: f64,
    pub(super) k: f64,
}

/// What is needed of the residuals of one reading.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// Series that were added.
    arms: f64,
    variance: f64,
    squares: f64,
    /// Residuals that can differ from 0.
    informative: f64,
    /// Products of neighbours of one series.
    lag: f64,
    fourth: f64,
}

impl Sums {
    /// Adds a series.
    pub(super) fn and(self, series: impl Iterator<Item = Residual>) -> Self {
        let Self { arms, mut variance, mut squares, mut informative, mut lag, mut fourth } = self;
        let mut last = 0.0;
        for Residual { r, v, k } in series {
            variance += v;
            squares += r * r;
            informative += f64::from(u8::from(v > 0.0));
            lag += last * r;
            fourth += (v * v + k / 2.0).max(0.0);
            last = r;
        }
        Self { arms: arms + 1.0, variance, squares, informative, lag, fourth }
    }
}

/// A point of the grid.
#[derive(Debug, Clone, Copy)]
struct Excess {
    /// Variance of the excess, in variances of independent requests.
    tau: f64,
    /// Its share in a residual's variance, of which alone the autocorrelation speaks.
    kappa: f64,
    /// Logarithm of the prior.
    prior: f64,
}

static EXCESSES: LazyLock<[Excess; GRID]> = LazyLock::new(|| {
    std::array::from_fn(|j| {
        // Each second point is exact, whatever the root rounds to.
        let sd = 2f64.powi((j / 2) as i32 - 5) * if j % 2 == 0 { 1.0 } else { std::f64::consts::SQRT_2 };
        let tau = sd * sd;
        let relative = sd / EXCESS;
        Excess { tau, kappa: tau / (1.0 + tau), prior: (relative / (1.0 + relative * relative)).ln() }
    })
});

/// What the scatter between intervals says about how much more than independent requests a sum varies: a posterior on a grid.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    /// Logarithm of the weight of each point of the grid.
    log: [f64; GRID],
    /// Inflation of the variance of the sum at each point.
    inflation: [f64; GRID],
    /// The same for a window that is compared at its own rates, as placebo windows are.
    of_placebo: [f64; GRID],
}

impl Spread {
    /// `sums` are of residuals in the order of time, of one series or one an arm; `v0` is the variance of the sum if requests are
    /// independent.
    pub(super) fn of(sums: &Sums, v0: f64) -> Self {
        let &Sums { arms, variance, squares, informative, lag, fourth } = sums;
        let n = (informative / arms).max(1.0);
        let effective = over(variance * variance, fourth).min(arms * n);
        let phi = over(squares, variance) * over(n, n - 1.0);
        let scale = if arms == 1.0 { over(variance, v0) } else { over(variance, v0).sqrt() };
        let (mut log, mut inflation, mut of_placebo) = ([0.0; GRID], [1.0; GRID], [1.0; GRID]);
        let informed = n * over(lag, squares) + 1.0;
        for (j, &Excess { tau, kappa, prior }) in EXCESSES.iter().enumerate() {
            let rho = (kappa * informed + RHO.1 * RHO.0) / (kappa * kappa * n + RHO.1);
            let rho = rho.clamp(0.0, RHO_MAX);
            let lasting = (1.0 + rho) / (1.0 - rho);
            let degrees = effective * (n - 1.0) / n / lasting;
            let ratio = phi.max(1e-9) / (1.0 + tau);
            log[j] = prior - degrees / 2.0 * (ratio - 1.0 - ratio.ln());
            inflation[j] = 1.0 + tau * lasting * scale;
            of_placebo[j] = 1.0 + tau * lasting;
        }
        Self { log, inflation, of_placebo }
    }

    /// Adds the deviates of windows in which nothing was released.
    fn learn(&mut self, placebos: &[f64]) {
        for (log, inflation) in self.log.iter_mut().zip(self.of_placebo) {
            *log -= placebos.iter().map(|z| (inflation.ln() + z * z / inflation) / 2.0).sum::<f64>();
        }
    }

    fn weights(&self) -> [f64; GRID] {
        let largest = self.log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut weights = self.log.map(|log| (log - largest).exp());
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        weights
    }
}

/// One arm's events against the other's.
#[derive(Debug, Clone)]
pub struct ArmComparison {
    /// Normal deviate if requests are independent ([`deviate`]).
    pub z: f64,
    readings: Vec<([f64; GRID], [f64; GRID])>,
}

impl ArmComparison {
    /// What says nothing: every p-value is 1.
    #[must_use]
    pub fn nothing() -> Self {
        Self { z: 0.0, readings: Vec::new() }
    }

    /// Compares arms whose intervals align: one stratum an interval, in the order of time. `placebos` are the deviates of earlier
    /// windows of the same length in which nothing was released.
    #[must_use]
    pub fn aligned(strata: &[Stratum], placebos: &[f64]) -> Self {
        Self::of(strata, strata, true, placebos)
    }

    /// Compares arms that do not align: one table of both, and the scatter of each arm around its own rate. Entries of `strata` pair
    /// what does not belong together; each arm's are in the order of time, with totals of 0 where one is shorter.
    #[must_use]
    pub fn unaligned(strata: &[Stratum], placebos: &[f64]) -> Self {
        Self::of(&[pooled(strata)], strata, false, placebos)
    }

    fn of(tables: &[Stratum], strata: &[Stratum], aligned: bool, placebos: &[f64]) -> Self {
        let v0: f64 = tables
            .iter()
            .filter(|stratum| stratum.has_events())
            .map(|stratum| {
                let ((x, n), q) = (stratum.both(), stratum.share());
                x * over(n - x, n - 1.0) * q * (1.0 - q)
            })
            .sum();
        let mut spreads: Vec<Spread> =
            if aligned { paired(strata).map(|sums| Spread::of(&sums, v0)).into_iter().collect() } else { Vec::new() };
        spreads.push(Spread::of(&unpaired(strata), v0));
        Self::of_spreads(deviate(tables), spreads, placebos)
    }

    /// A deviate, with what each reading says of its scatter.
    pub(super) fn of_spreads(z: f64, spreads: Vec<Spread>, placebos: &[f64]) -> Self {
        let learnt = |mut spread: Spread| {
            spread.learn(placebos);
            (spread.weights(), spread.inflation)
        };
        Self { z, readings: spreads.into_iter().map(learnt).collect() }
    }

    /// One-sided p-value if requests are independent.
    #[must_use]
    pub fn p_independent(&self) -> f64 {
        normal_sf(self.z)
    }

    /// One-sided p-value with bursts and drift allowed for.
    #[must_use]
    pub fn p(&self) -> f64 {
        self.p_of(self.z)
    }

    /// The same of another deviate of these arms.
    #[must_use]
    pub fn p_of(&self, z: f64) -> f64 {
        let of = |(weights, inflation): &([f64; GRID], [f64; GRID])| -> f64 {
            let add = |sum: f64, (weight, inflation): (&f64, &f64)| {
                // What has no weight adds nothing, nor does what is less than the last digit.
                if *weight > 1e-18 && *weight > sum * LAST_DIGIT { sum + weight * normal_sf(z / inflation.sqrt()) } else { sum }
            };
            weights.iter().zip(inflation).fold(0.0, add)
        };
        self.readings.iter().map(of).fold(1.0, f64::min)
    }

    /// Posterior median of how much more than independent requests the sum varies; 1 or more.
    #[must_use]
    pub fn inflation(&self) -> f64 {
        let median = |(weights, inflation): &([f64; GRID], [f64; GRID])| {
            let mut below = 0.0;
            let at = weights
                .iter()
                .take_while(|weight| {
                    below += **weight;
                    below < 0.5
                })
                .count();
            inflation[at.min(GRID - 1)]
        };
        self.readings.iter().map(median).fold(f64::INFINITY, f64::min)
    }
}

fn pooled(strata: &[Stratum]) -> Stratum {
    strata.iter().fold(Stratum { events: 0.0, total: 0.0, other_events: 0.0, other_total: 0.0 }, |sum, one| Stratum {
        events: sum.events + one.events,
        total: sum.total + one.total,
        other_events: sum.other_events + one.other_events,
        other_total: sum.other_total + one.other_total,
    })
}

/// Residuals around one rate ratio in all intervals, so that bursts and drift that both arms share cancel. `None` unless both arms have
/// events in intervals with both arms' traffic: there is no ratio then.
fn paired(strata: &[Stratum]) -> Option<Sums> {
    let (up, down) = strata.iter().filter(|one| one.has_events()).fold((0.0, 0.0), |(up, down), one| {
        let q = one.share();
        (up + one.events * (1.0 - q), down + one.other_events * q)
    });
    if up <= 0.0 || down <= 0.0 {
        return None;
    }
    let ratio = up / down;
    let of = |one: &Stratum| {
        if !one.has_events() {
            return Residual::default();
        }
        let q = one.share();
        let other = over(one.both().0, one.other_total + ratio * one.total).clamp(0.0, 1.0);
        let own = (ratio * other).clamp(0.0, 1.0);
        let (a, b) = ((1.0 - q) * (1.0 - q), (ratio * q) * (ratio * q));
        let v_own = a * one.total * own * (1.0 - own);
        let v_other = b * one.other_total * other * (1.0 - other);
        Residual {
            r: (1.0 - q) * one.events - ratio * q * one.other_events,
            v: v_own + v_other,
            k: a * v_own * (1.0 - 6.0 * own * (1.0 - own)) + b * v_other * (1.0 - 6.0 * other * (1.0 - other)),
        }
    };
    Some(Sums::default().and(strata.iter().map(of)))
}

/// Residuals of each arm around its own rate: twice the degrees of freedom, but shared bursts do not cancel.
fn unpaired(strata: &[Stratum]) -> Sums {
    let all = pooled(strata);
    let (q, own, other) = (all.share(), over(all.events, all.total), over(all.other_events, all.other_total));
    let of = |weight: f64, rate: f64, events: f64, total: f64| {
        let v = weight * weight * rate * (1.0 - rate) * total;
        Residual { r: weight * (events - rate * total), v, k: weight * weight * v * (1.0 - 6.0 * rate * (1.0 - rate)) }
    };
    let asked = Sums::default().and(strata.iter().map(|one| of(1.0 - q, own, one.events, one.total)));
    asked.and(strata.iter().map(|one| of(q, other, one.other_events, one.other_total)))
}
