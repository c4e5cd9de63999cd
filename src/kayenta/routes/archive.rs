//! With a store: short ids, executions that outlive their replica, and `/canaryResultArchive`, where the status of those that ended is kept.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::access::Requester;
use crate::archive::{Archive, DocumentKind, MAX_PAGE};
use crate::kayenta::answering::payload::new_id;
use crate::kayenta::answering::reply::{ErrorReply, JsonDocument, Parameters, Path, written};
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::routes::foreign::refuse_status;
use crate::kayenta::wire::instant::java_text;
use crate::kayenta::wire::refusal::shown as shown_text;

fn archive(edge: &Edge) -> Result<&Archive, ErrorReply> {
    edge.store_or_refuse("there is no archive of results")
}

/// `GET /canaryResultArchive`.
pub(crate) async fn list(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let entries = archive(&edge)?.list(DocumentKind::CanaryResult, None, MAX_PAGE).await?;
    let line = |entry: crate::archive::Entry| json!({ "id": entry.id, "updatedTimestamp": entry.updated.as_millisecond(), "updatedTimestampIso": java_text(entry.updated) });
    Ok(Json(entries.into_iter().map(line).collect()))
}

/// `GET /canaryResultArchive/{id}`.
pub(crate) async fn get(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    archive(&edge)?;
    let found = edge.archived(&id).await?;
    if let Some(status) = &found {
        refuse_status(&caller, &status.value)?;
    }
    match found {
        Some(status) => Ok(written(status.value, status.memory).await),
        None => Err(ErrorReply::not_found(format!("the archive has no result with the id `{}`", shown_text(&id)))),
    }
}

/// `POST /canaryResultArchive`.
pub(crate) async fn create(State(edge): State<SharedEdge>, parameters: Parameters, body: JsonDocument) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let store = archive(&edge)?;
    let status = checked(body.0)?;
    let id = parameters.get("pipelineId").map_or_else(new_id, str::to_owned);
    store.create(DocumentKind::CanaryResult, &id, &status).await?;
    Ok(Json(json!({ "pipelineId": id })))
}

/// `PUT /canaryResultArchive/{id}`.
pub(crate) async fn update(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let store = archive(&edge)?;
    let status = checked(body.0)?;
    if edge.archived(&id).await?.is_none() {
        return Err(ErrorReply::bad_request(format!(
            "the archive has no result with the id `{}` to change; POST adds one",
            shown_text(&id)
        )));
    }
    store.put(DocumentKind::CanaryResult, &id, &status).await?;
    Ok(Json(json!({ "pipelineId": id })))
}

/// `DELETE /canaryResultArchive/{id}`.
pub(crate) async fn delete(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    if archive(&edge)?.delete(DocumentKind::CanaryResult, &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ErrorReply::not_found(format!("the archive has no result with the id `{}` to delete", shown_text(&id))))
    }
}

/// A status as the archive takes it: it is given out again as that of an execution.
fn checked(status: Value) -> Result<Value, ErrorReply> {
    let object = status.as_object().ok_or_else(|| ErrorReply::bad_request("the body is the status of an execution, a JSON object"))?;
    for (field, fits) in [
        ("application", object.get("application").is_some_and(Value::is_string)),
        ("complete", object.get("complete").is_some_and(Value::is_boolean)),
        ("status", object.get("status").is_some_and(Value::is_string)),
    ] {
        if !fits {
            return Err(ErrorReply::bad_request(format!("/{field}: is missing, or not what the status of an execution has there")));
        }
    }
    Ok(crate::kayenta::wire::values::without_nulls(status))
}
