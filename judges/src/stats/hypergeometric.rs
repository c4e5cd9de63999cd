//! The hypergeometric distribution: how many of a sample's items are marked, drawn without return.

use statrs::function::gamma::ln_gamma;

/// `P(X >= x)` of marked items among `draws` of `population`, of which `marked` are marked: Fisher's exact test, one-sided.
///
/// Summed outwards from `x` by the ratio of neighbouring terms, so that far tails keep their relative precision. 1 where `x` is at most
/// the fewest that can be drawn, 0 where it is more than the most.
///
/// Checked against SciPy's `hypergeom.sf` in this file's tests.
#[must_use]
pub fn hypergeometric_sf(x: u64, population: u64, marked: u64, draws: u64) -> f64 {
    let (marked, draws) = (marked.min(population), draws.min(population));
    let fewest = (marked + draws).saturating_sub(population);
    let most = marked.min(draws);
    if x <= fewest {
        return 1.0;
    }
    if x > most {
        return 0.0;
    }
    let choose = |n: u64, k: u64| ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0);
    let at = |k: u64| (choose(marked, k) + choose(population - marked, draws - k) - choose(population, draws)).exp();
    // P(k + 1) / P(k).
    let up = |k: u64| ((marked - k) as f64 * (draws - k) as f64) / ((k + 1) as f64 * ((population - marked + k + 1) as f64 - draws as f64));
    let mean = draws as f64 * marked as f64 / population as f64;
    if x as f64 > mean {
        let (mut term, mut sum) = (at(x), 0.0);
        for k in x..=most {
            sum += term;
            if term < sum * 1e-17 || k == most {
                break;
            }
            term *= up(k);
        }
        return sum.min(1.0);
    }
    // Below the mean the other tail is the shorter.
    let (mut term, mut sum) = (at(x - 1), 0.0);
    for k in (fewest..x).rev() {
        sum += term;
        if term < sum * 1e-17 || k == fewest {
            break;
        }
        term /= up(k - 1);
    }
    (1.0 - sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::hypergeometric_sf;

    #[test]
    fn tails_are_scipys() {
        // scipy.stats.hypergeom.sf(x - 1, population, marked, draws), SciPy 1.16.
        for (x, population, marked, draws, p) in [
            (28, 120, 28, 60, 5.879958552482116e-11),
            (3, 60, 4, 30, 0.3059768064228368),
            (1, 20, 3, 10, 0.8947368421052632),
            (500, 20_000, 900, 10_000, 0.0003626486086879051),
        ] {
            let got: f64 = hypergeometric_sf(x, population, marked, draws);
            assert!((got / p - 1.0).abs() < 1e-9, "{x} of {population}: {got:e}, {p:e}");
        }
        assert_eq!((hypergeometric_sf(0, 10, 3, 5), hypergeometric_sf(4, 10, 3, 5), hypergeometric_sf(3, 5, 4, 4)), (1.0, 0.0, 1.0));
    }
}
