//! Reads a request body into a JSON document, within bounds.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use futures::StreamExt as _;
use serde_json::Value;

use super::problem::Problem;
use super::state::SharedState;
use crate::json::{JsonError, parse};
use crate::pool;

/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How much of a body that is too long is read and thrown away, so that the caller reads the answer instead of a broken connection.
const DISCARDED_BYTES: usize = 64 << 20;
/// Values, beside the inline points, that a document may hold.
const OTHER_VALUES: usize = 200_000;

/// A JSON body.
pub(crate) struct BoundedJson {
    pub(crate) document: Value,
    /// Its length as it was sent, in bytes.
    pub(crate) size: usize,
}

impl FromRequest<SharedState> for BoundedJson {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &SharedState) -> Result<Self, Problem> {
        let limits = state.bodies;
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
            let shown: String = content_type.chars().take(60).collect();
            let detail = format!("a body is read as JSON, and this one is `{shown}`; send the header `Content-Type: application/json`");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail));
        }
        let body = tokio::time::timeout(BODY_TIME, read(request.into_body(), limits.bytes)).await.map_err(|_| {
            let detail = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The request took too long", detail)
        })??;
        let most = limits.max_inline_points.saturating_add(OTHER_VALUES);
        let size = body.len();
        let document = pool::unless_small(size, move || parse(&body, most)).await?;
        Ok(Self { document, size })
    }
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Problem::bad_request("broken-body", format!("the body broke off: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= limit {
            bytes.extend_from_slice(&chunk);
        } else if length > limit.saturating_add(DISCARDED_BYTES) {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if length > limit {
        return Err(Problem::too_large(format!(
            "the body is longer than the {limit} bytes that are read; send fewer samples, or have the service read them from a source"
        )));
    }
    Ok(bytes)
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::TooManyValues(_) => Self::too_large(format!("the body {error}; send fewer samples")),
            JsonError::Invalid(_) => Self::bad_request("invalid-json", format!("the body {error}")),
        }
    }
}
