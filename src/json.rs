//! Parses JSON from outside: strictly, within bounds, with the line and column of whatever is wrong.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not taken as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// It has more values than are read.
    #[error("holds more than {0} values")]
    TooManyValues(usize),
    /// It is not JSON, or says one thing twice.
    #[error("is not valid JSON: {0}")]
    Invalid(String),
}

/// Parses JSON. Repeated names in an object are refused, since all but one of them would be lost, and so are documents of more
/// than `max_values` values, which take many times their length in memory.
///
/// # Errors
/// [`JsonError`], with line and column.
pub(crate) fn parse(bytes: &[u8], max_values: usize) -> Result<Value, JsonError> {
    let mut left = max_values;
    let mut deserializer = serde_json::Deserializer::from_slice(without_mark(bytes));
    let document = Strict { left: &mut left }.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    document.map_err(|error| if left == 0 { JsonError::TooManyValues(max_values) } else { JsonError::Invalid(error.to_string()) })
}

/// A text without the byte order mark that some editors and shells put before it, which a reader may pass over (RFC 8259, 8.1).
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Bytes that a document takes as text, about.
pub(crate) fn length(document: &Value) -> usize {
    match document {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 3,
        Value::Array(elements) => 2 + elements.iter().map(length).sum::<usize>(),
        Value::Object(entries) => 2 + entries.iter().map(|(name, value)| name.len() + 4 + length(value)).sum::<usize>(),
    }
}

/// A name as a segment of a JSON pointer (RFC 6901, 3).
pub(crate) fn pointer_segment(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Strict<'a> {
    left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.checked_sub(1) {
            Some(left) if left > 0 => *self.left = left,
            _ => {
                *self.left = 0;
                return Err(D::Error::custom("too many values"));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(Strict { left: self.left })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if map.contains_key(&name) {
                let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
                return Err(A::Error::custom(format!("`{shown}` appears twice in one object")));
            }
            let value = entries.next_value_seed(Strict { left: self.left })?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_shown_by_line_and_column() {
        for (text, part) in [
            (&b"{\n  \"a\": }"[..], "line 2 column 8"),
            (b"{\"a\": 1e999}", "out of range at line 1"),
            (b"{\"a\": \"\xff\xfe\"}", "line 1 column 8"),
            (b"\xff", "line 1 column 1"),
            (b"{\"a\":1,\"a\":2}", "`a` appears twice in one object at line 1"),
            (b"", "line 1 column 0"),
            (b"{} {}", "trailing characters"),
        ] {
            let error = parse(text, 100).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_once_and_only_at_the_start() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\": 1}", 10).unwrap(), json!({ "a": 1 }));
        for wrong in [&b"\xef\xbb\xbf\xef\xbb\xbf{}"[..], b" \xef\xbb\xbf{}", b"{}\xef\xbb\xbf", b"\xef\xbb{}", b"\xef\xbb\xbf"] {
            assert!(parse(wrong, 10).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_in_a_pointer_keeps_its_slashes_and_tildes() {
        assert_eq!(pointer_segment("a/b~1"), "a~1b~01");
    }

    #[test]
    fn nesting_and_number_are_bounded() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(matches!(parse(&deep, 1_000_000), Err(JsonError::Invalid(_))));
        assert_eq!(parse(b"[1,2,3,4]", 4), Err(JsonError::TooManyValues(4)));
        assert_eq!(parse(b"[1,2,3,4]", 6).unwrap(), json!([1, 2, 3, 4]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_serde_json_does_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            match (parse(&bytes, 1000), serde_json::from_slice::<Value>(without_mark(&bytes))) {
                (Ok(ours), theirs) => prop_assert_eq!(Some(ours), theirs.ok()),
                (Err(JsonError::Invalid(text)), _) => prop_assert!(!text.is_empty()),
                (Err(error), _) => prop_assert!(false, "{error}"),
            }
        }
    }
}
