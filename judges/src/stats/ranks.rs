//! Mid-ranks: tied values share the mean of the ranks they take up.

use super::Sample;

/// What ranking two samples together tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// Sum of the first sample's mid-ranks, exact in a double up to about 2e5 observations.
    pub rank_sum: f64,
    /// Sizes of the groups of equal values, ascending by value, with how many of each are in the first sample.
    pub groups: Vec<TieGroup>,
}

/// A group of equal values in the pooled sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TieGroup {
    /// Values in the group.
    pub size: usize,
    /// Those that belong to the first sample.
    pub from_first: usize,
}

impl Pooled {
    /// Ranks two samples together by merging them.
    #[must_use]
    pub fn of(first: &Sample, second: &Sample) -> Self {
        let (a, b) = (first.sorted(), second.sorted());
        let (mut i, mut j) = (0, 0);
        let mut rank_sum = 0.0;
        let mut groups = Vec::with_capacity(a.len() + b.len());
        while i < a.len() || j < b.len() {
            let value = match (a.get(i), b.get(j)) {
                (Some(x), Some(y)) => x.min(*y),
                (Some(x), None) => *x,
                (None, Some(y)) => *y,
                (None, None) => break,
            };
            let before = i + j;
            let from_first = a[i..].iter().take_while(|v| **v == value).count();
            let from_second = b[j..].iter().take_while(|v| **v == value).count();
            let size = from_first + from_second;
            rank_sum += from_first as f64 * (before as f64 + 0.5 * (size as f64 + 1.0));
            groups.push(TieGroup { size, from_first });
            i += from_first;
            j += from_second;
        }
        Self { rank_sum, groups }
    }

    /// Whether any value occurs twice.
    #[must_use]
    pub fn has_ties(&self) -> bool {
        self.groups.iter().any(|group| group.size > 1)
    }

    /// Sum of `t^3 - t` over the groups, by which ties shrink the variance of a rank sum.
    #[must_use]
    pub fn tie_term(&self) -> f64 {
        self.groups.iter().map(|group| (group.size as f64).powi(3) - group.size as f64).sum()
    }
}

/// Mid-ranks, 1-based, of values in the order given. Values must be finite.
#[must_use]
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    // Values beside their places, so that comparing them reads no memory elsewhere.
    let mut order: Vec<(f64, usize)> = values.iter().enumerate().map(|(k, v)| (v + 0.0, k)).collect();
    order.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut ranks = vec![0.0; values.len()];
    let mut i = 0;
    while i < order.len() {
        let size = order[i..].iter().take_while(|(v, _)| *v == order[i].0).count().max(1);
        let rank = i as f64 + 0.5 * (size as f64 + 1.0);
        for (_, k) in &order[i..i + size] {
            ranks[*k] = rank;
        }
        i += size;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::mid_ranks;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, -0.0, 0.0, 3.0]), vec![5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
        assert!(mid_ranks(&[]).is_empty());
    }
}
