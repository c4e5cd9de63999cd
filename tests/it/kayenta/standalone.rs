//! Standalone analyses: judgements at intervals, driven by whoever asks and by a clock that the test sets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use haldane::cli::serve::assemble_with_clock;
use haldane::judgements::id::IdKey;
use haldane::settings::Settings;
use jiff::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::haldane::client;
use crate::support::prometheus::Prometheus;
use crate::support::relay::Local;
use crate::support::telemetry::{Arm, START as RECORDED, openmetrics};

/// When every analysis here is asked for: 2026-03-01T10:00:30.700Z.
const CREATED: i64 = 1_772_359_230_700;
/// Long enough for a busy machine; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that goes where it is set.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn at_creation() -> Self {
        Self(Arc::new(AtomicI64::new(CREATED)))
    }

    /// Sets it to so many seconds after the second of creation.
    fn set(&self, seconds: i64) {
        self.0.store(CREATED / 1000 * 1000 + seconds * 1000, Ordering::SeqCst);
    }

    fn second(&self) -> i64 {
        self.0.load(Ordering::SeqCst) / 1000
    }
}

/// By how much a metric of the canary differs from the baseline's, by its name and the minute after creation.
type Raised = fn(&str, i64) -> f64;

fn healthy(_: &str, _: i64) -> f64 {
    1.0
}

/// A metric store that has what was measured up to now.
struct Store {
    local: Local,
    state: Arc<Played>,
}

struct Played {
    clock: Clock,
    raised: Raised,
    down: AtomicBool,
    queries: AtomicUsize,
    /// One permit for each query that may be answered.
    gate: Semaphore,
}

impl Store {
    async fn play(clock: &Clock, raised: Raised) -> Self {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        let state = Played { clock: clock.clone(), raised, down: AtomicBool::new(false), queries: AtomicUsize::new(0), gate };
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        let answer = move |body: String| {
            let state = Arc::clone(&shared);
            async move { state.answer(&body).await }
        };
        Self { local: Local::serve(Router::new().fallback(answer)).await, state }
    }

    fn queries(&self) -> usize {
        self.state.queries.load(Ordering::SeqCst)
    }
}

impl Played {
    async fn answer(&self, body: &str) -> Response {
        self.queries.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("the gate is never closed").forget();
        if self.down.load(Ordering::SeqCst) {
            return (StatusCode::INTERNAL_SERVER_ERROR, "down").into_response();
        }
        let form = reqwest::Url::parse(&format!("http://store/?{body}")).expect("a form");
        let field = |name: &str| form.query_pairs().find(|(key, _)| key == name).expect("a field").1.into_owned();
        let number = |name: &str| field(name).trim_end_matches('s').parse::<f64>().expect("a number") as i64;
        let query = field("query");
        let metric = query.split('{').next().expect("a name");
        let canary = query.contains(r#"arm="canary""#);
        let (start, end, step) = (number("start"), number("end"), number("step"));
        // The canary's pods are made when the analysis is: they have no history.
        let made = if canary { CREATED / 1000 - 60 } else { i64::MIN };
        let measured = (start..=end.min(self.clock.second())).step_by(step as usize).filter(|second| *second >= made);
        let values: Vec<Value> = measured
            .map(|second| {
                // Noise of a fixed pattern, another for each arm.
                let noise = 1.0 + 0.03 * ((second * 7919 % 101 + i64::from(canary) * 31) % 101) as f64 / 101.0;
                let factor = if canary { (self.raised)(metric, (second - CREATED / 1000).div_euclid(60)) } else { 1.0 };
                json!([second, (100.0 * noise * factor).to_string()])
            })
            .collect();
        let result = json!({ "status": "success", "data": { "resultType": "matrix", "result": [{ "metric": {}, "values": values }] } });
        axum::Json(result).into_response()
    }
}

/// A replica of the service.
struct Replica {
    local: Local,
    client: Client,
}

impl Replica {
    async fn start(store: &str, clock: Option<&Clock>) -> Self {
        Self::with_archive(store, clock, None).await
    }

    async fn with_archive(store: &str, clock: Option<&Clock>, archive: Option<haldane::archive::Archive>) -> Self {
        let source = serde_json::from_value(json!({ "kind": "prometheus", "url": store })).expect("settings of a store");
        let settings = Settings {
            sources: [("prometheus".to_owned(), source)].into(),
            id_key: IdKey::from_bytes(b"a key that all of the replicas share").expect("a key"),
            store: archive,
            ..Settings::default()
        };
        let client = client();
        let clock = clock.cloned().map(|Clock(millis)| {
            let tell = move || Timestamp::from_millisecond(millis.load(Ordering::SeqCst)).expect("a time");
            Arc::new(tell) as Arc<dyn Fn() -> Timestamp + Send + Sync>
        });
        let (_, router) = assemble_with_clock(settings, clock).expect("a service");
        Self { local: Local::serve(router).await, client }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")) })
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.answer(self.client.get(format!("{}{path}", self.local.url()))).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.answer(self.client.post(format!("{}{path}", self.local.url())).json(body)).await
    }

    async fn begin(&self, body: &Value) -> String {
        let (status, started) =
            self.post("/standalone_canary_analysis?user=somebody&application=shop&parentPipelineExecutionId=parent", body).await;
        assert_eq!(status, 200, "{started}");
        started["canaryAnalysisExecutionId"].as_str().expect("an id").to_owned()
    }

    async fn cancel(&self, id: &str) {
        let (status, body) = self.answer(self.client.put(format!("{}/pipelines/{id}/cancel", self.local.url())).body("\"\"")).await;
        assert_eq!((status, body), (202, Value::Null));
    }

    /// How an analysis stands at this very moment.
    async fn look(&self, id: &str) -> Value {
        let (code, status) = self.get(&format!("/standalone_canary_analysis/{id}")).await;
        assert_eq!(code, 200, "{status}");
        check_shape(&status);
        status
    }

    /// How it stands once what is due has been judged: judgements run in real time, whatever the clock says.
    async fn settled(&self, id: &str) -> Value {
        self.look_until(id, |status| !stages(status).iter().any(|stage| stage.starts_with("Run Canary") && stage.ends_with("RUNNING")))
            .await
    }

    async fn look_until(&self, id: &str, done: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.look(id).await;
            if done(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{status}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// An analysis with a store and a clock of its own.
struct Bench {
    clock: Clock,
    store: Store,
    replica: Replica,
}

impl Bench {
    async fn with(raised: Raised) -> Self {
        let clock = Clock::at_creation();
        let store = Store::play(&clock, raised).await;
        let replica = Replica::start(&store.local.url(), Some(&clock)).await;
        Self { clock, store, replica }
    }

    /// How the analysis stands so many minutes after its creation.
    async fn after(&self, minutes: i64, id: &str) -> Value {
        self.clock.set(minutes * 60);
        self.replica.settled(id).await
    }
}

/// What every status has, whatever it says.
fn check_shape(status: &Value) {
    fn no_null(value: &Value, root: &Value) {
        match value {
            Value::Null => panic!("a null in {root}"),
            Value::Object(object) => object.values().for_each(|value| no_null(value, root)),
            Value::Array(values) => values.iter().for_each(|value| no_null(value, root)),
            _ => {}
        }
    }
    no_null(status, status);
    let text = |field: &str| status[field].as_str().unwrap_or_else(|| panic!("{field} in {status}"));
    let word = text("executionStatus");
    assert_eq!(text("status"), word.to_lowercase());
    assert!(["RUNNING", "SUCCEEDED", "TERMINAL", "CANCELED"].contains(&word), "{word}");
    let complete = status["complete"].as_bool().expect("a boolean");
    assert_eq!(complete, word != "RUNNING");
    for field in ["application", "user", "pipelineId", "canaryConfigId", "storageAccountName", "metricsAccountName"] {
        assert!(!text(field).is_empty(), "{field} in {status}");
    }
    for field in ["canaryConfig", "canaryAnalysisExecutionRequest"] {
        assert!(status[field].is_object(), "{field} in {status}");
    }
    check_time(status, "buildTime");
    check_time(status, "startTime");
    assert_eq!(complete, status["endTimeIso"].is_string(), "{status}");
    assert!(status.get("exception").is_none_or(Value::is_object), "{status}");
    let types: BTreeSet<&str> =
        status["stageStatus"].as_array().expect("an array").iter().map(|s| s["type"].as_str().expect("a type")).collect();
    let known = BTreeSet::from(["setupAndExecuteCanariesStage", "wait", "runCanary", "generateCanaryAnalysisResultStage"]);
    assert!(types.is_subset(&known), "{types:?}");
    for stage in status["stageStatus"].as_array().expect("an array") {
        let began = stage["type"] == "runCanary" && !["NOT_STARTED"].contains(&stage["status"].as_str().expect("a status"));
        assert!(stage.get("executionId").is_none_or(|_| began), "{stage}");
    }
    let Some(result) = status.get("canaryAnalysisExecutionResult") else {
        assert!(!complete, "{status}");
        return;
    };
    assert!(complete && result["didPassThresholds"].is_boolean() && result["canaryScoreMessage"].is_string(), "{result}");
    assert!(result["canaryScores"].as_array().expect("an array").iter().all(Value::is_f64), "{result}");
    let executions = result["canaryExecutionResults"].as_array().expect("an array");
    let warned = executions.iter().any(|one| one["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()));
    assert_eq!(result["hasWarnings"], warned);
    // Referee joins on these.
    let joined: Vec<&Value> = executions.iter().map(|one| &one["executionId"]).collect();
    let begun = status["stageStatus"].as_array().expect("an array").iter().filter_map(|stage| stage.get("executionId"));
    assert_eq!(joined, begun.collect::<Vec<_>>());
    for one in executions {
        assert!(["SUCCEEDED", "TERMINAL", "CANCELED"].contains(&one["executionStatus"].as_str().expect("a status")), "{one}");
        assert!(one["warnings"].is_array() && one["storageAccountName"].is_string(), "{one}");
        assert_eq!(one["executionStatus"] == "SUCCEEDED", one["result"].is_object(), "{one}");
        assert_eq!(one["result"].is_object(), one["metricSetPairListId"].is_string(), "{one}");
        assert_eq!(one["result"].is_object(), one.get("exception").is_none(), "{one}");
        for name in ["judgementStartTime", "judgementEndTime", "buildTime", "startTime", "endTime"] {
            check_time(one, name);
        }
    }
}

fn check_time(object: &Value, name: &str) {
    let iso: Timestamp =
        object[format!("{name}Iso")].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} in {object}"));
    assert_eq!(object[format!("{name}Millis")].as_i64(), Some(iso.as_millisecond()), "{name}");
}

/// Each stage as its name and status, the first and the last by their types.
fn stages(status: &Value) -> Vec<String> {
    let stage = |stage: &Value| {
        let text = |field: &str| stage[field].as_str().expect("a text");
        let name = match text("type") {
            "setupAndExecuteCanariesStage" => "all",
            "generateCanaryAnalysisResultStage" => "result",
            "wait" | "runCanary" => text("name"),
            other => panic!("a stage of the type {other}"),
        };
        format!("{name} {}", text("status"))
    };
    status["stageStatus"].as_array().expect("an array").iter().map(stage).collect()
}

fn scores(status: &Value) -> Vec<f64> {
    let scores = status["canaryAnalysisExecutionResult"]["canaryScores"].as_array().unwrap_or_else(|| panic!("no scores: {status}"));
    scores.iter().map(|score| score.as_f64().expect("a number")).collect()
}

/// Two metrics, each a group of its own: cpu with 70 of the score, memory with 30.
fn config(judge: &str) -> Value {
    let metric = |name: &str| {
        json!({
            "name": name, "groups": [name], "scopeName": "default",
            "query": { "type": "prometheus", "customInlineTemplate": format!("PromQL:{name}{{arm=\"${{scope}}\"}}") },
            "analysisConfigurations": { "canary": { "direction": "increase", "effectSize": { "allowedIncrease": 1.2 } } }
        })
    };
    json!({
        "name": "two-groups", "applications": ["shop"], "configVersion": "1", "templates": {},
        "judge": { "name": judge, "judgeConfigurations": {} },
        "metrics": [metric("cpu"), metric("memory")],
        "classifier": { "groupWeights": { "cpu": 70, "memory": 30 } }
    })
}

const ACA: &str = "NetflixACAJudge-v1.0";

/// An analysis of 45 minutes with 3 intervals.
fn body(more: Value) -> Value {
    let mut request = json!({
        "scopes": [{ "controlScope": "base", "controlLocation": "eu", "experimentScope": "canary", "experimentLocation": "eu", "step": 60 }],
        "thresholds": { "pass": 90, "marginal": 60 }, "lifetimeDurationMins": 45, "analysisIntervalMins": 15
    });
    for (field, value) in more.as_object().expect("an object") {
        request[field] = value.clone();
    }
    json!({ "canaryConfig": config(ACA), "executionRequest": request })
}

#[tokio::test]
async fn an_analysis_waits_warms_up_and_judges_growing_windows_until_it_succeeds() {
    let bench = Bench::with(healthy).await;
    let id = bench.replica.begin(&body(json!({ "beginAfterMins": 5, "siteLocal": { "team": "pay" } }))).await;
    let all = |done: usize| {
        let names =
            ["Warmup Wait", "Interval Wait #1", "Run Canary #1", "Interval Wait #2", "Run Canary #2", "Interval Wait #3", "Run Canary #3"];
        let stage = |(i, name): (usize, &&str)| {
            let status = match i.cmp(&done) {
                std::cmp::Ordering::Less => "SUCCEEDED",
                std::cmp::Ordering::Equal => "RUNNING",
                std::cmp::Ordering::Greater => "NOT_STARTED",
            };
            format!("{name} {status}")
        };
        names.iter().enumerate().map(stage).chain(["all RUNNING".to_owned()]).collect::<Vec<_>>()
    };
    // By the second: what is over by then.
    for (second, done, queries) in
        [(0, 0, 0), (299, 0, 0), (300, 1, 0), (1199, 1, 0), (1200, 3, 4), (2099, 3, 4), (2100, 5, 8), (2999, 5, 8)]
    {
        bench.clock.set(second);
        let status = bench.replica.settled(&id).await;
        assert_eq!(stages(&status), all(done), "second {second}");
        assert_eq!(status["complete"], false);
        assert_eq!(bench.store.queries(), queries, "second {second}");
    }
    bench.clock.set(3000);
    let status = bench.replica.settled(&id).await;
    let mut last = all(7);
    *last.last_mut().unwrap() = "all SUCCEEDED".to_owned();
    last.push("result SUCCEEDED".to_owned());
    assert_eq!(stages(&status), last);
    assert_eq!((&status["complete"], &status["executionStatus"]), (&json!(true), &json!("SUCCEEDED")));
    for (field, value) in [
        ("application", "shop"),
        ("user", "somebody"),
        ("parentPipelineExecutionId", "parent"),
        ("pipelineId", &id),
        ("canaryConfigId", "ad-hoc"),
        ("storageAccountName", "haldane"),
        ("metricsAccountName", "prometheus"),
        ("buildTimeIso", "2026-03-01T10:00:30Z"),
    ] {
        assert_eq!(status[field], value, "{field}");
    }
    // What could be a variable to Spinnaker is none any more.
    assert_eq!(status["canaryConfig"]["metrics"][0]["query"]["customInlineTemplate"], r#"PromQL:cpu{arm="$\{scope}"}"#);
    // What was left out is filled in, and numbers are such as Kayenta has read them as.
    let shown = json!({
        "scopes": [{
            "scopeName": "default", "controlScope": "base", "controlLocation": "eu", "controlOffsetInMinutes": 0,
            "experimentScope": "canary", "experimentLocation": "eu", "step": 60, "extendedScopeParams": {}
        }],
        "thresholds": { "pass": 90.0, "marginal": 60.0 },
        "lifetimeDurationMins": 45, "beginAfterMins": 5, "lookbackMins": 0, "analysisIntervalMins": 15, "siteLocal": { "team": "pay" }
    });
    assert_eq!(status["canaryAnalysisExecutionRequest"], shown);
    let named = |place: usize| status["stageStatus"][place]["name"].as_str().unwrap();
    assert_eq!(named(7), "Sets up and executes the wait, run and monitor canary task chain.");
    assert_eq!(named(8), "Aggregates and evaluates the canary executions and generates the final results.");
    let result = &status["canaryAnalysisExecutionResult"];
    assert_eq!((&result["didPassThresholds"], &result["hasWarnings"]), (&json!(true), &json!(true)), "{result}");
    assert_eq!(scores(&status), [100.0, 100.0, 100.0]);
    assert_eq!(result["canaryScoreMessage"], "Final canary score 100.0 met or exceeded the pass score threshold.");
    let ends = ["2026-03-01T10:20:30Z", "2026-03-01T10:35:30Z", "2026-03-01T10:50:30Z"];
    for (i, (one, end)) in result["canaryExecutionResults"].as_array().unwrap().iter().zip(ends).enumerate() {
        assert_eq!((&one["judgementStartTimeIso"], &one["judgementEndTimeIso"]), (&json!("2026-03-01T10:05:30Z"), &json!(end)));
        assert_eq!(one["executionStatus"], "SUCCEEDED");
        // Both ends of the window are asked for, and were measured when it was.
        let count = &one["result"]["judgeResult"]["results"][0]["controlMetadata"]["stats"]["count"];
        assert_eq!(*count, json!(15 * (i + 1) + 1));
        assert_eq!(one["result"]["canaryDuration"], ["PT15M", "PT30M", "PT45M"][i]);
        let warning = "One of the metrics returned fewer than 50 data points, which can reduce confidence in the final canary score.";
        assert_eq!(one["warnings"], json!([warning]), "{one}");
        // Each is an execution like any other.
        let (code, execution) = bench.replica.get(&format!("/canary/{}", one["executionId"].as_str().unwrap())).await;
        assert_eq!((code, &execution["complete"], &execution["application"]), (200, &json!(true), &json!("shop")));
        assert_eq!((&execution["result"], &execution["metricSetPairListId"]), (&one["result"], &one["metricSetPairListId"]));
        assert_eq!(execution["canaryExecutionRequest"]["scopes"]["default"]["experimentScope"]["end"], end);
        assert_eq!(execution["canaryExecutionRequest"]["siteLocal"], json!({ "team": "pay" }));
    }
    // Kayenta lists them by their application.
    let (code, listed) = bench.replica.get("/canary/executions?application=shop").await;
    assert_eq!((code, listed.as_array().map(Vec::len)), (200, Some(3)), "{listed}");
    assert_eq!(bench.store.queries(), 12, "polling fetches nothing twice");
    assert_eq!(bench.replica.look(&id).await, status, "and changes nothing");
}

#[tokio::test]
async fn a_marginal_judgement_continues_and_a_passing_end_passes() {
    // Memory is up in the first quarter of an hour; windows that look back as far forget it.
    let bench = Bench::with(|metric, minute| if metric == "memory" && minute < 15 { 2.0 } else { 1.0 }).await;
    let id = bench.replica.begin(&body(json!({ "lookbackMins": 14 }))).await;
    let status = bench.after(15, &id).await;
    let expected = [
        "Interval Wait #1 SUCCEEDED",
        "Run Canary #1 SUCCEEDED",
        "Interval Wait #2 RUNNING",
        "Run Canary #2 NOT_STARTED",
        "Interval Wait #3 NOT_STARTED",
        "Run Canary #3 NOT_STARTED",
        "all RUNNING",
    ];
    assert_eq!(stages(&status), expected);
    let first = status["stageStatus"][1]["executionId"].as_str().unwrap();
    let (_, execution) = bench.replica.get(&format!("/canary/{first}")).await;
    let score = &execution["result"]["judgeResult"]["score"];
    assert_eq!((&score["score"], &score["classification"]), (&json!(70.0), &json!("Marginal")));
    assert_eq!(bench.after(30, &id).await["complete"], false);
    let status = bench.after(45, &id).await;
    assert_eq!(scores(&status), [70.0, 100.0, 100.0]);
    assert_eq!((&status["status"], &status["canaryAnalysisExecutionResult"]["didPassThresholds"]), (&json!("succeeded"), &json!(true)));
    let windows: Vec<(&str, &str)> = status["canaryAnalysisExecutionResult"]["canaryExecutionResults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["judgementStartTimeIso"].as_str().unwrap(), one["judgementEndTimeIso"].as_str().unwrap()))
        .collect();
    let expected = [("10:01", "10:15"), ("10:16", "10:30"), ("10:31", "10:45")];
    let expected = expected.map(|(start, end)| (format!("2026-03-01T{start}:30Z"), format!("2026-03-01T{end}:30Z")));
    assert_eq!(windows, expected.each_ref().map(|(start, end)| (start.as_str(), end.as_str())));
}

#[tokio::test]
async fn an_end_between_the_thresholds_succeeds_without_having_passed() {
    let bench = Bench::with(|metric, minute| if metric == "memory" && minute > 30 { 2.0 } else { 1.0 }).await;
    let id = bench.replica.begin(&body(json!({ "lookbackMins": 15 }))).await;
    // Nobody asks before the end; each poll then begins what is next.
    bench.clock.set(45 * 60);
    let status = bench.replica.look_until(&id, |status| status["complete"] == true).await;
    assert_eq!(scores(&status), [100.0, 100.0, 70.0]);
    let result = &status["canaryAnalysisExecutionResult"];
    assert_eq!((&status["executionStatus"], &result["didPassThresholds"]), (&json!("SUCCEEDED"), &json!(false)));
    assert_eq!(result["canaryScoreMessage"], "Final canary score 70.0 is below the pass score threshold.");
    assert!(status.get("exception").is_none());
}

#[tokio::test]
async fn a_judgement_at_or_below_the_marginal_threshold_ends_the_analysis() {
    // The last score is below, and then at the threshold.
    for (raised, marginal, last) in [
        ((|_, minute| if minute > 15 { 2.0 } else { 1.0 }) as Raised, 60, 0.0),
        ((|metric, minute| if metric == "memory" && minute > 15 { 2.0 } else { 1.0 }) as Raised, 70, 70.0),
    ] {
        let bench = Bench::with(raised).await;
        let id = bench.replica.begin(&body(json!({ "lookbackMins": 15, "thresholds": { "pass": 90, "marginal": marginal } }))).await;
        assert_eq!(bench.after(15, &id).await["complete"], false);
        let ended = bench.after(30, &id).await;
        assert_eq!((&ended["executionStatus"], &ended["complete"]), (&json!("TERMINAL"), &json!(true)), "{ended}");
        assert_eq!(scores(&ended), [100.0, last]);
        let result = &ended["canaryAnalysisExecutionResult"];
        assert_eq!(result["didPassThresholds"], false);
        assert_eq!(result["canaryScoreMessage"], format!("Final canary score {last:?} is not above the marginal score threshold."));
        // What has not begun does not begin, however late it gets.
        for minutes in [30, 45, 600] {
            let status = bench.after(minutes, &id).await;
            let expected = [
                "Interval Wait #1 SUCCEEDED",
                "Run Canary #1 SUCCEEDED",
                "Interval Wait #2 SUCCEEDED",
                "Run Canary #2 TERMINAL",
                "Interval Wait #3 NOT_STARTED",
                "Run Canary #3 NOT_STARTED",
                "all TERMINAL",
                "result SUCCEEDED",
            ];
            assert_eq!(stages(&status), expected, "minute {minutes}");
            assert_eq!(status, ended, "minute {minutes}");
        }
        assert_eq!(bench.store.queries(), 8);
    }
}

#[tokio::test]
async fn a_judgement_that_breaks_off_ends_the_analysis_and_says_why() {
    let bench = Bench::with(healthy).await;
    let id = bench.replica.begin(&body(json!({}))).await;
    assert_eq!(bench.after(15, &id).await["complete"], false);
    bench.store.state.down.store(true, Ordering::SeqCst);
    let status = bench.after(30, &id).await;
    assert_eq!((&status["executionStatus"], &status["complete"]), (&json!("TERMINAL"), &json!(true)));
    assert_eq!(
        stages(&status)[3..],
        ["Run Canary #2 TERMINAL", "Interval Wait #3 NOT_STARTED", "Run Canary #3 NOT_STARTED", "all TERMINAL", "result SUCCEEDED"]
    );
    let error = status["exception"]["details"]["error"].as_str().unwrap_or_else(|| panic!("{status}"));
    assert!(error.contains("500"), "{error}");
    // As in Kayenta, what gave no score counts as one of 0.
    assert_eq!(scores(&status), [100.0, 0.0]);
    let result = &status["canaryAnalysisExecutionResult"];
    assert_eq!(result["canaryScoreMessage"], "Final canary score 0.0 is not above the marginal score threshold.");
    assert_eq!(result["didPassThresholds"], false);
    let broken = &result["canaryExecutionResults"][1];
    assert_eq!((&broken["executionStatus"], &broken["exception"]), (&json!("TERMINAL"), &status["exception"]), "{broken}");
}

#[tokio::test]
async fn an_analysis_cancelled_while_it_waits_is_over_and_nothing_begins_any_more() {
    let bench = Bench::with(healthy).await;
    let id = bench.replica.begin(&body(json!({ "beginAfterMins": 5 }))).await;
    bench.after(25, &id).await;
    assert_eq!(bench.store.queries(), 4);
    bench.replica.cancel(&id).await;
    for minutes in [25, 35, 60] {
        let status = bench.after(minutes, &id).await;
        assert_eq!(
            (&status["executionStatus"], &status["status"], &status["complete"]),
            (&json!("CANCELED"), &json!("canceled"), &json!(true))
        );
        assert_eq!(
            stages(&status)[1..],
            [
                "Interval Wait #1 SUCCEEDED",
                "Run Canary #1 SUCCEEDED",
                "Interval Wait #2 CANCELED",
                "Run Canary #2 NOT_STARTED",
                "Interval Wait #3 NOT_STARTED",
                "Run Canary #3 NOT_STARTED",
                "all CANCELED",
            ]
        );
        assert_eq!((scores(&status), &status["endTimeIso"]), (vec![100.0], &json!("2026-03-01T10:25:30Z")));
    }
    assert_eq!(bench.store.queries(), 4);

    // What was due before, and not begun, does not begin either.
    let id = bench.replica.begin(&body(json!({}))).await;
    bench.clock.set(80 * 60);
    bench.replica.cancel(&id).await;
    let status = bench.replica.look(&id).await;
    assert_eq!((&status["status"], stages(&status)[1].as_str()), (&json!("canceled"), "Run Canary #1 CANCELED"), "{status}");
    assert_eq!(bench.store.queries(), 4);
}

#[tokio::test]
async fn an_analysis_cancelled_while_it_judges_stops_the_judgement() {
    for by_execution in [false, true] {
        let bench = Bench::with(healthy).await;
        let id = bench.replica.begin(&body(json!({}))).await;
        // No query is answered from here on.
        bench.store.state.gate.forget_permits(Semaphore::MAX_PERMITS);
        bench.clock.set(15 * 60);
        let running = bench.replica.look(&id).await;
        assert_eq!(stages(&running)[..2], ["Interval Wait #1 SUCCEEDED", "Run Canary #1 RUNNING"]);
        assert_eq!(running["complete"], false);
        let execution = running["stageStatus"][1]["executionId"].as_str().unwrap();
        // Stopping the judgement alone stops the analysis too.
        bench.replica.cancel(if by_execution { execution } else { &id }).await;
        let status = bench.replica.look_until(&id, |status| status["complete"] == true).await;
        assert_eq!(status["executionStatus"], "CANCELED", "{status}");
        assert_eq!(stages(&status)[..3], ["Interval Wait #1 SUCCEEDED", "Run Canary #1 CANCELED", "Interval Wait #2 NOT_STARTED"]);
        assert_eq!(status["canaryAnalysisExecutionResult"]["canaryScores"], json!([]));
        let (_, inner) = bench.replica.get(&format!("/canary/{execution}")).await;
        assert_eq!((&inner["status"], &inner["complete"]), (&json!("canceled"), &json!(true)));
    }
}

#[tokio::test]
async fn a_replica_that_never_saw_an_analysis_answers_alike() {
    /// All but when a replica happened to judge.
    fn lasting(value: &Value) -> Value {
        let of_one_run = |name: &str| ["startTimeIso", "startTimeMillis", "endTimeIso", "endTimeMillis"].contains(&name);
        match value {
            Value::Object(object) => {
                object.iter().filter(|(name, _)| !of_one_run(name)).map(|(name, value)| (name.clone(), lasting(value))).collect()
            }
            Value::Array(values) => values.iter().map(lasting).collect(),
            other => other.clone(),
        }
    }
    let bench = Bench::with(|metric, minute| if metric == "memory" && minute < 15 { 2.0 } else { 1.0 }).await;
    let id = bench.replica.begin(&body(json!({ "lookbackMins": 14, "beginAfterMins": 0 }))).await;
    for minutes in [10, 15, 29, 45] {
        let here = bench.after(minutes, &id).await;
        let other = Replica::start(&bench.store.local.url(), Some(&bench.clock)).await;
        let there = other.settled(&id).await;
        assert_eq!(lasting(&there), lasting(&here), "minute {minutes}");
    }
}

#[tokio::test]
async fn ids_that_are_no_analysis_are_refused() {
    let bench = Bench::with(healthy).await;
    let id = bench.replica.begin(&body(json!({}))).await;
    let middle = id.len() / 2;
    let other = if &id[middle..=middle] == "A" { "B" } else { "A" };
    let flipped = format!("{}{other}{}", &id[..middle], &id[middle + 1..]);
    for unknown in ["01JNY0", &flipped, &id[..id.len() - 4]] {
        let (code, error) = bench.replica.get(&format!("/standalone_canary_analysis/{unknown}")).await;
        assert_eq!((code, error["message"].as_str().map(str::is_empty)), (404, Some(false)), "{unknown}: {error}");
    }
    let (code, error) = bench.replica.get(&format!("/canary/{id}")).await;
    assert!(code == 400 && error["message"].as_str().is_some_and(|message| message.contains("/standalone_canary_analysis")), "{error}");
    let status = bench.after(15, &id).await;
    let execution = status["stageStatus"][1]["executionId"].as_str().unwrap();
    let (code, error) = bench.replica.get(&format!("/standalone_canary_analysis/{execution}")).await;
    assert!(code == 400 && error["message"].as_str().is_some_and(|message| message.contains("/canary")), "{error}");
    let (code, _) = bench.replica.get(&format!("/standalone_canary_analysis/{id}?storageAccountName=nobody")).await;
    assert_eq!(code, 400);

    for (more, named) in [
        (json!({ "scopes": [] }), "/executionRequest/scopes"),
        (json!({ "thresholds": {} }), "/executionRequest/thresholds"),
        (json!({ "lifetimeDurationMins": 0 }), "/executionRequest/lifetimeDurationMins"),
        (json!({ "analysisIntervalMins": -5 }), "/executionRequest/analysisIntervalMins"),
        // Ten days of minutes, where five would do.
        (json!({ "lifetimeDurationMins": 14_400, "analysisIntervalMins": 7_200 }), "11000"),
        (json!({ "scopes": [{ "scopeName": "other", "controlScope": "a", "experimentScope": "b" }] }), "/executionRequest/scopes/default"),
    ] {
        let (code, error) = bench.replica.post("/standalone_canary_analysis", &body(more.clone())).await;
        assert!(code == 400 && error["message"].as_str().is_some_and(|message| message.contains(named)), "{more}: {code} {error}");
    }
}

#[tokio::test]
async fn the_baseline_can_lie_earlier_and_few_points_are_warned_of() {
    let bench = Bench::with(healthy).await;
    let scope = json!({ "controlScope": "base", "experimentScope": "canary", "controlOffsetInMinutes": 60, "step": 30 });
    let id = bench.replica.begin(&body(json!({ "scopes": [scope] }))).await;
    bench.clock.set(45 * 60);
    let status = bench.replica.look_until(&id, |status| status["complete"] == true).await;
    let results = status["canaryAnalysisExecutionResult"]["canaryExecutionResults"].as_array().unwrap();
    // 31, 61 and 91 points.
    let warned: Vec<bool> = results.iter().map(|one| !one["warnings"].as_array().unwrap().is_empty()).collect();
    assert_eq!(warned, [true, false, false]);
    let last = &results[2];
    assert_eq!(
        (&last["judgementStartTimeIso"], &last["judgementEndTimeIso"]),
        (&json!("2026-03-01T09:00:30Z"), &json!("2026-03-01T09:45:30Z"))
    );
    let (_, execution) = bench.replica.get(&format!("/canary/{}", last["executionId"].as_str().unwrap())).await;
    let pair = &execution["canaryExecutionRequest"]["scopes"]["default"];
    assert_eq!(
        (&pair["controlScope"]["start"], &pair["controlScope"]["end"]),
        (&json!("2026-03-01T09:00:30Z"), &json!("2026-03-01T09:45:30Z"))
    );
    assert_eq!(
        (&pair["experimentScope"]["start"], &pair["experimentScope"]["end"]),
        (&json!("2026-03-01T10:00:30Z"), &json!("2026-03-01T10:45:30Z"))
    );
    assert_eq!((&pair["experimentScope"]["step"], pair["experimentScope"].get("location")), (&json!(30), None));
}

#[tokio::test]
async fn an_analysis_without_an_interval_judges_once_at_its_end() {
    let bench = Bench::with(healthy).await;
    for more in [json!({ "analysisIntervalMins": 0 }), json!({ "analysisIntervalMins": 46 }), json!({ "analysisIntervalMins": null })] {
        bench.clock.set(0);
        let id = bench.replica.begin(&body(more.clone())).await;
        assert_eq!(stages(&bench.after(44, &id).await), ["Interval Wait #1 RUNNING", "Run Canary #1 NOT_STARTED", "all RUNNING"]);
        let status = bench.after(45, &id).await;
        assert_eq!((scores(&status), &status["complete"]), (vec![100.0], &json!(true)), "{more}");
    }
}

#[tokio::test]
async fn under_haldanes_own_judge_marginal_continues_and_fail_ends() {
    // Every three minutes a point: as long as they are too few they are marginal and no pass.
    let bench = Bench::with(healthy).await;
    let scope = json!({ "controlScope": "base", "experimentScope": "canary", "step": 180 });
    let mut body = body(json!({ "scopes": [scope] }));
    body["canaryConfig"] = config("haldane-v1");
    body["canaryConfig"]["judge"]["judgeConfigurations"] =
        json!({ "haldane": { "metrics": { "cpu": { "min_points": 12 }, "memory": { "min_points": 12 } } } });
    let id = bench.replica.begin(&body).await;
    assert_eq!(bench.after(15, &id).await["complete"], false);
    bench.clock.set(45 * 60);
    let status = bench.replica.look_until(&id, |status| status["complete"] == true).await;
    let found = scores(&status);
    // In the band of its verdict, above 60 and below 90.
    assert!(found.len() == 3 && found[..2].iter().all(|score| *score > 60.0 && *score < 90.0) && found[2] >= 90.0, "{found:?}");
    let result = &status["canaryAnalysisExecutionResult"];
    let classes = [0, 1, 2].map(|i| &result["canaryExecutionResults"][i]["result"]["judgeResult"]["score"]["classification"]);
    assert_eq!(classes, ["Marginal", "Marginal", "Pass"]);
    assert_eq!((&status["executionStatus"], &result["didPassThresholds"]), (&json!("SUCCEEDED"), &json!(true)));

    // By their weights the metrics score 70, which is above the threshold; the verdict is fail all the same.
    let bench = Bench::with(|metric, _| if metric == "memory" { 2.0 } else { 1.0 }).await;
    let mut body = self::body(json!({}));
    body["canaryConfig"] = config("haldane-v1");
    let id = bench.replica.begin(&body).await;
    let status = bench.after(15, &id).await;
    assert_eq!(status["executionStatus"], "TERMINAL", "{status}");
    assert!(scores(&status)[0] < 60.0, "{status}");
}

#[tokio::test]
async fn with_a_store_an_analysis_is_judged_once_whoever_is_asked() {
    let clock = Clock::at_creation();
    let metrics = Store::play(&clock, healthy).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = haldane::archive::Archive::open(&format!("file://{}", folder.path().display())).expect("a store");
    let mut replicas = Vec::new();
    for _ in 0..2 {
        replicas.push(Replica::with_archive(&metrics.local.url(), Some(&clock), Some(archive.clone())).await);
    }
    let id = replicas[0].begin(&body(json!({}))).await;
    assert!(id.len() < 40, "{id}");
    for (number, replica) in [(1, &replicas[0]), (2, &replicas[1]), (3, &replicas[0])] {
        clock.set(number * 15 * 60);
        let status = replica.settled(&id).await;
        let run =
            status["stageStatus"].as_array().unwrap().iter().rev().find_map(|stage| stage["executionId"].as_str()).expect("a judgement");
        let start = Instant::now();
        while replica.get(&format!("/canaryResultArchive/{run}")).await.0 != 200 {
            assert!(start.elapsed() < PATIENCE, "the result was not kept");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (here, there) = (replicas[0].look(&id).await, replicas[1].look(&id).await);
    assert_eq!((scores(&here), &here), (vec![100.0; 3], &there));
    // The store could keep fractions of a second, which an id cannot.
    let first = &here["canaryAnalysisExecutionResult"]["canaryExecutionResults"][0];
    assert_eq!((&first["judgementStartTimeIso"], &here["buildTimeIso"]), (&json!("2026-03-01T10:00:30Z"), &json!("2026-03-01T10:00:30Z")));
    assert_eq!(metrics.queries(), 12, "four for each interval, by two replicas");
    let (code, listed) = replicas[1].get("/canary/executions?application=shop").await;
    assert_eq!((code, listed.as_array().map(Vec::len)), (200, Some(3)), "{listed}");

    // What was cancelled at one replica is cancelled at all.
    let id = replicas[0].begin(&body(json!({ "beginAfterMins": 5 }))).await;
    replicas[0].cancel(&id).await;
    assert_eq!(replicas[1].look(&id).await["status"], "canceled");
}

#[tokio::test]
async fn a_replica_that_comes_late_catches_up_within_one_poll() {
    let bench = Bench::with(healthy).await;
    let id = bench.replica.begin(&body(json!({ "analysisIntervalMins": 1 }))).await;
    bench.clock.set(45 * 60 - 1);
    let status = bench.replica.look(&id).await;
    let judged = stages(&status).iter().filter(|stage| stage.starts_with("Run Canary") && stage.ends_with("SUCCEEDED")).count();
    // One poll for each would be slow where many are due; how many one manages depends on the machine.
    assert!(judged >= 10, "{judged} of 44: {status}");
}

/// One Prometheus for all tests that run at the same time; it ends with the last of them.
fn prometheus() -> Arc<Prometheus> {
    static SHARED: Mutex<Weak<Prometheus>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let mut canary = Arm::healthy("shop-canary");
        // From the 90th minute of the recording on.
        for percent in &mut canary.memory[90..] {
            *percent *= 1.5;
        }
        let started = Arc::new(Prometheus::over(&openmetrics(&[Arm::healthy("shop"), canary])));
        *shared = Arc::downgrade(&started);
        started
    })
}

#[tokio::test]
async fn an_analysis_of_the_past_waits_for_nothing() {
    let prometheus = prometheus();
    let replica = Replica::start(&prometheus.url(), None).await;
    let memory = r#"PromQL:sum(avg_over_time(container_memory_working_set_bytes{pod=~"${scope}-[^-]+-[^-]+"}[1m]))"#;
    let cpu = r#"PromQL:sum(rate(container_cpu_usage_seconds_total{pod=~"${scope}-[^-]+-[^-]+"}[1m]))"#;
    let mut config = config(ACA);
    config["metrics"][0]["query"]["customInlineTemplate"] = json!(cpu);
    config["metrics"][1]["query"]["customInlineTemplate"] = json!(memory);
    let minute = |minute: i64| Timestamp::from_second(RECORDED + 60 * minute).unwrap().to_string();
    // Whole, and with a rest that makes no interval, from windows that grow and that slide.
    for (end, lookback, expected, word, passed) in [
        (95, 0, vec![100.0, 100.0, 100.0], "SUCCEEDED", true),
        (109, 0, vec![100.0, 100.0, 100.0], "SUCCEEDED", true),
        (110, 15, vec![100.0, 100.0, 100.0, 70.0], "SUCCEEDED", false),
    ] {
        let scope = json!({
            "controlScope": "shop", "experimentScope": "shop-canary", "startTimeIso": minute(50), "endTimeIso": minute(end), "step": 60
        });
        let request = json!({
            "scopes": [scope], "thresholds": { "pass": 90, "marginal": 60 }, "analysisIntervalMins": 15, "lookbackMins": lookback, "beginAfterMins": 5
        });
        let id = replica.begin(&json!({ "canaryConfig": config, "executionRequest": request })).await;
        let status = replica.look_until(&id, |status| status["complete"] == true).await;
        assert_eq!((scores(&status), &status["executionStatus"]), (expected.clone(), &json!(word)), "{status}");
        assert_eq!(status["canaryAnalysisExecutionResult"]["didPassThresholds"], passed);
        let runs = (1..=expected.len()).map(|number| format!("Run Canary #{number} SUCCEEDED"));
        assert_eq!(stages(&status)[..expected.len()], runs.collect::<Vec<_>>());
        let first = &status["canaryAnalysisExecutionResult"]["canaryExecutionResults"][0];
        assert_eq!((&first["judgementStartTimeIso"], &first["judgementEndTimeIso"]), (&json!(minute(50)), &json!(minute(65))));
    }
}

/// The cases of Kayenta's own integration test over Prometheus (`PrometheusStandaloneCanaryAnalysisTest`), with what it compares: a point a
/// second for a minute, thresholds of 75 and 50, and a config whose metrics share one group.
#[tokio::test]
async fn kayentas_own_integration_test_finds_what_it_expects() {
    let rises: Raised = |metric, _| if metric == "failing" { 2.0 } else { 1.0 };
    let metric = |name: &str, muted: bool| {
        json!({
            "name": name, "groups": ["group"], "scopeName": "default",
            "query": { "type": "prometheus", "customInlineTemplate": format!("PromQL:{name}{{arm=\"${{scope}}\",namespace=\"${{namespace}}\"}}") },
            "analysisConfigurations": { "canary": { "direction": "increase", "muted": muted } }
        })
    };
    let cases = [
        (
            json!([metric("successful", false)]),
            "SUCCEEDED",
            true,
            Some("Final canary score 100.0 met or exceeded the pass score threshold."),
        ),
        (json!([metric("failing", false)]), "TERMINAL", false, Some("Final canary score 0.0 is not above the marginal score threshold.")),
        (json!([metric("failing", true), metric("successful", false)]), "SUCCEEDED", true, None),
    ];
    for (metrics, word, passed, message) in cases {
        let bench = Bench::with(rises).await;
        let config = json!({
            "name": "integration-test", "description": "", "configVersion": "1.0", "applications": [], "judge": { "name": ACA, "judgeConfigurations": {} },
            "metrics": metrics, "templates": {}, "classifier": { "groupWeights": { "group": 100.0 }, "scoreThresholds": { "pass": 75, "marginal": 50 } }
        });
        let scope =
            json!({ "controlScope": "base", "experimentScope": "canary", "extendedScopeParams": { "namespace": "test" }, "step": 1 });
        let request = json!({
            "scopes": [scope], "thresholds": { "marginal": 50.0, "pass": 75.0 }, "lifetimeDurationMins": 1, "analysisIntervalMins": 1
        });
        let id = bench.replica.begin(&json!({ "canaryConfig": config, "executionRequest": request })).await;
        bench.clock.set(60);
        let status = bench.replica.look_until(&id, |status| status["complete"] == true).await;
        let result = &status["canaryAnalysisExecutionResult"];
        assert_eq!(status["executionStatus"], word, "{status}");
        assert_eq!((&result["hasWarnings"], &result["didPassThresholds"]), (&json!(false), &json!(passed)), "{status}");
        if let Some(message) = message {
            assert_eq!(result["canaryScoreMessage"], message, "{status}");
        }
        for one in result["canaryExecutionResults"][0]["result"]["judgeResult"]["results"].as_array().unwrap() {
            let expected = if one["name"] == "failing" { "High" } else { "Pass" };
            assert_eq!(one["classification"], expected, "{one}");
        }
    }
}
