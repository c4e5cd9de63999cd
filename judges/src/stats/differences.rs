//! Order statistics of all differences `x_i - y_j`, without forming them: the Hodges-Lehmann shift and its interval.

use super::{Sample, Z_95};

/// Differences are collected and searched once no more than this many times the samples' sizes are left.
const COLLECT: f64 = 0.5;
/// The same where narrowing makes little headway, as with ties.
const COLLECT_SLOW: f64 = 2.0;

/// Values that are compared at a time.
const BLOCK: usize = 4;
/// Points of the smaller sample from which a guess is made first.
const LONG: usize = 100;

/// The `k`-th smallest (1-based) of all differences `x_i - y_j`.
///
/// In the samples' unit. Narrows a value interval with counts along the staircase of the two sorted samples, O(m + n) each, and
/// collects what is left. `k` is clamped to the number of differences.
///
/// Method: Johnson & Mizoguchi 1978, doi:10.1137/0207013, with probes by interpolation for their weighted medians.
#[must_use]
pub fn kth_difference(x: &Sample, y: &Sample, k: usize) -> f64 {
    Differences::of(x, y).kth_and_next(k).0
}

/// How the next probe is chosen. Each is tried where the one before it made little headway.
#[derive(Clone, Copy, PartialEq)]
enum Probe {
    /// Where the wanted rank lies if differences are even between the bounds.
    Interpolated,
    /// Half-way between the values.
    Middle,
    /// Half-way between the representable numbers: heavy tails make halving the value interval slow.
    Bits,
}

/// All differences of two samples, of which several ranks are looked for: what is learnt of one narrows the search for the next.
struct Differences<'a> {
    x: &'a [f64],
    y: &'a [f64],
    /// Values that were counted, rising, with the number of differences that are at most that.
    known: Vec<(f64, usize)>,
    /// Room for what is left of a search.
    rest: Vec<f64>,
}

impl<'a> Differences<'a> {
    fn of(x: &'a Sample, y: &'a Sample) -> Self {
        Self { x: x.sorted(), y: y.sorted(), known: Vec::with_capacity(16), rest: Vec::new() }
    }

    fn total(&self) -> usize {
        self.x.len().saturating_mul(self.y.len())
    }

    /// Counts the differences that are at most a value, and keeps what comes out.
    fn count(&mut self, bound: f64) -> usize {
        let count = count_at_most(self.x, self.y, bound);
        let at = self.known.partition_point(|(value, _)| *value < bound);
        self.known.insert(at, (bound, count));
        count
    }

    /// Two values that the `k`-th smallest difference likely lies between. A guess where to look, which changes no result.
    fn guess(&self, k: usize) -> [Option<f64>; 2] {
        let near = self.known.partition_point(|(_, count)| *count < k);
        // The line through the two counts that are nearest.
        let from = near.saturating_sub(1).min(self.known.len().saturating_sub(2));
        if let Some([(v0, c0), (v1, c1)]) = self.known.get(from..from + 2).and_then(|two| two.as_array::<2>())
            && c1 > c0
        {
            let slope = (v1 - v0) / (*c1 as f64 - *c0 as f64);
            let off = k as f64 - if near == 0 { *c0 as f64 } else { *c1 as f64 };
            if off < 0.0 && near > 0 {
                // Between the two: the loop interpolates.
                return [None; 2];
            }
            let middle = if near == 0 { v0 } else { v1 } + off * slope;
            // A line is the worse the further it is drawn.
            let aside = (0.2 * off.abs() + COLLECT / 2.0 * (self.x.len() + self.y.len()) as f64) * slope;
            return [Some(middle - aside), Some(middle + aside)];
        }
        // A guess of that kind costs as much as a few counts of short samples.
        if self.x.len().min(self.y.len()) >= LONG { around(self.x, self.y, k).map(Some) } else { [None; 2] }
    }

    /// The `k`-th smallest difference and the one after it; twice the largest for the last `k`.
    fn kth_and_next(&mut self, k: usize) -> (f64, f64) {
        let (x, y) = (self.x, self.y);
        let total = self.total();
        let k = k.clamp(1, total);
        let largest = x[x.len() - 1] - y[0];
        let smallest = x[0] - y[y.len() - 1];
        let sizes = (x.len() + y.len()) as f64;
        let mut guess = self.guess(k);
        // Invariant: at most `below` (< k) differences are <= low, and at least k are <= high.
        let near = self.known.partition_point(|(_, count)| *count < k);
        let (mut low, mut below) = near.checked_sub(1).and_then(|i| self.known.get(i)).copied().unwrap_or((f64::NEG_INFINITY, 0));
        let (mut high, mut upto) = self.known.get(near).copied().unwrap_or((largest, total));
        let first = if x.len().min(y.len()) >= LONG { Probe::Interpolated } else { Probe::Middle };
        let mut kind = first;
        let mut from_above = false;
        while (upto - below) as f64 > if kind == Probe::Interpolated { COLLECT } else { COLLECT_SLOW } * sizes {
            let left = (upto - below) as f64;
            let bottom = low.max(smallest);
            let given = guess.iter_mut().find_map(Option::take);
            let mut probe = given.unwrap_or_else(|| match kind {
                Probe::Interpolated => {
                    // A little to the side that was not moved last, so that both bounds close in.
                    let aside = (COLLECT / 2.0 * sizes).min(left / 4.0);
                    let rank = (k - below) as f64 + if from_above { -aside } else { aside };
                    bottom + (high - bottom) * (rank / left).clamp(0.0, 1.0)
                }
                Probe::Middle => bottom / 2.0 + high / 2.0,
                Probe::Bits => middle_of_bits(bottom, high),
            });
            if given.is_some() && !(probe > low && probe < high) {
                continue;
            }
            if !(probe > low && probe < high) {
                probe = middle_of_bits(bottom, high);
                if probe >= high || probe <= low {
                    break;
                }
            }
            let count = self.count(probe);
            from_above = count >= k;
            if from_above {
                (high, upto) = (probe, count);
            } else {
                (low, below) = (probe, count);
            }
            let slow = (upto - below) as f64 > 0.7 * left;
            kind = match kind {
                _ if given.is_some() || !slow => first,
                Probe::Interpolated => Probe::Middle,
                Probe::Middle => Probe::Bits,
                Probe::Bits => first,
            };
        }
        if (upto - below) as f64 > COLLECT_SLOW * sizes {
            // No representable number lies between: all that is left equals `high`.
            return (high, if k < upto { high } else { smallest_above(x, y, high) });
        }
        let rest = &mut self.rest;
        rest.clear();
        rest.reserve(upto - below);
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

    /// The median of all.
    fn median(&mut self) -> f64 {
        let total = self.total();
        let (lower, upper) = self.kth_and_next(total.div_ceil(2));
        if total % 2 == 1 {
            return lower;
        }
        // Halves first: the sum of two huge differences overflows.
        if (lower + upper).is_finite() { (lower + upper) / 2.0 } else { lower / 2.0 + upper / 2.0 }
    }

    /// Order statistics `z` standard deviations of U to each side of the median.
    fn interval(&mut self, z: f64, variance_inflation: f64) -> ShiftInterval {
        let (m, n) = (self.x.len() as f64, self.y.len() as f64);
        let sd = (m * n * (m + n + 1.0) * variance_inflation.max(1.0) / 12.0).sqrt();
        let k = (m * n / 2.0 - z * sd).floor();
        if k < 0.0 {
            return ShiftInterval { low: f64::NEG_INFINITY, high: f64::INFINITY };
        }
        let (k, total) = (k as usize, self.total());
        ShiftInterval { low: self.kth_and_next(k + 1).0, high: self.kth_and_next(total - k).0 }
    }
}

/// Two values that the `k`-th smallest difference likely lies between: those so many ranks to both sides among the differences of a few
/// evenly spread order statistics.
fn around(x: &[f64], y: &[f64], k: usize) -> [f64; 2] {
    let spread = |values: &[f64]| {
        let few = ((values.len() as f64).sqrt() as usize).clamp(8, 128).min(values.len());
        (0..few).map(|i| values[(2 * i + 1) * values.len() / (2 * few)]).collect::<Vec<f64>>()
    };
    let (few_x, few_y) = (spread(x), spread(y));
    let mut all: Vec<f64> = few_x.iter().flat_map(|xi| few_y.iter().map(move |yj| xi - yj)).collect();
    let at = k as f64 / (x.len() as f64 * y.len() as f64) * all.len() as f64;
    // Some five standard errors of a rank among them.
    let aside = 2.0 * (few_x.len().min(few_y.len()) as f64).sqrt();
    let last = all.len() - 1;
    let (lower, upper) = ((at - aside).max(0.0) as usize, (at + aside) as usize);
    let mut nth = |rank: usize| *all.select_nth_unstable_by(rank.min(last), f64::total_cmp).1;
    [nth(lower), nth(upper)]
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
    // fl(xi - yj) rises with xi, so the first yj that keeps the difference within the bound only moves up: by whole blocks, inside of
    // which all are compared, since a branch on each would be foreseen every other time.
    let (blocks, rest) = y.as_chunks::<BLOCK>();
    let (mut block, mut count) = (0, 0);
    for &xi in x {
        while block < blocks.len() && xi - blocks[block][BLOCK - 1] > bound {
            block += 1;
        }
        let above = match blocks.get(block) {
            Some(inside) => inside.iter().map(|yj| usize::from(xi - yj > bound)).sum::<usize>(),
            None => rest.iter().map(|yj| usize::from(xi - yj > bound)).sum(),
        };
        count += y.len() - (block * BLOCK + above);
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
    Differences::of(canary, baseline).median()
}

/// Whether the Hodges-Lehmann shift is certainly less than a bound, in the samples' unit, which one count tells where it is so by more than
/// rounding. `sign` of -1 asks of the opposite of the shift.
#[must_use]
pub fn is_shift_below(canary: &Sample, baseline: &Sample, sign: f64, bound: f64) -> bool {
    let (x, y) = (canary.sorted(), baseline.sorted());
    let most = x.len().saturating_mul(y.len()) / 2;
    if sign < 0.0 { count_at_most(x, y, -bound) < most.saturating_sub(1) } else { count_at_most(x, y, bound) > most + 1 }
}

/// The Hodges-Lehmann shift with its interval at the level of the rule, each as by itself.
#[must_use]
pub fn shift_with_interval_90(canary: &Sample, baseline: &Sample, variance_inflation: f64) -> (f64, ShiftInterval) {
    let mut all = Differences::of(canary, baseline);
    (all.median(), all.interval(Z_95, variance_inflation))
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
    Differences::of(canary, baseline).interval(z, variance_inflation)
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
