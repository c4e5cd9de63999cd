//! Long answers count for the memory that they take until their callers have taken them.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use super::problem::Problem;
use crate::intake::{HeldMemory, Intake};

/// Longest answer that is not counted: the system keeps as much of one for its caller.
const SHORT: u64 = 64 << 10;

/// Counts the answer until it is taken. Where there is no memory left for it, the caller is told to come back.
pub(super) async fn count(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let bytes = HttpBody::size_hint(answer.body()).exact().unwrap_or(0);
    if bytes <= SHORT {
        return answer;
    }
    match intake.answer(bytes) {
        Ok(memory) => answer.map(|body| Body::new(UntakenBody { body, _memory: memory })),
        Err(busy) => Problem::from(busy).into_response(),
    }
}

/// A body that holds memory until it is dropped.
struct UntakenBody {
    body: Body,
    _memory: HeldMemory,
}

impl HttpBody for UntakenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::intake::IntakeLimits;

    #[tokio::test]
    async fn long_answers_that_nobody_takes_leave_no_room_for_more() {
        let intake = Intake::new(IntakeLimits { memory_bytes: 250_000, ..IntakeLimits::default() });
        let answer = |bytes: usize| async move { vec![b' '; bytes] };
        let routes = Router::new().route("/long", get(move || answer(100_000))).route("/short", get(move || answer(1_000)));
        let routes = routes.layer(from_fn_with_state(intake.clone(), count));
        let ask = |path: &str| routes.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        let (first, second) = (ask("/long").await.unwrap(), ask("/long").await.unwrap());
        assert_eq!(intake.counts().bytes, 200_000);
        let refused = ask("/long").await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].is_empty()), (503, false));
        assert_eq!(ask("/short").await.unwrap().status(), 200);
        assert_eq!(axum::body::to_bytes(first.into_body(), usize::MAX).await.unwrap().len(), 100_000);
        drop(second);
        assert_eq!((intake.counts().bytes, ask("/long").await.unwrap().status().as_u16()), (0, 200));
    }
}
