//! Paired comparisons: both arms saw the same minute, so what moves both cancels out.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::dependence::long_run_variance;
use super::differences::one_sample_hodges_lehmann;
use super::ranks::{PooledRanks, mid_ranks};
use super::{Sample, StatError, median_of_sorted};

/// Result of a paired comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedTest {
    /// One-sided p-value that the canary is greater; never below `2^-n`, the chance of one sign pattern.
    pub p: f64,
    /// Independent pairs that the pairs are worth.
    pub effective: f64,
    /// Degrees of freedom of the t statistic.
    pub degrees: f64,
}

/// Upper tail of Student's t for a mean with a long-run variance.
pub(crate) fn mean_test(values: &[f64]) -> PairedTest {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let long_run = long_run_variance(values);
    let floor = 0.5f64.powf(n.min(1000.0));
    let p = if long_run.variance > 0.0 {
        let t = mean / (long_run.variance / n).sqrt();
        StudentsT::new(0.0, 1.0, long_run.degrees).map_or(1.0, |distribution| distribution.sf(t))
    } else if mean > 0.0 {
        0.0
    } else {
        1.0
    };
    PairedTest { p: p.max(floor), effective: long_run.effective, degrees: long_run.degrees }
}

/// Rank test of paired points with a long-run variance of their pooled-rank differences.
///
/// Both slices are aligned in time and finite; only order matters. `swap` of the arms turns the tail around.
///
/// # Errors
/// [`StatError::Unequal`] for different lengths, [`StatError::TooFew`] for fewer than 3 pairs.
///
/// Checked against `fixtures/reference/golden_vectors.json`.
pub fn paired_rank_test(canary: &[f64], baseline: &[f64]) -> Result<PairedTest, StatError> {
    let n = check_pairs(canary, baseline)?;
    let pooled: Vec<f64> = canary.iter().chain(baseline).copied().collect();
    let ranks = mid_ranks(&pooled);
    let differences: Vec<f64> = (0..n).map(|i| (ranks[i] - ranks[n + i]) / n as f64).collect();
    Ok(mean_test(&differences))
}

/// The same of series without gaps whose samples were ranked together before, the canary's first; `turned` asks of both negated.
///
/// # Errors
/// [`StatError::Unequal`] for different lengths, [`StatError::TooFew`] for fewer than 3 pairs.
pub(crate) fn paired_rank_test_of(
    (canary, of_canary): (&[f64], &Sample),
    (baseline, of_baseline): (&[f64], &Sample),
    pooled: &PooledRanks,
    turned: bool,
) -> Result<PairedTest, StatError> {
    let n = canary.len();
    if n != baseline.len() || n != of_canary.len() || n != of_baseline.len() {
        return Err(StatError::Unequal(n, baseline.len()));
    }
    if n < 3 {
        return Err(StatError::TooFew { got: n, needed: 3 });
    }
    // Equal values have one rank, so that the first of them tells it.
    let rank = |v: &f64, sorted: &[f64], ranks: &[f64]| ranks.get(sorted.partition_point(|other| other < v)).copied().unwrap_or(0.0);
    let sign = if turned { -1.0 } else { 1.0 };
    let difference = |(c, b): (&f64, &f64)| {
        sign * (rank(c, of_canary.sorted(), &pooled.first) - rank(b, of_baseline.sorted(), &pooled.second)) / n as f64
    };
    Ok(mean_test(&canary.iter().zip(baseline).map(difference).collect::<Vec<f64>>()))
}

/// Ratio of the canary to the baseline, with an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Median pairwise ratio; 1 is no change.
    pub ratio: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end of the 90 % interval.
    pub high: f64,
}

/// Hodges-Lehmann estimate of the ratio of paired positive points, with a 90 % interval.
///
/// The estimate is that of the log ratios; the interval uses their long-run variance after pulling them in to three scatters.
///
/// # Errors
/// [`StatError::Unequal`], [`StatError::TooFew`] (3 pairs), or [`StatError::NotFinite`] where a point is not above 0.
pub fn paired_ratio(canary: &[f64], baseline: &[f64]) -> Result<Ratio, StatError> {
    let n = check_pairs(canary, baseline)?;
    if canary.iter().chain(baseline).any(|v| *v <= 0.0) {
        return Err(StatError::NotFinite);
    }
    let logs: Vec<f64> = canary.iter().zip(baseline).map(|(c, b)| (c / b).ln()).collect();
    let centre = one_sample_hodges_lehmann(&Sample::new(logs.clone())?);
    let mut sorted = logs.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = median_of_sorted(&sorted);
    let mut distances: Vec<f64> = logs.iter().map(|v| (v - median).abs()).collect();
    distances.sort_unstable_by(f64::total_cmp);
    let scatter = 1.4826 * median_of_sorted(&distances);
    let pulled: Vec<f64> = logs.iter().map(|v| v.clamp(median - 3.0 * scatter, median + 3.0 * scatter)).collect();
    let long_run = long_run_variance(&pulled);
    let quantile = StudentsT::new(0.0, 1.0, long_run.degrees).map_or(f64::INFINITY, |t| t.inverse_cdf(0.95));
    let half = quantile * (long_run.variance / n as f64).sqrt();
    Ok(Ratio { ratio: centre.exp(), low: (centre - half).exp(), high: (centre + half).exp() })
}

fn check_pairs(canary: &[f64], baseline: &[f64]) -> Result<usize, StatError> {
    let n = canary.len();
    if n != baseline.len() {
        return Err(StatError::Unequal(n, baseline.len()));
    }
    if n < 3 {
        return Err(StatError::TooFew { got: n, needed: 3 });
    }
    if canary.iter().chain(baseline).any(|v| !v.is_finite()) {
        return Err(StatError::NotFinite);
    }
    Ok(n)
}
