//! Reads a request body into a JSON document: strictly, within bounds, with the line and column of whatever is wrong.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use futures::StreamExt as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::Problem;
use super::state::SharedState;

/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How much of a body that is too long is read and thrown away, so that the caller reads the answer instead of a broken connection.
const DISCARDED_BYTES: usize = 64 << 20;
/// Values, beside the inline points, that a document may hold.
const OTHER_VALUES: usize = 200_000;

/// A JSON body.
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<SharedState> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &SharedState) -> Result<Self, Problem> {
        let limits = state.bodies;
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
            let shown: String = content_type.chars().take(60).collect();
            let detail = format!("a body is read as JSON, and this one is `{shown}`; send the header `Content-Type: application/json`");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail));
        }
        let body = tokio::time::timeout(BODY_TIME, read(request.into_body(), limits.bytes)).await.map_err(|_| {
            let detail = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The request took too long", detail)
        })??;
        parse(&body, limits.max_inline_points.saturating_add(OTHER_VALUES)).map(Self)
    }
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Problem::bad_request("broken-body", format!("the body broke off: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= limit {
            bytes.extend_from_slice(&chunk);
        } else if length > limit.saturating_add(DISCARDED_BYTES) {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if length > limit {
        return Err(Problem::too_large(format!(
            "the body is longer than the {limit} bytes that are read; send fewer samples, or have the service read them from a source"
        )));
    }
    Ok(bytes)
}

/// Parses JSON. Repeated names in an object are refused, since all but one of them would be lost, and so are documents of more
/// than `max_values` values, which take many times their length in memory.
///
/// # Errors
/// A [`Problem`] with line and column.
pub(crate) fn parse(bytes: &[u8], max_values: usize) -> Result<Value, Problem> {
    let mut left = max_values;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let document = Strict { left: &mut left }.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    document.map_err(|error| {
        if left == 0 {
            return Problem::too_large(format!("the body holds more than {max_values} values; send fewer samples"));
        }
        Problem::bad_request("invalid-json", format!("the body is not valid JSON: {error}"))
    })
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
            let problem = parse(text, 100).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(part), "{}", problem.detail);
        }
    }

    #[test]
    fn nesting_and_number_are_bounded() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert_eq!(parse(&deep, 1_000_000).unwrap_err().status, 400);
        assert_eq!(parse(b"[1,2,3,4]", 4).unwrap_err().status, 413);
        assert_eq!(parse(b"[1,2,3,4]", 6).unwrap(), json!([1, 2, 3, 4]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_serde_json_does_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            match (parse(&bytes, 1000), serde_json::from_slice::<Value>(&bytes)) {
                (Ok(ours), theirs) => prop_assert_eq!(Some(ours), theirs.ok()),
                (Err(problem), _) => prop_assert!(problem.status == 400 || problem.status == 413),
            }
        }
    }
}
