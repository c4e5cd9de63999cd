//! What `haldane lint` says of each config.

use serde::Serialize;

use super::inspect::MetricReport;
use crate::lint::LintFinding;
use crate::source::Window;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) files: Vec<FileReport>,
}

/// What was found about one config.
#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    pub(super) file: String,
    /// Gravest first.
    pub(super) findings: Vec<LintFinding>,
    /// What the store has, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tried: Option<StoreTrial>,
}

/// What a store answered.
#[derive(Debug, Serialize)]
pub(super) struct StoreTrial {
    pub(super) source: String,
    /// Kind of the store, such as `prometheus`.
    pub(super) store: &'static str,
    pub(super) window: Window,
    /// How long after a window's end its samples may arrive, in seconds.
    pub(super) settle_seconds: u64,
    pub(super) baseline: String,
    pub(super) canary: String,
    pub(super) queries: usize,
    /// Queries that did not reach the store.
    pub(super) unreachable: usize,
    pub(super) metrics: Vec<MetricReport>,
}
