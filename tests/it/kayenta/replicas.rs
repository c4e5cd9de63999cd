//! Three replicas behind a load balancer, which share a key and nothing else: none is needed for what it has started.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::support::haldane::{client, command};
use crate::support::process::Server;
use crate::support::prometheus::Prometheus;
use crate::support::relay::{ANSWERED_BY, Balancer, SlowStore};
use crate::support::telemetry::{Arm, START, openmetrics};

const REPLICAS: usize = 3;
/// What the metric store takes for one query, and so about what a judgement takes.
const DELAY: Duration = Duration::from_millis(200);
/// The last replica is killed this long after it has started a judgement, which has ended by then.
const LATEST: Duration = Duration::from_millis(400);
const BETWEEN_POLLS: Duration = Duration::from_millis(20);
/// Long enough for a busy machine; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Prometheus with a steady service and a canary that takes more memory; a store that is slow to answer; replicas; a balancer.
struct Cluster {
    _prometheus: Prometheus,
    store: SlowStore,
    folder: tempfile::TempDir,
    replicas: Vec<Server>,
    balancer: Balancer,
    client: Client,
}

/// An answer, and which replica gave it.
struct Answer {
    replica: usize,
    status: u16,
    location: Option<String>,
    body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let replica = header(ANSWERED_BY).and_then(|place| place.parse().ok()).expect("a replica answered");
        let (status, location) = (response.status().as_u16(), header("location"));
        Self { replica, status, location, body: response.json().await.expect("a JSON body") }
    }
}

impl Cluster {
    async fn start() -> Self {
        let mut canary = Arm::healthy("shop-canary");
        for percent in &mut canary.memory {
            *percent *= 1.5;
        }
        let prometheus = Prometheus::over(&openmetrics(&[Arm::healthy("shop"), canary]));
        let store = SlowStore::before(prometheus.url(), DELAY).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("key"), "a key that all of the replicas share").expect("the key is written");
        let replicas: Vec<Server> = (0..REPLICAS).map(|place| replica(&folder, &store, place)).collect();
        let balancer = Balancer::before(replicas.iter().map(Server::url).collect()).await;
        Self { _prometheus: prometheus, store, folder, replicas, balancer, client: client() }
    }

    fn restart(&mut self, place: usize) {
        self.replicas[place] = replica(&self.folder, &self.store, place);
        self.balancer.replace(place, self.replicas[place].url());
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.balancer.url())).header("Prefer", "respond-async").json(body);
        Answer::of(request.send().await.expect("an answer")).await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.balancer.url())).send().await.expect("an answer")).await
    }

    /// Polls until every replica that lives has answered that it is complete, and kills the one that started it once so much time has
    /// passed, whatever has been answered by then. Gives every complete answer by its replica.
    async fn poll_and_kill(
        &mut self,
        path: &str,
        starter: usize,
        after: Duration,
        complete: fn(&Answer) -> bool,
    ) -> BTreeMap<usize, Value> {
        let start = Instant::now();
        let mut killed = false;
        let mut found = BTreeMap::new();
        while found.keys().filter(|place| **place != starter).count() < REPLICAS - 1 || !killed {
            assert!(start.elapsed() < PATIENCE, "{path} was not completed by all; by {:?}", found.keys());
            if !killed && start.elapsed() >= after {
                self.replicas[starter].kill();
                killed = true;
            }
            let answer = self.get(path).await;
            assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.body);
            assert!(!killed || answer.replica != starter, "the dead do not answer");
            if complete(&answer) {
                found.insert(answer.replica, answer.body);
            }
            tokio::time::sleep(BETWEEN_POLLS.min(after.saturating_sub(start.elapsed()).max(Duration::from_millis(1)))).await;
        }
        found
    }

    /// The status of an execution that nothing disturbs.
    async fn undisturbed(&self, body: &Value) -> Value {
        let started = self.post("/canary", body).await;
        let id = started.body["canaryExecutionId"].as_str().expect("an id").to_owned();
        let start = Instant::now();
        loop {
            let answer = self.client.get(format!("{}/canary/{id}", self.replicas[started.replica].url())).send().await.expect("an answer");
            let status: Value = answer.json().await.expect("a status");
            if status["complete"] == true {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{status}");
            tokio::time::sleep(BETWEEN_POLLS).await;
        }
    }
}

fn replica(folder: &tempfile::TempDir, store: &SlowStore, place: usize) -> Server {
    Server::start(&folder.path().join(format!("log-{place}")), "/health/ready", |address| {
        let mut command = command();
        command.args(["serve", "--listen", &address.to_string(), "--prometheus", &store.url()]);
        command.arg("--id-key-file").arg(folder.path().join("key"));
        command
    })
}

/// A moment of the recording.
fn minute(minute: i64) -> String {
    jiff::Timestamp::from_second(START + 60 * minute).expect("a time").to_string()
}

fn config(judge: &str) -> Value {
    let metric = |name: &str, query: &str| {
        json!({
            "name": name, "groups": [name], "scopeName": "default",
            "query": { "type": "prometheus", "customInlineTemplate": format!("PromQL:{query}") },
            "analysisConfigurations": { "canary": { "direction": "increase" } }
        })
    };
    json!({
        "name": "replicas", "applications": ["shop"], "configVersion": "1", "templates": {},
        "judge": { "name": judge, "judgeConfigurations": {} },
        "metrics": [
            metric("memory", r#"sum(avg_over_time(container_memory_working_set_bytes{pod=~"${scope}-[^-]+-[^-]+"}[1m]))"#),
            metric("requests", r#"sum(rate(http_server_request_duration_seconds_count{pod=~"${scope}-[^-]+-[^-]+"}[1m]))"#),
        ],
        "classifier": { "groupWeights": { "memory": 40, "requests": 60 } }
    })
}

const JUDGES: [&str; 2] = ["NetflixACAJudge-v1.0", "haldane-v1"];

fn body(judge: &str) -> Value {
    let arm = |scope: &str| json!({ "scope": scope, "location": "shop", "start": minute(50), "end": minute(110), "step": 60 });
    json!({
        "canaryConfig": config(judge),
        "executionRequest": {
            "scopes": { "default": { "controlScope": arm("shop"), "experimentScope": arm("shop-canary") } },
            "thresholds": { "pass": 90, "marginal": 50 }
        }
    })
}

/// What must not depend on who judged: all but ids and times of the execution itself.
fn essence(value: &Value) -> Value {
    const OF_ONE_RUN: [&str; 14] = [
        "pipelineId",
        "metricSetPairListId",
        "id",
        "executionId",
        "judgedAt",
        "judged_at",
        "rerun",
        "buildTimeIso",
        "buildTimeMillis",
        "startTimeIso",
        "startTimeMillis",
        "endTimeIso",
        "endTimeMillis",
        "timestamp",
    ];
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(name, _)| !OF_ONE_RUN.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), essence(value)))
            .collect(),
        Value::Array(values) => values.iter().map(essence).collect(),
        other => other.clone(),
    }
}

fn is_complete(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let complete = answer.body["complete"].as_bool().expect("a boolean");
    assert!(complete || answer.body["status"] == "running", "{}", answer.body);
    complete
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_outlives_the_replica_that_started_it_whenever_that_is_killed() {
    const ROUNDS: u32 = 20;
    let mut cluster = Cluster::start().await;
    let mut expected = Vec::new();
    for judge in JUDGES {
        let status = cluster.undisturbed(&body(judge)).await;
        assert_eq!((&status["status"], &status["haldane"]["rerun"]), (&json!("succeeded"), &json!(false)), "{status}");
        let result = &status["result"]["judgeResult"];
        assert_eq!(result["results"].as_array().map(Vec::len), Some(2));
        assert_eq!(result["results"][0]["classification"], "High", "{result}");
        assert_eq!(status["haldane"]["samplesDigest"].as_str().map(str::is_empty), Some(false), "{status}");
        expected.push(essence(&status));
    }
    for round in 0..ROUNDS {
        let which = round as usize % JUDGES.len();
        let started = cluster.post("/canary", &body(JUDGES[which])).await;
        assert_eq!(started.status, 200, "{}", started.body);
        let path = format!("/canary/{}", started.body["canaryExecutionId"].as_str().expect("an id"));
        // From at once to after its end, in even steps.
        let after = LATEST * round / (ROUNDS - 1);
        let found = cluster.poll_and_kill(&path, started.replica, after, is_complete).await;
        for (replica, status) in &found {
            assert_eq!(essence(status), expected[which], "round {round}, replica {replica}");
            assert_eq!(status["haldane"]["rerun"], *replica != started.replica, "round {round}, replica {replica}: {status}");
        }
        cluster.restart(started.replica);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_fetch_no_more_than_three_times_however_often_an_execution_is_polled() {
    const POLLS: usize = 30;
    let cluster = Cluster::start().await;
    let started = cluster.post("/canary", &body(JUDGES[0])).await;
    let path = format!("/canary/{}", started.body["canaryExecutionId"].as_str().expect("an id"));
    let mut polled = BTreeSet::new();
    let mut polls = 0;
    let (mut complete, start) = (0, Instant::now());
    while polls < POLLS || complete < REPLICAS {
        assert!(start.elapsed() < PATIENCE, "not complete");
        let answer = cluster.get(&path).await;
        complete = if is_complete(&answer) { complete + 1 } else { 0 };
        polled.insert(answer.replica);
        polls += 1;
        tokio::time::sleep(BETWEEN_POLLS).await;
    }
    assert_eq!(polled.len(), REPLICAS, "each was asked");
    let queries = cluster.store.queries();
    assert_eq!(queries.len(), 4, "two metrics of two arms: {queries:#?}");
    assert!(queries.values().all(|times| *times <= REPLICAS), "{queries:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_of_the_native_api_outlives_its_replica_too() {
    let mut cluster = Cluster::start().await;
    let query = r#"sum(avg_over_time(container_memory_working_set_bytes{pod=~"${scope}-[^-]+-[^-]+"}[${step}]))"#;
    let body = json!({
        "config": { "name": "memory", "metrics": [{ "name": "memory", "direction": "increase", "queries": { "prometheus": query } }] },
        "baseline": { "scope": "shop" }, "canary": { "scope": "shop-canary" },
        "window": { "start": minute(50), "end": minute(110), "step": "60s" }
    });
    let expected = client().post(format!("{}/v1/judgements", cluster.replicas[0].url())).json(&body).send().await.expect("an answer");
    let expected: Value = expected.json().await.expect("a scorecard");
    assert_eq!(expected["verdict"], "fail", "{expected}");
    for after in [Duration::ZERO, DELAY / 2, LATEST] {
        let started = cluster.post("/v1/judgements", &body).await;
        assert_eq!(started.status, 202, "{}", started.body);
        let path = started.location.expect("where to ask");
        let found = cluster.poll_and_kill(&path, started.replica, after, |answer| answer.status == 200).await;
        for (replica, scorecard) in &found {
            assert_eq!(essence(scorecard), essence(&expected), "replica {replica}");
            assert_eq!(scorecard["rerun"] == true, *replica != started.replica, "replica {replica}");
        }
        cluster.restart(started.replica);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_analysis_outlives_its_replica_too() {
    let mut cluster = Cluster::start().await;
    let body = json!({
        "canaryConfig": config(JUDGES[0]),
        "executionRequest": {
            "scopes": [{
                "controlScope": "shop", "experimentScope": "shop-canary", "startTimeIso": minute(50), "endTimeIso": minute(110), "step": 60
            }],
            "thresholds": { "pass": 90, "marginal": 50 }, "analysisIntervalMins": 20
        }
    });
    let mut seen: Option<Value> = None;
    for after in [Duration::ZERO, DELAY * 3 / 2] {
        let started = cluster.post("/standalone_canary_analysis?user=somebody", &body).await;
        assert_eq!(started.status, 200, "{}", started.body);
        let path = format!("/standalone_canary_analysis/{}", started.body["canaryAnalysisExecutionId"].as_str().expect("an id"));
        let found = cluster.poll_and_kill(&path, started.replica, after, is_complete).await;
        for (replica, status) in &found {
            assert_eq!(status["canaryAnalysisExecutionResult"]["canaryScores"], json!([60.0, 60.0, 60.0]), "{status}");
            let expected = seen.get_or_insert_with(|| essence(status));
            assert_eq!(&essence(status), expected, "replica {replica}");
        }
        // Its judgements have the same ids everywhere, and whoever is asked for one answers.
        let ids = |status: &Value| -> Vec<String> {
            let results = status["canaryAnalysisExecutionResult"]["canaryExecutionResults"].as_array().expect("results").iter();
            results.map(|result| result["executionId"].as_str().expect("an id").to_owned()).collect()
        };
        let mut statuses = found.values();
        let first = ids(statuses.next().expect("a status"));
        assert!(statuses.all(|status| ids(status) == first));
        cluster.restart(started.replica);
        for id in first {
            let start = Instant::now();
            let mut complete = 0;
            while complete < REPLICAS {
                assert!(start.elapsed() < PATIENCE, "{id} is not complete everywhere");
                complete = if is_complete(&cluster.get(&format!("/canary/{id}")).await) { complete + 1 } else { 0 };
                tokio::time::sleep(BETWEEN_POLLS).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_never_ran_an_execution_has_its_metric_sets() {
    let mut cluster = Cluster::start().await;
    let started = cluster.undisturbed(&body(JUDGES[0])).await;
    let path = format!("/metricSetPairList/{}", started["metricSetPairListId"].as_str().expect("an id"));
    let mut found = Vec::new();
    for place in 0..REPLICAS {
        let response = cluster.client.get(format!("{}{path}", cluster.replicas[place].url())).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        found.push(response.json::<Value>().await.expect("pairs"));
    }
    assert!(found.iter().all(|pairs| *pairs == found[0]), "the same series with the same ids from each");
    let ids: Vec<&Value> = found[0].as_array().expect("an array").iter().map(|pair| &pair["id"]).collect();
    let results = started["result"]["judgeResult"]["results"].as_array().expect("results");
    assert_eq!(ids, results.iter().map(|result| &result["id"]).collect::<Vec<_>>());
    assert_eq!(found[0][0]["values"]["control"].as_array().map(Vec::len), Some(61));
    // Also when all that ever ran it are gone.
    for place in 0..REPLICAS {
        cluster.replicas[place].kill();
        cluster.restart(place);
    }
    assert_eq!(cluster.get(&path).await.body, found[0]);
}
