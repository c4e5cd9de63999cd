//! `haldane serve`: the service from its settings to its graceful end.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::api::{self, AppState, SharedState};
use crate::kayenta;
use crate::settings::{InvalidSettings, LogFormat, Settings};
use crate::traces::Traces;

/// Time, beyond the longest judgement, for connections to end.
const GRACE: Duration = Duration::from_secs(5);

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
    let signals = Signals::listen().map_err(ServeError::Signals)?;
    let (configs, kayenta_configs) = (settings.configs.list().count(), settings.configs.kayentas().len());
    let sources = settings.sources.keys().cloned().collect::<Vec<_>>().join(", ");
    let service = Service::bind(settings).await?;
    let listening = service.address();
    info!(%listening, configs, kayenta_configs, sources, version = env!("CARGO_PKG_VERSION"), "listening on http://{listening}");
    service.until(signals.stop()).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
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
pub fn assemble_with_clock(mut settings: Settings, clock: Option<kayenta::Clock>) -> Result<(SharedState, Router), InvalidSettings> {
    settings.open_store()?;
    let (kayenta, bodies, configs, store) = (settings.kayenta.clone(), settings.bodies, settings.configs.clone(), settings.store.clone());
    let state = AppState::new(settings)?;
    let stopping = {
        let state = state.clone();
        Box::new(move || state.is_stopping())
    };
    let mut edge = kayenta::Edge::new(state.executions().clone(), &configs, kayenta, bodies, store, stopping)?;
    if let Some(clock) = clock {
        edge = edge.with_clock(clock);
    }
    let router = api::router_with(state.clone(), kayenta::router(Arc::new(edge)));
    Ok((state, router))
}

/// A service that has its address and is ready to answer.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    state: SharedState,
    router: Router,
    delay: Duration,
}

impl Service {
    /// Makes the metric stores ready and takes the address; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`ServeError`] when the settings do not work or the address is taken.
    pub async fn bind(settings: Settings) -> Result<Self, ServeError> {
        let (address, delay) = (settings.listen, settings.shutdown_delay);
        let (state, router) = assemble(settings)?;
        let cannot = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address, state, router, delay })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, and ends gracefully.
    pub async fn until(self, stop: impl Future<Output = ()> + Send + 'static) {
        bind_and_serve(self.listener, self.state, self.router, stop, self.delay).await;
    }

    /// Serves until a signal says to stop, and ends gracefully.
    ///
    /// # Errors
    /// [`ServeError::Signals`] when there is no way to be told.
    pub async fn until_signal(self) -> Result<(), ServeError> {
        let signals = Signals::listen().map_err(ServeError::Signals)?;
        self.until(signals.stop()).await;
        Ok(())
    }
}

/// Serves on `listener` until `stop` is ready; then says so on `/health/ready`, keeps serving for `delay`, takes no new connection,
/// and ends once what is in flight has ended or the deadline of a judgement has passed.
pub async fn bind_and_serve(
    listener: TcpListener,
    state: SharedState,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    delay: Duration,
) {
    let most = state.executions().options().default_deadline + GRACE;
    let (stopping, stopped) = oneshot::channel();
    let signal = {
        let state = state.clone();
        async move {
            stop.await;
            state.stop();
            info!(unfinished = state.executions().unfinished(), "stopping");
            tokio::time::sleep(delay).await;
            // Nobody listens any more if the server has broken off.
            let _ = stopping.send(Instant::now() + most);
        }
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(signal).into_future();
    let too_late = async {
        match stopped.await {
            Ok(end) => tokio::time::sleep_until(end).await,
            Err(_) => std::future::pending().await,
        }
    };
    let left_for_runs = tokio::select! {
        result = server => {
            if let Err(error) = result {
                warn!(%error, "the server broke off");
            }
            most
        }
        () = too_late => {
            warn!("some connections did not end in time and are cut");
            Duration::ZERO
        }
    };
    // Judgements that were started to be polled have no connection that waits for them.
    let left = state.executions().finish(left_for_runs).await;
    if left > 0 {
        warn!(left, "some judgements did not end in time; another replica that knows the key will run them again");
    }
    info!("stopped");
}

fn log_to_stderr(settings: &Settings, traces: Option<&Traces>) {
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
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

/// The signals that say to stop.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn stop(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn stop(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
