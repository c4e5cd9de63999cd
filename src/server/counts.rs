//! What the service counts of its connections, for its metrics.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::logging;

/// Why a connection did not come about, or was ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Closing {
    /// Too many are open, and each has a request.
    Refused,
    /// It was without a request the longest when another one came.
    Replaced,
    /// Its TLS handshake or the head of its request did not arrive in time.
    Head,
    /// It was without a request for too long.
    Idle,
    /// Its caller did not take an answer.
    Stalled,
}

impl Closing {
    fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosingLabel {
    reason: &'static str,
}

/// Counts of connections. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCounts(Arc<ConnectionTotals>);

#[derive(Debug, Default)]
struct ConnectionTotals {
    open: Gauge,
    accepted: Counter,
    closed: Family<ClosingLabel, Counter>,
    errors: Counter,
}

impl ConnectionCounts {
    pub(super) fn accepted(&self) {
        self.0.accepted.inc();
    }

    pub(super) fn open(&self, now: usize) {
        self.0.open.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    pub(super) fn closed(&self, why: Closing) {
        self.0.closed.get_or_create(&ClosingLabel { reason: why.word() }).inc();
    }

    pub(super) fn accept_failed(&self) {
        self.0.errors.inc();
    }

    /// The metrics of the connections, and of the log.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("haldane");
        let dropped = Counter::<u64>::default();
        dropped.inc_by(logging::dropped());
        registry.register("connections_open", "Connections of callers", self.0.open.clone());
        registry.register("connections_accepted", "Connections of callers that came about", self.0.accepted.clone());
        registry.register(
            "connections_closed_early",
            "Connections of callers that the service ended, by the reason",
            self.0.closed.clone(),
        );
        registry.register("accept_errors", "Connections of callers that the system could not give", self.0.errors.clone());
        registry.register("log_lines_dropped", "Log lines that nobody took off standard error in time", dropped);
        registry
    }
}
