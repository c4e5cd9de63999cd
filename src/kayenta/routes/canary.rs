//! `/canary`: starting judgements, asking how they are, listing them.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::access::Requester;
use crate::archive::MAX_PAGE;
use crate::judgements::Failure;
use crate::kayenta::answering::archive;
use crate::kayenta::answering::execution::{AD_HOC, config_and_request, keep_when_ended, origin};
use crate::kayenta::answering::payload::{CanaryPayload, Execution, Payload, RequestOrigin};
use crate::kayenta::answering::prepare;
use crate::kayenta::answering::reply::{ErrorReply, JsonDocument, Parameters, Path, written};
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::answering::word::ExecutionStatus;
use crate::kayenta::routes::configs::refuse_foreign;
use crate::kayenta::routes::foreign::{refuse_execution, refuse_status};
use crate::kayenta::wire::refusal::shown as shown_text;

/// Judgements a page of the list has, and how many it may have.
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 500;

/// `POST /canary`: judges with a config that comes with the request.
pub(crate) async fn start_ad_hoc(
    State(edge): State<SharedEdge>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    let (config, request) = config_and_request(body.0)?;
    let kind = prepare::first_kind(&config);
    let origin = origin(&edge, &parameters, AD_HOC, AD_HOC, kind.as_deref(), false)?;
    start(&edge, origin, config, request).await
}

/// `POST /canary/{canaryConfigId}`: judges with a stored config.
pub(crate) async fn start_stored(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let config = edge.config(&id).await?;
    refuse_foreign(&caller, &id, &config)?;
    let kind = prepare::first_kind(&config);
    let origin = origin(&edge, &parameters, "haldane", &id, kind.as_deref(), true)?;
    start(&edge, origin, config, body.0).await
}

async fn start(edge: &SharedEdge, origin: RequestOrigin, config: Value, request: Value) -> Result<Json<Value>, ErrorReply> {
    let payload = CanaryPayload { origin, config, request };
    let prepared = prepare::canary(edge, &payload)?;
    let created = edge.now();
    let identity = edge.identify(Payload::Canary(payload.clone()), created, rand::random()).await?;
    let begun = match edge.executions.follow(identity.clone(), prepared.request, false) {
        // No client repeats this request, and every one asks how it stands: then it is begun.
        Err(Failure::Overloaded) => {
            tracing::warn!("too many judgements are running; one begins when it is asked for");
            false
        }
        followed => followed.map(|()| true)?,
    };
    edge.remember(&payload.origin, &identity, created).await;
    if begun {
        keep_when_ended(edge, Execution { payload: Payload::Canary(payload), identity: identity.clone(), created });
    }
    Ok(Json(json!({ "canaryExecutionId": identity.id })))
}

/// `GET /canary/{canaryExecutionId}`: how an execution is, and its result.
pub(crate) async fn get(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let other = || {
        let id = shown_text(&id);
        ErrorReply::bad_request(format!("`{id}` is no canary execution; a standalone analysis is asked for at /standalone_canary_analysis"))
    };
    if let Some(archived) = edge.archived(&id).await? {
        refuse_status(&caller, &archived.value)?;
        return if archive::is_of_analysis(&archived.value) { Err(other()) } else { Ok(written(archived.value, archived.memory).await) };
    }
    let decoded = edge.open(&id).await?;
    refuse_execution(&caller, &decoded)?;
    let Payload::Canary(payload) = &decoded.payload else { return Err(other()) };
    Ok(written(edge.canary_status(&decoded, payload).await?, None).await)
}

/// `GET /canary/executions`: the executions of an application, newest first.
pub(crate) async fn list(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let application = parameters.get("application").unwrap_or(AD_HOC);
    let limit = parameters.parsed::<usize>("limit", "a number of executions, such as 20")?.unwrap_or(PAGE).min(LARGEST_PAGE);
    let page = parameters.parsed::<usize>("page", "the number of a page, from 1")?.unwrap_or(1).max(1);
    let status = |word: &str| {
        word.parse::<ExecutionStatus>().map_err(|_| {
            let known = ExecutionStatus::ALL.map(ExecutionStatus::upper).join(", ");
            ErrorReply::bad_request(format!("the query parameter `statuses` has `{}`; a status is one of {known}", shown_text(word)))
        })
    };
    let statuses: Vec<ExecutionStatus> = parameters.all("statuses").into_iter().map(status).collect::<Result<_, _>>()?;
    // Never closed.
    let _turn = edge.lists.acquire().await;
    let mut skipped = limit.saturating_mul(page - 1);
    let mut found = Vec::new();
    for id in edge.listed(application).await? {
        if found.len() >= limit {
            break;
        }
        let Some(status) = edge.remembered_status(&id).await? else { continue };
        let stands = status["status"].as_str().and_then(|word| word.parse().ok());
        let wanted = statuses.is_empty() || stands.is_some_and(|stands| statuses.contains(&stands));
        // An application's executions may be by other configs, or from other sources, than a token is bound to.
        if !wanted || refuse_status(&caller, &status).is_err() {
            continue;
        }
        if skipped > 0 {
            skipped -= 1;
        } else {
            found.push(status);
        }
    }
    Ok(written(found.into(), None).await)
}

impl Edge {
    /// The ids of an application's executions, newest first.
    async fn listed(&self, application: &str) -> Result<Vec<String>, ErrorReply> {
        match self.store() {
            Some(store) => Ok(store.newest(application, MAX_PAGE, 0).await?.into_iter().map(|entry| entry.id).collect()),
            None => Ok(self.recent(application).into_iter().map(|recent| recent.identity.id).collect()),
        }
    }

    /// The status of a canary execution that is still known; looking at a list runs nothing again.
    async fn remembered_status(&self, id: &str) -> Result<Option<Value>, ErrorReply> {
        if let Some(archived) = self.archived(id).await? {
            return Ok(Some(archived.value));
        }
        let decoded = match self.open(id).await {
            Ok(decoded) => decoded,
            // Thrown away by whoever owns the store.
            Err(refused) if refused.status == StatusCode::NOT_FOUND => return Ok(None),
            Err(refused) => return Err(refused),
        };
        let Payload::Canary(payload) = &decoded.payload else { return Ok(None) };
        if self.executions.look(&decoded.identity, Duration::ZERO).await?.is_none() {
            return Ok(None);
        }
        self.canary_status(&decoded, payload).await.map(Some)
    }
}
