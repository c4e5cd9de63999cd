//! Histogram buckets: how many requests fell into each, interval by interval.
//!
//! One layout holds for all intervals of an arm. Counts at a bound are exact whatever the layout, so that layouts are compared at the
//! bounds that no occupied bucket of either straddles ([`Buckets::shared_bounds`]): of exponential layouts of two schemas these are the
//! bounds of the coarser one.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most finite bounds that are read; Prometheus' native histograms have 160 unless told otherwise.
pub const MAX_BOUNDS: usize = 1_000;

/// Factor within which a bucket bound stands for another place.
const NEAR: f64 = 1.25;

/// How a quantile is interpolated within a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    /// Linearly, as `histogram_quantile` does for classic histograms.
    #[default]
    Linear,
    /// Exponentially, as it does for native ones.
    Exponential,
}

/// One arm's buckets, interval by interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Finite upper bounds, rising, in the metric's unit.
    bounds: Vec<f64>,
    /// One row after another, each of `bounds.len() + 1` counts, the last above the last bound; `NaN` throughout where missing.
    counts: Vec<f64>,
    /// Requests of each interval; `NaN` where missing.
    totals: Vec<f64>,
    spacing: Spacing,
}

/// Buckets that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuckets {
    /// No bound, or too many.
    #[error("{0} bounds; give 1 to {MAX_BOUNDS}")]
    Number(usize),
    /// Bounds that do not rise, or are of no size that can be reckoned with.
    #[error(
        "bound {0} does not rise above the one before it, or is no number of a size from 1e-150 to 1e150; give bounds in rising order, without +Inf"
    )]
    Order(usize),
    /// Rows of another length.
    #[error("row {row} has {found} counts where {expected} are needed: one for each bound, and one above the last")]
    Row {
        /// Which.
        row: usize,
        /// Its counts.
        found: usize,
        /// What it needs.
        expected: usize,
    },
}

impl Buckets {
    /// Buckets of so many intervals, none of which has any data.
    ///
    /// # Errors
    /// [`InvalidBuckets`] for bounds that do not rise, or too many of them.
    pub fn empty(bounds: Vec<f64>, intervals: usize, spacing: Spacing) -> Result<Self, InvalidBuckets> {
        if bounds.is_empty() || bounds.len() > MAX_BOUNDS {
            return Err(InvalidBuckets::Number(bounds.len()));
        }
        // So that no quotient or product of two overflows.
        let sized = |bound: f64| bound == 0.0 || (1e-150..=1e150).contains(&bound.abs());
        let rises = |i: usize| sized(bounds[i]) && (i == 0 || bounds[i] > bounds[i - 1]);
        if let Some(i) = (0..bounds.len()).find(|i| !rises(*i)) {
            return Err(InvalidBuckets::Order(i));
        }
        let counts = vec![f64::NAN; (bounds.len() + 1).saturating_mul(intervals)];
        Ok(Self { bounds, counts, totals: vec![f64::NAN; intervals], spacing })
    }

    /// Buckets from rows; an interval without data is `None`.
    ///
    /// # Errors
    /// [`InvalidBuckets`], where a row is of another length too.
    pub fn from_rows(bounds: Vec<f64>, rows: &[Option<Vec<f64>>], spacing: Spacing) -> Result<Self, InvalidBuckets> {
        let mut buckets = Self::empty(bounds, rows.len(), spacing)?;
        for (i, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            if row.len() != buckets.width() {
                return Err(InvalidBuckets::Row { row: i, found: row.len(), expected: buckets.width() });
            }
            buckets.set(i, row);
        }
        Ok(buckets)
    }

    /// Puts an interval's counts, as many as a row has; what is no number makes the interval missing. Returns whether it has data.
    pub fn set(&mut self, interval: usize, row: &[f64]) -> bool {
        let width = self.width();
        let Some(slot) = self.counts.get_mut(interval * width..(interval + 1) * width) else { return false };
        let total: f64 = row.iter().sum();
        let known = row.len() == width && total.is_finite() && row.iter().all(|count| *count >= 0.0);
        if known {
            slot.copy_from_slice(row);
        } else {
            slot.fill(f64::NAN);
        }
        if let Some(slot) = self.totals.get_mut(interval) {
            *slot = if known { total } else { f64::NAN };
        }
        known
    }

    /// Takes an interval's counts for missing.
    pub fn forget(&mut self, interval: usize) {
        self.set(interval, &[]);
    }

    /// Finite upper bounds, rising, in the metric's unit.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Requests of each interval; `NaN` where missing.
    #[must_use]
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// How a quantile is interpolated within a bucket.
    #[must_use]
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// Counts in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Number of intervals.
    #[must_use]
    pub fn len(&self) -> usize {
        self.totals.len()
    }

    /// Whether there is no interval at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.totals.is_empty()
    }

    /// The rows, oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[f64]> + ExactSizeIterator {
        self.counts.chunks_exact(self.width())
    }

    /// Some intervals of them.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let range = range.start.min(self.len())..range.end.min(self.len());
        let width = self.width();
        let counts = self.counts.get(range.start * width..range.end * width).unwrap_or_default().to_vec();
        let totals = self.totals.get(range).unwrap_or_default().to_vec();
        Self { bounds: self.bounds.clone(), counts, totals, spacing: self.spacing }
    }

    /// Requests in each bucket over all intervals.
    #[must_use]
    pub fn sums(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.width()];
        for row in self.rows().filter(|row| row.first().is_some_and(|count| count.is_finite())) {
            for (sum, count) in sums.iter_mut().zip(row) {
                *sum += count;
            }
        }
        sums
    }

    /// Requests slower than a bound in each interval, `bound` being one of [`Self::bounds`] by its index; `NaN` where missing.
    #[must_use]
    pub fn above(&self, bound: usize) -> Vec<f64> {
        self.rows().map(|row| row.iter().skip(bound + 1).sum()).collect()
    }

    /// The bounds of several layouts at which the counts of all are exact: those that no occupied bucket straddles.
    #[must_use]
    pub fn shared_bounds(all: &[&Self]) -> Vec<f64> {
        let Some(first) = all.first() else { return Vec::new() };
        if all.iter().all(|one| one.bounds == first.bounds) {
            return first.bounds.clone();
        }
        let mut bounds: Vec<f64> = all.iter().flat_map(|one| one.bounds.iter().copied()).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        // Two stores write one bound with different last digits.
        bounds.dedup_by(|b, a| is_same(*a, *b));
        for one in all {
            let sums = one.sums();
            // The bucket in which a bound lies; on its edge it lies in none.
            let straddled = |bound: f64| {
                let j = one.bounds.partition_point(|own| *own < bound && !is_same(*own, bound));
                let on_edge = one.bounds.get(j).is_some_and(|own| is_same(*own, bound));
                !on_edge && sums.get(j).is_some_and(|count| *count > 0.0)
            };
            bounds.retain(|bound| !straddled(*bound));
        }
        bounds
    }

    /// The place nearest to `bound`, within a factor 1.25, at which the counts of all layouts are exact: one of their bounds, or `bound`
    /// itself where no occupied bucket straddles it. `None` where there is none.
    #[must_use]
    pub fn place_near(all: &[&Self], bound: f64) -> Option<f64> {
        let probe = Self::empty(vec![bound], 0, Spacing::Linear).ok()?;
        let layouts: Vec<&Self> = all.iter().copied().chain([&probe]).collect();
        let off = |at: f64| if at > 0.0 && bound > 0.0 { (at / bound).ln().abs() } else { (at - bound).abs() };
        let nearest = Self::shared_bounds(&layouts).into_iter().min_by(|a, b| off(*a).total_cmp(&off(*b)))?;
        let is_near = is_same(nearest, bound) || nearest > 0.0 && bound > 0.0 && off(nearest) <= NEAR.ln();
        is_near.then_some(nearest)
    }

    /// Requests above a place, and all of them, in each interval; `NaN` where missing, or where an occupied bucket straddles the place.
    #[must_use]
    pub fn slower_than(&self, place: f64) -> Option<(Vec<f64>, Vec<f64>)> {
        let at = self.at_bounds(&[place], self.spacing)?;
        Some((at.above(0), at.totals))
    }

    /// The same counts at other bounds; an interval of which an occupied bucket straddles one of them is missing.
    #[must_use]
    pub fn at_bounds(&self, bounds: &[f64], spacing: Spacing) -> Option<Self> {
        if bounds == self.bounds {
            return Some(Self { spacing, ..self.clone() });
        }
        let mut coarser = Self::empty(bounds.to_vec(), self.len(), spacing).ok()?;
        // Where each bucket goes: into the first whose bound is not below its own.
        let to: Vec<usize> = self
            .bounds
            .iter()
            .map(|own| bounds.partition_point(|bound| *bound < *own && !is_same(*bound, *own)))
            .chain([bounds.len()])
            .collect();
        // Those that hold a bound of the others within.
        let straddles: Vec<bool> = (0..self.width())
            .map(|j| {
                let (lower, upper) = (j.checked_sub(1).and_then(|i| self.bounds.get(i)), self.bounds.get(j));
                let above = |bound: f64| lower.is_none_or(|lower| bound > *lower && !is_same(bound, *lower));
                bounds.iter().any(|bound| above(*bound) && upper.is_none_or(|upper| bound < upper && !is_same(*bound, *upper)))
            })
            .collect();
        let mut merged = vec![0.0; coarser.width()];
        for (i, row) in self.rows().enumerate() {
            if !self.totals.get(i).is_some_and(|total| total.is_finite()) {
                continue;
            }
            if row.iter().zip(&straddles).any(|(count, straddles)| *straddles && *count > 0.0) {
                continue;
            }
            merged.fill(0.0);
            for (count, place) in row.iter().zip(&to) {
                if let Some(slot) = merged.get_mut(*place) {
                    *slot += count;
                }
            }
            coarser.set(i, &merged);
        }
        Some(coarser)
    }

    /// The same with every bound multiplied by a factor above 0.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        self.bounds.iter_mut().for_each(|bound| *bound *= factor);
        self
    }

    /// Adds another arm's or instance's counts, interval by interval; an interval that one of them lacks is the other's. `None`, and nothing
    /// added, where the bounds or the number of intervals differ.
    pub fn add(&mut self, other: &Self) -> Option<()> {
        if self.bounds != other.bounds || self.len() != other.len() {
            return None;
        }
        let width = self.width();
        for (i, row) in other.rows().enumerate().filter(|(i, _)| other.totals.get(*i).is_some_and(|total| total.is_finite())) {
            let sum: Vec<f64> = match self.counts.get(i * width..(i + 1) * width) {
                Some(own) if own.first().is_some_and(|count| count.is_finite()) => own.iter().zip(row).map(|(a, b)| a + b).collect(),
                _ => row.to_vec(),
            };
            self.set(i, &sum);
        }
        Some(())
    }

    /// A quantile of one interval's counts, or of sums; `None` without requests.
    #[must_use]
    pub fn quantile_of(&self, row: &[f64], tau: f64) -> Option<f64> {
        let total: f64 = row.iter().sum();
        if total.is_nan() || total <= 0.0 {
            return None;
        }
        let mut below = 0.0;
        let cdf: Vec<f64> = row
            .iter()
            .take(self.bounds.len())
            .map(|count| {
                below += count / total;
                below
            })
            .collect();
        Some(quantile(&cdf, &self.bounds, tau, self.spacing).0)
    }

    /// A quantile of each interval; `NaN` where there are no requests.
    #[must_use]
    pub fn quantiles(&self, tau: f64) -> Vec<f64> {
        self.rows().map(|row| self.quantile_of(row, tau).unwrap_or(f64::NAN)).collect()
    }
}

/// Whether two bounds are one, but for the digits that a store writes.
fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// The quantile `tau` of a distribution known at rising bounds, and the index of the bucket in which it lies. `cdf` holds the share at or
/// below each bound. Above the last bound it is that bound, as Prometheus says; the first bucket begins at 0, or at its bound where
/// that is negative.
#[must_use]
pub fn quantile(cdf: &[f64], bounds: &[f64], tau: f64, spacing: Spacing) -> (f64, usize) {
    let j = cdf.iter().take_while(|share| **share < tau - 1e-12).count();
    let (Some(upper), Some(share)) = (bounds.get(j), cdf.get(j)) else { return (bounds.last().copied().unwrap_or(f64::NAN), bounds.len()) };
    let (lower, before) = match j.checked_sub(1) {
        Some(i) => (bounds[i], cdf[i]),
        None => (upper.min(0.0), 0.0),
    };
    let part = if share > &before { ((tau - before) / (share - before)).clamp(0.0, 1.0) } else { 0.0 };
    let value = match spacing {
        Spacing::Exponential if lower > 0.0 => lower * (upper / lower).powf(part),
        _ => lower + (upper - lower) * part,
    };
    (value, j)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bounds: &[f64], rows: &[&[f64]]) -> Buckets {
        let rows: Vec<Option<Vec<f64>>> = rows.iter().map(|row| Some(row.to_vec())).collect();
        Buckets::from_rows(bounds.to_vec(), &rows, Spacing::Linear).unwrap()
    }

    #[test]
    fn layouts_are_compared_at_the_bounds_that_no_occupied_bucket_straddles() {
        let fine = rows(&[1.0, 2.0, 4.0, 8.0], &[&[0.0, 3.0, 2.0, 1.0, 0.0]]);
        let coarse = rows(&[4.0, 16.0], &[&[5.0, 1.0, 0.0]]);
        // 1 and 2 lie in the coarse one's first bucket, and 8 in its second, both occupied; above 8 the fine one is empty.
        assert_eq!(Buckets::shared_bounds(&[&fine, &coarse]), [4.0, 16.0]);
        let merged = fine.at_bounds(&[4.0, 16.0], Spacing::Linear).unwrap();
        assert_eq!(merged.rows().collect::<Vec<_>>(), [[5.0, 1.0, 0.0]]);
        let apart = rows(&[3.0], &[&[1.0, 1.0]]);
        assert_eq!(Buckets::shared_bounds(&[&apart, &rows(&[5.0], &[&[1.0, 1.0]])]), [0.0; 0]);
        // Bounds that two stores write with other last digits are one.
        assert_eq!(Buckets::shared_bounds(&[&rows(&[0.1], &[&[1.0, 1.0]]), &rows(&[0.1 + 1e-15], &[&[1.0, 1.0]])]), [0.1]);
    }

    #[test]
    fn a_place_is_near_where_no_occupied_bucket_lies_around_it() {
        let fast = rows(&[0.01, 0.04], &[&[3.0, 2.0, 0.0]]);
        assert_eq!(Buckets::place_near(&[&fast], 0.25), Some(0.25));
        assert_eq!(fast.slower_than(0.25), Some((vec![0.0], vec![5.0])));
        let slow = rows(&[0.2, 0.3], &[&[3.0, 2.0, 1.0]]);
        assert_eq!(Buckets::place_near(&[&fast, &slow], 0.25), Some(0.3));
        assert_eq!(slow.slower_than(0.3), Some((vec![1.0], vec![6.0])));
        assert_eq!(Buckets::place_near(&[&slow], 1.0), None);
        assert!(slow.slower_than(0.25).unwrap().0[0].is_nan());
    }

    #[test]
    fn quantiles_are_those_of_histogram_quantile() {
        // promql: histogram_quantile(.5, ...) of cumulative 10, 30, 40 at 1, 2, 4 with 40 in all is 1.5.
        let one = rows(&[1.0, 2.0, 4.0], &[&[10.0, 20.0, 10.0, 0.0]]);
        assert_eq!(one.quantiles(0.5), [1.5]);
        assert_eq!(one.quantiles(0.1), [0.4]);
        let beyond = rows(&[1.0, 2.0], &[&[1.0, 1.0, 98.0]]);
        assert_eq!(beyond.quantiles(0.5), [2.0]);
        let exponential = Buckets { spacing: Spacing::Exponential, ..rows(&[1.0, 4.0], &[&[0.0, 10.0, 0.0]]) };
        assert_eq!(exponential.quantiles(0.5), [2.0]);
        assert!(rows(&[1.0], &[&[0.0, 0.0]]).quantiles(0.5)[0].is_nan());
    }

    #[test]
    fn what_is_no_count_makes_its_interval_missing() {
        let mut one = rows(&[1.0], &[&[1.0, 2.0], &[3.0, 4.0]]);
        assert!(!one.set(0, &[-1.0, 2.0]) && !one.set(1, &[f64::NAN, 1.0]));
        assert!(one.totals().iter().all(|total| total.is_nan()) && one.sums() == [0.0, 0.0]);
        assert!(one.set(1, &[0.5, 0.25]) && one.totals()[1] == 0.75);
        assert_eq!(Buckets::from_rows(vec![1.0, 1.0], &[], Spacing::Linear), Err(InvalidBuckets::Order(1)));
        let short = Buckets::from_rows(vec![1.0], &[Some(vec![1.0])], Spacing::Linear);
        assert_eq!(short, Err(InvalidBuckets::Row { row: 0, found: 1, expected: 2 }));
    }

    #[test]
    fn instances_add_up_and_one_that_is_missing_adds_nothing() {
        let mut sum = rows(&[1.0], &[&[1.0, 2.0], &[3.0, 4.0]]);
        let other = Buckets::from_rows(vec![1.0], &[None, Some(vec![1.0, 1.0])], Spacing::Linear).unwrap();
        assert!(sum.add(&other).is_some() && sum.add(&rows(&[2.0], &[&[1.0, 1.0], &[1.0, 1.0]])).is_none());
        assert_eq!((sum.rows().next().unwrap(), sum.totals()), ([1.0, 2.0].as_slice(), [3.0, 9.0].as_slice()));
    }
}
