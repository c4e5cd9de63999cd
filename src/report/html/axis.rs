//! Scales of charts: from values to places, and the round values that an axis names.

/// Names of an axis at most.
const MOST_TICKS: usize = 6;

/// A linear scale from values to places within a drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale that takes `low` to `from` and `high` to `to`; a range of nothing is given some width.
    pub(super) fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        let pad = if high > low { 0.0 } else { (low.abs() * 0.05).max(f64::MIN_POSITIVE).max(0.5 * f64::from(u8::from(low == 0.0))) };
        Self { low: low - pad, high: high + pad, from, to }
    }

    /// Where a value lies; one outside of the range at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        // Halved, so that a range over both signs of huge numbers stays finite.
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Whether a value is within the range.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values within the range, evenly apart, at most six.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let rough = (self.high / 2.0 - self.low / 2.0) * 2.0 / (MOST_TICKS - 1) as f64;
        if !rough.is_finite() || rough <= 0.0 {
            return Vec::new();
        }
        let size = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * size).find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil();
        let ticks = (0..MOST_TICKS).map(|i| (first + i as f64) * step).filter(|tick| self.holds(*tick));
        // Away from 0 by what adding leaves: 0.30000000000000004.
        ticks.map(|tick| if tick.abs() < step / 1e6 { 0.0 } else { tick }).collect()
    }
}

/// The smallest and the largest of finite values; `None` where there is none.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    (low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_axis_names_round_values() {
        let ticks = |low, high| Scale::new(low, high, 0.0, 100.0).ticks();
        assert_eq!(ticks(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(97.0, 104.0), [98.0, 100.0, 102.0, 104.0]);
        assert_eq!(ticks(-1.0, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn every_value_has_a_place_and_no_range_makes_it_panic(low in proptest::num::f64::NORMAL | proptest::num::f64::ZERO, more in 0.0..1e300_f64, value: f64) {
            let scale = Scale::new(low, low + more, 10.0, 90.0);
            prop_assert!(scale.ticks().len() <= MOST_TICKS);
            let place = scale.place(value);
            prop_assert!(place.is_nan() && value.is_nan() || (10.0..=90.0).contains(&place), "{}", place);
        }
    }
}
