//! What is read of which files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is read: the canonical text of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    pub(super) metric: String,
    pub(super) scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
}

/// A file that is known to lie below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Its path below the root, for messages.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) format: FileFormat,
}

/// How a file is written, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFormat {
    Csv,
    Parquet,
    Ndjson,
}

impl FileFormat {
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }
}
