//! With a store: short ids, executions that outlive their replica, and a metric store that is gone for a moment.

use std::sync::atomic::{AtomicUsize, Ordering};

use haldane::archive::Archive;
use haldane::settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::service::{KAYENTAS, Service, judging, metric, points, refusal, reply, success};

fn over(folder: &tempfile::TempDir) -> Settings {
    let url = format!("file://{}", folder.path().display());
    Settings { store: Some(Archive::open(&url).unwrap()), ..Settings::default() }
}

async fn native(service: &Service, body: &Value) -> String {
    let request = service.request(Method::POST, "/v1/judgements").header("Prefer", "respond-async").json(body);
    let reply = success(request.send().await.unwrap(), 202).await;
    let id = reply["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 26, "{id}");
    id
}

/// Waits until the store has so many documents of a kind.
async fn kept(folder: &tempfile::TempDir, kind: &str, number: usize) {
    for _ in 0..1000 {
        let found = std::fs::read_dir(folder.path().join(kind)).map_or(0, Iterator::count);
        if found >= number {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the store has fewer than {number} documents of {kind}");
}

#[tokio::test]
async fn what_one_replica_judged_another_answers_after_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::with(over(&folder)).await;
    let status = first.ended("?application=pay", &judging(KAYENTAS, &["steady", "risen"])).await;
    let id = status["pipelineId"].as_str().unwrap();
    assert_eq!(id.len(), 26);
    kept(&folder, "canary-results", 1).await;
    kept(&folder, "scorecards", 1).await;
    drop(first);
    // It asks a metric store that is not there: nothing may be fetched again.
    let second = Service::over(over(&folder), "http://127.0.0.1:1").await;
    assert_eq!(second.found(&format!("/canary/{id}")).await, status);
    refusal(second.get(&format!("/standalone_canary_analysis/{id}")).await, 400).await;
    let listed = second.found("/canary/executions?application=pay").await;
    assert_eq!(listed, json!([status]));
    let pairs = second.found(&format!("/metricSetPairList/{id}.pairs")).await;
    assert_eq!(pairs.as_array().unwrap().len(), 2);
    assert_eq!(pairs[0]["id"], status["result"]["judgeResult"]["results"][0]["id"]);
}

#[tokio::test]
async fn what_was_accepted_and_not_judged_is_judged_by_whoever_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::with(over(&folder)).await;
    let id = first.begun("", &judging(KAYENTAS, &["steady"])).await;
    kept(&folder, "scorecards", 1).await;
    kept(&folder, "canary-results", 1).await;
    drop(first);
    for kind in ["scorecards", "canary-results"] {
        std::fs::remove_dir_all(folder.path().join(kind)).unwrap();
    }
    let second = Service::with(over(&folder)).await;
    let status = second.end_of(&id).await;
    assert_eq!((&status["status"], &status["haldane"]["rerun"]), (&json!("succeeded"), &json!(true)));
}

#[tokio::test]
async fn samples_that_come_with_a_request_can_be_polled_where_there_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let body = json!({
        "config": { "name": "c", "metrics": [{ "name": "p95", "direction": "increase" }] },
        "window": { "step": "60s" },
        "samples": { "p95": { "baseline": points(100.0, 60), "canary": points(160.0, 60) } }
    });
    let first = Service::with(over(&folder)).await;
    let id = native(&first, &body).await;
    let scorecard = success(first.get(&format!("/v1/judgements/{id}?wait=20")).await, 200).await;
    assert_eq!((&scorecard["verdict"], &scorecard["id"]), (&json!("fail"), &json!(id)));
    kept(&folder, "scorecards", 1).await;
    drop(first);
    let second = Service::with(over(&folder)).await;
    assert_eq!(success(second.get(&format!("/v1/judgements/{id}?wait=20")).await, 200).await, scorecard);
    let without = Service::start().await;
    let problem = success(without.get(&format!("/v1/judgements/{id}")).await, 404).await;
    assert!(problem["detail"].as_str().unwrap().contains("--store"), "{problem}");
}

#[tokio::test]
async fn a_store_that_fails_is_an_answer_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::with(over(&folder)).await;
    let path = folder.path().to_owned();
    drop(folder);
    std::fs::write(&path, "a file where the folder was").unwrap();
    let message = refusal(service.post("/canary", &judging(KAYENTAS, &["steady"])).await, 503).await;
    assert!(message.contains("store"), "{message}");
    // A verdict that somebody waits for is not lost by it.
    let body = json!({
        "config": { "name": "c", "metrics": [{ "name": "p95" }] },
        "samples": { "p95": { "baseline": points(100.0, 60), "canary": points(160.0, 60) } }
    });
    let scorecard = success(service.post("/v1/judgements", &body).await, 200).await;
    assert_eq!(scorecard["verdict"], "fail");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_metric_store_that_is_gone_for_a_moment_ends_no_execution() {
    let asked = AtomicUsize::new(0);
    let metrics = MockServer::start().await;
    let respond = move |request: &wiremock::Request| {
        if asked.fetch_add(1, Ordering::Relaxed) < 2 { ResponseTemplate::new(503) } else { reply(request, 1.0) }
    };
    Mock::given(path_regex(".*query_range$")).respond_with(respond).mount(&metrics).await;
    let service = Service::over(Settings::default(), &metrics.uri()).await;
    let status = service.ended("", &judging(KAYENTAS, &["steady"])).await;
    assert_eq!(status["status"], "succeeded", "{status}");
}

#[tokio::test]
async fn configs_are_written_changed_and_deleted_and_bad_ids_are_refused() {
    let service = Service::with_store().await;
    let config =
        |name: &str| json!({ "name": name, "applications": ["pay"], "metrics": [metric("steady")], "classifier": {}, "ours": { "k": 1 } });
    let id = success(service.post("/canaryConfig", &config("a")).await, 200).await["canaryConfigId"].as_str().unwrap().to_owned();
    let taken = refusal(service.post("/canaryConfig", &config("a")).await, 400).await;
    assert!(taken.contains("`a`"), "{taken}");
    let mut changed = service.found(&format!("/canaryConfig/{id}")).await;
    assert_eq!(changed["ours"], json!({ "k": 1 }));
    changed["name"] = json!("b");
    success(service.put(&format!("/canaryConfig/{id}"), &changed).await, 200).await;
    let listed = service.found("/canaryConfig?application=pay,other").await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"]), (1, &json!("b")));
    assert_eq!(service.found("/canaryConfig?application=other").await, json!([]));
    for bad in ["executions", "..", "a/b", "a\u{0}b", &"x".repeat(151)] {
        let mut config = config("c");
        config["id"] = json!(bad);
        let message = refusal(service.post("/canaryConfig", &config).await, 400).await;
        assert!(message.contains("/id"), "{bad}: {message}");
    }
    let deleted = service.request(Method::DELETE, &format!("/canaryConfig/{id}")).send().await.unwrap();
    assert_eq!((deleted.status().as_u16(), deleted.text().await.unwrap().as_str()), (204, ""));
    refusal(service.get(&format!("/canaryConfig/{id}")).await, 404).await;
    refusal(service.request(Method::DELETE, &format!("/canaryConfig/{id}")).send().await.unwrap(), 404).await;
}
