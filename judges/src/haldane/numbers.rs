//! Quotients by levels that may be 0, and numbers that need not be finite.

/// `value / unit`, where a unit of 0 makes anything but 0 infinite.
pub(super) fn ratio_to(value: f64, unit: f64) -> f64 {
    if unit > 0.0 {
        value / unit
    } else if value == 0.0 {
        0.0
    } else {
        f64::INFINITY.copysign(value)
    }
}

/// A number for the scorecard: absent where it is not finite.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
