//! What the service measures of itself, for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::record::reason_of;
use crate::analysis::Scorecard;
use crate::intake::IntakeCounts;
use crate::judgements::{AnswerOrigin, Failure, Judgements, LaneCount};
use crate::replay::RecordCounts;
use crate::source::sources::Sources;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JudgementLabels {
    judge: &'static str,
    verdict: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueryLabels {
    account: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FoundLabel {
    answered: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    account: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntakeLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountLabel {
    account: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The service's own metrics. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram, fn() -> Histogram>,
    stages: Family<StageLabel, Histogram, fn() -> Histogram>,
    shed: Counter,
    unfinished: Gauge,
    waiting: Gauge,
    judgements: Family<JudgementLabels, Counter>,
    failures: Family<ReasonLabel, Counter>,
    findings: Family<StatusLabel, Counter>,
    lookups: Family<FoundLabel, Counter>,
}

fn duration_histogram() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("haldane");
        let requests = Family::default();
        let durations = Family::new_with_constructor(duration_histogram as fn() -> Histogram);
        let stages = Family::new_with_constructor(duration_histogram as fn() -> Histogram);
        let (unfinished, waiting, shed) = (Gauge::default(), Gauge::default(), Counter::default());
        let (judgements, failures) = (Family::default(), Family::default());
        let (findings, lookups) = (Family::default(), Family::default());
        // `_total` is added to the names of counters.
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Time to answer an HTTP request", durations.clone());
        registry.register("analyses_unfinished", "Analyses that run or wait for their turn", unfinished.clone());
        registry.register("queue_length", "Analyses that wait for their turn", waiting.clone());
        registry.register("stage_duration_seconds", "Time of a judgement's stages: queue, fetch, judge, write", stages.clone());
        registry.register("requests_shed", "HTTP requests that were told to come back later, health checks left out", shed.clone());
        registry.register("judgements", "Judgements by verdict", judgements.clone());
        registry.register("analyses_failed", "Analyses that gave no verdict", failures.clone());
        registry.register("metric_findings", "Metrics judged, by what was found", findings.clone());
        registry.register("execution_lookups", "Judgements asked for by id", lookups.clone());
        registry.register("build", "The release that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            registry: Arc::new(registry),
            requests,
            durations,
            stages,
            shed,
            unfinished,
            waiting,
            judgements,
            failures,
            findings,
            lookups,
        }
    }
}

impl Metrics {
    /// Counts a request that was answered. `route` is the route's pattern, never the path.
    pub(crate) fn answered(&self, method: &axum::http::Method, route: &str, status: u16, took: Duration) {
        // Methods are callers' text: each new one would be a new series.
        let method = match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            "PATCH" => "PATCH",
            "OPTIONS" => "OPTIONS",
            _ => "other",
        };
        self.requests.get_or_create(&RequestLabels { method, route: route.to_owned(), status }).inc();
        self.durations.get_or_create(&RouteLabel { route: route.to_owned() }).observe(took.as_secs_f64());
        if matches!(status, 429 | 503) && !route.starts_with("/health") {
            self.shed.inc();
        }
    }

    /// Counts an analysis that ended.
    pub(crate) fn judged(&self, ending: Result<&Scorecard, &Failure>) {
        let scorecard = match ending {
            Ok(scorecard) => scorecard,
            Err(failure) => {
                self.failures.get_or_create(&ReasonLabel { reason: reason_of(failure) }).inc();
                return;
            }
        };
        for (stage, took) in scorecard.times.by_name() {
            self.took(stage, took);
        }
        let judgement = &scorecard.judgement;
        let labels = JudgementLabels { judge: judgement.judge.as_str(), verdict: judgement.verdict.to_string() };
        self.judgements.get_or_create(&labels).inc();
        let counts = &judgement.counts;
        for (status, n) in [
            ("regressed", counts.regressed),
            ("suspect", counts.suspect),
            ("pass", counts.pass),
            ("inconclusive", counts.inconclusive),
            ("no_data", counts.no_data),
            ("error", counts.error),
        ] {
            self.findings.get_or_create(&StatusLabel { status }).inc_by(n as u64);
        }
    }

    /// Measures a stage of a judgement.
    pub(crate) fn took(&self, stage: &'static str, took: Duration) {
        self.stages.get_or_create(&StageLabel { stage }).observe(took.as_secs_f64());
    }

    /// Counts a judgement that was asked for by its id.
    pub(crate) fn looked_up(&self, found: AnswerOrigin) {
        let answered = match found {
            AnswerOrigin::Remembered => "remembered",
            AnswerOrigin::Joined => "joined",
            AnswerOrigin::RunAgain => "run_again",
        };
        self.lookups.get_or_create(&FoundLabel { answered }).inc();
    }

    /// The metrics as text, with those that the sources and others keep themselves.
    pub(crate) fn exposition(
        &self,
        judgements: &Judgements,
        admitted: IntakeCounts,
        recorded: Option<RecordCounts>,
        others: &[Registry],
    ) -> Result<String, std::fmt::Error> {
        let level = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.unfinished.set(level(judgements.unfinished()));
        self.waiting.set(level(judgements.waiting()));
        let sources = judgements.analyst().sources();
        let mut out = String::new();
        text::encode_registry(&mut out, &self.registry)?;
        text::encode_registry(&mut out, &of_lanes(&judgements.lanes()))?;
        text::encode_registry(&mut out, &of_intake(admitted))?;
        text::encode_registry(&mut out, &of_sources(sources))?;
        if let Some(recorded) = recorded {
            text::encode_registry(&mut out, &of_recordings(recorded))?;
        }
        for registry in others {
            text::encode_registry(&mut out, registry)?;
        }
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

/// The judgements of each source that run and wait; those that bring their samples have none.
fn of_lanes(lanes: &[LaneCount]) -> Registry {
    let mut registry = Registry::with_prefix("haldane");
    let counted = Family::<LaneLabels, Gauge>::default();
    for lane in lanes {
        for (state, n) in [("running", lane.running), ("waiting", lane.waiting)] {
            let account = lane.source.as_deref().unwrap_or_default().to_owned();
            counted.get_or_create(&LaneLabels { account, state }).set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }
    registry.register("source_judgements", "Judgements that run or wait, by the source that they read from", counted);
    registry
}

/// What is taken on of what callers send.
fn of_intake(counts: IntakeCounts) -> Registry {
    let mut registry = Registry::with_prefix("haldane");
    let level = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let (requests, refused) = (Family::<IntakeLabel, Gauge>::default(), Family::<ReasonLabel, Counter>::default());
    for (state, n) in [("working", counts.seated), ("waiting", counts.waiting)] {
        requests.get_or_create(&IntakeLabel { state }).set(level(n as u64));
    }
    for (reason, n) in [("processors", counts.refused_processors), ("memory", counts.refused_memory)] {
        refused.get_or_create(&ReasonLabel { reason }).inc_by(n);
    }
    let bytes = Gauge::<i64>::default();
    bytes.set(level(counts.bytes));
    registry.register("requests_admitted", "Requests with a body that are worked on or wait for that", requests);
    registry.register("requests_refused", "Requests with a body that were told to come back, by what there was too little of", refused);
    registry.register("bytes_in_flight", "Memory that requests and replies of metric stores take, about", bytes);
    registry
}

/// What became of the judgements that were to be recorded.
fn of_recordings(recorded: RecordCounts) -> Registry {
    let mut registry = Registry::with_prefix("haldane");
    let counted = Family::<OutcomeLabel, Counter>::default();
    for (outcome, n) in [("written", recorded.written), ("failed", recorded.failed), ("left_out", recorded.left_out)] {
        counted.get_or_create(&OutcomeLabel { outcome }).inc_by(n);
    }
    registry.register("recordings", "Judgements that were to be recorded, by what became of them", counted);
    registry
}

/// What the sources count: the cache's work, and the requests to each store.
fn of_sources(sources: &Sources) -> Registry {
    let mut registry = Registry::with_prefix("haldane");
    let counted = || Family::<AccountLabel, Counter>::default();
    let (hits, misses, requests, retries, throttled) = (counted(), counted(), counted(), counted(), counted());
    let queries = Family::<QueryLabels, Counter>::default();
    let under_way = Family::<AccountLabel, Gauge>::default();
    let cached = Gauge::<i64>::default();
    let level = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for source in sources.iter() {
        let label = AccountLabel { account: source.name().to_owned() };
        let counts = source.counts();
        hits.get_or_create(&label).inc_by(counts.hits);
        misses.get_or_create(&label).inc_by(counts.misses);
        for (outcome, n) in [("ok", counts.misses.saturating_sub(counts.failed)), ("failed", counts.failed), ("cached", counts.hits)] {
            queries.get_or_create(&QueryLabels { account: source.name().to_owned(), outcome }).inc_by(n);
        }
        let Some(traffic) = source.traffic() else { continue };
        requests.get_or_create(&label).inc_by(traffic.requests);
        retries.get_or_create(&label).inc_by(traffic.retries);
        throttled.get_or_create(&label).inc_by(traffic.throttled);
        under_way.get_or_create(&label).set(level(traffic.under_way));
    }
    cached.set(level(sources.cache().bytes()));
    registry.register(
        "source_queries",
        "Queries to metric stores: ok where the store answered, be it by refusing the query, failed, or cached",
        queries,
    );
    registry.register("cache_hits", "Queries answered by a kept reply, or by a request of another judgement", hits);
    registry.register("cache_misses", "Queries that became a request to a metric store", misses);
    registry.register("cache_bytes", "Memory that kept replies take, about", cached);
    registry.register("upstream_requests", "HTTP requests to metric stores, each try counted", requests);
    registry.register("upstream_retries", "HTTP requests to metric stores that were tries after the first", retries);
    registry.register("upstream_throttled", "HTTP requests that waited for a rate limit", throttled);
    registry.register("upstream_under_way", "HTTP requests to metric stores that are under way", under_way);
    registry
}
