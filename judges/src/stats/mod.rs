//! The statistics. They know samples, not configs, thresholds or judges.
//!
//! Each documents its unit, method, source and edges. Distribution functions are statrs'; everything here that statrs also has
//! (the rank test) is ours because statrs' is wrong for `n1 <= n2` and exponential for small samples.

pub mod binomial;
pub mod dependence;
pub mod differences;
pub mod hypergeometric;
pub mod mann_whitney;
pub mod paired;
pub mod power;
pub mod prediction;
pub mod ranks;
mod sample;
pub mod sequential;
pub mod strata;
pub mod student;
pub mod trend;
pub mod van_elteren;

pub use sample::{Sample, median_of, median_of_sorted, pooled_scatter, pooled_scatter_in, quantile_of_sorted, scatter};

use statrs::distribution::{ContinuousCDF, Normal};

/// Why a statistic could not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatError {
    /// Fewer observations than the statistic needs.
    #[error("{got} observations are too few; {needed} are needed")]
    TooFew {
        /// Observations given.
        got: usize,
        /// Observations needed.
        needed: usize,
    },
    /// A value is infinite or not a number.
    #[error("a sample holds a value that is not finite")]
    NotFinite,
    /// Vectors that go together have different lengths.
    #[error("vectors of {0} and {1} entries do not go together")]
    Unequal(usize, usize),
    /// Events exceed their total, or a count is negative.
    #[error("a count is negative, or there are more events than requests")]
    NotCounts,
}

/// p-values of the three alternatives, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tails {
    /// The canary's values tend to be greater.
    pub greater: f64,
    /// The canary's values tend to be less.
    pub less: f64,
    /// Either; twice the smaller of the two, at most 1.
    pub two_sided: f64,
}

impl Tails {
    /// The three alternatives from the two one-sided p-values.
    #[must_use]
    pub fn from_one_sided(greater: f64, less: f64) -> Self {
        let (greater, less) = (greater.clamp(0.0, 1.0), less.clamp(0.0, 1.0));
        Self { greater, less, two_sided: (2.0 * greater.min(less)).min(1.0) }
    }

    /// The tails with the arms swapped.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { greater: self.less, less: self.greater, ..self }
    }
}

/// Smallest p-value that is turned into a quantile.
const P_MIN: f64 = 1e-300;
/// Largest p-value that is turned into a quantile.
const P_MAX: f64 = 1.0 - 1e-12;

/// Upper tail of the standard normal distribution.
#[must_use]
pub fn normal_sf(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// Standard normal quantile of `1 - p`; `p` is clamped to [1e-300, 1 - 1e-12].
#[must_use]
pub fn normal_isf(p: f64) -> f64 {
    let p = p.clamp(P_MIN, P_MAX);
    // The quantile of p itself keeps its precision where p is small; 1 - p does not.
    -Normal::standard().inverse_cdf(p)
}

/// `z` such that a one-sided standard normal tail is 5 %, as the rule was measured with.
pub const Z_95: f64 = 1.645;
/// `z` such that a one-sided standard normal tail is 20 %.
pub const Z_80: f64 = 0.841_621_233_572_914_4;
