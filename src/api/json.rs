//! Reads a request body into a JSON document, within bounds.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::Value;

use super::problem::Problem;
use super::state::SharedState;
use crate::intake::{Admitted, Busy, OnRefusal};
use crate::json::{JsonError, length, parse};
use crate::pool;
use crate::server::body::{BodyError, ReceivedBody};

/// Values, beside the inline points, that a document may hold.
const OTHER_VALUES: usize = 200_000;

/// A JSON body.
pub(crate) struct BoundedJson {
    pub(crate) document: Value,
    /// Its length, in bytes.
    pub(crate) size: usize,
    /// The place in which it is worked on.
    pub(crate) place: Arc<Admitted>,
}

impl FromRequest<SharedState> for BoundedJson {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &SharedState) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
            let shown: String = content_type.chars().take(60).collect();
            let detail = format!("a body is read as JSON, and this one is `{shown}`; send the header `Content-Type: application/json`");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail));
        }
        let (parts, body) = request.into_parts();
        let ReceivedBody { bytes, place } = state.reader.read(&parts.headers, body, OnRefusal::ComesBack).await?;
        let most = state.bodies.max_inline_points.saturating_add(OTHER_VALUES);
        let size = bytes.len();
        let read = move || parse(&bytes, most).map(|document| (length(&document), document));
        let (length, document) = pool::unless_small(size, read).await?;
        place.is_of(length);
        Ok(Self { document, size, place })
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match &error {
            BodyError::Encoding(_) => {
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown-encoding", "The body's encoding is not understood", error)
            }
            BodyError::Slow { .. } => Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The request took too long", error),
            BodyError::TooLong(_) => Self::too_large(format!("{error}; send fewer samples, or have the service read them from a source")),
            BodyError::Broken(_) => Self::bad_request("broken-body", error),
            BodyError::Busy(busy) => (*busy).into(),
        }
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::overloaded(busy)
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::TooManyValues(_) => Self::too_large(format!("the body {error}; send fewer samples")),
            JsonError::Invalid(_) => Self::bad_request("invalid-json", format!("the body {error}")),
        }
    }
}
