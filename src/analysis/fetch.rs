//! Asks a metric store one planned query: with the points before the window, and for the window alone where that is too much.

use std::sync::Arc;
use std::time::Duration;

use haldane_judges::evidence::{Arm, FetchFailure, is_absent};
use tokio::time::Instant;

use super::plan::PlannedQuery;
use crate::source::cache::CachedSource;
use crate::source::{Query, Reply, Series, SourceError};

/// How long to wait before a query is asked again.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(600)];

/// What one query came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fetched {
    pub(super) reply: Result<Arc<Reply>, FetchError>,
    /// Points of each series that lie before the window.
    pub(super) history_points: usize,
    /// Why there are none, although they were asked for.
    pub(super) without_history: Option<SourceError>,
}

impl Fetched {
    /// The analysis ran out of time.
    pub(super) fn late() -> Self {
        Self { reply: Err(FetchError::Deadline), history_points: 0, without_history: None }
    }

    /// The series that came back, those of the past included.
    pub(super) fn series(&self) -> &[Series] {
        self.reply.as_ref().map_or(&[], |reply| reply.series.as_slice())
    }

    /// The series that have a point in the window: those that come back where only the window is asked for.
    pub(super) fn reporting(&self) -> Vec<&Series> {
        let reports = |one: &&Series| self.history_points == 0 || self.window_of(one).iter().any(|value| !is_absent(*value));
        self.series().iter().filter(reports).collect()
    }

    /// A series' points in the window.
    pub(super) fn window_of<'a>(&self, series: &'a Series) -> &'a [f64] {
        series.values.get(self.history_points..).unwrap_or_default()
    }

    /// A series' points before it.
    pub(super) fn past_of<'a>(&self, series: &'a Series) -> &'a [f64] {
        series.values.get(..self.history_points).unwrap_or_default()
    }
}

/// Why one query came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FetchError {
    /// The store failed.
    Source(SourceError),
    /// The analysis ran out of time.
    Deadline,
}

impl FetchError {
    pub(super) fn failure(&self, arm: Arm) -> FetchFailure {
        let (reason, message) = match self {
            Self::Source(error) => (error.reason(), error.to_string()),
            Self::Deadline => ("deadline", "the time for the analysis ran out before the data arrived; allow more time (`--deadline`, `--background-deadline`), or let more queries of the account be under way \
                 at once (`max_concurrent` of the source)"
                    .to_owned()),
        };
        FetchFailure { arm, reason: reason.to_owned(), message }
    }
}

/// Asks a query until `deadline`. Where the longer one fails in a way that a shorter one may not, the window alone is asked for, once.
pub(super) async fn fetch(source: &CachedSource, planned: &PlannedQuery, deadline: Instant) -> Fetched {
    tokio::time::timeout_at(deadline, fetch_both(source, planned)).await.unwrap_or_else(|_| Fetched::late())
}

async fn fetch_both(source: &CachedSource, planned: &PlannedQuery) -> Fetched {
    let mut without_history = None;
    if planned.history_points > 0 {
        match ask(source, &planned.with_history(), true).await {
            Err(error) if error.may_be_of_length() => {
                tracing::debug!(%error, "a query is asked again without history");
                without_history = Some(error);
            }
            ended => {
                let reply = ended.map_err(FetchError::Source);
                return Fetched { reply, history_points: planned.history_points, without_history };
            }
        }
    }
    let reply = ask(source, &planned.query, false).await.map_err(FetchError::Source);
    Fetched { reply, history_points: 0, without_history }
}

/// Asks a store, and asks again where it could not be reached: one that restarts or sheds load is back in a moment. `shorter` says that
/// there is a shorter query to ask instead of one that takes too long.
async fn ask(source: &CachedSource, query: &Query, shorter: bool) -> Result<Arc<Reply>, SourceError> {
    for pause in RETRY_AFTER {
        match source.fetch(query).await {
            Err(error @ SourceError::Unreachable(_)) if !(shorter && error.may_be_of_length()) => {
                tracing::debug!(%error, "a query is asked again");
                // Many queries failed at the same time, and must not come back together.
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            }
            ended => return ended,
        }
    }
    source.fetch(query).await
}
