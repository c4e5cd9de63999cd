//! The native REST edge: `/v1`, health, metrics and the OpenAPI document.
//!
//! [`translate`] turns a body into an [`analysis::Request`](crate::analysis::Request), [`router`] answers over HTTP. Every reply
//! that is no success is an RFC 9457 [`Problem`].

mod body;
mod catalog;
mod frame;
mod json;
mod judgements;
mod limits;
mod links;
mod list;
mod metrics;
mod notice;
mod observe;
mod openapi;
mod operations;
mod pages;
mod problem;
mod record;
mod representation;
mod state;
mod untaken;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::access;
pub use body::{JudgementBody, translate};
pub use openapi::openapi_document;
pub use problem::{FieldProblem, PROBLEM_JSON, Problem};
pub use state::{AppState, SharedState};

/// The service over HTTP.
pub fn router(state: SharedState) -> Router {
    router_with(state, Router::new())
}

/// The service over HTTP, beside another edge's routes, which are observed as its own are.
pub fn router_with(state: SharedState, others: Router) -> Router {
    let v1: Router<SharedState> = openapi::v1().split_for_parts().0;
    let operations: Router<SharedState> = openapi::operations().split_for_parts().0;
    // Longer bodies are refused while they are read.
    let form = post(pages::judge).layer(DefaultBodyLimit::disable());
    let pages = Router::new().route("/", get(pages::home)).route("/docs", get(pages::docs)).route("/try", form);
    let others: Router<SharedState> = others.with_state(());
    v1.merge(operations)
        .merge(pages)
        .merge(others)
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(CatchPanicLayer::custom(observe::answer_panic))
        .layer(from_fn_with_state(state.intake().clone(), untaken::count))
        .layer(from_fn_with_state(Arc::clone(&state.access), access::permit))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .with_state(state)
}

async fn unknown_route(uri: Uri) -> Response {
    let shown: String = uri.path().chars().take(100).collect();
    let problem = Problem::not_found("unknown-route", format!("there is nothing at `{shown}`; /openapi.json lists what there is"));
    // The address may have been meant for another edge, whose clients read `message`.
    let mut body = json!(problem);
    body["message"] = json!(problem.detail);
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, PROBLEM_JSON)], body.to_string()).into_response()
}

async fn unknown_method(method: Method, uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(100).collect();
    let method: String = method.as_str().chars().take(20).collect();
    let detail = format!("`{shown}` does not answer to {method}; the header Allow names what it answers to");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "unknown-method", "The method is not allowed", detail)
}
