//! With a store: short ids, executions that outlive their replica, and `/canaryResultArchive`, where the status of those that ended is kept.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::configs::new_id;
use super::instant::java_text;
use super::payload::{self, Decoded, Payload};
use super::refusal::shown as shown_text;
use super::reply::{Document, Parameters, Path, Refused};
use super::state::{Edge, SharedEdge};
use crate::archive::{Archive, ArchiveError, Kind, MAX_PAGE, is_short_id, short_id};
use crate::judgements::Identity;

/// How much longer than a judgement may take its end is waited for, to keep its result.
const GRACE: Duration = Duration::from_secs(60);

/// What the store keeps of an execution that was accepted.
#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    created: Timestamp,
    payload: Payload,
}

impl From<ArchiveError> for Refused {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::InvalidId { .. } | ArchiveError::Exists { .. } | ArchiveError::TooLarge { .. } | ArchiveError::TooFar(_) => {
                Self::bad_request(error.to_string())
            }
            ArchiveError::Full | ArchiveError::Refused(_) | ArchiveError::Unavailable(_) => {
                tracing::warn!(%error, "the store failed a request");
                Self::unavailable(error.to_string())
            }
            ArchiveError::Corrupt { .. } => {
                tracing::error!(%error, "the store holds a document that cannot be read");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}

impl Edge {
    /// Makes the id of something that can be asked for again: the request itself, or, with a store, a short one under which that is kept.
    /// Equal arguments give equal ids.
    pub(super) async fn identify(&self, payload: Payload, created: Timestamp, random: u64) -> Result<Identity, Refused> {
        let Some(store) = self.store() else {
            return Ok(payload::identify(&payload, self.executions.key(), created, random)?);
        };
        // The same random bits in both halves: what matters is that another execution has others.
        let identity = Identity::short(&short_id(created, u128::from(random) << 16 | u128::from(random >> 48)));
        match store.create(Kind::KayentaExecution, &identity.id, &Accepted { created, payload }).await {
            // An interval of an analysis is asked for at every poll.
            Ok(()) | Err(ArchiveError::Exists { .. }) => Ok(identity),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an id.
    pub(super) async fn open(&self, id: &str) -> Result<Decoded, Refused> {
        if !is_short_id(id) {
            return Ok(payload::read(id, self.executions.key())?);
        }
        let Some(store) = self.store() else {
            let message = format!(
                "no such execution: `{}` is the id of one that a store keeps, and this replica runs without `--store`",
                shown_text(id)
            );
            return Err(Refused::not_found(message));
        };
        match store.get::<Accepted>(Kind::KayentaExecution, id).await? {
            Some(found) => Ok(Decoded { payload: found.value.payload, identity: Identity::short(id), created: found.value.created }),
            None => Err(Refused::not_found(format!("no such execution: the store has none with the id `{}`", shown_text(id)))),
        }
    }

    /// The status that was kept of an execution that ended.
    pub(super) async fn archived(&self, id: &str) -> Result<Option<Value>, Refused> {
        match self.store() {
            Some(store) => Ok(store.get(Kind::CanaryResult, id).await.or_else(absent)?.map(|found| found.value)),
            None => Ok(None),
        }
    }

    /// Keeps the status of something that ended.
    pub(super) async fn keep(&self, id: &str, status: &Value) {
        let Some(store) = self.store() else { return };
        match store.create(Kind::CanaryResult, id, status).await {
            // Another replica was quicker.
            Ok(()) | Err(ArchiveError::Exists { .. }) => {}
            Err(error) => tracing::error!(%error, id, "the result of an execution was not kept"),
        }
    }
}

/// An id that no store keeps is not there.
pub(super) fn absent<T>(error: ArchiveError) -> Result<Option<T>, Refused> {
    match error {
        ArchiveError::InvalidId { .. } => Ok(None),
        other => Err(other.into()),
    }
}

/// Whether the status that was kept is that of a standalone analysis.
pub(super) fn is_of_analysis(status: &Value) -> bool {
    status.get("canaryAnalysisExecutionRequest").is_some()
}

/// Waits for the end of an execution and keeps its status, where there is a store.
pub(super) fn keep_when_ended(edge: &SharedEdge, decoded: Decoded) {
    if edge.store().is_none() {
        return;
    }
    let edge = SharedEdge::clone(edge);
    tokio::spawn(async move {
        let Payload::Canary(payload) = &decoded.payload else { return };
        let patience = edge.executions.options().background_deadline + GRACE;
        // What is not known or cannot be read shows in the status.
        let seen = edge.executions.look(&decoded.identity, patience).await;
        tracing::debug!(?seen, id = decoded.identity.id, "an execution has ended");
        match edge.canary_status(&decoded, payload).await {
            Ok(status) if status["complete"] == true => edge.keep(&decoded.identity.id, &status).await,
            Ok(_) => tracing::error!(id = decoded.identity.id, "an execution did not end in time, and its result was not kept"),
            Err(refused) => tracing::error!(refused.message, id = decoded.identity.id, "the result of an execution was not kept"),
        }
    });
}

fn archive(edge: &Edge) -> Result<&Archive, Refused> {
    edge.store_or_refuse("there is no archive of results")
}

/// `GET /canaryResultArchive`.
pub(super) async fn list(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let entries = archive(&edge)?.list(Kind::CanaryResult, None, MAX_PAGE).await?;
    let line = |entry: crate::archive::Entry| json!({ "id": entry.id, "updatedTimestamp": entry.updated.as_millisecond(), "updatedTimestampIso": java_text(entry.updated) });
    Ok(Json(entries.into_iter().map(line).collect()))
}

/// `GET /canaryResultArchive/{id}`.
pub(super) async fn get(State(edge): State<SharedEdge>, Path(id): Path<String>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    archive(&edge)?;
    let found = edge.archived(&id).await?;
    found.map(Json).ok_or_else(|| Refused::not_found(format!("the archive has no result with the id `{}`", shown_text(&id))))
}

/// `POST /canaryResultArchive`.
pub(super) async fn create(State(edge): State<SharedEdge>, parameters: Parameters, body: Document) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let store = archive(&edge)?;
    let status = checked(body.0)?;
    let id = parameters.get("pipelineId").map_or_else(new_id, str::to_owned);
    store.create(Kind::CanaryResult, &id, &status).await?;
    Ok(Json(json!({ "pipelineId": id })))
}

/// `PUT /canaryResultArchive/{id}`.
pub(super) async fn update(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
    body: Document,
) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let store = archive(&edge)?;
    let status = checked(body.0)?;
    if edge.archived(&id).await?.is_none() {
        return Err(Refused::bad_request(format!("the archive has no result with the id `{}` to change; POST adds one", shown_text(&id))));
    }
    store.put(Kind::CanaryResult, &id, &status).await?;
    Ok(Json(json!({ "pipelineId": id })))
}

/// `DELETE /canaryResultArchive/{id}`.
pub(super) async fn delete(State(edge): State<SharedEdge>, Path(id): Path<String>, parameters: Parameters) -> Result<StatusCode, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    if archive(&edge)?.delete(Kind::CanaryResult, &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::not_found(format!("the archive has no result with the id `{}` to delete", shown_text(&id))))
    }
}

/// A status as the archive takes it: it is given out again as that of an execution.
fn checked(status: Value) -> Result<Value, Refused> {
    let object = status.as_object().ok_or_else(|| Refused::bad_request("the body is the status of an execution, a JSON object"))?;
    for (field, fits) in [
        ("application", object.get("application").is_some_and(Value::is_string)),
        ("complete", object.get("complete").is_some_and(Value::is_boolean)),
        ("status", object.get("status").is_some_and(Value::is_string)),
    ] {
        if !fits {
            return Err(Refused::bad_request(format!("/{field}: is missing, or not what the status of an execution has there")));
        }
    }
    Ok(super::wire::without_nulls(status))
}
