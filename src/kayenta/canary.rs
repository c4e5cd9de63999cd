//! `/canary`: starting judgements, asking how they are, listing them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::archive;
use super::payload::{CanaryPayload, Decoded, Origin, Payload};
use super::prepare::{self, Prepared, named};
use super::refusal::shown as shown_text;
use super::reply::{Document, Parameters, Path, Refused};
use super::result;
use super::state::{Edge, SharedEdge};
use super::status::{self, Progress};
use crate::analysis::Scorecard;
use crate::archive::MAX_PAGE;
use crate::judgements::{Failure, Identity, Snapshot};

/// Judgements a page of the list has, and how many it may have.
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 500;
/// The application of a request that names none.
pub(super) const AD_HOC: &str = "ad-hoc";

/// `POST /canary`: judges with a config that comes with the request.
pub(super) async fn start_ad_hoc(State(edge): State<SharedEdge>, parameters: Parameters, body: Document) -> Result<Json<Value>, Refused> {
    let (config, request) = config_and_request(body.0)?;
    let kind = prepare::first_kind(&config);
    let origin = origin(&edge, &parameters, AD_HOC, AD_HOC, kind.as_deref(), false)?;
    start(&edge, origin, config, request).await
}

/// `POST /canary/{canaryConfigId}`: judges with a stored config.
pub(super) async fn start_stored(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
    body: Document,
) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let config = edge.config(&id).await?;
    let kind = prepare::first_kind(&config);
    let origin = origin(&edge, &parameters, "haldane", &id, kind.as_deref(), true)?;
    start(&edge, origin, config, body.0).await
}

/// Takes a body of `canaryConfig` and `executionRequest` apart.
pub(super) fn config_and_request(body: Value) -> Result<(Value, Value), Refused> {
    let Value::Object(mut body) = body else {
        return Err(Refused::bad_request("the body is an object with `canaryConfig` and `executionRequest`"));
    };
    let mut part = |name: &str| {
        body.remove(name).filter(|value| !value.is_null()).ok_or_else(|| Refused::bad_request(format!("/{name}: is required and missing")))
    };
    Ok((part("canaryConfig")?, part("executionRequest")?))
}

/// Who asked and with which accounts, each of which must be known.
pub(super) fn origin(
    edge: &Edge,
    parameters: &Parameters,
    default_application: &str,
    config_id: &str,
    kind: Option<&str>,
    stored: bool,
) -> Result<Origin, Refused> {
    let metrics_account = edge.metrics_account(parameters.get("metricsAccountName"), kind)?.name().to_owned();
    let configuration_account = edge.other_account(parameters.get("configurationAccountName"))?;
    Ok(Origin {
        application: parameters.get("application").unwrap_or(default_application).to_owned(),
        parent_pipeline_execution_id: parameters.get("parentPipelineExecutionId").map(str::to_owned),
        metrics_account: Some(metrics_account),
        storage_account: edge.other_account(parameters.get("storageAccountName"))?,
        configuration_account: configuration_account.filter(|_| stored),
        canary_config_id: config_id.to_owned(),
    })
}

async fn start(edge: &SharedEdge, origin: Origin, config: Value, request: Value) -> Result<Json<Value>, Refused> {
    let payload = CanaryPayload { origin, config, request };
    // Kayenta starts what names a judge that is not there, and the judging fails.
    let prepared = prepare::unless_judge_unknown(prepare::canary(edge, &payload))?;
    let created = edge.now();
    let identity = edge.identify(Payload::Canary(payload.clone()), created, rand::random()).await?;
    let begun = match prepared.map(|prepared| edge.executions.follow(identity.clone(), prepared.request, false)) {
        // No client repeats this request, and every one asks how it stands: then it is begun.
        Some(Err(Failure::Overloaded)) => {
            tracing::warn!("too many judgements are running; one begins when it is asked for");
            false
        }
        Some(followed) => followed.map(|()| true)?,
        None => false,
    };
    edge.remember(&payload.origin, &identity, created).await;
    if begun {
        archive::keep_when_ended(edge, Decoded { payload: Payload::Canary(payload), identity: identity.clone(), created });
    }
    Ok(Json(json!({ "canaryExecutionId": identity.id })))
}

/// `GET /canary/{canaryExecutionId}`: how an execution is, and its result.
pub(super) async fn get(State(edge): State<SharedEdge>, Path(id): Path<String>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let other = || {
        let id = shown_text(&id);
        Refused::bad_request(format!("`{id}` is no canary execution; a standalone analysis is asked for at /standalone_canary_analysis"))
    };
    if let Some(archived) = edge.archived(&id).await? {
        return if archive::is_of_analysis(&archived) { Err(other()) } else { Ok(Json(archived)) };
    }
    let decoded = edge.open(&id).await?;
    let Payload::Canary(payload) = &decoded.payload else { return Err(other()) };
    Ok(Json(edge.canary_status(&decoded, payload).await?))
}

/// How one execution is known to stand.
pub(super) struct Standing {
    pub(super) progress: Progress,
    pub(super) prepared: Option<Prepared>,
}

impl Edge {
    /// How an execution stands. It is run again where it is not known, so that any replica answers.
    pub(super) async fn standing(&self, decoded: &Decoded, payload: &CanaryPayload) -> Result<Standing, Refused> {
        let prepared = match prepare::canary(self, payload) {
            Ok(prepared) => prepared,
            // Accepted once; since then a setting has changed, or this replica has other ones.
            Err(refused) => return Ok(Standing { progress: Progress::refused(decoded.created, refused.message), prepared: None }),
        };
        let mut seen = self.executions.look(&decoded.identity, Duration::ZERO).await?;
        if seen.is_none() {
            match self.executions.follow(decoded.identity.clone(), prepared.request.clone(), true) {
                Ok(()) => seen = self.executions.look(&decoded.identity, Duration::ZERO).await?,
                // Argo Rollouts takes any answer but 200 for an error of the measurement.
                Err(Failure::Overloaded) => {}
                Err(failure) => {
                    let progress = Progress::refused(decoded.created, failure.to_string());
                    return Ok(Standing { progress, prepared: Some(prepared) });
                }
            }
        }
        let progress = match seen {
            None => Progress::Running { started: self.now() },
            Some(Snapshot::Running { started }) => Progress::Running { started },
            Some(Snapshot::Ended(run)) => Progress::Ended(run),
        };
        Ok(Standing { progress: progress.judged(), prepared: Some(prepared) })
    }

    /// The status of an execution, as Kayenta writes it.
    pub(super) async fn canary_status(&self, decoded: &Decoded, payload: &CanaryPayload) -> Result<Value, Refused> {
        let standing = self.standing(decoded, payload).await?;
        Ok(status::canary(decoded, payload, &standing))
    }
}

/// The result of an execution that gave a scorecard.
pub(super) fn canary_result(prepared: &Prepared, identity: &Identity, scorecard: &Scorecard) -> Value {
    let named = named(identity, scorecard);
    let mut result = Map::new();
    result.insert("judgeResult".to_owned(), result::judge_result(scorecard, &named, prepared.thresholds));
    if let Some(duration) = prepared.duration_seconds {
        result.insert("canaryDuration".to_owned(), super::wire::duration(duration).into());
    }
    result.into()
}

/// `GET /canary/executions`: the executions of an application, newest first.
pub(super) async fn list(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let application = parameters.get("application").unwrap_or(AD_HOC);
    let limit = parameters.parsed::<usize>("limit", "a number of executions, such as 20")?.unwrap_or(PAGE).min(LARGEST_PAGE);
    let page = parameters.parsed::<usize>("page", "the number of a page, from 1")?.unwrap_or(1).max(1);
    let statuses: Vec<String> = parameters.all("statuses").into_iter().map(str::to_lowercase).collect();
    // Never closed.
    let _turn = edge.lists.acquire().await;
    let mut skipped = limit.saturating_mul(page - 1);
    let mut found = Vec::new();
    for id in edge.listed(application).await? {
        if found.len() >= limit {
            break;
        }
        let Some(status) = edge.remembered_status(&id).await? else { continue };
        let wanted = statuses.is_empty() || status["status"].as_str().is_some_and(|status| statuses.iter().any(|wanted| wanted == status));
        if !wanted {
            continue;
        }
        if skipped > 0 {
            skipped -= 1;
        } else {
            found.push(status);
        }
    }
    Ok(Json(found.into()))
}

impl Edge {
    /// The ids of an application's executions, newest first.
    async fn listed(&self, application: &str) -> Result<Vec<String>, Refused> {
        match self.store() {
            Some(store) => Ok(store.newest(application, MAX_PAGE, 0).await?.into_iter().map(|entry| entry.id).collect()),
            None => Ok(self.recent(application).into_iter().map(|recent| recent.identity.id).collect()),
        }
    }

    /// The status of a canary execution that is still known; looking at a list runs nothing again.
    async fn remembered_status(&self, id: &str) -> Result<Option<Value>, Refused> {
        if let Some(archived) = self.archived(id).await? {
            return Ok(Some(archived));
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
