//! The smaller shapes that clients rely on: filled parts of a config, tags, times, and what is known of an execution that broke off.

use reqwest::Method;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::service::{KAYENTAS, POINTS, Service, TEN, ad_hoc, config, execution, judging, metric, success};

#[tokio::test]
async fn a_config_is_given_out_with_its_absent_parts_filled_in_and_its_weights_as_numbers() {
    let service = Service::with_store().await;
    // Deck takes the keys of `templates` without looking whether they are there.
    let bare = json!({ "name": "bare", "applications": ["a"] });
    let id = success(service.post("/canaryConfig", &bare).await, 200).await["canaryConfigId"].as_str().unwrap().to_owned();
    let found = service.found(&format!("/canaryConfig/{id}")).await;
    assert_eq!((&found["templates"], &found["metrics"], found.get("classifier")), (&json!({}), &json!([]), None), "{found}");

    let mut config = config(KAYENTAS, &[metric("steady")]);
    for part in ["templates", "classifier"] {
        config.as_object_mut().unwrap().remove(part);
    }
    config["metrics"][0].as_object_mut().unwrap().remove("groups");
    config["metrics"][0].as_object_mut().unwrap().remove("analysisConfigurations");
    config["judge"] = json!({ "name": KAYENTAS });
    config["classifier"] = json!({ "groupWeights": { "steady": "100" }, "scoreThresholds": { "pass": 95, "marginal": "75" } });
    let id = success(service.post("/canaryConfig", &config).await, 200).await["canaryConfigId"].as_str().unwrap().to_owned();
    let stored = service.found(&format!("/canaryConfig/{id}")).await;
    let status = service.ended("", &ad_hoc(config, execution(75, 50))).await;
    for shown in [&stored, &status["config"]] {
        assert_eq!(shown["templates"], json!({}), "{shown}");
        assert_eq!(shown["judge"], json!({ "name": KAYENTAS, "judgeConfigurations": {} }), "{shown}");
        assert_eq!(shown["classifier"]["groupWeights"].to_string(), r#"{"steady":100.0}"#, "{shown}");
        assert_eq!(shown["classifier"]["scoreThresholds"].to_string(), r#"{"marginal":75.0,"pass":95.0}"#, "{shown}");
        assert_eq!((&shown["metrics"][0]["groups"], &shown["metrics"][0]["analysisConfigurations"]), (&json!([]), &json!({})), "{shown}");
    }
}

#[tokio::test]
async fn a_config_whose_query_has_no_type_that_kayenta_knows_is_not_stored() {
    let service = Service::with_store().await;
    for (kind, part) in [(json!("opentsdb"), "`opentsdb`"), (Value::Null, "is missing")] {
        let mut config = config(KAYENTAS, &[metric("steady")]);
        config["metrics"][0]["query"]["type"] = kind;
        let message = super::service::refusal(service.post("/canaryConfig", &config).await, 400).await;
        assert!(message.contains("/metrics/0/query/type") && message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn an_execution_under_an_unknown_judge_fails_at_its_judge_with_its_series_at_hand() {
    let service = Service::start().await;
    let status = service.ended("", &judging("dredd-v1.0", &["steady", "gappy"])).await;
    assert_eq!((&status["status"], status.get("result")), (&json!("terminal"), None), "{status}");
    let stages = &status["stageStatus"];
    assert_eq!(
        (&stages["fetchControl1"], &stages["mixMetrics"], &stages["judge"]),
        (&json!("succeeded"), &json!("succeeded"), &json!("terminal"))
    );
    let error = status["exception"]["details"]["error"].as_str().unwrap();
    assert!(error.contains("dredd-v1.0") && error.contains("write NetflixACAJudge-v1.0 instead"), "{error}");
    let pairs = service.found(&format!("/metricSetPairList/{}", status["metricSetPairListId"].as_str().unwrap())).await;
    assert_eq!(pairs[0]["values"]["control"].as_array().map(Vec::len), Some(POINTS), "{pairs}");
}

/// A store whose series has its name and a gap.
async fn named_series() -> (Service, MockServer) {
    let server = MockServer::start().await;
    let play = |request: &wiremock::Request| {
        let level = if String::from_utf8_lossy(&request.body).contains("pay-canary") { 11 } else { 10 };
        let minutes = (3..30).chain(40..50);
        let values: Vec<Value> = minutes.map(|minute| json!([TEN + 60 * minute, (level + minute % 7).to_string()])).collect();
        let labels = json!({ "__name__": "up", "job": "pay" });
        let result = json!([{ "metric": labels, "values": values }]);
        ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": { "resultType": "matrix", "result": result } }))
    };
    Mock::given(any()).respond_with(play).mount(&server).await;
    (Service::over(haldane::settings::Settings::default(), &server.uri()).await, server)
}

#[tokio::test]
async fn the_name_of_a_metric_is_no_tag() {
    let (service, _server) = named_series().await;
    let status = service.ended("", &judging(KAYENTAS, &["raw"])).await;
    assert_eq!(status["result"]["judgeResult"]["results"][0]["tags"], json!({ "job": "pay" }), "{status}");
    let pairs = service.found(&format!("/metricSetPairList/{}", status["metricSetPairListId"].as_str().unwrap())).await;
    assert_eq!(pairs[0]["tags"], json!({ "job": "pay" }));
}

/// Kayenta's set begins with its first point and ends a step after as many points as there are.
#[tokio::test]
async fn a_metric_set_has_the_points_that_there_are_and_ends_a_step_after_them() {
    let (service, _server) = named_series().await;
    let query = "metricSetName=m&metricName=up&customFilter=PromQL:up&start=2026-03-01T10:00:00Z&end=2026-03-01T11:00:00Z&step=60";
    let reply = service.request(Method::POST, &format!("/fetch/prometheus/query?{query}")).send().await.unwrap();
    let id = success(reply, 200).await["metricSetListId"].as_str().unwrap().to_owned();
    let set = service.found(&format!("/metricSetList/{id}")).await[0].clone();
    assert_eq!(set["values"].as_array().map(Vec::len), Some(37), "{set}");
    assert_eq!((&set["startTimeIso"], &set["endTimeIso"]), (&json!("2026-03-01T10:03:00Z"), &json!("2026-03-01T10:40:00Z")), "{set}");
    assert_eq!((&set["tags"], &set["stepMillis"]), (&json!({ "job": "pay" }), &json!(60_000)));
}

#[tokio::test]
async fn a_time_may_be_a_number_of_seconds_since_1970() {
    let service = Service::start().await;
    for (start, end) in [(json!(TEN), json!(TEN + 3600)), (json!(TEN as f64 + 0.25), json!((TEN + 3600).to_string()))] {
        let mut body = judging(KAYENTAS, &["steady"]);
        for arm in ["controlScope", "experimentScope"] {
            let scope = &mut body["executionRequest"]["scopes"]["default"][arm];
            scope["start"] = start.clone();
            scope["end"] = end.clone();
        }
        let status = service.ended("", &body).await;
        assert_eq!(status["status"], "succeeded", "{status}");
        let shown = &status["canaryExecutionRequest"]["scopes"]["default"]["controlScope"];
        assert!(shown["start"].as_str().unwrap().starts_with("2026-03-01T10:00:00") && shown["end"] == "2026-03-01T11:00:00Z", "{shown}");
    }
}
