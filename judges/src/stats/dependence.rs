//! Serial dependence: how many independent points a series is worth.

/// Largest autocorrelation that is taken at its word; beyond it the inflation has no use.
const RHO_MAX: f64 = 0.97;
/// The same around a line.
const RHO_MAX_RESIDUAL: f64 = 0.98;
/// Autocorrelation assumed where a series is too short to show any.
const RHO_UNKNOWN: f64 = 0.3;

/// Lag-1 autocorrelation of a series with gaps (`NaN`), corrected for bias, within 0..=0.97.
///
/// Only adjacent present points make a pair. `(n r + 1) / (n - 3)` undoes the downward bias of `r`. Fewer than 5 points: 0.3, a
/// usual value for telemetry. A constant series: 0.
///
/// Bias: Kendall 1954, doi:10.1093/biomet/41.3-4.403. Checked against `fixtures/reference/dependence.json`.
#[must_use]
pub fn lag1_autocorrelation(series: &[f64]) -> f64 {
    autocorrelation(series, 1.0).clamp(0.0, RHO_MAX)
}

/// The same of what is left of a series when a straight line was taken away, within 0..=0.98.
///
/// Two fitted parameters bias `r` down further than one: `(n r + 2) / (n - 4)` undoes it.
#[must_use]
pub fn residual_autocorrelation(residuals: &[f64]) -> f64 {
    autocorrelation(residuals, 2.0).clamp(0.0, RHO_MAX_RESIDUAL)
}

/// Lag-1 autocorrelation corrected for the bias that so many fitted parameters leave.
fn autocorrelation(series: &[f64], fitted: f64) -> f64 {
    let n = series.iter().filter(|v| v.is_finite()).count();
    if n < 5 {
        return RHO_UNKNOWN;
    }
    let nf = n as f64;
    let is_whole = n == series.len();
    let present = || series.iter().copied().filter(|v| v.is_finite());
    // Most series have no gaps, and are gone through without looking for them.
    let mean = if is_whole { series.iter().map(|v| v / nf).sum::<f64>() } else { present().map(|v| v / nf).sum::<f64>() };
    let wider = |(least, most): (f64, f64), v: f64| (if v < least { v } else { least }, if v > most { v } else { most });
    let none = (f64::INFINITY, f64::NEG_INFINITY);
    let (least, most) = if is_whole { series.iter().copied().fold(none, wider) } else { present().fold(none, wider) };
    // Scaled by the largest deviation, so that neither tiny nor huge units under- or overflow when squared.
    let scale = (least - mean).abs().max((most - mean).abs());
    if least == most || scale == 0.0 || !scale.is_finite() {
        return 0.0;
    }
    let deviation = |v: f64| (v - mean) / scale;
    let (mut sum_of_squares, mut products) = (0.0, 0.0);
    if is_whole {
        let mut last = 0.0;
        for d in series.iter().map(|v| deviation(*v)) {
            sum_of_squares += d * d;
            products += last * d;
            last = d;
        }
    } else {
        let mut last = f64::NAN;
        for d in series.iter().map(|v| deviation(*v)) {
            if d.is_finite() {
                sum_of_squares += d * d;
                products += if last.is_finite() { last * d } else { 0.0 };
            }
            last = d;
        }
    }
    let r = products / sum_of_squares;
    (nf * r + fitted) / (nf - 2.0 - fitted)
}

/// Factor by which AR(1) dependence inflates the variance of a mean of `n` points; 1 or more.
///
/// `(1 + rho)/(1 - rho) - (2 rho/n)(1 - rho^n)/(1 - rho)^2`, exact for finite `n`.
#[must_use]
pub fn variance_inflation(rho: f64, n: usize) -> f64 {
    if n < 2 {
        return 1.0;
    }
    let nf = n as f64;
    let v = (1.0 + rho) / (1.0 - rho) - (2.0 * rho / nf) * (1.0 - rho.powf(nf)) / (1.0 - rho).powi(2);
    v.max(1.0)
}

/// Variance inflation of U for two arms of different dependence: each arm's own, weighted by the other arm's size.
#[must_use]
pub fn pooled_inflation(rho_canary: f64, n_canary: usize, rho_baseline: f64, n_baseline: usize) -> f64 {
    let (nc, nb) = (n_canary.max(1) as f64, n_baseline.max(1) as f64);
    let (vc, vb) = (variance_inflation(rho_canary, n_canary), variance_inflation(rho_baseline, n_baseline));
    (vc / nc + vb / nb) / (1.0 / nc + 1.0 / nb)
}

/// Long-run variance of a series, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongRun {
    /// Long-run variance: `n` times the variance of the mean. In the square of the unit.
    pub variance: f64,
    /// Number of independent points that the series is worth, 1 to n.
    pub effective: f64,
    /// Degrees of freedom for a t statistic, at least 1.
    pub degrees: f64,
}

/// Long-run variance of a gap-free series: the larger of an AR(1) plug-in, its rho raised by half a standard error, and Geyer's
/// initial monotone sequence.
///
/// A series without variance has long-run variance 0 and counts in full.
///
/// Method: Geyer 1992, doi:10.1214/ss/1177011137. Checked against `fixtures/reference/dependence.json`.
#[must_use]
pub fn long_run_variance(series: &[f64]) -> LongRun {
    let n = series.len();
    let nf = n as f64;
    let mean = series.iter().sum::<f64>() / nf.max(1.0);
    let e: Vec<f64> = series.iter().map(|v| v - mean).collect();
    // Two lags at a time, whose sums do not wait for each other.
    let autocovariances = |lag: usize| {
        let (mut first, mut second) = (-0.0, -0.0);
        let ahead = e.get(lag + 1..).unwrap_or_default();
        for ((a, b), c) in e.iter().zip(&e[lag..]).zip(ahead) {
            first += a * b;
            second += a * c;
        }
        if let (Some(a), Some(b)) = (e.get(ahead.len()), e.last()) {
            first += a * b;
        }
        (first / nf, second / nf)
    };
    let (variance, next) = if n == 0 { (0.0, 0.0) } else { autocovariances(0) };
    if variance <= 0.0 || n < 2 {
        return LongRun { variance: 0.0, effective: nf, degrees: (nf - 1.0).max(1.0) };
    }
    let mut rho = next / variance;
    rho = if n > 4 { (nf * rho + 1.0) / (nf - 3.0) } else { rho + 0.5 };
    rho = rho.clamp(-0.5, 0.98);
    let standard_error = ((1.0 - rho.max(0.0).powi(2)) / nf).sqrt();
    rho = (rho + 0.5 * standard_error).clamp(0.0, 0.98);
    let inflation = variance_inflation(rho, n);
    let marginal = variance / (1.0 - inflation / nf).max(0.05);
    let mut long_run = marginal * inflation;
    if n >= 12 {
        let mut last = (n - 2).min(3 * (nf.sqrt() as usize) + 8);
        last -= (last + 1) % 2;
        let raised = |autocovariance: f64| autocovariance + variance * inflation / nf;
        let (mut total, mut previous) = (0.0, f64::INFINITY);
        for lag in (0..=last).step_by(2) {
            let (first, second) = if lag == 0 { (variance, next) } else { autocovariances(lag) };
            let pair = raised(first) + raised(second);
            if pair <= 0.0 {
                break;
            }
            previous = pair.min(previous);
            total += previous;
        }
        long_run = long_run.max(2.0 * total - raised(variance));
    }
    let effective = (nf * marginal / long_run).clamp(1.0, nf);
    LongRun { variance: long_run, effective, degrees: (effective - 1.0).max(1.0) }
}
