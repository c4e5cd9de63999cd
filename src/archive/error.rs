//! Why the archive did not do what it was asked.

use object_store::Error as Fault;

/// Largest document, in bytes of JSON.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Most of the newest executions that can be skipped to reach a page.
pub const MAX_OFFSET: usize = 10_000;

/// Longest reason that is repeated from the store, in characters.
const MAX_REASON: usize = 400;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Text that is no id here.
    #[error("`{shown}` cannot be kept in the store: {reason}")]
    InvalidId {
        /// The beginning of the text.
        shown: String,
        /// Why not.
        reason: String,
    },
    /// There is one already.
    #[error("the store has a document `{key}` already; choose another id")]
    Exists {
        /// Its key.
        key: String,
    },
    /// More than is kept, or read.
    #[error("document `{key}` has {bytes} bytes, and the store keeps at most {MAX_DOCUMENT_BYTES}")]
    TooLarge {
        /// Its key.
        key: String,
        /// Its length.
        bytes: u64,
    },
    /// What is there is not what was written.
    #[error("document `{key}` in the store cannot be read: {reason}; restore it, or delete it")]
    Corrupt {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The documents in memory are too many.
    #[error("the store in memory is full; use `--store file:///path` or a bucket")]
    Full,
    /// A page that is not given.
    #[error("offset {0} is beyond the {MAX_OFFSET} newest that can be listed")]
    TooFar(usize),
    /// There is too much to do.
    #[error("{0}")]
    Busy(String),
    /// It answers, but does not let us.
    #[error("the store does not allow this: {0}; check its permissions, and that the bucket exists and takes conditional writes")]
    Refused(String),
    /// It does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
}

impl ArchiveError {
    /// The same without what the store itself said, which names folders, buckets and hosts; the log has that.
    #[must_use]
    pub fn for_callers(&self) -> String {
        match self {
            Self::Refused(_) => "the store does not allow this; the log of the server says why".to_owned(),
            Self::Unavailable(_) => "the store does not answer; the log of the server says why".to_owned(),
            known => known.to_string(),
        }
    }
}

/// A URL that opens no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidArchive(pub(super) String);

/// The fault as people read it, without the queries of addresses, which may hold signatures, and not at any length.
pub(super) fn reason(fault: &Fault) -> String {
    let text = fault.to_string();
    let words = text.split_whitespace().map(|word| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => address,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ").chars().take(MAX_REASON).collect()
}
