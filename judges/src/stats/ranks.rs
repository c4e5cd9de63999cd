//! Mid-ranks: tied values share the mean of the ranks they take up.

use super::Sample;

/// Two samples ranked together.
#[derive(Debug, Clone, PartialEq)]
pub struct PooledRanks {
    /// Mid-ranks of the first sample's observations, ascending as they are.
    pub first: Vec<f64>,
    /// Those of the second's.
    pub second: Vec<f64>,
    /// Sizes of the groups of two and more equal values, ascending by value.
    pub ties: Vec<usize>,
    /// Whether all values are equal.
    pub is_constant: bool,
}

impl PooledRanks {
    /// Ranks two samples together by merging them.
    #[must_use]
    pub fn of(first: &Sample, second: &Sample) -> Self {
        let (a, b) = (first.sorted(), second.sorted());
        let (mut of_first, mut of_second, mut ties) = (vec![0.0; a.len()], vec![0.0; b.len()], Vec::new());
        let (mut i, mut j) = (0, 0);
        let mut last = f64::NAN;
        while i < a.len() && j < b.len() {
            let (x, y) = (a[i], b[j]);
            let from_first = x <= y;
            let value = if from_first { x } else { y };
            if value == last {
                group((a, b), (&mut i, &mut j), last, (&mut of_first, &mut of_second), &mut ties);
                continue;
            }
            // Both, so that no branch has to foresee which; the other's is put right when it is its turn.
            let rank = (i + j + 1) as f64;
            (of_first[i], of_second[j]) = (rank, rank);
            i += usize::from(from_first);
            j += usize::from(!from_first);
            last = value;
        }
        while i < a.len() || j < b.len() {
            let value = if i < a.len() { a[i] } else { b[j] };
            if value == last {
                group((a, b), (&mut i, &mut j), last, (&mut of_first, &mut of_second), &mut ties);
                continue;
            }
            let rank = (i + j + 1) as f64;
            let (slot, place) = if i < a.len() { (&mut of_first, &mut i) } else { (&mut of_second, &mut j) };
            slot[*place] = rank;
            *place += 1;
            last = value;
        }
        let is_constant = ties.first() == Some(&(a.len() + b.len()));
        Self { first: of_first, second: of_second, ties, is_constant }
    }

    /// Sum of the first sample's mid-ranks, exact in a double up to some ten million observations.
    #[must_use]
    pub fn rank_sum(&self) -> f64 {
        self.first.iter().sum()
    }

    /// Sizes of all groups of equal values, ascending by value.
    pub(super) fn group_sizes(&self) -> Vec<usize> {
        // The mid-ranks of both in ascending order tell where each group ends.
        let (mut i, mut j, mut seen) = (0, 0, 0);
        let mut ties = self.ties.iter().copied();
        let mut sizes = Vec::with_capacity(self.first.len() + self.second.len());
        while seen < self.first.len() + self.second.len() {
            let of = |ranks: &[f64], at: usize| ranks.get(at).copied().unwrap_or(f64::INFINITY);
            let rank = of(&self.first, i).min(of(&self.second, j));
            // One alone has the rank that is its turn.
            let size = if rank == (seen + 1) as f64 { 1 } else { ties.next().unwrap_or(1) };
            seen += size;
            i += self.first[i..].iter().take_while(|other| **other == rank).count();
            j += self.second[j..].iter().take_while(|other| **other == rank).count();
            sizes.push(size);
        }
        sizes
    }

    /// Whether any value occurs twice.
    #[must_use]
    pub fn has_ties(&self) -> bool {
        !self.ties.is_empty()
    }
}

/// Ranks the whole group of a value that occurs more than once, whose first observation is the one before the places that are reached.
fn group(
    (a, b): (&[f64], &[f64]),
    (i, j): (&mut usize, &mut usize),
    value: f64,
    (of_first, of_second): (&mut [f64], &mut [f64]),
    ties: &mut Vec<usize>,
) {
    let start = |values: &[f64], at: usize| if at > 0 && values[at - 1] == value { at - 1 } else { at };
    let (from_a, from_b) = (start(a, *i), start(b, *j));
    while *i < a.len() && a[*i] == value {
        *i += 1;
    }
    while *j < b.len() && b[*j] == value {
        *j += 1;
    }
    let size = (*i - from_a) + (*j - from_b);
    let rank = (from_a + from_b) as f64 + 0.5 * (size as f64 + 1.0);
    of_first[from_a..*i].fill(rank);
    of_second[from_b..*j].fill(rank);
    ties.push(size);
}

/// Sum of `t^3 - t` over groups of `t` equal values, by which ties shrink the variance of a rank sum.
pub(super) fn tie_term<'a>(ties: impl Iterator<Item = &'a usize>) -> f64 {
    ties.map(|size| (*size as f64).powi(3) - *size as f64).sum()
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
    use super::{PooledRanks, mid_ranks};
    use crate::stats::Sample;

    #[test]
    fn samples_are_ranked_together_as_their_values_are_in_one() {
        for (a, b) in [
            (vec![3.0, 1.0, 2.0], vec![2.5, 0.5]),
            (vec![1.0, 1.0, 1.0], vec![1.0, 1.0]),
            (vec![0.0, 0.0, 5.0, 7.0, 7.0], vec![0.0, 1.0, 7.0, 9.0, 9.0]),
            (vec![1.0, 2.0, 2.0], vec![3.0, 3.0, 4.0]),
            (vec![8.0, 8.0], vec![1.0, 2.0, 3.0]),
            (vec![2.0], vec![2.0]),
        ] {
            let (first, second) = (Sample::new(a).unwrap(), Sample::new(b).unwrap());
            let pooled = PooledRanks::of(&first, &second);
            let all = [first.sorted(), second.sorted()].concat();
            assert_eq!([pooled.first.as_slice(), &pooled.second].concat(), mid_ranks(&all), "{all:?}");
            let mut sorted = all;
            sorted.sort_unstable_by(f64::total_cmp);
            let ties: Vec<usize> = sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).filter(|size| *size > 1).collect();
            assert_eq!(pooled.ties, ties);
            assert_eq!(pooled.is_constant, ties == [sorted.len()]);
        }
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, -0.0, 0.0, 3.0]), vec![5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
        assert!(mid_ranks(&[]).is_empty());
    }
}
