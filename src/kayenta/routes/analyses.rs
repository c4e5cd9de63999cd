//! `/standalone_canary_analysis`: judgements at intervals. There is no scheduler: how an analysis stands follows from its request and the
//! time, and whoever asks drives it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::access::Requester;
use crate::kayenta::answering::archive;
use crate::kayenta::answering::execution::{AD_HOC, config_and_request, keep_when_ended, origin};
use crate::kayenta::answering::interval::IntervalExecution;
use crate::kayenta::answering::payload::{CanaryPayload, Execution, Payload, RequestOrigin, StandalonePayload, identify, interval_random};
use crate::kayenta::answering::prepare;
use crate::kayenta::answering::reply::{ErrorReply, JsonDocument, Parameters, Path};
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::answering::status::put_origin;
use crate::kayenta::answering::word::ExecutionStatus;
use crate::kayenta::reading::model::CanaryConfig;
use crate::kayenta::reading::standalone::{AnalysisRequest, Schedule};
use crate::kayenta::routes::configs::refuse_foreign;
use crate::kayenta::routes::foreign::{refuse_execution, refuse_status};
use crate::kayenta::wire::instant::java_text;
use crate::kayenta::wire::refusal::shown as shown_text;
use crate::kayenta::wire::values::{at_second, put_time};

/// Points of the baseline below which a judgement gets a warning, as in Kayenta.
const FEW_POINTS: u64 = 50;
const FEW_POINTS_WARNING: &str =
    "One of the metrics returned fewer than 50 data points, which can reduce confidence in the final canary score.";
/// Longest wait for a judgement to stop.
const CANCELLING: Duration = Duration::from_secs(1);
/// Longest time that one request is held for judgements after which others are due already, on a replica that comes late.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// `POST /standalone_canary_analysis`.
pub(crate) async fn start_ad_hoc(
    State(edge): State<SharedEdge>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    let (config, request) = config_and_request(body.0)?;
    let kind = prepare::first_kind(&config);
    let origin = origin(&edge, &parameters, AD_HOC, AD_HOC, kind.as_deref(), false)?;
    start(&edge, &parameters, origin, config, request).await
}

/// `POST /standalone_canary_analysis/{canaryConfigId}`.
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
    let origin = origin(&edge, &parameters, AD_HOC, &id, kind.as_deref(), true)?;
    start(&edge, &parameters, origin, config, body.0).await
}

async fn start(
    edge: &Edge,
    parameters: &Parameters,
    origin: RequestOrigin,
    config: Value,
    request: Value,
) -> Result<Json<Value>, ErrorReply> {
    let analysis = AnalysisRequest::from_value(request.clone()).map_err(|refusal| refusal.below("/executionRequest"))?;
    // An id holds whole seconds, and every replica is to have the same windows.
    let now = at_second(edge.now().as_second());
    let schedule = analysis.schedule(now).map_err(|refusal| refusal.below("/executionRequest"))?;
    // Every judgement asks for the same things at other times, and where windows grow the last one has the most points.
    for number in [1, schedule.judgements] {
        let request = analysis.judgement(&schedule, number).map_err(|refusal| refusal.below("/executionRequest"))?;
        let judgement = CanaryPayload { origin: origin.clone(), config: config.clone(), request };
        edge.executions.plan(prepare::canary(edge, &judgement)?.request)?;
        if edge.store().is_none() {
            // A judgement's own id holds the config as well, and must not be too long when its turn comes.
            identify(&Payload::Canary(judgement), edge.executions.key(), now, 0)?;
        }
    }
    let user = parameters.get("user").unwrap_or("anonymous").to_owned();
    let payload = StandalonePayload { origin, user, config, request };
    let identity = edge.identify(Payload::Standalone(payload), now, rand::random()).await?;
    Ok(Json(json!({ "canaryAnalysisExecutionId": identity.id })))
}

/// `GET /standalone_canary_analysis/{id}`.
pub(crate) async fn get(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("storageAccountName"))?;
    let other = || {
        let id = shown_text(&id);
        ErrorReply::bad_request(format!("`{id}` is no standalone analysis; a canary execution is asked for at /canary"))
    };
    if let Some(archived) = edge.archived(&id).await? {
        refuse_status(&caller, &archived.value)?;
        return if archive::is_of_analysis(&archived.value) { Ok(Json(archived.value)) } else { Err(other()) };
    }
    let decoded = edge.open(&id).await?;
    refuse_execution(&caller, &decoded)?;
    let Payload::Standalone(payload) = &decoded.payload else { return Err(other()) };
    let status = edge.analysis_status(&decoded, payload).await?;
    if status["complete"] == true {
        edge.keep(&id, &status).await;
    }
    Ok(Json(status))
}

impl Edge {
    /// The execution of one interval, counted from 1. Its id follows from the analysis.
    async fn interval(
        &self,
        decoded: &Execution,
        payload: &StandalonePayload,
        request: Value,
        number: u32,
        due: Timestamp,
    ) -> Result<(Execution, CanaryPayload), ErrorReply> {
        let canary = interval_payload(payload, request);
        let inner = Payload::Canary(canary.clone());
        let identity = self.identify(inner.clone(), due, interval_random(&decoded.identity.key, number)).await?;
        Ok((Execution { payload: inner, identity, created: due }, canary))
    }

    /// The judgements that are due at a moment, in their order, up to the first that has not ended or that ends the analysis.
    async fn judgements(
        self: &SharedEdge,
        decoded: &Execution,
        payload: &StandalonePayload,
        analysis: &AnalysisRequest,
        schedule: &Schedule,
        moment: Moment,
    ) -> Result<Vec<IntervalExecution>, ErrorReply> {
        let marginal = analysis.thresholds()?.marginal;
        let patience = Instant::now() + CATCHING_UP;
        let mut found = Vec::new();
        for number in 1..=schedule.judgements {
            let due = schedule.due(number)?;
            if due > moment.at {
                break;
            }
            if let Some(ended) = self.intervals.get(&(decoded.identity.key, number)).await {
                let score = ended.score();
                found.push(ended);
                if score.is_none_or(|score| score <= marginal) {
                    break;
                }
                continue;
            }
            let (inner, canary) = self.interval(decoded, payload, analysis.judgement(schedule, number)?, number, due).await?;
            let id = inner.identity.id.clone();
            let status = match self.archived(&id).await? {
                Some(archived) => archived.value,
                None => {
                    let known = self.executions.look(&inner.identity, Duration::ZERO).await?.is_some();
                    if moment.cancelled && !known {
                        break;
                    }
                    let mut status = self.canary_status(&inner, &canary).await?;
                    let late = number < schedule.judgements && schedule.due(number + 1)? <= moment.at;
                    if late && status["complete"] == false {
                        self.executions.look(&inner.identity, patience.saturating_duration_since(Instant::now())).await?;
                        status = self.canary_status(&inner, &canary).await?;
                    }
                    if !known {
                        self.remember(&payload.origin, &inner.identity, due).await;
                        keep_when_ended(self, inner);
                    }
                    status
                }
            };
            let judgement = IntervalExecution { id, status: Arc::new(status) };
            if judgement.status["complete"] == true {
                // What was judged once is not judged again while the analysis goes on, however long that takes.
                self.intervals.insert((decoded.identity.key, number), judgement.clone()).await;
            }
            let score = judgement.score();
            found.push(judgement);
            if score.is_none_or(|score| score <= marginal) {
                break;
            }
        }
        Ok(found)
    }

    /// The status of an analysis, as Kayenta writes it.
    async fn analysis_status(self: &SharedEdge, decoded: &Execution, payload: &StandalonePayload) -> Result<Value, ErrorReply> {
        let analysis = AnalysisRequest::from_value(payload.request.clone())?;
        let schedule = analysis.schedule(decoded.created)?;
        let thresholds = analysis.thresholds()?;
        let cancelled = self.cancelled.get(&decoded.identity.key).await;
        let now = self.now();
        let moment = Moment { at: cancelled.map_or(now, |at| at.min(now)), cancelled: cancelled.is_some() };
        let judgements = self.judgements(decoded, payload, &analysis, &schedule, moment).await?;

        let scores: Vec<f64> = judgements.iter().map_while(IntervalExecution::score).collect();
        let last = judgements.last();
        let failed_fast = scores.last().is_some_and(|score| *score <= thresholds.marginal);
        let stand = match last.map(IntervalExecution::standing) {
            _ if failed_fast => ExecutionStatus::Terminal,
            Some(ExecutionStatus::Terminal) => ExecutionStatus::Terminal,
            _ if scores.len() == schedule.judgements as usize => ExecutionStatus::Succeeded,
            Some(ExecutionStatus::Canceled) => ExecutionStatus::Canceled,
            _ if cancelled.is_some() => ExecutionStatus::Canceled,
            _ => ExecutionStatus::Running,
        };

        let mut status = Map::new();
        put_origin(&mut status, &payload.origin);
        status.insert("user".to_owned(), payload.user.clone().into());
        status.insert("pipelineId".to_owned(), decoded.identity.id.clone().into());
        status.insert("complete".to_owned(), stand.is_complete().into());
        status.insert("executionStatus".to_owned(), stand.upper().into());
        status.insert("status".to_owned(), stand.lower().into());
        status.insert("stageStatus".to_owned(), stages(&schedule, &judgements, stand, moment.at)?);
        let config = CanaryConfig::from_value(payload.config.clone())?;
        status.insert("canaryConfig".to_owned(), config.shown_with_execution());
        status.insert("canaryAnalysisExecutionRequest".to_owned(), analysis.shown());
        put_time(&mut status, "buildTime", decoded.created);
        put_time(&mut status, "startTime", decoded.created);
        if let Some(exception) = last.and_then(|last| last.status.get("exception")) {
            status.insert("exception".to_owned(), exception.clone());
        }
        // As in Kayenta there is no result before the end; a judgement that has ended is asked for at /canary.
        if stand.is_complete() {
            match (stand, cancelled, last) {
                (ExecutionStatus::Canceled, Some(at), _) | (_, Some(at), None) => put_time(&mut status, "endTime", at),
                (_, _, Some(last)) => copy(&last.status, &["endTimeMillis", "endTimeIso"], &mut status),
                (_, None, None) => {}
            }
            let passed = stand == ExecutionStatus::Succeeded && scores.last().is_some_and(|score| *score >= thresholds.pass);
            let results =
                (1..).zip(&judgements).map(|(number, judgement)| execution_result(payload, &analysis, &schedule, judgement, number));
            let results = results.collect::<Result<Vec<Value>, ErrorReply>>()?;
            let warned = results.iter().any(|result| result["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()));
            // A judgement that broke off counts as one of 0, as in Kayenta.
            let scores: Vec<f64> = match stand {
                ExecutionStatus::Terminal => judgements.iter().map(|judgement| judgement.score().unwrap_or(0.0)).collect(),
                _ => scores,
            };
            let mut result = Map::new();
            result.insert("didPassThresholds".to_owned(), passed.into());
            result.insert("hasWarnings".to_owned(), warned.into());
            result.insert("canaryScoreMessage".to_owned(), message(&scores, thresholds.marginal, thresholds.pass, stand).into());
            result.insert("canaryScores".to_owned(), scores.into());
            result.insert("canaryExecutionResults".to_owned(), results.into());
            result.insert("buildTimeIso".to_owned(), java_text(decoded.created).into());
            result.insert("startTimeIso".to_owned(), java_text(decoded.created).into());
            if let Some(ended) = status.get("endTimeIso") {
                result.insert("endTimeIso".to_owned(), ended.clone());
            }
            status.insert("canaryAnalysisExecutionResult".to_owned(), result.into());
        }
        Ok(status.into())
    }

    /// Stops an analysis: the judgement that runs here, and those to come.
    pub(crate) async fn cancel_analysis(self: &SharedEdge, decoded: &Execution) -> Result<(), ErrorReply> {
        let Payload::Standalone(payload) = &decoded.payload else { return Ok(()) };
        let analysis = AnalysisRequest::from_value(payload.request.clone())?;
        let schedule = analysis.schedule(decoded.created)?;
        let now = self.now();
        self.cancelled.insert(decoded.identity.key, now).await;
        for number in 1..=schedule.judgements {
            let due = schedule.due(number)?;
            if due > now {
                break;
            }
            // Most of them never ran: nothing is kept of those.
            let inner = Payload::Canary(interval_payload(payload, analysis.judgement(&schedule, number)?));
            let identity = self.identity(&inner, due, interval_random(&decoded.identity.key, number))?;
            if self.executions.cancel(&identity.key) {
                // Whoever asks next is to see that it has ended.
                self.executions.look(&identity, CANCELLING).await?;
                tracing::debug!(number, "a judgement of a cancelled analysis was stopped");
            }
        }
        if self.store().is_some() {
            // Other replicas learn of it by this.
            let status = self.analysis_status(decoded, payload).await?;
            if status["complete"] == true {
                self.keep(&decoded.identity.id, &status).await;
            }
        }
        Ok(())
    }
}

/// One judgement of an analysis, as one that was asked for by itself.
fn interval_payload(payload: &StandalonePayload, request: Value) -> CanaryPayload {
    CanaryPayload { origin: payload.origin.clone(), config: payload.config.clone(), request }
}

/// When an analysis is looked at.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Timestamp,
    /// Whether it was cancelled then, so that nothing begins any more.
    cancelled: bool,
}

/// What an analysis says of one of its judgements.
fn execution_result(
    payload: &StandalonePayload,
    analysis: &AnalysisRequest,
    schedule: &Schedule,
    judgement: &IntervalExecution,
    number: u32,
) -> Result<Value, ErrorReply> {
    const SHARED: [&str; 11] = [
        "exception",
        "result",
        "metricSetPairListId",
        "buildTimeMillis",
        "buildTimeIso",
        "startTimeMillis",
        "startTimeIso",
        "endTimeMillis",
        "endTimeIso",
        "storageAccountName",
        "configurationAccountName",
    ];
    let mut value = Map::new();
    value.insert("executionId".to_owned(), judgement.id.clone().into());
    value.insert("executionStatus".to_owned(), judgement.standing().upper().into());
    copy(&judgement.status, &SHARED, &mut value);
    let (start, end) = analysis.control_window(schedule, number)?;
    put_time(&mut value, "judgementStartTime", start);
    put_time(&mut value, "judgementEndTime", end);
    let mut warnings = Vec::new();
    // Datadog rolls long windows up to few points, of which nobody need be warned.
    if prepare::first_kind(&payload.config).as_deref() != Some("datadog")
        && fewest_points(&judgement.status).is_some_and(|count| count < FEW_POINTS)
    {
        warnings.push(FEW_POINTS_WARNING);
    }
    value.insert("warnings".to_owned(), warnings.into());
    Ok(value.into())
}

fn copy(from: &Value, fields: &[&str], to: &mut Map<String, Value>) {
    to.extend(fields.iter().filter_map(|field| Some(((*field).to_owned(), from.get(field)?.clone()))));
}

/// The points of the baseline that has the fewest.
fn fewest_points(status: &Value) -> Option<u64> {
    let results = status["result"]["judgeResult"]["results"].as_array();
    results.into_iter().flatten().filter_map(|one| one["controlMetadata"]["stats"]["count"].as_u64()).min()
}

/// What Kayenta says of the last score, word for word: its own tests and its clients' compare that. Of an analysis that was cancelled it
/// says nothing.
fn message(scores: &[f64], marginal: f64, pass: f64, status: ExecutionStatus) -> String {
    match (status, scores.last()) {
        (ExecutionStatus::Canceled, None) => "the analysis was cancelled before a judgement had ended".to_owned(),
        (ExecutionStatus::Canceled, Some(last)) => format!("the analysis was cancelled; the latest score was {last:?}"),
        (_, None) => "There were no successful canary judgements to aggregate".to_owned(),
        (_, Some(last)) if *last <= marginal => format!("Final canary score {last:?} is not above the marginal score threshold."),
        (_, Some(last)) if *last < pass => format!("Final canary score {last:?} is below the pass score threshold."),
        (_, Some(last)) => format!("Final canary score {last:?} met or exceeded the pass score threshold."),
    }
}

/// Kayenta's names of the stages around the judgements.
const SETUP: &str = "Sets up and executes the wait, run and monitor canary task chain.";
const GENERATE: &str = "Aggregates and evaluates the canary executions and generates the final results.";

/// Each stage with where it stands at a moment, in Kayenta's order: what the first stage set up comes before it, and what follows from the
/// judgements is there once they have ended.
fn stages(schedule: &Schedule, judgements: &[IntervalExecution], status: ExecutionStatus, at: Timestamp) -> Result<Value, ErrorReply> {
    let unfinished = if status == ExecutionStatus::Canceled { ExecutionStatus::Canceled } else { ExecutionStatus::Running };
    let stage = |kind: &str, name: &str, status: ExecutionStatus| json!({ "type": kind, "name": name, "status": status.upper() });
    let mut stages = Vec::new();
    // Each begins when the one before it has succeeded.
    let mut begins = true;
    let mut add = |kind: &str, name: String, status: ExecutionStatus, execution: Option<&str>| {
        let mut stage = stage(kind, &name, if begins { status } else { ExecutionStatus::NotStarted });
        if let Some(id) = execution {
            stage["executionId"] = id.into();
        }
        begins &= status == ExecutionStatus::Succeeded;
        stages.push(stage);
    };
    let waited = |over: Timestamp| if at >= over { ExecutionStatus::Succeeded } else { unfinished };
    if !schedule.retrospective && schedule.warmup_minutes > 0 {
        add("wait", "Warmup Wait".to_owned(), waited(schedule.warm()?), None);
    }
    for number in 1..=schedule.judgements {
        if !schedule.retrospective {
            add("wait", format!("Interval Wait #{number}"), waited(schedule.due(number)?), None);
        }
        let name = format!("Run Canary #{number}");
        let place = number as usize - 1;
        match judgements.get(place) {
            None => add("runCanary", name, unfinished, None),
            Some(judgement) => {
                let ends_it = status == ExecutionStatus::Terminal && place + 1 == judgements.len();
                let status = if ends_it { ExecutionStatus::Terminal } else { judgement.standing() };
                add("runCanary", name, status, Some(&judgement.id));
            }
        }
    }
    stages.push(stage("setupAndExecuteCanariesStage", SETUP, status));
    if matches!(status, ExecutionStatus::Succeeded | ExecutionStatus::Terminal) {
        stages.push(stage("generateCanaryAnalysisResultStage", GENERATE, ExecutionStatus::Succeeded));
    }
    Ok(stages.into())
}
