//! The Mann-Whitney U test, exact for small samples with and without ties.

use statrs::distribution::{Continuous, Normal};

use super::ranks::{PooledRanks, tie_term};
use super::{Sample, Tails, normal_sf};

/// Largest smaller sample for which the p-value of untied samples is exact.
pub const EXACT_UNTIED: usize = 30;
/// Largest smaller sample for which the p-value of tied samples is exact.
pub const EXACT_TIED: usize = 50;
/// Most elementary steps that an exact p-value may take, so that no sizes and ties make it hang.
const EXACT_STEPS: f64 = 1e8;

/// Result of the rank test of a canary against a baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// Pairs in which the canary's value is greater, ties counting half; 0 to `n_canary * n_baseline`.
    pub u: f64,
    /// The same as a share of all pairs: the chance that a canary value exceeds a baseline value (CLES); 0 to 1.
    pub cles: f64,
    /// Normal score of U, corrected for ties and continuity; its sign is that of the deviation. 0 where all values are equal.
    pub z: f64,
    /// Standard deviation of U if nothing changed, ties included.
    pub sd: f64,
    /// p-values.
    pub p: Tails,
    /// Which distribution gave them.
    pub method: Method,
}

/// Which distribution the p-values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The permutation distribution of U given the ties.
    Exact,
    /// Normal with continuity correction and the kurtosis term of Fix and Hodges; no ties.
    Edgeworth,
    /// Normal with tie and continuity corrections.
    Normal,
}

/// Mann-Whitney U test of `canary` against `baseline`, all three tails.
///
/// Only the order of the values matters, so the unit does not. Ties take their mean rank and shrink the variance. The p-value is
/// exact while the smaller sample has up to [`EXACT_UNTIED`] values, or [`EXACT_TIED`] where there are ties (and the work stays
/// bounded); beyond that it is normal with a continuity correction of 1/2 and, without ties, the kurtosis term. Where all values
/// are equal every p-value is 1.
///
/// Method: Mann & Whitney 1947, doi:10.1214/aoms/1177730491; exact with ties: Streitberg & Roehmel 1986; Edgeworth: Fix & Hodges
/// 1955, doi:10.1214/aoms/1177728547. Checked against R `wilcox.test` and `coin::wilcox_test`,
/// `fixtures/reference/mann_whitney.json`.
#[must_use]
pub fn mann_whitney(canary: &Sample, baseline: &Sample) -> RankTest {
    mann_whitney_of(&PooledRanks::of(canary, baseline), false)
}

/// The same of samples that were ranked together before, the canary's first. `turned` asks of both arms negated, which turns their order
/// around.
#[must_use]
pub fn mann_whitney_of(pooled: &PooledRanks, turned: bool) -> RankTest {
    let (m, n) = (pooled.first.len(), pooled.second.len());
    let (mf, nf) = (m as f64, n as f64);
    let Score { u, deviation, sd, z } = Score::of(pooled, turned);
    if sd == 0.0 {
        let p = Tails { greater: 1.0, less: 1.0, two_sided: 1.0 };
        return RankTest { u, cles: u / (mf * nf), z: 0.0, sd: 0.0, p, method: Method::Exact };
    }
    let tied = pooled.has_ties();
    let exact = if tied { exact_tied(pooled, turned, u) } else { exact_untied(m, n, u) };
    let (p, method) = match exact {
        Some(p) => (p, Method::Exact),
        None if tied => (normal_tails(deviation, sd), Method::Normal),
        None => (edgeworth_tails(deviation, sd, mf, nf), Method::Edgeworth),
    };
    RankTest { u, cles: u / (mf * nf), z, sd, p, method }
}

/// U and how far it lies from its mean.
struct Score {
    u: f64,
    deviation: f64,
    sd: f64,
    z: f64,
}

impl Score {
    fn of(pooled: &PooledRanks, turned: bool) -> Self {
        let (m, n) = (pooled.first.len() as f64, pooled.second.len() as f64);
        let total = m + n;
        let rank_sum = if turned { m * (total + 1.0) - pooled.rank_sum() } else { pooled.rank_sum() };
        let ties = if turned { tie_term(pooled.ties.iter().rev()) } else { tie_term(pooled.ties.iter()) };
        let u = rank_sum - m * (m + 1.0) / 2.0;
        let deviation = u - m * n / 2.0;
        let variance = m * n / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)).max(1.0));
        let sd = if pooled.is_constant { 0.0 } else { variance.max(0.0).sqrt() };
        let magnitude = if sd > 0.0 { ((deviation.abs() - 0.5) / sd).max(0.0) } else { 0.0 };
        Self { u, deviation, sd, z: if deviation < 0.0 { -magnitude } else { magnitude } }
    }
}

fn normal_tails(deviation: f64, sd: f64) -> Tails {
    Tails::from_one_sided(normal_sf((deviation - 0.5) / sd), normal_sf((-deviation - 0.5) / sd))
}

fn edgeworth_tails(deviation: f64, sd: f64, m: f64, n: f64) -> Tails {
    let total = m + n;
    let excess_kurtosis = -1.2 * (m * m + n * n + m * n + total) / (m * n * (total + 1.0));
    let tail = |z: f64| {
        let normal = normal_sf(z);
        let edgeworth = normal + excess_kurtosis / 24.0 * (z.powi(3) - 3.0 * z) * Normal::standard().pdf(z);
        // Far out the cubic term overtakes the tail that it corrects; it is stopped at a tenth of it, so that p stays positive.
        edgeworth.max(0.1 * normal)
    };
    let one_sided = |z: f64| if z < 0.0 { 1.0 - tail(-z) } else { tail(z) };
    Tails::from_one_sided(one_sided((deviation - 0.5) / sd), one_sided((-deviation - 0.5) / sd))
}

/// Exact tails without ties, from the Gaussian binomial coefficient: the number of arrangements with each U.
fn exact_untied(m: usize, n: usize, u: f64) -> Option<Tails> {
    let (small, large) = (m.min(n), m.max(n));
    if small > EXACT_UNTIED || (small * small) as f64 * large as f64 > EXACT_STEPS {
        return None;
    }
    // By symmetry only the lower half is needed; there the recurrence loses nothing to cancellation.
    let pairs = m * n;
    let half = pairs / 2;
    let mut ways = vec![0.0; half + 1];
    ways[0] = 1.0;
    for i in 1..=small {
        let shift = large + i;
        for k in (shift..=half).rev() {
            ways[k] -= ways[k - shift];
        }
        for k in i..=half {
            ways[k] += ways[k - i];
        }
    }
    let total: f64 = (1..=small).map(|i| (large + i) as f64 / i as f64).product();
    let at_most = |k: usize| ways[..=k].iter().sum::<f64>() / total;
    let lower = |k: f64| -> f64 {
        // P(U <= k) for whole k in 0..=pairs, by symmetry above the middle.
        let k = k as usize;
        if k <= half {
            at_most(k)
        } else if k >= pairs {
            1.0
        } else {
            1.0 - at_most(pairs - k - 1)
        }
    };
    Some(Tails::from_one_sided(lower(pairs as f64 - u), lower(u)))
}

/// Exact tails given the ties: a walk over the groups of equal values that counts, for each number of values drawn for the smaller sample,
/// the arrangements with each doubled U.
fn exact_tied(pooled: &PooledRanks, turned: bool, u: f64) -> Option<Tails> {
    let (m, n) = (pooled.first.len(), pooled.second.len());
    let (small, large) = (m.min(n), m.max(n));
    if small > EXACT_TIED {
        return None;
    }
    let span = 2 * small * large;
    let single = (m + n - pooled.ties.iter().sum::<usize>()) * small;
    let draws = single as f64 + pooled.ties.iter().map(|size| (*size.min(&small) * small) as f64).sum::<f64>();
    if draws * span as f64 / 2.0 > EXACT_STEPS {
        return None;
    }
    let mut groups = pooled.group_sizes();
    if turned {
        groups.reverse();
    }
    // ways[k][v]: arrangements in which k of the values seen so far are in the smaller sample, and its doubled U is v so far.
    let mut ways = vec![Vec::new(); small + 1];
    ways[0] = vec![1.0];
    let mut before = 0;
    for size in groups {
        let binomials = binomial_row(size);
        // What cannot become whole with the values that are left leads nowhere.
        let left = m + n - before - size;
        for k in (small.saturating_sub(left).max(1)..=small.min(before + size)).rev() {
            let mut sum = std::mem::take(&mut ways[k]);
            for (drawn, binomial) in binomials.iter().enumerate().take(size.min(k) + 1).skip(1) {
                let earlier = k - drawn;
                if ways[earlier].is_empty() || before < earlier {
                    continue;
                }
                // The drawn values exceed the other sample's earlier ones and tie with those of their group.
                let gain = 2 * drawn * (before - earlier) + drawn * (size - drawn);
                let reach = ways[earlier].len() + gain;
                if sum.len() < reach {
                    sum.resize(reach, 0.0);
                }
                for (to, from) in sum[gain..].iter_mut().zip(&ways[earlier]) {
                    *to += binomial * from;
                }
            }
            ways[k] = sum;
        }
        before += size;
    }
    let counts = &ways[small];
    let total: f64 = counts.iter().sum();
    // U of the smaller sample; the larger sample's is the rest of all pairs.
    let doubled = if m <= n { 2.0 * u } else { span as f64 - 2.0 * u };
    let observed = doubled.round() as usize;
    let at_least = counts.iter().skip(observed).sum::<f64>() / total;
    let at_most = counts.iter().take(observed + 1).sum::<f64>() / total;
    let tails = Tails::from_one_sided(at_least, at_most);
    Some(if m <= n { tails } else { tails.swapped() })
}

/// Binomial coefficients of `n` over 0, 1, ... n.
fn binomial_row(n: usize) -> Vec<f64> {
    let mut row = vec![1.0; n + 1];
    for k in 1..=n {
        row[k] = row[k - 1] * (n - k + 1) as f64 / k as f64;
    }
    row
}
