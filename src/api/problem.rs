//! What a caller reads when there is no answer: RFC 9457 `application/problem+json`, with a stable type, the field and the remedy.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haldane_judges::text::shortened;
use haldane_judges::{ConfigProblem, InvalidConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Denial;
use crate::analysis::AnalysisError;
use crate::archive::ArchiveError;
use crate::judgements::id::IdError;
use crate::judgements::{Failure, LookError, StartError};
use crate::source::SourceError;

/// Media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Longest text of a problem, in bytes, and most fields that it lists: a person reads it, and what it repeats may be megabytes.
pub(super) const LONGEST_TEXT: usize = 4 << 10;
const MOST_FIELDS: usize = 20;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Stable name of the kind of problem, such as `urn:haldane:problem:unknown-config`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The kind of problem in a few words.
    pub title: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// JSON pointer to the offending field of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Every offending field, where there may be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Seconds to wait before asking again; sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// One offending field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// JSON pointer to the field.
    pub pointer: String,
    /// What is wrong with it, and what to do.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_deref() {
            Some(pointer) if !pointer.is_empty() && self.errors.is_empty() => write!(f, "{pointer}: {}", self.detail),
            _ => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// A problem of a kind; `slug` is the last part of its type.
    pub fn new(status: StatusCode, slug: &str, title: &str, detail: impl fmt::Display) -> Self {
        Self {
            kind: format!("urn:haldane:problem:{slug}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.to_string(),
            pointer: None,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// A request whose body can be read but not used.
    pub fn invalid(pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::unprocessable("invalid-request", "The request cannot be used", pointer, detail)
    }

    /// A field that names or holds something that cannot be used.
    pub fn unprocessable(slug: &str, title: &str, pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title, detail);
        Self { pointer: Some(pointer.into()), ..problem }
    }

    /// A request that is malformed outside its body.
    pub fn bad_request(slug: &str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, slug, "The request cannot be read", detail)
    }

    /// A body longer than is read.
    pub fn too_large(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// Something that is not there.
    pub fn not_found(slug: &str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, slug, "Not found", detail)
    }

    /// Something that may work in a moment.
    pub fn come_back(slug: &str, title: &str, retry_after: u32, detail: impl fmt::Display) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, slug, title, detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// More work than is taken on.
    pub fn overloaded(detail: impl fmt::Display) -> Self {
        Self::come_back("overloaded", "The service is busy", 5, detail)
    }

    /// The problem with no text longer than a person reads.
    fn bounded(mut self) -> Self {
        let cut = |text: &mut String| {
            if text.len() > LONGEST_TEXT {
                *text = shortened(text, LONGEST_TEXT).into_owned();
            }
        };
        cut(&mut self.detail);
        self.pointer.iter_mut().for_each(cut);
        self.errors.truncate(MOST_FIELDS);
        for field in &mut self.errors {
            cut(&mut field.pointer);
            cut(&mut field.detail);
        }
        self
    }

    /// A fault of ours. Says nothing of its inside.
    #[must_use]
    pub fn fault() -> Self {
        let detail = "a fault in this program; the log of the server has the details under the x-request-id of this reply";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "The service failed", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = self.bounded();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Plain strings and numbers: this cannot fail, and an empty body still has its status.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))], body).into_response();
        if let Some(seconds) = problem.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        Self::new(denial.status, denial.slug, denial.title, denial.detail)
    }
}

impl From<ConfigProblem> for Problem {
    fn from(problem: ConfigProblem) -> Self {
        Self::invalid(problem.pointer, problem.message)
    }
}

impl From<InvalidConfig> for Problem {
    /// Pointers are those of the error; see [`ConfigProblem::below`] for a config inside something else.
    fn from(error: InvalidConfig) -> Self {
        let first = error.problems.first().map(|problem| problem.pointer.clone()).unwrap_or_default();
        let errors = error.problems.iter();
        Self {
            errors: errors.map(|problem| FieldProblem { pointer: problem.pointer.clone(), detail: problem.message.clone() }).collect(),
            ..Self::unprocessable("invalid-config", "The canary config cannot be used", first, &error)
        }
    }
}

impl From<&AnalysisError> for Problem {
    fn from(error: &AnalysisError) -> Self {
        match error {
            AnalysisError::Invalid { pointer, message } => Self::invalid(pointer, message),
            AnalysisError::InvalidConfig(error) => error.clone().into(),
            AnalysisError::Broken(_) => Self::fault(),
            AnalysisError::UnknownSource { .. } => Self::unprocessable("unknown-source", "There is no such source", "/source", error),
            AnalysisError::NothingFetched { error: cause, .. } => match cause {
                SourceError::Template(_)
                | SourceError::UnknownVariable { .. }
                | SourceError::Syntax(_)
                | SourceError::Refused(_)
                | SourceError::TooManySeries(_) => {
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, "query-refused", "The metric store refused every query", error)
                }
                SourceError::GaveUp(_) | SourceError::TimedOut { .. } => {
                    Self::new(StatusCode::GATEWAY_TIMEOUT, "source-timeout", "The metric store did not answer in time", error)
                }
                SourceError::RateLimited(_) | SourceError::NoTime { limited: true, .. } => {
                    Self::new(StatusCode::BAD_GATEWAY, "source-rate-limited", "The metric store allows no more requests now", error)
                }
                SourceError::Unreachable(_) | SourceError::NoTime { limited: false, .. } => {
                    Self::new(StatusCode::BAD_GATEWAY, "source-unreachable", "The metric store cannot be reached", error)
                }
                SourceError::Account(_) => {
                    Self::new(StatusCode::BAD_GATEWAY, "source-account", "The metric store turns the account away", error)
                }
                SourceError::Unreadable(_) | SourceError::TooLarge(_) | SourceError::Partial(_) => {
                    Self::new(StatusCode::BAD_GATEWAY, "source-unreadable", "The metric store's reply cannot be read", error)
                }
            },
        }
    }
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Analysis(error) => error.into(),
            Failure::Overloaded => Self::overloaded(failure),
            Failure::Crashed => Self::fault(),
            Failure::Cancelled => Self::new(StatusCode::CONFLICT, "cancelled", "The judgement was cancelled", failure.to_string()),
        }
    }
}

impl From<&IdError> for Problem {
    fn from(error: &IdError) -> Self {
        let no_id = |detail| Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-id", "The judgement cannot be polled", detail);
        match error {
            IdError::InlineSamples | IdError::TooLong { .. } | IdError::TooLarge { .. } => no_id(error.to_string()),
            IdError::Unwritable(_) => Self::fault(),
            IdError::NewerVersion(_) => Self::come_back("newer-id", "The id is of a newer release", 10, error),
            IdError::Unknown(_) => Self::not_found("unknown-judgement", error),
        }
    }
}

impl From<&StartError> for Problem {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Failure(failure) => failure.into(),
            StartError::Id(error) => error.into(),
            StartError::Archive(error) => error.into(),
        }
    }
}

impl From<&LookError> for Problem {
    fn from(error: &LookError) -> Self {
        match error {
            LookError::Id(error) => error.into(),
            LookError::Archive(error) => error.into(),
        }
    }
}

impl From<&ArchiveError> for Problem {
    fn from(error: &ArchiveError) -> Self {
        tracing::error!(%error, "the store failed a request");
        match error {
            ArchiveError::Full | ArchiveError::Refused(_) | ArchiveError::Unavailable(_) => {
                Self::come_back("store-unavailable", "The store of judgements cannot be used", 5, error.for_callers())
            }
            ArchiveError::Busy(why) => Self::overloaded(why),
            ArchiveError::TooLarge { .. } => Self::too_large(error.to_string()),
            ArchiveError::InvalidId { .. } | ArchiveError::Exists { .. } | ArchiveError::Corrupt { .. } | ArchiveError::TooFar(_) => {
                Self::fault()
            }
        }
    }
}
