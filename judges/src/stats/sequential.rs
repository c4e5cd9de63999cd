//! Repeated looks at one growing sample.

use super::normal_sf;

/// One-sided p-value over several looks at a growing sample: `min(1, 2 Phi_bar(max_i z_i sqrt(t_i)))`.
///
/// `looks` are the normal scores so far with the fraction of the plan at which each was taken, 0 < t <= 1. The chance that a
/// healthy sample is ever below a level stays below it however often it is looked at, because the running maximum of
/// `z_i sqrt(t_i)`, a Brownian motion on 0..1, exceeds a bound with at most twice the chance of its end. 1 without any look.
///
/// Method: O'Brien & Fleming 1979, doi:10.2307/2530245; Lan & DeMets 1983, doi:10.1093/biomet/70.3.659 (the boundary in closed form).
#[must_use]
pub fn sequential_p(looks: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let highest = looks.into_iter().map(|(z, t)| z * t.clamp(0.0, 1.0).sqrt()).fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY { 1.0 } else { (2.0 * normal_sf(highest)).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::sequential_p;

    #[test]
    fn an_early_look_needs_far_more_than_the_last() {
        // Phi_bar(1.959964) = 0.025 (R: pnorm(-1.959964)).
        assert!((sequential_p([(1.959_964, 1.0)]) - 0.05).abs() < 1e-7);
        assert!((sequential_p([(2.0 * 1.959_964, 0.25)]) - 0.05).abs() < 1e-7);
        assert!(sequential_p([(1.959_964, 0.25)]) > 0.3);
    }

    #[test]
    fn what_was_seen_is_not_forgotten_and_nothing_seen_is_no_evidence() {
        assert_eq!(sequential_p([(5.0, 0.5), (0.0, 1.0)]), sequential_p([(5.0, 0.5)]));
        assert_eq!(sequential_p([]), 1.0);
        assert_eq!(sequential_p([(-3.0, 1.0)]), 1.0);
    }
}
