//! What the framework that Kayenta runs on lets pass, on every address of the contract.

use reqwest::Method;
use serde_json::{Value, json};

use super::service::{KAYENTAS, Service, ad_hoc, config, execution, judging, metric, refusal, success};

/// The body of `POST /standalone_canary_analysis`.
fn analysis() -> Value {
    let scope = json!({
        "controlScope": "pay-base", "experimentScope": "pay-canary", "startTimeIso": "2026-03-01T10:00:00Z", "endTimeIso": "2026-03-01T11:00:00Z"
    });
    ad_hoc(config(KAYENTAS, &[metric("steady")]), json!({ "scopes": [scope], "thresholds": { "pass": 75, "marginal": 50 } }))
}

/// Ten public callers write `/standalone_canary_analysis/?...`.
#[tokio::test]
async fn every_address_is_found_with_a_slash_behind_it() {
    let service = Service::with_store().await;
    let started = success(service.post("/canary/?application=a", &judging(KAYENTAS, &["steady"])).await, 200).await;
    let execution_id = started["canaryExecutionId"].as_str().unwrap().to_owned();
    let status = service.end_of(&execution_id).await;
    let analysis_id = success(service.post("/standalone_canary_analysis/?application=a&user=u", &analysis()).await, 200).await
        ["canaryAnalysisExecutionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let stored = success(service.post("/canaryConfig/", &config(KAYENTAS, &[metric("steady")])).await, 200).await;
    let config_id = stored["canaryConfigId"].as_str().unwrap().to_owned();
    success(service.post(&format!("/canary/{config_id}/?application=a"), &execution(75, 50)).await, 200).await;
    success(service.post(&format!("/standalone_canary_analysis/{config_id}/"), &analysis()["executionRequest"]).await, 200).await;
    let pairs_id = status["metricSetPairListId"].as_str().unwrap();
    let pair_id = status["result"]["judgeResult"]["results"][0]["id"].as_str().unwrap();
    let fetched = "/fetch/prometheus/query/?metricSetName=m&metricName=steady&customFilter=PromQL:steady&scope=s&start=2026-03-01T10:00:00Z\
                   &end=2026-03-01T11:00:00Z&step=60";
    let set_id =
        success(service.request(Method::POST, fetched).send().await.unwrap(), 200).await["metricSetListId"].as_str().unwrap().to_owned();
    for _ in 0..3000 {
        if service.found(&format!("/standalone_canary_analysis/{analysis_id}/")).await["complete"] == true {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for path in [
        format!("/canary/{execution_id}"),
        "/canary/executions".to_owned(),
        format!("/standalone_canary_analysis/{analysis_id}"),
        format!("/canaryConfig/{config_id}"),
        "/canaryConfig".to_owned(),
        format!("/metricSetPairList/{pairs_id}"),
        format!("/metricSetPairList/{pairs_id}/{pair_id}"),
        "/metricSetPairList".to_owned(),
        format!("/metricSetList/{set_id}"),
        "/metricSetList".to_owned(),
        "/canaryResultArchive".to_owned(),
        "/judges".to_owned(),
        "/credentials".to_owned(),
        "/metricsServices".to_owned(),
        "/health".to_owned(),
    ] {
        let plain = service.found(&path).await;
        assert_eq!(service.found(&format!("{path}/")).await, plain, "{path}");
        // Unknown parameters are passed over, and empty ones too.
        assert_eq!(service.found(&format!("{path}/?application=&_={path}&unknown")).await.is_array(), plain.is_array(), "{path}");
        // HEAD is GET without a body, and OPTIONS is answered whoever asks.
        for (method, query) in [(Method::HEAD, ""), (Method::HEAD, "/"), (Method::OPTIONS, "/")] {
            let reply = service.request(method.clone(), &format!("{path}{query}")).send().await.unwrap();
            assert_eq!((reply.status().as_u16(), reply.bytes().await.unwrap().len()), (200, 0), "{method} {path}{query}");
        }
    }
    let rejudged =
        format!("/judges/judge/?canaryConfigId={config_id}&metricSetPairListId={pairs_id}&passThreshold=75&marginalThreshold=50");
    success(service.request(Method::POST, &rejudged).send().await.unwrap(), 200).await;
    let cancelled = service.request(Method::PUT, &format!("/pipelines/{execution_id}/cancel/")).send().await.unwrap();
    assert_eq!(cancelled.status().as_u16(), 202);
    let gone = service.request(Method::DELETE, &format!("/canaryConfig/{config_id}/")).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 204);
    refusal(service.get("/canary//").await, 404).await;
}

#[tokio::test]
async fn a_content_type_may_have_parameters_and_any_case() {
    let service = Service::start().await;
    let body = judging(KAYENTAS, &["steady"]).to_string();
    for content_type in
        ["application/json", "application/json;charset=UTF-8", "Application/JSON; charset=utf-8", "application/vnd.spinnaker+json"]
    {
        let request = service.request(Method::POST, "/canary").header("content-type", content_type).body(body.clone());
        success(request.send().await.unwrap(), 200).await;
    }
    let request = service.request(Method::POST, "/canary").header("content-type", "text/plain").body(body);
    refusal(request.send().await.unwrap(), 415).await;
}

#[tokio::test]
async fn words_of_parameters_are_read_in_any_case() {
    let service = Service::start().await;
    service.ended("?application=words", &judging(KAYENTAS, &["steady"])).await;
    for (statuses, found) in [("SUCCEEDED", 1), ("succeeded", 1), ("Succeeded, RUNNING", 1), ("TERMINAL,canceled", 0)] {
        let list = service.found(&format!("/canary/executions?application=words&statuses={statuses}")).await;
        assert_eq!(list.as_array().map(Vec::len), Some(found), "{statuses}: {list}");
    }
    let query = "metricSetName=m&metricName=steady&customFilter=PromQL:steady&start=2026-03-01T10:00:00Z&end=2026-03-01T11:00:00Z";
    for dry in ["true", "TRUE", "yes", "1"] {
        let reply = service.request(Method::POST, &format!("/fetch/prometheus/query?{query}&dryRun={dry}")).send().await.unwrap();
        assert_eq!(success(reply, 200).await, json!({ "query": "steady" }), "{dry}");
    }
    let reply = service.request(Method::POST, &format!("/fetch/prometheus/query?{query}&dryRun=maybe")).send().await.unwrap();
    assert!(refusal(reply, 400).await.contains("dryRun=maybe"));
}
