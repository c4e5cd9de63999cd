//! Trend of a series: how steeply it rises, and whether that could be chance.
//!
//! A series is one value an interval, oldest first, `NaN` where missing: gaps stay in place, so that slopes are per interval.

use super::dependence::{residual_autocorrelation, variance_inflation};
use super::{StatError, Tails, median_of_sorted, normal_sf};

/// Points up to which every pair of them gives a slope; beyond it the series is first reduced to as many block medians.
const EXACT: usize = 1_000;

/// The points of a series: interval and value.
fn points(series: &[f64]) -> Vec<(f64, f64)> {
    series.iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(i, v)| (i as f64, *v)).collect()
}

/// Theil-Sen slope: the median of the slopes between all pairs of points, in the series' unit an interval.
///
/// Up to 1,000 points it is exact; a longer series is cut into blocks of equal length, each of which counts as the median of its
/// values at the median of their times.
///
/// Method: Sen 1968, doi:10.1080/01621459.1968.10480934. Checked against SciPy `theilslopes`, `fixtures/reference/trend.json`.
///
/// # Errors
/// [`StatError::TooFew`] with fewer than two points, [`StatError::NotFinite`] where their differences overflow.
pub fn theil_sen(series: &[f64]) -> Result<f64, StatError> {
    let mut points = points(series);
    if points.len() < 2 {
        return Err(StatError::TooFew { got: points.len(), needed: 2 });
    }
    if points.len() > EXACT {
        points = points.chunks(points.len().div_ceil(EXACT)).map(block).collect();
    }
    let slope = median_between(&points).unwrap_or_else(|| {
        let mut all = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
        slopes(&points, |slope| all.push(slope));
        median(all)
    });
    if slope.is_finite() { Ok(slope) } else { Err(StatError::NotFinite) }
}

/// The slopes between all pairs of points.
fn slopes(points: &[(f64, f64)], mut take: impl FnMut(f64)) {
    for (i, (t0, y0)) in points.iter().enumerate() {
        points[i + 1..].iter().for_each(|(t1, y1)| take((y1 - y0) / (t1 - t0)));
    }
}

/// The median of all slopes, of which those are kept that lie between two guesses from a few of them: most are only counted. `None` where
/// they are too few for that, or the guesses do not hold it.
fn median_between(points: &[(f64, f64)]) -> Option<f64> {
    /// Slopes that are guessed from, and how many ranks to both sides of their median the guesses lie: five standard errors.
    const SAMPLE: (usize, usize) = (4_096, 160);
    let n = points.len();
    let total = n * (n - 1) / 2;
    if total < 8 * SAMPLE.0 {
        return None;
    }
    // Pairs without a pattern, and the same each time.
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let pair = |_| {
        let (i, j) = (draw(n), draw(n - 1));
        let ((t0, y0), (t1, y1)) = (points[i], points[if j < i { j } else { j + 1 }]);
        if t1 > t0 { (y1 - y0) / (t1 - t0) } else { (y0 - y1) / (t0 - t1) }
    };
    let mut few: Vec<f64> = (0..SAMPLE.0).map(pair).collect();
    few.sort_unstable_by(f64::total_cmp);
    let (low, high) = (few[SAMPLE.0 / 2 - SAMPLE.1], few[SAMPLE.0 / 2 + SAMPLE.1]);
    let (mut below, mut between) = (0, Vec::with_capacity(total / 8));
    slopes(points, |slope| {
        below += usize::from(slope < low);
        if slope >= low && slope <= high {
            between.push(slope);
        }
    });
    let (lower, upper) = ((total - 1) / 2, total / 2);
    if lower < below || upper >= below + between.len() {
        return None;
    }
    let (under, at, _) = between.select_nth_unstable_by(upper - below, f64::total_cmp);
    let before = if lower < upper { under.iter().copied().max_by(f64::total_cmp)? } else { *at };
    Some(if lower < upper { median_of_sorted(&[before, *at]) } else { before })
}

fn block(points: &[(f64, f64)]) -> (f64, f64) {
    (median(points.iter().map(|(t, _)| *t).collect()), median(points.iter().map(|(_, y)| *y).collect()))
}

/// Median without sorting in full; the values are not empty.
fn median(mut values: Vec<f64>) -> f64 {
    let half = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if !odd => median_of_sorted(&[lower, *upper]),
        _ => *upper,
    }
}

/// The Mann-Kendall test of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannKendall {
    /// Pairs of points of which the later is greater, less those of which it is less (S).
    pub s: f64,
    /// Variance of S without a trend, corrected for ties and inflated for dependence.
    pub variance: f64,
    /// Normal score of S, corrected for continuity; 0 without variance.
    pub z: f64,
    /// p-values; `greater` is that of a rising series.
    pub p: Tails,
}

/// Mann-Kendall test of whether a series rises or falls; only the order of its values matters.
///
/// `inflation` multiplies the variance, for values that depend on each other; 1 where they do not. The p-values are normal with a
/// continuity correction, good from about 10 points on. O(n log n).
///
/// Method: Mann 1945, doi:10.2307/1907187; Kendall 1975 (ties); Hamed & Rao 1998, doi:10.1016/S0022-1694(97)00125-X (inflated
/// variance). Checked against `pymannkendall`, `fixtures/reference/trend.json`.
///
/// # Errors
/// [`StatError::TooFew`] with fewer than two points.
pub fn mann_kendall(series: &[f64], inflation: f64) -> Result<MannKendall, StatError> {
    // Adding 0.0 turns -0.0 into 0.0, so that the two tie.
    let mut values: Vec<f64> = series.iter().filter(|v| v.is_finite()).map(|v| v + 0.0).collect();
    let n = values.len() as f64;
    if n < 2.0 {
        return Err(StatError::TooFew { got: values.len(), needed: 2 });
    }
    let falling = sort_counting_inversions(&mut values);
    let (mut tied, mut correction) = (0.0, 0.0);
    for group in values.chunk_by(|a, b| a == b) {
        let t = group.len() as f64;
        tied += t * (t - 1.0) / 2.0;
        correction += t * (t - 1.0) * (2.0 * t + 5.0);
    }
    let s = n * (n - 1.0) / 2.0 - tied - 2.0 * falling;
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - correction) / 18.0 * inflation;
    let continuity = if s == 0.0 { 0.0 } else { s.signum() };
    let z = if variance > 0.0 { (s - continuity) / variance.sqrt() } else { 0.0 };
    Ok(MannKendall { s, variance, z, p: Tails::from_one_sided(normal_sf(z), normal_sf(-z)) })
}

/// Sorts, and counts the pairs that were in falling order.
fn sort_counting_inversions(values: &mut [f64]) -> f64 {
    let n = values.len();
    let (mut from, mut to) = (values.to_vec(), values.to_vec());
    let (mut inversions, mut width) = (0.0, 1);
    while width < n {
        for start in (0..n).step_by(2 * width) {
            let (middle, end) = ((start + width).min(n), (start + 2 * width).min(n));
            let (mut left, mut right) = (start, middle);
            for slot in &mut to[start..end] {
                if right == end || left < middle && from[left] <= from[right] {
                    *slot = from[left];
                    left += 1;
                } else {
                    *slot = from[right];
                    right += 1;
                    inversions += (middle - left) as f64;
                }
            }
        }
        std::mem::swap(&mut from, &mut to);
        width *= 2;
    }
    values.copy_from_slice(&from);
    inversions
}

/// A series' slope, and whether it could be chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Theil-Sen slope, in the series' unit an interval.
    pub slope: f64,
    /// Standard deviation around the slope, in the series' unit.
    pub scatter: f64,
    /// Lag-1 autocorrelation around the slope.
    pub rho: f64,
    /// Variance inflation that follows from it.
    pub inflation: f64,
    /// The Mann-Kendall test with that inflation.
    pub test: MannKendall,
}

/// Theil-Sen slope and Mann-Kendall test, its variance inflated for AR(1) dependence of what is left when the slope is taken away.
///
/// Method and reference: those of [`theil_sen`], [`mann_kendall`] and [`residual_autocorrelation`].
///
/// # Errors
/// Those of [`theil_sen`].
pub fn trend(series: &[f64]) -> Result<Trend, StatError> {
    let slope = theil_sen(series)?;
    let residuals: Vec<f64> = series.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
    let present: Vec<f64> = residuals.iter().copied().filter(|v| v.is_finite()).collect();
    let n = present.len();
    let mean = present.iter().map(|v| v / n as f64).sum::<f64>();
    let scatter = (present.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.saturating_sub(2).max(1) as f64).sqrt();
    let rho = residual_autocorrelation(&residuals);
    let inflation = variance_inflation(rho, n);
    Ok(Trend { slope, scatter, rho, inflation, test: mann_kendall(series, inflation)? })
}

#[cfg(test)]
mod tests {
    use super::{mann_kendall, theil_sen, trend};

    #[test]
    fn a_line_has_its_own_slope_however_long_it_is_and_whatever_is_missing() {
        let line: Vec<f64> = (0..5_000).map(|i| if i % 7 == 3 { f64::NAN } else { 3.0 + 0.25 * f64::from(i) }).collect();
        for n in [2, 3, 999, 1_400, 5_000] {
            assert!((theil_sen(&line[..n]).unwrap() - 0.25).abs() < 1e-12, "{n}");
        }
    }

    #[test]
    fn a_long_series_has_nearly_the_slope_of_all_its_pairs() {
        let noisy: Vec<f64> = (0..2_400u32).map(|i| f64::from(i) * 0.01 + f64::from(i.wrapping_mul(2_654_435_761) >> 22)).collect();
        let mut slopes: Vec<f64> = Vec::new();
        for i in 0..noisy.len() {
            slopes.extend((i + 1..noisy.len()).map(|j| (noisy[j] - noisy[i]) / (j - i) as f64));
        }
        slopes.sort_unstable_by(f64::total_cmp);
        let all = super::median_of_sorted(&slopes);
        assert!((theil_sen(&noisy).unwrap() - all).abs() < 0.2 * all.abs().max(0.01), "{all}");
    }

    #[test]
    fn the_median_of_many_slopes_is_that_of_all_of_them_sorted() {
        let series = |n: u32, grain: f64, of: fn(u32) -> f64| -> Vec<f64> { (0..n).map(|i| (of(i) / grain).round() * grain).collect() };
        let scatter = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 20);
        for series in [
            series(300, 1e-9, scatter),
            series(301, 1000.0, scatter),
            series(600, 4096.0, scatter),
            series(700, 1.0, |i| f64::from(i % 3)),
            series(999, 1e-9, |i| f64::from(i).powi(2)),
            series(400, 1.0, |i| if i == 7 { 1e9 } else { 5.0 }),
        ] {
            let mut all = Vec::new();
            super::slopes(&super::points(&series), |slope| all.push(slope));
            assert_eq!(theil_sen(&series).unwrap().to_bits(), super::median(all).to_bits(), "{} points", series.len());
        }
    }

    #[test]
    fn a_series_without_variance_or_with_too_few_points_tells_nothing() {
        let constant = mann_kendall(&[2.0; 20], 1.0).unwrap();
        assert_eq!((constant.s, constant.variance, constant.p.greater), (0.0, 0.0, 0.5));
        assert!(mann_kendall(&[1.0, f64::NAN], 1.0).is_err());
        assert!(trend(&[f64::NAN, 1.0]).is_err());
        assert!(theil_sen(&[-1e308, 1e308]).is_err());
    }
}
