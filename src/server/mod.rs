//! Connections of callers: taking them, bounding them, and ending them.
//!
//! Whatever callers do, the process keeps descriptors for everything else, answers those who ask, and ends when it is told to: the head of a
//! request, a connection without one, and an answer that nobody takes have limits of time ([`ConnectionLimits`]); a body has a pace
//! (`body`); connections are counted in all and for each address, and the one without a request the longest makes room.
//!
//! ```text
//! mod ──▶ connection ──▶ stream, roster ──▶ pulse ──▶ limits, counts ──▶ logging      leftovers ──▶ body, connection      signals, tls
//! ```

pub(crate) mod body;
mod connection;
mod counts;
mod descriptors;
pub(crate) mod leftovers;
mod limits;
pub mod logging;
mod pulse;
mod roster;
pub(crate) mod signals;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

pub use body::BodyPace;
pub(crate) use connection::Peer;
pub use counts::ConnectionCounts;
pub use limits::ConnectionLimits;
pub use tls::{TlsIdentity, TlsSettings};

use connection::ConnectionContext;
use counts::Closing;
use roster::Roster;

/// Pauses after an error of accepting connections: the first, and the longest.
const BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// Time between two log lines about connections that could not be had.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Connections that are told at the same time that there is no room, and the time for each.
const REFUSALS: usize = 16;
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// A server that has its address.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    context: Arc<ConnectionContext>,
    roster: Roster,
    draining: watch::Sender<bool>,
    refusals: Arc<Semaphore>,
}

impl HttpServer {
    /// A server of `router`. With `tls`, it speaks nothing else.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        router: Router,
        limits: ConnectionLimits,
        counts: ConnectionCounts,
        tls: Option<Arc<TlsIdentity>>,
    ) -> Self {
        let (most, most_per_peer) = limits.in_this_process();
        tracing::debug!(most, most_per_peer, "connections are bounded");
        let (sender, draining) = watch::channel(false);
        let roster = Roster::new((most, most_per_peer), counts.clone());
        let context = Arc::new(ConnectionContext { router, limits, counts, tls, draining });
        Self { listener, context, roster, draining: sender, refusals: Arc::new(Semaphore::new(REFUSALS)) }
    }

    /// Takes connections until `stop` is ready, closes the address, and tells every connection to end.
    pub async fn until(self, stop: impl Future<Output = ()>) -> OpenConnectionTasks {
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let mut troubles = AcceptTroubles::default();
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
            };
            match accepted {
                Ok((socket, address)) => {
                    troubles.end();
                    self.take(socket, address, &mut tasks);
                }
                Err(error) if is_the_callers(&error) => {}
                Err(error) => {
                    self.context.counts.accept_failed();
                    // Most likely there are no descriptors left.
                    self.roster.make_room();
                    let pause = sleep(troubles.note(&error));
                    tokio::select! {
                        () = &mut stop => break,
                        () = pause => {}
                    }
                }
            }
        }
        self.draining.send_replace(true);
        OpenConnectionTasks(tasks)
    }

    fn take(&self, socket: TcpStream, address: SocketAddr, tasks: &mut JoinSet<()>) {
        match self.roster.enter(address.ip()) {
            Some(place) => {
                self.context.counts.accepted();
                tasks.spawn(connection::serve(Arc::clone(&self.context), socket, place));
            }
            None => {
                self.context.counts.closed(Closing::Refused);
                // Over TLS there is no word that would be understood, and with too many at once none that is waited for.
                if let (None, Ok(turn)) = (&self.context.tls, Arc::clone(&self.refusals).try_acquire_owned()) {
                    tasks.spawn(async move {
                        let _ = timeout(REFUSAL_TIME, refuse(socket)).await;
                        drop(turn);
                    });
                }
            }
        }
    }
}

/// The connections that are left when a server stops. Dropped, they are cut.
#[derive(Debug)]
pub struct OpenConnectionTasks(JoinSet<()>);

impl OpenConnectionTasks {
    /// Waits for their end until `deadline` and cuts those that are left. Returns how many.
    pub async fn end_by(mut self, deadline: Instant) -> usize {
        let all = async { while self.0.join_next().await.is_some() {} };
        let _ = timeout_at(deadline, all).await;
        self.0.len()
    }
}

/// An error of one caller, who went away while it was accepted.
fn is_the_callers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Says that there is no room, and waits a moment so that it is read.
async fn refuse(mut socket: TcpStream) -> io::Result<()> {
    const BODY: &str = "{\"type\":\"urn:haldane:problem:overloaded\",\"title\":\"The service is busy\",\"status\":503,\
        \"detail\":\"too many connections are open, and each has a request; ask again in a few seconds\",\
        \"message\":\"too many connections are open, and each has a request; ask again in a few seconds\"}";
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nretry-after: 2\r\n\
         connection: close\r\n\r\n",
        BODY.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(BODY.as_bytes()).await?;
    socket.shutdown().await?;
    let mut thrown_away = [0; 8 << 10];
    while socket.read(&mut thrown_away).await? > 0 {}
    Ok(())
}

/// Errors of accepting connections in a row, and what was said of them.
#[derive(Debug, Default)]
struct AcceptTroubles {
    in_a_row: u32,
    since_said: u64,
    said: Option<Instant>,
}

impl AcceptTroubles {
    /// Notes another one, says so now and then, and returns how long to pause.
    fn note(&mut self, error: &io::Error) -> Duration {
        self.since_said += 1;
        if self.said.is_none_or(|said| said.elapsed() >= LOG_EVERY) {
            warn!(%error, times = self.since_said, "connections cannot be accepted; raise the limit of open files (`ulimit -n`) if this goes on");
            (self.said, self.since_said) = (Some(Instant::now()), 0);
        }
        let pause = BACKOFF.saturating_mul(1 << self.in_a_row.min(10)).min(LONGEST_BACKOFF);
        self.in_a_row += 1;
        pause
    }

    fn end(&mut self) {
        if self.in_a_row > 0 {
            info!("connections are accepted again");
            self.in_a_row = 0;
        }
    }
}
