//! History from a played metric store: what is asked for, what is learnt from it, and what happens where it cannot be had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haldane::analysis::{AnalysisLimits, Analyst, Request, Scorecard};
use haldane::source::Window;
use haldane::source::cache::ReplyCache;
use haldane::source::sources::Sources;
use haldane_judges::Verdict;
use haldane_judges::scorecard::{MetricResult, Reason, Status};
use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use crate::support::relay::lock;
use crate::support::scorecard;

/// The judged window: 20 points of a minute.
pub(crate) const START: i64 = 1_772_359_200;
pub(crate) const END: i64 = START + 20 * 60;
/// Points before it, where all that the config asks for are read.
pub(crate) const HISTORY: usize = 400;

/// Where the canary stands against the baseline in each twenty minutes, again and again; the window's are 0.3.
const SWINGS: [f64; 10] = [0.3, 0.0, 0.4, -0.1, 0.36, 0.05, -0.35, 0.1, 0.38, -0.4];

/// A query as the store saw it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) query: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
}

impl Seen {
    fn of(request: &wiremock::Request) -> Self {
        let form = format!("http://x/?{}", String::from_utf8_lossy(&request.body));
        let fields: BTreeMap<String, String> = reqwest::Url::parse(&form).unwrap().query_pairs().into_owned().collect();
        let number = |name: &str| fields[name].parse().unwrap();
        Self { query: fields["query"].clone(), start: number("start"), end: number("end"), step: number("step") }
    }

    pub(crate) fn is_longer(&self) -> bool {
        self.start < START
    }

    /// Whether an earlier day is asked for.
    pub(crate) fn is_earlier(&self) -> bool {
        self.end < START - 12 * 3600
    }

    /// A series of what `value` gives for each time.
    pub(crate) fn series(&self, labels: &Value, value: impl Fn(i64) -> Option<f64>) -> Value {
        let times = (0..).map(|i| self.start + i * self.step).take_while(|time| *time <= self.end);
        let values: Vec<Value> = times.filter_map(|time| Some(json!([time, value(time)?.to_string()]))).collect();
        json!({ "metric": labels, "values": values })
    }
}

pub(crate) fn success(series: &[Value]) -> ResponseTemplate {
    let series: Vec<&Value> = series.iter().filter(|one| one["values"] != json!([])).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": { "resultType": "matrix", "result": series } }))
}

/// A level with noise of a fixed pattern, which differs between scopes.
fn noisy(level: f64, scope: &str, time: i64) -> f64 {
    let at = (time / 60 + scope.bytes().map(i64::from).sum::<i64>()) * 7919 % 101;
    level * (1.0 + 0.03 * (at as f64 / 101.0 - 0.5))
}

/// The level of the scope that a query names: the canary swings by as much as it does while nothing is released.
pub(crate) fn level(query: &str, time: i64) -> f64 {
    if !query.contains("canary") {
        return noisy(100.0, query, time);
    }
    let block = (END - time).div_euclid(1200);
    let worse = if query.contains("worse") && time > START { 1.0 } else { 0.0 };
    noisy(100.0 * (1.0 + SWINGS[usize::try_from(block.rem_euclid(SWINGS.len() as i64)).unwrap()] + worse), query, time)
}

pub(crate) fn answer(seen: &Seen) -> ResponseTemplate {
    success(&[seen.series(&json!({}), |time| Some(level(&seen.query, time)))])
}

/// A metric store that answers by `answer` and keeps what it was asked.
pub(crate) struct Store {
    server: MockServer,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Answer<F>(F, Arc<Mutex<Vec<Seen>>>);

impl<F: Fn(&Seen) -> ResponseTemplate + Send + Sync> Respond for Answer<F> {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let seen = Seen::of(request);
        lock(&self.1).push(seen.clone());
        (self.0)(&seen)
    }
}

impl Store {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        let (server, seen) = (MockServer::start().await, Arc::default());
        let respond = Answer(answer, Arc::clone(&seen));
        Mock::given(path_regex(".*query_range$")).respond_with(respond).mount(&server).await;
        Self { server, seen }
    }

    /// An analyst that asks it, with more settings of the account.
    pub(crate) fn analyst(&self, more: &Value) -> Analyst {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut settings = json!({ "kind": "prometheus", "url": self.server.uri() });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = BTreeMap::from([("main".to_owned(), serde_json::from_value(settings).unwrap())]);
        Analyst::new(Sources::open(&settings, ReplyCache::default()).unwrap(), AnalysisLimits::default())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.seen))
    }
}

pub(crate) fn metric(query: &str) -> Value {
    json!({ "name": "m", "direction": "increase", "queries": { "prometheus": query } })
}

/// A request for the window, with the config's other fields in `more`.
pub(crate) fn request(canary: &str, metrics: &[Value], more: &Value) -> Request {
    let mut config = json!({ "name": "c", "judge": "haldane-v1", "metrics": metrics });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "judge": config["judge"], "config": config,
        "baseline": { "variables": { "scope": "base" } }, "canary": { "variables": { "scope": canary } },
        "window": { "start": START, "end": END, "step_seconds": 60 }, "step_seconds": 60,
        "released_at": jiff::Timestamp::from_second(START).unwrap()
    }))
    .unwrap()
}

pub(crate) async fn judged(analyst: &Analyst, request: &Request) -> Scorecard {
    scorecard(analyst, request, Instant::now() + Duration::from_secs(30)).await.unwrap()
}

pub(crate) fn only(card: &Scorecard) -> &MetricResult {
    assert_eq!(card.judgement.metrics.len(), 1);
    &card.judgement.metrics[0]
}

pub(crate) const QUERY: &str = "avg_over_time(m{app=\"${scope}\"}[${window}])";

#[tokio::test]
async fn one_query_an_arm_reads_the_window_and_its_history() {
    let store = Store::start(answer).await;
    let analyst = store.analyst(&json!({}));
    let card = judged(&analyst, &request("canary", &[metric(QUERY)], &json!({}))).await;
    let mut seen = store.seen();
    seen.retain(|seen| !seen.is_earlier());
    seen.sort_by(|a, b| a.query.cmp(&b.query));
    let at = |scope: &str| Seen {
        // The text speaks of the judged window.
        query: format!("avg_over_time(m{{app=\"{scope}\"}}[1200s])"),
        start: START + 60 - 60 * HISTORY as i64,
        end: END,
        step: 60,
    };
    assert_eq!(seen, [at("base"), at("canary")]);
    let data = &card.data.metrics[0];
    for query in &data.queries {
        assert_eq!((query.series, query.points, query.history_points), (Some(1), Some(20), Some(HISTORY)));
    }
    assert_eq!(card.data.canary_window.as_ref().map(|window| window.points), Some(20));
    assert_eq!(data.statistics.map(|statistics| statistics.canary.count), Some(20));
    let samples = serde_json::to_value(data.samples.as_ref().unwrap()).unwrap();
    for (field, points) in [("baseline", 20), ("canary", 20), ("baseline_history", HISTORY), ("canary_history", HISTORY)] {
        assert_eq!(samples[field]["values"].as_array().map(Vec::len), Some(points), "{field}");
    }
    assert_eq!(only(&card).canary_coverage.expected, 20);
}

#[tokio::test]
async fn what_swings_as_much_without_a_release_is_open_by_its_history_alone() {
    let store = Store::start(answer).await;
    let analyst = store.analyst(&json!({}));
    let with = judged(&analyst, &request("canary", &[metric(QUERY)], &json!({}))).await;
    let mut off = metric(QUERY);
    off["history"] = json!({ "mode": "off" });
    let without = judged(&analyst, &request("canary", &[off], &json!({}))).await;
    // Certainly beyond the tolerance, and usual here: neither held against the canary nor counted for it.
    assert_eq!((only(&with).status, only(&without).status), (Status::Inconclusive, Status::Regressed), "{}", only(&with).sentence);
    assert_eq!(only(&with).history.as_ref().map(|history| (history.windows, history.window_points)), Some((20, 20)));
    assert_eq!(only(&without).history, None);
    assert_ne!(with.data.digest, without.data.digest, "a verdict depends on the history, and so does the digest");
    let worse = judged(&analyst, &request("canary-worse", &[metric(QUERY)], &json!({}))).await;
    assert_eq!(only(&worse).status, Status::Regressed, "{}", only(&worse).sentence);
}

#[tokio::test]
async fn what_a_canary_does_since_its_release_is_not_what_healthy_looks_like() {
    // A canary that stands as high as this one ever since its release, which was before the window.
    let store = Store::start(|seen: &Seen| success(&[seen.series(&json!({}), |time| Some(steady(&seen.query, time)))])).await;
    let analyst = store.analyst(&json!({}));
    let released = |at: Option<i64>| {
        let mut request = request("canary", &[metric(QUERY)], &json!({}));
        request.released_at = at.map(|at| jiff::Timestamp::from_second(at).unwrap());
        request
    };
    for at in [None, Some(START - 3 * 1200)] {
        let card = judged(&analyst, &released(at)).await;
        assert_eq!(only(&card).status, Status::Regressed, "{at:?}: {}", only(&card).sentence);
        assert_eq!(only(&card).history.as_ref().map(|history| history.windows), at.map(|_| 17), "{at:?}");
    }
}

/// The canary's level is that of the baseline, and half as high again from an hour before the window.
fn steady(query: &str, time: i64) -> f64 {
    let noise = (time / 60 * 7919 % 101) as f64 / 50.0;
    let risen = query.contains("canary") && time > START - 3 * 1200;
    noise + if risen { 150.0 } else { 100.0 }
}

#[tokio::test]
async fn judges_that_learn_nothing_ask_for_the_window_alone() {
    let store = Store::start(answer).await;
    let analyst = store.analyst(&json!({}));
    for judge in ["threshold-v1", "NetflixACAJudge-v1.0"] {
        judged(&analyst, &request(&format!("canary-{judge}"), &[metric(QUERY)], &json!({ "judge": judge }))).await;
    }
    let seen = store.seen();
    assert!(seen.iter().all(|seen| (seen.start, seen.end) == (START + 60, END)), "{seen:?}");
    assert_eq!(seen.len(), 3, "one for each canary, and one for the baseline of both");
}

#[tokio::test]
async fn canaries_that_share_a_baseline_ask_for_it_once() {
    let store = Store::start(|seen| answer(seen).set_delay(Duration::from_millis(100))).await;
    let analyst = store.analyst(&json!({}));
    let requests: Vec<Request> = (0..6).map(|i| request(&format!("canary-{i}"), &[metric(QUERY)], &json!({}))).collect();
    let at_once = futures::future::join_all(requests[..5].iter().map(|request| judged(&analyst, request))).await;
    let later = judged(&analyst, &requests[5]).await;
    assert!(at_once.iter().chain([&later]).all(|card| only(card).history.is_some()));
    let seen = store.seen();
    // The window with its past, yesterday and a week ago, each once.
    assert_eq!(seen.iter().filter(|seen| seen.query.contains("\"base\"")).count(), 3, "{seen:?}");
    assert_eq!(seen.len(), 3 * 7);
}

/// What a store says to a query over the history too, with the settings under which it does.
fn refusals() -> Vec<(&'static str, ResponseTemplate, Value)> {
    let said = |status: u16, kind: &str, error: &str| {
        ResponseTemplate::new(status).set_body_json(json!({ "status": "error", "errorType": kind, "error": error }))
    };
    let long = ResponseTemplate::new(200).set_body_string(" ".repeat(40_000));
    let slow = success(&[]).set_delay(Duration::from_secs(20));
    vec![
        ("points", said(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries"), json!({})),
        ("samples", said(422, "execution", "query processing would load too many samples into memory in query execution"), json!({})),
        ("time", said(503, "timeout", "query timed out in expression evaluation"), json!({})),
        ("length", long, json!({ "max_reply_bytes": 20_000 })),
        ("patience", slow, json!({ "timeout": "1s", "connection": { "retries": 0 } })),
    ]
}

#[tokio::test]
async fn a_store_that_cannot_give_the_history_is_asked_once_more_for_the_window() {
    for (name, refusal, settings) in refusals() {
        // The canary's alone: then the baseline's history is of no use either.
        let store =
            Store::start(move |seen| if seen.is_longer() && seen.query.contains("canary") { refusal.clone() } else { answer(seen) });
        let store = store.await;
        let card = judged(&store.analyst(&settings), &request("canary", &[metric(QUERY)], &json!({}))).await;
        let seen = store.seen();
        let asked = |scope: &str| seen.iter().filter(|seen| seen.query.contains(scope)).map(Seen::is_longer).collect::<Vec<_>>();
        assert_eq!((asked("\"canary\""), asked("\"base\"")), (vec![true, false], vec![true]), "{name}: and for no other day");
        let found = only(&card);
        assert_eq!((found.status, found.history.is_none()), (Status::Regressed, true), "{name}: as without history: {}", found.sentence);
        assert!(found.warnings.iter().any(|w| w.starts_with("canary: judged without history")), "{name}: {:?}", found.warnings);
        let points: Vec<_> = card.data.metrics[0].queries.iter().map(|query| (query.points, query.history_points)).collect();
        assert_eq!(points, [(Some(20), Some(HISTORY)), (Some(20), None)], "{name}");
    }
}

#[tokio::test]
async fn a_store_that_never_gives_the_history_leaves_time_for_the_window_alone() {
    // Three times as many queries as the account may have under way: one that is given up must not keep its place.
    let store = Store::start(|seen| {
        let answer = answer(seen);
        if seen.is_longer() { answer.set_delay(Duration::from_secs(60)) } else { answer }
    })
    .await;
    let metrics: Vec<Value> = (0..6)
        .map(|i| json!({ "name": format!("m{i}"), "direction": "increase", "queries": { "prometheus": format!("m{i}{{app=\"${{scope}}\"}}") } }))
        .collect();
    let analyst = store.analyst(&json!({ "max_concurrent": 4 }));
    let request = request("canary-worse", &metrics, &json!({}));
    let card = scorecard(&analyst, &request, Instant::now() + Duration::from_secs(24)).await.unwrap();
    for metric in &card.judgement.metrics {
        assert_eq!((metric.status, metric.history.is_none()), (Status::Regressed, true), "{}", metric.sentence);
        let said = metric.warnings.iter().find(|warning| warning.contains("judged without history"));
        assert!(said.is_some_and(|warning| warning.contains("did not answer within")), "{:?}", metric.warnings);
    }
    assert_eq!(store.seen().iter().filter(|seen| !seen.is_longer()).count(), 12);
}

#[tokio::test]
async fn a_query_that_no_window_makes_right_is_asked_once() {
    let store = Store::start(|_| {
        let error = json!({ "status": "error", "errorType": "bad_data", "error": "1:4: parse error: unexpected end of input" });
        ResponseTemplate::new(400).set_body_json(error)
    })
    .await;
    let request = request("canary", &[metric(QUERY)], &json!({}));
    let failed = scorecard(&store.analyst(&json!({})), &request, Instant::now() + Duration::from_secs(30)).await;
    assert!(failed.is_err());
    assert_eq!(store.seen().len(), 2, "one an arm");
}

#[tokio::test]
async fn a_pod_that_is_gone_is_no_second_series_and_no_instance() {
    let store = Store::start(|seen| {
        // The pod before the window's, until an hour before it.
        let gone = seen.series(&json!({ "pod": "gone" }), |time| (time <= START - 3600).then(|| level(&seen.query, time)));
        let here = seen.series(&json!({ "pod": "here" }), |time| (time > START - 3600).then(|| level(&seen.query, time)));
        success(&[gone, here])
    })
    .await;
    let analyst = store.analyst(&json!({}));
    let query = "m{app=\"${scope}\"}";
    let card = judged(&analyst, &request("canary", &[metric(query)], &json!({}))).await;
    let windows = |card: &Scorecard| only(card).history.as_ref().map(|history| history.windows);
    assert_ne!(only(&card).status, Status::Error, "{}", only(&card).sentence);
    assert!(card.data.metrics[0].queries.iter().all(|query| (query.series, query.points) == (Some(1), Some(20))));
    // An hour of its own past: windows of twenty minutes that do not overlap.
    assert_eq!(windows(&card), Some(3));
    let samples = serde_json::to_value(&card.data.metrics[0].samples).unwrap();
    assert_eq!(samples["canary_history"]["values"].as_array().map(Vec::len), Some(60));
    let mut per_instance = metric(query);
    per_instance["per_instance"] = json!("pod");
    let card = judged(&analyst, &request("canary", &[per_instance], &json!({}))).await;
    assert_eq!(windows(&card), Some(20));
    let samples = serde_json::to_value(&card.data.metrics[0].samples).unwrap();
    assert_eq!(samples["canary_history"]["values"].as_array().map(Vec::len), Some(HISTORY), "the mean of whichever reported");
}

#[tokio::test]
async fn a_canary_without_a_past_has_no_placebo_windows() {
    let store = Store::start(|seen| {
        let began = if seen.query.contains("canary") { START } else { 0 };
        success(&[seen.series(&json!({}), |time| (time > began).then(|| level(&seen.query, time)))])
    })
    .await;
    let card = judged(&store.analyst(&json!({})), &request("canary", &[metric(QUERY)], &json!({}))).await;
    assert_eq!((only(&card).history.clone(), only(&card).status), (None, Status::Regressed), "{}", only(&card).sentence);
    let samples = serde_json::to_value(&card.data.metrics[0].samples).unwrap();
    assert_eq!(samples.get("canary_history"), None);
}

#[tokio::test]
async fn a_query_over_the_range_itself_is_not_made_longer() {
    let store = Store::start(answer).await;
    let card = judged(&store.analyst(&json!({})), &request("canary", &[metric("m{app=\"${scope}\"} / m @ start()")], &json!({}))).await;
    assert!(store.seen().iter().all(|seen| !seen.is_longer()));
    assert!(only(&card).warnings.iter().any(|warning| warning.contains("without history")), "{:?}", only(&card).warnings);
}

fn population() -> Value {
    json!({ "population": {
        "instance": "pod", "version": "version", "queries": { "prometheus": "count by (pod, version) (build_info{app=\"${scope}\"})" }
    } })
}

#[tokio::test]
async fn who_runs_what_is_asked_over_the_window_and_a_config_without_metrics_runs() {
    let store = Store::start(|seen| {
        let pod = |name: &str, version: &str| seen.series(&json!({ "pod": name, "version": version }), |_| Some(1.0));
        success(&if seen.query.contains("canary") { [pod("c-1", "2"), pod("c-2", "2")] } else { [pod("b-1", "1"), pod("b-2", "1")] })
    })
    .await;
    let card = judged(&store.analyst(&json!({})), &request("canary", &[], &population())).await;
    assert!(card.judgement.metrics.is_empty());
    let seen = store.seen();
    assert!(seen.len() == 2 && seen.iter().all(|seen| (seen.start, seen.end) == (START + 60, END)), "{seen:?}");
    let parts: Vec<_> = card.data.population.iter().map(|query| (query.part.as_str(), query.series, query.points)).collect();
    assert_eq!(parts, [("population", Some(2), Some(40)); 2]);
}

#[tokio::test]
async fn a_population_that_cannot_be_had_leaves_the_metrics_judged() {
    let store = Store::start(|seen| {
        if seen.query.contains("build_info") {
            let error = json!({ "status": "error", "errorType": "execution", "error": "no such thing" });
            return ResponseTemplate::new(422).set_body_json(error);
        }
        answer(seen)
    })
    .await;
    let card = judged(&store.analyst(&json!({})), &request("other", &[metric(QUERY)], &population())).await;
    assert_eq!(only(&card).status, Status::Pass, "{}", only(&card).sentence);
    assert!(card.data.population.iter().all(|query| query.series.is_none()));
}

fn inline(history: &Value) -> Value {
    let points = |level: f64, n: i64| (0..n).map(|i| noisy(level, "", i * 60)).collect::<Vec<_>>();
    // Ten windows of sixty points in which the canary stands half as high again, as it does now.
    let mut samples = json!({ "baseline": points(100.0, 60), "canary": points(150.0, 60) });
    samples.as_object_mut().unwrap().extend(history.as_object().unwrap().clone());
    json!({ "name": "c", "samples": { "m": samples } })
}

#[tokio::test]
async fn history_may_come_with_the_samples() {
    let points = |level: f64| (0..600).map(|i| Some(noisy(level, "", i * 60))).collect::<Vec<_>>();
    let card = |history: Value| async move {
        let mut body = serde_json::to_value(request("canary", &[metric(QUERY)], &json!({}))).unwrap();
        let given = inline(&history)["samples"]["m"].clone();
        let arm = |name: &str| given.get(name).map(|values| json!({ "values": values }));
        let arms = ["baseline", "canary", "baseline_history", "canary_history"];
        let arms: serde_json::Map<String, Value> = arms.into_iter().filter_map(|name| Some((name.to_owned(), arm(name)?))).collect();
        body["samples"] = json!({ "m": arms });
        let request: Request = serde_json::from_value(body).unwrap();
        judged(&Analyst::new(Sources::default(), AnalysisLimits::default()), &request).await
    };
    let without = card(json!({})).await;
    assert_eq!((only(&without).status, without.judgement.verdict), (Status::Regressed, Verdict::Fail));
    let with = card(json!({ "baseline_history": points(100.0), "canary_history": points(150.0) })).await;
    assert_eq!((only(&with).status, only(&with).reason), (Status::Inconclusive, Reason::InsufficientEvidence), "{}", only(&with).sentence);
}

/// A look at the window's first minutes, of a query whose text does not speak of the window.
fn look(minutes: i64) -> Request {
    let query = "avg_over_time(m{app=\"${scope}\"}[5m])";
    let mut request = request("canary", &[metric(query)], &json!({}));
    request.window = Some(Window { start: START, end: START + 60 * minutes, step_seconds: 60 });
    request
}

#[tokio::test]
async fn twelve_looks_read_hardly_more_points_than_the_last_of_them_alone() {
    let points = |seen: Vec<Seen>| seen.iter().map(|seen| (seen.end - seen.start) / seen.step + 1).sum::<i64>();
    let store = Store::start(answer).await;
    let last = judged(&store.analyst(&json!({})), &look(60)).await;
    let alone = points(store.seen());
    let analyst = store.analyst(&json!({}));
    let mut looks = Vec::new();
    for k in 1..=12 {
        looks.push(judged(&analyst, &look(5 * k)).await);
    }
    let all = points(store.seen());
    assert!(10 * all <= 13 * alone, "{all} points for twelve looks, {alone} for the last alone");
    // What was put together is what is read at once.
    assert_eq!(looks[11].data.digest, last.data.digest);
    assert_eq!(looks[11].judgement, last.judgement);
}
