//! Why a request is not taken on, and what its sender does then.

/// Why a request is not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Busy {
    /// More is under way than the processors can soon work on.
    #[error("as many requests are worked on and wait as can be answered soon; ask again after `Retry-After` seconds, or run more replicas")]
    Processors,
    /// It would need more memory than is left.
    #[error(
        "the requests under way take the memory that requests may have (`max_bytes_in_flight`); ask again after `Retry-After` seconds, send \
         fewer samples, or raise it"
    )]
    Memory,
}

/// What the sender of a request does that is told to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// It does, and need not be kept waiting.
    ComesBack,
    /// It does not, and waits for as long as there is room to.
    GivesUp,
}
