//! Asks a metric store one planned query: with the points before the window, and for the window alone where that is too much.

use std::sync::Arc;
use std::time::Duration;

use haldane_judges::evidence::{Arm, FetchFailure, is_absent};
use tokio::time::Instant;

use super::align::resolution;
use super::query::PlannedQuery;
use super::scorecard::QueryProvenance;
use crate::source::cache::Source;
use crate::source::{Query, Reply, Series, SourceError};

/// Time between the end of a query and that of its analysis.
const MARGIN: Duration = Duration::from_millis(250);

/// The query for the window and its history may take one part in so many of the time that is left.
pub(super) const HISTORY_PART: u32 = 3;

/// What one query came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryAnswer {
    pub(super) reply: Result<Arc<Reply>, FetchError>,
    /// Points of each series that lie before the window.
    pub(super) history_points: usize,
    /// Why there are none, although they were asked for.
    pub(super) without_history: Option<SourceError>,
}

impl QueryAnswer {
    /// What a query over a window alone came to.
    pub(crate) fn over_window(reply: Result<Arc<Reply>, SourceError>) -> Self {
        Self { reply: reply.map_err(FetchError::Source), history_points: 0, without_history: None }
    }

    /// The analysis ran out of time; what was waited for, where that is known.
    pub(super) fn late(waited_for: Option<String>) -> Self {
        Self { reply: Err(FetchError::Deadline(waited_for)), history_points: 0, without_history: None }
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

    /// How far apart its points are, in steps; where the window has too few to tell, those before it count as well.
    pub(super) fn stride(&self) -> Option<usize> {
        let window = resolution::stride(self.reporting().into_iter().map(|series| self.window_of(series)));
        window.or_else(|| resolution::stride(self.series().iter().map(|series| series.values.as_slice())))
    }

    /// Places of the window that have a point of any of its series.
    pub(super) fn places(&self) -> usize {
        let windows: Vec<&[f64]> = self.series().iter().map(|series| self.window_of(series)).collect();
        let longest = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        (0..longest).filter(|i| windows.iter().any(|window| window.get(*i).is_some_and(|value| !value.is_nan()))).count()
    }

    /// A series' points before it.
    pub(super) fn past_of<'a>(&self, series: &'a Series) -> &'a [f64] {
        series.values.get(..self.history_points).unwrap_or_default()
    }
}

/// A query and what came back, as the scorecard shows it.
pub(super) fn query_provenance(planned: &PlannedQuery, fetched: &QueryAnswer) -> QueryProvenance {
    let known = |values: &[f64]| values.iter().filter(|value| !value.is_nan()).count();
    let reporting = fetched.reply.is_ok().then(|| fetched.reporting());
    QueryProvenance {
        arm: planned.arm,
        part: planned.part.name().to_owned(),
        query: planned.query.text.clone(),
        series: reporting.as_ref().map(Vec::len),
        points: reporting.map(|series| series.iter().map(|one| known(fetched.window_of(one))).sum()),
        history_points: (fetched.reply.is_ok() && fetched.history_points > 0)
            .then(|| fetched.series().iter().map(|one| known(fetched.past_of(one))).sum()),
        explore_url: None,
    }
}

/// Why one query came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FetchError {
    /// The store failed.
    Source(SourceError),
    /// The analysis ran out of time; what was waited for, where that is known.
    Deadline(Option<String>),
}

impl FetchError {
    pub(super) fn failure(&self, arm: Arm) -> FetchFailure {
        let (reason, message) = match self {
            Self::Source(error) => (error.reason(), error.to_string()),
            Self::Deadline(waited_for) => {
                let what = waited_for.as_deref().unwrap_or("it was not answered");
                let message = format!(
                    "the time for the analysis ran out before the data arrived: {what}; allow more time (`--deadline`, \
                     `--background-deadline`), or let more queries of the source be under way at once (`max_concurrent` of the source)"
                );
                ("deadline", message)
            }
        };
        FetchFailure { arm, reason: reason.to_owned(), message }
    }
}

/// Asks a query until `deadline`. Where the longer one fails in a way that a shorter one may not, or needs more than a third of the time
/// that is left, the window alone is asked for, once.
pub(super) async fn fetch(source: &Source, planned: &PlannedQuery, deadline: Instant) -> QueryAnswer {
    // So much earlier that the source can still say what it waited for.
    let left = deadline.saturating_duration_since(Instant::now());
    let end = deadline.checked_sub(MARGIN.min(left / 10)).unwrap_or(deadline);
    tokio::time::timeout_at(deadline, fetch_both(source, planned, end)).await.unwrap_or_else(|_| QueryAnswer::late(None))
}

async fn fetch_both(source: &Source, planned: &PlannedQuery, deadline: Instant) -> QueryAnswer {
    let mut without_history = None;
    if planned.history_points > 0 {
        match ask_patiently(source, &planned.with_history(), deadline).await {
            Err(error) if error.may_be_of_length() || error.lacked_time() => {
                tracing::debug!(%error, "a query is asked again without history");
                without_history = Some(error);
            }
            ended => {
                let reply = ended.map_err(FetchError::Source);
                return QueryAnswer { reply, history_points: planned.history_points, without_history };
            }
        }
    }
    let reply = source.fetch(&planned.query, deadline).await.map_err(|error| match error {
        SourceError::TimedOut { stage, .. } if Instant::now() >= deadline => FetchError::Deadline(Some(stage)),
        error => FetchError::Source(error),
    });
    QueryAnswer { reply, history_points: 0, without_history }
}

/// Asks for more than the window, for as long as leaves time for the window alone.
async fn ask_patiently(source: &Source, query: &Query, deadline: Instant) -> Result<Arc<Reply>, SourceError> {
    let now = Instant::now();
    source.fetch(query, now + deadline.saturating_duration_since(now) / HISTORY_PART).await
}
