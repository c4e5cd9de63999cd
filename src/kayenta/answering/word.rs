//! Kayenta's words for how an execution stands, which are those of Orca, the orchestrator within it.

use std::fmt;
use std::str::FromStr;

/// How an execution, or a stage of one, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExecutionStatus {
    NotStarted,
    Running,
    Paused,
    Suspended,
    Succeeded,
    FailedContinue,
    Terminal,
    Canceled,
    Redirect,
    Stopped,
    Skipped,
    Buffered,
}

impl ExecutionStatus {
    /// All there are. Only five are ever answered; a client may ask for any.
    pub(crate) const ALL: [Self; 12] = [
        Self::NotStarted,
        Self::Running,
        Self::Paused,
        Self::Suspended,
        Self::Succeeded,
        Self::FailedContinue,
        Self::Terminal,
        Self::Canceled,
        Self::Redirect,
        Self::Stopped,
        Self::Skipped,
        Self::Buffered,
    ];

    /// As the status of an execution has it: `not_started`.
    pub(crate) const fn lower(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Succeeded => "succeeded",
            Self::FailedContinue => "failed_continue",
            Self::Terminal => "terminal",
            Self::Canceled => "canceled",
            Self::Redirect => "redirect",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
            Self::Buffered => "buffered",
        }
    }

    /// As a standalone analysis has it: `NOT_STARTED`.
    pub(crate) fn upper(self) -> String {
        self.lower().to_ascii_uppercase()
    }

    /// Whether nothing changes any more.
    pub(crate) const fn is_complete(self) -> bool {
        matches!(self, Self::Succeeded | Self::FailedContinue | Self::Terminal | Self::Canceled | Self::Stopped | Self::Skipped)
    }
}

impl fmt::Display for ExecutionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lower())
    }
}

impl FromStr for ExecutionStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.lower().eq_ignore_ascii_case(word)).ok_or(UnknownStatus)
    }
}

/// A word that is no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownStatus;
