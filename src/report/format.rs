//! How numbers, units and foreign text are written in every report, so that two reports of one scorecard never disagree.
//!
//! Quantities are written as in the judge's sentences ([`haldane_judges::quantity`]). Text from configs, requests and metric stores may
//! hold anything, terminal escape sequences among it: [`clean`] it before it is shown.

use haldane_judges::config::{Kind, Per};
use haldane_judges::period::Period;
pub use haldane_judges::quantity::{Unit, interval, number, p_value, signed};
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

fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
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

/// The widest name of a unit, in columns.
const UNIT_WIDTH: usize = 12;

/// How the values of a metric are written.
#[must_use]
pub fn unit_of(metric: &MetricResult) -> Unit {
    match metric.per {
        Some(Per::Request) => Unit::of_a_request(short_name(metric.unit.as_deref()).as_deref()),
        None => unit_as_read(metric),
    }
}

/// How the metric's values are written as they were read: what was judged of them may be divided by the traffic.
#[must_use]
pub fn unit_as_read(metric: &MetricResult) -> Unit {
    let counted = metric.counts.is_some() || metric.threshold.as_ref().is_some_and(|t| t.rate_interval.is_some());
    unit_named(metric.kind, metric.unit.as_deref(), counted)
}

/// How values of this kind are written, by the name that a config gives their unit; `counted` says that they are rates of events out of
/// totals.
#[must_use]
pub fn unit_named(kind: Kind, unit: Option<&str>, counted: bool) -> Unit {
    Unit::named(kind, short_name(unit).as_deref(), counted)
}

fn short_name(unit: Option<&str>) -> Option<String> {
    unit.map(|name| truncate(&clean(name), UNIT_WIDTH))
}

#[cfg(test)]
mod tests {
    use super::{clean, clean_query, count, signed_percent, truncate};

    #[test]
    fn counts_stay_short() {
        for (value, text) in [(7.0, "7"), (9_999.0, "9999"), (12_034.0, "12k"), (12_340.0, "12.3k"), (123_400.0, "123k"), (4.56e6, "4.56M")]
        {
            assert_eq!(count(value), text, "{value}");
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
