//! Metric stores: what every store has in common, and the list of those that are spoken.
//!
//! A store is a folder with `mod.rs` (settings, how it is asked) and `wire.rs` (its reply format), a variant of [`MetricStore`] and of
//! [`SourceSettings`], recorded replies in `fixtures/<store>/`, and a test module. One store never imports another, and none
//! knows of analyses, edges or reports. Deadlines, the shared HTTP client ([`http`]) and the cache ([`cache`]) wrap them.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_judges::config::{Metric, MetricQuery};
use haldane_judges::{ConfigProblem, document};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub mod cache;
pub mod datadog;
#[cfg(feature = "datasets")]
pub mod dataset;
mod grid;
pub(crate) mod histogram;
pub mod http;
pub mod leftovers;
pub mod prometheus;
pub mod sources;
mod spans;
mod variables;

/// Most series one reply may have.
pub const MAX_SERIES: usize = 10_000;
/// Most values that the series of one reply may have together, absent ones included: 16 MiB. A short reply with a point a series would
/// otherwise be laid out over a long window; the longest body that is read holds about half as many.
pub const MAX_VALUES: usize = 2 << 20;

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
    /// Whether its series are the buckets of a histogram, which `histogram.rs` reads; only then may a reply hold native histograms.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub buckets: bool,
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

/// What a query is, as far as its text tells without a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// What makes its values rates a second, where something does: `rate`, `.as_rate()`.
    pub rate: Option<&'static str>,
    /// Whether it sums events, so that it is larger where there is more traffic.
    pub follows_traffic: bool,
    /// Whether something that is no number divides it, so that it need not be.
    pub divided: bool,
}

/// What a person should know about a query before trusting its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What it is.
    pub sentence: String,
    /// Whether it matters only where the points show a shift.
    pub about_shifts: bool,
    /// What a metric may declare that answers it.
    pub unless: Option<Declared>,
    /// What a metric has to declare for it to matter.
    pub only: Option<Declared>,
}

/// What a metric may declare about the points of its queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// `absent_means_zero`.
    AbsentMeansZero,
    /// `per_instance`.
    PerInstance,
    /// A `numerator` and a `denominator`, which are counts, as its queries for this store.
    Counts(&'static str),
}

impl Declared {
    /// Whether a metric declares it.
    fn by(self, metric: &Metric) -> bool {
        match self {
            Self::AbsentMeansZero => metric.absent_means_zero,
            Self::PerInstance => metric.per_instance.is_some(),
            Self::Counts(store) => matches!(metric.queries.get(store), Some(MetricQuery::Counts(_))),
        }
    }
}

impl Advice {
    /// Whether a metric leaves it open.
    #[must_use]
    pub fn concerns(&self, metric: &Metric) -> bool {
        !self.unless.is_some_and(|declared| declared.by(metric)) && self.only.is_none_or(|declared| declared.by(metric))
    }

    /// Whether it matters for a query of a ratio's totals as well: where those are absent, nothing is taken for a zero.
    #[must_use]
    pub fn concerns_totals(&self) -> bool {
        self.only != Some(Declared::AbsentMeansZero)
    }
}

/// How to ask which histogram buckets the values of a query are interpolated in: a query that returns a series for each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// The query, over a few points.
    pub query: Query,
    /// The label that holds a bucket's upper bound.
    label: &'static str,
    /// What a bound is multiplied by to be in the metric's unit; finite and above 0.
    factor: f64,
}

impl Buckets {
    /// The finite upper bounds, in the metric's unit, rising; none where the series name none.
    #[must_use]
    pub fn bounds(&self, reply: &Reply) -> Vec<f64> {
        let of_series = |series: &Series| series.labels.get(self.label)?.parse::<f64>().ok();
        let in_unit = reply.series.iter().filter_map(of_series).map(|bound| bound * self.factor);
        let mut bounds: Vec<f64> = in_unit.filter(|bound| bound.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    }
}

/// Reads metrics over a window.
///
/// Owns a store's language and wire format and nothing else: the cache, the deadline and the limit on concurrency wrap it.
pub trait StoreReader: Send + Sync {
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

    /// Whether each point of the query is the same over whatever range it is asked, so that a window may be read in parts.
    fn is_pointwise(&self, text: &str) -> bool {
        _ = text;
        false
    }

    /// Why the requests in each bucket of a histogram cannot be had from it, with what to ask for in their place; `None` where they can.
    fn without_buckets(&self) -> Option<&'static str> {
        None
    }

    /// How to ask which histogram buckets the values of a query are interpolated in; `None` where they are not, or that is not known.
    fn buckets(&self, query: &Query) -> Option<Buckets> {
        let _ = query;
        None
    }

    /// Reads the series of a query. After `deadline` nobody waits for them any more.
    fn fetch(&self, query: &Query, deadline: Instant) -> impl Future<Output = Result<Reply, SourceError>> + Send;

    /// The names of the metrics there are.
    fn metric_names(&self, deadline: Instant) -> impl Future<Output = Result<Vec<String>, SourceError>> + Send {
        let _ = deadline;
        std::future::ready(Err(SourceError::Refused("it does not list its metrics".to_owned())))
    }
}

/// Part of the messages of those that would have had to wait longer than there was time.
const TOO_LATE: &str = "which the deadline does not allow";

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
    /// The store gave up on the query, for its time or its length: a shorter one may do, and the same one will not.
    #[error("the metric store gave up on the query: {0}")]
    GaveUp(String),
    /// The store has had more requests than it, or the account's settings, allow.
    #[error("the metric store's rate limit: {0}")]
    RateLimited(String),
    /// The store took too long.
    #[error("the metric store did not answer within {} s: {stage}", .after.as_secs_f64())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// What had come by then.
        stage: String,
    },
    /// The store says that a part of what was asked for is missing from its reply. What is missing is no evidence of anything, and
    /// least of all a zero.
    #[error("the metric store's reply is partial, by its own words: {0}")]
    Partial(String),
    /// The reply is not in the store's format.
    #[error("the metric store sent a reply that cannot be read: {0}")]
    Unreadable(String),
    /// The reply is longer than is read.
    #[error("the metric store's reply is longer than the {0} bytes that are read; ask for fewer series or a larger step")]
    TooLarge(u64),
    /// The reply has more series, or values, than are read.
    #[error(
        "the metric store's reply has more than {0} series, or too many values in all; \
         aggregate in the query (such as `sum by (pod) (...)` in PromQL), or ask for a shorter window"
    )]
    TooManySeries(usize),
}

impl SourceError {
    /// The error of a reply that the store calls incomplete, with the store's own words.
    fn partial(words: &str) -> Self {
        Self::Partial(format!(
            "{words}; mend what did not answer, or say `accept_partial: true` for the source where what came is to be judged all the same"
        ))
    }

    /// Whether a query over a shorter window might not have failed so: too many points or samples, too much time, or series of the
    /// past that do not go together.
    #[must_use]
    pub fn may_be_of_length(&self) -> bool {
        match self {
            // Prometheus: "parse error"; Datadog: "Error parsing query", "unable to parse".
            Self::Refused(said) => !said.to_ascii_lowercase().contains("pars"),
            Self::GaveUp(_) | Self::TimedOut { .. } | Self::Unreadable(_) | Self::TooLarge(_) | Self::TooManySeries(_) => true,
            // The part that did not answer may be the one that keeps the past.
            Self::Partial(_) => true,
            Self::Template(_) | Self::Account(_) | Self::Unreachable(_) | Self::RateLimited(_) => false,
        }
    }

    /// Whether more time, and nothing else, might have helped: the store was slow, or asked to wait for longer than there was time.
    #[must_use]
    pub fn lacked_time(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Unreachable(said) | Self::RateLimited(said) => said.contains(TOO_LATE),
            _ => false,
        }
    }

    /// Whether the same query may succeed in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::RateLimited(_) | Self::TimedOut { .. })
    }

    /// What it says, where it says anything.
    fn said(&mut self) -> Option<&mut String> {
        match self {
            Self::Template(said)
            | Self::Refused(said)
            | Self::Account(said)
            | Self::Unreachable(said)
            | Self::GaveUp(said)
            | Self::RateLimited(said)
            | Self::Partial(said)
            | Self::Unreadable(said)
            | Self::TimedOut { stage: said, .. } => Some(said),
            Self::TooLarge(_) | Self::TooManySeries(_) => None,
        }
    }

    /// The error with more words.
    fn with(mut self, words: &str) -> Self {
        if let Some(said) = self.said() {
            said.push_str(words);
        }
        self
    }

    /// The error without a secret.
    fn without(mut self, secret: &str) -> Self {
        // A shorter one is found in half of all texts, and protects nothing.
        const SHORTEST: usize = 4;
        if let Some(said) = self.said().filter(|said| secret.len() >= SHORTEST && said.contains(secret)) {
            *said = said.replace(secret, "<redacted>");
        }
        self
    }

    /// The error with how often the store was asked, and whether there was no time to ask again, perhaps after as long as it asked for.
    #[must_use]
    fn after_tries(mut self, tries: u32, took: Duration, too_late: bool, asked_to_wait: Option<Duration>) -> Self {
        let (Self::Unreachable(said) | Self::RateLimited(said) | Self::TimedOut { stage: said, .. }) = &mut self else { return self };
        match asked_to_wait {
            Some(wait) if too_late => said.push_str(&format!("; it asks to wait {} s, {TOO_LATE}", wait.as_secs())),
            None if too_late => said.push_str(&format!("; another try was due, {TOO_LATE}")),
            _ => {}
        }
        if tries > 1 {
            said.push_str(&format!(" ({tries} tries in {:.1} s)", took.as_secs_f64()));
        }
        self
    }

    /// The stable word for the kind of failure, as scorecards show it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Template(_) => "template",
            Self::Refused(_) => "refused",
            Self::Account(_) => "account",
            Self::Unreachable(_) => "unreachable",
            Self::RateLimited(_) => "rate_limited",
            Self::GaveUp(_) | Self::TimedOut { .. } => "timeout",
            Self::Partial(_) => "partial",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge(_) | Self::TooManySeries(_) => "too_large",
        }
    }
}

/// Longest time that windows may be kept from ending now.
const LONGEST_SETTLE: Duration = Duration::from_secs(24 * 3600);

/// Settings of one source: which store it is, and how to reach it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceSettings {
    /// Prometheus, or anything that speaks its query API: Thanos, Mimir, Cortex, VictoriaMetrics, managed ones.
    Prometheus(prometheus::PrometheusSettings),
    /// Datadog.
    Datadog(datadog::DatadogSettings),
    /// Files of recorded series below one folder.
    #[cfg(feature = "datasets")]
    Dataset(dataset::DatasetSettings),
}

impl SourceSettings {
    /// Reads the settings of one source.
    ///
    /// # Errors
    /// [`ConfigProblem`] with the field; what derives from the enum alone knows none, for the `kind` comes before everything else.
    pub fn read(mut settings: serde_json::Value) -> Result<Self, ConfigProblem> {
        let kind = settings.as_object_mut().and_then(|fields| fields.remove("kind"));
        match kind.as_ref().and_then(serde_json::Value::as_str) {
            Some("prometheus") => document::read(settings).map(Self::Prometheus),
            Some("datadog") => document::read(settings).map(Self::Datadog),
            #[cfg(feature = "datasets")]
            Some("dataset") => document::read(settings).map(Self::Dataset),
            _ => {
                // The derived reader has the words for what is wrong with the kind.
                if let (Some(fields), Some(kind)) = (settings.as_object_mut(), kind) {
                    fields.insert("kind".to_owned(), kind);
                }
                document::read(settings)
            }
        }
    }
}

/// A metric store, ready to be asked.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each source, behind an `Arc`")]
pub enum MetricStore {
    /// Speaks Prometheus' query API.
    Prometheus(prometheus::Prometheus),
    /// Speaks Datadog's metrics APIs.
    Datadog(datadog::Datadog),
    /// Reads recorded series.
    #[cfg(feature = "datasets")]
    Dataset(dataset::Dataset),
}

/// Settings that do not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source `{name}`: {message}")]
pub struct InvalidSource {
    /// The source whose settings they are.
    pub name: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl MetricStore {
    /// Makes a store ready: reads its secrets and builds its client. Nothing is asked yet.
    ///
    /// # Errors
    /// [`InvalidSource`] for a bad URL, a secret that cannot be read, a CA file that is none.
    pub fn open(source: &str, settings: &SourceSettings) -> Result<Self, InvalidSource> {
        let invalid = |message: String| InvalidSource { name: source.to_owned(), message };
        let store = match settings {
            SourceSettings::Prometheus(settings) => prometheus::Prometheus::open(source, settings).map(Self::Prometheus).map_err(invalid),
            SourceSettings::Datadog(settings) => datadog::Datadog::open(source, settings).map(Self::Datadog).map_err(invalid),
            #[cfg(feature = "datasets")]
            SourceSettings::Dataset(settings) => dataset::Dataset::open(settings).map(Self::Dataset).map_err(invalid),
        }?;
        if store.settle() > LONGEST_SETTLE {
            let message =
                format!("settle: {} h are more than a day, by which every judgement would lie back", store.settle().as_secs() / 3600);
            return Err(invalid(message));
        }
        Ok(store)
    }

    /// The store's name, under which configs keep their queries for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "prometheus",
            Self::Datadog(_) => "datadog",
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => "dataset",
        }
    }

    /// How long after its end a window may still gain samples.
    #[must_use]
    pub fn settle(&self) -> Duration {
        match self {
            Self::Prometheus(store) => store.settle(),
            Self::Datadog(store) => store.settle(),
            // What is recorded is complete.
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => Duration::ZERO,
        }
    }

    /// How the requests to it went; `None` where it is not reached over a network.
    #[must_use]
    pub fn traffic(&self) -> Option<http::Traffic> {
        match self {
            Self::Prometheus(store) => Some(store.traffic()),
            Self::Datadog(store) => Some(store.traffic()),
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => None,
        }
    }
}

impl StoreReader for MetricStore {
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        match self {
            Self::Prometheus(store) => store.resolve(template),
            Self::Datadog(store) => store.resolve(template),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.resolve(template),
        }
    }

    fn advise(&self, query: &Query) -> Vec<Advice> {
        match self {
            Self::Prometheus(store) => store.advise(query),
            Self::Datadog(store) => store.advise(query),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.advise(query),
        }
    }

    fn depends_on_range(&self, text: &str) -> bool {
        match self {
            Self::Prometheus(store) => store.depends_on_range(text),
            Self::Datadog(store) => store.depends_on_range(text),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.depends_on_range(text),
        }
    }

    fn is_pointwise(&self, text: &str) -> bool {
        match self {
            Self::Prometheus(store) => store.is_pointwise(text),
            Self::Datadog(store) => store.is_pointwise(text),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.is_pointwise(text),
        }
    }

    fn without_buckets(&self) -> Option<&'static str> {
        match self {
            Self::Prometheus(store) => store.without_buckets(),
            Self::Datadog(store) => store.without_buckets(),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.without_buckets(),
        }
    }

    fn buckets(&self, query: &Query) -> Option<Buckets> {
        match self {
            Self::Prometheus(store) => store.buckets(query),
            Self::Datadog(store) => store.buckets(query),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.buckets(query),
        }
    }

    async fn fetch(&self, query: &Query, deadline: Instant) -> Result<Reply, SourceError> {
        match self {
            Self::Prometheus(store) => store.fetch(query, deadline).await,
            Self::Datadog(store) => store.fetch(query, deadline).await,
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.fetch(query, deadline).await,
        }
    }

    async fn metric_names(&self, deadline: Instant) -> Result<Vec<String>, SourceError> {
        match self {
            Self::Prometheus(store) => store.metric_names(deadline).await,
            Self::Datadog(store) => store.metric_names(deadline).await,
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.metric_names(deadline).await,
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
    fn what_there_was_no_time_for_is_told_from_what_failed() {
        let down = || SourceError::Unreachable("503 Service Unavailable: no text".to_owned());
        let limited = || SourceError::RateLimited("429 Too Many Requests: no text".to_owned());
        let (took, wait) = (Duration::from_secs(3), Some(Duration::from_secs(20)));
        for error in [down().after_tries(1, took, true, None), limited().after_tries(1, took, true, wait)] {
            assert!(error.lacked_time(), "{error}");
        }
        for error in [down().after_tries(4, took, false, None), limited().after_tries(4, took, false, wait), SourceError::TooLarge(1)] {
            assert!(!error.lacked_time(), "{error}");
        }
    }

    #[test]
    fn only_what_a_shorter_window_may_mend_counts_as_being_of_length() {
        let refused = |said: &str| SourceError::Refused(said.to_owned());
        for of_length in [
            refused("bad_data: exceeded maximum resolution of 11,000 points per timeseries"),
            refused("execution: query processing would load too many samples into memory in query execution"),
            refused("execution: found duplicate series for the match group"),
            SourceError::GaveUp("503 Service Unavailable: timeout: query timed out in expression evaluation".to_owned()),
            SourceError::TimedOut { after: Duration::from_secs(30), stage: String::new() },
            SourceError::TooLarge(1),
            SourceError::TooManySeries(1),
            SourceError::partial("No StoreAPIs matched for this query"),
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
