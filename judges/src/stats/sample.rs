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
    1.4826 * median_distance([Distances::to_both_sides(a.0, a.1), Distances::to_both_sides(b.0, b.1)].as_flattened_mut())
}

/// Scatter of one sample: 1.4826 times the median distance from its median, in its unit.
#[must_use]
pub fn scatter(sample: &Sample) -> f64 {
    1.4826 * median_distance(&mut Distances::to_both_sides(sample, 1.0))
}

/// Distances of some ascending values from one that lies at one side of them all, rising.
#[derive(Debug, Clone, Copy)]
struct Distances<'a> {
    /// Values that are left.
    values: &'a [f64],
    from: f64,
    unit: f64,
    /// Whether they lie below it, so that the last is the nearest.
    is_below: bool,
}

impl<'a> Distances<'a> {
    /// Those of a sample's values to both sides of its median.
    fn to_both_sides(sample: &'a Sample, unit: f64) -> [Self; 2] {
        let from = sample.median();
        let (below, above) = sample.sorted().split_at(sample.sorted().partition_point(|v| *v < from));
        [Self { values: below, from, unit, is_below: true }, Self { values: above, from, unit, is_below: false }]
    }

    /// The distance `i` places from the nearest.
    fn get(&self, i: usize) -> Option<f64> {
        let at = if self.is_below { self.values.len().checked_sub(i + 1)? } else { i };
        Some(match (self.values.get(at)? - self.from).abs() {
            0.0 => 0.0,
            distance => distance / self.unit,
        })
    }

    /// Leaves out the nearest.
    fn skip(&mut self, many: usize) {
        let left = self.values.len().saturating_sub(many);
        self.values = if self.is_below { &self.values[..left] } else { &self.values[self.values.len() - left..] };
    }
}

/// The median of several rising series of distances together, found by leaving out what is certainly below it; 0 without any.
fn median_distance(all: &mut [Distances<'_>]) -> f64 {
    let n: usize = all.iter().map(|one| one.values.len()).sum();
    let Some(mut left) = n.checked_sub(1).map(|last| last / 2) else { return 0.0 };
    while left > 0 {
        // So many of the series whose distance at that place is the least are among the `left` smallest of all.
        let step = (left - 1) / all.len() + 1;
        let at = |one: &Distances<'_>| one.get(step - 1).unwrap_or(f64::INFINITY);
        let Some(nearest) = all.iter_mut().filter(|one| one.values.len() >= step).min_by(|a, b| at(a).total_cmp(&at(b))) else { break };
        nearest.skip(step);
        left -= step;
    }
    let mut next = || {
        let nearest = all
            .iter_mut()
            .filter(|one| !one.values.is_empty())
            .min_by(|a, b| a.get(0).unwrap_or(0.0).total_cmp(&b.get(0).unwrap_or(0.0)))?;
        let distance = nearest.get(0);
        nearest.skip(1);
        distance
    };
    let lower = next().unwrap_or(0.0);
    if n % 2 == 1 { lower } else { f64::midpoint(lower, next().unwrap_or(lower)) }
}

#[cfg(test)]
mod tests {
    use super::{Sample, median_of, pooled_scatter_in, scatter};

    #[test]
    fn the_median_distance_is_that_of_all_distances_sorted() {
        let mut state = 1u64;
        let mut draw = |n: usize, grain: f64| -> Vec<f64> {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) as f64 / grain).round() * grain
            };
            (0..n).map(|_| next()).collect()
        };
        for (n, m, grain) in [(1, 1, 1.0), (2, 3, 1.0), (5, 8, 1e6), (40, 41, 5e6), (1, 60, 1.0), (60, 60, 1e3), (7, 200, 1e7)] {
            let (a, b) = (Sample::new(draw(n, grain)).unwrap(), Sample::new(draw(m, grain)).unwrap());
            let distances = |sample: &Sample, unit: f64| {
                let median = sample.median();
                sample.sorted().iter().map(move |v| (v - median).abs() / unit).collect::<Vec<f64>>()
            };
            assert_eq!(scatter(&a), 1.4826 * median_of(distances(&a, 1.0)), "{n}");
            let all = [distances(&a, 3.0), distances(&b, 7.0)].concat();
            assert_eq!(pooled_scatter_in((&a, 3.0), (&b, 7.0)), 1.4826 * median_of(all), "{n} and {m}");
        }
    }
}
