//! The rank test of a shift, its roots, and the interval between them.
//!
//! Kayenta sorts both arms anew for every value of the rank function that its root finder asks for. A shift keeps the order within
//! an arm, so here the arms are sorted once and merged for each value: the ranks are the same, and their sums are exact in a double
//! up to some 200,000 points, so the results have the same bits. Values are merged as whole numbers that are in the same order, two halves
//! at a time, so that no step waits for a comparison to be foreseen.

/// Normal quantile of the 98 % interval: `1 - (1 - 0.98) / 2`, as commons-math has it.
const Z_98: f64 = 2.326_347_874_040_841;
/// The root finder's absolute tolerance, in the metric's unit. That it is absolute is Kayenta's.
const TOLERANCE: f64 = 1e-4;
/// Rounds after which the root finder takes what it has.
const ROUNDS: usize = 1001;

/// Estimate of the shift of the canary against the baseline and its 98 % interval, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShiftEstimate {
    /// Lower end; it may exceed the upper one.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Estimate.
    pub estimate: f64,
}

/// All values are the same after a shift, so that their ranks say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all values are tied after a shift; their ranks say nothing")]
pub struct TiedRanks;

/// Estimates the shift of `experiment` against `control`; both hold at least one value.
///
/// Method: the shifts at which the normal approximation of the Mann-Whitney test, with corrections for ties and continuity, gives
/// the quantiles of 98 % and 0.
/// Checked against: Kayenta's judge, `fixtures/reference/kayenta/vectors.jsonl`.
///
/// # Errors
/// [`TiedRanks`] when all values coincide at a shift that is tried; also for an empty arm.
pub fn shift(experiment: &[f64], control: &[f64]) -> Result<ShiftEstimate, TiedRanks> {
    shift_of((experiment, &sorted(experiment)), (control, &sorted(control)))
}

/// The same of arms that were sorted before, each given in both orders.
pub(super) fn shift_of((experiment, x): (&[f64], &[f64]), (control, y): (&[f64], &[f64])) -> Result<ShiftEstimate, TiedRanks> {
    let (Some(x_min), Some(x_max)) = (smallest(experiment), largest(experiment)) else { return Err(TiedRanks) };
    let (Some(y_min), Some(y_max)) = (smallest(control), largest(control)) else { return Err(TiedRanks) };
    let y = keys(y);
    let mut shifted = vec![0; x.len()];
    let mut score = |mu: f64| score_of(x, &y, mu, &mut shifted);
    let (low, high) = (x_min - y_max, x_max - y_min);
    let (at_low, at_high) = (score(low)?, score(high)?);
    let mut end = |z: f64| -> Result<f64, TiedRanks> {
        let (f_low, f_high) = (at_low - z, at_high - z);
        if f_low <= 0.0 {
            Ok(low)
        } else if f_high >= 0.0 {
            Ok(high)
        } else {
            root(low, high, f_low, f_high, |mu| Ok(score(mu)? - z))
        }
    };
    let (lower, upper) = (end(Z_98)?, end(-Z_98)?);
    Ok(ShiftEstimate { lower, upper, estimate: root(low, high, at_low, at_high, score)? })
}

/// Of equal values the first one, which matters to the sign of 0; a `NaN` gives way to what follows it, as in Scala.
fn smallest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|least, value| if least <= value { least } else { value })
}

fn largest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|most, value| if most >= value { most } else { value })
}

/// In the order of Java's `Double.compare`: -0 before 0, `NaN` last.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| if value.is_nan() { f64::NAN } else { *value }).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The chance that a value of `experiment` is above one of `control`, ties counting half (CLES); -0 is below 0.
///
/// From some 32,768 points an arm on it is not that any more: Kayenta's 32-bit products overflow, and these do as they do there.
///
/// Both arms are sorted.
pub(super) fn superiority(experiment: &[f64], control: &[f64]) -> f64 {
    let ranks = ranked(&keys(experiment), &keys(control));
    let (m, n) = (experiment.len() as i32, control.len() as i32);
    let smallest = m.wrapping_mul(m.wrapping_add(1));
    let pairs = 2i32.wrapping_mul(n).wrapping_mul(m);
    (2.0 * ranks.sum - f64::from(smallest)) / f64::from(pairs)
}

/// The standard score of the rank sum of `x - mu` among `y`, corrected for ties and continuity.
///
/// Both arms are sorted. What is not a number after the subtraction ranks with infinity, as in Kayenta.
///
/// # Errors
/// [`TiedRanks`] when all values coincide.
pub fn rank_score(x: &[f64], y: &[f64], mu: f64) -> Result<f64, TiedRanks> {
    score_of(x, &keys(y), mu, &mut vec![0; x.len()])
}

/// The same with the second arm's keys, and room for the first one's.
fn score_of(x: &[f64], y: &[i64], mu: f64, shifted: &mut [i64]) -> Result<f64, TiedRanks> {
    for (slot, value) in shifted.iter_mut().zip(x) {
        *slot = key(value - mu);
    }
    let ranks = ranked(shifted, y);
    let (nx, ny) = (x.len() as f64, y.len() as f64);
    let n = nx + ny;
    let excess = ranks.sum - nx * (nx + 1.0) / 2.0 - nx * ny / 2.0;
    let continuity = if excess == 0.0 { 0.0 } else { 0.5 * excess.signum() };
    let deviation = ((nx * ny / 12.0) * ((n + 1.0) - ranks.ties / (n * (n - 1.0)))).sqrt();
    if deviation == 0.0 { Err(TiedRanks) } else { Ok((excess - continuity) / deviation) }
}

/// A whole number that is in the order of Java's `Double.compare`: -0 before 0. What is not a number ranks with infinity.
fn key(value: f64) -> i64 {
    let value = if value.is_nan() { f64::INFINITY } else { value };
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn keys(values: &[f64]) -> Vec<i64> {
    values.iter().map(|value| key(*value)).collect()
}

/// The ranks of one sorted arm among both.
struct Ranks {
    /// Sum of its mid-ranks.
    sum: f64,
    /// Sum of `t^3 - t` over the groups of `t` tied values.
    ties: f64,
}

/// Ranks `x` among `y`, both ascending, by a merge.
fn ranked(x: &[i64], y: &[i64]) -> Ranks {
    // What equals the middle is in the second half, so that no group is in both.
    let middle = x.get(x.len() / 2).copied().unwrap_or(i64::MIN);
    let (x_low, x_high) = x.split_at(x.partition_point(|key| *key < middle));
    let (y_low, y_high) = y.split_at(y.partition_point(|key| *key < middle));
    let (mut low, mut high) = (Merge::of(x_low, y_low), Merge::of(x_high, y_high));
    while low.goes_on() && high.goes_on() {
        low.step();
        high.step();
    }
    let (low, high) = (low.finish(), high.finish());
    let before = (x_low.len() + y_low.len()) as u64;
    let doubled = low.doubled + high.doubled + 2 * before * x_high.len() as u64;
    Ranks { sum: doubled as f64 / 2.0, ties: low.ties + high.ties }
}

/// A merge of two ascending series of keys.
struct Merge<'a> {
    x: &'a [i64],
    y: &'a [i64],
    /// How many of each have their rank.
    i: usize,
    j: usize,
    last: i64,
    /// Twice the sum of the mid-ranks of `x` so far.
    doubled: u64,
    ties: f64,
}

impl<'a> Merge<'a> {
    fn of(x: &'a [i64], y: &'a [i64]) -> Self {
        // No key is the least that there is: that would be a NaN.
        Self { x, y, i: 0, j: 0, last: i64::MIN, doubled: 0, ties: 0.0 }
    }

    fn goes_on(&self) -> bool {
        self.i < self.x.len() && self.j < self.y.len()
    }

    #[inline(always)]
    fn step(&mut self) {
        let (a, b) = (self.x[self.i], self.y[self.j]);
        let is_first = a <= b;
        let value = if is_first { a } else { b };
        if value == self.last {
            return self.tie();
        }
        let rank = (self.i + self.j + 1) as u64;
        self.doubled += if is_first { 2 * rank } else { 0 };
        self.i += usize::from(is_first);
        self.j += usize::from(!is_first);
        self.last = value;
    }

    /// Ranks the whole group of a value that occurs again, whose first one has its rank.
    #[cold]
    fn tie(&mut self) {
        let in_x = self.i > 0 && self.x[self.i - 1] == self.last;
        let first = self.i + self.j;
        self.doubled -= if in_x { 2 * first as u64 } else { 0 };
        let (from_x, before) = (self.i - usize::from(in_x), first - 1);
        while self.x.get(self.i) == Some(&self.last) {
            self.i += 1;
        }
        while self.y.get(self.j) == Some(&self.last) {
            self.j += 1;
        }
        let tied = self.i + self.j - before;
        self.doubled += (self.i - from_x) as u64 * (2 * before + tied + 1) as u64;
        let tied = tied as f64;
        self.ties += tied * tied * tied - tied;
    }

    fn finish(mut self) -> Self {
        while self.goes_on() {
            self.step();
        }
        while let Some(value) = self.x.get(self.i).or(self.y.get(self.j)).copied() {
            if value == self.last {
                self.tie();
                continue;
            }
            let is_first = self.i < self.x.len();
            self.doubled += if is_first { 2 * (self.i + self.j + 1) as u64 } else { 0 };
            self.i += usize::from(is_first);
            self.j += usize::from(!is_first);
            self.last = value;
        }
        self
    }
}

/// A root of `f` between `low` and `high`, where it has the values `f_low` and `f_high`.
///
/// Method: Brent (1973), in the form of R's `zeroin`, with Kayenta's tolerance.
fn root(low: f64, high: f64, f_low: f64, f_high: f64, mut f: impl FnMut(f64) -> Result<f64, TiedRanks>) -> Result<f64, TiedRanks> {
    let zero = |value: f64| value.abs() <= f64::from_bits(1);
    if zero(f_low) {
        return Ok(low);
    }
    if zero(f_high) {
        return Ok(high);
    }
    let (mut a, mut fa, mut b, mut fb) = (low, f_low, high, f_high);
    let (mut c, mut fc) = (a, fa);
    for _ in 0..ROUNDS {
        let previous = b - a;
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let tolerance = 2.0 * f64::EPSILON * b.abs() + TOLERANCE / 2.0;
        let mut step = (c - b) / 2.0;
        if step.abs() <= tolerance || zero(fb) {
            return Ok(b);
        }
        if previous.abs() >= tolerance && fa.abs() > fb.abs() {
            let cb = c - b;
            let (mut p, mut q);
            if a == c {
                let t1 = fb / fa;
                p = cb * t1;
                q = 1.0 - t1;
            } else {
                let (t1, t2) = (fb / fc, fb / fa);
                q = fa / fc;
                p = t2 * (cb * q * (q - t1) - (b - a) * (t1 - 1.0));
                q = (q - 1.0) * (t1 - 1.0) * (t2 - 1.0);
            }
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            if p < 0.75 * cb * q - (tolerance * q).abs() / 2.0 && p < (previous * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < tolerance {
            step = if step > 0.0 { tolerance } else { -tolerance };
        }
        (a, fa) = (b, fb);
        let next = b + step;
        // An infinite bracket leads to NaN and stays there; its value is known.
        if !(next.is_nan() && b.is_nan()) {
            fb = f(next)?;
        }
        b = next;
        if fb > 0.0 && fc > 0.0 || fb < 0.0 && fc < 0.0 {
            (c, fc) = (a, fa);
        }
    }
    Ok(b)
}
