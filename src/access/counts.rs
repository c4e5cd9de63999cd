//! What is counted of requests that are turned away, and of the tokens.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabel {
    reason: &'static str,
}

/// Counts of access. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct AccessCounts(Arc<AccessTotals>);

#[derive(Debug, Default)]
struct AccessTotals {
    denied: Family<DenialLabel, Counter>,
    tokens: Gauge<i64, AtomicI64>,
    stale: Gauge<i64, AtomicI64>,
}

impl AccessCounts {
    pub(super) fn denied(&self, reason: &'static str) {
        self.0.denied.get_or_create(&DenialLabel { reason }).inc();
    }

    pub(super) fn tokens(&self, known: usize) {
        self.0.tokens.set(i64::try_from(known).unwrap_or(i64::MAX));
    }

    /// Whether a file was changed and cannot be used.
    pub(super) fn stale(&self, stale: bool) {
        self.0.stale.set(i64::from(stale));
    }

    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("haldane");
        registry.register("access_denied", "Requests that were turned away, by the reason", self.0.denied.clone());
        registry.register("tokens", "Tokens that are known", self.0.tokens.clone());
        let help = "Whether a changed file of tokens, certificates or configs cannot be used, so that the one from before still is";
        registry.register("files_stale", help, self.0.stale.clone());
        registry
    }
}
