//! Which queries answer a request, checked before anything is asked.

use std::collections::BTreeMap;

use haldane_judges::config::{BUILT_IN_VARIABLES, HistoryMode, Metric, MetricQuery};
use haldane_judges::evidence::Arm;
use haldane_judges::{CheckedConfig, ConfigProblem, JudgeName};

use super::align::resolution::{self, FEWEST_AT_LARGER_STEP};
use super::align::tail;
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
    /// Both arms' queries for who runs what; empty where the config does not ask, or there is nothing to ask over.
    pub(super) population: Vec<PlannedQuery>,
    pub(super) step_seconds: u32,
    /// What fills each arm's queries, to fill them again at another step; `None` where nothing is fetched.
    arms: Option<[PlannedArm; 2]>,
}

/// One arm: the variables of its queries, and its window.
type PlannedArm = (Arm, BTreeMap<String, String>, Window);

/// How one metric's samples are had.
pub(super) enum MetricPlan {
    /// They came with the request.
    Inline,
    /// They are asked for.
    Fetch { series: SeriesRule, queries: Vec<PlannedQuery> },
    /// They would be one and the same for both arms, so that nothing is asked for.
    Same {
        /// What would have been asked.
        queries: Vec<PlannedQuery>,
        /// Where the request's config holds it.
        pointer: String,
    },
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
            Self::Inline | Self::Same { .. } => &[],
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
    Population,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Numerator => "numerator",
            Self::Denominator => "denominator",
            Self::Population => "population",
        }
    }
}

/// One query of one arm.
pub(super) struct PlannedQuery {
    pub(super) arm: Arm,
    pub(super) part: Part,
    /// The query over the window alone.
    pub(super) query: Query,
    /// Points before the window that are asked for with it.
    pub(super) history_points: usize,
}

impl PlannedQuery {
    /// The query over the window and the time before it.
    pub(super) fn with_history(&self) -> Query {
        Query { text: self.query.text.clone(), window: self.query.window.with_past(self.history_points) }
    }
}

/// Whether a judge learns from the time before the window of a metric.
pub(super) fn learns_from_history(judge: JudgeName, metric: &Metric) -> bool {
    judge == JudgeName::HaldaneV1 && metric.history.mode == HistoryMode::Auto
}

/// Points before a window that are read with it: whole windows, as many as the config asks for, `most` points in all allow, and
/// there were since 1970.
fn history_points(window: Window, windows: u32, most: usize) -> usize {
    let n = window.len();
    let since_1970 = usize::try_from(window.start / i64::from(window.step_seconds.max(1))).unwrap_or(0);
    let fitting = |points: usize| points.checked_div(n).unwrap_or(0);
    let windows = usize::try_from(windows).unwrap_or(usize::MAX);
    windows.min(fitting(most.saturating_sub(n))).min(fitting(since_1970)) * n
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
        // Where all samples are given and nothing says when they were taken, there is no time to ask about.
        let asks_population = config.population.is_some() && (fetched || request.window.is_some() || config.metrics.is_empty());
        if !(fetched || asks_population) {
            let metrics = config.metrics.iter().map(|_| MetricPlan::Inline).collect();
            let step_seconds = request.window.map_or(request.step_seconds, |window| window.step_seconds);
            return Ok(Self { config, account: None, metrics, population: Vec::new(), step_seconds, arms: None });
        }
        let account = accounts.choose(request.source.as_deref())?;
        let Some(window) = request.window else {
            let name = config.metrics.iter().map(|m| &m.name).find(|name| !request.samples.contains_key(*name));
            let message = format!("`{}` has to be fetched; say over which window", name.map_or("population", String::as_str));
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
                    let planned = |arm, query: &Query| PlannedQuery { arm, part: Part::Value, query: query.clone(), history_points: 0 };
                    let queries = vec![planned(Arm::Baseline, baseline), planned(Arm::Canary, canary)];
                    let queries = with_history(queries, request, metric, account, limits);
                    return Ok(MetricPlan::Fetch { series: SeriesRule::Pairs(pair_by.clone()), queries });
                }
                let kind = account.source.kind();
                let Some(query) = metric.queries.get(kind) else {
                    let message =
                        format!("`{}` has no query for {kind}, which source `{}` speaks; add queries.{kind}", metric.name, account.name);
                    return Err(invalid(format!("/config/metrics/{i}/queries"), message));
                };
                let queries = plan_queries(account, query, &arms)
                    .map_err(|(arm, message)| missing_scope(request, arm, &format!("/config/metrics/{i}/queries/{kind}"), message))?;
                let queries = with_history(queries, request, metric, account, limits);
                let series = metric.per_instance.clone().map_or(SeriesRule::One, SeriesRule::Instances);
                Ok(MetricPlan::Fetch { series, queries })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let population = plan_population(request, &config, account, &arms)?;
        refuse_comparing_with_itself(&metrics, &population)?;
        let metrics = metrics.into_iter().zip(&config.metrics).enumerate();
        let metrics = metrics.map(|(i, (planned, metric))| unless_same(planned, metric, i, request.judge, account)).collect();
        Ok(Self { config, account: Some(account), metrics, population, step_seconds: window.step_seconds, arms: Some(arms) })
    }

    /// Points at the end of a window that may still come or change at a time, in Unix seconds.
    pub(super) fn young_points(&self, window: Window, now: i64) -> usize {
        self.account.map_or(0, |account| tail::young_points(window, account.settle_seconds(), now))
    }

    /// A metric's queries once more, at a step that both arms have points at, over what whole steps of it their windows hold.
    ///
    /// # Errors
    /// Why they cannot be asked so, in words that follow a colon.
    pub(super) fn at_step(&self, metric: usize, step_seconds: u32, request: &Request, limits: Limits) -> Result<Vec<PlannedQuery>, String> {
        let (Some(account), Some(metric), Some(arms)) = (self.account, self.config.metrics.get(metric), &self.arms) else {
            return Err("nothing is fetched for it".to_owned());
        };
        if request.queries.contains_key(&metric.name) {
            return Err("its queries came complete and cannot be filled for another step".to_owned());
        }
        let Some(query) = metric.queries.get(account.source.kind()) else {
            return Err(format!("it has no query for {}", account.source.kind()));
        };
        let before = arms.each_ref().map(|(_, _, window)| window.len());
        let mut arms = arms.clone().map(|(arm, variables, window)| (arm, variables, resolution::inwards(window, step_seconds)));
        // Arms of one length stay so: the one that begins off the new grid lost a point.
        if before[0] == before[1] {
            let shorter = arms.iter().map(|(_, _, window)| window.len()).min().unwrap_or(0);
            for (_, _, window) in &mut arms {
                *window = resolution::newest(*window, shorter);
            }
        }
        if let Some(short) = arms.iter().map(|(_, _, window)| window.len()).find(|points| *points < FEWEST_AT_LARGER_STEP) {
            let points = if short == 1 { "1 point".to_owned() } else { format!("{short} points") };
            return Err(format!("the window holds {points} at {step_seconds} s; ask for a longer one"));
        }
        let queries = plan_queries(account, query, &arms).map_err(|(arm, message)| format!("{arm}: {message}"))?;
        Ok(with_history(queries, request, metric, account, limits))
    }
}

/// A metric's queries with the points before the window, where its judge learns from them and no query forbids it.
///
/// Where nobody says since when the canary's version runs, its past may be that version's own. Then only the baseline's is read, and that
/// only where the arms lie apart: it says nothing about two arms over the same time.
fn with_history(
    mut queries: Vec<PlannedQuery>,
    request: &Request,
    metric: &Metric,
    account: &Account,
    limits: Limits,
) -> Vec<PlannedQuery> {
    let learns =
        learns_from_history(request.judge, metric) && !queries.iter().any(|planned| account.source.depends_on_range(&planned.query.text));
    let window = |arm: Arm| queries.iter().find(|planned| planned.arm == arm).map(|planned| planned.query.window);
    let concurrent = window(Arm::Baseline) == window(Arm::Canary);
    let of_use = |arm: Arm| request.released_at.is_some() || arm == Arm::Baseline && !concurrent;
    if learns {
        for planned in queries.iter_mut().filter(|planned| of_use(planned.arm)) {
            planned.history_points = history_points(planned.query.window, metric.history.windows, limits.max_points);
        }
    }
    queries
}

fn plan_population(
    request: &Request,
    config: &CheckedConfig,
    account: &Account,
    arms: &[PlannedArm; 2],
) -> Result<Vec<PlannedQuery>, AnalysisError> {
    let Some(population) = &config.population else { return Ok(Vec::new()) };
    let kind = account.source.kind();
    let Some(text) = population.queries.get(kind) else {
        let message = format!("there is no query for {kind}, which source `{}` speaks; add queries.{kind}", account.name);
        return Err(invalid("/config/population/queries", message));
    };
    let planned = |(arm, variables, window): &PlannedArm| {
        let text = account.source.resolve(&Template { text, variables, window: *window });
        let text = text.map_err(|error| missing_scope(request, *arm, &format!("/config/population/queries/{kind}"), error.to_string()))?;
        Ok(PlannedQuery { arm: *arm, part: Part::Population, query: Query { text, window: *window }, history_points: 0 })
    };
    arms.iter().map(planned).collect()
}

/// Refuses a request in which every query of the canary is one of the baseline's: it would pass whatever is released.
fn refuse_comparing_with_itself(metrics: &[MetricPlan], population: &[PlannedQuery]) -> Result<(), AnalysisError> {
    // An edge that makes its own queries decides by itself.
    if metrics.iter().any(|metric| matches!(metric, MetricPlan::Fetch { series: SeriesRule::Pairs(_), .. })) {
        return Ok(());
    }
    let asked = |arm: Arm| {
        let queries = metrics.iter().flat_map(MetricPlan::queries).chain(population);
        queries.filter(move |planned| planned.arm == arm).map(|planned| &planned.query)
    };
    if asked(Arm::Canary).eq(asked(Arm::Baseline)) {
        let message = "both arms ask the same queries over the same window, and would be compared with themselves; \
                       give them different scopes, or the baseline an offset";
        return Err(invalid("/canary", message));
    }
    Ok(())
}

/// What would compare a metric with itself, because both arms' queries are one text over one window, is no comparison: it is told
/// apart, not asked for, and no evidence that the canary is no worse.
///
/// Not so where limits alone judge it, which is no comparison; and where an edge makes its own queries or asks for Kayenta's own judge,
/// which decide by themselves.
fn unless_same(planned: MetricPlan, metric: &Metric, i: usize, judge: JudgeName, account: &Account) -> MetricPlan {
    let limited = metric.limits.max.is_some() || metric.limits.min.is_some();
    let compares = match judge {
        JudgeName::HaldaneV1 => true,
        JudgeName::ThresholdV1 => !limited,
        JudgeName::NetflixAca => false,
    };
    match planned {
        MetricPlan::Fetch { series, queries } if compares && !matches!(series, SeriesRule::Pairs(_)) && asks_the_same(&queries) => {
            MetricPlan::Same { queries, pointer: format!("/config/metrics/{i}/queries/{}", account.source.kind()) }
        }
        planned => planned,
    }
}

/// Whether both arms ask the same texts over the same window.
fn asks_the_same(queries: &[PlannedQuery]) -> bool {
    let asked = |arm: Arm| queries.iter().filter(move |planned| planned.arm == arm).map(|planned| (planned.part, &planned.query));
    asked(Arm::Canary).eq(asked(Arm::Baseline))
}

fn plan_queries(account: &Account, query: &MetricQuery, arms: &[PlannedArm; 2]) -> Result<Vec<PlannedQuery>, (Arm, String)> {
    let texts = match query {
        MetricQuery::Single(text) => vec![(Part::Value, text)],
        MetricQuery::Counts(counts) => vec![(Part::Numerator, &counts.numerator), (Part::Denominator, &counts.denominator)],
    };
    let mut queries = Vec::with_capacity(4);
    for (arm, variables, window) in arms {
        for (part, text) in &texts {
            let template = Template { text, variables, window: *window };
            let text = account.source.resolve(&template).map_err(|error| (*arm, error.to_string()))?;
            queries.push(PlannedQuery { arm: *arm, part: *part, query: Query { text, window: *window }, history_points: 0 });
        }
    }
    Ok(queries)
}

/// A template that cannot be filled points at the scope where that was left out, and at the config's `query` otherwise.
fn missing_scope(request: &Request, arm: Arm, query: &str, message: String) -> AnalysisError {
    let scope = if arm == Arm::Baseline { &request.baseline } else { &request.canary };
    if message.contains("`scope`") && !scope.variables.contains_key("scope") {
        return invalid(format!("/{arm}/scope"), format!("the queries use ${{scope}}; say what selects the {arm}"));
    }
    invalid(query, message)
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
    let given = |metric: &Metric| request.samples.contains_key(&metric.name);
    let inline = request.config.population.is_none() && request.config.metrics.iter().all(given);
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
        let arms = [("baseline", &samples.baseline, &samples.baseline_history), ("canary", &samples.canary, &samples.canary_history)];
        for (arm, points, history) in arms {
            if let Some(history) = history.as_ref().filter(|history| history.kind() != points.kind()) {
                let message = format!(
                    "the points before the window are {}, and those of the window {}; give the same",
                    history.kind(),
                    points.kind()
                );
                return Err(invalid(pointer(&format!("{arm}_history")), message));
            }
        }
        let histories = [("baseline_history", samples.baseline_history.as_ref()), ("canary_history", samples.canary_history.as_ref())];
        let histories = histories.into_iter().filter_map(|(field, points)| Some((field, points?)));
        for (arm, points) in [("baseline", &samples.baseline), ("canary", &samples.canary)].into_iter().chain(histories) {
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
    use crate::source::cache::ReplyCache;

    fn accounts() -> Accounts {
        let settings: SourceSettings = serde_json::from_value(json!({ "kind": "prometheus", "url": "http://127.0.0.1:1" })).unwrap();
        Accounts::open(&BTreeMap::from([("main".to_owned(), settings)]), ReplyCache::default()).unwrap()
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
            released_at: Some(jiff::Timestamp::UNIX_EPOCH),
            looks: None,
            ramp: Vec::new(),
            advisory: false,
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

    fn planned(request: &Request, limits: Limits) -> Vec<(usize, i64)> {
        let accounts = accounts();
        let plan = Plan::of(request, &accounts, limits).unwrap();
        plan.metrics.iter().flat_map(MetricPlan::queries).map(|query| (query.history_points, query.with_history().window.start)).collect()
    }

    #[test]
    fn whole_windows_before_the_window_are_asked_for_within_the_limits() {
        let at = |start: i64| {
            let mut request = request("up{app=\"${scope}\"}[${window}]", "a", "b");
            request.window = Some(Window { start, end: start + 600, step_seconds: 60 });
            request
        };
        assert_eq!(planned(&at(100_000_200), Limits::default()), [(200, 100_000_200 - 200 * 60); 2]);
        let tight = |max_points| Limits { max_points, ..Limits::default() };
        assert_eq!(planned(&at(100_000_200), tight(69))[0].0, 50);
        assert_eq!(planned(&at(100_000_200), tight(19))[0].0, 0);
        assert_eq!(planned(&at(1_500), Limits::default()), [(20, 300); 2], "nothing was before 1970");
        assert_eq!(planned(&at(-600), Limits::default())[0].0, 0);
        let accounts = accounts();
        let request = at(100_000_200);
        let plan = Plan::of(&request, &accounts, Limits::default()).unwrap();
        assert!(plan.metrics[0].queries().iter().all(|query| query.with_history().text.ends_with("[600s]")), "the text is of the window");
    }

    #[test]
    fn each_arm_has_its_own_past() {
        let mut request = request("up{app=\"${scope}\"}", "a", "a");
        request.window = Some(Window { start: 360_000, end: 360_600, step_seconds: 60 });
        request.baseline_offset_seconds = 3600;
        assert_eq!(planned(&request, Limits::default()), [(200, 356_400 - 12_000), (200, 360_000 - 12_000)]);
    }

    #[test]
    fn no_history_is_asked_for_where_nobody_learns_from_it() {
        let plain = [(0, 360_000); 2];
        let with = |query: &str, change: &dyn Fn(&mut Request)| {
            let mut request = request(query, "a", "b");
            request.window = Some(Window { start: 360_000, end: 360_600, step_seconds: 60 });
            change(&mut request);
            planned(&request, Limits::default())
        };
        let query = "up{app=\"${scope}\"}";
        assert_ne!(with(query, &|_| ()), plain);
        assert_eq!(with(query, &|r| r.judge = JudgeName::NetflixAca), plain);
        assert_eq!(with(query, &|r| r.judge = JudgeName::ThresholdV1), plain);
        assert_eq!(with(query, &|r| r.config.metrics[0].history.mode = HistoryMode::Off), plain);
        assert_eq!(with("up{app=\"${scope}\"} @ end()", &|_| ()), plain);
        // Its past may be that of the version that is judged.
        assert_eq!(with(query, &|r| r.released_at = None), plain);
    }

    #[test]
    fn without_a_release_time_arms_that_lie_apart_learn_from_the_baselines_past_alone() {
        let mut request = request("up{app=\"${scope}\"}", "a", "a");
        request.window = Some(Window { start: 360_000, end: 360_600, step_seconds: 60 });
        (request.baseline_offset_seconds, request.released_at) = (3600, None);
        let points: Vec<usize> = planned(&request, Limits::default()).into_iter().map(|(points, _)| points).collect();
        assert_eq!(points, [200, 0]);
    }

    #[test]
    fn a_population_alone_is_planned_over_the_window_and_needs_one() {
        let config = json!({ "name": "c", "population": {
            "instance": "pod", "version": "version", "queries": { "prometheus": "build_info{app=\"${scope}\"}" }
        } });
        let mut request = request("up", "a", "b");
        request.config = serde_json::from_value::<CanaryConfig>(config).unwrap();
        let accounts = accounts();
        let plan = Plan::of(&request, &accounts, Limits::default()).unwrap();
        let asked: Vec<_> = plan.population.iter().map(|query| (query.arm, query.query.text.as_str(), query.history_points)).collect();
        assert_eq!(asked, [(Arm::Baseline, "build_info{app=\"a\"}", 0), (Arm::Canary, "build_info{app=\"b\"}", 0)]);
        let mut timeless = request.clone();
        timeless.window = None;
        assert_eq!(pointer(&timeless), "/window");
        let mut same = request.clone();
        same.canary = same.baseline.clone();
        assert_eq!(pointer(&same), "/canary");
        let mut unscoped = request.clone();
        unscoped.baseline.variables.clear();
        assert_eq!(pointer(&unscoped), "/baseline/scope");
        let mut misspelt = request;
        misspelt.config.population.as_mut().unwrap().queries.insert("prometheus".to_owned(), "x{a=\"${scpe}\"}".to_owned());
        assert_eq!(pointer(&misspelt), "/config/population/queries/prometheus");
    }
}
