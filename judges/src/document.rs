//! Reading a JSON document into a type, with an error that points at the field and suggests the right one.

use serde::de::DeserializeOwned;

use crate::problem::ConfigProblem;
use crate::text::{nearest, shortened};

/// Longest value that a message repeats, in bytes.
const LONGEST_VALUE: usize = 120;

/// Reads `document` as a `T`.
///
/// # Errors
/// A [`ConfigProblem`] with the JSON pointer of the first field that does not fit; for an unknown field it suggests the
/// nearest known one.
pub fn read<T: DeserializeOwned>(document: serde_json::Value) -> Result<T, ConfigProblem> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        ConfigProblem::new(pointer, with_suggestion(&in_words(&error.inner().to_string())))
    })
}

/// Says what was expected without the names of our types.
fn in_words(message: &str) -> String {
    let Some((before, expected)) = message.split_once("expected ") else { return message.to_owned() };
    let expected = match expected {
        "f64" => "a number",
        "u64" | "u32" | "usize" => "a whole number, 0 or more",
        "i64" => "a whole number",
        _ if expected.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{before}expected {expected}")
}

/// Adds "did you mean" to serde's message about an unknown field or variant, and cuts what it quotes.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let Some(wrong) = quoted.next().filter(|_| is_unknown) else {
        return message.to_owned();
    };
    let hint = nearest(wrong, quoted).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
    message.replacen(wrong, &shortened(wrong, LONGEST_VALUE), 1) + &hint
}
