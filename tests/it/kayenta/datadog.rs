//! What Kayenta's judge is given of a Datadog series: its gaps and its `null` points are numbers that are none, which
//! `nanStrategy: replace` turns into 0.

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::service::{KAYENTAS, Service, TEN, ad_hoc, config, execution_until};
use crate::support::datadog::{API_KEY, APP_KEY};

/// Minutes of the window.
const MINUTES: usize = 120;

/// How the played store says that there was nothing.
#[derive(Clone, Copy)]
enum Nothing {
    /// By leaving the minute out.
    Gap,
    /// By `null`.
    Null,
}

/// The errors of each minute: one in 12 of the baseline's, the first and the last 113 minutes apart, and in nine tenths of the canary's.
fn points(canary: bool) -> Vec<Option<f64>> {
    let is_there = |minute: usize| if canary { minute % 10 != 5 } else { minute == 115 || (3..110).contains(&minute) && minute % 10 == 3 };
    (0..MINUTES).map(|minute| is_there(minute).then_some(1.0)).collect()
}

fn milliseconds(minute: usize) -> i64 {
    (TEN + 60 * minute as i64) * 1000
}

fn v1(canary: bool, nothing: Nothing) -> Value {
    let list: Vec<Value> = points(canary)
        .into_iter()
        .enumerate()
        .filter(|(_, value)| value.is_some() || matches!(nothing, Nothing::Null))
        .map(|(minute, value)| json!([milliseconds(minute), value]))
        .collect();
    json!({ "status": "ok", "series": [{ "tag_set": [], "interval": 60, "pointlist": list }] })
}

fn v2(request: &Value) -> Value {
    let formulas: Vec<bool> = request["data"]["attributes"]["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| query["query"].as_str().unwrap().contains("canary"))
        .collect();
    let times: Vec<i64> = (0..MINUTES).map(milliseconds).collect();
    let series: Vec<Value> = (0..formulas.len()).map(|i| json!({ "group_tags": [], "query_index": i })).collect();
    let values: Vec<_> = formulas.into_iter().map(points).collect();
    json!({ "data": { "type": "timeseries_response", "attributes": { "series": series, "times": times, "values": values } } })
}

/// The status of an execution over a count of errors that is critical, with this API of Datadog's and this way to say nothing.
async fn judged(api: &str, nothing: Nothing) -> Value {
    let play = move |request: &wiremock::Request| {
        if request.method.as_str() == "GET" {
            v1(request.url.query().is_some_and(|query| query.contains("canary")), nothing)
        } else {
            v2(&serde_json::from_slice(&request.body).unwrap())
        }
    };
    judged_over(api, play).await
}

/// The same over a store that answers so.
async fn judged_over(api: &str, play: impl Fn(&wiremock::Request) -> Value + Send + Sync + 'static) -> Value {
    let server = MockServer::start().await;
    let play = move |request: &wiremock::Request| ResponseTemplate::new(200).set_body_json(play(request));
    Mock::given(any()).respond_with(play).mount(&server).await;
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("api"), API_KEY).unwrap();
    std::fs::write(keys.path().join("app"), APP_KEY).unwrap();
    let source = json!({
        "kind": "datadog", "url": server.uri(), "api": api,
        "api_key": { "file": keys.path().join("api") }, "app_key": { "file": keys.path().join("app") }
    });
    let service = Service::with_source("dd", source).await;
    let metric = json!({
        "name": "errors", "scopeName": "default", "groups": ["errors"], "query": { "type": "datadog", "metricName": "sum:errors" },
        "analysisConfigurations": { "canary": { "direction": "increase", "nanStrategy": "replace", "critical": true } }
    });
    let execution = execution_until("2026-03-01T12:00:00Z", 95, 75);
    service.ended("?metricsAccountName=dd", &ad_hoc(config(KAYENTAS, &[metric]), execution)).await
}

/// Expected numbers: an execution of Kayenta's over the same series, once with gaps and once with nulls.
#[tokio::test]
async fn what_datadog_does_not_report_between_two_points_or_says_is_null_is_replaced_by_0() {
    for (api, nothing, counts) in [("v1", Nothing::Gap, (113, 120)), ("v1", Nothing::Null, (120, 120)), ("v2", Nothing::Null, (113, 120))] {
        let status = judged(api, nothing).await;
        let result = &status["result"]["judgeResult"];
        let one = &result["results"][0];
        let count = |arm: &str| one[arm]["stats"]["count"].as_u64().unwrap();
        assert_eq!((count("controlMetadata"), count("experimentMetadata")), counts, "{api}: {status}");
        assert_eq!((&one["classification"], &one["critical"]), (&json!("High"), &json!(true)), "{api}: {status}");
        assert_eq!(result["score"]["score"], 0.0, "{api}: {status}");
    }
}

/// Kayenta's placeholder has a value for each of the 7,200 seconds.
#[tokio::test]
async fn a_datadog_query_without_data_has_as_many_points_as_were_asked_for() {
    let status = judged_over("v1", |request| {
        let canary = request.url.query().is_some_and(|query| query.contains("canary"));
        if canary { v1(true, Nothing::Gap) } else { json!({ "status": "ok", "series": [] }) }
    });
    let status = status.await;
    let one = &status["result"]["judgeResult"]["results"][0];
    let count = |arm: &str| one[arm]["stats"]["count"].as_u64().unwrap();
    // As many as there are steps between the points, which is what Kayenta expects of a set.
    assert_eq!((count("controlMetadata"), count("experimentMetadata")), (119, 120), "{status}");
    assert_eq!((&one["classification"], &one["critical"]), (&json!("High"), &json!(true)), "{status}");
}

/// Kayenta would judge the first and say nothing of the second.
#[tokio::test]
async fn series_of_datadog_are_judged_each_with_its_tags() {
    let status = judged_over("v1", |request| {
        let canary = request.url.query().is_some_and(|query| query.contains("canary"));
        let mut reply = v1(canary, Nothing::Gap);
        let mut steady = v1(false, Nothing::Gap)["series"][0].clone();
        (reply["series"][0]["tag_set"], steady["tag_set"]) = (json!(["zone:b"]), json!(["zone:a"]));
        reply["series"] = json!([steady, reply["series"][0]]);
        reply
    });
    let status = status.await;
    let results = status["result"]["judgeResult"]["results"].as_array().unwrap();
    let found: Vec<_> = results.iter().map(|result| (&result["tags"]["zone"], &result["classification"])).collect();
    assert_eq!(found, [(&json!("a"), &json!("Pass")), (&json!("b"), &json!("High"))], "{status}");
}
