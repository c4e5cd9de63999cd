//! Links to a judgement for people, whose browsers send no token.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::judgements::refuse_foreign;
use super::problem::Problem;
use super::state::SharedState;
use crate::access::Requester;

/// A link that needs no token.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct JudgementLink {
    /// Where the judgement is, from the service's root on.
    url: String,
    /// When the link ends.
    #[schemars(with = "String")]
    expires: Timestamp,
}

/// Make a link to a judgement
///
/// Whoever has it may look at this judgement, in every form, until the link ends, and at nothing else: a browser sends no token. Any replica
/// with the same key follows it. Whether there is such a judgement is looked at only for a token that is bound to certain ones.
#[utoipa::path(
    get, path = "/v1/judgements/{id}/link", tag = "judgements", operation_id = "linkJudgement",
    params(("id" = String, Path, description = "The `id` of a scorecard, or of the answer 202")),
    responses(
        (status = 200, description = "The link", body = ref("#/components/schemas/JudgementLink"), content_type = "application/json"),
        (status = 404, description = "The id is no id, or, to a bound token, that of no judgement", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub(crate) async fn link(
    State(state): State<SharedState>,
    Extension(caller): Extension<Requester>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<JudgementLink>, Problem> {
    let is_id = |id: &String| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let id = id.ok().map(|Path(id)| id).filter(is_id);
    let id = id.ok_or_else(|| Problem::not_found("unknown-judgement", "no such judgement: the id is not base64url text"))?;
    refuse_foreign(&state, &caller, &id).await?;
    let (url, expires) = state.access.link(&id);
    Ok(Json(JudgementLink { url, expires }))
}
