//! One arm's observations: finite and sorted by construction, so no statistic checks for NaN.

use ndarray::{Array1, ArrayView1};

use super::StatError;

/// Finite observations in ascending order; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(Array1<f64>);

impl Sample {
    /// A sample of these observations.
    ///
    /// # Errors
    /// [`StatError::NotFinite`] for NaN or an infinity, [`StatError::TooFew`] for none.
    pub fn new(values: Vec<f64>) -> Result<Self, StatError> {
        if values.iter().any(|v| !v.is_finite()) {
            return Err(StatError::NotFinite);
        }
        Self::of_present(&values)
    }

    /// A sample of those observations that are finite.
    ///
    /// # Errors
    /// [`StatError::TooFew`] where there are none.
    pub fn of_present(values: &[f64]) -> Result<Self, StatError> {
        // Adding 0.0 turns -0.0 into 0.0, so that the two tie.
        let mut present: Vec<f64> = values.iter().filter(|v| v.is_finite()).map(|v| v + 0.0).collect();
        if present.is_empty() {
            return Err(StatError::TooFew { got: 0, needed: 1 });
        }
        present.sort_unstable_by(f64::total_cmp);
        Ok(Self(Array1::from_vec(present)))
    }

    /// Number of observations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Always false: a sample has at least one observation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The observations, ascending.
    #[must_use]
    pub fn sorted(&self) -> &[f64] {
        self.0.as_slice().unwrap_or(&[])
    }

    /// The observations, ascending, as an array.
    #[must_use]
    pub fn view(&self) -> ArrayView1<'_, f64> {
        self.0.view()
    }

    /// Smallest observation.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// Largest observation.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// Median; the mean of the middle two for an even number.
    #[must_use]
    pub fn median(&self) -> f64 {
        median_of_sorted(self.sorted())
    }

    /// Arithmetic mean. Each observation is divided before it is added, so that huge ones do not overflow.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let n = self.0.len() as f64;
        let sum = self.0.sum();
        if sum.is_finite() { sum / n } else { self.0.iter().map(|v| v / n).sum() }
    }

    /// Whether all observations are equal.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.min() == self.max()
    }

    /// The sample of what is left of each observation to a bound.
    #[must_use]
    pub fn mirrored(&self, bound: f64) -> Self {
        Self(self.0.iter().rev().map(|v| bound - v + 0.0).collect())
    }

    /// The sample with every observation negated.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self(self.0.iter().rev().map(|v| -v + 0.0).collect())
    }
}

/// Median of ascending values; the mean of the middle two for an even number. 0 for none.
#[must_use]
pub fn median_of_sorted(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Median of values in any order; the mean of the middle two for an even number. 0 for none. Found by selection, which costs a fraction
/// of a sort.
#[must_use]
pub fn median_of(mut values: Vec<f64>) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    f64::midpoint(lower, upper)
}

/// Quantile of ascending values, 0 <= `q` <= 1, interpolated linearly between order statistics (type 7 of Hyndman & Fan 1996). 0 for none.
#[must_use]
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (at - at.floor()) * (sorted[above] - sorted[below])
}

/// Scatter within two arms: 1.4826 times the median distance of a point from its own arm's median, both arms pooled.
///
/// In the samples' unit; estimates the standard deviation of normal data.
#[must_use]
pub fn pooled_scatter(a: &Sample, b: &Sample) -> f64 {
    pooled_scatter_in((a, 1.0), (b, 1.0))
}

/// The same with each arm's distances in a unit of its own, 0 or more; what scatters in a unit of 0 scatters without bounds.
#[must_use]
pub fn pooled_scatter_in(a: (&Sample, f64), b: (&Sample, f64)) -> f64 {
    let distances = |(sample, unit): (&Sample, f64)| {
        let median = sample.median();
        let of = move |v: &f64| match (v - median).abs() {
            0.0 => 0.0,
            distance => distance / unit,
        };
        sample.sorted().iter().map(of).collect::<Vec<_>>()
    };
    let mut all = distances(a);
    all.extend(distances(b));
    1.4826 * median_of(all)
}
