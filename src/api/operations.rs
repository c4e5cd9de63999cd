//! How the service is: health, metrics, and the document that describes it.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;

use super::limits::ServiceLimits;
use super::problem::Problem;
use super::state::SharedState;
use crate::access::Requester;

/// The service's health.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`; any other answer has another HTTP status.
    status: &'static str,
    /// What somebody should look at, such as a file of tokens that was changed and cannot be used. Told to holders of a token alone, where
    /// there are tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Whether the process works
///
/// For a liveness probe. Does not look at metric stores: a restart would not mend them.
#[utoipa::path(
    get, path = "/health/live", tag = "operations", operation_id = "live",
    responses((status = 200, description = "It works", body = ref("#/components/schemas/Health"), content_type = "application/json"))
)]
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "ok", warnings: Vec::new() })
}

/// Whether to send requests here
///
/// For a readiness probe.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", operation_id = "ready",
    responses(
        (status = 200, description = "Send them", body = ref("#/components/schemas/Health"), content_type = "application/json"),
        (status = 503, description = "The process is about to stop", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ready(State(state): State<SharedState>, caller: Option<Extension<Requester>>) -> Result<Json<Health>, Problem> {
    if state.is_stopping() {
        return Err(Problem::come_back("stopping", "The service is stopping", 1, "this process is about to stop; ask another replica"));
    }
    let warnings = if caller.is_some() { state.access.troubles() } else { Vec::new() };
    Ok(Json(Health { status: "ok", warnings }))
}

/// Metrics of the service itself
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Metrics for Prometheus", body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) async fn metrics(State(state): State<SharedState>) -> Result<Response, Problem> {
    let recorded = state.recorder.as_ref().map(|recorder| recorder.counts());
    let others = [state.connections.registry(), state.access.registry()];
    let text = state.metrics.exposition(&state.executions, state.intake().counts(), recorded, &others).map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Problem::fault()
    })?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// The limits that this process keeps
///
/// In the order in which a request meets them. Those of one source may be set apart from the others; the value told is that of a source which
/// says nothing.
#[utoipa::path(
    get, path = "/v1/limits", tag = "operations", operation_id = "limits",
    responses((status = 200, description = "Each limit with what becomes of what is beyond it", body = ref("#/components/schemas/ServiceLimits"), content_type = "application/json"))
)]
pub(crate) async fn limits(State(state): State<SharedState>) -> Json<ServiceLimits> {
    Json(state.limits.clone())
}
