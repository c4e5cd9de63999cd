//! A real Prometheus over made-up samples, behind a relay that notes how long each of its replies took.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use reqwest::Client;
use serde_json::{Value, json};

use super::Failure;
use super::data::series;
use super::program::Program;

/// Gauges that are recorded, each of both arms.
pub(crate) const GAUGES: usize = 20;
/// Unix time at which the recording starts: 2025-06-03T10:00:00Z.
const START: i64 = 1_748_944_800;
/// Length of the recording, in hours: enough for the past of every window and for the same clock of the day before.
const HOURS: i64 = 50;
/// Time between scrapes, in seconds.
const SCRAPE: i64 = 30;
/// When the first window starts, in minutes from the start of the recording.
const FIRST_WINDOW: i64 = 46 * 60;
/// Length of each window, in minutes.
const WINDOW: i64 = 60;

/// A Prometheus that holds the recording.
pub(crate) fn prometheus(folder: &Path) -> Result<Program, Failure> {
    let path = |name: &str| folder.join(name);
    std::fs::write(path("samples.txt"), recording())?;
    std::fs::write(path("prometheus.yml"), "global: {}\n")?;
    let (samples, data) = (path("samples.txt"), path("data"));
    let made = Command::new("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).args([&samples, &data]).output();
    let made = made.map_err(|error| format!("promtool cannot be started ({error}); `make tools` installs it"))?;
    if !made.status.success() {
        return Err(format!("promtool made no blocks: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    Program::start(&path("prometheus.log"), "/-/ready", |address| {
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            // The samples are as old as they are; none is to be thrown away for it.
            .args(["--storage.tsdb.retention.time=100y", "--log.level=warn"]);
        command
    })
}

/// The recording as OpenMetrics text.
fn recording() -> String {
    let scrapes = (HOURS * 3600 / SCRAPE) as usize;
    let mut text = String::new();
    for gauge in 0..GAUGES {
        // A string takes everything.
        let _ = writeln!(text, "# TYPE bench_{gauge} gauge");
        for (seed, app) in ["baseline", "canary"].into_iter().enumerate() {
            for (scrape, value) in series(scrapes, (2 * gauge + seed) as u64, 120.0).into_iter().enumerate() {
                let _ = writeln!(text, "bench_{gauge}{{app=\"{app}\"}} {value} {}", START + 7 + scrape as i64 * SCRAPE);
            }
        }
    }
    text + "# EOF\n"
}

/// A request for a judgement of so many metrics over the `window`th window, under a name of its own: no two have a query in common unless
/// their windows are the same.
pub(crate) fn request(metrics: usize, window: i64, name: &str) -> Result<Value, Failure> {
    let metric = |i: usize| {
        let query = format!("{} * avg_over_time(bench_{}{{app=\"${{scope}}\"}}[${{step}}])", 1 + i / GAUGES, i % GAUGES);
        json!({ "name": format!("metric-{i}"), "direction": "increase", "queries": { "prometheus": query } })
    };
    let time = |minute: i64| Ok::<_, Failure>(jiff::Timestamp::from_second(START + 60 * minute)?.to_string());
    let start = FIRST_WINDOW + window;
    Ok(json!({
        "config": { "name": name, "metrics": (0..metrics).map(metric).collect::<Vec<_>>() },
        "baseline": { "scope": "baseline" },
        "canary": { "scope": "canary" },
        "window": { "start": time(start)?, "end": time(start + WINDOW)?, "step": "60s" }
    }))
}

/// From when to when a reply of the store took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

/// Hands requests on to the store.
#[derive(Clone)]
pub(crate) struct Relay {
    client: Client,
    store: Arc<str>,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Relay {
    /// A relay before a store, and where it listens.
    pub(crate) async fn before(store: &Program) -> Result<(Self, SocketAddr), Failure> {
        let relay = Self { client: Client::builder().no_proxy().no_gzip().build()?, store: store.url("").into(), spans: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(hand_on).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((relay, address))
    }

    /// The replies since this was last asked.
    pub(crate) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn hand_on(State(relay): State<Relay>, request: Request) -> Response {
    let start = Instant::now();
    let reply = relay.reply(request).await;
    let span = Span { start, end: Instant::now() };
    relay.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    reply.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

impl Relay {
    async fn reply(&self, request: Request) -> Result<Response, Failure> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = self.client.request(parts.method, format!("{}{target}", self.store));
        if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let reply = request.body(to_bytes(body, usize::MAX).await?).send().await?;
        let mut response = Response::builder().status(reply.status());
        if let Some(kind) = reply.headers().get(header::CONTENT_TYPE) {
            response = response.header(header::CONTENT_TYPE, kind);
        }
        Ok(response.body(Body::from(reply.bytes().await?))?)
    }
}
