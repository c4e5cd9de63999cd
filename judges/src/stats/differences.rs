//! Order statistics of all differences `x_i - y_j`, without forming them: the Hodges-Lehmann shift and its interval.

use super::{Sample, Z_95};

/// Differences are collected and sorted once no more than this many times the samples' sizes are left.
const COLLECT: usize = 2;

/// The `k`-th smallest (1-based) of all differences `x_i - y_j`.
///
/// In the samples' unit. Narrows a value interval with counts along the staircase of the two sorted samples, O(m + n) each, and
/// collects what is left. `k` is clamped to the number of differences.
///
/// Method: Johnson & Mizoguchi 1978, doi:10.1137/0207013, with bisection of values for their weighted medians.
#[must_use]
pub fn kth_difference(x: &Sample, y: &Sample, k: usize) -> f64 {
    kth_and_next(x, y, k).0
}

/// The `k`-th smallest difference and the one after it; twice the largest for the last `k`.
fn kth_and_next(x: &Sample, y: &Sample, k: usize) -> (f64, f64) {
    let (x, y) = (x.sorted(), y.sorted());
    let total = x.len().saturating_mul(y.len());
    let k = k.clamp(1, total);
    let largest = x[x.len() - 1] - y[0];
    let smallest = x[0] - y[y.len() - 1];
    // Invariant: at most `below` (< k) differences are <= low, and at least k are <= high.
    let (mut low, mut high) = (f64::NEG_INFINITY, largest);
    let (mut below, mut upto) = (0, total);
    let mut probe = f64::midpoint(smallest, largest);
    while upto - below > COLLECT * (x.len() + y.len()) {
        if probe <= low || probe >= high {
            probe = middle_of_bits(low.max(smallest), high);
            if probe >= high || probe <= low {
                break;
            }
        }
        let count = count_at_most(x, y, probe);
        let left = upto - below;
        if count >= k {
            (high, upto) = (probe, count);
        } else {
            (low, below) = (probe, count);
        }
        // Heavy tails make halving the value interval slow; then halve the representable numbers in it.
        let slow = (upto - below) as f64 > 0.9 * left as f64;
        let bottom = low.max(smallest);
        probe = if slow { middle_of_bits(bottom, high) } else { bottom / 2.0 + high / 2.0 };
    }
    if upto - below > COLLECT * (x.len() + y.len()) {
        // No representable number lies between: all that is left equals `high`.
        return (high, if k < upto { high } else { smallest_above(x, y, high) });
    }
    let mut rest = Vec::with_capacity(upto - below);
    let (mut from, mut to) = (0, 0);
    for &xi in x {
        // Differences in (low, high] are a run of the sorted y, and both its ends only move up as xi rises.
        while from < y.len() && xi - y[from] > high {
            from += 1;
        }
        while to < y.len() && xi - y[to] > low {
            to += 1;
        }
        rest.extend(y[from..to].iter().map(|yj| xi - yj));
    }
    let index = k - below - 1;
    if index >= rest.len() {
        return (high, high);
    }
    let (_, &mut value, above) = rest.select_nth_unstable_by(index, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or_else(|| smallest_above(x, y, high));
    (value, next)
}

/// The smallest difference above `bound`; `bound` itself where there is none.
fn smallest_above(x: &[f64], y: &[f64], bound: f64) -> f64 {
    let mut to = 0;
    let mut smallest = f64::INFINITY;
    for &xi in x {
        while to < y.len() && xi - y[to] > bound {
            to += 1;
        }
        if to > 0 {
            smallest = smallest.min(xi - y[to - 1]);
        }
    }
    if smallest.is_finite() { smallest } else { bound }
}

/// Number of differences `x_i - y_j` that are at most `bound`.
fn count_at_most(x: &[f64], y: &[f64], bound: f64) -> usize {
    // fl(xi - yj) rises with xi, so the first yj that keeps the difference within the bound only moves up.
    let (mut from, mut count) = (0, 0);
    for &xi in x {
        while from < y.len() && xi - y[from] > bound {
            from += 1;
        }
        count += y.len() - from;
    }
    count
}

/// The number half-way between two in the order of their bit patterns.
fn middle_of_bits(low: f64, high: f64) -> f64 {
    let ordered = |v: f64| {
        let bits = v.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    let (a, b) = (i128::from(ordered(low)), i128::from(ordered(high)));
    let middle = ((a + b).div_euclid(2)) as i64;
    let bits = if middle < 0 { i64::MIN.wrapping_sub(middle) } else { middle };
    f64::from_bits(bits as u64)
}

/// The Hodges-Lehmann shift: the median of all differences canary minus baseline.
///
/// In the samples' unit.
///
/// Method: Hodges & Lehmann 1963, doi:10.1214/aoms/1177704172. Checked against NumPy's median of all differences and R
/// `wilcox.test(conf.int = TRUE)`, `fixtures/reference/hodges_lehmann.json`.
#[must_use]
pub fn hodges_lehmann(canary: &Sample, baseline: &Sample) -> f64 {
    let total = canary.len() * baseline.len();
    let (lower, upper) = kth_and_next(canary, baseline, total.div_ceil(2));
    if total % 2 == 1 {
        return lower;
    }
    // Halves first: the sum of two huge differences overflows.
    if (lower + upper).is_finite() { (lower + upper) / 2.0 } else { lower / 2.0 + upper / 2.0 }
}

/// An interval whose ends may be infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShiftInterval {
    /// Lower end, in the unit.
    pub low: f64,
    /// Upper end, in the unit.
    pub high: f64,
}

/// Interval of the shift by order statistics of the differences, `z` standard deviations of U to each side.
///
/// In the samples' unit. `variance_inflation` (1 or more) widens it for autocorrelation. With `k = floor(mn/2 - z sd)` the ends are
/// the (k+1)-th smallest and largest differences; both are infinite when `k` is below 0, that is, when the samples are too small
/// for the level.
#[must_use]
pub fn shift_interval(canary: &Sample, baseline: &Sample, z: f64, variance_inflation: f64) -> ShiftInterval {
    let (m, n) = (canary.len() as f64, baseline.len() as f64);
    let sd = (m * n * (m + n + 1.0) * variance_inflation.max(1.0) / 12.0).sqrt();
    let k = (m * n / 2.0 - z * sd).floor();
    if k < 0.0 {
        return ShiftInterval { low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let k = k as usize;
    let total = canary.len() * baseline.len();
    ShiftInterval { low: kth_difference(canary, baseline, k + 1), high: kth_difference(canary, baseline, total - k) }
}

/// The shift's interval at the level of the rule: each end bounds it at one-sided 95 %.
#[must_use]
pub fn shift_interval_90(canary: &Sample, baseline: &Sample, variance_inflation: f64) -> ShiftInterval {
    shift_interval(canary, baseline, Z_95, variance_inflation)
}

/// The median of all pairwise means `(d_i + d_j) / 2`, `i <= j`: the one-sample Hodges-Lehmann estimate.
///
/// In the sample's unit.
#[must_use]
pub fn one_sample_hodges_lehmann(d: &Sample) -> f64 {
    // The pairs i <= j of the symmetric table are counted as (all ordered pairs + the diagonal) / 2.
    let sorted = d.sorted();
    let n = sorted.len();
    let total = n * (n + 1) / 2;
    let kth = |k: usize| -> f64 {
        if count_means_at_most(sorted, sorted[0]) >= k {
            return sorted[0];
        }
        // Fewer than k means are <= low, at least k are <= high.
        let (mut low, mut high) = (sorted[0], sorted[n - 1]);
        loop {
            let probe = middle_of_bits(low, high);
            if probe <= low || probe >= high {
                return high;
            }
            if count_means_at_most(sorted, probe) >= k { high = probe } else { low = probe }
        }
    };
    if total % 2 == 1 { kth(total / 2 + 1) } else { f64::midpoint(kth(total / 2), kth(total / 2 + 1)) }
}

fn count_means_at_most(sorted: &[f64], bound: f64) -> usize {
    let mean = |i: usize, j: usize| sorted[i] / 2.0 + sorted[j] / 2.0;
    let (mut count, mut end) = (0, sorted.len());
    for i in 0..sorted.len() {
        while end > 0 && mean(i, end - 1) > bound {
            end -= 1;
        }
        if end <= i {
            break;
        }
        count += end - i;
    }
    count
}
