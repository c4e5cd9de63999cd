//! How much data would settle a limit.

use super::binomial::is_upper_bound_within;

/// Largest total that the searches below look at.
const MOST_REQUESTS: u64 = 100_000_000;

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
        is_upper_bound_within((rate * total).round().min(total), total, 0.05, limit)
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
