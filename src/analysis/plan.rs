//! Which queries answer a request, checked before anything is asked.

use std::collections::BTreeMap;

use haldane_judges::config::{BUILT_IN_VARIABLES, MetricQuery};
use haldane_judges::evidence::Arm;
use haldane_judges::{CheckedConfig, ConfigProblem};

use super::run::{Account, Accounts, AnalysisError, Limits};
use super::{ArmQueries, InlineArm, Request, Scope};
use crate::source::{Query, Template, Window};

/// Everything a run does, with every variable put in.
pub(super) struct Plan<'a> {
    pub(super) config: CheckedConfig,
    /// The store to read from; `None` where every metric carries its samples.
    pub(super) account: Option<&'a Account>,
    /// One for each metric, in the config's order.
    pub(super) metrics: Vec<MetricPlan>,
    pub(super) step_seconds: u32,
}

/// How one metric's samples are had.
pub(super) enum MetricPlan {
    /// They came with the request.
    Inline,
    /// They are asked for.
    Fetch { series: SeriesRule, queries: Vec<PlannedQuery> },
}

/// What several series of one arm are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SeriesRule {
    /// A mistake.
    One,
    /// One for each instance, which this label names.
    Instances(String),
    /// To be paired with the other arm's by these labels, or by those they have in common.
    Pairs(Vec<String>),
}

impl MetricPlan {
    pub(super) fn queries(&self) -> &[PlannedQuery] {
        match self {
            Self::Inline => &[],
            Self::Fetch { queries, .. } => queries,
        }
    }
}

/// What a query gives of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Value,
    Numerator,
    Denominator,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Numerator => "numerator",
            Self::Denominator => "denominator",
        }
    }
}

/// One query of one arm.
pub(super) struct PlannedQuery {
    pub(super) arm: Arm,
    pub(super) part: Part,
    pub(super) query: Query,
}

fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> AnalysisError {
    AnalysisError::Invalid { pointer: pointer.into(), message: message.into() }
}

fn config_error(problem: ConfigProblem) -> AnalysisError {
    invalid(format!("/config{}", problem.pointer), problem.message)
}

impl<'a> Plan<'a> {
    /// Plans a request.
    pub(super) fn of(request: &Request, accounts: &'a Accounts, limits: Limits) -> Result<Self, AnalysisError> {
        let config = request.config.clone().check().map_err(|mut error| config_error(error.problems.swap_remove(0)))?;
        check_sizes(request, limits)?;
        check_samples(request, &config, limits)?;
        let fetched = config.metrics.iter().any(|metric| !request.samples.contains_key(&metric.name));
        if !fetched {
            let metrics = config.metrics.iter().map(|_| MetricPlan::Inline).collect();
            let step_seconds = request.window.map_or(request.step_seconds, |window| window.step_seconds);
            return Ok(Self { config, account: None, metrics, step_seconds });
        }
        let account = accounts.choose(request.source.as_deref())?;
        let Some(window) = request.window else {
            let name = config.metrics.iter().map(|m| &m.name).find(|name| !request.samples.contains_key(*name));
            let message = format!("`{}` has to be fetched; say over which window", name.map_or("", String::as_str));
            return Err(invalid("/window", message));
        };
        let arms = [
            (Arm::Baseline, variables(&config, &request.baseline, "baseline")?, request.baseline_window().unwrap_or(window)),
            (Arm::Canary, variables(&config, &request.canary, "canary")?, window),
        ];
        let metrics = config
            .metrics
            .iter()
            .enumerate()
            .map(|(i, metric)| {
                if request.samples.contains_key(&metric.name) {
                    return Ok(MetricPlan::Inline);
                }
                if let Some(ArmQueries { baseline, canary, pair_by }) = request.queries.get(&metric.name) {
                    let planned = |arm, query: &Query| PlannedQuery { arm, part: Part::Value, query: query.clone() };
                    let queries = vec![planned(Arm::Baseline, baseline), planned(Arm::Canary, canary)];
                    return Ok(MetricPlan::Fetch { series: SeriesRule::Pairs(pair_by.clone()), queries });
                }
                let kind = account.source.kind();
                let Some(query) = metric.queries.get(kind) else {
                    let message =
                        format!("`{}` has no query for {kind}, which source `{}` speaks; add queries.{kind}", metric.name, account.name);
                    return Err(invalid(format!("/config/metrics/{i}/queries"), message));
                };
                let queries =
                    plan_queries(account, query, &arms).map_err(|(arm, message)| missing_scope(request, arm, i, kind, message))?;
                let series = metric.per_instance.clone().map_or(SeriesRule::One, SeriesRule::Instances);
                Ok(MetricPlan::Fetch { series, queries })
            })
            .collect::<Result<Vec<_>, _>>()?;
        refuse_comparing_with_itself(&metrics)?;
        Ok(Self { config, account: Some(account), metrics, step_seconds: window.step_seconds })
    }
}

/// Refuses a request in which every query of the canary is one of the baseline's: it would pass whatever is released.
fn refuse_comparing_with_itself(metrics: &[MetricPlan]) -> Result<(), AnalysisError> {
    // An edge that makes its own queries decides by itself.
    if metrics.iter().any(|metric| matches!(metric, MetricPlan::Fetch { series: SeriesRule::Pairs(_), .. })) {
        return Ok(());
    }
    let asked =
        |arm: Arm| metrics.iter().flat_map(MetricPlan::queries).filter(move |planned| planned.arm == arm).map(|planned| &planned.query);
    if asked(Arm::Canary).eq(asked(Arm::Baseline)) {
        let message = "both arms ask the same queries over the same window, and would be compared with themselves; \
                       give them different scopes, or the baseline an offset";
        return Err(invalid("/canary", message));
    }
    Ok(())
}

fn plan_queries(
    account: &Account,
    query: &MetricQuery,
    arms: &[(Arm, BTreeMap<String, String>, Window); 2],
) -> Result<Vec<PlannedQuery>, (Arm, String)> {
    let texts = match query {
        MetricQuery::Single(text) => vec![(Part::Value, text)],
        MetricQuery::Counts(counts) => vec![(Part::Numerator, &counts.numerator), (Part::Denominator, &counts.denominator)],
    };
    let mut queries = Vec::with_capacity(4);
    for (arm, variables, window) in arms {
        for (part, text) in &texts {
            let template = Template { text, variables, window: *window };
            let text = account.source.resolve(&template).map_err(|error| (*arm, error.to_string()))?;
            queries.push(PlannedQuery { arm: *arm, part: *part, query: Query { text, window: *window } });
        }
    }
    Ok(queries)
}

/// A template that cannot be filled points at the scope where that was left out, and at the config's query otherwise.
fn missing_scope(request: &Request, arm: Arm, metric: usize, kind: &str, message: String) -> AnalysisError {
    let scope = if arm == Arm::Baseline { &request.baseline } else { &request.canary };
    if message.contains("`scope`") && !scope.variables.contains_key("scope") {
        return invalid(format!("/{arm}/scope"), format!("the queries use ${{scope}}; say what selects the {arm}"));
    }
    invalid(format!("/config/metrics/{metric}/queries/{kind}"), message)
}

/// The variables of one arm: the config's defaults, and the request's over them.
fn variables(config: &CheckedConfig, scope: &Scope, arm: &str) -> Result<BTreeMap<String, String>, AnalysisError> {
    let mut variables = BTreeMap::new();
    for (name, declared) in &config.variables {
        match scope.variables.get(name).or(declared.default.as_ref()) {
            Some(value) => variables.insert(name.clone(), value.clone()),
            None => {
                let message = format!("`{name}` has no default in config `{}`; give it a value", config.name);
                return Err(invalid(format!("/{arm}/variables/{name}"), message));
            }
        };
    }
    for (name, value) in &scope.variables {
        let built_in = matches!(name.as_str(), "scope" | "location");
        if !built_in && !config.variables.contains_key(name) {
            let reserved = BUILT_IN_VARIABLES.contains(&name.as_str());
            let known: Vec<&str> = config.variables.keys().map(String::as_str).collect();
            let message = if reserved {
                format!("`{name}` follows from the window and cannot be given")
            } else if known.is_empty() {
                format!("config `{}` declares no variables", config.name)
            } else {
                format!("config `{}` declares no such variable; it has {}", config.name, known.join(", "))
            };
            return Err(invalid(format!("/{arm}/variables/{name}"), message));
        }
        variables.insert(name.clone(), value.clone());
    }
    Ok(variables)
}

fn check_sizes(request: &Request, limits: Limits) -> Result<(), AnalysisError> {
    if request.step_seconds == 0 || request.window.is_some_and(|window| window.step_seconds == 0) {
        return Err(invalid("/window/step", "0s is no distance between points; give at least 1s"));
    }
    if let Some(share) = request.canary_share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
        return Err(invalid("/canary_share", format!("{share} is no share of the traffic; give a number above 0 and below 1")));
    }
    // Where nothing is fetched, no metric store's limit counts.
    let inline = request.config.metrics.iter().all(|metric| request.samples.contains_key(&metric.name));
    let most = if inline { limits.max_inline_points.max(limits.max_points) } else { limits.max_points };
    let own = request.queries.values().flat_map(|queries| [queries.baseline.window, queries.canary.window]);
    for window in request.window.into_iter().chain(request.baseline_window).chain(own) {
        if window.step_seconds == 0 {
            return Err(invalid("/window/step", "0s is no distance between points; give at least 1s"));
        }
        if window.is_empty() {
            let message = format!("the window holds no whole step of {} s; make it longer or the step shorter", window.step_seconds);
            return Err(invalid("/window", message));
        }
        if window.len() > most {
            let fitting = window.seconds().unsigned_abs().div_ceil(most as u64);
            let message = format!("{} points are more than {most}; a step of {fitting}s fits", window.len());
            return Err(invalid("/window/step", message));
        }
    }
    Ok(())
}

fn check_samples(request: &Request, config: &CheckedConfig, limits: Limits) -> Result<(), AnalysisError> {
    for (name, samples) in &request.samples {
        let pointer = |arm: &str| format!("/samples/{}/{arm}", name.replace('~', "~0").replace('/', "~1"));
        if !config.metrics.iter().any(|metric| metric.name == *name) {
            let message = format!("config `{}` has no metric `{}`", config.name, name.chars().take(60).collect::<String>());
            return Err(invalid(pointer("").trim_end_matches('/').to_owned(), message));
        }
        for (arm, points) in [("baseline", &samples.baseline), ("canary", &samples.canary)] {
            let longest = match points {
                InlineArm::Values(values) => values.len(),
                InlineArm::Counts { events, totals } => {
                    if events.len() != totals.len() {
                        let message = format!("{} events and {} totals; give one of each an interval", events.len(), totals.len());
                        return Err(invalid(pointer(arm), message));
                    }
                    events.len()
                }
                InlineArm::Instances(instances) => instances.values().map(Vec::len).max().unwrap_or(0),
            };
            if longest > limits.max_inline_points {
                let message = format!("{longest} points are more than {}; give fewer, further apart", limits.max_inline_points);
                return Err(invalid(pointer(arm), message));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use haldane_judges::{CanaryConfig, JudgeName};
    use serde_json::json;

    use super::*;
    use crate::source::SourceSettings;

    fn accounts() -> Accounts {
        let settings: SourceSettings = serde_json::from_value(json!({ "kind": "prometheus", "url": "http://127.0.0.1:1" })).unwrap();
        Accounts::open(&BTreeMap::from([("main".to_owned(), settings)])).unwrap()
    }

    fn request(query: &str, baseline: &str, canary: &str) -> Request {
        let config = json!({ "name": "c", "metrics": [{ "name": "m", "queries": { "prometheus": query } }] });
        let scope = |name: &str| Scope { variables: BTreeMap::from([("scope".to_owned(), name.to_owned())]) };
        Request {
            judge: JudgeName::HaldaneV1,
            config: serde_json::from_value::<CanaryConfig>(config).unwrap(),
            source: None,
            baseline: scope(baseline),
            canary: scope(canary),
            window: Some(Window { start: 0, end: 600, step_seconds: 60 }),
            step_seconds: 60,
            baseline_offset_seconds: 0,
            baseline_window: None,
            canary_share: None,
            planned_end: None,
            samples: BTreeMap::new(),
            queries: BTreeMap::new(),
        }
    }

    fn pointer(request: &Request) -> String {
        match Plan::of(request, &accounts(), Limits::default()).map(|plan| plan.metrics.len()) {
            Err(AnalysisError::Invalid { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_canary_is_not_compared_with_itself() {
        assert_eq!(pointer(&request("up{app=\"${scope}\"}", "a", "a")), "/canary");
        assert_eq!(pointer(&request("vector(1)", "a", "b")), "/canary");
        let mut earlier = request("up{app=\"${scope}\"}", "a", "a");
        earlier.baseline_offset_seconds = 3600;
        assert!(Plan::of(&earlier, &accounts(), Limits::default()).is_ok());
    }

    #[test]
    fn what_a_query_needs_and_nobody_gave_is_named() {
        let mut unscoped = request("up{app=\"${scope}\"}", "a", "b");
        unscoped.canary.variables.clear();
        assert_eq!(pointer(&unscoped), "/canary/scope");
        assert_eq!(pointer(&request("up{app=\"${scpe}\"}", "a", "b")), "/config/metrics/0/queries/prometheus");
        let mut stray = request("up{app=\"${scope}\"}", "a", "b");
        stray.baseline.variables.insert("zone".to_owned(), "x".to_owned());
        assert_eq!(pointer(&stray), "/baseline/variables/zone");
    }

    #[test]
    fn windows_and_shares_that_make_no_sense_are_refused() {
        let with = |change: &dyn Fn(&mut Request)| {
            let mut request = request("up{app=\"${scope}\"}", "a", "b");
            change(&mut request);
            pointer(&request)
        };
        assert_eq!(with(&|r| r.window = None), "/window");
        assert_eq!(with(&|r| r.step_seconds = 0), "/window/step");
        assert_eq!(with(&|r| r.window = Some(Window { start: 600, end: 0, step_seconds: 60 })), "/window");
        assert_eq!(with(&|r| r.window = Some(Window { start: 0, end: 10_000_000, step_seconds: 1 })), "/window/step");
        assert_eq!(with(&|r| r.canary_share = Some(1.5)), "/canary_share");
    }
}
