//! Numbers as people read them.

use crate::config::{Kind, Metric};

/// A quantity in the metric's unit, three significant digits: `412 ms`, `1.25 %`, `0.0031`.
pub(crate) fn quantity(metric: &Metric, value: f64) -> String {
    match unit(metric) {
        ShownUnit::Fraction => format!("{} %", digits(value * 100.0)),
        ShownUnit::Percent => format!("{} %", digits(value)),
        ShownUnit::Named(name) => format!("{} {name}", digits(value)),
        ShownUnit::None => digits(value),
    }
}

/// A difference in the metric's unit; percentage points for ratios and percentages.
pub(crate) fn difference(metric: &Metric, value: f64) -> String {
    match unit(metric) {
        ShownUnit::Fraction => format!("{} pp", digits(value * 100.0)),
        ShownUnit::Percent => format!("{} pp", digits(value)),
        ShownUnit::Named(_) | ShownUnit::None => quantity(metric, value),
    }
}

enum ShownUnit<'a> {
    Fraction,
    Percent,
    Named(&'a str),
    None,
}

fn unit(metric: &Metric) -> ShownUnit<'_> {
    match metric.unit.as_deref() {
        Some("ratio") => ShownUnit::Fraction,
        Some("percent" | "%") => ShownUnit::Percent,
        Some(name) if !name.trim().is_empty() => ShownUnit::Named(name),
        _ if metric.kind == Kind::Ratio => ShownUnit::Fraction,
        _ => ShownUnit::None,
    }
}

/// How a ratio's rate is scaled: counts give fractions whatever the unit says.
pub(crate) fn rate(value: f64) -> String {
    format!("{} %", digits(value * 100.0))
}

/// A signed percentage of a fraction: `+28 %`; words for the infinite.
pub(crate) fn change(relative: f64) -> String {
    let percent = relative * 100.0;
    if relative.is_infinite() {
        return "from zero".to_owned();
    }
    if percent.abs() >= 1e12 {
        return "from next to nothing".to_owned();
    }
    format!("{}{} %", if percent >= 0.0 { "+" } else { "" }, digits(percent))
}

/// The tolerance that applied: `limit +25 % and 5 ms`; a tolerance of 0 is left out. `sign` says which way is worse.
pub(crate) fn limit(sign: f64, relative: f64, absolute: Option<String>) -> String {
    let direction = if sign < 0.0 { "-" } else { "+" };
    let parts: Vec<String> = (relative > 0.0)
        .then(|| format!("{} %", digits(100.0 * relative)))
        .into_iter()
        .chain(absolute)
        .map(|part| format!("{direction}{part}"))
        .collect();
    if parts.is_empty() { "any change counts".to_owned() } else { format!("limit {}", parts.join(" and ")) }
}

/// Three significant digits, without an exponent where that stays short; words for what is no number.
pub(crate) fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return if value.is_nan() { "unknown".to_owned() } else { format!("{}infinite", if value < 0.0 { "-" } else { "" }) };
    }
    let magnitude = value.abs().log10().floor();
    if !(-5.0..9.0).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = (2.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `one thing`, `3 things`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Names in a row: `a, b and 3 more`.
pub(crate) fn names(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        few if few.len() <= SHOWN => {
            let quoted: Vec<String> = few.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and {}", quoted[..quoted.len() - 1].join(", "), quoted[quoted.len() - 1])
        }
        many => {
            let quoted: Vec<String> = many[..SHOWN - 1].iter().map(|name| format!("`{name}`")).collect();
            format!("{} and {} more", quoted.join(", "), many.len() - (SHOWN - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn what_is_no_number_is_a_word() {
        let cases = [(f64::INFINITY, "infinite"), (f64::NEG_INFINITY, "-infinite"), (f64::NAN, "unknown"), (0.0, "0"), (1e300, "1.00e300")];
        for (value, text) in cases {
            assert_eq!(digits(value), text);
        }
    }
}
