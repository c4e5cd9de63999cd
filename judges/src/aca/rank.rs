//! The rank test of a shift, its roots, and the interval between them.
//!
//! Kayenta sorts both arms anew for every value of the rank function that its root finder asks for. A shift keeps the order within
//! an arm, so here the arms are sorted once and merged for each value: the ranks are the same, and their sums are exact in a double
//! up to some 200,000 points, so the results have the same bits.

/// Normal quantile of the 98 % interval: `1 - (1 - 0.98) / 2`, as commons-math has it.
const Z_98: f64 = 2.326_347_874_040_841;
/// The root finder's absolute tolerance, in the metric's unit. That it is absolute is Kayenta's.
const TOLERANCE: f64 = 1e-4;
/// Rounds after which the root finder takes what it has.
const ROUNDS: usize = 1001;

/// Estimate of the shift of the canary against the baseline and its 98 % interval, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
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
pub struct Tied;

/// Estimates the shift of `experiment` against `control`; both hold at least one value.
///
/// Method: the shifts at which the normal approximation of the Mann-Whitney test, with corrections for ties and continuity, gives
/// the quantiles of 98 % and 0.
/// Checked against: Kayenta's judge, `fixtures/reference/kayenta/vectors.jsonl`.
///
/// # Errors
/// [`Tied`] when all values coincide at a shift that is tried; also for an empty arm.
pub fn shift(experiment: &[f64], control: &[f64]) -> Result<Interval, Tied> {
    let (Some(x_min), Some(x_max)) = (smallest(experiment), largest(experiment)) else { return Err(Tied) };
    let (Some(y_min), Some(y_max)) = (smallest(control), largest(control)) else { return Err(Tied) };
    let (x, y) = (sorted(experiment), sorted(control));
    let score = |mu: f64| rank_score(&x, &y, mu);
    let (low, high) = (x_min - y_max, x_max - y_min);
    let (at_low, at_high) = (score(low)?, score(high)?);
    let end = |z: f64| -> Result<f64, Tied> {
        let (f_low, f_high) = (at_low - z, at_high - z);
        if f_low <= 0.0 {
            Ok(low)
        } else if f_high >= 0.0 {
            Ok(high)
        } else {
            root(low, high, f_low, f_high, |mu| Ok(score(mu)? - z))
        }
    };
    Ok(Interval { lower: end(Z_98)?, upper: end(-Z_98)?, estimate: root(low, high, at_low, at_high, score)? })
}

/// Of equal values the first one, which matters to the sign of 0; a `NaN` gives way to what follows it, as in Scala.
fn smallest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|least, value| if least <= value { least } else { value })
}

fn largest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|most, value| if most >= value { most } else { value })
}

/// In the order of Java's `Double.compare`: -0 before 0, `NaN` last.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| if value.is_nan() { f64::NAN } else { *value }).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The chance that a value of `experiment` is above one of `control`, ties counting half (CLES); -0 is below 0.
///
/// From some 32,768 points an arm on it is not that any more: Kayenta's 32-bit products overflow, and these do as they do there.
pub(super) fn superiority(experiment: &[f64], control: &[f64]) -> f64 {
    let ranks = ranked(&sorted(experiment), &sorted(control), 0.0);
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
/// [`Tied`] when all values coincide.
pub fn rank_score(x: &[f64], y: &[f64], mu: f64) -> Result<f64, Tied> {
    let ranks = ranked(x, y, mu);
    let (nx, ny) = (x.len() as f64, y.len() as f64);
    let n = nx + ny;
    let excess = ranks.sum - nx * (nx + 1.0) / 2.0 - nx * ny / 2.0;
    let continuity = if excess == 0.0 { 0.0 } else { 0.5 * excess.signum() };
    let deviation = ((nx * ny / 12.0) * ((n + 1.0) - ranks.ties / (n * (n - 1.0)))).sqrt();
    if deviation == 0.0 { Err(Tied) } else { Ok((excess - continuity) / deviation) }
}

/// The ranks of one sorted arm among both.
struct Ranks {
    /// Sum of its mid-ranks.
    sum: f64,
    /// Sum of `t^3 - t` over the groups of `t` tied values.
    ties: f64,
}

/// Ranks `x`, less `mu`, among `y` by a merge.
fn ranked(x: &[f64], y: &[f64], mu: f64) -> Ranks {
    let numeric = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
    let shifted = |value: f64| numeric(value - mu);
    let (mut i, mut j) = (0, 0);
    let mut ranks = Ranks { sum: 0.0, ties: 0.0 };
    loop {
        let value = match (x.get(i).map(|x| shifted(*x)), y.get(j).map(|y| numeric(*y))) {
            (Some(a), Some(b)) => {
                if b.total_cmp(&a).is_lt() {
                    b
                } else {
                    a
                }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => break,
        };
        let same = |other: f64| other.to_bits() == value.to_bits();
        let before = i + j;
        let first_x = i;
        while i < x.len() && same(shifted(x[i])) {
            i += 1;
        }
        while j < y.len() && same(numeric(y[j])) {
            j += 1;
        }
        let tied = (i + j - before) as f64;
        ranks.sum += (i - first_x) as f64 * (before as f64 + (tied + 1.0) / 2.0);
        ranks.ties += tied * tied * tied - tied;
    }
    ranks
}

/// A root of `f` between `low` and `high`, where it has the values `f_low` and `f_high`.
///
/// Method: Brent (1973), in the form of R's `zeroin`, with Kayenta's tolerance.
fn root(low: f64, high: f64, f_low: f64, f_high: f64, f: impl Fn(f64) -> Result<f64, Tied>) -> Result<f64, Tied> {
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
