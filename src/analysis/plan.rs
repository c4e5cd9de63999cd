//! Which queries answer a request, checked before anything is asked.

use std::collections::BTreeMap;

use haldane_judges::config::{BUILT_IN_VARIABLES, HistoryMode, Metric, MetricQuery};
use haldane_judges::evidence::Arm;
use haldane_judges::{CheckedConfig, JudgeName};

use super::align::resolution::{self, FEWEST_AT_LARGER_STEP};
use super::align::tail;
use super::error::{AnalysisError, invalid};
use super::limits::AnalysisLimits;
use super::query::{EARLIER_DAYS, Part, PlannedQuery, history_points, parts};
use super::request::{ArmQueries, Request, Scope};
use super::samples::MetricSamples;
use crate::source::cache::Source;
use crate::source::sources::Sources;
use crate::source::{Query, SourceError, Template, Window};

/// A checked request with everything that is to be read for it: every query with its variables put in.
///
/// [`Analyst::plan`](super::Analyst::plan) alone makes one, so that whoever has a plan has a request that can be judged.
#[derive(Debug)]
pub struct Plan {
    pub(super) request: Request,
    pub(super) config: CheckedConfig,
    pub(super) limits: AnalysisLimits,
    /// The store to read from; `None` where every metric carries its samples.
    pub(super) source: Option<Source>,
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
#[derive(Debug)]
pub(super) enum MetricPlan {
    /// They came with the request.
    Inline,
    /// They are asked for.
    Fetch { series: SeriesRule, queries: Vec<PlannedQuery> },
    /// They would tell nothing, or cannot be had, so that nothing is asked for.
    Unasked {
        /// What would have been asked.
        queries: Vec<PlannedQuery>,
        /// Why: a stable word, and a sentence with the remedy.
        reason: &'static str,
        message: String,
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
            Self::Inline | Self::Unasked { .. } => &[],
            Self::Fetch { queries, .. } => queries,
        }
    }
}

/// Whether a judge learns from the time before the window of a metric.
pub(super) fn learns_from_history(judge: JudgeName, metric: &Metric) -> bool {
    judge == JudgeName::HaldaneV1 && metric.history.mode == HistoryMode::Auto
}

/// Whether it is to know what the metric did at the same clock of earlier days.
pub(super) fn reads_the_clock(judge: JudgeName, metric: &Metric) -> bool {
    learns_from_history(judge, metric) && metric.history.clock == HistoryMode::Auto
}

impl Plan {
    /// The request, which can be judged.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// How many queries it asks, at least.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.metrics.iter().map(|metric| metric.queries().len()).sum::<usize>() + self.population.len()
    }

    /// The source that it reads from, unless all samples came with the request.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Memory that the samples of the request take, in bytes.
    pub(super) fn inline_bytes(&self) -> usize {
        size_of::<Option<f64>>() * self.request.samples.values().map(MetricSamples::len).sum::<usize>()
    }

    /// Whether metrics would be judged by their past as well, had the request said when the canary's version was released.
    pub(super) fn lacks_release(&self) -> bool {
        let request = &self.request;
        // An edge that brings its own queries has no word for a release.
        let unstated = request.released_at.is_none() && request.queries.is_empty();
        let concurrent = request.baseline_window() == request.window;
        let learns = |(planned, metric): (&MetricPlan, &Metric)| {
            matches!(planned, MetricPlan::Fetch { .. }) && learns_from_history(request.judge, metric)
        };
        unstated && concurrent && self.metrics.iter().zip(&self.config.metrics).any(learns)
    }

    /// Plans a request.
    pub(super) fn of(request: Request, sources: &Sources, limits: AnalysisLimits) -> Result<Self, AnalysisError> {
        let config = request.config.clone().check().map_err(|error| AnalysisError::InvalidConfig(error.below("/config")))?;
        request.check(&config, limits)?;
        let fetched = config.metrics.iter().any(|metric| !request.samples.contains_key(&metric.name));
        // Where all samples are given and nothing says when they were taken, there is no time to ask about.
        let asks_population = config.population.is_some() && (fetched || request.window.is_some() || config.metrics.is_empty());
        if !(fetched || asks_population) {
            let metrics = config.metrics.iter().map(|_| MetricPlan::Inline).collect();
            let step_seconds = request.window.map_or(request.step_seconds, |window| window.step_seconds);
            return Ok(Self { request, config, limits, source: None, metrics, population: Vec::new(), step_seconds, arms: None });
        }
        let source = sources.choose(request.source.as_deref())?;
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
                    let planned = |arm, query: &Query| PlannedQuery {
                        arm,
                        part: Part::Value,
                        query: query.clone(),
                        history_points: 0,
                        earlier: Vec::new(),
                    };
                    let queries = vec![planned(Arm::Baseline, baseline), planned(Arm::Canary, canary)];
                    let queries = with_history(queries, &request, metric, source, limits);
                    return Ok(MetricPlan::Fetch { series: SeriesRule::Pairs(pair_by.clone()), queries });
                }
                let kind = source.kind();
                let Some(query) = metric.queries.get(kind) else {
                    let message =
                        format!("`{}` has no query for {kind}, which source `{}` speaks; add queries.{kind}", metric.name, source.name());
                    return Err(invalid(format!("/config/metrics/{i}/queries"), message));
                };
                let queries = plan_queries(source, metric, query, &arms)
                    .map_err(|unfilled| unfilled.at(&format!("/config/metrics/{i}/queries/{kind}")))?;
                let queries = with_history(queries, &request, metric, source, limits);
                if let Some(why) = source.without_buckets().filter(|_| queries.iter().any(|planned| planned.part == Part::Buckets)) {
                    return Ok(MetricPlan::Unasked { queries, reason: "refused", message: why.to_owned() });
                }
                let series = metric.per_instance.clone().map_or(SeriesRule::One, SeriesRule::Instances);
                Ok(MetricPlan::Fetch { series, queries })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let population = plan_population(&config, source, &arms)?;
        refuse_comparing_with_itself(&metrics, &population)?;
        let metrics = metrics.into_iter().zip(&config.metrics).enumerate();
        let metrics = metrics.map(|(i, (planned, metric))| unless_same(planned, metric, i, request.judge, source)).collect();
        let (source, step_seconds) = (Some(source.clone()), window.step_seconds);
        Ok(Self { request, config, limits, source, metrics, population, step_seconds, arms: Some(arms) })
    }

    /// Points at the end of a window that may still come or change at a time, in Unix seconds.
    pub(super) fn young_points(&self, window: Window, now: i64) -> usize {
        self.source.as_ref().map_or(0, |source| tail::young_points(window, source.settle_seconds(), now))
    }

    /// A metric's queries once more, at a step that both arms have points at, over what whole steps of it their windows hold.
    ///
    /// # Errors
    /// Why they cannot be asked so, in words that follow a colon.
    pub(super) fn at_step(&self, metric: usize, step_seconds: u32) -> Result<Vec<PlannedQuery>, String> {
        let (Some(source), Some(metric), Some(arms)) = (&self.source, self.config.metrics.get(metric), &self.arms) else {
            return Err("nothing is fetched for it".to_owned());
        };
        if self.request.queries.contains_key(&metric.name) {
            return Err("its queries came complete and cannot be filled for another step".to_owned());
        }
        let Some(query) = metric.queries.get(source.kind()) else {
            return Err(format!("it has no query for {}", source.kind()));
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
        let queries = plan_queries(source, metric, query, &arms).map_err(|unfilled| format!("{}: {}", unfilled.arm, unfilled.message))?;
        Ok(with_history(queries, &self.request, metric, source, self.limits))
    }
}

/// A metric's queries with the points before the window, where its judge learns from them and no query forbids it, and with the days on
/// which both arms are asked for the same clock.
///
/// Where nobody says since when the canary's version runs, its past may be that version's own. Then only the baseline's is read, and that
/// only where the arms lie apart: it says nothing about two arms over the same time.
fn with_history(
    mut queries: Vec<PlannedQuery>,
    request: &Request,
    metric: &Metric,
    source: &Source,
    limits: AnalysisLimits,
) -> Vec<PlannedQuery> {
    let learns = learns_from_history(request.judge, metric) && !queries.iter().any(|planned| source.depends_on_range(&planned.query.text));
    let window = |arm: Arm| queries.iter().find(|planned| planned.arm == arm).map(|planned| planned.query.window);
    let concurrent = window(Arm::Baseline) == window(Arm::Canary);
    let of_use = |arm: Arm| request.released_at.is_some() || arm == Arm::Baseline && !concurrent;
    if learns {
        for planned in queries.iter_mut().filter(|planned| of_use(planned.arm)) {
            planned.history_points = history_points(planned.query.window, metric.history.windows, limits.max_points);
        }
    }
    // An edge's own queries may return several series, each of which is judged.
    if reads_the_clock(request.judge, metric) && !request.queries.contains_key(&metric.name) {
        let of_all = |days: &u32| queries.iter().all(|planned| planned.has_earlier(*days, request.released_at));
        let days: Vec<u32> = EARLIER_DAYS.into_iter().filter(of_all).collect();
        for planned in &mut queries {
            planned.earlier.clone_from(&days);
        }
    }
    queries
}

fn plan_population(config: &CheckedConfig, source: &Source, arms: &[PlannedArm; 2]) -> Result<Vec<PlannedQuery>, AnalysisError> {
    let Some(population) = &config.population else { return Ok(Vec::new()) };
    let kind = source.kind();
    let Some(text) = population.queries.get(kind) else {
        let message = format!("there is no query for {kind}, which source `{}` speaks; add queries.{kind}", source.name());
        return Err(invalid("/config/population/queries", message));
    };
    let planned = |(arm, variables, window): &PlannedArm| {
        let filled = fill(source, text, (*arm, variables, *window));
        let text = filled.map_err(|unfilled| unfilled.at(&format!("/config/population/queries/{kind}")))?;
        Ok(PlannedQuery::over_window(*arm, Part::Population, text, *window))
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
fn unless_same(planned: MetricPlan, metric: &Metric, i: usize, judge: JudgeName, source: &Source) -> MetricPlan {
    let limited = metric.limits.max.is_some() || metric.limits.min.is_some();
    let compares = match judge {
        JudgeName::HaldaneV1 => true,
        JudgeName::ThresholdV1 => !limited,
        JudgeName::NetflixAca => false,
    };
    match planned {
        MetricPlan::Fetch { series, queries } if compares && !matches!(series, SeriesRule::Pairs(_)) && asks_the_same(&queries) => {
            let message = format!(
                "both arms ask the same query over the same window (/config/metrics/{i}/queries/{}), so that the metric would be compared with \
                 itself; put `${{scope}}`, or another variable in which the arms differ, into the query",
                source.kind()
            );
            MetricPlan::Unasked { queries, reason: "same_query", message }
        }
        planned => planned,
    }
}

/// Whether both arms ask the same texts over the same window.
fn asks_the_same(queries: &[PlannedQuery]) -> bool {
    let asked = |arm: Arm| queries.iter().filter(move |planned| planned.arm == arm).map(|planned| (planned.part, &planned.query));
    asked(Arm::Canary).eq(asked(Arm::Baseline))
}

fn plan_queries(source: &Source, metric: &Metric, query: &MetricQuery, arms: &[PlannedArm; 2]) -> Result<Vec<PlannedQuery>, UnfilledQuery> {
    let texts = parts(metric.kind, query);
    let mut queries = Vec::with_capacity(4);
    for (arm, variables, window) in arms {
        for (part, _, text) in &texts {
            let text = fill(source, text, (*arm, variables, *window))?;
            queries.push(PlannedQuery::over_window(*arm, *part, text, *window));
        }
    }
    Ok(queries)
}

/// A query's text with an arm's variables put in.
fn fill(source: &Source, text: &str, (arm, variables, window): (Arm, &BTreeMap<String, String>, Window)) -> Result<String, UnfilledQuery> {
    source.resolve(&Template { text, variables, window }).map_err(|error| UnfilledQuery {
        arm,
        unscoped: matches!(&error, SourceError::UnknownVariable { name, .. } if name == "scope"),
        message: error.to_string(),
    })
}

/// A query whose variables could not be put in.
struct UnfilledQuery {
    arm: Arm,
    /// Whether it asks for a scope, and the request has none.
    unscoped: bool,
    message: String,
}

impl UnfilledQuery {
    /// Points at the scope where that was left out, and at the query in the config otherwise.
    fn at(self, query: &str) -> AnalysisError {
        let Self { arm, unscoped, message } = self;
        if unscoped {
            return invalid(format!("/{arm}/scope"), format!("the queries use ${{scope}}; say what selects the {arm}"));
        }
        invalid(query, message)
    }
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

#[cfg(test)]
mod tests {
    use haldane_judges::CanaryConfig;
    use serde_json::json;

    use super::super::query::DAY_SECONDS;
    use super::*;
    use crate::source::SourceSettings;
    use crate::source::cache::ReplyCache;

    fn sources() -> Sources {
        let settings: SourceSettings = serde_json::from_value(json!({ "kind": "prometheus", "url": "http://127.0.0.1:1" })).unwrap();
        Sources::open(&BTreeMap::from([("main".to_owned(), settings)]), ReplyCache::default()).unwrap()
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
            labels: Default::default(),
            samples: BTreeMap::new(),
            queries: BTreeMap::new(),
        }
    }

    fn pointer(request: &Request) -> String {
        match Plan::of(request.clone(), &sources(), AnalysisLimits::default()).map(|plan| plan.metrics.len()) {
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
        assert!(Plan::of(earlier, &sources(), AnalysisLimits::default()).is_ok());
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

    fn planned(request: &Request, limits: AnalysisLimits) -> Vec<(usize, i64)> {
        let sources = sources();
        let plan = Plan::of(request.clone(), &sources, limits).unwrap();
        plan.metrics.iter().flat_map(MetricPlan::queries).map(|query| (query.history_points, query.with_history().window.start)).collect()
    }

    #[test]
    fn whole_windows_before_the_window_are_asked_for_within_the_limits() {
        let at = |start: i64| {
            let mut request = request("up{app=\"${scope}\"}[${window}]", "a", "b");
            request.window = Some(Window { start, end: start + 600, step_seconds: 60 });
            request
        };
        assert_eq!(planned(&at(100_000_200), AnalysisLimits::default()), [(200, 100_000_200 - 200 * 60); 2]);
        let tight = |max_points| AnalysisLimits { max_points, ..AnalysisLimits::default() };
        assert_eq!(planned(&at(100_000_200), tight(69))[0].0, 50);
        assert_eq!(planned(&at(100_000_200), tight(19))[0].0, 0);
        assert_eq!(planned(&at(1_500), AnalysisLimits::default()), [(20, 300); 2], "nothing was before 1970");
        assert_eq!(planned(&at(-600), AnalysisLimits::default())[0].0, 0);
        let sources = sources();
        let request = at(100_000_200);
        let plan = Plan::of(request.clone(), &sources, AnalysisLimits::default()).unwrap();
        assert!(plan.metrics[0].queries().iter().all(|query| query.with_history().text.ends_with("[600s]")), "the text is of the window");
    }

    #[test]
    fn each_arm_has_its_own_past() {
        let mut request = request("up{app=\"${scope}\"}", "a", "a");
        request.window = Some(Window { start: 360_000, end: 360_600, step_seconds: 60 });
        request.baseline_offset_seconds = 3600;
        assert_eq!(planned(&request, AnalysisLimits::default()), [(200, 356_400 - 12_000), (200, 360_000 - 12_000)]);
    }

    #[test]
    fn no_history_is_asked_for_where_nobody_learns_from_it() {
        let plain = [(0, 360_000); 2];
        let with = |query: &str, change: &dyn Fn(&mut Request)| {
            let mut request = request(query, "a", "b");
            request.window = Some(Window { start: 360_000, end: 360_600, step_seconds: 60 });
            change(&mut request);
            planned(&request, AnalysisLimits::default())
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
        let points: Vec<usize> = planned(&request, AnalysisLimits::default()).into_iter().map(|(points, _)| points).collect();
        assert_eq!(points, [200, 0]);
    }

    /// The days on which each query is asked for too, and over which time.
    fn earlier(request: &Request, limits: AnalysisLimits) -> Vec<Vec<(u32, i64, i64)>> {
        let sources = sources();
        let plan = Plan::of(request.clone(), &sources, limits).unwrap();
        let of_query = |planned: &PlannedQuery| {
            let window = |days: u32| planned.days_ago(days, planned.history_points).window;
            planned.earlier.iter().map(|days| (*days, window(*days).start, window(*days).end)).collect()
        };
        plan.metrics.iter().flat_map(MetricPlan::queries).map(of_query).collect()
    }

    /// Ten minutes a fortnight after 1970 began.
    const LATER: i64 = 15 * DAY_SECONDS;

    fn later(change: &dyn Fn(&mut Request)) -> Request {
        let mut request = request("up{app=\"${scope}\"}", "a", "b");
        request.window = Some(Window { start: LATER, end: LATER + 600, step_seconds: 60 });
        request.released_at = jiff::Timestamp::from_second(LATER).ok();
        change(&mut request);
        request
    }

    #[test]
    fn the_same_clock_of_earlier_days_is_asked_for_with_a_few_windows_before_it() {
        let day = |days: i64, windows: i64| (days as u32, LATER - days * DAY_SECONDS - 600 * windows, LATER - days * DAY_SECONDS + 600);
        assert_eq!(earlier(&later(&|_| ()), AnalysisLimits::default()), [[day(1, 6), day(7, 6)]; 2]);
        let five = |request: &mut Request| request.config.metrics[0].history.windows = 5;
        assert_eq!(earlier(&later(&five), AnalysisLimits::default()), [[day(1, 5), day(7, 5)]; 2]);
        let tight = AnalysisLimits { max_points: 39, ..AnalysisLimits::default() };
        assert_eq!(earlier(&later(&|_| ()), tight), [[day(1, 2), day(7, 2)]; 2]);
        // Each arm's own days.
        let apart = earlier(&later(&|request| request.baseline_offset_seconds = 3600), AnalysisLimits::default());
        assert_eq!(apart[0], [day(1, 6), day(7, 6)].map(|(days, start, end)| (days, start - 3600, end - 3600)));
        assert_eq!(apart[1], [day(1, 6), day(7, 6)]);
    }

    #[test]
    fn no_earlier_day_is_asked_for_where_it_says_nothing_of_both_arms() {
        let none = |change: &dyn Fn(&mut Request)| {
            let found = earlier(&later(change), AnalysisLimits::default());
            assert!(found.iter().all(Vec::is_empty), "{found:?}");
        };
        none(&|r| r.config.metrics[0].history.clock = HistoryMode::Off);
        none(&|r| r.config.metrics[0].history.mode = HistoryMode::Off);
        none(&|r| r.judge = JudgeName::NetflixAca);
        none(&|r| r.released_at = None);
        none(&|r| (r.released_at, r.baseline_offset_seconds) = (None, 3600));
        none(&|r| {
            let text = "up{app=\"${scope}\"} @ end()".to_owned();
            r.config.metrics[0].queries.insert("prometheus".to_owned(), MetricQuery::Single(text));
        });
        // Points a day ago lie between those that are asked for.
        none(&|r| r.window = Some(Window { start: LATER - LATER % 420, end: LATER - LATER % 420 + 4200, step_seconds: 420 }));
        // Longer than a day: yesterday is this window.
        none(&|r| r.window = Some(Window { start: LATER - 8 * DAY_SECONDS, end: LATER, step_seconds: 3600 }));
        none(&|r| r.window = Some(Window { start: DAY_SECONDS / 2, end: DAY_SECONDS / 2 + 600, step_seconds: 60 }));
    }

    #[test]
    fn a_canary_that_was_released_a_day_ago_has_no_earlier_day_since() {
        let days = |ago: i64| {
            let found =
                earlier(&later(&|r| r.released_at = jiff::Timestamp::from_second(LATER + 600 - ago).ok()), AnalysisLimits::default());
            assert_eq!(found[0].len(), found[1].len());
            found[0].iter().map(|(days, _, _)| *days).collect::<Vec<_>>()
        };
        assert_eq!(days(DAY_SECONDS), [1, 7]);
        assert_eq!(days(DAY_SECONDS + 1), [7]);
        assert_eq!(days(7 * DAY_SECONDS), [7]);
        assert_eq!(days(8 * DAY_SECONDS), Vec::<u32>::new());
    }

    #[test]
    fn counts_are_not_asked_for_on_earlier_days() {
        let text = |name: &str| format!("sum(increase({name}{{app=\"${{scope}}\"}}[1m]))");
        let config = json!({ "name": "c", "metrics": [{
            "name": "m", "kind": "ratio", "queries": { "prometheus": { "numerator": text("x"), "denominator": text("y") } }
        }] });
        let request = later(&|request| request.config = serde_json::from_value::<CanaryConfig>(config.clone()).unwrap());
        assert_eq!(planned(&request, AnalysisLimits::default())[0].0, 200);
        assert_eq!(earlier(&request, AnalysisLimits::default()), [const { Vec::new() }; 4]);
    }

    #[test]
    fn samples_of_earlier_days_are_checked() {
        let refused = |earlier: serde_json::Value, bounds: serde_json::Value| {
            let mut request = request("up", "a", "b");
            let three = json!({ "values": [1, 2, 3] });
            let samples = json!({ "baseline": three, "canary": three, "earlier": earlier, "bucket_bounds": bounds });
            request.samples = BTreeMap::from([("m".to_owned(), serde_json::from_value(samples).unwrap())]);
            match Plan::of(request.clone(), &Sources::default(), AnalysisLimits { max_inline_points: 10, ..AnalysisLimits::default() }) {
                Err(AnalysisError::Invalid { pointer, message }) => format!("{pointer}: {message}"),
                Err(other) => panic!("{other}"),
                Ok(_) => String::new(),
            }
        };
        let values = |n: usize| json!({ "values": vec![1.0; n] });
        let day = |days: u32, n: usize| json!({ "days": days, "baseline": values(n), "canary": values(n) });
        assert_eq!(refused(json!([day(1, 3), day(14, 9), { "days": 7, "canary": values(3) }]), json!([-1, 0.5, 2])), "");
        for (earlier, bounds, expected) in [
            (json!([day(0, 3)]), json!([]), "/samples/m/earlier/0/days: 0 days ago"),
            (json!([day(15, 3)]), json!([]), "/samples/m/earlier/0/days: 15 days ago"),
            (json!([day(1, 3), day(1, 3)]), json!([]), "/samples/m/earlier/1/days: 1 days ago is given twice"),
            (json!([{ "days": 1 }]), json!([]), "/samples/m/earlier/0: has no points"),
            (json!([day(1, 2)]), json!([]), "/samples/m/earlier/0/baseline: 2 points are fewer than the 3"),
            (json!([day(1, 11)]), json!([]), "/samples/m/earlier/0/baseline: 11 points are more than 10"),
            (
                json!([{ "days": 1, "canary": { "instances": { "a": [1, 2, 3] } } }]),
                json!([]),
                "/samples/m/earlier/0/canary: the points of an earlier day are instances, and those of the window numbers",
            ),
            (json!([]), json!([1, 1]), "/samples/m/bucket_bounds/1: 1 does not continue"),
        ] {
            let said = refused(earlier, bounds);
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_population_alone_is_planned_over_the_window_and_needs_one() {
        let config = json!({ "name": "c", "population": {
            "instance": "pod", "version": "version", "queries": { "prometheus": "build_info{app=\"${scope}\"}" }
        } });
        let mut request = request("up", "a", "b");
        request.config = serde_json::from_value::<CanaryConfig>(config).unwrap();
        let sources = sources();
        let plan = Plan::of(request.clone(), &sources, AnalysisLimits::default()).unwrap();
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
