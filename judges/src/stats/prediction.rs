//! Whether one more value belongs to a sample.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{P_MIN, StatError, Tails};

/// One value against those it was left out of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The value less the mean of the others, in their unit.
    pub difference: f64,
    /// p-values; `greater` is that of a value above the others.
    pub p: Tails,
}

/// Tests a value against a normal sample that it is no part of: `t = (value - mean) / (sd sqrt(1 + 1/n))` with `n - 1` degrees of freedom.
///
/// `least_scatter` takes the place of a smaller standard deviation, in the sample's unit: values that agree by rounding say nothing
/// about the next one. Where both are 0, anything but the mean itself has the smallest p-value there is.
///
/// Method: the prediction interval of a normal sample (Hahn & Meeker 1991, section 4.5). Checked against SciPy,
/// `fixtures/reference/trend.json`.
///
/// # Errors
/// [`StatError::TooFew`] with fewer than two others, [`StatError::NotFinite`] where a value is not finite.
pub fn prediction_test(value: f64, others: &[f64], least_scatter: f64) -> Result<Prediction, StatError> {
    let n = others.len() as f64;
    if others.len() < 2 {
        return Err(StatError::TooFew { got: others.len(), needed: 2 });
    }
    let mean = others.iter().sum::<f64>() / n;
    let squares = others.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    prediction_from(value, &Moments { n, mean, squares }, least_scatter)
}

/// Number, mean and sum of squared distances from the mean of some values, in their unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Those of one value.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { n: 1.0, mean: value, squares: 0.0 }
    }

    /// Those of two sets of values together; nothing cancels, however far one of them lies from the others.
    ///
    /// Method: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let n = self.n + other.n;
        if n == 0.0 {
            return self;
        }
        let apart = other.mean - self.mean;
        let squares = self.squares + other.squares + apart * apart * (self.n * other.n / n);
        Self { n, mean: self.mean + apart * (other.n / n), squares }
    }
}

/// The same test against others of which the moments are known.
///
/// # Errors
/// Those of [`prediction_test`].
pub fn prediction_from(value: f64, others: &Moments, least_scatter: f64) -> Result<Prediction, StatError> {
    let &Moments { n, mean, squares } = others;
    if n < 2.0 {
        return Err(StatError::TooFew { got: n as usize, needed: 2 });
    }
    let variance = squares / (n - 1.0);
    let (difference, scatter) = (value - mean, variance.sqrt().max(least_scatter));
    if !difference.is_finite() || !scatter.is_finite() {
        return Err(StatError::NotFinite);
    }
    if scatter == 0.0 {
        let p = |worse: bool| if worse { P_MIN } else { 1.0 };
        return Ok(Prediction { difference, p: Tails::from_one_sided(p(difference > 0.0), p(difference < 0.0)) });
    }
    let t = difference / (scatter * (1.0 + 1.0 / n).sqrt());
    let student = StudentsT::new(0.0, 1.0, n - 1.0).map_err(|_| StatError::NotFinite)?;
    // Beyond this statrs' tail is 0; the p-value is then the smallest there is.
    let tail = |t: f64| student.sf(t.clamp(-1e150, 1e150)).max(P_MIN);
    Ok(Prediction { difference, p: Tails::from_one_sided(tail(t), tail(-t)) })
}

/// Quantile of Student's t distribution; infinite with less than one degree of freedom.
#[must_use]
pub fn student_quantile(probability: f64, degrees: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, degrees) {
        Ok(student) if degrees >= 1.0 => student.inverse_cdf(probability),
        _ => f64::INFINITY,
    }
}

/// Upper tail of Student's t distribution; 1 with less than one degree of freedom.
#[must_use]
pub fn student_sf(t: f64, degrees: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, degrees) {
        Ok(student) if degrees >= 1.0 && !t.is_nan() => student.sf(t.clamp(-1e150, 1e150)),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Moments, prediction_from, prediction_test, student_quantile};

    #[test]
    fn moments_of_parts_are_those_of_the_whole_beside_a_value_a_million_times_as_large() {
        let values: Vec<f64> = (0..1_000u32).map(|i| 1.0 + f64::from(i.wrapping_mul(2_654_435_761) >> 22) * 1e-5).collect();
        let of = |values: &[f64]| values.iter().fold(Moments::default(), |sum, v| sum.and(Moments::of(*v)));
        // Left out between the two parts: the one that is unlike all others.
        let apart = of(&values[..300]).and(of(&values[300..]));
        let (one, other) = (prediction_from(1e6, &apart, 0.0).unwrap(), prediction_test(1e6, &values, 0.0).unwrap());
        assert!(
            (one.difference - other.difference).abs() < 1e-6 && (one.p.greater / other.p.greater - 1.0).abs() < 1e-9,
            "{one:?} {other:?}"
        );
        let (one, other) = (prediction_from(1.006, &apart, 0.0).unwrap(), prediction_test(1.006, &values, 0.0).unwrap());
        assert!((one.p.greater / other.p.greater - 1.0).abs() < 1e-9, "{one:?} {other:?}");
    }

    #[test]
    fn quantiles_are_those_of_r() {
        // R: qt(0.95, c(1, 2, 9))
        for (degrees, quantile) in [(1.0, 6.313_751_515), (2.0, 2.919_985_580), (9.0, 1.833_112_933)] {
            assert!((student_quantile(0.95, degrees) - quantile).abs() < 1e-6, "{degrees}");
        }
        assert_eq!(student_quantile(0.95, 0.0), f64::INFINITY);
    }
}
