//! What Kayenta's API asks a metric store about the time before the window: nothing, where both arms are observed over the same time.

use std::sync::{Arc, Mutex};

use haldane::settings::Settings;
use serde_json::{Value, json};
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::service::{KAYENTAS, Service, TEN, ad_hoc, config, execution, zones};
use crate::support::relay::lock;

/// The queries that a judgement asks, by their text, with where they begin and end; and its result.
async fn asked(judge: &str, metrics: &[Value]) -> (Vec<(String, i64, i64)>, Value) {
    let seen: Arc<Mutex<Vec<(String, i64, i64)>>> = Arc::default();
    let store = MockServer::start().await;
    let kept = Arc::clone(&seen);
    let respond = move |request: &wiremock::Request| {
        let form = format!("http://x/?{}", String::from_utf8_lossy(&request.body));
        let form = reqwest::Url::parse(&form).unwrap();
        let field = |name: &str| form.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        let number = |name: &str| field(name).parse::<i64>().unwrap();
        let (query, start, end, step) = (field("query"), number("start"), number("end"), number("step"));
        lock(&kept).push((query.clone(), start, end));
        // The canary stands half as high again, and always has.
        let level = if query.contains("pay-canary") { 150.0 } else { 100.0 };
        let zone = |zone: &str, from: i64| {
            let noise = |time: i64| 1.0 + 0.03 * ((time / 60 + query.len() as i64) * 7919 % 101) as f64 / 101.0;
            let times = (start.max(from)..=end).step_by(step as usize);
            let values: Vec<Value> = times.map(|time| json!([time, (level * noise(time)).to_string()])).collect();
            json!({ "metric": { "zone": zone }, "values": values })
        };
        // One zone was taken out of service before the window.
        let gone = json!({ "metric": { "zone": "gone" }, "values": [[start, "1"]] });
        let mut result = vec![zone("a", i64::MIN)];
        if query.contains("zones") {
            result.push(zone("b", i64::MIN));
            result.extend((start < TEN).then_some(gone));
        }
        ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": { "resultType": "matrix", "result": result } }))
    };
    Mock::given(path_regex(".*query_range$")).respond_with(respond).mount(&store).await;
    let service = Service::over(Settings::default(), &store.uri()).await;
    let ended = service.ended("", &ad_hoc(config(judge, metrics), execution(75, 50))).await;
    let mut seen = lock(&seen).clone();
    seen.sort();
    (seen, ended)
}

#[tokio::test]
async fn nobody_says_there_when_a_canary_was_released_so_that_its_own_past_excuses_nothing() {
    let (start, end) = (TEN, TEN + 3600);
    for judge in [KAYENTAS, "threshold-v1", "haldane-v1"] {
        let (seen, ended) = asked(judge, &[zones()]).await;
        let at: Vec<_> = seen.iter().map(|(_, start, end)| (*start, *end)).collect();
        assert_eq!(at, [(start, end); 2], "{judge}: one query an arm");
        let results = ended["result"]["judgeResult"]["results"].as_array().unwrap_or_else(|| panic!("{ended}"));
        // The zone that was gone before is no pair.
        assert_eq!(results.len(), 2, "{results:?}");
        if judge == "haldane-v1" {
            assert!(results.iter().all(|result| result["classification"] == "High"), "{results:?}");
        }
    }
}
