//! What a request may name: the canary configs on offer, the judges, and the schema of a config.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use haldane_judges::{CanaryConfig, JudgeName};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::problem::Problem;
use super::state::{SharedState, SourceHealth};
use crate::access::Requester;
use crate::settings::Origin;

/// A config on offer, in short.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct ConfigSummary {
    /// Name by which requests ask for it.
    name: String,
    /// What it is for.
    description: String,
    /// Judge that decides unless the request says otherwise.
    judge: String,
    /// Number of metrics.
    metrics: usize,
    /// Whether it ships with Haldane or was read from the folder of configs.
    origin: Origin,
}

/// The configs on offer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct ConfigList {
    /// By name.
    configs: Vec<ConfigSummary>,
}

/// The metric stores that are configured.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct SourceList {
    /// By name.
    sources: Vec<SourceHealth>,
}

/// A judge.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct JudgeSummary {
    /// Name by which requests and configs ask for it.
    name: JudgeName,
    /// What it does.
    description: &'static str,
}

/// The judges.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct JudgeList {
    /// In the order in which they are recommended.
    judges: Vec<JudgeSummary>,
}

/// List the canary configs on offer
#[utoipa::path(
    get, path = "/v1/configs", tag = "configs", operation_id = "listConfigs",
    responses((status = 200, description = "The configs, by name", body = ref("#/components/schemas/ConfigList"), content_type = "application/json"))
)]
pub(crate) async fn list_configs(State(state): State<SharedState>, Extension(caller): Extension<Requester>) -> Json<ConfigList> {
    let summary = |(name, entry): (&str, &std::sync::Arc<crate::settings::ConfigEntry>)| ConfigSummary {
        name: name.to_owned(),
        description: entry.config.description.clone(),
        judge: entry.config.judge.clone(),
        metrics: entry.config.metrics.len(),
        origin: entry.origin,
    };
    let configs = state.configs.current();
    let allowed = configs.list().filter(|(name, _)| caller.may_use_config(Some(name)).is_ok());
    Json(ConfigList { configs: allowed.map(summary).collect() })
}

/// Read a canary config
///
/// As JSON with every default filled in; with `Accept: application/yaml` as it was written, comments included, to start from.
#[utoipa::path(
    get, path = "/v1/configs/{name}", tag = "configs", operation_id = "getConfig",
    params(("name" = String, Path, description = "Name of a config on offer", example = "http-golden-signals")),
    responses(
        (status = 200, description = "The config", content(
            (ref("#/components/schemas/CanaryConfig") = "application/json"),
            (String = "application/yaml"),
        )),
        (status = 404, description = "There is no such config", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_config(
    State(state): State<SharedState>,
    Extension(caller): Extension<Requester>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|_| Problem::not_found("unknown-config", "the name of the config is not UTF-8 text"))?;
    caller.may_use_config(Some(&name))?;
    let configs = state.configs.current();
    let entry = configs.get(&name).ok_or_else(|| Problem::not_found("unknown-config", configs.unknown(&name)))?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut media_types = accept.split(',').map(|media| media.split(';').next().unwrap_or_default().trim());
    if media_types.any(|media| matches!(media, "application/yaml" | "application/x-yaml" | "text/yaml")) {
        return Ok(([(header::CONTENT_TYPE, "application/yaml")], entry.text.clone()).into_response());
    }
    Ok(Json(&entry.config).into_response())
}

/// List the judges
#[utoipa::path(
    get, path = "/v1/judges", tag = "configs", operation_id = "listJudges",
    responses((status = 200, description = "The judges", body = ref("#/components/schemas/JudgeList"), content_type = "application/json"))
)]
pub(crate) async fn list_judges() -> Json<JudgeList> {
    let summary = |name: JudgeName| JudgeSummary { name, description: name.description() };
    Json(JudgeList { judges: JudgeName::ALL.into_iter().map(summary).collect() })
}

/// List the metric stores
///
/// Nothing is asked of them: what is said of their health is what judgements have shown.
#[utoipa::path(
    get, path = "/v1/sources", tag = "configs", operation_id = "listSources",
    responses((status = 200, description = "The sources, by name", body = ref("#/components/schemas/SourceList"), content_type = "application/json"))
)]
pub(crate) async fn list_sources(State(state): State<SharedState>, Extension(caller): Extension<Requester>) -> Json<SourceList> {
    Json(SourceList { sources: state.sources_of(&caller) })
}

/// Read the JSON Schema of a canary config
///
/// For editors: put `# yaml-language-server: $schema=http://HOST:8090/v1/schema/canary-config.json` at the top of a config.
#[utoipa::path(
    get, path = "/v1/schema/canary-config.json", tag = "configs", operation_id = "getConfigSchema",
    responses((status = 200, description = "The schema", body = Object, content_type = "application/schema+json"))
)]
pub(crate) async fn config_schema() -> Response {
    let schema: Value = schemars::schema_for!(CanaryConfig).to_value();
    ([(header::CONTENT_TYPE, "application/schema+json")], Json(schema)).into_response()
}
