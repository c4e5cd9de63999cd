//! How a command ends, and why it could not do what it was asked to.

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFailure {
    /// What was asked for cannot be done as it was asked.
    #[error("{0}")]
    Usage(String),
    /// Nobody answered who could have.
    #[error("{0}")]
    Unreachable(String),
}

impl CommandFailure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::Unreachable(message.into())
    }
}

/// How a command ended; the numbers are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    Done = 0,
    Fail = 1,
    Usage = 2,
    Marginal = 3,
    Unreachable = 4,
}

impl From<haldane_judges::Verdict> for CommandOutcome {
    fn from(verdict: haldane_judges::Verdict) -> Self {
        use haldane_judges::Verdict;
        match verdict {
            Verdict::Pass => Self::Done,
            Verdict::Marginal => Self::Marginal,
            Verdict::Fail => Self::Fail,
        }
    }
}
