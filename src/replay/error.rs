//! Why a replay cannot be done.

/// Why a replay cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// What is to be replayed.
    #[error("{0}")]
    Input(String),
    /// Where the rows go.
    #[error("{0}")]
    Output(String),
}
