//! How an execution stands, as Kayenta writes it.

use std::sync::Arc;

use haldane_judges::JudgeName;
use haldane_judges::scorecard::Reason;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::payload::{CanaryPayload, Execution, RequestOrigin, pairs_id};
use super::prepare::{ExecutionPlan, named};
use super::result;
use super::word::ExecutionStatus;
use crate::analysis::{AnalysisError, Scorecard};
use crate::judgements::{Failure, Identity, Run};
use crate::kayenta::reading::model::CanaryConfig;
use crate::kayenta::wire::instant::Instant;
use crate::kayenta::wire::instant::java_text;
use crate::kayenta::wire::values::{duration, put_time, without_nulls};

/// How far an execution has come.
#[derive(Debug, Clone)]
pub(crate) enum ExecutionProgress {
    /// It has not ended yet.
    Running {
        /// When it began.
        started: Timestamp,
    },
    /// It has ended, with a scorecard or without.
    Ended(Run),
    /// It has ended without a scorecard that counts.
    Broken {
        /// When it began.
        started: Timestamp,
        /// When it ended.
        ended: Timestamp,
        /// The stage that broke off.
        stage: &'static str,
        /// Why.
        errors: Vec<String>,
        /// What was read before it broke off, where that is all there was to read.
        series: Option<Arc<Scorecard>>,
    },
}

impl ExecutionProgress {
    /// It cannot be run with today's settings.
    pub(crate) fn refused(at: Timestamp, message: String) -> Self {
        Self::Broken { started: at, ended: at, stage: "setupContext", errors: vec![message], series: None }
    }

    /// Under Kayenta's own judge a metric that could not be read ends the execution, as it does there: that judge would leave the metric
    /// out of the score, and pass.
    ///
    /// Under a judge that is not here it ends once the series are read.
    pub(crate) fn judged(self, plan: &ExecutionPlan) -> Self {
        let Self::Ended(Run { ending: Ok(scorecard), started, ended }) = &self else { return self };
        if scorecard.judgement.judge != JudgeName::NetflixAca {
            return self;
        }
        let unread = |metric: &&haldane_judges::scorecard::MetricResult| matches!(metric.reason, Reason::Fetch | Reason::Deadline);
        let errors: Vec<String> =
            scorecard.judgement.metrics.iter().filter(unread).map(|metric| format!("{}: {}", metric.name, metric.sentence)).collect();
        let (started, ended) = (*started, *ended);
        match &plan.unknown_judge {
            _ if !errors.is_empty() => Self::Broken { started, ended, stage: FETCH, errors, series: None },
            Some(message) => {
                Self::Broken { started, ended, stage: JUDGE, errors: vec![message.clone()], series: Some(Arc::clone(scorecard)) }
            }
            None => self,
        }
    }

    /// How it stands, in Kayenta's words.
    pub(crate) fn status(&self) -> ExecutionStatus {
        match self {
            Self::Running { .. } => ExecutionStatus::Running,
            Self::Ended(Run { ending: Ok(_), .. }) => ExecutionStatus::Succeeded,
            Self::Ended(Run { ending: Err(Failure::Cancelled), .. }) => ExecutionStatus::Canceled,
            Self::Ended(Run { ending: Err(_), .. }) | Self::Broken { .. } => ExecutionStatus::Terminal,
        }
    }

    /// The scorecard whose series were read to the end, whether it counts or not.
    pub(crate) fn series(&self) -> Option<&Arc<Scorecard>> {
        match self {
            Self::Ended(Run { ending: Ok(scorecard), .. }) => Some(scorecard),
            Self::Broken { series, .. } => series.as_ref(),
            Self::Running { .. } | Self::Ended(_) => None,
        }
    }

    pub(crate) fn times(&self) -> (Timestamp, Option<Timestamp>) {
        match self {
            Self::Running { started } => (*started, None),
            Self::Ended(run) => (run.started, Some(run.ended)),
            Self::Broken { started, ended, .. } => (*started, Some(*ended)),
        }
    }

    /// Kayenta's object for what went wrong.
    pub(crate) fn exception(&self) -> Option<Value> {
        let (kind, operation, errors, at) = match self {
            Self::Running { .. } | Self::Ended(Run { ending: Ok(_), .. }) => return None,
            Self::Broken { stage, errors, ended, .. } => ("AnalysisFailed", *stage, errors.clone(), *ended),
            Self::Ended(Run { ending: Err(failure), ended, .. }) => {
                let (kind, operation) = match failure {
                    Failure::Analysis(AnalysisError::NothingFetched { .. }) => ("FetchFailed", FETCH),
                    Failure::Analysis(_) => ("AnalysisFailed", "setupContext"),
                    Failure::Overloaded => ("Overloaded", "setupContext"),
                    Failure::Crashed => ("Fault", "judge"),
                    Failure::Cancelled => ("Canceled", "judge"),
                };
                (kind, operation, vec![failure.to_string()], *ended)
            }
        };
        Some(json!({
            "exceptionType": kind,
            "operation": operation,
            "shouldRetry": false,
            "timestamp": at.as_millisecond(),
            "details": { "error": errors.join("; "), "errors": errors },
        }))
    }
}

const FETCH: &str = "fetchExperiment0";
const JUDGE: &str = "judge";

/// Each of Kayenta's stages by its id, with its status. Fetching and judging are one step here, so all but the first move together.
fn stages(metrics: usize, progress: &ExecutionProgress) -> Value {
    let mut stages = Map::new();
    let later = match progress.status() {
        ExecutionStatus::Running => ("running", "not_started"),
        ExecutionStatus::Succeeded => ("succeeded", "succeeded"),
        ExecutionStatus::Canceled => ("canceled", "canceled"),
        _ => ("succeeded", "terminal"),
    };
    stages.insert("setupContext".to_owned(), "succeeded".into());
    for i in 0..metrics {
        stages.insert(format!("fetchControl{i}"), later.0.into());
        stages.insert(format!("fetchExperiment{i}"), later.0.into());
    }
    stages.insert("mixMetrics".to_owned(), later.1.into());
    stages.insert("judge".to_owned(), later.1.into());
    if let ExecutionProgress::Broken { stage, .. } = progress {
        if *stage == JUDGE {
            stages.insert("mixMetrics".to_owned(), "succeeded".into());
        }
        stages.insert((*stage).to_owned(), "terminal".into());
    }
    stages.into()
}

/// The fields that say who asked.
pub(crate) fn put_origin(object: &mut Map<String, Value>, origin: &RequestOrigin) {
    object.insert("application".to_owned(), origin.application.clone().into());
    object.insert("canaryConfigId".to_owned(), origin.canary_config_id.clone().into());
    for (name, value) in [
        ("parentPipelineExecutionId", &origin.parent_pipeline_execution_id),
        ("metricsAccountName", &origin.metrics_account),
        ("storageAccountName", &origin.storage_account),
        ("configurationAccountName", &origin.configuration_account),
    ] {
        if let Some(value) = value {
            object.insert(name.to_owned(), value.clone().into());
        }
    }
}

/// `CanaryExecutionStatusResponse`.
pub(crate) fn canary(
    decoded: &Execution,
    payload: &CanaryPayload,
    progress: &ExecutionProgress,
    prepared: Option<&ExecutionPlan>,
) -> Value {
    let id = &decoded.identity.id;
    let mut status = Map::new();
    put_origin(&mut status, &payload.origin);
    status.insert("pipelineId".to_owned(), id.clone().into());
    status.insert("complete".to_owned(), progress.status().is_complete().into());
    status.insert("status".to_owned(), progress.status().lower().into());
    let metrics = payload.config["metrics"].as_array().map_or(0, Vec::len);
    status.insert("stageStatus".to_owned(), stages(metrics, progress));
    status.insert("config".to_owned(), shown_config(&payload.config));
    status.insert("canaryExecutionRequest".to_owned(), shown_request(&payload.request));
    put_time(&mut status, "buildTime", decoded.created);
    let (started, ended) = progress.times();
    put_time(&mut status, "startTime", started);
    if let Some(ended) = ended {
        put_time(&mut status, "endTime", ended);
    }
    if let Some(exception) = progress.exception() {
        status.insert("exception".to_owned(), exception);
    }
    if progress.series().is_some() {
        status.insert("metricSetPairListId".to_owned(), pairs_id(id).into());
    }
    if let (ExecutionProgress::Ended(Run { ending: Ok(scorecard), .. }), Some(prepared)) = (progress, prepared) {
        status.insert("result".to_owned(), canary_result(prepared, &decoded.identity, scorecard));
        status.insert("haldane".to_owned(), result::provenance(scorecard));
    }
    status.into()
}

/// The result of an execution that gave a scorecard.
fn canary_result(prepared: &ExecutionPlan, identity: &Identity, scorecard: &Scorecard) -> Value {
    let named = named(identity, scorecard);
    let mut result = Map::new();
    result.insert("judgeResult".to_owned(), result::judge_result(scorecard, &named, prepared.thresholds));
    if let Some(seconds) = prepared.duration_seconds {
        result.insert("canaryDuration".to_owned(), duration(seconds).into());
    }
    result.into()
}

/// The config as Kayenta shows it with an execution.
fn shown_config(config: &Value) -> Value {
    CanaryConfig::from_value(config.clone()).map_or_else(|_| without_nulls(config.clone()), |config| config.shown_with_execution())
}

/// The execution request as it was sent, but with its thresholds as numbers with a point and its times in UTC, as Kayenta has them once
/// it has read them.
fn shown_request(request: &Value) -> Value {
    let mut shown = without_nulls(request.clone());
    let scopes = shown.get_mut("scopes").and_then(Value::as_object_mut).into_iter().flat_map(|scopes| scopes.values_mut());
    let arms = scopes.filter_map(Value::as_object_mut).flat_map(|pair| pair.values_mut()).filter_map(Value::as_object_mut);
    for arm in arms {
        for field in ["start", "end"] {
            if let Some(time) = arm.get_mut(field)
                && let Ok(read) = serde_json::from_value::<Instant>(time.clone())
            {
                *time = java_text(read.0).into();
            }
        }
    }
    if let Some(thresholds) = shown.get_mut("thresholds").and_then(Value::as_object_mut) {
        for value in thresholds.values_mut() {
            if let Some(number) = value.as_f64() {
                *value = number.into();
            }
        }
    }
    shown
}
