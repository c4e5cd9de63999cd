//! Quantities as people read them: three significant digits, in the unit that makes them short. Sentences, tables, charts and pages write
//! them by this one formatter, so that no two of them disagree.

use crate::config::Kind;
use crate::text::{nearly_all, without_zeros};

/// Sizes of a unit's multiples in the unit itself, falling, and their names; the unit itself has size 1.
type Multiples = &'static [(f64, &'static str)];

const KIB: f64 = 1024.0;
const BYTES: Multiples = &[(KIB * KIB * KIB * KIB, "TiB"), (KIB * KIB * KIB, "GiB"), (KIB * KIB, "MiB"), (KIB, "KiB"), (1.0, "B")];
const BYTES_PER_SECOND: Multiples =
    &[(KIB * KIB * KIB * KIB, "TiB/s"), (KIB * KIB * KIB, "GiB/s"), (KIB * KIB, "MiB/s"), (KIB, "KiB/s"), (1.0, "B/s")];
const BITS: Multiples = &[(1e12, "Tbit"), (1e9, "Gbit"), (1e6, "Mbit"), (1e3, "kbit"), (1.0, "bit")];
const BITS_PER_SECOND: Multiples = &[(1e12, "Tbit/s"), (1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")];
const SECONDS: Multiples = &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")];
const MICROSECONDS: Multiples = &[(1e6, "s"), (1e3, "ms"), (1.0, "µs")];
const NANOSECONDS: Multiples = &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];

/// A number with three significant digits, `0.0123`, `4.2`, `585`, `12340`; as a power of ten where that would be long. Words for what is no
/// number.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "unknown".to_owned() } else { format!("{}infinite", if value < 0.0 { "-" } else { "" }) };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor();
    if !(-5.0..9.0).contains(&magnitude) {
        let text = format!("{value:.2e}");
        return match text.split_once('e') {
            Some((mantissa, exponent)) => format!("{}e{exponent}", without_zeros(mantissa)),
            None => text,
        };
    }
    let decimals = (2.0 - magnitude).max(0.0) as usize;
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// A number with its sign, `+41.9` or `-3`; zero has none.
#[must_use]
pub fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A p-value: two significant digits, never 0.
#[must_use]
pub fn p_value(p: f64) -> String {
    if p >= 1e-3 {
        let decimals = usize::try_from(1 - p.log10().floor() as i32).unwrap_or(0);
        without_zeros(&format!("{p:.decimals$}")).to_owned()
    } else if p > 1e-300 {
        format!("{p:.1e}")
    } else {
        // Beyond what a float can tell from nothing.
        "below 1e-300".to_owned()
    }
}

/// How the values of one metric are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    factor: f64,
    name: String,
    point: &'static str,
    /// What stands behind the name.
    per: &'static str,
    /// Empty where values are written as they are.
    multiples: Multiples,
}

impl Unit {
    /// The unit of values of this kind, by the name that a config gives it; `counted` says that they are rates of events out of totals.
    /// Ratios are written in percent, and their differences in percentage points; bytes, bits and seconds in the multiple that suits them.
    #[must_use]
    pub fn named(kind: Kind, unit: Option<&str>, counted: bool) -> Self {
        let plain = |name: &str| Self { factor: 1.0, name: name.to_owned(), point: "", per: "", multiples: &[] };
        let share = |factor| Self { factor, point: "pp", ..plain("%") };
        let in_multiples = |multiples| Self { multiples, ..plain("") };
        match unit.map(str::trim).unwrap_or_default() {
            "percent" | "%" if !counted => share(1.0),
            // Counts are fractions whatever the unit says.
            _ if kind == Kind::Ratio => share(100.0),
            "ratio" | "percent" | "%" => share(100.0),
            "bytes" | "Bytes" | "B" => in_multiples(BYTES),
            "bytes/s" | "Bytes/s" | "B/s" => in_multiples(BYTES_PER_SECOND),
            "bits" | "bit" => in_multiples(BITS),
            "bits/s" | "bit/s" | "bps" => in_multiples(BITS_PER_SECOND),
            "seconds" | "s" => in_multiples(SECONDS),
            "microseconds" | "us" | "µs" => in_multiples(MICROSECONDS),
            "nanoseconds" | "ns" => in_multiples(NANOSECONDS),
            "requests/s" => plain("req/s"),
            other => plain(other),
        }
    }

    /// The unit of values of this unit that were divided by the traffic, in requests a second: bytes a second are bytes a request.
    #[must_use]
    pub fn of_a_request(unit: Option<&str>) -> Self {
        let unit = unit.map(str::trim).unwrap_or_default();
        match unit.strip_suffix("/s") {
            Some(of) => Self { per: " per request", ..Self::named(Kind::Value, Some(of), false) },
            None => Self { per: " per req/s", ..Self::named(Kind::Value, Some(unit), false) },
        }
    }

    /// The same without multiples, by the name that the config gives it.
    pub(crate) fn in_itself(self, name: Option<&str>) -> Self {
        let name = name.filter(|_| self.point.is_empty()).map(str::trim).unwrap_or(&self.name);
        // Bytes a second are bytes a request.
        let name = if self.per.is_empty() { name } else { name.strip_suffix("/s").unwrap_or(name) };
        Self { name: name.to_owned(), multiples: &[], ..self }
    }

    /// Divisor and name that suit values as large as `magnitude`.
    fn scale(&self, magnitude: f64) -> (f64, &str) {
        let (Some(largest), Some(smallest)) = (self.multiples.first(), self.multiples.last()) else {
            return (1.0 / self.factor, &self.name);
        };
        let unit = self.multiples.iter().find(|(size, _)| *size == 1.0).unwrap_or(smallest);
        match magnitude {
            m if m == 0.0 || m.is_nan() => *unit,
            m if m.is_infinite() => *largest,
            m => *self.multiples.iter().find(|(size, _)| m >= *size).unwrap_or(smallest),
        }
    }

    /// What values as large as `magnitude` are divided by before they are written, so that an axis can have round numbers.
    #[must_use]
    pub fn divisor(&self, magnitude: f64) -> f64 {
        self.scale(magnitude).0
    }

    /// One value: `585 ms`.
    #[must_use]
    pub fn value(&self, value: f64) -> String {
        let (divisor, name) = self.scale(value.abs());
        self.with_name(self.digits(value / divisor), name)
    }

    /// The number of a value on the scale: of percent that are nearly all what is left has three digits.
    fn digits(&self, scaled: f64) -> String {
        Some(scaled).filter(|_| !self.point.is_empty()).and_then(nearly_all).unwrap_or_else(|| number(scaled))
    }

    /// Values of a table on one scale, and the unit for all of them, which may be empty.
    #[must_use]
    pub fn table(&self, values: &[f64]) -> (Vec<String>, String) {
        let (divisor, name) = self.scale(values.iter().fold(0.0, |largest, value| value.abs().max(largest)));
        (values.iter().map(|value| self.digits(value / divisor)).collect(), self.full(name))
    }

    /// Two values, the unit once: `412 → 585 ms`.
    #[must_use]
    pub fn change(&self, from: f64, to: f64) -> String {
        let (divisor, name) = self.scale(from.abs().max(to.abs()));
        self.with_name(format!("{} → {}", self.digits(from / divisor), self.digits(to / divisor)), name)
    }

    /// A range, the unit once: `100 to 130 ms`; an open end is said.
    #[must_use]
    pub fn range(&self, low: Option<f64>, high: Option<f64>) -> String {
        let magnitude = low.unwrap_or(0.0).abs().max(high.unwrap_or(0.0).abs());
        let (divisor, name) = self.scale(magnitude);
        let end = |value: Option<f64>| value.map(|value| self.digits(value / divisor));
        interval_in(end(low), end(high), &self.full(name))
    }

    /// A difference of two values, with its sign: `+118 ms`, `+1.5 pp`.
    #[must_use]
    pub fn difference(&self, value: f64) -> String {
        let (divisor, name) = self.scale(value.abs());
        self.with_name(signed(value / divisor), self.of_differences(name))
    }

    /// The size of a difference, as tolerances have it: `5 ms`, `0.1 pp`.
    #[must_use]
    pub fn distance(&self, value: f64) -> String {
        let (divisor, name) = self.scale(value.abs());
        self.with_name(number(value / divisor), self.of_differences(name))
    }

    /// A range of differences: `+100 to +130 ms`.
    #[must_use]
    pub fn differences(&self, low: Option<f64>, high: Option<f64>) -> String {
        let magnitude = low.unwrap_or(0.0).abs().max(high.unwrap_or(0.0).abs());
        let (divisor, name) = self.scale(magnitude);
        let end = |value: Option<f64>| value.map(|value| signed(value / divisor));
        interval_in(end(low), end(high), &self.full(self.of_differences(name)))
    }

    fn full(&self, name: &str) -> String {
        format!("{name}{}", self.per).trim_start().to_owned()
    }

    fn with_name(&self, number: String, name: &str) -> String {
        with_name(number, &self.full(name))
    }

    fn of_differences<'a>(&self, name: &'a str) -> &'a str {
        if self.point.is_empty() { name } else { self.point }
    }
}

/// Both ends of an interval; an open one is said.
#[must_use]
pub fn interval(low: Option<String>, high: Option<String>) -> String {
    interval_in(low, high, "")
}

fn interval_in(low: Option<String>, high: Option<String>, name: &str) -> String {
    match (low, high) {
        (None, None) => "without bounds".to_owned(),
        (Some(low), None) => format!("{} to no upper bound", with_name(low, name)),
        (None, Some(high)) => format!("no lower bound to {}", with_name(high, name)),
        (Some(low), Some(high)) => with_name(format!("{low} to {high}"), name),
    }
}

fn with_name(number: String, name: &str) -> String {
    if name.is_empty() { number } else { format!("{number} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let cases = [
            (0.0, "0"),
            (412.4, "412"),
            (12_345.6, "12346"),
            (9.996, "10"),
            (0.051_23, "0.0512"),
            (5.0, "5"),
            (-1.205, "-1.21"),
            (0.000_012_34, "0.0000123"),
            (0.000_001_234, "1.23e-6"),
            (1_234_567.0, "1234567"),
            (2e9, "2e9"),
            (1e300, "1e300"),
            (f64::INFINITY, "infinite"),
            (f64::NEG_INFINITY, "-infinite"),
            (f64::NAN, "unknown"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!((signed(3.0), signed(-3.0), signed(0.0)), ("+3".to_owned(), "-3".to_owned(), "0".to_owned()));
    }

    #[test]
    fn p_values_have_two_digits() {
        for (p, text) in [(1.0, "1"), (0.0456, "0.046"), (0.5, "0.5"), (0.001, "0.001"), (3.21e-9, "3.2e-9"), (0.0, "below 1e-300")] {
            assert_eq!(p_value(p), text, "{p}");
        }
    }

    #[test]
    fn a_value_is_written_in_the_multiple_of_its_unit_that_makes_it_short() {
        let cases = [
            ("bytes", 0.0, "0 B"),
            ("bytes", 1000.0, "1000 B"),
            ("bytes", 0.25, "0.25 B"),
            ("bytes", 18_648_182.0, "17.8 MiB"),
            ("bytes", -103_775_000.0, "-99 MiB"),
            ("B", 2.1e9, "1.96 GiB"),
            ("bytes", f64::INFINITY, "infinite TiB"),
            ("bytes/s", 3e6, "2.86 MiB/s"),
            ("seconds", 0.0, "0 s"),
            ("seconds", 0.0442, "44.2 ms"),
            ("s", 1.5, "1.5 s"),
            ("s", 90.0, "90 s"),
            ("s", -0.000_2, "-200 µs"),
            ("s", 2e-8, "0.02 µs"),
            ("ms", 12_000.0, "12000 ms"),
            ("requests/s", 118.0, "118 req/s"),
            ("us", 5000.0, "5 ms"),
            ("ns", 11_986.0, "12 µs"),
            ("", 3.0, "3"),
            (" ", 3.0, "3"),
            ("ratio", 0.25, "25 %"),
            ("percent", 99.95, "99.95 %"),
        ];
        for (unit, value, text) in cases {
            assert_eq!(Unit::named(Kind::Value, Some(unit), false).value(value), text, "{unit}");
        }
    }

    #[test]
    fn both_ends_of_a_change_are_of_one_scale_and_shares_differ_by_points() {
        let seconds = Unit::named(Kind::Distribution, Some("seconds"), false);
        assert_eq!(seconds.change(0.8, 1.2), "0.8 → 1.2 s");
        assert_eq!(seconds.differences(Some(-0.01), None), "-10 ms to no upper bound");
        let bytes = Unit::of_a_request(Some("bytes/s"));
        assert_eq!((bytes.value(29_500.0), bytes.change(1.0, 2.0)), ("28.8 KiB per request".to_owned(), "1 → 2 B per request".to_owned()));
        assert_eq!(Unit::of_a_request(Some("cores")).value(0.25), "0.25 cores per req/s");
        assert_eq!(bytes.in_itself(Some("bytes/s")).value(29_500.0), "29500 bytes per request");
        let percent = Unit::named(Kind::Ratio, Some("percent"), false);
        assert_eq!((percent.value(1.5), percent.difference(1.5)), ("1.5 %".to_owned(), "+1.5 pp".to_owned()));
        for counted in [Unit::named(Kind::Ratio, Some("percent"), true), Unit::named(Kind::Ratio, None, true)] {
            assert_eq!((counted.value(0.015), counted.distance(0.001)), ("1.5 %".to_owned(), "0.1 pp".to_owned()));
        }
    }
}
