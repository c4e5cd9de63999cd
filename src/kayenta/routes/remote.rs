//! `POST /judge`: another Kayenta has fetched the series and asks for the verdict; and `POST /judges/judge`: the same for stored ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use haldane_judges::{CanaryConfig as NativeConfig, JudgeName};
use serde_json::{Map, Value};

use crate::access::Requester;
use crate::analysis::{ArmSamples, MetricSamples, Request, Scope, name_of_series};
use crate::intake::Admitted;
use crate::json;
use crate::kayenta::answering::reply::{ErrorReply, JsonDocument, Parameters};
use crate::kayenta::answering::result::{self, PairIdentity};
use crate::kayenta::answering::score::RequestThresholds;
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::reading::model::{CanaryConfig, ScoreThresholds};
use crate::kayenta::reading::native::{Surface, choose_judge, native_config};
use crate::kayenta::reading::pairs::{MetricSetPair, PairSide, read_pairs};
use crate::kayenta::routes::configs::refuse_foreign;
use crate::kayenta::wire::values::read_number;
use crate::pool;
use crate::source::Window;

/// Distance between points where a pair does not say it, in seconds.
const STEP: u32 = 60;

/// Pairs that are to be judged, as they came.
struct PairsToJudge {
    request: Request,
    named: Vec<PairIdentity>,
    thresholds: ScoreThresholds,
}

impl PairsToJudge {
    fn of(config: &CanaryConfig, judge: JudgeName, thresholds: ScoreThresholds, pairs: &[MetricSetPair]) -> Result<Self, ErrorReply> {
        let native = native_config(config, thresholds, judge)?;
        let (request, named) = request(native.into_inner(), judge, pairs)?;
        Ok(Self { request, named, thresholds })
    }

    /// Judges them, which are about so many bytes, and gives a `CanaryJudgeResult`.
    async fn judged(self, edge: &Edge, bytes: usize, place: Option<Arc<Admitted>>) -> Result<Response, ErrorReply> {
        let Self { request, named, thresholds: ScoreThresholds { pass, marginal } } = self;
        let deadline = edge.executions.options().default_deadline;
        let scorecard = edge.executions.calculate(request, place, deadline).await?;
        let write = move || Json(result::judge_result(&scorecard, &named, RequestThresholds { pass, marginal })).into_response();
        Ok(pool::unless_small(bytes, write).await)
    }
}

/// `POST /judge`.
pub(crate) async fn judge(State(edge): State<SharedEdge>, body: JsonDocument) -> Result<Response, ErrorReply> {
    let JsonDocument(document, place, bytes) = body;
    let read = pool::unless_small(bytes, move || read_body(document)).await?;
    read.judged(&edge, bytes, Some(place)).await
}

fn read_body(document: Value) -> Result<PairsToJudge, ErrorReply> {
    let Value::Object(mut body) = document else {
        return Err(ErrorReply::bad_request("the body is an object with `canaryConfig`, `scoreThresholds` and `metricSetPairList`"));
    };
    let mut part = |name: &str| {
        body.remove(name)
            .filter(|value| !value.is_null())
            .ok_or_else(|| ErrorReply::bad_request(format!("/{name}: is required and missing")))
    };
    let config = CanaryConfig::from_value(part("canaryConfig")?).map_err(|refusal| refusal.below("/canaryConfig"))?;
    let thresholds = part("scoreThresholds")?;
    let threshold = |name: &str| {
        let value = thresholds.get(name).and_then(read_number).filter(|value| value.is_finite());
        value.ok_or_else(|| ErrorReply::bad_request(format!("/scoreThresholds/{name}: is a number")))
    };
    let thresholds = ScoreThresholds { pass: threshold("pass")?, marginal: threshold("marginal")? };
    let pairs = read_pairs(&part("metricSetPairList")?)?;
    let judge = choose_judge(&config, Surface::RemoteJudge).map_err(|refusal| refusal.below("/canaryConfig"))?;
    PairsToJudge::of(&config, judge, thresholds, &pairs)
}

/// `POST /judges/judge`.
pub(crate) async fn rejudge(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    edge.other_account(parameters.get("storageAccountName"))?;
    let threshold = |name: &str| {
        parameters.required(name)?;
        let value: Option<f64> = parameters.parsed(name, "a score, such as 75")?;
        value
            .filter(|value| value.is_finite())
            .ok_or_else(|| ErrorReply::bad_request(format!("the query parameter `{name}` is not a score")))
    };
    let thresholds = ScoreThresholds { pass: threshold("passThreshold")?, marginal: threshold("marginalThreshold")? };
    let id = parameters.required("canaryConfigId")?;
    let config = edge.config(id).await?;
    refuse_foreign(&caller, id, &config)?;
    let config = CanaryConfig::from_value(config)?;
    let (pairs, memory) = edge.pairs(&caller, parameters.required("metricSetPairListId")?).await?;
    let bytes = json::length(&pairs);
    let read = move || PairsToJudge::of(&config, choose_judge(&config, Surface::Canary)?, thresholds, &read_pairs(&pairs)?);
    let answer = pool::unless_small(bytes, read).await?.judged(&edge, bytes, None).await;
    drop(memory);
    answer
}

/// One metric for each pair, with its samples.
fn request(native: NativeConfig, judge: JudgeName, pairs: &[MetricSetPair]) -> Result<(Request, Vec<PairIdentity>), ErrorReply> {
    let mut config = native.clone();
    config.metrics.clear();
    let mut taken = BTreeSet::new();
    let mut samples = BTreeMap::new();
    let mut named = Vec::with_capacity(pairs.len());
    for (i, pair) in pairs.iter().enumerate() {
        let Some(metric) = native.metrics.iter().find(|metric| metric.name == pair.name) else {
            let known: Vec<&str> = native.metrics.iter().map(|metric| metric.name.as_str()).take(20).collect();
            return Err(ErrorReply::bad_request(format!(
                "/metricSetPairList/{i}/name: `{}` is no metric of the config; it has {}",
                crate::kayenta::wire::refusal::shown(&pair.name),
                known.join(", ")
            )));
        };
        let mut metric = metric.clone();
        if pairs.iter().filter(|other| other.name == pair.name).count() > 1 {
            metric.name = name_of_series(&pair.name, &pair.tags, &taken);
        }
        taken.insert(metric.name.clone());
        let arm = |arm: &PairSide| ArmSamples::Values(arm.values.iter().map(|value| (!value.is_nan()).then_some(*value)).collect());
        samples.insert(
            metric.name.clone(),
            MetricSamples {
                baseline: arm(&pair.control),
                canary: arm(&pair.experiment),
                baseline_history: None,
                canary_history: None,
                earlier: Vec::new(),
                bucket_bounds: Vec::new(),
            },
        );
        config.metrics.push(metric);
        named.push(PairIdentity {
            name: pair.name.clone(),
            id: pair.id.clone(),
            tags: pair.tags.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect::<Map<_, _>>(),
        });
    }
    let windows = pairs.iter().find_map(windows);
    let request = Request {
        judge,
        config,
        source: None,
        baseline: Scope::default(),
        canary: Scope::default(),
        window: windows.map(|(_, canary)| canary),
        step_seconds: pairs.iter().find_map(|pair| pair.experiment.step_seconds).unwrap_or(STEP),
        baseline_offset_seconds: 0,
        baseline_window: windows.map(|(baseline, _)| baseline),
        canary_share: None,
        planned_end: None,
        released_at: None,
        looks: None,
        ramp: Vec::new(),
        advisory: false,
        labels: Default::default(),
        samples,
        queries: BTreeMap::new(),
    };
    Ok((request, named))
}

/// The windows of a pair that says when its sides began. Sides that began together are compared side by side, however long each is.
fn windows(pair: &MetricSetPair) -> Option<(Window, Window)> {
    let (control, experiment) = (&pair.control, &pair.experiment);
    let step = i64::from(experiment.step_seconds?);
    let length = i64::try_from(control.values.len().max(experiment.values.len())).ok().filter(|length| *length > 0)?;
    let window = |start: i64| {
        let start = start.checked_sub(step)?;
        let end = start.checked_add(step.checked_mul(length)?)?;
        Some(Window { start, end, step_seconds: experiment.step_seconds? })
    };
    Some((window(control.start?)?, window(experiment.start?)?))
}
