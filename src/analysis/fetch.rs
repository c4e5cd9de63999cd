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

/// The query for the window and its history may take one part in so many of the time that is left.
const HISTORY_PART: u32 = 3;

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

/// Asks a query until `deadline`. Where the longer one fails in a way that a shorter one may not, or takes a third of the time that is
/// left, the window alone is asked for, once.
pub(super) async fn fetch(source: &CachedSource, planned: &PlannedQuery, deadline: Instant) -> Fetched {
    tokio::time::timeout_at(deadline, fetch_both(source, planned, deadline)).await.unwrap_or_else(|_| Fetched::late())
}

async fn fetch_both(source: &CachedSource, planned: &PlannedQuery, deadline: Instant) -> Fetched {
    let mut without_history = None;
    if planned.history_points > 0 {
        match ask_patiently(source, &planned.with_history(), deadline).await {
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
    let reply = ask(source, &planned.query, None).await.map_err(FetchError::Source);
    Fetched { reply, history_points: 0, without_history }
}

/// Asks for more than the window, for as long as leaves time for the window alone.
async fn ask_patiently(source: &CachedSource, query: &Query, deadline: Instant) -> Result<Arc<Reply>, SourceError> {
    let now = Instant::now();
    let patience = deadline.saturating_duration_since(now) / HISTORY_PART;
    // Shown to people, who need no more digits.
    let patience = Duration::from_millis(u64::try_from(patience.as_millis() / 10 * 10).unwrap_or(u64::MAX));
    let end = now + patience;
    tokio::time::timeout_at(end, ask(source, query, Some(end))).await.unwrap_or(Err(SourceError::TimedOut(patience)))
}

/// Asks a store, and asks again where it could not be reached: one that restarts or sheds load is back in a moment. With an `end` to it
/// there is a shorter query to ask instead of one that takes too long.
async fn ask(source: &CachedSource, query: &Query, end: Option<Instant>) -> Result<Arc<Reply>, SourceError> {
    let once = async || match end {
        Some(end) => source.fetch_until(query, end).await,
        None => source.fetch(query).await,
    };
    for pause in RETRY_AFTER {
        match once().await {
            Err(error @ SourceError::Unreachable(_)) if !(end.is_some() && error.may_be_of_length()) => {
                tracing::debug!(%error, "a query is asked again");
                // Many queries failed at the same time, and must not come back together.
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            }
            ended => return ended,
        }
    }
    once().await
}
