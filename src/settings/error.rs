//! Settings that cannot be used.

use std::fmt;
use std::path::Path;

use haldane_judges::ConfigProblem;

/// Settings that cannot be used: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSettings {
    /// File or flag that says it.
    pub place: String,
    /// What is wrong with it.
    pub problem: ConfigProblem,
}

impl std::error::Error for InvalidSettings {}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigProblem { pointer, message } = &self.problem;
        match pointer.as_str() {
            "" => write!(f, "{}: {message}", self.place),
            pointer => write!(f, "{}: {pointer}: {message}", self.place),
        }
    }
}

impl InvalidSettings {
    /// Of a file in the folder of configs.
    pub(crate) fn of_config(file: &Path, message: impl Into<String>) -> Self {
        Self::at(format!("config {}", file.display()), message)
    }

    /// Of a setting that turns out not to work when it is used.
    pub(crate) fn of_setting(name: &str, message: impl Into<String>) -> Self {
        Self::at(name, message)
    }

    pub(super) fn at(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), problem: ConfigProblem::new("", message) }
    }
}
