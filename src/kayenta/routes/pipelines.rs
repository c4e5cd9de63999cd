//! `/pipelines/{id}/cancel`: stops an execution where it runs.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::access::Requester;
use crate::kayenta::answering::payload::Payload;
use crate::kayenta::answering::reply::{ErrorReply, Path};
use crate::kayenta::answering::state::SharedEdge;
use crate::kayenta::routes::foreign::refuse_execution;

/// `PUT /pipelines/{id}/cancel`. The body, an empty JSON text from Orca, says nothing. Where the execution does not run, nothing happens.
pub(crate) async fn cancel(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
) -> Result<Response, ErrorReply> {
    let decoded = edge.open(&id).await?;
    refuse_execution(&caller, &decoded)?;
    match &decoded.payload {
        Payload::Canary(_) => {
            let stopped = edge.executions.cancel(&decoded.identity.key);
            tracing::debug!(stopped, "a canary execution was to be cancelled");
        }
        Payload::Standalone(_) => edge.cancel_analysis(&decoded).await?,
        Payload::Fetch(_) => return Err(ErrorReply::not_found("there is no execution with this id; it is that of a list of metric sets")),
    }
    // No body at all: old releases of Orca read one as a map.
    Ok((StatusCode::ACCEPTED, [(header::CONTENT_LENGTH, "0")]).into_response())
}
