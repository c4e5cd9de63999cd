//! From what a client sent to what is judged.

use haldane_judges::JudgeName;
use serde_json::{Map, Value};

use super::payload::{CanaryPayload, pair_id};
use super::result::PairIdentity;
use super::score::RequestThresholds;
use super::state::Edge;
use crate::analysis::{Request, Scorecard};
use crate::judgements::Identity;
use crate::kayenta::reading::model::CanaryConfig;
use crate::kayenta::reading::request::{CanaryScope, ExecutionRequest};
use crate::kayenta::reading::translate::translate;
use crate::kayenta::wire::refusal::{Refusal, RefusalKind};
use crate::source::Window;

/// A request that was understood.
#[derive(Debug, Clone)]
pub(crate) struct ExecutionPlan {
    /// What is to be judged.
    pub(crate) request: Request,
    pub(crate) thresholds: RequestThresholds,
    /// The length of every scope's window, in seconds, where they all have one.
    pub(crate) duration_seconds: Option<u64>,
    /// Why no judge decides: the config names one that is not here. The series are read all the same, as in Kayenta, whose judge stage fails
    /// then.
    pub(crate) unknown_judge: Option<String>,
}

/// Understands one judgement's request.
pub(crate) fn canary(edge: &Edge, payload: &CanaryPayload) -> Result<ExecutionPlan, Refusal> {
    let config = CanaryConfig::from_value(payload.config.clone()).map_err(|refusal| refusal.below("/canaryConfig"))?;
    let request = ExecutionRequest::from_value(payload.request.clone()).map_err(|refusal| refusal.below("/executionRequest"))?;
    let accounts: Vec<(String, String)> =
        edge.accounts().iter().map(|account| (account.name().to_owned(), account.kind().to_owned())).collect();
    let thresholds = request.thresholds().map_err(|refusal| refusal.below("/executionRequest"))?;
    let account = payload.origin.metrics_account.as_deref();
    let (analysis, unknown_judge) = match translate(&config, &request, &accounts, account) {
        Ok(analysis) => (analysis, None),
        Err(refusal) if refusal.kind == RefusalKind::UnknownJudge => {
            let config = config.judged_by(JudgeName::NetflixAca)?;
            (translate(&config, &request, &accounts, account)?, Some(refusal.below("/canaryConfig").message()))
        }
        Err(refusal) => return Err(refusal),
    };
    let with_itself = analysis.queries.values().all(|queries| queries.baseline == queries.canary);
    if with_itself && analysis.judge != JudgeName::NetflixAca {
        return Err(Refusal::invalid(
            "both arms ask the same queries over the same window, and would be compared with themselves; give controlScope and experimentScope \
             different scopes or times",
        ));
    }
    Ok(ExecutionPlan {
        request: analysis,
        thresholds: RequestThresholds { pass: thresholds.pass, marginal: thresholds.marginal },
        duration_seconds: common_duration(&request),
        unknown_judge,
    })
}

/// The length of every scope's window on both sides, if it is the same.
fn common_duration(request: &ExecutionRequest) -> Option<u64> {
    let scopes = request.scopes.values().flat_map(|pair| [&pair.control_scope, &pair.experiment_scope]).flatten();
    let length = |scope: &CanaryScope| u64::try_from(scope.end?.0.duration_since(scope.start?.0).as_secs()).ok();
    let mut lengths = scopes.map(length);
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

impl ExecutionPlan {
    /// The windows of both arms of a metric, the baseline's first.
    pub(crate) fn windows(&self, metric: &str) -> (Option<Window>, Option<Window>) {
        let queries = self.request.queries.get(metric);
        (queries.map(|queries| queries.baseline.window), queries.map(|queries| queries.canary.window))
    }
}

/// What the metrics of a scorecard are called in the Kayenta config.
pub(crate) fn named(identity: &Identity, scorecard: &Scorecard) -> Vec<PairIdentity> {
    scorecard
        .data
        .metrics
        .iter()
        .enumerate()
        .map(|(i, metric)| PairIdentity {
            name: metric.series_of.as_ref().unwrap_or(&metric.name).clone(),
            id: pair_id(&identity.key, i),
            tags: metric
                .labels
                .iter()
                .filter(|(name, _)| is_tag(name))
                .map(|(name, value)| (name.clone(), Value::from(value.clone())))
                .collect::<Map<_, _>>(),
        })
        .collect()
}

/// Whether a label is a tag: Prometheus' name of the metric is none in Kayenta.
pub(crate) fn is_tag(label: &str) -> bool {
    label != "__name__"
}

/// The kind of metric store that a config's first metric asks.
pub(crate) fn first_kind(config: &Value) -> Option<String> {
    let query = config.get("metrics")?.get(0)?.get("query")?;
    query.get("type").or_else(|| query.get("serviceType"))?.as_str().map(str::to_owned)
}
