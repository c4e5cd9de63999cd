//! What a caller writes on a judgement, for people and lists: service, version, build, change. It is bounded, kept, and never looked at.

use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most labels of one judgement.
const MOST: usize = 32;
/// Longest name of a label, in bytes.
const LONGEST_NAME: usize = 63;
/// Longest value of a label, in bytes: an address of a build fits.
const LONGEST_VALUE: usize = 512;

/// Labels by name: at most 32, whose names are of letters, digits and `.`, `_`, `/`, `-` (63 bytes at most), and whose values are any text of up
/// to 512 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Deref for Labels {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Labels {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks bounds and names; the pointer below the labels, with what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        if self.0.len() > MOST {
            return Err((String::new(), format!("{} labels are more than {MOST}; leave some out", self.0.len())));
        }
        for (name, value) in &self.0 {
            let shown: String = name.chars().take(LONGEST_NAME).collect();
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
            if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
                let message =
                    format!("`{shown}` is no name of a label; give 1 to {LONGEST_NAME} of letters, digits, `.`, `_`, `/` and `-`");
                return Err((String::new(), message));
            }
            if value.len() > LONGEST_VALUE {
                let pointer = format!("/{}", crate::json::pointer_segment(&shown));
                return Err((pointer, format!("{} bytes are more than {LONGEST_VALUE}; give a shorter value", value.len())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> Labels {
        Labels(of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn any_text_is_a_value_and_bounded_plain_words_are_names() {
        labels(&[("service", "<script>\u{1b}[31m"), ("app.kubernetes.io/version", "1.2"), ("build-url", &"x".repeat(512))])
            .check()
            .unwrap();
        for (wrong, pointer, said) in [
            (labels(&[("", "a")]), "", "no name of a label"),
            (labels(&[("a b", "a")]), "", "`a b`"),
            (labels(&[(&"n".repeat(64), "a")]), "", "1 to 63"),
            (labels(&[("a/b", &"x".repeat(513))]), "/a~1b", "513 bytes"),
            (Labels((0..33).map(|i| (format!("l{i}"), String::new())).collect()), "", "33 labels"),
        ] {
            let (at, message) = wrong.check().unwrap_err();
            assert_eq!(at, pointer);
            assert!(message.contains(said), "{message}");
        }
    }
}
