//! What there is: judges, accounts, metrics, and how the service is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use haldane_judges::JudgeName;
use serde_json::{Value, json};

use crate::access::Requester;
use crate::kayenta::answering::reply::{ErrorReply, Parameters};
use crate::kayenta::answering::state::{Edge, SharedEdge};

/// `GET /judges`: Kayenta's own first, which is also the one that configs without a judge mean.
pub(crate) async fn judges() -> Json<Value> {
    let others = JudgeName::ALL.into_iter().filter(|judge| *judge != JudgeName::NetflixAca);
    Json([JudgeName::NetflixAca].into_iter().chain(others).map(|judge| json!({ "name": judge.as_str(), "visible": true })).collect())
}

/// `GET /credentials`: the accounts, none of which shows an address or a secret.
pub(crate) async fn credentials(State(edge): State<SharedEdge>, Extension(caller): Extension<Requester>) -> Json<Value> {
    let storage = edge.storage_accounts.iter().map(|name| {
        json!({
            "name": name,
            "type": edge.storage_type(),
            "supportedTypes": ["OBJECT_STORE", "CONFIGURATION_STORE"],
            "locations": [],
            "recommendedLocations": [],
        })
    });
    let allowed = edge.accounts().iter().filter(|account| caller.may_use_source(account.name()).is_ok());
    let metrics = allowed.map(|account| {
        json!({
            "name": account.name(),
            "type": account.kind(),
            "supportedTypes": ["METRICS_STORE"],
            "locations": [],
            "recommendedLocations": [],
        })
    });
    Json(metrics.chain(storage).collect())
}

/// `GET /metricsServices`.
pub(crate) async fn metrics_services(State(edge): State<SharedEdge>, Extension(caller): Extension<Requester>) -> Json<Value> {
    let service = |account: &crate::source::cache::Source| json!({ "name": account.name(), "type": account.kind(), "locations": [], "recommendedLocations": [] });
    Json(edge.accounts().iter().filter(|account| caller.may_use_source(account.name()).is_ok()).map(service).collect())
}

/// `GET /metadata/metricsService`: the names of metrics that contain `filter`, whatever its case.
pub(crate) async fn metadata(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, ErrorReply> {
    let account = edge.metrics_account(parameters.get("metricsAccountName"), None)?;
    let filter = parameters.get("filter").unwrap_or_default().to_lowercase();
    // A user interface asks at every key that is pressed.
    let names =
        edge.metric_names.try_get_with(account.name().to_owned(), account.metric_names(edge.store_deadline())).await.map_err(|error| {
            ErrorReply::new(StatusCode::BAD_GATEWAY, format!("the metrics of account `{}` cannot be listed: {error}", account.name()))
        })?;
    Ok(Json(names.iter().filter(|name| name.to_lowercase().contains(&filter)).map(|name| json!({ "name": name })).collect()))
}

/// `GET /health`, in the shape that Spinnaker's probes expect of a Spring service.
pub(crate) async fn health(State(edge): State<SharedEdge>) -> Response {
    let down = (edge.stopping)();
    let (status, word) = if down { (StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_SERVICE") } else { (StatusCode::OK, "UP") };
    let component = json!({ "status": word });
    let body =
        json!({ "status": word, "components": { "ping": component, "readinessState": component, "canaryConfigIndexingAgent": component } });
    (status, Json(body)).into_response()
}

impl Edge {
    /// Kayenta's word for where things are stored.
    fn storage_type(&self) -> &'static str {
        match self.store() {
            None => "memory",
            Some(store) => match store.scheme() {
                "s3" => "aws",
                "gs" => "google",
                "az" => "azure",
                "file" => "configbin",
                _ => "memory",
            },
        }
    }
}
