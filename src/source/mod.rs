//! Metric stores: what every store has in common, and the list of those that are spoken.
//!
//! A store is a folder with `mod.rs` (settings, how it is asked) and `wire.rs` (its reply format), a variant of [`Source`] and of
//! [`SourceSettings`], recorded replies in `fixtures/<store>/`, and a test module. One store never imports another, and none
//! knows of analyses, edges or reports. Deadlines, the shared HTTP client ([`http`]) and the cache ([`cache`]) wrap them.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod cache;
#[cfg(feature = "datasets")]
pub mod dataset;
mod grid;
pub mod http;
pub mod prometheus;
mod variables;

/// Most series one reply may have.
pub const MAX_SERIES: usize = 10_000;

/// The points that are asked for: at `start + step`, `start + 2 step`, ... `end`; each speaks of the step before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Start, in Unix seconds.
    pub start: i64,
    /// End, in Unix seconds; later than `start` by a multiple of `step_seconds`.
    pub end: i64,
    /// Distance between points, in seconds; above 0.
    pub step_seconds: u32,
}

impl Window {
    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        let step = i64::from(self.step_seconds.max(1));
        usize::try_from(self.end.saturating_sub(self.start) / step).unwrap_or(0)
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The window's length, in seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.end.saturating_sub(self.start)
    }

    /// Unix time of the first point, in seconds.
    #[must_use]
    pub fn first_point(&self) -> i64 {
        self.start.saturating_add(i64::from(self.step_seconds))
    }

    /// The window with so many points before it.
    #[must_use]
    pub fn with_past(self, points: usize) -> Self {
        let seconds = i64::try_from(points).unwrap_or(i64::MAX).saturating_mul(i64::from(self.step_seconds));
        Self { start: self.start.saturating_sub(seconds), ..self }
    }

    /// The same window, `seconds` earlier.
    #[must_use]
    pub fn earlier(self, seconds: i64) -> Self {
        Self { start: self.start.saturating_sub(seconds), end: self.end.saturating_sub(seconds), ..self }
    }
}

/// A query before its variables are put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<'a> {
    /// The text of the config, in the store's language, with `${name}` for variables.
    pub text: &'a str,
    /// The caller's variables, `scope` and `location` among them; to be escaped for the place they land in.
    pub variables: &'a BTreeMap<String, String>,
    /// The window, from which `${step}` and `${window}` follow.
    pub window: Window,
}

/// A query as the store is asked it; equal queries have equal replies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// Text in the store's language, complete.
    pub text: String,
    /// The points asked for.
    pub window: Window,
}

/// One time series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels that tell it from others.
    pub labels: BTreeMap<String, String>,
    /// One entry for each point of the window, [`ABSENT`](haldane_judges::evidence::ABSENT), which is a `NaN`, where the store has none;
    /// infinities are kept.
    pub values: Vec<f64>,
}

/// A store's reply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The series, sorted by labels.
    pub series: Vec<Series>,
    /// What the store, or the reading of its reply, has to say about them.
    pub warnings: Vec<String>,
}

/// What a person should know about a query before trusting its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What it is.
    pub sentence: String,
    /// Whether it matters only where the points show a shift.
    pub about_shifts: bool,
}

/// Reads metrics over a window.
///
/// Owns a store's language and wire format and nothing else: the cache, the deadline and the limit on concurrency wrap it.
pub trait MetricSource: Send + Sync {
    /// Puts the variables into a query, each escaped for the place it lands in, so that none can change the query's shape.
    ///
    /// # Errors
    /// [`SourceError::Template`] for an unknown variable, or one in a place where it cannot be escaped.
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError>;

    /// What a person should know about the query before trusting its points, such as a rate window longer than the step.
    fn advise(&self, query: &Query) -> Vec<Advice>;

    /// Whether a point of the query depends on the range over which it is asked, and not on its own time alone. Such a query cannot be
    /// asked over a longer range for its past.
    fn depends_on_range(&self, text: &str) -> bool;

    /// Reads the series of a query.
    fn fetch(&self, query: &Query) -> impl Future<Output = Result<Reply, SourceError>> + Send;

    /// The names of the metrics there are.
    fn metric_names(&self) -> impl Future<Output = Result<Vec<String>, SourceError>> + Send {
        std::future::ready(Err(SourceError::Refused("it does not list its metrics".to_owned())))
    }
}

/// Why a store could not be read. No message holds a secret or a URL's credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The query's variables could not be put in.
    #[error("{0}")]
    Template(String),
    /// The store understood and said no.
    #[error("the metric store refused the query: {0}")]
    Refused(String),
    /// The store turned the account away: wrong credentials, or no store at its address. Callers cannot mend that.
    #[error("the metric store turned the account away: {0}")]
    Account(String),
    /// The store could not be reached, or broke off.
    #[error("the metric store could not be reached: {0}")]
    Unreachable(String),
    /// The store took too long.
    #[error("the metric store did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The reply is not in the store's format.
    #[error("the metric store sent a reply that cannot be read: {0}")]
    Unreadable(String),
    /// The reply is longer than is read.
    #[error("the metric store's reply is longer than the {0} bytes that are read; ask for fewer series or a larger step")]
    TooLarge(u64),
    /// The reply has more series, or values, than are read.
    #[error(
        "the metric store's reply has more than {0} series, or too many values in all; \
         aggregate in the query (such as `sum by (pod) (...)`), or ask for a shorter window"
    )]
    TooManySeries(usize),
}

impl SourceError {
    /// Whether a query over a shorter window might not have failed so: too many points or samples, too much time, or series of the
    /// past that do not go together.
    #[must_use]
    pub fn may_be_of_length(&self) -> bool {
        match self {
            Self::Refused(said) => !said.contains("parse error"),
            Self::Unreachable(said) => ["timed out", "timeout", "Timeout"].iter().any(|word| said.contains(word)),
            Self::TimedOut(_) | Self::Unreadable(_) | Self::TooLarge(_) | Self::TooManySeries(_) => true,
            Self::Template(_) | Self::Account(_) => false,
        }
    }

    /// The stable word for the kind of failure, as scorecards show it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Template(_) => "template",
            Self::Refused(_) => "refused",
            Self::Account(_) => "account",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge(_) | Self::TooManySeries(_) => "too_large",
        }
    }
}

/// Settings of one account: which store it is, and how to reach it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceSettings {
    /// Prometheus, or anything that speaks its query API: Thanos, Mimir, Cortex, VictoriaMetrics, managed ones.
    Prometheus(prometheus::PrometheusSettings),
    /// Files of recorded series below one folder.
    #[cfg(feature = "datasets")]
    Dataset(dataset::DatasetSettings),
}

/// A metric store, ready to be asked.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each account, behind an `Arc`")]
pub enum Source {
    /// Speaks Prometheus' query API.
    Prometheus(prometheus::Prometheus),
    /// Reads recorded series.
    #[cfg(feature = "datasets")]
    Dataset(dataset::Dataset),
}

/// Settings that do not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source `{account}`: {message}")]
pub struct InvalidSource {
    /// The account whose settings they are.
    pub account: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Source {
    /// Makes a store ready: reads its secrets and builds its client. Nothing is asked yet.
    ///
    /// # Errors
    /// [`InvalidSource`] for a bad URL, a secret that cannot be read, a CA file that is none.
    pub fn open(account: &str, settings: &SourceSettings) -> Result<Self, InvalidSource> {
        let invalid = |message: String| InvalidSource { account: account.to_owned(), message };
        match settings {
            SourceSettings::Prometheus(settings) => prometheus::Prometheus::open(settings).map(Self::Prometheus).map_err(invalid),
            #[cfg(feature = "datasets")]
            SourceSettings::Dataset(settings) => dataset::Dataset::open(settings).map(Self::Dataset).map_err(invalid),
        }
    }

    /// The store's name, under which configs keep their queries for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "prometheus",
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => "dataset",
        }
    }

    /// Most queries that should be under way at the same time.
    #[must_use]
    pub fn max_concurrent(&self) -> u32 {
        match self {
            Self::Prometheus(source) => source.max_concurrent(),
            #[cfg(feature = "datasets")]
            Self::Dataset(source) => source.max_concurrent(),
        }
    }
}

impl MetricSource for Source {
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        match self {
            Self::Prometheus(source) => source.resolve(template),
            #[cfg(feature = "datasets")]
            Self::Dataset(source) => source.resolve(template),
        }
    }

    fn advise(&self, query: &Query) -> Vec<Advice> {
        match self {
            Self::Prometheus(source) => source.advise(query),
            #[cfg(feature = "datasets")]
            Self::Dataset(source) => source.advise(query),
        }
    }

    fn depends_on_range(&self, text: &str) -> bool {
        match self {
            Self::Prometheus(source) => source.depends_on_range(text),
            #[cfg(feature = "datasets")]
            Self::Dataset(source) => source.depends_on_range(text),
        }
    }

    async fn fetch(&self, query: &Query) -> Result<Reply, SourceError> {
        match self {
            Self::Prometheus(source) => source.fetch(query).await,
            #[cfg(feature = "datasets")]
            Self::Dataset(source) => source.fetch(query).await,
        }
    }

    async fn metric_names(&self) -> Result<Vec<String>, SourceError> {
        match self {
            Self::Prometheus(source) => source.metric_names().await,
            #[cfg(feature = "datasets")]
            Self::Dataset(source) => source.metric_names().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_put_before_a_window_on_the_same_grid() {
        let window = Window { start: 600, end: 900, step_seconds: 60 };
        let longer = window.with_past(10);
        assert_eq!((longer.start, longer.end, longer.len()), (0, 900, 15));
        assert_eq!(window.with_past(0), window);
        assert_eq!(window.with_past(usize::MAX).end, 900);
    }

    #[test]
    fn only_what_a_shorter_window_may_mend_counts_as_being_of_length() {
        let refused = |said: &str| SourceError::Refused(said.to_owned());
        for of_length in [
            refused("bad_data: exceeded maximum resolution of 11,000 points per timeseries"),
            refused("execution: query processing would load too many samples into memory in query execution"),
            refused("execution: found duplicate series for the match group"),
            SourceError::Unreachable("503 Service Unavailable: timeout: query timed out in expression evaluation".to_owned()),
            SourceError::Unreachable("504 Gateway Timeout: no text".to_owned()),
            SourceError::TimedOut(Duration::from_secs(30)),
            SourceError::TooLarge(1),
            SourceError::TooManySeries(1),
        ] {
            assert!(of_length.may_be_of_length(), "{of_length}");
        }
        for other in [
            refused("bad_data: 1:4: parse error: unexpected end of input inside braces"),
            SourceError::Unreachable("localhost:9090 refused the connection".to_owned()),
            SourceError::Account("401".to_owned()),
            SourceError::Template("x".to_owned()),
        ] {
            assert!(!other.may_be_of_length(), "{other}");
        }
    }
}
