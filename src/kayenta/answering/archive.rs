//! With a store: short ids, executions that outlive their replica, and the status of those that ended.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::payload::{self, Execution, Payload};
use super::reply::ErrorReply;
use super::state::Edge;
use crate::archive::{ArchiveError, Document, DocumentKind, is_short_id, short_id};
use crate::judgements::Identity;
use crate::kayenta::wire::refusal::shown as shown_text;

/// What the store keeps of an execution that was accepted.
#[derive(Debug, Serialize, Deserialize)]
struct ExecutionRecord {
    created: Timestamp,
    payload: Payload,
}

impl From<ArchiveError> for ErrorReply {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::InvalidId { .. } | ArchiveError::Exists { .. } | ArchiveError::TooLarge { .. } | ArchiveError::TooFar(_) => {
                Self::bad_request(error.to_string())
            }
            ArchiveError::Full | ArchiveError::Refused(_) | ArchiveError::Unavailable(_) => {
                tracing::warn!(%error, "the store failed a request");
                Self::unavailable(error.for_callers())
            }
            ArchiveError::Busy(why) => Self::unavailable(why),
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
    pub(crate) async fn identify(&self, payload: Payload, created: Timestamp, random: u64) -> Result<Identity, ErrorReply> {
        let identity = self.identity(&payload, created, random)?;
        let Some(store) = self.store() else { return Ok(identity) };
        match store.create(DocumentKind::KayentaExecution, &identity.id, &ExecutionRecord { created, payload }).await {
            // An interval of an analysis is asked for at every poll.
            Ok(()) | Err(ArchiveError::Exists { .. }) => Ok(identity),
            Err(error) => Err(error.into()),
        }
    }

    /// The id that [`Edge::identify`] makes; nothing is kept.
    pub(crate) fn identity(&self, payload: &Payload, created: Timestamp, random: u64) -> Result<Identity, ErrorReply> {
        if self.store().is_none() {
            return Ok(payload::identify(payload, self.executions.key(), created, random)?);
        }
        // The same random bits in both halves: what matters is that another execution has others.
        Ok(Identity::short(&short_id(created, u128::from(random) << 16 | u128::from(random >> 48))))
    }

    /// Reads an id.
    pub(crate) async fn open(&self, id: &str) -> Result<Execution, ErrorReply> {
        if !is_short_id(id) {
            return Ok(payload::read(id, self.executions.key())?);
        }
        let Some(store) = self.store() else {
            let message = format!(
                "no such execution: `{}` is the id of one that a store keeps, and this replica runs without `--store`",
                shown_text(id)
            );
            return Err(ErrorReply::not_found(message));
        };
        match store.get::<ExecutionRecord>(DocumentKind::KayentaExecution, id).await? {
            Some(found) => Ok(Execution { payload: found.value.payload, identity: Identity::short(id), created: found.value.created }),
            None => Err(ErrorReply::not_found(format!("no such execution: the store has none with the id `{}`", shown_text(id)))),
        }
    }

    /// The status that was kept of an execution that ended.
    pub(crate) async fn archived(&self, id: &str) -> Result<Option<Document<Value>>, ErrorReply> {
        match self.store() {
            Some(store) => store.get(DocumentKind::CanaryResult, id).await.or_else(absent),
            None => Ok(None),
        }
    }

    /// Keeps the status of something that ended.
    pub(crate) async fn keep(&self, id: &str, status: &Value) {
        let Some(store) = self.store() else { return };
        match store.create(DocumentKind::CanaryResult, id, status).await {
            // Another replica was quicker.
            Ok(()) | Err(ArchiveError::Exists { .. }) => {}
            Err(error) => tracing::error!(%error, id, "the result of an execution was not kept"),
        }
    }
}

/// An id that no store keeps is not there.
pub(crate) fn absent<T>(error: ArchiveError) -> Result<Option<T>, ErrorReply> {
    match error {
        ArchiveError::InvalidId { .. } => Ok(None),
        other => Err(other.into()),
    }
}

/// Whether the status that was kept is that of a standalone analysis.
pub(crate) fn is_of_analysis(status: &Value) -> bool {
    status.get("canaryAnalysisExecutionRequest").is_some()
}
