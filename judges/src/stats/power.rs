//! What data can show, and how much of it would show more.

use super::binomial::clopper_pearson;
use super::{Z_80, Z_95};

/// Power that a guard asks for.
pub const POWER: f64 = 0.8;
/// Power beyond [`POWER`] that a remedy asks for.
const MARGIN: f64 = 0.03;
/// Largest total that the searches below look at.
const MOST_REQUESTS: u64 = 100_000_000;

/// Relative shift that is found with 80 % power at one-sided 5 %, from the standard error of the relative shift.
#[must_use]
pub fn detectable_shift(standard_error: f64) -> f64 {
    (Z_95 + Z_80) * standard_error
}

/// Factor by which the points must grow for a standard error to shrink to `target`; 1 where it is there already.
#[must_use]
pub fn growth_for(standard_error: f64, target: f64) -> f64 {
    if target <= 0.0 { f64::INFINITY } else { (standard_error / target).powi(2).max(1.0) }
}

/// Fewest canary requests, up to `most`, that give 80 % power (`power` says how much a number of them gives); `None` where none does.
///
/// Exact power wobbles by a few per cent as the whole-numbered critical count steps, so three points more are asked for: who sends
/// a few requests more or less than told still has 80 %.
#[must_use]
pub fn requests_for_power(most: u64, power: impl Fn(u64) -> f64) -> Option<u64> {
    smallest(1, most.clamp(1, MOST_REQUESTS), |requests| power(requests) >= POWER + MARGIN)
}

/// Fewest requests for which the Clopper-Pearson lower bound of `rate` (one-sided 95 %) is at least `limit`; `None` where the rate
/// itself is not above the limit.
#[must_use]
pub fn requests_for_lower_bound(rate: f64, limit: f64) -> Option<u64> {
    requests_for_upper_bound(1.0 - rate, 1.0 - limit)
}

/// Fewest requests for which the Clopper-Pearson upper bound of `rate` (one-sided 95 %) is at most `limit`; `None` where the rate
/// itself is not below the limit.
#[must_use]
pub fn requests_for_upper_bound(rate: f64, limit: f64) -> Option<u64> {
    if !(rate < limit && limit < 1.0) {
        return None;
    }
    let within = |requests: u64| {
        let total = requests as f64;
        clopper_pearson((rate * total).round().min(total), total, 0.05).is_ok_and(|bounds| bounds.high <= limit)
    };
    smallest(1, MOST_REQUESTS, within)
}

/// The smallest number in `from..=most` that satisfies a condition which, once true, mostly stays true.
fn smallest(from: u64, most: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let mut high = from;
    while !holds(high) {
        if high >= most {
            return None;
        }
        high = high.saturating_mul(2).min(most);
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
