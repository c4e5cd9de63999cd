//! Van Elteren's stratified Mann-Whitney test on grouped requests: is a request of one arm slower than one of the other, interval by
//! interval? With how much more than independent requests the sum varies, as for shares ([`super::strata`]).
//!
//! van Elteren 1960, Bull. Inst. Internat. Statist. 37; ridits: Bross 1958, doi:10.2307/2527727.

use super::strata::{ArmComparison, Residual, Spread, Sums};

/// What the whole distributions say.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The test, with the scatter between intervals.
    pub compared: ArmComparison,
    /// Chance that a request of the arm which is asked about is slower than one of the other, ties counting half.
    pub theta: f64,
}

/// One interval of an arm: requests in each bucket, and their sum.
pub type Row<'a> = (&'a [f64], f64);

/// `a / b`, and 0 where `b` is not above 0.
fn over(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Ridits less a half of the requests of both arms, and their sum of squares: for each bucket the share of requests below it, and half of
/// its own.
fn ridits(both: &[f64], ridits: &mut Vec<f64>) -> f64 {
    let n: f64 = both.iter().sum();
    ridits.clear();
    let (mut below, mut squares) = (0.0, 0.0);
    for count in both {
        let ridit = over(below + count / 2.0, n) - 0.5;
        ridits.push(ridit);
        squares += count * ridit * ridit;
        below += count;
    }
    squares
}

/// Compares arms whose intervals align, in the order of time; an interval in which an arm has no request carries no weight. `placebos` are
/// the deviates of earlier windows of the same length in which nothing was released.
///
/// `rows` are those of the arm that is asked about and of the other, which have the same buckets.
pub fn aligned<'a>(rows: impl Iterator<Item = (Row<'a>, Row<'a>)>, placebos: &[f64]) -> Whole {
    let mut scratch = Vec::new();
    let mut both = Vec::new();
    // Of each interval: the sum of the asked arm's ridits, its weight, and its variance.
    let strata: Vec<(f64, f64, f64)> = rows
        .map(|((asked, m), (other, others))| {
            if !(m > 0.0 && others > 0.0) {
                return (0.0, 0.0, 0.0);
            }
            both.clear();
            both.extend(asked.iter().zip(other).map(|(a, b)| a + b));
            let squares = ridits(&both, &mut scratch);
            let sum: f64 = asked.iter().zip(&scratch).map(|(count, ridit)| count * ridit).sum();
            let weight = over(m * others, m + others);
            (sum, weight, weight * over(squares, m + others - 1.0))
        })
        .collect();
    let (sum, weight, v0) = strata.iter().fold((0.0, 0.0, 0.0), |(s, w, v), one| (s + one.0, w + one.1, v + one.2));
    let shift = over(sum, weight);
    let residual = |(s, w, v): &(f64, f64, f64)| Residual { r: s - w * shift, v: *v, k: 0.0 };
    let scatter = Sums::default().and(strata.iter().map(residual));
    let compared = ArmComparison::of_spreads(over(sum, v0.sqrt()), vec![Spread::of(&scatter, v0)], placebos);
    Whole { compared, theta: 0.5 + shift }
}

/// Compares arms whose intervals do not align: one table of both, and the scatter of each arm's mean ridit around its own.
#[must_use]
pub fn unaligned(asked: &[&[f64]], other: &[&[f64]], placebos: &[f64]) -> Whole {
    let width = asked.iter().chain(other).map(|row| row.len()).max().unwrap_or(0);
    let pooled = |rows: &[&[f64]]| {
        let mut sums = vec![0.0; width];
        for row in rows {
            for (sum, count) in sums.iter_mut().zip(*row) {
                *sum += count;
            }
        }
        sums
    };
    let (a, b) = (pooled(asked), pooled(other));
    let both: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let mut of_bucket = Vec::new();
    let squares = ridits(&both, &mut of_bucket);
    let (m, others) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
    let score = |row: &[f64]| row.iter().zip(&of_bucket).map(|(count, ridit)| count * ridit).sum::<f64>();
    let weight = over(m * others, m + others);
    let v0 = weight * over(squares, m + others - 1.0);
    let share = over(m, m + others);
    // A request's variance around its own arm's mean.
    let and = |scatter: Sums, rows: &[&[f64]], sums: &[f64], total: f64, factor: f64| {
        let mean = over(score(sums), total);
        let variance = sums.iter().zip(&of_bucket).map(|(count, ridit)| count * (ridit - mean).powi(2)).sum::<f64>() / total.max(1.0);
        let of = |row: &&[f64]| {
            let requests: f64 = row.iter().sum();
            Residual { r: factor * (score(row) - mean * requests), v: factor * factor * variance * requests, k: 0.0 }
        };
        scatter.and(rows.iter().map(of))
    };
    let scatter = and(and(Sums::default(), asked, &a, m, 1.0 - share), other, &b, others, share);
    let compared = ArmComparison::of_spreads(over(score(&a), v0.sqrt()), vec![Spread::of(&scatter, v0)], placebos);
    Whole { compared, theta: 0.5 + over(score(&a), weight) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stratum_is_the_mann_whitney_test_with_ties() {
        // R: wilcox.test(rep(1:3, c(2,3,5)), rep(1:3, c(5,3,2)), correct=FALSE, exact=FALSE): W = 69.5 of 100, z 1.5629642167551827 (SciPy: mannwhitneyu, asymptotic).
        static ARMS: [[f64; 3]; 2] = [[2.0, 3.0, 5.0], [5.0, 3.0, 2.0]];
        let [asked, other] = &ARMS;
        let row = |row: &'static [f64]| (row, row.iter().sum::<f64>());
        let whole = aligned([(row(asked), row(other))].into_iter(), &[]);
        assert!((whole.theta - 0.695).abs() < 1e-12 && (whole.compared.z - 1.562_964_216_755_182_7).abs() < 1e-12, "{whole:?}");
        let swapped = aligned([(row(other), row(asked))].into_iter(), &[]);
        assert!((whole.compared.z + swapped.compared.z).abs() < 1e-12);
        let pooled = unaligned(&[asked], &[other], &[]);
        assert!((pooled.compared.z - whole.compared.z).abs() < 1e-12 && (pooled.theta - whole.theta).abs() < 1e-12);
    }
}
