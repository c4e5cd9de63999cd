//! Datadog: the metrics APIs v2 `timeseries` and v1 `query`.
//!
//! The queries of a metric set are one request of v2 (`batch.rs`); v1 takes one at a time. Datadog answers with at most about 1,500 points a
//! series and makes them coarser where there would be more, so each query says its resolution by `.rollup()` (`query.rs`), and a
//! longer window is asked for in parts.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use haldane_judges::config::Period;
use haldane_judges::text::distances;
use reqwest::{Method, StatusCode, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::explore::ExploreTemplate;
use super::http::{
    Client, ClientSettings, ConnectionSettings, Content, FailureCause, FailureReport, HeaderSettings, HttpReply, HttpRequest,
    SecretSettings, Traffic,
};
use super::query::DEFAULT_SETTLE;
use super::text::escaped;
use super::{Advice, MAX_SERIES, MAX_VALUES, Query, Reply, SourceError, StoreReader, Template, Window};

mod advice;
mod batch;
mod query;
mod template;
mod wire;

pub use template::{TemplatePlace, shape};

use batch::{AskTogether, BatchAnswer, BatchQuery, Batches};
use query::{Expression, Formula, RollupForm, name};
use wire::{Layout, MetricNames, WireError};

/// Most points of a series that one request asks for; beyond 1,500 Datadog makes them coarser
/// (<https://docs.datadoghq.com/dashboards/functions/rollup/>).
pub const MAX_POINTS: usize = 1_440;
/// Most requests into which a window is split.
const MAX_PARTS: usize = 10;
/// Parts that are asked for at the same time.
const PARTS_AT_ONCE: usize = 4;
/// Pages of metric names that are read, and names on a page, which is the most there may be
/// (<https://docs.datadoghq.com/api/latest/metrics/get-a-list-of-metrics/>).
const MAX_PAGES: usize = 20;
const PAGE: &str = "10000";
/// How long ago a metric may have had a value to be named by v1.
const NAMES_SECONDS: u64 = 24 * 3600;
/// Datadog's sites; the API of each is at `api.` before it (<https://docs.datadoghq.com/getting_started/site/>).
const SITES: [&str; 9] = [
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
];
const API_KEY_HEADER: &str = "DD-API-KEY";
const APP_KEY_HEADER: &str = "DD-APPLICATION-KEY";

/// How to reach Datadog.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatadogSettings {
    /// Datadog site, such as `datadoghq.eu` or `us5.datadoghq.com`; `datadoghq.com` where left out.
    #[serde(default)]
    pub site: Option<String>,
    /// Address of a relay that stands for `https://api.<site>`, instead of `site`. It holds no credentials.
    #[serde(default)]
    pub url: Option<String>,
    /// API key: `{file: path}` or `{env: NAME}`.
    pub api_key: SecretSettings,
    /// Application key, with the permission `timeseries_query` (and `metrics_read` to list names): `{file: path}` or `{env: NAME}`.
    pub app_key: SecretSettings,
    /// Which API is asked; `v2` where left out.
    #[serde(default)]
    pub api: ApiVersion,
    /// Judge replies that report errors beside their data by what came, with a warning; `false` where left out. Otherwise a metric
    /// with such a reply is an error, and never evidence of anything.
    #[serde(default)]
    pub accept_partial: bool,
    /// Time one try of a query may take, from connecting to the reply's last byte; `30s` where left out.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// PEM file of the certificate authorities to trust, instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Longest reply that is read, in bytes, after decompression; 16777216 (16 MiB) where left out.
    #[serde(default)]
    pub max_reply_bytes: Option<NonZeroU64>,
    /// Most requests that are under way at the same time; 16 where left out.
    #[serde(default)]
    pub max_concurrent: Option<NonZeroU32>,
    /// How long after its end a window may still gain samples; `60s` where left out. Windows that state no end lie so far back; points
    /// that one which ends later lacks count as late, with a warning.
    #[serde(default)]
    pub settle: Option<Period>,
    /// Page that opens a query for people, which scorecards link to: an address with `{query}` and, where it takes them, `{start}`, `{end}`,
    /// `{start_ms}`, `{end_ms}` and `{range}` (seconds). Left out, there is no link, but for a Prometheus that is given by `--prometheus`.
    #[serde(default)]
    pub explore_url: Option<ExploreTemplate>,
    /// Connecting, retries, rate limit, proxy, client certificate.
    #[serde(default)]
    pub connection: ConnectionSettings,
}

/// Version of the API that queries are asked of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiVersion {
    /// `POST /api/v2/query/timeseries`: a metric set is one request.
    #[default]
    V2,
    /// `GET /api/v1/query`: each query is a request.
    V1,
}

/// Datadog, ready to be asked.
#[derive(Debug)]
pub struct Datadog {
    store: Arc<Store>,
    batches: Arc<Batches>,
    settle: Duration,
    explore: Option<ExploreTemplate>,
}

#[derive(Debug)]
struct Store {
    client: Client,
    api: ApiVersion,
    accept_partial: bool,
    query: Url,
    names: Url,
}

impl Datadog {
    /// Makes a source ready: reads the secrets and the certificates. Nothing is asked yet.
    ///
    /// # Errors
    /// A message that names the setting and the remedy.
    pub fn open(source: &str, settings: &DatadogSettings) -> Result<Self, String> {
        let url = match (&settings.site, &settings.url) {
            (Some(_), Some(_)) => return Err("site and url are both given; keep one of them, `url` being for a relay".to_owned()),
            (_, Some(url)) => url.clone(),
            (site, None) => format!("https://api.{}", checked_site(site.as_deref().unwrap_or(SITES[0]))?),
        };
        let headers = BTreeMap::from([
            (API_KEY_HEADER.to_owned(), header(&settings.api_key)),
            (APP_KEY_HEADER.to_owned(), header(&settings.app_key)),
        ]);
        let client = Client::open(
            source,
            "datadog",
            &url,
            &ClientSettings {
                timeout: settings.timeout.map(Period::duration),
                headers,
                bearer_token: None,
                basic: None,
                ca_file: settings.ca_file.clone(),
                max_reply_bytes: settings.max_reply_bytes.map(NonZeroU64::get),
                max_concurrent: settings.max_concurrent.map(NonZeroU32::get),
                rate_limit_headers: true,
                connection: settings.connection.clone(),
            },
        )
        .map_err(|error| {
            error.replace(&format!("headers: `{API_KEY_HEADER}`"), "api_key").replace(&format!("headers: `{APP_KEY_HEADER}`"), "app_key")
        })?;
        let (query, names) = match settings.api {
            ApiVersion::V2 => (client.endpoint(&["api", "v2", "query", "timeseries"]), client.endpoint(&["api", "v2", "metrics"])),
            ApiVersion::V1 => (client.endpoint(&["api", "v1", "query"]), client.endpoint(&["api", "v1", "metrics"])),
        };
        Ok(Self {
            store: Arc::new(Store { client, api: settings.api, accept_partial: settings.accept_partial, query, names }),
            batches: Arc::default(),
            settle: settings.settle.map_or(DEFAULT_SETTLE, Period::duration),
            explore: settings.explore_url.clone(),
        })
    }

    /// How long after its end a window may still gain samples.
    #[must_use]
    pub fn settle(&self) -> Duration {
        self.settle
    }

    /// Page that opens a query for people, where the settings name one.
    #[must_use]
    pub fn explore(&self) -> Option<&ExploreTemplate> {
        self.explore.as_ref()
    }

    /// How the source's requests went.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.store.client.traffic()
    }
}

fn header(secret: &SecretSettings) -> HeaderSettings {
    match secret {
        SecretSettings::File(path) => HeaderSettings::File(path.clone()),
        SecretSettings::Env(name) => HeaderSettings::Env(name.clone()),
    }
}

/// The site, if it is one of Datadog's.
fn checked_site(site: &str) -> Result<&'static str, String> {
    if let Some(known) = SITES.iter().find(|known| **known == site) {
        return Ok(known);
    }
    // What people paste from the address bar, or from a documentation of the API.
    let lower = site.trim().to_ascii_lowercase();
    let host = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    let bare = ["app.", "api.", "www."].iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(host);
    let nearest = distances(bare, SITES).min().filter(|(distance, _)| *distance <= 3);
    let hint = nearest.map_or(String::from(";"), |(_, known)| format!("; did you mean `{known}`?"));
    Err(format!(
        "site: `{}` is none of Datadog's{hint} there are {}; for a relay give its `url` instead",
        escaped(site, 100),
        SITES.map(|known| format!("`{known}`")).join(", ")
    ))
}

impl StoreReader for Datadog {
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        template::render(template)
    }

    fn advise(&self, query: &Query) -> Vec<Advice> {
        advice::advise(&query.text)
    }

    fn without_buckets(&self) -> Option<&'static str> {
        Some(
            "Datadog's API gives no buckets of a distribution metric, only how many of its values lie beyond a threshold: judge those with \
             `kind: ratio`, numerator `count(v: v > 0.25):metric{...}.as_count()` and denominator `count:metric{...}.as_count()`, one metric for \
             each threshold that matters",
        )
    }

    fn depends_on_range(&self, text: &str) -> bool {
        Expression::parse(text).is_ok_and(|expression| advice::depends_on_range(&expression))
    }

    async fn fetch(&self, query: &Query, deadline: Instant) -> Result<Reply, SourceError> {
        let window = query.window;
        if window.step_seconds == 0 || window.is_empty() {
            return Err(SourceError::Refused("the window has no point; its end must be at least one step after its start".to_owned()));
        }
        // A query that came through `resolve` has its rollups; one that an edge wrote gets them here.
        let expression = Expression::parse(&query.text).map_err(SourceError::Template)?;
        let text = expression.at_step(window.step_seconds, RollupForm::Multiple).map_err(SourceError::Template)?;
        let expression = Expression::parse(&text).map_err(SourceError::Template)?;
        let interval_seconds = expression.longest_rollup().unwrap_or(window.step_seconds).max(window.step_seconds);
        let parts = parts(window, interval_seconds).len();
        if parts > MAX_PARTS {
            return Err(SourceError::Refused(format!(
                "{} points of a series are more than the {} that are asked for; use a larger step or a shorter window",
                window.len(),
                MAX_PARTS * MAX_POINTS
            )));
        }
        if parts > 1 && advice::depends_on_range(&expression) {
            return Err(SourceError::Refused(format!(
                "the query has a function over the whole range, and Datadog gives {MAX_POINTS} points of a range at most; use a larger step or a \
                 shorter window"
            )));
        }
        let asked = BatchQuery { formula: Formula::of(&expression), interval_seconds, window, deadline };
        let mut reply = match self.store.api {
            ApiVersion::V2 => self.batches.ask(&self.store, asked).await?,
            ApiVersion::V1 => self.store.ask_v1(&text, &asked).await?,
        };
        if parts > 1 && advice::looks_back(&expression) {
            reply.warnings.push(format!("the window was asked for in {parts} parts, and functions that look back begin anew in each"));
        }
        Ok(reply)
    }

    async fn metric_names(&self, deadline: Instant) -> Result<Vec<String>, SourceError> {
        let store = &*self.store;
        if store.api == ApiVersion::V1 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
            let from = now.saturating_sub(NAMES_SECONDS).to_string();
            return store.page(&[("from", &from)], deadline).await.map(|page| page.names);
        }
        let mut names = Vec::new();
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let first = [("page[size]", PAGE)];
            let following = [("page[size]", PAGE), ("page[cursor]", &cursor)];
            let page = store.page(if cursor.is_empty() { &first } else { &following }, deadline).await?;
            names.extend(page.names);
            match page.next {
                Some(next) if next != cursor => cursor = next,
                _ => break,
            }
        }
        Ok(names)
    }
}

/// The parts in which a window is asked for, each of no more points than a reply has.
fn parts(window: Window, interval_seconds: u32) -> Vec<Window> {
    let points = i64::try_from(MAX_POINTS).unwrap_or(i64::MAX);
    let length = points.saturating_mul(i64::from(interval_seconds.max(1)));
    let mut parts = Vec::new();
    let mut start = window.start;
    // One more than is taken suffices to see that there are too many.
    while start < window.end && parts.len() <= MAX_PARTS {
        let end = start.saturating_add(length).min(window.end);
        parts.push(Window { start, end, ..window });
        start = end;
    }
    parts
}

impl Store {
    /// Asks for one query.
    async fn ask_v1(&self, text: &str, asked: &BatchQuery) -> Result<Reply, SourceError> {
        let parts = parts(asked.window, asked.interval_seconds);
        // A loop and not a closure, which would borrow for one lifetime.
        let mut requests = Vec::new();
        for part in parts {
            requests.push(async move {
                let (from, to) = (part.start.to_string(), part.end.to_string());
                let parameters = [("from", from.as_str()), ("to", &to), ("query", text)];
                let request = HttpRequest { method: Method::GET, url: &self.query, content: Content::Query(&parameters), splits: false };
                self.client.ask(&request, asked.deadline, |reply| read(reply, wire::parse_v1)).await.map(|raw| (raw, part))
            });
        }
        let mut replies = stream::iter(requests).buffered(PARTS_AT_ONCE);
        let mut layout = Layout::new(asked.window, asked.interval_seconds);
        while let Some((raw, part)) = replies.try_next().await? {
            layout.note(&raw);
            layout.lay(&raw.series, part).map_err(refused)?;
        }
        layout.finish(self.accept_partial).map_err(refused)
    }

    async fn page(&self, parameters: &[(&str, &str)], deadline: Instant) -> Result<MetricNames, SourceError> {
        let request = HttpRequest { method: Method::GET, url: &self.names, content: Content::Query(parameters), splits: false };
        let parse = match self.api {
            ApiVersion::V2 => wire::parse_names_v2,
            ApiVersion::V1 => wire::parse_names_v1,
        };
        self.client.ask(&request, deadline, |reply| read(reply, |body| parse(body).map_err(WireError::Json))).await
    }
}

impl AskTogether for Store {
    async fn ask_together(&self, asked: &[BatchQuery], deadline: Instant, splits: bool) -> Result<Vec<BatchAnswer>, SourceError> {
        let Some(first) = asked.first() else { return Ok(Vec::new()) };
        let parts = parts(first.window, first.interval_seconds);
        let mut requests = Vec::new();
        for part in parts {
            requests.push(async move {
                let document = document(asked, part, first.interval_seconds);
                let request = HttpRequest { method: Method::POST, url: &self.query, content: Content::Json(&document), splits };
                let read = |reply: &HttpReply| read(reply, |body| wire::parse_v2(body, asked.len()));
                self.client.ask(&request, deadline, read).await.map(|raw| (raw, part))
            });
        }
        let mut replies = stream::iter(requests).buffered(PARTS_AT_ONCE);
        let mut layouts: Vec<Layout> = asked.iter().map(|asked| Layout::new(asked.window, asked.interval_seconds)).collect();
        let mut failed = false;
        while let Some((mut raw, part)) = replies.try_next().await? {
            failed |= !raw.errors.is_empty();
            layouts.iter_mut().for_each(|layout| layout.note(&raw));
            raw.series.sort_by_key(|series| series.query);
            for series in raw.series.chunk_by(|a, b| a.query == b.query) {
                if let Some(layout) = series.first().and_then(|series| layouts.get_mut(series.query)) {
                    layout.lay(series, part).map_err(refused)?;
                }
                if layouts.iter().map(Layout::len).sum::<usize>() > MAX_VALUES {
                    return Err(SourceError::TooManySeries(MAX_SERIES));
                }
            }
        }
        // The errors do not say whose they are: a query that asks alone is told its own.
        let answer = |layout: Layout| match failed && asked.len() > 1 && (layout.is_empty() || !self.accept_partial) {
            true => BatchAnswer::Unclear,
            false => BatchAnswer::Own(layout.finish(self.accept_partial).map_err(refused)),
        };
        Ok(layouts.into_iter().map(answer).collect())
    }
}

/// The body of a request of v2.
fn document(asked: &[BatchQuery], part: Window, interval_seconds: u32) -> Value {
    let mut known: Vec<&str> = Vec::new();
    let mut formulas = Vec::new();
    for asked in asked {
        let places: Vec<usize> = asked
            .formula
            .queries
            .iter()
            .map(|query| {
                known.iter().position(|known| known == query).unwrap_or_else(|| {
                    known.push(query);
                    known.len() - 1
                })
            })
            .collect();
        formulas.push(json!({ "formula": asked.formula.text(|i| name(places.get(i).copied().unwrap_or_default())) }));
    }
    let queries: Vec<Value> =
        known.iter().enumerate().map(|(i, query)| json!({ "data_source": "metrics", "name": name(i), "query": query })).collect();
    json!({
        "data": {
            "type": "timeseries_request",
            "attributes": {
                "from": part.start.saturating_mul(1000),
                "to": part.end.saturating_mul(1000),
                "interval": u64::from(interval_seconds) * 1000,
                "queries": queries,
                "formulas": formulas,
            }
        }
    })
}

/// Makes an answer or an error of a reply.
fn read<T>(reply: &HttpReply, parse: impl Fn(&[u8]) -> Result<T, WireError>) -> Result<T, SourceError> {
    if reply.status != StatusCode::OK {
        return Err(failed(reply));
    }
    parse(&reply.body).map_err(|error| match error {
        WireError::Json(error) => reply.unreadable(&error),
        other => refused(other),
    })
}

fn refused(error: WireError) -> SourceError {
    match error {
        WireError::Failed(said) => match cause(&said) {
            FailureCause::Timeout => SourceError::GaveUp(said),
            FailureCause::Syntax => SourceError::Syntax(said),
            FailureCause::Other => SourceError::Refused(said),
        },
        WireError::Partial(said) => SourceError::partial(&said),
        WireError::TooManySeries => SourceError::TooManySeries(MAX_SERIES),
        WireError::Shape(message) => SourceError::Unreadable(message),
        WireError::Json(error) => SourceError::Unreadable(escaped(&error.to_string(), 200)),
    }
}

/// What a failure's words say is the cause; Datadog has no codes for it.
fn cause(words: &str) -> FailureCause {
    if ["timed out", "timeout"].iter().any(|word| words.contains(word)) {
        FailureCause::Timeout
    } else if words.to_ascii_lowercase().contains("pars") {
        // "Error parsing query", "unable to parse".
        FailureCause::Syntax
    } else {
        FailureCause::Other
    }
}

/// Makes an error of a reply whose status is not 200.
fn failed(reply: &HttpReply) -> SourceError {
    let failure = wire::failure(&reply.body);
    // Its own words about an address that it does not have say nothing of the query, and a time-out in words alone is asked for again.
    let cause = failure.as_deref().filter(|_| reply.status != StatusCode::NOT_FOUND).map(|words| match cause(words) {
        FailureCause::Timeout => FailureCause::Other,
        known => known,
    });
    reply.failure(&FailureReport {
        text: &reply.words(failure),
        cause,
        credentials: "`api_key` and `app_key`, that `site` is theirs, and that the application key may query time series (timeseries_query)",
        address: "`site` or `url`",
    })
}

/// Reads bytes as every kind of reply, lays them on a window, and takes them apart as a query: for fuzzing.
#[doc(hidden)]
pub fn read_any(bytes: &[u8], window: Window) {
    wire::read_any(bytes, window);
    if let Ok(expression) = Expression::parse(&String::from_utf8_lossy(bytes)) {
        let _ = expression.at_step(window.step_seconds, RollupForm::Step);
        let _ = Formula::of(&expression).text(name);
    }
}
