//! The HTTP client that every networked store shares: deadlines, retries, limits, credentials, TLS, proxies, a bound on what is read, and
//! errors without secrets.
//!
//! A store says what to ask and how to read the reply; [`Client::ask`] does the rest. Redirects are not followed, so a credential
//! reaches the configured host and no other.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AGE, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, Span, field, info_span};

use super::error::SourceError;
use super::query::Reply;
use super::text::{escaped, without_secret};
use crate::tls::install_provider;
use crate::traces;

mod limits;
mod names;
mod room;
mod settings;

pub use limits::{RateLimit, Traffic};
pub use settings::{BasicSettings, CertificateSettings, ClientSettings, ConnectionSettings, HeaderSettings, ProxySettings, SecretSettings};

use limits::RequestLimits;
use names::NameLookups;
use room::{ROOM, ReplyShare};
use settings::{Authorization, Secret, base_url, ca_certificates, open_authorization, open_headers, open_identity, open_proxy};

/// Time one try may take, from connecting to its last byte, where settings give none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest reply that is read, after decompression, where settings give none.
pub const DEFAULT_MAX_REPLY_BYTES: u64 = 16 << 20;
/// Requests to one source at the same time, where settings give none.
pub const DEFAULT_MAX_CONCURRENT: u32 = 16;

/// A host that does not answer a SYN is not worth the whole request's time.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries after the first, where settings give none, and at most.
const DEFAULT_RETRIES: u32 = 5;
const MOST_RETRIES: u32 = 10;
/// Tries after one that took too long: each costs the store as much as the first.
const RETRIES_AFTER_TIMEOUT: u32 = 1;
/// Before another try a client waits a random time up to the first, doubled with each, but no longer than the second: all five together
/// some 8 seconds, in which a store restarts.
const BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);
/// How long an idle connection is kept for the next request. Load balancers close theirs after a minute or more.
const IDLE_CONNECTION: Duration = Duration::from_secs(45);
/// What is read of a reply that reports a failure; its text is shortened further before anyone sees it.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How much of a reply that is not the store's is shown, in characters.
const MAX_EXCERPT: usize = 120;
/// How far a store's clock may differ from ours before it is worth a word.
const CLOCK_TOLERANCE_SECONDS: i64 = 30;

/// A client for one source.
#[derive(Debug)]
pub struct Client {
    source: String,
    store: &'static str,
    http: reqwest::Client,
    base: Url,
    headers: Vec<(HeaderName, Secret)>,
    authorization: Option<Authorization>,
    timeout: Duration,
    connect_timeout: Duration,
    max_reply_bytes: u64,
    retries: u32,
    rate_limit_headers: bool,
    limits: RequestLimits,
}

/// What to send.
#[derive(Debug, Clone)]
pub struct HttpRequest<'a> {
    /// Method.
    pub method: Method,
    /// Address; see [`Client::endpoint`].
    pub url: &'a Url,
    /// What is asked.
    pub content: Content<'a>,
    /// Whether who asks answers a failure of the store or the network by asking for less. Then it is told of the first; otherwise the
    /// same is asked again. Rate limits are waited for either way.
    pub splits: bool,
}

/// What a request asks.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// Parameters in the address.
    Query(&'a [(&'a str, &'a str)]),
    /// Parameters as a form in the body.
    Form(&'a [(&'a str, &'a str)]),
    /// A JSON document in the body.
    Json(&'a serde_json::Value),
}

/// What a reply is read into.
pub trait ReplyContent {
    /// How many values it holds, for the log.
    fn points(&self) -> usize;

    /// Adds something that a person should know of how it came.
    fn warn(&mut self, warning: String);

    /// Takes a secret of the request out of it, where it has words that a store may have taken from there.
    fn forget(&mut self, secret: &str) {
        let _ = secret;
    }
}

impl ReplyContent for Reply {
    fn points(&self) -> usize {
        self.series.iter().map(|series| series.values.len()).sum()
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn forget(&mut self, secret: &str) {
        for warning in &mut self.warnings {
            if let Some(clean) = without_secret(warning, secret) {
                *warning = clean;
            }
        }
    }
}

/// Of a reply that says that it must be asked for otherwise, with the error that it is where nothing else helps.
impl<T: ReplyContent> ReplyContent for Result<T, SourceError> {
    fn points(&self) -> usize {
        self.as_ref().map_or(0, ReplyContent::points)
    }

    fn warn(&mut self, warning: String) {
        if let Ok(answer) = self {
            answer.warn(warning);
        }
    }

    fn forget(&mut self, secret: &str) {
        match self {
            Ok(answer) => answer.forget(secret),
            Err(error) => *error = error.clone().without(secret),
        }
    }
}

impl ReplyContent for Vec<String> {
    fn points(&self) -> usize {
        self.len()
    }

    fn warn(&mut self, _: String) {}
}

/// What a server answered.
#[derive(Debug)]
pub struct HttpReply {
    /// Status.
    pub status: StatusCode,
    /// `Content-Type`, as sent; empty where there is none.
    pub content_type: String,
    /// Host and path that a redirect points to, without what could be secret in it.
    pub redirect: Option<String>,
    /// The body, decompressed; cut short where the status reports a failure.
    pub body: Vec<u8>,
    /// How long the server asks to wait.
    retry_after: Option<Duration>,
    rate_limit: Option<RateLimit>,
    /// Seconds that the server's clock is ahead of ours.
    clock_ahead: Option<i64>,
    /// The body's place among all that are being read.
    _room: ReplyShare<'static>,
}

/// What came of a try, for the log.
#[derive(Debug, Clone, Copy, Default)]
struct TryOutcome {
    status: Option<u16>,
    bytes: usize,
}

impl TryOutcome {
    fn note(self, span: &Span) {
        if let Some(status) = self.status {
            span.record("status", status).record("bytes", self.bytes);
        }
    }
}

/// A try that failed, and what to do about it.
struct FailedTry {
    error: SourceError,
    retry_after: Option<Duration>,
    /// The source's turn never came, so nothing was sent.
    unsent: bool,
}

impl HttpReply {
    /// The start of the body, fit for a message.
    #[must_use]
    pub fn beginning(&self, characters: usize) -> String {
        // Four bytes are the longest character; a cut one at the end becomes U+FFFD and is cut off by `take`.
        let head = self.body.get(..characters.saturating_mul(4)).unwrap_or(&self.body);
        escaped(&String::from_utf8_lossy(head), characters)
    }

    /// The words of a reply that reports a failure: what its store read out of it, or its beginning.
    #[must_use]
    pub fn words(&self, read: Option<String>) -> String {
        match read {
            Some(text) => text,
            None if self.body.is_empty() => "no text".to_owned(),
            None => format!("`{}`", self.beginning(MAX_EXCERPT).trim()),
        }
    }

    /// The error of a reply whose body is not the store's JSON.
    #[must_use]
    pub fn unreadable(&self, error: &serde_json::Error) -> SourceError {
        SourceError::Unreadable(format!(
            "{}, content type `{}`: {}; it begins `{}`",
            self.status.as_u16(),
            escaped(&self.content_type, 60),
            escaped(&error.to_string(), 200),
            self.beginning(MAX_EXCERPT)
        ))
    }

    /// The error of a reply whose status reports a failure.
    #[must_use]
    pub fn failure(&self, report: &FailureReport<'_>) -> SourceError {
        let (status, text) = (self.status, report.text);
        match (status.as_u16(), report.cause) {
            (400 | 413 | 422, Some(FailureCause::Syntax)) => SourceError::Syntax(text.to_owned()),
            (400 | 413 | 422, Some(_)) => SourceError::Refused(text.to_owned()),
            (401 | 403, _) => SourceError::Account(format!("{status}: check {}; it says {text}", report.credentials)),
            (404, None) => SourceError::Account(format!(
                "{status}: no query API at this address; check the source's {}; it says {text}",
                report.address
            )),
            (300..=399, _) => SourceError::Account(format!(
                "{status}: it points to {}, and redirects are not followed; put the final address into the source's {}",
                self.redirect.as_deref().unwrap_or("nowhere"),
                report.address
            )),
            (429, _) => SourceError::RateLimited(format!("{status}: {text}")),
            (504, _) | (500..=599, Some(FailureCause::Timeout)) => SourceError::GaveUp(format!("{status}: {text}")),
            (408 | 500..=599, _) => SourceError::Unreachable(format!("{status}: {text}")),
            (400..=499, _) => SourceError::Refused(format!("{status}: {text}")),
            _ => SourceError::Unreadable(format!("{status}, content type `{}`; it says {text}", escaped(&self.content_type, 60))),
        }
    }
}

/// What a store's reader makes of a reply whose status reports a failure.
#[derive(Debug, Clone, Copy)]
pub struct FailureReport<'a> {
    /// The reply's words, from [`HttpReply::words`].
    pub text: &'a str,
    /// What it says is the cause; `None` for a body that is not in the store's format, such as a proxy's.
    pub cause: Option<FailureCause>,
    /// What to check where it turns the source away.
    pub credentials: &'a str,
    /// The settings that hold its address.
    pub address: &'a str,
}

/// What a store says is the cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// It cannot read the query's text.
    Syntax,
    /// The query took it too long.
    Timeout,
    /// Anything else.
    Other,
}

impl Client {
    /// A client of `source` for the `store` (its kind, such as `prometheus`) at `url`. Reads the secrets and the certificates; asks
    /// nothing yet.
    ///
    /// # Errors
    /// A message that names the setting and the remedy.
    pub fn open(source: &str, store: &'static str, url: &str, settings: &ClientSettings) -> Result<Self, String> {
        install_provider();
        let base = base_url(url)?;
        let timeout = settings.timeout.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.is_zero() {
            return Err("timeout: 0 s leaves no time for an answer; leave it out for 30s".to_owned());
        }
        let max_reply_bytes = settings.max_reply_bytes.unwrap_or(DEFAULT_MAX_REPLY_BYTES);
        if max_reply_bytes == 0 {
            return Err("max_reply_bytes: 0 leaves nothing to read; leave it out for 16 MiB".to_owned());
        }
        let connection = &settings.connection;
        let connect_timeout = connection.connect_timeout.map_or(DEFAULT_CONNECT_TIMEOUT, |period| period.duration());
        if connect_timeout.is_zero() {
            return Err("connection.connect_timeout: 0 s leaves no time to connect; leave it out for 5s".to_owned());
        }
        let retries = connection.retries.unwrap_or(DEFAULT_RETRIES);
        if retries > MOST_RETRIES {
            return Err(format!("connection.retries: {retries} are more than {MOST_RETRIES}, which would keep down a store that is down"));
        }
        let limits = RequestLimits::new(settings.max_concurrent.unwrap_or(DEFAULT_MAX_CONCURRENT).max(1), connection.requests_per_second)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("haldane/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(connect_timeout)
            .dns_resolver(NameLookups::shared())
            .pool_idle_timeout(IDLE_CONNECTION)
            .gzip(true);
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_only(ca_certificates(path)?);
        } else if base.scheme() == "http" && connection.proxy.is_none() {
            // Without redirects TLS is never spoken, so a container without CA certificates will do.
            builder = builder.tls_certs_only([]);
        }
        if let Some(certificate) = &connection.client_certificate {
            builder = builder.identity(open_identity(certificate)?);
        }
        if let Some(proxy) = &connection.proxy {
            builder = builder.proxy(open_proxy(proxy)?);
        }
        let http = builder.build().map_err(|error| match (&settings.ca_file, &connection.client_certificate) {
            (_, Some(_)) => format!("connection.client_certificate: cannot be used: {}", root_cause(&error)),
            (Some(path), None) => format!("ca_file: `{}` cannot be used: {}", path.display(), root_cause(&error)),
            (None, None) => {
                format!("no TLS client can be made: {}; name the certificate authority's PEM file in `ca_file`", root_cause(&error))
            }
        })?;
        Ok(Self {
            source: source.to_owned(),
            store,
            http,
            headers: open_headers(settings)?,
            authorization: open_authorization(settings)?,
            base,
            timeout,
            connect_timeout,
            max_reply_bytes,
            retries,
            rate_limit_headers: settings.rate_limit_headers,
            limits,
        })
    }

    /// Address of `path` (such as `["api", "v1", "query"]`) below the store's URL, which may name the API's version, the first two of
    /// `path`, already: many write it so.
    #[must_use]
    pub fn endpoint(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        let said: Vec<&str> = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty()).collect();
        let path = match path {
            [api, version, rest @ ..] if said.ends_with(&[api, version]) => rest,
            path => path,
        };
        // Only a URL such as `mailto:` has no path; `base_url` lets http and https through alone.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// How the source's requests went.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.limits.traffic()
    }

    /// Asks until `deadline`, and again where the store or the network failed: after a random time that grows with each try, or
    /// when the store says. `read` makes an answer or an error of a reply, whatever its status.
    ///
    /// # Errors
    /// That of the last try: those of `read`, and [`SourceError::Unreachable`], [`SourceError::RateLimited`],
    /// [`SourceError::TimedOut`], [`SourceError::TooLarge`], and [`SourceError::Unreadable`] for a reply that cannot be decompressed.
    pub async fn ask<T: ReplyContent>(
        &self,
        request: &HttpRequest<'_>,
        deadline: Instant,
        read: impl Fn(&HttpReply) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let span = info_span!(
            "upstream",
            account = self.source,
            store = self.store,
            status = field::Empty,
            tries = field::Empty,
            bytes = field::Empty,
            points = field::Empty,
        );
        self.ask_again(request, deadline, read).instrument(span).await
    }

    async fn ask_again<T: ReplyContent>(
        &self,
        request: &HttpRequest<'_>,
        deadline: Instant,
        read: impl Fn(&HttpReply) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let began = Instant::now();
        self.limits.begin();
        let (mut tries, mut timeouts) = (0_u32, 0_u32);
        loop {
            tries += 1;
            let mut outcome = TryOutcome::default();
            let tried = self.attempt(request, deadline, tries > 1, &mut outcome, &read).await;
            // Once, at the end: a span that is told twice shows both.
            let note = || outcome.note(Span::current().record("tries", tries));
            let failed = match tried {
                Ok(answer) => {
                    note();
                    Span::current().record("points", answer.points());
                    tracing::debug!(duration_ms = millis(began.elapsed()), "read");
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            timeouts += u32::from(matches!(failed.error, SourceError::TimedOut { .. }));
            let again = failed.error.is_transient()
                && !failed.unsent
                && tries <= self.retries
                && (!request.splits || matches!(failed.error, SourceError::RateLimited(_)))
                && timeouts <= RETRIES_AFTER_TIMEOUT
                && Instant::now() < deadline;
            let (pause, too_late) = self.pause_before(tries, failed.retry_after, deadline);
            let spent = again && !too_late && !self.limits.may_retry();
            if !again || too_late || spent {
                note();
                tracing::info!(duration_ms = millis(began.elapsed()), reason = failed.error.reason(), "not read");
                tracing::debug!(error = %failed.error, "not read");
                let error = failed.error.after_tries(tries, began.elapsed(), again && too_late, failed.retry_after);
                return Err(if spent { error.with("; too many of the source's requests fail for more tries") } else { error });
            }
            tracing::debug!(error = %failed.error, pause_ms = millis(pause), "asking again");
            sleep(pause).await;
        }
    }

    /// How long to wait before the next try, and whether that is beyond the deadline.
    fn pause_before(&self, tries: u32, retry_after: Option<Duration>, deadline: Instant) -> (Duration, bool) {
        let most = BACKOFF.saturating_mul(1 << (tries - 1).min(10)).min(LONGEST_BACKOFF);
        let jitter = most.mul_f64(rand::random_range(0.0..=1.0));
        // Who was told the same time must not come back together.
        let pause = retry_after.unwrap_or_default().saturating_add(jitter);
        (pause, Instant::now().checked_add(pause).is_none_or(|at| at >= deadline))
    }

    /// One try, once the source has a place for it.
    async fn attempt<T: ReplyContent>(
        &self,
        request: &HttpRequest<'_>,
        deadline: Instant,
        again: bool,
        outcome: &mut TryOutcome,
        read: impl Fn(&HttpReply) -> Result<T, SourceError>,
    ) -> Result<T, FailedTry> {
        let turn = self.limits.turn(request.url.path(), deadline, again).await.map_err(|error| FailedTry {
            error,
            retry_after: None,
            unsent: true,
        })?;
        let bare = |error| FailedTry { error, retry_after: None, unsent: false };
        let mut secrets = Vec::new();
        let reply = self.send(request, deadline, &mut secrets).await.map_err(bare)?;
        *outcome = TryOutcome { status: Some(reply.status.as_u16()), bytes: reply.body.len() };
        if turn.is_probe && reply.status.is_success() {
            self.limits.reopen(request.url.path());
        }
        if let Some(said) = &reply.rate_limit {
            self.limits.note(request.url.path(), said);
        }
        match read(&reply) {
            Ok(mut answer) => {
                secrets.iter().for_each(|secret| answer.forget(secret));
                if let Some(ahead) = reply.clock_ahead.filter(|ahead| ahead.abs() > CLOCK_TOLERANCE_SECONDS) {
                    let how = if ahead > 0 { "ahead of" } else { "behind" };
                    answer.warn(format!(
                        "the store's clock is {} s {how} ours: which points are the newest, and the window itself, may be off by as much",
                        ahead.unsigned_abs()
                    ));
                }
                Ok(answer)
            }
            Err(error) => {
                // A store, or a proxy before it, may quote the request.
                let error = secrets.iter().fold(error, |error, secret| error.without(secret));
                let limited = matches!(error, SourceError::RateLimited(_));
                let reset = reply.rate_limit.as_ref().filter(|said| limited && said.remaining == 0).map(|said| said.reset);
                let retry_after = reply.retry_after.or(reset);
                if let (true, Some(pause)) = (limited, retry_after) {
                    self.limits.pause(request.url.path(), pause);
                }
                Err(FailedTry { error, retry_after, unsent: false })
            }
        }
    }

    /// Sends a request and reads the reply, whatever its status. `secrets` are those that it carries.
    async fn send(&self, request: &HttpRequest<'_>, deadline: Instant, secrets: &mut Vec<String>) -> Result<HttpReply, SourceError> {
        let mut url = request.url.clone();
        if let Content::Query(parameters) = request.content
            && !parameters.is_empty()
        {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut built = self.http.request(request.method.clone(), url).header(ACCEPT, HeaderValue::from_static("application/json"));
        match request.content {
            Content::Query(_) => {}
            Content::Form(parameters) => built = built.form(parameters),
            Content::Json(document) => built = built.json(document),
        }
        for (name, secret) in &self.headers {
            let value = secret.read().await?;
            built = built.header(name.clone(), sensitive(name, &value)?);
            secrets.push(value);
        }
        match &self.authorization {
            Some(Authorization::Bearer(token)) => {
                let token = token.read().await?;
                built = built.header(AUTHORIZATION, sensitive(&AUTHORIZATION, &format!("Bearer {token}"))?);
                secrets.push(token);
            }
            Some(Authorization::Basic { username, password }) => {
                let password = password.read().await?;
                secrets.push(BASE64.encode(format!("{username}:{password}")));
                built = built.basic_auth(username, Some(&password));
                secrets.push(password);
            }
            None => {}
        }
        let began = Instant::now();
        let end = deadline.min(began + self.timeout);
        let late = |stage: String| SourceError::TimedOut { after: round(began.elapsed()), stage };
        let response = match timeout_at(end, built.headers(traces::passed_on()).send()).await {
            Ok(response) => response.map_err(|error| self.classify(&error))?,
            Err(_) => return Err(late("no reply had begun".to_owned())),
        };
        let mut received = 0;
        match timeout_at(end, self.read(response, &mut received)).await {
            Ok(reply) => reply,
            Err(_) => Err(late(format!("its reply was not complete, {received} bytes had come"))),
        }
    }

    /// Reads a reply, and stops as soon as it is longer than allowed.
    async fn read(&self, mut response: reqwest::Response, received: &mut usize) -> Result<HttpReply, SourceError> {
        let status = response.status();
        let headers = response.headers();
        let header = |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let redirect = if status.is_redirection() { header(LOCATION).map(|to| self.redirect_target(&to)) } else { None };
        let retry_after = header(RETRY_AFTER).and_then(|value| delay(&value));
        let clock_ahead = if headers.contains_key(AGE) { None } else { header(DATE).and_then(|value| seconds_from_now(&value)) };
        let rate_limit = if self.rate_limit_headers { rate_limit(headers) } else { None };
        let bounded = status.is_success();
        if bounded && response.content_length().is_some_and(|length| length > self.max_reply_bytes) {
            return Err(SourceError::TooLarge(self.max_reply_bytes));
        }
        let mut body = Vec::new();
        let mut room = ReplyShare::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.classify(&error))? {
            if bounded && (body.len() as u64).saturating_add(chunk.len() as u64) > self.max_reply_bytes {
                return Err(SourceError::TooLarge(self.max_reply_bytes));
            }
            room.grow(&ROOM, body.len() + chunk.len()).await;
            body.extend_from_slice(&chunk);
            *received = body.len();
            if !bounded && body.len() >= MAX_ERROR_BYTES {
                body.truncate(MAX_ERROR_BYTES);
                break;
            }
        }
        Ok(HttpReply { status, content_type, redirect, body, retry_after, rate_limit, clock_ahead, _room: room })
    }

    /// Host and port, the only part of the address that messages show.
    fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn redirect_target(&self, location: &str) -> String {
        self.base.join(location).map_or_else(
            |_| "an address that is none".to_owned(),
            |url| {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                escaped(&format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()), 200)
            },
        )
    }

    /// What went wrong, in words that hold neither the URL nor a credential.
    fn classify(&self, error: &reqwest::Error) -> SourceError {
        let host = self.host();
        let cause = root_cause(error);
        if error.is_timeout() {
            return SourceError::Unreachable(format!("no connection to {host} within {} s", self.connect_timeout.as_secs_f64()));
        }
        if error.is_dns() {
            return SourceError::Unreachable(format!("the host name of {host} cannot be resolved: {cause}"));
        }
        let mut kind = None;
        let mut link: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(current) = link {
            if let Some(io) = current.downcast_ref::<io::Error>() {
                kind = Some(io.kind());
                if let Some(tls) = tls_error(io) {
                    return SourceError::Unreachable(format!(
                        "no TLS connection to {host}: {tls}; where its certificate authority is private, name its PEM file in `ca_file`"
                    ));
                }
            }
            link = current.source();
        }
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => SourceError::Unreachable(format!("{host} refused the connection")),
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) if error.is_decode() => {
                SourceError::Unreadable(format!("it cannot be decompressed: {cause}"))
            }
            _ if error.is_connect() => SourceError::Unreachable(format!("no connection to {host}: {cause}")),
            _ => SourceError::Unreachable(format!("{host} broke off the connection: {cause}")),
        }
    }
}

/// The TLS error that an I/O error carries, perhaps in another I/O error. `source()` passes over what is carried.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<rustls::Error>().or_else(|| tls_error(inner.downcast_ref::<io::Error>()?))
}

/// The innermost cause of an error; the outer ones only say "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    let mut text = String::new();
    while let Some(current) = cause {
        text = current.to_string();
        cause = current.source();
    }
    if text.is_empty() { "the request could not be made".to_owned() } else { escaped(&text, 300) }
}

/// A header's value, kept out of debug output.
fn sensitive(name: &HeaderName, value: &str) -> Result<HeaderValue, SourceError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SourceError::Unreachable(format!("the value for the header `{name}` has characters that no header may have")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Shown to people, who need no more digits.
fn round(duration: Duration) -> Duration {
    Duration::from_millis(millis(duration) / 10 * 10)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds from now until an HTTP date.
fn seconds_from_now(date: &str) -> Option<i64> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.trim()).ok()?;
    let now = Timestamp::try_from(SystemTime::now()).ok()?;
    Some(at.as_second().saturating_sub(now.as_second()))
}

/// The time that `Retry-After` says, in seconds or as a date (RFC 9110, 10.2.3).
fn delay(value: &str) -> Option<Duration> {
    let value = value.trim();
    match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => seconds_from_now(value).map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
    }
}

/// What the headers say of the store's limit. Format: <https://docs.datadoghq.com/api/latest/rate-limits/>.
fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    Some(RateLimit {
        // A limit of nothing, or in no time, says nothing of the next period.
        limit: number("x-ratelimit-limit").filter(|limit| *limit > 0),
        period: number("x-ratelimit-period").filter(|seconds| *seconds > 0).map(Duration::from_secs),
        remaining: number("x-ratelimit-remaining")?,
        reset: Duration::from_secs(number("x-ratelimit-reset")?),
        name: text("x-ratelimit-name").map(|name| escaped(name, 60)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_read_in_seconds_and_as_a_date() {
        assert_eq!(delay(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(delay("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO), "what is past is now");
        let ahead = Timestamp::now() + jiff::SignedDuration::from_secs(100);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&ahead).unwrap();
        assert!(delay(&date).unwrap().as_secs().abs_diff(100) <= 1, "{date}");
        for none in ["", "-1", "soon", "1.5"] {
            assert_eq!(delay(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_said_of_the_limit_needs_what_is_left_and_until_when() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        let all = headers(&[
            ("x-ratelimit-limit", "1600"),
            ("x-ratelimit-period", "3600"),
            ("x-ratelimit-remaining", "12"),
            ("x-ratelimit-reset", "30"),
            ("x-ratelimit-name", "batch_query"),
        ]);
        let expected = RateLimit {
            limit: Some(1600),
            period: Some(Duration::from_secs(3600)),
            remaining: 12,
            reset: Duration::from_secs(30),
            name: Some("batch_query".to_owned()),
        };
        assert_eq!(rate_limit(&all), Some(expected));
        assert_eq!(rate_limit(&headers(&[("x-ratelimit-remaining", "12")])), None);
        assert_eq!(rate_limit(&headers(&[("x-ratelimit-remaining", "-1"), ("x-ratelimit-reset", "30")])), None);
    }
}
