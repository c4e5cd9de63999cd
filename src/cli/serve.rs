//! `haldane serve`: the service from its settings to its graceful end.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower_http::cors::CorsLayer;
use tracing::{info, warn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::reload::{Reload, WatchedFiles};
use crate::access;
use crate::api::{self, AppState, SharedState};
use crate::kayenta::{self, SharedEdge};
use crate::server::logging::{self, LogWriter};
use crate::server::signals::Signals;
use crate::server::{ConnectionLimits, HttpServer, TlsIdentity, TlsSettings, leftovers};
use crate::settings::{DEFAULT_SHUTDOWN_GRACE, InvalidSettings, LogFormat, Settings};
use crate::traces::Traces;

/// Time, beyond what the end may take, after which the process ends however busy it is.
const LAST_RESORT: Duration = Duration::from_secs(2);
/// Time for the last log lines to be written.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why the service did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its settings do not work.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// It cannot listen.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// It cannot send spans.
    #[error("--otlp-endpoint: {0}")]
    Traces(String),
    /// It cannot be told to stop.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

/// Serves until a signal says to stop.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub async fn serve(mut settings: Settings) -> Result<(), ServeError> {
    let traces = settings.otlp_endpoint.as_deref().map(Traces::to).transpose();
    let traces = traces.map_err(ServeError::Traces)?;
    log_to_stderr(&settings, traces.as_ref());
    settings.open_store()?;
    if settings.id_key_is_random && settings.store.is_none() {
        warn!("no --id-key-file: ids of judgements end with this process, and no other replica can answer for them");
    }
    for entry in settings.configs.replaced() {
        let file = entry.file.as_deref().unwrap_or_else(|| std::path::Path::new("")).display();
        info!(config = %entry.config.name, %file, "a file replaces the shipped config of this name");
    }
    if settings.sources.is_empty() {
        warn!("no metric store is configured: only requests that carry their samples can be judged; see --prometheus");
    }
    if let Some(store) = &settings.store {
        info!(%store, "judgements are kept");
    }
    let signals = Signals::listen(settings.shutdown_delay + settings.shutdown_grace + LAST_RESORT).map_err(ServeError::Signals)?;
    let (configs, kayenta_configs) = (settings.configs.list().count(), settings.configs.kayentas().len());
    let sources = settings.sources.keys().cloned().collect::<Vec<_>>().join(", ");
    let service = Service::bind(settings).await?;
    let listening = service.address();
    let scheme = if service.options.tls.is_some() { "https" } else { "http" };
    info!(%listening, configs, kayenta_configs, sources, version = env!("CARGO_PKG_VERSION"), "listening on {scheme}://{listening}");
    match service.state.access().known_tokens() {
        Some(0) => warn!("the tokens file holds no token: nobody may ask anything"),
        Some(tokens) => info!(tokens, "each request needs a token"),
        None if !listening.ip().is_loopback() => warn!(
            "ANYBODY who can reach {listening} may judge, and read from every metric store: give --tokens-file, or let a network policy or a \
             proxy keep others out"
        ),
        None => {}
    }
    let reloading = tokio::spawn(service.reload.clone().whenever(signals.clone()));
    service.until(signals.stop()).await;
    reloading.abort();
    if let Some(traces) = traces {
        traces.finish().await;
    }
    logging::flush(LAST_WORDS);
    Ok(())
}

/// Makes the metric stores ready, and the routes of every edge. Nothing is asked of a store yet.
///
/// # Errors
/// [`InvalidSettings`] when the settings of a store, or a config, do not work.
pub fn assemble(settings: Settings) -> Result<(SharedState, Router), InvalidSettings> {
    assemble_with_clock(settings, None)
}

/// The same, with another clock for what Kayenta's API lets depend on the time.
///
/// # Errors
/// Those of [`assemble`].
pub fn assemble_with_clock(settings: Settings, clock: Option<kayenta::Clock>) -> Result<(SharedState, Router), InvalidSettings> {
    let ServiceParts { state, router, .. } = ServiceParts::of(settings, clock)?;
    Ok((state, router))
}

/// What a service consists of.
struct ServiceParts {
    state: SharedState,
    edge: SharedEdge,
    router: Router,
}

/// What the system keeps of an answer that is not taken. Left to itself it keeps megabytes, and says that it takes more only once a third of
/// them has gone, so that a caller who takes an answer slowly looks like one who does not take it at all.
const SEND_BUFFER: u32 = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Takes an address.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections that are accepted have the listener's.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl ServiceParts {
    fn of(mut settings: Settings, clock: Option<kayenta::Clock>) -> Result<Self, InvalidSettings> {
        settings.open_store()?;
        let (kayenta, bodies, configs, store) =
            (settings.kayenta.clone(), settings.bodies, settings.configs.clone(), settings.store.clone());
        let state = AppState::new(settings)?;
        let stopping = {
            let state = state.clone();
            Box::new(move || state.is_stopping())
        };
        let intake = state.intake().clone();
        let store = store.map(|store| store.within(intake.clone()));
        let mut edge = kayenta::Edge::new(state.executions().clone(), &configs, kayenta, bodies, intake, store, stopping)?;
        if let Some(clock) = clock {
            edge = edge.with_clock(clock);
        }
        let edge = Arc::new(edge);
        let router = guarded(api::router_with(state.clone(), kayenta::router(Arc::clone(&edge))), &state);
        Ok(Self { state, edge, router })
    }
}

/// The routes behind what is done before them: credentials are taken out of the address, which may change where it leads, and pages of other
/// origins are answered as configured.
fn guarded(router: Router, state: &SharedState) -> Router {
    let inner = ServiceBuilder::new().layer(from_fn_with_state(Arc::clone(state.access()), access::admit)).service(router);
    let outer = Router::new().fallback_service(inner).layer(from_fn(leftovers::discard));
    let origins = state.access().cors_origins();
    if origins.is_empty() {
        return outer;
    }
    let named = |name| HeaderName::from_static(name);
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, named("prefer"), named("x-requested-with")])
        .expose_headers([header::LOCATION, header::RETRY_AFTER, named("x-request-id")])
        .max_age(Duration::from_secs(3600));
    outer.layer(cors)
}

/// How a service serves and ends.
#[derive(Debug)]
struct ServeOptions {
    limits: ConnectionLimits,
    tls: Option<Arc<TlsIdentity>>,
    delay: Duration,
    grace: Duration,
}

/// A service that has its address and is ready to answer.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    state: SharedState,
    router: Router,
    reload: Reload,
    options: ServeOptions,
}

impl Service {
    /// Makes the metric stores ready and takes the address; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`ServeError`] when the settings do not work or the address is taken.
    pub async fn bind(settings: Settings) -> Result<Self, ServeError> {
        let address = settings.listen;
        let credentials = settings.access.tokens_file.iter().cloned().chain(settings.tls.iter().flat_map(TlsSettings::files));
        let watched = WatchedFiles { credentials: credentials.collect(), configs: settings.configs_folder.clone() };
        let known = watched.stamps();
        let tls = settings.tls.clone().map(|settings| TlsIdentity::open(settings).map(Arc::new)).transpose();
        let tls = tls.map_err(|error| InvalidSettings::of_setting("tls_cert", error))?;
        let (delay, grace) = (settings.shutdown_delay, settings.shutdown_grace);
        let options = ServeOptions { limits: settings.connections, tls: tls.clone(), delay, grace };
        let ServiceParts { state, edge, router } = ServiceParts::of(settings, None)?;
        let cannot = |source| ServeError::Listen { address, source };
        let listener = listen(address).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let reload = Reload { state: state.clone(), edge, tls, watched, known };
        Ok(Self { listener, address, state, router, reload, options })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, and ends gracefully.
    pub async fn until(self, stop: impl Future<Output = ()> + Send + 'static) {
        serve_and_end(self.listener, self.state, self.router, stop, self.options).await;
    }
}

/// Serves on `listener` until `stop` is ready; then says so on `/health/ready`, keeps serving for `delay`, takes no new connection,
/// and ends once what is in flight has ended, or is cut off.
pub async fn bind_and_serve(
    listener: TcpListener,
    state: SharedState,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    delay: Duration,
) {
    let options = ServeOptions { limits: ConnectionLimits::default(), tls: None, delay, grace: DEFAULT_SHUTDOWN_GRACE };
    serve_and_end(listener, state, router, stop, options).await;
}

async fn serve_and_end(listener: TcpListener, state: SharedState, router: Router, stop: impl Future<Output = ()>, options: ServeOptions) {
    let server = HttpServer::new(listener, router, options.limits, state.connections().clone(), options.tls);
    let stopped = async {
        stop.await;
        state.stop();
        info!(unfinished = state.executions().unfinished(), "stopping");
        tokio::time::sleep(options.delay).await;
    };
    let connections = server.until(stopped).await;
    let end = Instant::now() + options.grace;
    let cut = connections.end_by(end).await;
    if cut > 0 {
        warn!(connections = cut, "some connections did not end in time and are cut");
    }
    // Judgements that were started to be polled have no connection that waits for them.
    let left = state.executions().finish(end.saturating_duration_since(Instant::now())).await;
    if left > 0 {
        warn!(left, "some judgements did not end in time; another replica that knows the key will run them again");
    }
    info!("stopped");
}

fn log_to_stderr(settings: &Settings, traces: Option<&Traces>) {
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(LogWriter).log_internal_errors(false);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter(filter).boxed(),
    };
    let installed = tracing_subscriber::registry().with(lines).with(traces.map(Traces::layer)).try_init();
    // Somebody else, a test for instance, has decided where log lines go.
    if let Err(error) = installed {
        tracing::debug!(%error, "logging was set up before");
    }
}
