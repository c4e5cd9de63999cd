//! `/kayenta/openapi.json`: the OpenAPI document of this edge, which is written by hand in `openapi/kayenta.json`: Kayenta's shapes are
//! given, and what is read of requests is more lenient than a type of ours says.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// The OpenAPI document.
pub(crate) const DOCUMENT: &str = include_str!("../../../openapi/kayenta.json");

/// `GET /kayenta/openapi.json`.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT).into_response()
}
