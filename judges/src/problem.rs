//! What is wrong with a config, each with a pointer to the field.

use std::fmt;

use crate::text::shortened;

/// Longest pointer and message, in bytes: whatever a document holds, a person reads what is wrong with it.
const LONGEST_POINTER: usize = 500;
const LONGEST_MESSAGE: usize = 1500;

/// One thing wrong with a config: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// JSON pointer to the offending field; empty for the document itself.
    pub pointer: String,
    /// The value and the remedy, lower case.
    pub message: String,
}

impl ConfigProblem {
    /// A problem at a JSON pointer; what is long is cut in its middle.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let cut = |text: String, most| if text.len() <= most { text } else { shortened(&text, most).into_owned() };
        Self { pointer: cut(pointer.into(), LONGEST_POINTER), message: cut(message.into(), LONGEST_MESSAGE) }
    }

    /// The same problem of a field that lies below `prefix`.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "(document)" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.message)
    }
}

/// A config that cannot be used, with every problem that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidConfig {
    /// At least one problem; a document that cannot be read at all has exactly one.
    pub problems: Vec<ConfigProblem>,
}

impl InvalidConfig {
    /// The same problems of a config that lies below `prefix`.
    #[must_use]
    pub fn below(self, prefix: &str) -> Self {
        Self { problems: self.problems.into_iter().map(|problem| problem.below(prefix)).collect() }
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl From<ConfigProblem> for InvalidConfig {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}
