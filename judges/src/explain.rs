//! Quantities of a metric, changes and lists in sentences.

use crate::config::{Kind, Metric};
use crate::quantity::{Unit, number};
use crate::text::nearly_all;

/// A quantity in the metric's unit: `412 ms`, `1.25 %`, `0.0031`.
pub(crate) fn quantity(metric: &Metric, value: f64) -> String {
    unit(metric).value(value)
}

/// A difference in the metric's unit; percentage points for ratios and percentages.
pub(crate) fn difference(metric: &Metric, value: f64) -> String {
    unit(metric).distance(value)
}

/// A quantity as the config has it, in the unit itself: `10485760 bytes`, `0.5 s`.
pub(crate) fn as_configured(metric: &Metric, value: f64) -> String {
    unit(metric).in_itself(metric.unit.as_deref()).value(value)
}

/// A difference as the config has it.
pub(crate) fn difference_as_configured(metric: &Metric, value: f64) -> String {
    unit(metric).in_itself(metric.unit.as_deref()).distance(value)
}

fn unit(metric: &Metric) -> Unit {
    let name = metric.unit.as_deref().filter(|name| !name.trim().is_empty());
    // The unit of a ratio of requests slower than a bound is the bound's.
    let kind = if name.is_some() { Kind::Value } else { metric.kind };
    if metric.per.is_some() { Unit::of_a_request(name) } else { Unit::named(kind, name, false) }
}

/// Percent of a whole.
pub(crate) fn percent(value: f64) -> String {
    format!("{} %", nearly_all(value).unwrap_or_else(|| number(value)))
}

/// How a ratio's rate is scaled: counts give fractions whatever the unit says.
pub(crate) fn rate(value: f64) -> String {
    percent(value * 100.0)
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
    format!("{}{} %", if percent >= 0.0 { "+" } else { "" }, number(percent))
}

/// The tolerance that applied: `limit +25 % and 5 ms`; a tolerance of 0 is left out. `sign` says which way is worse.
pub(crate) fn limit(sign: f64, relative: f64, absolute: Option<String>) -> String {
    let direction = if sign < 0.0 { "-" } else { "+" };
    let parts: Vec<String> = (relative > 0.0)
        .then(|| format!("{} %", number(100.0 * relative)))
        .into_iter()
        .chain(absolute)
        .map(|part| format!("{direction}{part}"))
        .collect();
    all_of(&parts)
}

/// The same where the fraction is one of what is left to a bound.
pub(crate) fn limit_of_the_rest(relative: f64, absolute: Option<String>) -> String {
    let relative = (relative > 0.0).then(|| format!("+{} % of what is left", number(100.0 * relative)));
    all_of(&relative.into_iter().chain(absolute).collect::<Vec<_>>())
}

/// A limit of which every part must be exceeded.
fn all_of(parts: &[String]) -> String {
    if parts.is_empty() { "any change counts".to_owned() } else { format!("limit {}", parts.join(" and ")) }
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
    use super::percent;

    #[test]
    fn what_is_nearly_all_is_told_by_what_is_left() {
        let cases = [
            (99.95, "99.95 %"),
            (99.238, "99.238 %"),
            (99.0, "99 %"),
            (99.999_87, "99.99987 %"),
            (100.0, "100 %"),
            (98.76, "98.8 %"),
            (0.0, "0 %"),
        ];
        for (value, text) in cases {
            assert_eq!(percent(value), text);
        }
    }
}
