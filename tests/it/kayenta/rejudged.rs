//! The series of an execution, judged again: by the id of its own list, and as a list that a client sends back.

use haldane::archive::Archive;
use haldane::settings::Settings;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::service::{KAYENTAS, Service, TEN, ad_hoc, config, execution_until, metric, success};

/// Minutes from 10:00 to 12:00, both ends included.
const MINUTES: i64 = 121;

/// A service over a store whose canary reports 6 of 121 minutes, from 11:00 on, at twice the baseline's level.
async fn sparse() -> (Service, MockServer) {
    let server = MockServer::start().await;
    let play = |request: &wiremock::Request| {
        let canary = String::from_utf8_lossy(&request.body).contains("pay-canary");
        let minutes: Vec<i64> = if canary { (60..120).step_by(10).collect() } else { (0..MINUTES).collect() };
        let value = |minute: i64| (if canary { 20.0 } else { 10.0 }) + (minute * 7 % 11) as f64 / 10.0;
        let values: Vec<Value> = minutes.into_iter().map(|minute| json!([TEN + 60 * minute, value(minute).to_string()])).collect();
        let result = json!([{ "metric": {}, "values": values }]);
        ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": { "resultType": "matrix", "result": result } }))
    };
    Mock::given(any()).respond_with(play).mount(&server).await;
    let settings = Settings { store: Some(Archive::open("memory:").unwrap()), ..Settings::default() };
    (Service::over(settings, &server.uri()).await, server)
}

/// Kayenta gives the same result in 10 of 10 such executions: High, by 6 points of the canary's.
#[tokio::test]
async fn the_series_of_an_execution_are_judged_again_as_they_were() {
    let (service, _server) = sparse().await;
    let mut latency = metric("latency");
    latency["analysisConfigurations"]["canary"] = json!({ "direction": "either", "nanStrategy": "replace" });
    let config = config(KAYENTAS, &[latency]);
    let status = service.ended("", &ad_hoc(config.clone(), execution_until("2026-03-01T12:00:00Z", 75, 50))).await;
    let first = &status["result"]["judgeResult"]["results"][0];
    assert_eq!((&first["classification"], &first["experimentMetadata"]["stats"]["count"]), (&json!("High"), &json!(6)), "{status}");
    let own = status["metricSetPairListId"].as_str().unwrap().to_owned();
    let pairs = service.found(&format!("/metricSetPairList/{own}")).await;
    assert_eq!(pairs[0]["scopes"]["experiment"]["startTimeIso"], "2026-03-01T11:00:00Z", "the first value's own time: {pairs}");
    let sent = success(service.post("/metricSetPairList", &pairs).await, 200).await["metricSetPairListId"].as_str().unwrap().to_owned();
    let id = success(service.post("/canaryConfig", &config).await, 200).await["canaryConfigId"].as_str().unwrap().to_owned();
    for list in [own, sent] {
        let path = format!("/judges/judge?canaryConfigId={id}&metricSetPairListId={list}&passThreshold=75&marginalThreshold=50");
        let again = success(service.post(&path, &Value::Null).await, 200).await;
        assert_eq!(again, status["result"]["judgeResult"], "{list}");
    }
}
