//! How numbers, units and foreign text are written in every report, so that two reports of one scorecard never disagree.
//!
//! Three significant digits; a sign where a value is a change. Text from configs, requests and metric stores may hold anything,
//! terminal escape sequences among it: [`clean`] it before it is shown.

use haldane_judges::config::Kind;
use haldane_judges::period::Period;
use haldane_judges::scorecard::MetricResult;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Makes foreign text safe to show on one line: control, bidirectional and invisible characters become visible escapes. Variation
/// selectors, which only choose how a character is drawn and leave open how wide it is, are left out, and so are combining marks beyond
/// three on one character.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut marks = 0;
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_unsafe(c) {
            marks = 0;
            out.extend(c.escape_default());
            return out;
        }
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        if marks <= MOST_MARKS && !matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}') {
            out.push(c);
        }
        out
    })
}

/// Combining marks on one character, at most: no script has more, and towers of them reach into other lines.
const MOST_MARKS: usize = 3;

/// The same for text of several lines.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// The same for query text, where a line break is layout and becomes a space.
#[must_use]
pub fn clean_query(text: &str) -> String {
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Line and paragraph separators, zero-width characters, and the marks that turn the reading direction ("Trojan source").
            '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Blank letters, soft hyphens and tags.
            | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}'
            // Not characters at all, and refused by XML.
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
}

/// At most `width` columns of `text`, with an ellipsis where something is left out.
#[must_use]
pub fn truncate(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    // Measured as a whole: what follows a character may make it wider.
    for c in text.chars() {
        out.push(c);
        if out.width() >= width {
            out.pop();
            break;
        }
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// A number with three significant digits: `0.0123`, `4.2`, `585`, `12340`; beyond six digits as a power of ten.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "unknown".to_owned() } else { format!("{}infinite", if value < 0.0 { "-" } else { "" }) };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    if !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:.2e}");
        return match text.split_once('e') {
            Some((mantissa, exponent)) => format!("{}e{exponent}", trimmed(mantissa)),
            None => text,
        };
    }
    let decimals = usize::try_from(2 - magnitude.log10().floor() as i32).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

/// A number with its sign, `+41.9` or `-3`; zero has none.
#[must_use]
pub fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A fraction in percent: 0.25 is `25 %`.
#[must_use]
pub fn percent(fraction: f64) -> String {
    format!("{} %", number(fraction * 100.0))
}

/// A change in percent, with its sign and at most one decimal.
#[must_use]
pub fn signed_percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if percent.abs() >= 1000.0 {
        return format!("{} %", signed(percent));
    }
    let decimals = usize::from(percent.abs() < 99.95);
    match trimmed(&format!("{percent:+.decimals$}")) {
        "+0" | "-0" => "0 %".to_owned(),
        text => format!("{text} %"),
    }
}

/// A p-value: two significant digits, never 0.
#[must_use]
pub fn p_value(p: f64) -> String {
    if p >= 1e-3 {
        let decimals = usize::try_from(1 - p.log10().floor() as i32).unwrap_or(0);
        trimmed(&format!("{p:.decimals$}")).to_owned()
    } else if p > 1e-300 {
        format!("{p:.1e}")
    } else {
        // Beyond what a float can tell from nothing.
        "below 1e-300".to_owned()
    }
}

/// A count: whole below ten thousand, then `12.3k` and `4.56M`.
#[must_use]
pub fn count(value: f64) -> String {
    let scaled = |divisor: f64, suffix: &str| {
        let value = value / divisor;
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{}{suffix}", trimmed(&format!("{value:.decimals$}")))
    };
    match value {
        v if v < 9_999.5 => trimmed(&format!("{v:.1}")).to_owned(),
        v if v < 999_500.0 => scaled(1e3, "k"),
        v if v < 999_500_000.0 => scaled(1e6, "M"),
        _ => scaled(1e9, "G"),
    }
}

/// A count in full, for whoever checks a sum; stores that extrapolate counters give fractions.
#[must_use]
pub fn events(value: f64) -> String {
    trimmed(&format!("{value:.1}")).to_owned()
}

/// A length of time, such as `1m` or `1h30m`.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    Period::from_seconds(seconds).to_string()
}

/// The score, or that there is none.
#[must_use]
pub fn score(score: Option<f64>) -> String {
    score.map_or_else(|| "no score".to_owned(), |score| format!("score {}", trimmed(&format!("{score:.1}"))))
}

/// How the values of one metric are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    factor: f64,
    suffix: String,
    point: &'static str,
    bytes: bool,
}

impl Unit {
    /// The unit of a metric's values. Ratios are shown in percent, and their differences in percentage points.
    #[must_use]
    pub fn of(metric: &MetricResult) -> Self {
        let counted = metric.counts.is_some() || metric.threshold.as_ref().is_some_and(|t| t.rate_interval.is_some());
        Self::named(metric.kind, metric.unit.as_deref(), counted)
    }

    /// The unit of values of this kind, by the name that a config gives it; `counted` says that they are rates of events out of totals.
    #[must_use]
    pub fn named(kind: Kind, unit: Option<&str>, counted: bool) -> Self {
        let plain = |factor, suffix: &str| Self { factor, suffix: suffix.to_owned(), point: "", bytes: false };
        let unit = unit.unwrap_or_default();
        let is_percent = matches!(unit, "percent" | "%");
        if kind == Kind::Ratio {
            // Counts are fractions whatever the unit says; a pre-divided ratio is a fraction unless it is in percent.
            return Self { point: "pp", ..plain(if counted || !is_percent { 100.0 } else { 1.0 }, "%") };
        }
        match unit {
            _ if is_percent => Self { point: "pp", ..plain(1.0, "%") },
            "" | "ratio" => plain(1.0, ""),
            "bytes" => Self { bytes: true, ..plain(1.0, "") },
            "requests/s" => plain(1.0, "req/s"),
            other => plain(1.0, &truncate(&clean(other), 12)),
        }
    }

    /// Divisor and suffix that suit values as large as `magnitude`.
    fn scale(&self, magnitude: f64) -> (f64, &str) {
        const STEPS: [(f64, &str); 4] = [(1_099_511_627_776.0, "TiB"), (1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
        if !self.bytes {
            return (1.0 / self.factor, &self.suffix);
        }
        STEPS.into_iter().find(|(size, _)| magnitude >= *size).unwrap_or((1.0, "B"))
    }

    /// What values as large as `magnitude` are divided by before they are written, so that an axis can have round numbers.
    #[must_use]
    pub fn divisor(&self, magnitude: f64) -> f64 {
        self.scale(magnitude).0
    }

    /// One value: `585 ms`.
    #[must_use]
    pub fn value(&self, value: f64) -> String {
        let (divisor, suffix) = self.scale(value.abs());
        with_suffix(number(value / divisor), suffix)
    }

    /// Values of a table on one scale, and the unit for all of them, which may be empty.
    #[must_use]
    pub fn table(&self, values: &[f64]) -> (Vec<String>, String) {
        let (divisor, suffix) = self.scale(values.iter().fold(0.0, |largest, value| value.abs().max(largest)));
        (values.iter().map(|value| number(value / divisor)).collect(), suffix.to_owned())
    }

    /// Two values, the unit once: `412 → 585 ms`.
    #[must_use]
    pub fn change(&self, from: f64, to: f64) -> String {
        let (divisor, suffix) = self.scale(from.abs().max(to.abs()));
        with_suffix(format!("{} → {}", number(from / divisor), number(to / divisor)), suffix)
    }

    /// A range, the unit once: `100 to 130 ms`; an open end is said.
    #[must_use]
    pub fn range(&self, low: Option<f64>, high: Option<f64>) -> String {
        let magnitude = low.unwrap_or(0.0).abs().max(high.unwrap_or(0.0).abs());
        let (divisor, suffix) = self.scale(magnitude);
        let end = |value: Option<f64>, open: &str| value.map_or_else(|| open.to_owned(), |value| number(value / divisor));
        with_suffix(format!("{} to {}", end(low, "no lower bound"), end(high, "no upper bound")), suffix)
    }

    /// A difference of two values, with its sign: `+118 ms`, `+1.5 pp`.
    #[must_use]
    pub fn difference(&self, value: f64) -> String {
        let (divisor, suffix) = self.scale(value.abs());
        with_suffix(signed(value / divisor), if self.point.is_empty() { suffix } else { self.point })
    }

    /// The size of a difference, as tolerances have it: `5 ms`, `0.1 pp`.
    #[must_use]
    pub fn distance(&self, value: f64) -> String {
        let (divisor, suffix) = self.scale(value.abs());
        with_suffix(number(value / divisor), if self.point.is_empty() { suffix } else { self.point })
    }

    /// A range of differences: `+100 to +130 ms`.
    #[must_use]
    pub fn differences(&self, low: Option<f64>, high: Option<f64>) -> String {
        let magnitude = low.unwrap_or(0.0).abs().max(high.unwrap_or(0.0).abs());
        let (divisor, suffix) = self.scale(magnitude);
        let end = |value: Option<f64>, open: &str| value.map_or_else(|| open.to_owned(), |value| signed(value / divisor));
        let suffix = if self.point.is_empty() { suffix } else { self.point };
        with_suffix(format!("{} to {}", end(low, "no lower bound"), end(high, "no upper bound")), suffix)
    }
}

fn with_suffix(number: String, suffix: &str) -> String {
    if suffix.is_empty() { number } else { format!("{number} {suffix}") }
}

#[cfg(test)]
mod tests {
    use super::{clean, clean_query, count, number, p_value, signed, signed_percent, truncate};

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
            (0.000_012_34, "1.23e-5"),
            (1_234_567.0, "1.23e6"),
            (2_000_000.0, "2e6"),
            (f64::INFINITY, "infinite"),
            (f64::NAN, "unknown"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!((signed(3.0), signed(-3.0), signed(0.0)), ("+3".to_owned(), "-3".to_owned(), "0".to_owned()));
    }

    #[test]
    fn counts_and_p_values_stay_short() {
        for (value, text) in [(7.0, "7"), (9_999.0, "9999"), (12_034.0, "12k"), (12_340.0, "12.3k"), (123_400.0, "123k"), (4.56e6, "4.56M")]
        {
            assert_eq!(count(value), text, "{value}");
        }
        for (p, text) in [(1.0, "1"), (0.0456, "0.046"), (0.5, "0.5"), (0.001, "0.001"), (3.21e-9, "3.2e-9"), (0.0, "below 1e-300")] {
            assert_eq!(p_value(p), text, "{p}");
        }
    }

    #[test]
    fn changes_have_a_sign_and_one_decimal() {
        let cases = [(0.4084, "+40.8 %"), (-0.14, "-14 %"), (3.024, "+302 %"), (0.0001, "0 %"), (-0.9996, "-100 %"), (12.342, "+1234 %")];
        for (fraction, text) in cases {
            assert_eq!(signed_percent(fraction), text, "{fraction}");
        }
    }

    #[test]
    fn no_control_or_direction_mark_survives() {
        assert_eq!(clean("a\u{1b}[31mb\n\r\u{7f}\u{9b}c"), "a\\u{1b}[31mb\\n\\r\\u{7f}\\u{9b}c");
        assert_eq!(clean("a\u{202e}b\u{200b}\u{2028}\u{feff}"), "a\\u{202e}b\\u{200b}\\u{2028}\\u{feff}");
        assert_eq!(clean("größe → 面"), "größe → 面");
        assert_eq!(clean_query("sum(\n  rate(x[5m])\t)\u{1b}"), "sum( rate(x[5m]) )\\u{1b}");
    }

    #[test]
    fn truncation_counts_columns() {
        assert_eq!(truncate("short", 5), "short");
        assert_eq!(truncate("longer", 5), "long…");
        assert_eq!(truncate("面面面面", 5), "面面…");
        assert_eq!(truncate("x", 0), "");
    }
}
