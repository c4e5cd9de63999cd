//! Why a request is turned away before anything is done about it. The reply is a problem (RFC 9457) with a `message`, which clients of
//! Kayenta's API read.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) status: StatusCode,
    /// The last part of the problem's type, and what it is counted by.
    pub(crate) slug: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    retry_after: Option<u64>,
}

impl Denial {
    fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, title, detail: detail.into(), retry_after: None }
    }

    /// No token, or none that counts.
    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A token is needed", detail)
    }

    /// A token that may not do this.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The token may not do this", detail)
    }

    /// A page of another origin.
    pub(super) fn cross_origin(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross-origin", "A page of another origin may not do this", detail)
    }

    /// A host that is not this service's.
    pub(super) fn unknown_host(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", "The host is not this service's", detail)
    }

    /// More requests than a token may send.
    pub(super) fn too_many(name: &str, per_minute: u32, retry_after: u64) -> Self {
        let detail = format!("the token `{name}` may send {per_minute} requests a minute; ask again in {retry_after} s");
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", detail) }
    }
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("urn:haldane:problem:{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "message": self.detail,
        });
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"haldane\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
