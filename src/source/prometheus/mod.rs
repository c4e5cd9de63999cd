//! Prometheus, and what speaks its query API: Thanos, Mimir, Cortex, VictoriaMetrics, managed ones.
//!
//! One `query_range` a query, by POST; the reply's points are put on the window's grid by their timestamps, so a gap stays a gap.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haldane_judges::config::Period;
use reqwest::{Method, StatusCode, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::explore::ExploreTemplate;
use super::http::{
    BasicSettings, Client, ClientSettings, ConnectionSettings, Content, FailureCause, FailureReport, HeaderSettings, HttpReply,
    HttpRequest, SecretSettings, Traffic,
};
use super::query::DEFAULT_SETTLE;
use super::text::escaped;
use super::{Advice, BoundsQuery, MAX_SERIES, Query, Reply, SourceError, StoreReader, Template};

mod advice;
mod buckets;
pub(crate) mod promql;
mod shape;
mod size;
pub(crate) mod splice;
mod template;
mod wire;

pub use shape::shape;
pub use template::{sampled, variables_of};

/// Most points a series of one reply may have; Prometheus refuses more.
pub const MAX_POINTS: usize = 11_000;
/// Longest text of the store that is carried into a message, in characters.
const MAX_TEXT: usize = 500;
/// The header by which Mimir, Cortex, Thanos and Loki tell tenants apart.
const TENANT_HEADER: &str = "X-Scope-OrgID";

/// How to reach a Prometheus.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusSettings {
    /// Address, such as `https://prometheus.example:9090`, with the path below which `/api/v1` lies, such as
    /// `http://mimir/prometheus` or `http://vmselect:8481/select/0/prometheus`. It holds no credentials.
    pub url: String,
    /// Time one try of a query may take, from connecting to the reply's last byte; `30s` where left out.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Headers sent with every query, by name: `{value: text}`, or a secret as `{file: path}` or `{env: NAME}`.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderSettings>,
    /// Token sent as `Authorization: Bearer`: `{file: path}` or `{env: NAME}`.
    #[serde(default)]
    pub bearer_token: Option<SecretSettings>,
    /// User name and password, sent as `Authorization: Basic`.
    #[serde(default)]
    pub basic: Option<BasicSettings>,
    /// Tenant, sent as `X-Scope-OrgID`; several are joined with `|`, where the store allows that.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Parameters sent with every query beside those of the API, such as `{partial_response: false}` for Thanos; no secrets.
    #[serde(default)]
    pub params: BTreeMap<String, ParameterSettings>,
    /// Judge replies that the store itself calls partial by what came, with a warning; `false` where left out. Otherwise a metric
    /// with such a reply is an error, and never evidence of anything.
    #[serde(default)]
    pub accept_partial: bool,
    /// PEM file of the certificate authorities to trust, instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Longest reply that is read, in bytes, after decompression; 16777216 (16 MiB) where left out.
    #[serde(default)]
    pub max_reply_bytes: Option<NonZeroU64>,
    /// Most queries that are under way at the same time; 16 where left out.
    #[serde(default)]
    pub max_concurrent: Option<NonZeroU32>,
    /// How long after its end a window may still gain samples, by late scrapes or remote writes; `60s` where left out. Windows that
    /// state no end lie so far back; points that one which ends later lacks count as late, with a warning.
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

/// The value of a query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text, a whole number, `true` or `false`")]
pub enum ParameterSettings {
    /// A text, sent as it stands.
    Text(String),
    /// `true` or `false`, which YAML does not take for texts.
    Flag(bool),
    /// A whole number.
    Number(i64),
}

impl fmt::Display for ParameterSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A Prometheus, ready to be asked.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    query_range: Url,
    names: Url,
    settle: Duration,
    explore: Option<ExploreTemplate>,
    /// What the settings add to every query.
    parameters: Vec<(String, String)>,
    accept_partial: bool,
    /// Set once the server has turned POST away and answered GET.
    get_only: AtomicBool,
}

impl Prometheus {
    /// Makes a source ready: reads the secrets and the certificates. Nothing is asked yet.
    ///
    /// # Errors
    /// A message that names the setting and the remedy.
    pub fn open(source: &str, settings: &PrometheusSettings) -> Result<Self, String> {
        let mut headers = settings.headers.clone();
        if let Some(tenant) = &settings.tenant {
            if headers.keys().any(|name| name.eq_ignore_ascii_case(TENANT_HEADER)) {
                return Err(format!("tenant and the header `{TENANT_HEADER}` are both given; keep one of them"));
            }
            if tenant.is_empty() {
                return Err("tenant: is empty; leave it out where there are no tenants".to_owned());
            }
            headers.insert(TENANT_HEADER.to_owned(), HeaderSettings::Value(tenant.clone()));
        }
        let client = Client::open(
            source,
            "prometheus",
            &settings.url,
            &ClientSettings {
                timeout: settings.timeout.map(Period::duration),
                headers,
                bearer_token: settings.bearer_token.clone(),
                basic: settings.basic.clone(),
                ca_file: settings.ca_file.clone(),
                max_reply_bytes: settings.max_reply_bytes.map(NonZeroU64::get),
                max_concurrent: settings.max_concurrent.map(NonZeroU32::get),
                rate_limit_headers: false,
                connection: settings.connection.clone(),
            },
        )?;
        Ok(Self {
            query_range: client.endpoint(&["api", "v1", "query_range"]),
            names: client.endpoint(&["api", "v1", "label", "__name__", "values"]),
            client,
            settle: settings.settle.map_or(DEFAULT_SETTLE, Period::duration),
            explore: settings.explore_url.clone(),
            parameters: checked_parameters(&settings.params)?,
            accept_partial: settings.accept_partial,
            get_only: AtomicBool::new(false),
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
        self.client.traffic()
    }

    /// The parameters of a request, and those of the settings.
    fn with_parameters<'a>(&'a self, of_request: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        of_request.iter().copied().chain(own).collect()
    }

    /// Asks by POST, whose query has no length limit, and once by GET where POST is turned away.
    ///
    /// Servers and the proxies before them say in three ways that they take no POST, and Prometheus' own client asks by GET after each:
    /// 405, 501, and 403 where rights are given by method. A 403 may mean wrong credentials as well; then GET fails likewise.
    async fn ask(&self, parameters: &[(&str, &str)], query: &Query, deadline: Instant) -> Result<Reply, SourceError> {
        let parameters = self.with_parameters(parameters);
        let url = &self.query_range;
        let mut turned_away = None;
        if !self.get_only.load(Ordering::Relaxed) {
            let post = HttpRequest { method: Method::POST, url, content: Content::Form(&parameters), splits: false };
            let taken = |reply: &HttpReply| match reply.status {
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED | StatusCode::FORBIDDEN => Ok(self.read(reply, query)),
                _ => self.read(reply, query).map(Ok),
            };
            match self.client.ask(&post, deadline, taken).await? {
                Ok(reply) => return Ok(reply),
                Err(error) => turned_away = Some(error),
            }
        }
        let get = HttpRequest { method: Method::GET, url, content: Content::Query(&parameters), splits: false };
        match (self.client.ask(&get, deadline, |reply| self.read(reply, query)).await, turned_away) {
            (Ok(reply), _) => {
                self.get_only.store(true, Ordering::Relaxed);
                Ok(reply)
            }
            (Err(error), None) => Err(error),
            (Err(error), Some(first)) if error == first => Err(error),
            (Err(error), Some(first @ SourceError::Account(_))) => Err(first.with(&format!("; asked once more by GET: {error}"))),
            (Err(error), Some(first)) => Err(error.with(&format!("; POST had been turned away: {first}"))),
        }
    }

    /// Makes series or an error of a reply.
    fn read(&self, reply: &HttpReply, query: &Query) -> Result<Reply, SourceError> {
        if reply.status != StatusCode::OK {
            return Err(failed(reply));
        }
        let wire::MatrixReply { reply: mut parsed, missing } =
            wire::parse(&reply.body, query.window, query.buckets).map_err(|error| match error {
                wire::WireError::Failed { kind, text } => by_kind(&kind, &text),
                wire::WireError::TooManySeries => SourceError::TooManySeries(MAX_SERIES),
                wire::WireError::Shape(message) => SourceError::Unreadable(message),
                wire::WireError::Json(error) => reply.unreadable(&error),
            })?;
        if !missing.is_empty() && !self.accept_partial {
            return Err(SourceError::partial(&escaped(&missing.join("; "), 2 * MAX_TEXT)));
        }
        parsed.warnings.splice(0..0, missing);
        Ok(parsed)
    }
}

/// The parameters that settings add to every query.
fn checked_parameters(params: &BTreeMap<String, ParameterSettings>) -> Result<Vec<(String, String)>, String> {
    for name in params.keys() {
        match name.as_str() {
            "" => return Err("params: a parameter has no name".to_owned()),
            "query" | "start" | "end" | "step" | "time" => {
                return Err(format!("params: `{name}` is set for each query, by its text and its window; leave it out"));
            }
            "timeout" => return Err("params: `timeout` is the source's own setting of that name; give it there".to_owned()),
            _ => {}
        }
    }
    Ok(params.iter().map(|(name, value)| (name.clone(), value.to_string())).collect())
}

impl StoreReader for Prometheus {
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        template::render(template)
    }

    fn advise(&self, query: &Query) -> Vec<Advice> {
        advice::advise(query)
    }

    fn depends_on_range(&self, text: &str) -> bool {
        template::depends_on_range(text)
    }

    fn is_pointwise(&self, text: &str) -> bool {
        !template::depends_on_range(text)
    }

    fn buckets(&self, query: &Query) -> Option<BoundsQuery> {
        buckets::buckets(query)
    }

    async fn fetch(&self, query: &Query, deadline: Instant) -> Result<Reply, SourceError> {
        let window = query.window;
        if window.step_seconds == 0 || window.is_empty() {
            return Err(SourceError::Refused("the window has no point; its end must be at least one step after its start".to_owned()));
        }
        if window.len() > MAX_POINTS {
            return Err(SourceError::Refused(format!(
                "{} points of a series are more than the {MAX_POINTS} that Prometheus answers with; use a larger step or a shorter window",
                window.len()
            )));
        }
        let (start, end, step) = (window.first_point().to_string(), window.end.to_string(), window.step_seconds.to_string());
        let parameters = [("query", query.text.as_str()), ("start", &start), ("end", &end), ("step", &step)];
        self.ask(&parameters, query, deadline).await
    }

    async fn metric_names(&self, deadline: Instant) -> Result<Vec<String>, SourceError> {
        let parameters = self.with_parameters(&[]);
        let request = HttpRequest { method: Method::GET, url: &self.names, content: Content::Query(&parameters), splits: false };
        let names = |reply: &HttpReply| {
            if reply.status != StatusCode::OK {
                return Err(failed(reply));
            }
            wire::parse_names(&reply.body).map_err(|error| reply.unreadable(&error))
        };
        self.client.ask(&request, deadline, names).await
    }
}

/// The store's own words.
fn said(kind: &str, text: &str) -> String {
    let text = escaped(text, MAX_TEXT);
    if kind.is_empty() { text } else { format!("{}: {text}", escaped(kind, 40)) }
}

/// What a failure's kind and words say is the cause. The kinds of a query that cannot be read and of one that is too long are one.
fn cause(kind: &str, words: &str) -> FailureCause {
    match kind {
        "timeout" => FailureCause::Timeout,
        // Prometheus: "parse error"; VictoriaMetrics: "cannot parse", "error when parsing".
        _ if words.to_ascii_lowercase().contains("pars") => FailureCause::Syntax,
        _ => FailureCause::Other,
    }
}

/// Makes an error of a failure that came with status 200; `canceled`, `unavailable` and `internal` are the store's troubles.
fn by_kind(kind: &str, words: &str) -> SourceError {
    let text = said(kind, words);
    match cause(kind, words) {
        FailureCause::Timeout => SourceError::GaveUp(text),
        _ if ["canceled", "unavailable", "internal"].contains(&kind) => SourceError::Unreachable(text),
        FailureCause::Syntax => SourceError::Syntax(text),
        FailureCause::Other => SourceError::Refused(text),
    }
}

/// Makes an error of a reply whose status is not 200.
fn failed(reply: &HttpReply) -> SourceError {
    let failure: Option<wire::PrometheusFailure> = serde_json::from_slice(&reply.body).ok();
    let parts = failure.as_ref().map(|failure| (failure.kind.as_deref().unwrap_or_default(), failure.error.as_str()));
    reply.failure(&FailureReport {
        text: &reply.words(parts.map(|(kind, words)| said(kind, words))),
        cause: parts.map(|(kind, words)| cause(kind, words)),
        credentials: "the source's credentials (bearer_token, basic, tenant, headers)",
        address: "`url`",
    })
}

/// Reads bytes as every kind of reply and lays them on a window: for fuzzing.
#[doc(hidden)]
pub fn read_any(bytes: &[u8], window: crate::source::Window) {
    let _ = wire::parse_names(bytes);
    for buckets in [false, true] {
        if let Ok(read) = wire::parse(bytes, window, buckets) {
            let _ = crate::source::histogram::read(&read.reply.series, 0..window.len());
        }
    }
}
