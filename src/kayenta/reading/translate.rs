//! What is asked through Kayenta's API, as the analysis that answers it.

use std::collections::BTreeMap;

use super::model::{CanaryConfig, MetricConfig, QueryKind};
use super::native::{Surface, choose_judge, native_config};
use super::query::{build_query, pair_by};
use super::request::{CanaryScope, ExecutionRequest};
use crate::analysis::{ArmQueries, Request, Scope};
use crate::kayenta::wire::refusal::{Refusal, shown};
use crate::source::{Query, Window};

/// The analysis that answers a request.
///
/// `accounts` are the metric stores by name and kind; `metrics_account` is the one that was asked for, by an empty name none.
///
/// # Errors
/// [`Refusal`] for what Kayenta refuses too, for what could only fail later there, and for values that would change a query.
pub fn translate(
    config: &CanaryConfig,
    request: &ExecutionRequest,
    accounts: &[(String, String)],
    metrics_account: Option<&str>,
) -> Result<Request, Refusal> {
    check_for_run(config, request)?;
    let judge = choose_judge(config, Surface::Canary)?;
    let thresholds = request.thresholds()?;
    let native = native_config(config, thresholds, judge).map_err(of_config)?;
    let source = choose_account(config, accounts, metrics_account)?;
    let mut queries = BTreeMap::new();
    let mut first = None;
    for metric in &config.metrics {
        let (control, experiment) = request.pair(&metric.scope_name)?;
        let pointer = |arm: &str| format!("/executionRequest/scopes/{}/{arm}", crate::json::pointer_segment(&metric.scope_name));
        let ask = |scope: &CanaryScope, arm: &str| {
            let window = scope.window_of(&metric.query.kind).map_err(|refusal| refusal.below(&pointer(arm)))?;
            let text = build_query(config, metric, scope).map_err(|refusal| refusal.below("/canaryConfig"))?;
            Ok::<_, Refusal>(Query { text, window, buckets: false })
        };
        let (baseline, canary) = (ask(control, "controlScope")?, ask(experiment, "experimentScope")?);
        first.get_or_insert(((control, baseline.window), (experiment, canary.window)));
        queries.insert(metric.name.clone(), ArmQueries { baseline, canary, pair_by: pair_by(config, metric)? });
    }
    let Some(((control, earlier), (experiment, window))) = first else {
        return Err(Refusal::at("/canaryConfig/metrics", "a run needs at least one metric; give one"));
    };
    let (baseline_offset_seconds, baseline_window) = offset(earlier, window);
    Ok(Request {
        judge,
        config: native.into_inner(),
        source: Some(source),
        baseline: scope_variables(control),
        canary: scope_variables(experiment),
        window: Some(window),
        step_seconds: window.step_seconds,
        baseline_offset_seconds,
        baseline_window,
        canary_share: None,
        planned_end: None,
        released_at: None,
        looks: None,
        ramp: Vec::new(),
        advisory: false,
        labels: Default::default(),
        samples: BTreeMap::new(),
        queries,
    })
}

/// Checks what Kayenta checks before it runs, and what would only fail later there.
///
/// # Errors
/// [`Refusal`] with everything that is wrong with the metrics, or the first thing that is wrong elsewhere.
pub fn check_for_run(config: &CanaryConfig, request: &ExecutionRequest) -> Result<(), Refusal> {
    if config.metrics.is_empty() {
        return Err(Refusal::at("/canaryConfig/metrics", "a run needs at least one metric; give one"));
    }
    request.thresholds().map_err(|refusal| refusal.below("/executionRequest"))?;
    if config.classifier.is_none() {
        return Err(Refusal::at("/canaryConfig/classifier", "is missing; give one, with groupWeights"));
    }
    config.check_metric_names().map_err(|refusal| refusal.below("/canaryConfig"))?;
    let problems = config.metrics.iter().enumerate().filter_map(|(i, metric)| check_metric(i, metric, request).err());
    match Refusal::of_all(problems) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

fn check_metric(i: usize, metric: &MetricConfig, request: &ExecutionRequest) -> Result<(), Refusal> {
    if metric.scope_name.is_empty() {
        let message = format!("metric `{}` names no scope; give the name of one of the request's", shown(&metric.name));
        return Err(Refusal::at(format!("/canaryConfig/metrics/{i}/scopeName"), message));
    }
    if let QueryKind::Other(_) = metric.query.kind {
        return Err(metric.query.kind.refusal().of_metric(&metric.name).or_at(format!("/canaryConfig/metrics/{i}/query/type")));
    }
    let (control, experiment) = request.pair(&metric.scope_name).map_err(|refusal| refusal.below("/executionRequest"))?;
    for (arm, scope) in [("controlScope", control), ("experimentScope", experiment)] {
        let pointer = format!("/executionRequest/scopes/{}/{arm}", crate::json::pointer_segment(&metric.scope_name));
        scope.window().map_err(|refusal| refusal.below(&pointer))?;
    }
    Ok(())
}

/// Thresholds come with the request, everything else of a native config with the config.
fn of_config(refusal: Refusal) -> Refusal {
    refusal.placed(|pointer| match pointer {
        "" => String::new(),
        _ if pointer.starts_with("/thresholds") => format!("/executionRequest{pointer}"),
        _ => format!("/canaryConfig{pointer}"),
    })
}

/// The account to ask: the one that is named, or the first that speaks the language of the config's queries.
///
/// # Errors
/// [`Refusal`] for an unknown account, one of another kind than a query, and where there is none.
pub fn choose_account(config: &CanaryConfig, accounts: &[(String, String)], named: Option<&str>) -> Result<String, Refusal> {
    let wanted = config.metrics.first().map_or("", |metric| metric.query.kind.as_str());
    let known = || accounts.iter().map(|(name, kind)| format!("`{name}` ({kind})")).collect::<Vec<_>>().join(", ");
    let account = match named.filter(|name| !name.is_empty()) {
        Some(name) => accounts.iter().find(|(account, _)| account == name).ok_or_else(|| {
            Refusal::invalid(format!("metricsAccountName `{}` is not an account here; there are {}", shown(name), known()))
        })?,
        None => accounts.iter().find(|(_, kind)| kind == wanted).ok_or_else(|| {
            Refusal::invalid(format!(
                "there is no account of the type {wanted}, which the metrics ask; there are {}; add a source",
                known()
            ))
        })?,
    };
    let (name, kind) = account;
    if let Some(other) = config.metrics.iter().find(|metric| metric.query.kind.as_str() != kind) {
        return Err(Refusal::invalid(format!(
            "metric `{}` asks {}, and the account `{name}` is of the type {kind}; name another metricsAccountName, and keep to one type a config",
            shown(&other.name),
            other.query.kind
        )));
    }
    Ok(name.clone())
}

/// How the baseline's window lies: so many seconds earlier, or a window of its own.
fn offset(baseline: Window, canary: Window) -> (u32, Option<Window>) {
    match u32::try_from(canary.start - baseline.start) {
        Ok(seconds) if canary.earlier(i64::from(seconds)) == baseline => (seconds, None),
        _ => (0, Some(baseline)),
    }
}

fn scope_variables(scope: &CanaryScope) -> Scope {
    let given = [("scope", &scope.scope), ("location", &scope.location)].into_iter().filter(|(_, value)| !value.is_empty());
    Scope { variables: given.map(|(name, value)| (name.to_owned(), value.clone())).collect() }
}
