//! `/metricSetPairList` and `/metricSetList`: the series that were judged. Those of an execution follow from it; others need a store.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::archive::absent;
use super::configs::new_id;
use super::payload::{Payload, execution_of_pairs};
use super::prepare::{Prepared, named};
use super::refusal::shown as shown_text;
use super::reply::{Document, Parameters, Path, Refused};
use super::result::Named;
use super::state::{Edge, SharedEdge};
use super::status::Progress;
use super::wire::{at_second, number, put_time};
use crate::analysis::{ArmSamples, Scorecard};
use crate::archive::{Kind, MAX_PAGE};
use crate::judgements::Run;
use crate::source::Window;

/// Longest wait for an execution whose series are asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// `GET /metricSetPairList/{id}`.
pub(super) async fn get(State(edge): State<SharedEdge>, Path(id): Path<String>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    edge.other_account(parameters.get("accountName"))?;
    Ok(Json(edge.pairs(&id).await?))
}

/// `GET /metricSetPairList/{id}/{pairId}`.
pub(super) async fn get_one(
    State(edge): State<SharedEdge>,
    Path((id, pair)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    edge.other_account(parameters.get("accountName"))?;
    let pairs = edge.pairs(&id).await?;
    let found = pairs.as_array().into_iter().flatten().find(|one| one["id"] == pair.as_str());
    Ok(found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |pair| Json(pair.clone()).into_response()))
}

impl Edge {
    /// A list of metric set pairs: that of an execution, or one that was stored.
    pub(super) async fn pairs(&self, id: &str) -> Result<Value, Refused> {
        if let Some(store) = self.store()
            && let Some(found) = store.get::<Value>(Kind::MetricSetPairList, id).await.or_else(absent)?
        {
            return Ok(found.value);
        }
        let unknown = || Refused::not_found(format!("there is no list of metric set pairs with the id `{}`", shown_text(id)));
        let decoded = self.open(execution_of_pairs(id).ok_or_else(unknown)?).await?;
        let Payload::Canary(payload) = &decoded.payload else { return Err(unknown()) };
        // The standing begins the execution where it is not known; then there is an end to wait for.
        let mut standing = self.standing(&decoded, payload).await?;
        if !standing.progress.is_complete() {
            self.executions.look(&decoded.identity, PATIENCE).await?;
            standing = self.standing(&decoded, payload).await?;
        }
        match (&standing.progress, &standing.prepared) {
            (Progress::Ended(Run { ending: Ok(scorecard), .. }), Some(prepared)) => {
                let scorecard = Scorecard::clone(scorecard).with_samples();
                if scorecard.data.metrics.iter().any(|metric| metric.samples.is_none() && metric.statistics.is_some()) {
                    return Err(Refused::not_found("the series of this execution were too many to be kept; its result was"));
                }
                Ok(of_scorecard(prepared, &named(&decoded.identity, &scorecard), &scorecard))
            }
            (Progress::Running { .. }, _) => Err(Refused::unavailable("the execution has not ended yet; ask again in a few seconds")),
            _ => Err(Refused::not_found("the execution gave no result, so that there are no metric set pairs")),
        }
    }
}

/// The pairs of an execution, in the order of its results.
pub(super) fn of_scorecard(prepared: &Prepared, named: &[Named], scorecard: &Scorecard) -> Value {
    let pair = |(data, named): (&crate::analysis::MetricProvenance, &Named)| {
        let metric = data.series_of.as_ref().unwrap_or(&data.name);
        let windows = prepared.windows(metric);
        let query = |arm: &str| {
            let asked = data.queries.iter().find(|query| query.arm.to_string() == arm);
            asked.map_or_else(|| json!({}), |query| json!({ "query": query.query }))
        };
        let samples = data.samples.as_ref();
        json!({
            "name": named.name,
            "id": named.id,
            "tags": named.tags,
            "values": {
                "control": values(samples.map(|samples| &samples.baseline)),
                "experiment": values(samples.map(|samples| &samples.canary)),
            },
            "scopes": { "control": scope(windows.0), "experiment": scope(windows.1) },
            "attributes": { "control": query("baseline"), "experiment": query("canary") },
        })
    };
    scorecard.data.metrics.iter().zip(named).map(pair).collect()
}

fn values(arm: Option<&ArmSamples>) -> Vec<Value> {
    arm.map(ArmSamples::numbers).unwrap_or_default().iter().map(|value| number(value.unwrap_or(f64::NAN))).collect()
}

fn scope(window: Option<Window>) -> Value {
    let mut scope = Map::new();
    if let Some(window) = window {
        put_time(&mut scope, "startTime", at_second(window.first_point()));
        scope.insert("stepMillis".to_owned(), (i64::from(window.step_seconds) * 1000).into());
    }
    scope.into()
}

/// What can be written to `/metricSetPairList` and `/metricSetList`.
#[derive(Clone, Copy)]
pub(super) struct Lists {
    kind: Kind,
    id_field: &'static str,
}

pub(super) const PAIR_LISTS: Lists = Lists { kind: Kind::MetricSetPairList, id_field: "metricSetPairListId" };
pub(super) const SET_LISTS: Lists = Lists { kind: Kind::MetricSetList, id_field: "metricSetListId" };

impl Lists {
    /// Stores a list under a new id.
    pub(super) async fn create(self, edge: &Edge, parameters: &Parameters, body: Value) -> Result<Json<Value>, Refused> {
        edge.other_account(parameters.get("accountName"))?;
        if !body.is_array() {
            return Err(Refused::bad_request("the body is an array"));
        }
        let store = edge.store_or_refuse("lists of metric sets cannot be written here")?;
        let id = new_id();
        store.create(self.kind, &id, &body).await?;
        Ok(Json(json!({ self.id_field: id })))
    }

    /// Lists what is stored.
    pub(super) async fn list(self, edge: &Edge, parameters: &Parameters) -> Result<Json<Value>, Refused> {
        edge.other_account(parameters.get("accountName"))?;
        let Some(store) = edge.store() else { return Ok(Json(json!([]))) };
        let entries = store.list(self.kind, None, MAX_PAGE).await?;
        Ok(Json(
            entries
                .into_iter()
                .map(|entry| {
                    json!({
                        "id": entry.id,
                        "updatedTimestamp": entry.updated.as_millisecond(),
                        "updatedTimestampIso": super::instant::java_text(entry.updated),
                    })
                })
                .collect(),
        ))
    }

    /// Deletes what is stored.
    pub(super) async fn delete(self, edge: &Edge, id: &str, parameters: &Parameters) -> Result<StatusCode, Refused> {
        edge.other_account(parameters.get("accountName"))?;
        let store = edge.store_or_refuse("lists of metric sets cannot be deleted here")?;
        if store.delete(self.kind, id).await? {
            Ok(StatusCode::NO_CONTENT)
        } else {
            Err(Refused::not_found(format!("there is no list with the id `{}` to delete", shown_text(id))))
        }
    }
}

/// `POST /metricSetPairList`.
pub(super) async fn create_pairs(State(edge): State<SharedEdge>, parameters: Parameters, body: Document) -> Result<Json<Value>, Refused> {
    super::remote::read_pairs(&body.0)?;
    PAIR_LISTS.create(&edge, &parameters, body.0).await
}

/// `GET /metricSetPairList`.
pub(super) async fn list_pairs(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    PAIR_LISTS.list(&edge, &parameters).await
}

/// `DELETE /metricSetPairList/{id}`.
pub(super) async fn delete_pairs(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode, Refused> {
    PAIR_LISTS.delete(&edge, &id, &parameters).await
}

/// `POST /metricSetList`.
pub(super) async fn create_sets(State(edge): State<SharedEdge>, parameters: Parameters, body: Document) -> Result<Json<Value>, Refused> {
    SET_LISTS.create(&edge, &parameters, body.0).await
}

/// `GET /metricSetList`.
pub(super) async fn list_sets(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, Refused> {
    SET_LISTS.list(&edge, &parameters).await
}

/// `DELETE /metricSetList/{id}`.
pub(super) async fn delete_sets(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode, Refused> {
    SET_LISTS.delete(&edge, &id, &parameters).await
}
