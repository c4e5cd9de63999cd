//! How Kayenta writes numbers, times and durations.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::instant::java_text;

/// A number as Kayenta writes it: one that is not finite is a quoted string.
pub(crate) fn number(value: f64) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        value.into()
    }
}

/// Reads a number that may be quoted; `null` is a missing point.
pub(crate) fn read_number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NAN),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" | "+Infinity" | "INF" | "+INF" => Some(f64::INFINITY),
            "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
            text => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
        },
        _ => None,
    }
}

/// The instant so many whole seconds after 1970, or that instant itself where it is beyond what can be written.
pub(crate) fn at_second(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

/// A length of time as ISO 8601 has it, such as `PT1H` or `PT1M30S`.
pub(crate) fn duration(seconds: u64) -> String {
    let parts = [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')];
    let text: String = parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "PT0S".to_owned() } else { format!("PT{text}") }
}

/// Puts `<name>Millis` and `<name>Iso` into an object.
pub(crate) fn put_time(object: &mut Map<String, Value>, name: &str, at: Timestamp) {
    object.insert(format!("{name}Millis"), at.as_millisecond().into());
    object.insert(format!("{name}Iso"), java_text(at).into());
}

/// Leaves out what is `null`, at any depth: clients in Kotlin refuse it.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().filter(|value| !value.is_null()).map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_that_are_not_finite_are_quoted_and_read_back() {
        assert_eq!(
            json!([number(75.0), number(f64::NAN), number(f64::INFINITY), number(f64::NEG_INFINITY)]).to_string(),
            r#"[75.0,"NaN","Infinity","-Infinity"]"#
        );
        for value in [1.5, -0.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(read_number(&number(value)).map(f64::to_bits), Some(value.to_bits()));
        }
        assert!(read_number(&json!("NaN")).is_some_and(f64::is_nan));
        for other in [json!("nan?"), json!({}), json!([]), json!(true), json!("1e999")] {
            assert_eq!(read_number(&other), None, "{other}");
        }
    }

    #[test]
    fn durations_are_those_of_java() {
        for (seconds, text) in [(0, "PT0S"), (3600, "PT1H"), (1800, "PT30M"), (90, "PT1M30S"), (90_000, "PT25H")] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn no_null_is_left() {
        assert_eq!(without_nulls(json!({"a": null, "b": [{"c": null, "d": 1}, null]})), json!({"b": [{"d": 1}]}));
    }
}
