//! Around every request: its id, its span and log line, its count, and the answer to a panic.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::request_id::RequestId;
use tracing::{Instrument as _, Span, field, info, info_span};

use super::problem::Problem;
use super::state::SharedState;
use crate::analysis::Scorecard;
use crate::pool::words_of;
use crate::traces;

/// Measures a request and logs it in one line. The path is not logged: ids hold scopes.
pub(crate) async fn observe(State(state): State<SharedState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "(none)".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    let span = info_span!(
        "request",
        request_id = request_id.get(..request_id.len().min(100)).unwrap_or_default(),
        %method,
        route,
        token = field::Empty,
        judge = field::Empty,
        config = field::Empty,
        verdict = field::Empty,
        metrics = field::Empty,
    );
    traces::take_over(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let took = began.elapsed();
    let status = response.status().as_u16();
    state.metrics.answered(&method, &route, status, took);
    if let Some(WriteTime(took)) = response.extensions().get() {
        state.metrics.took("write", *took);
    }
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        // Probes and scrapes come every few seconds and say nothing new.
        if route.starts_with("/health") || route == "/metrics" {
            tracing::debug!(status, duration_ms, "answered");
        } else {
            info!(status, duration_ms, "answered");
        }
    });
    response
}

/// How long the answer took to be written, for [`observe`] to find in a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteTime(pub(crate) Duration);

/// Notes on the request's span what was judged.
pub(crate) fn note(scorecard: &Scorecard) {
    let judgement = &scorecard.judgement;
    Span::current()
        .record("judge", judgement.judge.as_str())
        .record("config", judgement.config.as_str())
        .record("verdict", field::display(judgement.verdict))
        .record("metrics", judgement.metrics.len());
}

/// Answers a request whose handler panicked, without telling the caller about our inside.
pub(crate) fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!(panic = words_of(&*panic), "a request's handler panicked");
    Problem::fault().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_as_a_problem_that_keeps_it_to_itself() {
        let response = answer_panic(Box::new("the secret is 42"));
        assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (500, &"application/problem+json".parse().unwrap()));
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("urn:haldane:problem:fault") && !body.contains("secret"), "{body}");
    }
}
