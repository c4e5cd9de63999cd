//! The routes with their documentation, and the OpenAPI document that follows from them: paths by utoipa from the handlers, schemas by schemars from the types, so that neither is written twice.

mod schema;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use haldane_judges::CanaryConfig;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JudgementBody;
use super::catalog::{self, ConfigList, JudgeList, SourceList};
use super::judgements::{self, RunningJudgement};
use super::limits::ServiceLimits;
use super::links::{self, JudgementLink};
use super::list::{self, JudgementList};
use super::operations::{self, Health};
use super::problem::Problem;
use super::state::SharedState;
use crate::analysis::Scorecard;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Haldane",
        description = "Is this canary worse than this baseline?\n\n\
            Haldane reads both from a metric store, or takes their samples from the request, tests every metric and answers with a \
            scorecard: `pass`, `marginal` or `fail`, with the evidence.\n\n\
            ```sh\n\
            curl -s http://127.0.0.1:8090/v1/judgements -H 'Content-Type: application/json' -d '{\n  \
              \"config\": \"http-golden-signals\",\n  \
              \"baseline\": { \"scope\": \"checkout-baseline\" },\n  \
              \"canary\": { \"scope\": \"checkout-canary\" },\n  \
              \"window\": { \"duration\": \"30m\" }\n\
            }'\n\
            ```\n\n\
            Every answer that is no success is an RFC 9457 problem with a stable `type`, a `pointer` to the field, and what to do.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "judgements", description = "Judging canaries"),
        (name = "configs", description = "What a request may name"),
        (name = "operations", description = "How the service is"),
    ),
)]
struct ApiDocument;

/// The routes below `/v1`, with their documentation.
pub(super) fn v1() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(judgements::create))
        .routes(routes!(list::list))
        .routes(routes!(judgements::get))
        .routes(routes!(links::link))
        .routes(routes!(catalog::list_configs))
        .routes(routes!(catalog::get_config))
        .routes(routes!(catalog::list_judges))
        .routes(routes!(catalog::list_sources))
        .routes(routes!(catalog::config_schema))
        .routes(routes!(operations::limits))
}

/// The routes that tell how the service is.
pub(super) fn operations() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(operations::live))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(document))
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI document", body = Object, content_type = "application/json"))
)]
pub(crate) async fn document() -> Response {
    // One copy for all who ask, however slowly they read.
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
static TEXT: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());

/// The OpenAPI document, as `/openapi.json` serves it and `openapi/haldane.json` records it.
#[must_use]
pub fn openapi_document() -> Value {
    DOCUMENT.clone()
}

fn build() -> Value {
    let mut document = ApiDocument::openapi();
    document.merge(v1().merge(operations()).into_openapi());
    // A tree of maps and strings; null would fail the test that compares it with the recorded document.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let schemas = schemas();
    if let Some(root) = document.as_object_mut() {
        let components = root.entry("components").or_insert_with(|| Value::Object(Map::new()));
        if let Some(components) = components.as_object_mut() {
            components.insert("schemas".to_owned(), Value::Object(schemas));
        }
    }
    for operation in described(&mut document) {
        let is_list = operation.get("operationId").and_then(Value::as_str) == Some("listJudgements");
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            // A parameter that is left out is none, and no text says null.
            schema::never_null(&mut parameter["schema"]);
            if is_list {
                describe_filter(parameter);
            }
        }
        if let Some(body) = operation.get_mut("requestBody") {
            body["required"] = true.into();
        }
    }
    document
}

/// What a filter of the list may be, where its type does not say it.
fn describe_filter(parameter: &mut Value) {
    // A form sends what nobody filled in.
    parameter["allowEmptyValue"] = true.into();
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let schema = &mut parameter["schema"];
    match name.as_str() {
        "verdict" => *schema = json!({"$ref": "#/components/schemas/Verdict"}),
        "since" | "until" => schema["format"] = "date-time".into(),
        "label" => schema["items"]["pattern"] = "=".into(),
        _ => {}
    }
}

/// Every operation of the document.
fn described(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    paths.filter_map(|(_, path)| path.as_object_mut()).flatten().map(|(_, operation)| operation)
}

/// The schemas of bodies, which refer to each other where OpenAPI keeps them.
fn schemas() -> Map<String, Value> {
    let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut requests = settings().for_deserialize().into_generator();
    requests.subschema_for::<JudgementBody>();
    requests.subschema_for::<CanaryConfig>();
    let mut replies = settings().for_serialize().into_generator();
    replies.subschema_for::<Scorecard>();
    replies.subschema_for::<RunningJudgement>();
    replies.subschema_for::<JudgementLink>();
    replies.subschema_for::<ServiceLimits>();
    replies.subschema_for::<ConfigList>();
    replies.subschema_for::<JudgeList>();
    replies.subschema_for::<SourceList>();
    replies.subschema_for::<JudgementList>();
    replies.subschema_for::<Health>();
    replies.subschema_for::<Problem>();
    let mut schemas = replies.take_definitions(true);
    schemas.values_mut().for_each(schema::make_absent);
    // A config is written by people, who may leave defaults out, also where the service shows it.
    schemas.extend(requests.take_definitions(true));
    schemas.values_mut().for_each(schema::make_plain);
    schema::name_variants(&mut schemas);
    schemas
}
