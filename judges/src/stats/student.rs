//! Student's t distribution with four degrees of freedom, in closed form.

/// Upper tail of Student's t with four degrees of freedom: `P(T >= t)`.
///
/// `(1 - y)^2 (2 + y) / 4` with `y = t / sqrt(4 + t^2)`, the usual polynomial with its double root taken out so that nothing cancels
/// far out.
///
/// Source: Abramowitz & Stegun 26.7.4. Checked against SciPy's `t.sf` in this file's tests.
#[must_use]
pub fn t4_sf(t: f64) -> f64 {
    if t.is_nan() {
        return 1.0;
    }
    if t < 0.0 {
        return 1.0 - t4_sf(-t);
    }
    if t > 1e100 {
        return 0.0;
    }
    let root = (4.0 + t * t).sqrt();
    // 1 - y without cancellation.
    let rest = 4.0 / (root * (root + t));
    rest * rest * (2.0 + t / root) / 4.0
}

/// The value that Student's t with four degrees of freedom exceeds with probability `tail`, 0 to 1; infinite at both ends.
///
/// Source: Shaw 2006, "Sampling Student's T distribution", J. Comput. Finance 9(4). Checked against SciPy's `t.isf` in this file's tests.
#[must_use]
pub fn t4_isf(tail: f64) -> f64 {
    if tail > 0.5 {
        return -t4_isf(1.0 - tail);
    }
    if tail <= 0.0 {
        return f64::INFINITY;
    }
    let root = (4.0 * tail * (1.0 - tail)).sqrt().min(1.0);
    2.0 * ((root.acos() / 3.0).cos() / root - 1.0).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{t4_isf, t4_sf};

    #[test]
    fn tails_and_quantiles_are_scipys() {
        // scipy.stats.t.isf(p, 4), SciPy 1.16.
        for (tail, t) in [
            (0.5, 0.0),
            (0.49, 0.026_670_618_302_649_06),
            (0.05, 2.131_846_786_326_651),
            (0.01, 3.746_947_387_979_197),
            (0.05 / 13.0, 4.962_518_612_752_192),
            (1e-5, 23.332_182_700_829_275),
            (1e-10, 416.175_140_329_604_1),
            (1e-20, 131_607.401_282_585_3),
        ] {
            assert!((t4_isf(tail) - t).abs() <= 1e-12 * t, "{tail}: {}", t4_isf(tail));
            assert!((t4_sf(t) / tail - 1.0).abs() < 1e-11, "{t}: {}", t4_sf(t));
            assert!((t4_isf(1.0 - tail) + t).abs() <= 1e-6 * t.max(1e-9) || tail < 1e-9);
        }
        assert_eq!((t4_isf(0.0), t4_sf(f64::INFINITY), t4_sf(f64::NEG_INFINITY)), (f64::INFINITY, 0.0, 1.0));
    }
}
