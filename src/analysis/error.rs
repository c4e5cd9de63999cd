//! Why there is no verdict.

use haldane_judges::InvalidConfig;

use crate::source::SourceError;
use crate::source::sources::UnknownSource;

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnalysisError {
    /// A field of the request cannot be used.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request, such as `/window/end`.
        pointer: String,
        /// The value and the remedy.
        message: String,
    },
    /// The config breaks a rule; the pointers of its problems begin at the request, with `/config`.
    #[error(transparent)]
    InvalidConfig(InvalidConfig),
    /// No such source.
    #[error(transparent)]
    UnknownSource(#[from] UnknownSource),
    /// The judge broke down; a defect of Haldane's.
    #[error("the judge broke down: {0}")]
    Broken(String),
    /// Not one metric could be read.
    #[error("no metric could be read; `{metric}`: {error}")]
    NothingFetched {
        /// The first metric that failed.
        metric: String,
        /// Why it did.
        error: SourceError,
    },
}

/// A field of the request that cannot be used: its pointer, and the value with the remedy.
pub(super) fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> AnalysisError {
    AnalysisError::Invalid { pointer: pointer.into(), message: message.into() }
}
