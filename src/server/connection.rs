//! One connection from its first byte to its last: TLS, HTTP/1 or HTTP/2, and the times that it keeps.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::Service as HyperService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tower::ServiceExt as _;

use super::counts::{Closing, ConnectionCounts};
use super::limits::ConnectionLimits;
use super::pulse::{Flight, LEAST_PROGRESS, Pulse};
use super::roster::RosterPlace;
use super::stream::CallerStream;
use super::tls::TlsIdentity;

/// Longest head of a request, and what is read of a body at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 100;
/// Requests of an HTTP/2 connection that were reset before anybody looked at them, and that we reset ourselves. Beyond, the connection ends
/// (CVE-2023-44487, CVE-2025-8671).
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 256;
/// What one HTTP/2 request, and all of a connection, may send before somebody reads it, and what waits to be sent.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const SEND_BUFFER: usize = 256 << 10;
/// Largest part of an answer that is handed over at once: as much as must be taken in the time for it.
const PIECE_BYTES: usize = LEAST_PROGRESS;
/// Time between two PINGs of an HTTP/2 connection, and for their answer.
const PING: Duration = Duration::from_secs(20);
/// Time for a connection to end by itself once it was told to.
const ENDING: Duration = Duration::from_secs(2);
/// While the service stops: how long a connection without a request is waited for, since one may be on its way.
const QUIET_AT_THE_END: Duration = Duration::from_millis(500);

/// What every connection of a process shares.
#[derive(Debug)]
pub(super) struct ConnectionContext {
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
    pub(super) counts: ConnectionCounts,
    pub(super) tls: Option<Arc<TlsIdentity>>,
    /// Whether the service is about to stop.
    pub(super) draining: watch::Receiver<bool>,
}

/// Who is at the other end, as the requests of a connection know it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(super) pulse: Arc<Pulse>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(context: Arc<ConnectionContext>, socket: TcpStream, place: RosterPlace) {
    let pulse = Arc::clone(&place.pulse);
    // Answers are written whole; waiting for more would only delay them.
    let _ = socket.set_nodelay(true);
    let stream = CallerStream::new(socket, Arc::clone(&pulse));
    let service = CallerService { router: context.router.clone(), peer: Peer { pulse: Arc::clone(&pulse) } };
    let Some(tls) = &context.tls else { return serve_http1(&context, &pulse, stream, service).await };
    let handshake = async {
        tokio::select! {
            done = timeout(context.limits.head_time, tls.acceptor().accept(stream)) => Some(done),
            () = pulse.replaced.notified() => None,
        }
    };
    match handshake.await {
        Some(Ok(Ok(stream))) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => serve_http2(&context, &pulse, stream, service).await,
        Some(Ok(Ok(stream))) => serve_http1(&context, &pulse, stream, service).await,
        Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
        Some(Err(_)) => context.counts.closed(Closing::Head),
        None => {}
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin>(
    context: &ConnectionContext,
    pulse: &Arc<Pulse>,
    stream: S,
    service: CallerService,
) {
    let mut builder = http1::Builder::new();
    // The head's time is the pulse's matter, which tells a head that has begun from a connection that is idle.
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER_BYTES);
    drive(context, pulse, true, builder.serve_connection(TokioIo::new(stream), service), |connection| connection.graceful_shutdown()).await;
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    context: &ConnectionContext,
    pulse: &Arc<Pulse>,
    stream: S,
    service: CallerService,
) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(BUFFER_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    drive(context, pulse, false, builder.serve_connection(TokioIo::new(stream), service), |connection| connection.graceful_shutdown())
        .await;
}

/// Runs a connection, and ends it when it takes too long over something, when its place is another's, or when the service stops.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    context: &ConnectionContext,
    pulse: &Arc<Pulse>,
    heads: bool,
    connection: C,
    shut_down: fn(Pin<&mut C>),
) {
    let mut connection = pin!(connection);
    let mut tick = interval(context.limits.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut draining = context.draining.clone();
    let mut stopping = false;
    let mut ends: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                return;
            }
            _ = tick.tick() => {
                let now = Instant::now();
                let quiet_for = pulse.quiet_since().map(|since| now.saturating_duration_since(since));
                if ends.is_some_and(|end| now >= end) || (stopping && quiet_for.is_some_and(|time| time > QUIET_AT_THE_END)) {
                    return;
                }
                match pulse.overdue(&context.limits, heads, now) {
                    None => {}
                    Some(Closing::Idle) if ends.is_some() => {}
                    Some(Closing::Idle) => {
                        context.counts.closed(Closing::Idle);
                        shut_down(connection.as_mut());
                        ends = Some(now + ENDING);
                    }
                    Some(why) => {
                        context.counts.closed(why);
                        pulse.abandon();
                        return;
                    }
                }
            }
            () = pulse.replaced.notified() => {
                if pulse.quiet_since().is_some() {
                    return;
                }
                // A request came at the same moment: it is answered first.
                shut_down(connection.as_mut());
            }
            _ = draining.wait_for(|draining| *draining), if !stopping => {
                stopping = true;
                shut_down(connection.as_mut());
                tick.reset_after(QUIET_AT_THE_END.min(context.limits.tick()));
            }
        }
    }
}

/// Hands the requests of a connection to the routes.
#[derive(Debug, Clone)]
struct CallerService {
    router: Router,
    peer: Peer,
}

impl HyperService<Request<Incoming>> for CallerService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let flight = self.peer.pulse.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        let answering = self.router.clone().oneshot(request);
        answering.map(|answer| answer.map(|response| response.map(|body| Body::new(AnswerBody::of(body, flight))))).boxed()
    }
}

/// An answer's body, with which its request ends. It is handed over piece by piece, so that what its caller does not take stays here, where
/// it is counted.
struct AnswerBody {
    body: Body,
    /// What is left of the frame that the body gave last.
    rest: Bytes,
    flight: Flight,
}

impl AnswerBody {
    fn of(body: Body, flight: Flight) -> Self {
        flight.offers(true);
        Self { body, rest: Bytes::new(), flight }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => {
                    self.flight.offers(false);
                    return other;
                }
            }
        }
        self.flight.offers(true);
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
