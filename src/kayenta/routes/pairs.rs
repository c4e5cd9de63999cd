//! `/metricSetPairList` and `/metricSetList`: the series that were judged. Those of an execution follow from it; others need a store.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use haldane_judges::JudgeName;
use haldane_judges::evidence::{ABSENT, Arm, Observation, Points, is_absent};
use serde_json::{Map, Value, json};

use crate::access::Requester;
use crate::analysis::{ArmSamples, MetricProvenance, Scorecard};
use crate::archive::{DocumentKind, MAX_PAGE};
use crate::intake::HeldMemory;
use crate::kayenta::answering::archive::absent;
use crate::kayenta::answering::payload::{Payload, execution_of_pairs, new_id};
use crate::kayenta::answering::prepare::{ExecutionPlan, named};
use crate::kayenta::answering::reply::{ErrorReply, JsonDocument, Parameters, Path, written};
use crate::kayenta::answering::result::PairIdentity;
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::reading::pairs::read_pairs;
use crate::kayenta::routes::foreign::refuse_execution;
use crate::kayenta::wire::instant::java_text;
use crate::kayenta::wire::refusal::shown as shown_text;
use crate::kayenta::wire::values::{at_second, number, put_time};
use crate::source::Window;

/// Longest wait for an execution whose series are asked for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// `GET /metricSetPairList/{id}`.
pub(crate) async fn get(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("accountName"))?;
    let (pairs, memory) = edge.pairs(&caller, &id).await?;
    Ok(written(pairs, memory).await)
}

/// `GET /metricSetPairList/{id}/{pairId}`.
pub(crate) async fn get_one(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path((id, pair)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("accountName"))?;
    let (pairs, memory) = edge.pairs(&caller, &id).await?;
    let found = pairs.as_array().into_iter().flatten().find(|one| one["id"] == pair.as_str());
    Ok(match found {
        Some(pair) => written(pair.clone(), memory).await,
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

impl Edge {
    /// A list of metric set pairs: that of an execution of the caller's, or one that was stored, which does not say whose it is.
    pub(crate) async fn pairs(&self, caller: &Requester, id: &str) -> Result<(Value, Option<HeldMemory>), ErrorReply> {
        if let Some(store) = self.store()
            && let Some(found) = store.get::<Value>(DocumentKind::MetricSetPairList, id).await.or_else(absent)?
        {
            caller.is_unbound()?;
            return Ok((found.value, found.memory));
        }
        let unknown = || ErrorReply::not_found(format!("there is no list of metric set pairs with the id `{}`", shown_text(id)));
        let decoded = self.open(execution_of_pairs(id).ok_or_else(unknown)?).await?;
        refuse_execution(caller, &decoded)?;
        let Payload::Canary(payload) = &decoded.payload else { return Err(unknown()) };
        // The standing begins the execution where it is not known; then there is an end to wait for.
        let mut standing = self.standing(&decoded, payload).await?;
        if !standing.progress.status().is_complete() {
            self.executions.look(&decoded.identity, PATIENCE).await?;
            standing = self.standing(&decoded, payload).await?;
        }
        match (standing.progress.series(), &standing.prepared) {
            (Some(scorecard), Some(prepared)) => {
                if scorecard.samples.0.is_none() && !scorecard.has_samples() {
                    return Err(ErrorReply::not_found("the series of this execution were too many to be kept; its result was"));
                }
                // As long as it would be if it were kept.
                let memory = self.intake().document(scorecard.size() as u64).map_err(|busy| ErrorReply::unavailable(busy.to_string()))?;
                Ok((of_scorecard(prepared, &named(&decoded.identity, scorecard), scorecard), Some(memory)))
            }
            _ if !standing.progress.status().is_complete() => {
                Err(ErrorReply::unavailable("the execution has not ended yet; ask again in a few seconds"))
            }
            _ => Err(ErrorReply::not_found("the execution gave no result, so that there are no metric set pairs")),
        }
    }
}

/// The pairs of an execution, in the order of its results.
fn of_scorecard(prepared: &ExecutionPlan, named: &[PairIdentity], scorecard: &Scorecard) -> Value {
    let gaps = if scorecard.judgement.judge == JudgeName::NetflixAca { Gaps::Closed } else { Gaps::Kept };
    let pair = |(i, (data, named)): (usize, (&MetricProvenance, &PairIdentity))| {
        let metric = data.series_of.as_ref().unwrap_or(&data.name);
        let windows = prepared.windows(metric);
        let query = |arm: Arm| {
            let asked = data.queries.iter().find(|query| query.arm == arm);
            asked.map_or_else(|| json!({}), |query| json!({ "query": query.query }))
        };
        let (control, experiment) = points(scorecard, i);
        let (control, experiment) = (side(&control, windows.0, gaps), side(&experiment, windows.1, gaps));
        json!({
            "name": named.name,
            "id": named.id,
            "tags": named.tags,
            "values": { "control": control.values, "experiment": experiment.values },
            "scopes": { "control": control.scope, "experiment": experiment.scope },
            "attributes": { "control": query(Arm::Baseline), "experiment": query(Arm::Canary) },
        })
    };
    scorecard.data.metrics.iter().zip(named).enumerate().map(pair).collect()
}

/// The points of both arms of a metric by its place, the baseline's first.
fn points(scorecard: &Scorecard, place: usize) -> (Vec<f64>, Vec<f64>) {
    if let Some(evidence) = &scorecard.samples.0 {
        return match evidence.observations.get(place) {
            Some(Observation::Sampled { baseline, canary }) => (numbers(&baseline.points), numbers(&canary.points)),
            Some(Observation::Failed(_)) | None => (Vec::new(), Vec::new()),
        };
    }
    // From a store, which keeps no more of a missing point than that it is missing: where the judge counted it, it was one that is no number.
    let outcome = scorecard.judgement.metrics.get(place).and_then(|metric| metric.aca.as_ref());
    let kept = |arm: &ArmSamples, counted: Option<u64>| {
        let points = arm.numbers();
        let missing = if counted == Some(points.len() as u64) { f64::NAN } else { ABSENT };
        points.into_iter().map(|point| point.unwrap_or(missing)).collect()
    };
    match scorecard.data.metrics.get(place).and_then(|metric| metric.samples.as_ref()) {
        Some(samples) => (
            kept(&samples.baseline, outcome.map(|outcome| outcome.control.count as u64)),
            kept(&samples.canary, outcome.map(|outcome| outcome.experiment.count as u64)),
        ),
        None => (Vec::new(), Vec::new()),
    }
}

/// One number an interval.
fn numbers(points: &Points) -> Vec<f64> {
    match points {
        Points::Values(values) => values.clone(),
        Points::Counts { events, totals } => events.iter().zip(totals).map(|(event, total)| event / total).collect(),
        Points::Buckets(buckets) => buckets.quantiles(0.5),
    }
}

/// What becomes of the times at which a store has no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gaps {
    /// Each is `"NaN"`, which Haldane's judges read as a missing point.
    Kept,
    /// They are left out, as in Kayenta, and later values close up: its judge may replace a `"NaN"` by 0, and would give the same pairs
    /// another result when they are judged again.
    Closed,
}

/// One side of a pair.
#[derive(Debug, Default)]
struct ShownSide {
    values: Vec<Value>,
    scope: Map<String, Value>,
}

fn side(values: &[f64], window: Option<Window>, gaps: Gaps) -> ShownSide {
    let shown = |value: &&f64| gaps == Gaps::Kept || !is_absent(**value);
    let first = values.iter().position(|value| shown(&value)).unwrap_or(0);
    let mut scope = Map::new();
    if let Some(window) = window {
        let step = i64::from(window.step_seconds);
        let start = window.first_point().saturating_add(step.saturating_mul(i64::try_from(first).unwrap_or(0)));
        put_time(&mut scope, "startTime", at_second(start));
        scope.insert("stepMillis".to_owned(), (step * 1000).into());
    }
    ShownSide { values: values.iter().filter(shown).copied().map(number).collect(), scope }
}

/// What can be written to `/metricSetPairList` and `/metricSetList`.
#[derive(Clone, Copy)]
pub(crate) struct Lists {
    kind: DocumentKind,
    id_field: &'static str,
}

pub(crate) const PAIR_LISTS: Lists = Lists { kind: DocumentKind::MetricSetPairList, id_field: "metricSetPairListId" };
pub(crate) const SET_LISTS: Lists = Lists { kind: DocumentKind::MetricSetList, id_field: "metricSetListId" };

impl Lists {
    /// Stores a list under a new id.
    pub(crate) async fn create(self, edge: &Edge, parameters: &Parameters, body: Value) -> Result<Json<Value>, ErrorReply> {
        edge.other_account(parameters.get("accountName"))?;
        if !body.is_array() {
            return Err(ErrorReply::bad_request("the body is an array"));
        }
        let store = edge.store_or_refuse("lists of metric sets cannot be written here")?;
        let id = new_id();
        store.create(self.kind, &id, &body).await?;
        Ok(Json(json!({ self.id_field: id })))
    }

    /// Lists what is stored.
    pub(crate) async fn list(self, edge: &Edge, parameters: &Parameters) -> Result<Json<Value>, ErrorReply> {
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
                        "updatedTimestampIso": java_text(entry.updated),
                    })
                })
                .collect(),
        ))
    }

    /// Deletes what is stored.
    pub(crate) async fn delete(self, edge: &Edge, id: &str, parameters: &Parameters) -> Result<StatusCode, ErrorReply> {
        edge.other_account(parameters.get("accountName"))?;
        let store = edge.store_or_refuse("lists of metric sets cannot be deleted here")?;
        if store.delete(self.kind, id).await? {
            Ok(StatusCode::NO_CONTENT)
        } else {
            Err(ErrorReply::not_found(format!("there is no list with the id `{}` to delete", shown_text(id))))
        }
    }
}

/// `POST /metricSetPairList`.
pub(crate) async fn create_pairs(
    State(edge): State<SharedEdge>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    read_pairs(&body.0)?;
    PAIR_LISTS.create(&edge, &parameters, body.0).await
}

/// `GET /metricSetPairList`.
pub(crate) async fn list_pairs(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, ErrorReply> {
    PAIR_LISTS.list(&edge, &parameters).await
}

/// `DELETE /metricSetPairList/{id}`.
pub(crate) async fn delete_pairs(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode, ErrorReply> {
    PAIR_LISTS.delete(&edge, &id, &parameters).await
}

/// `POST /metricSetList`.
pub(crate) async fn create_sets(
    State(edge): State<SharedEdge>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    SET_LISTS.create(&edge, &parameters, body.0).await
}

/// `GET /metricSetList`.
pub(crate) async fn list_sets(State(edge): State<SharedEdge>, parameters: Parameters) -> Result<Json<Value>, ErrorReply> {
    SET_LISTS.list(&edge, &parameters).await
}

/// `DELETE /metricSetList/{id}`.
pub(crate) async fn delete_sets(
    State(edge): State<SharedEdge>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode, ErrorReply> {
    SET_LISTS.delete(&edge, &id, &parameters).await
}
