//! What is left of a body when the answer is ready. A caller that is still sending reads no answer, and one whose connection breaks under it
//! never does: the rest is read and thrown away, within bounds, and beyond them the connection is said to close.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Peer;
use super::body::BodyPace;

/// Most that is thrown away, and how fast it must come.
const DISCARDED_BYTES: usize = 64 << 20;
const PACE: BodyPace = BodyPace { time: Duration::from_secs(10), patience: Duration::from_secs(2), bytes_per_second: 64 << 10 };

/// Answers a request and reads what is left of its body.
pub(crate) async fn discard(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().cloned();
    let version = request.version();
    // Who waits to be asked for the body has not sent it, unless it was asked.
    let waits = request.headers().contains_key(header::EXPECT);
    let (give_back, left) = oneshot::channel();
    let request = request.map(|body| Body::new(LentBody { body, begun: false, give_back: Some(give_back) }));
    let mut response = next.run(request).await;
    let mut left = left;
    // Read to its end, or kept by something that reads on.
    let Ok((body, begun)) = left.try_recv() else { return response };
    let slow = response.status() == StatusCode::REQUEST_TIMEOUT;
    if slow || (waits && !begun) || !thrown_away(body).await {
        if let Some(peer) = peer {
            peer.pulse.leave_unread();
        }
        if version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

/// Whether all of it came.
async fn thrown_away(body: Body) -> bool {
    if body.size_hint().lower() > DISCARDED_BYTES as u64 {
        return false;
    }
    let mut stream = body.into_data_stream();
    let (began, mut length) = (Instant::now(), 0_usize);
    loop {
        match timeout_at(PACE.due(began, length), stream.next()).await {
            Ok(None) => return true,
            Ok(Some(Ok(chunk))) if length.saturating_add(chunk.len()) <= DISCARDED_BYTES => length += chunk.len(),
            _ => return false,
        }
    }
}

/// A request's body, which comes back when whoever had it has had enough.
struct LentBody {
    body: Body,
    begun: bool,
    give_back: Option<oneshot::Sender<(Body, bool)>>,
}

impl HttpBody for LentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.give_back = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take().filter(|_| !self.body.is_end_stream()) {
            // Nobody waits for it where the caller went away.
            let _ = give_back.send((std::mem::take(&mut self.body), self.begun));
        }
    }
}
