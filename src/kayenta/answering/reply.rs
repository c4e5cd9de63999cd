//! What requests to this edge are read with, and how it refuses: every error is a JSON object with a text in `message`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access::Denial;
use crate::analysis::AnalysisError;
use crate::intake::{Admitted, HeldMemory, OnRefusal};
use crate::json::{self, JsonError};
use crate::judgements::Failure;
use crate::judgements::id::{IdError, MAX_ID_LENGTH, MAX_REQUEST_BYTES};
use crate::kayenta::wire::refusal::{Refusal, shown};
use crate::pool;
use crate::server::body::{BodyError, BodyReader, ReceivedBody};
use crate::settings::BodyLimits;

/// Values, beside the inline points, that a document may hold.
const OTHER_VALUES: usize = 200_000;
/// Seconds after which to ask again.
const RETRY_AFTER: u32 = 5;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorReply {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) errors: Vec<String>,
}

impl ErrorReply {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// A fault of ours, of which the caller learns no detail.
    pub(crate) fn fault(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(%detail, "a request through Kayenta's API met a fault");
        let message = "the request met a fault in this program; the log of the server has the details";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl IntoResponse for ErrorReply {
    fn into_response(self) -> Response {
        let mut body = json!({
            "timestamp": Timestamp::now().as_millisecond(),
            "status": self.status.as_u16(),
            "error": self.status.canonical_reason().unwrap_or("Error"),
            "message": self.message,
        });
        if !self.errors.is_empty() {
            body["errors"] = self.errors.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        response
    }
}

impl From<Denial> for ErrorReply {
    fn from(denial: Denial) -> Self {
        Self::new(denial.status, denial.detail)
    }
}

impl From<Refusal> for ErrorReply {
    fn from(refusal: Refusal) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: refusal.message(), errors: refusal.errors() }
    }
}

impl From<AnalysisError> for ErrorReply {
    fn from(error: AnalysisError) -> Self {
        match error {
            // A pointer into our own request says nothing to who sent another.
            AnalysisError::Invalid { pointer, message } => {
                match pointer.strip_prefix("/window").or_else(|| pointer.strip_prefix("/config")) {
                    Some("" | "/step") => Self::bad_request(format!("a scope's `start`, `end` and `step`: {message}")),
                    Some(_) => Self::bad_request(message),
                    None => Self::bad_request(format!("{pointer}: {message}")),
                }
            }
            AnalysisError::InvalidConfig(error) => {
                Self::bad_request(error.problems.into_iter().next().map(|first| first.message).unwrap_or_default())
            }
            AnalysisError::UnknownSource { .. } | AnalysisError::NothingFetched { .. } => Self::bad_request(error.to_string()),
            AnalysisError::Broken(_) => Self::fault(&error),
        }
    }
}

impl From<Failure> for ErrorReply {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Analysis(error) => error.into(),
            Failure::Overloaded => Self::unavailable(failure.to_string()),
            Failure::Crashed => Self::fault(&failure),
            Failure::Cancelled => Self::new(StatusCode::CONFLICT, failure.to_string()),
        }
    }
}

impl From<IdError> for ErrorReply {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Unknown(_) => Self::not_found(error.to_string()),
            IdError::NewerVersion(_) => Self::unavailable(error.to_string()),
            IdError::TooLong { length } => Self::bad_request(format!(
                "the id of this execution would be {length} characters long, and proxies cut addresses longer than {MAX_ID_LENGTH}; \
                 start the service with `--store URL`, which gives short ids, or split the config"
            )),
            IdError::TooLarge { bytes } => Self::bad_request(format!(
                "the request is {bytes} bytes of JSON, and an id holds at most {MAX_REQUEST_BYTES}; start the service with `--store URL`, \
                 which gives short ids, or split the config"
            )),
            IdError::InlineSamples => Self::bad_request(error.to_string()),
            IdError::Unwritable(_) => Self::fault(&error),
        }
    }
}

impl From<JsonError> for ErrorReply {
    fn from(error: JsonError) -> Self {
        let status = match error {
            JsonError::TooManyValues(_) => StatusCode::PAYLOAD_TOO_LARGE,
            JsonError::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, format!("the body {error}"))
    }
}

/// A JSON body, the place in which it is worked on, and its length in bytes.
pub(crate) struct JsonDocument(pub(crate) Value, pub(crate) Arc<Admitted>, pub(crate) usize);

impl<S: Send + Sync> FromRequest<S> for JsonDocument
where
    BodyReader: FromRef<S>,
    BodyLimits: FromRef<S>,
{
    type Rejection = ErrorReply;

    async fn from_request(request: Request, state: &S) -> Result<Self, ErrorReply> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            let shown: String = content_type.chars().take(60).collect();
            let message = format!("a body is read as JSON, and this one is `{shown}`; send the header `Content-Type: application/json`");
            return Err(ErrorReply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let (parts, body) = request.into_parts();
        // Clients of Kayenta ask once.
        let ReceivedBody { bytes, place } = BodyReader::from_ref(state).read(&parts.headers, body, OnRefusal::GivesUp).await?;
        let most = BodyLimits::from_ref(state).max_inline_points.saturating_add(OTHER_VALUES);
        let size = bytes.len();
        let read = move || json::parse(&bytes, most).map(|document| (json::length(&document), document));
        let (length, document) = pool::unless_small(size, read).await?;
        place.is_of(length);
        Ok(Self(document, place, size))
    }
}

/// A document as an answer, written on another thread where it is long; it takes its memory until then.
pub(crate) async fn written(document: Value, memory: Option<HeldMemory>) -> Response {
    let bytes = json::length(&document);
    let write = move || {
        let answer = Json(document).into_response();
        drop(memory);
        answer
    };
    pool::unless_small(bytes, write).await
}

impl From<BodyError> for ErrorReply {
    fn from(error: BodyError) -> Self {
        match &error {
            BodyError::Encoding(_) => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()),
            BodyError::Slow { .. } => Self::new(StatusCode::REQUEST_TIMEOUT, error.to_string()),
            BodyError::TooLong(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{error}; send fewer metrics or samples")),
            BodyError::Broken(_) => Self::bad_request(error.to_string()),
            BodyError::Busy(_) => Self::unavailable(error.to_string()),
        }
    }
}

/// The variable parts of a path. One that is no text names nothing.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ErrorReply;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorReply> {
        let axum::extract::Path(parts) = axum::extract::Path::from_request_parts(parts, state)
            .await
            .map_err(|error: PathRejection| ErrorReply::not_found(format!("there is nothing at this address: {error}")))?;
        Ok(Self(parts))
    }
}

/// The parameters of a query string; one that is empty counts as left out.
#[derive(Debug, Default)]
pub(crate) struct Parameters(BTreeMap<String, Vec<String>>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ErrorReply;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorReply> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| ErrorReply::bad_request(format!("the query string cannot be read: {error}")))?;
        let mut parameters = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            parameters.entry(name).or_default().push(value);
        }
        Ok(Self(parameters))
    }
}

impl Parameters {
    /// The parameter's first value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// The parameter's values, those of a comma list apart.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.get(name).into_iter().flatten().flat_map(|value| value.split(',')).map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    /// The parameter's value, which must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ErrorReply> {
        self.get(name).ok_or_else(|| ErrorReply::bad_request(format!("the query parameter `{name}` is required and missing")))
    }

    /// The parameter's value as yes or no, in any of the words and cases that the framework of Kayenta takes.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ErrorReply> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(Some(true)),
            "false" | "off" | "no" | "0" => Ok(Some(false)),
            _ => Err(ErrorReply::bad_request(format!("the query parameter `{name}={}` is neither `true` nor `false`", shown(value)))),
        }
    }

    /// The parameter's value as a number of this kind.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, ErrorReply> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    let shown: String = value.chars().take(60).collect();
                    ErrorReply::bad_request(format!("the query parameter `{name}={shown}` is not {what}"))
                })
            })
            .transpose()
    }
}
