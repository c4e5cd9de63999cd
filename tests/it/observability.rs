//! What the service tells of itself: metrics whose number is bounded, a dashboard and alerts that name no other, a line of the log for
//! each judgement.

use std::collections::BTreeSet;
use std::path::Path;

use haldane::settings::{ServeArgs, Settings};
use regex::Regex;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::api::Server;
use crate::support::haldane::{client, command};
use crate::support::process;

/// Counted by the server around the router, where the log's queue is.
const OF_THE_SERVER: [&str; 1] = ["haldane_log_lines_dropped_total"];

async fn service(store: &MockServer) -> Server {
    let args = ServeArgs { prometheus: Some(store.uri()), ..ServeArgs::default() };
    Server::start(Settings::load(args).unwrap()).await
}

fn inline(config: &str) -> Value {
    let points = [101, 99, 104, 98, 100, 103, 97, 102, 99, 101];
    json!({
        "config": { "name": config, "metrics": [{ "name": "p95" }] },
        "samples": { "p95": { "baseline": points, "canary": points } }
    })
}

fn asked(config: &str, source: Option<&str>) -> Value {
    let metric = json!({ "name": "p95", "queries": { "prometheus": "p95{app=\"${scope}\"}" } });
    json!({
        "config": { "name": config, "metrics": [metric] }, "source": source,
        "baseline": { "scope": "a" }, "canary": { "scope": config }, "window": { "duration": "30m" }
    })
}

/// The names of all series with their labels, and those of the metrics.
async fn series(server: &Server) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = server.get("/metrics").await.text().await.unwrap();
    let series: BTreeSet<String> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect();
    let names = series.iter().map(|one| one.split('{').next().unwrap_or_default().to_owned()).collect();
    (series, names)
}

/// Everything that has a label of its own: each kind of answer, of ending, of looking.
async fn use_all(server: &Server, name: &str, source: Option<&str>) {
    server.judge("", &inline(name)).await;
    server.judge("", &asked(name, source)).await;
    let started = server.client.post(server.url("/v1/judgements")).header("Prefer", "respond-async").json(&asked(name, None));
    let started: Value = started.send().await.unwrap().json().await.unwrap();
    let id = started["id"].as_str().unwrap_or(name);
    for path in
        [format!("/v1/judgements/{id}?wait=30"), format!("/v1/judgements/{name}"), format!("/{name}"), format!("/v1/configs/{name}")]
    {
        server.get(&path).await;
    }
    let method = reqwest::Method::from_bytes(name.as_bytes()).unwrap();
    server.client.request(method, server.url("/v1/judges")).send().await.unwrap();
    server.client.get(server.url(&format!("/canary/{name}?application={name}"))).send().await.unwrap();
}

#[tokio::test]
async fn whatever_is_asked_adds_no_series_once_every_kind_was_seen() {
    let store = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(422)).mount(&store).await;
    let server = service(&store).await;
    use_all(&server, "first", None).await;
    use_all(&server, "second", Some("second")).await;
    series(&server).await;
    let (before, _) = series(&server).await;
    for i in 0..20 {
        let name = format!("hostile-{i}");
        use_all(&server, &name, Some(&name)).await;
    }
    let (after, _) = series(&server).await;
    // Whether a judgement had ended when it was asked for is chance, and has three words.
    let by_chance = |one: &&String| one.starts_with("haldane_execution_lookups_total");
    let added: Vec<&String> = after.difference(&before).filter(|one| !by_chance(one)).collect();
    assert!(added.is_empty(), "{added:?}");
    assert!(after.iter().filter(by_chance).count() <= 3);
    assert!(!after.iter().any(|one| one.contains("hostile")));
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_metrics_that_there_are() {
    let store = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(422)).mount(&store).await;
    let server = service(&store).await;
    use_all(&server, "name", None).await;
    series(&server).await;
    let (_, mut known) = series(&server).await;
    known.extend(OF_THE_SERVER.map(str::to_owned));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let name = Regex::new(r"\bhaldane_[a-z0-9_]+").unwrap();
    for file in ["grafana/haldane.json", "prometheus/alerts.yaml", "prometheus/alerts_test.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let named: BTreeSet<String> = name.find_iter(&text).map(|found| found.as_str().to_owned()).collect();
        assert!(named.len() > 5, "{file}: {named:?}");
        let unknown: Vec<&String> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}; there are {known:?}");
    }
}

#[tokio::test]
async fn the_stages_of_a_judgement_are_measured() {
    let store = MockServer::start().await;
    let server = service(&store).await;
    server.judge("", &inline("c")).await;
    series(&server).await;
    let text = server.get("/metrics").await.text().await.unwrap();
    for stage in ["queue", "fetch", "judge", "write"] {
        let line = format!("haldane_stage_duration_seconds_count{{stage=\"{stage}\"}} 1");
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("haldane_judgements_total{judge=\"haldane-v1\",verdict="), "{text}");
    assert!(text.contains("haldane_queue_length 0") && text.contains("haldane_requests_shed_total 0"), "{text}");
}

#[tokio::test]
async fn a_judgement_is_one_line_of_the_log_with_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = process::Server::start(&log, "/health/live", |address| {
        let mut command = command();
        command.args(["serve", "--log-format", "json", "--listen", &address.to_string()]);
        command
    });
    let mut body = inline("logged");
    body["labels"] = json!({ "service": "checkout" });
    let reply = client().post(format!("{}/v1/judgements", server.url())).json(&body).send().await.unwrap();
    let card: Value = reply.json().await.unwrap();
    let read = || -> Vec<Value> {
        let lines = std::fs::read_to_string(&log).unwrap();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    // Lines are written beside the answers; that the request was answered is the last.
    let mut lines = read();
    for _ in 0..3000 {
        if lines.iter().any(|line| line["message"] == "answered") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        lines = read();
    }
    let judged: Vec<&Value> = lines.iter().filter(|line| line["message"] == "judged").collect();
    let [line] = judged.as_slice() else { panic!("{lines:?}") };
    for (field, value) in [
        ("verdict", card["verdict"].clone()),
        ("config", json!("logged")),
        ("judge", json!("haldane-v1")),
        ("metrics", json!(1)),
        ("labels", json!("{\"service\":\"checkout\"}")),
        ("samples_digest", card["data"]["digest"].clone()),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    for field in ["duration_ms", "queue_ms", "fetch_ms", "judge_ms"] {
        assert!(line[field].is_u64(), "{field}: {line}");
    }
}

/// A collector, and a store, at work.
async fn answering(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(status)).mount(&server).await;
    server
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_callers_trace_is_taken_over_sent_to_the_collector_and_passed_on_to_the_store() {
    let (store, collector) = (answering(422).await, answering(200).await);
    let folder = tempfile::tempdir().unwrap();
    let server = process::Server::start(&folder.path().join("log"), "/health/live", |address| {
        let mut command = command();
        command.args(["serve", "--listen", &address.to_string(), "--prometheus", &store.uri(), "--otlp-endpoint", &collector.uri()]);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command
    });
    let request = client().post(format!("{}/v1/judgements", server.url())).json(&asked("traced", None));
    request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")).send().await.unwrap();

    let asked = store.received_requests().await.unwrap();
    assert!(!asked.is_empty());
    for request in &asked {
        let parent = request.headers["traceparent"].to_str().unwrap();
        assert!(parent.starts_with(&format!("00-{TRACE}-")) && !parent.contains("00f067aa0ba902b7"), "{parent}");
    }
    let trace: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&TRACE[2 * i..2 * i + 2], 16).unwrap()).collect();
    let holds = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|window| window == part);
    for name in ["request", "queue", "fetch"] {
        for attempt in 0.. {
            let batches = collector.received_requests().await.unwrap();
            if batches.iter().any(|batch| holds(&batch.body, &trace) && holds(&batch.body, name.as_bytes())) {
                assert!(batches.iter().all(|batch| batch.url.path() == "/v1/traces"));
                break;
            }
            assert!(attempt < 3000, "no span `{name}` came");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn without_a_collector_no_store_is_told_of_a_trace() {
    let store = answering(422).await;
    let server = service(&store).await;
    let request = server.client.post(server.url("/v1/judgements")).json(&asked("untraced", None));
    request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")).send().await.unwrap();
    let asked = store.received_requests().await.unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|request| !request.headers.contains_key("traceparent")));
}
