//! Exact inference on events out of totals.

use statrs::distribution::{Binomial, Discrete, DiscreteCDF};
use statrs::function::beta::{beta_reg, ln_beta};

use super::{StatError, normal_isf, normal_sf};

/// Variance of a count beyond which its tail is taken for normal.
const NORMAL_VARIANCE: f64 = 1e6;
/// Variance of a count beyond which, for power, its distribution is taken for normal.
const LARGE_VARIANCE: f64 = 1e4;

/// Bounds of a rate, each one-sided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateBounds {
    /// The rate is at least this, at the level asked for; 0 where there were no events.
    pub low: f64,
    /// The rate is at most this; 1 where everything was an event.
    pub high: f64,
}

/// Clopper-Pearson bounds of a rate, each at one-sided confidence `1 - alpha`.
///
/// `events` of `total`, as fractions where counts were extrapolated. A total of 0 gives 0 and 1.
///
/// Method: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404, through the incomplete beta function. Checked against R
/// `binom.test`, `fixtures/reference/binomial.json`.
///
/// # Errors
/// [`StatError::NotCounts`] for negative or non-finite counts, or more events than total.
pub fn clopper_pearson(events: f64, total: f64, alpha: f64) -> Result<RateBounds, StatError> {
    let valid = events.is_finite() && total.is_finite() && events >= 0.0 && events <= total;
    if !valid {
        return Err(StatError::NotCounts);
    }
    let others = total - events;
    // P(X >= events) at rate q is I_q(events, others + 1); P(X <= events) is 1 - I_q(events + 1, others).
    let low = if events > 0.0 { beta_quantile(events, others + 1.0, alpha) } else { 0.0 };
    // Without events the bound has a closed form.
    let high = if others <= 0.0 {
        1.0
    } else if events == 0.0 {
        -(alpha.ln() / others).exp_m1()
    } else {
        beta_quantile(events + 1.0, others, 1.0 - alpha)
    };
    Ok(RateBounds { low, high })
}

/// Whether the upper bound of [`clopper_pearson`] is at most a limit, 0 to 1. The share of the beta distribution below the limit tells, which
/// takes a small part of the time that the bound takes; that is looked for where the two are too near to be told apart.
pub(super) fn is_upper_bound_within(events: f64, total: f64, alpha: f64, limit: f64) -> bool {
    /// Share within which rounding might decide.
    const NEAR: f64 = 1e-6;
    let others = total - events;
    if events > 0.0 && others > 0.0 && limit > 0.0 && limit < 1.0 {
        let below = beta_reg(events + 1.0, others, limit);
        if (below - (1.0 - alpha)).abs() > NEAR {
            return below > 1.0 - alpha;
        }
    }
    clopper_pearson(events, total, alpha).is_ok_and(|bounds| bounds.high <= limit)
}

/// The quantile of a beta distribution: the rate `q` at which `I_q(a, b)` is `p`, both parameters above 0.
///
/// Halley steps from a normal approximation (Abramowitz & Stegun 26.5.22), and halves of the interval that holds it where those lead
/// astray.
fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    let scale = ln_beta(a, b);
    let (mut low, mut high) = (0.0, 1.0);
    let mut q = if a >= 1.0 && b >= 1.0 {
        let z = normal_isf(p);
        let (inverse_a, inverse_b) = (1.0 / (2.0 * a - 1.0), 1.0 / (2.0 * b - 1.0));
        let (h, l) = (2.0 / (inverse_a + inverse_b), (z * z - 3.0) / 6.0);
        let w = z * (l + h).max(0.0).sqrt() / h - (inverse_b - inverse_a) * (l + 5.0 / 6.0 - 2.0 / (3.0 * h));
        a / (a + b * (2.0 * w).exp())
    } else {
        a / (a + b)
    };
    let mut last = f64::INFINITY;
    // Halving alone takes some 1,100 steps to the smallest number there is.
    for _ in 0..2_000 {
        if !(q > low && q < high) {
            q = f64::midpoint(low, high);
            if q <= low || q >= high {
                break;
            }
        }
        let excess = beta_reg(a, b, q) - p;
        if excess < 0.0 {
            low = q;
        } else {
            high = q;
        }
        let newton = excess / ((a - 1.0) * q.ln() + (b - 1.0) * (-q).ln_1p() - scale).exp();
        let step = newton / (1.0 - newton / 2.0 * ((a - 1.0) / q - (b - 1.0) / (1.0 - q))).max(0.5);
        // What is left after a step is of the order of its cube.
        if step.abs() <= 1e-8 * q.min(1.0 - q) {
            return (q - step).clamp(low, high);
        }
        q = if step.abs() < 0.5 * last { q - step } else { f64::midpoint(low, high) };
        last = step.abs();
    }
    high
}

/// One-sided mid-p value that the canary's rate is higher, given all events: `P(X > x) + P(X = x) / 2`, X binomial.
///
/// Given `events` in both arms together, the canary's share is binomial with the traffic's share as its chance. 1 where there
/// are no events or one arm has no traffic. Counts are rounded to whole ones.
///
/// Method: exact conditional test (Przyborowski & Wilenski 1940) with Lancaster's mid-p, 1961. Checked against SciPy,
/// `fixtures/reference/binomial.json`.
#[must_use]
pub fn conditional_mid_p(canary_events: f64, canary_total: f64, baseline_events: f64, baseline_total: f64) -> f64 {
    let (x, y) = (canary_events.round().max(0.0) as u64, baseline_events.round().max(0.0) as u64);
    let (events, traffic) = (x.saturating_add(y), canary_total + baseline_total);
    if events == 0 || canary_total <= 0.0 || baseline_total <= 0.0 || !traffic.is_finite() {
        return 1.0;
    }
    let share = canary_total / traffic;
    let variance = events as f64 * share * (1.0 - share);
    if variance > NORMAL_VARIANCE {
        // The series behind the exact tail is cut off before it converges.
        return normal_sf((x as f64 - events as f64 * share) / variance.sqrt());
    }
    Binomial::new(share, events).map_or(1.0, |binomial| (binomial.sf(x) + 0.5 * binomial.pmf(x)).clamp(0.0, 1.0))
}

/// Power of the exact conditional test, one-sided at `alpha`, to find the canary's rate higher than the baseline's.
///
/// Each arm is (total, true rate). The test rejects where `P(X >= x | all events) <= alpha` and the canary has at least
/// `least_events` events. Computed exactly over both arms' binomial distributions, whose
/// tails below 1e-13 are left out; for each number of baseline events the critical number of canary events only grows, so the
/// work is linear in the spread of the counts.
///
/// Counts whose variance exceeds ten thousand are taken for normal.
///
/// Checked against full enumeration with SciPy, `fixtures/reference/binomial.json`.
#[must_use]
pub fn conditional_power(canary: (u64, f64), baseline: (u64, f64), alpha: f64, least_events: u64) -> f64 {
    let ((canary_total, canary_rate), (baseline_total, baseline_rate)) = (canary, baseline);
    let arms = (Binomial::new(canary_rate.clamp(0.0, 1.0), canary_total), Binomial::new(baseline_rate.clamp(0.0, 1.0), baseline_total));
    let (Ok(canary), Ok(baseline)) = arms else { return 0.0 };
    if canary_total == 0 || baseline_total == 0 {
        return 0.0;
    }
    if [(canary_total, canary_rate), (baseline_total, baseline_rate)].iter().any(|(n, p)| *n as f64 * p * (1.0 - p) > LARGE_VARIANCE) {
        return normal_power(canary_total as f64, canary_rate, baseline_total as f64, baseline_rate, alpha);
    }
    let share = canary_total as f64 / (canary_total as f64 + baseline_total as f64);
    let rejects = |x: u64, y: u64| {
        // A tail of exactly alpha rejects, whichever way it was rounded.
        x > 0 && Binomial::new(share, x.saturating_add(y)).is_ok_and(|binomial| binomial.sf(x - 1) <= alpha * (1.0 + 1e-9))
    };
    let (first, last) = spread(baseline_total, baseline_rate);
    let (lowest, highest) = spread(canary_total, canary_rate);
    let mut critical = lowest.max(least_events);
    let mut power = 0.0;
    for y in first..=last {
        while critical <= highest && !rejects(critical, y) {
            critical += 1;
        }
        if critical > highest {
            break;
        }
        let tail = if critical == 0 { 1.0 } else { canary.sf(critical - 1) };
        power += baseline.pmf(y) * tail;
    }
    power.clamp(0.0, 1.0)
}

/// Power of the comparison of two proportions by the normal distribution, for counts so large that it is exact for all purposes.
fn normal_power(m: f64, p: f64, n: f64, q: f64, alpha: f64) -> f64 {
    let pooled = (m * p + n * q) / (m + n);
    let under_null = (pooled * (1.0 - pooled) * (1.0 / m + 1.0 / n)).sqrt();
    let under_alternative = (p * (1.0 - p) / m + q * (1.0 - q) / n).sqrt();
    if under_alternative <= 0.0 {
        return if p > q { 1.0 } else { 0.0 };
    }
    normal_sf((normal_isf(alpha) * under_null - (p - q)) / under_alternative)
}

/// Range of counts outside which a binomial has less than about 1e-13 of its mass.
fn spread(total: u64, rate: f64) -> (u64, u64) {
    let mean = total as f64 * rate;
    let reach = 8.0 * (mean * (1.0 - rate)).sqrt() + 20.0;
    ((mean - reach).max(0.0) as u64, ((mean + reach).min(total as f64)) as u64)
}
