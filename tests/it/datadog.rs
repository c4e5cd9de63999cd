//! The Datadog adapter against recorded replies, and against a server that plays Datadog.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use haldane::source::datadog::{ApiVersion, Datadog, DatadogSettings};
use haldane::source::http::{ConnectionSettings, SecretSettings};
use haldane::source::{MetricStore, Query, Reply, SourceError, SourceSettings, StoreReader as _, Window};
use haldane_judges::config::Period;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::matchers::{body_json, header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::kayenta::service::{Service, points, success};

/// 2026-03-01T10:00:00Z.
const TEN: i64 = 1_772_359_200;
const WINDOW: Window = Window { start: TEN, end: TEN + 300, step_seconds: 60 };
const API_KEY: &str = "api-key-5f2d";
const APP_KEY: &str = "app-key-91c7";
const BOTH: [ApiVersion; 2] = [ApiVersion::V2, ApiVersion::V1];

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/datadog/", $name))
    };
}

/// Keys in files, which every test shares.
fn keys() -> &'static std::path::Path {
    static KEYS: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("api"), format!("{API_KEY}\n")).unwrap();
        std::fs::write(directory.path().join("app"), APP_KEY).unwrap();
        directory
    })
    .path()
}

fn settings(url: &str, api: ApiVersion) -> DatadogSettings {
    DatadogSettings {
        site: None,
        url: Some(url.to_owned()),
        api_key: SecretSettings::File(keys().join("api")),
        app_key: SecretSettings::File(keys().join("app")),
        api,
        accept_partial: false,
        timeout: None,
        ca_file: None,
        max_reply_bytes: None,
        max_concurrent: None,
        settle: None,
        explore_url: None,
        // Each reply is to be seen once.
        connection: ConnectionSettings { retries: Some(0), ..ConnectionSettings::default() },
    }
}

fn open(url: &str, api: ApiVersion) -> Datadog {
    Datadog::open("main", &settings(url, api)).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn query(text: &str) -> Query {
    Query { text: text.to_owned(), window: WINDOW, buckets: false }
}

fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

/// A server that answers everything so.
async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(template).mount(&server).await;
    server
}

/// What the adapter makes of one reply.
async fn read(api: ApiVersion, template: ResponseTemplate) -> Result<Reply, SourceError> {
    let server = answering(template).await;
    open(&server.uri(), api).fetch(&query("avg:system.cpu.user{env:prod} by {host}"), soon()).await
}

fn present(values: &[f64]) -> Vec<(usize, f64)> {
    values.iter().copied().enumerate().filter(|(_, value)| !value.is_nan()).collect()
}

/// What is asked of a server that plays Datadog: the texts of its formulas, the window in seconds and the interval.
struct AskedFor {
    texts: Vec<String>,
    from: i64,
    to: i64,
    interval: i64,
}

impl AskedFor {
    fn of(request: &wiremock::Request) -> Self {
        if request.method.as_str() == "GET" {
            let field = |name: &str| request.url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
            let text = field("query");
            let interval = text.rsplit_once(", ").unwrap().1.split(')').next().unwrap().parse().unwrap();
            return Self { texts: vec![text], from: field("from").parse().unwrap(), to: field("to").parse().unwrap(), interval };
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let attributes = &body["data"]["attributes"];
        let queries = attributes["queries"].as_array().unwrap();
        let texts = attributes["formulas"].as_array().unwrap().iter().map(|formula| {
            // Longest names first, or `haldane_1` would be found in `haldane_10`.
            let mut names: Vec<_> =
                queries.iter().map(|query| (query["name"].as_str().unwrap(), query["query"].as_str().unwrap())).collect();
            names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
            names.iter().fold(formula["formula"].as_str().unwrap().to_owned(), |text, (name, query)| text.replace(name, query))
        });
        let seconds = |name: &str| attributes[name].as_i64().unwrap() / 1000;
        Self { texts: texts.collect(), from: seconds("from"), to: seconds("to"), interval: seconds("interval") }
    }

    /// Begins of the intervals, the one that begins with the end included, as Datadog sends it.
    fn times(&self) -> Vec<i64> {
        let first = self.from.div_euclid(self.interval) * self.interval;
        (0..).map(|i| first + i * self.interval).skip_while(|time| *time < self.from).take_while(|time| *time <= self.to).collect()
    }
}

/// The level of a metric: by its name, by whether it is the canary's, and from ten o'clock on.
fn level(text: &str, time: i64) -> f64 {
    match text.contains("canary") {
        true if text.contains("risen") && time >= TEN => 160.0,
        // A little apart, or the arms would be identical.
        true if text.contains("alike") => 100.01,
        _ => 100.0,
    }
}

/// Plays both APIs: a value for each interval.
fn play(request: &wiremock::Request) -> ResponseTemplate {
    let asked = AskedFor::of(request);
    if asked.texts.iter().any(|text| text.contains("bad")) {
        return json(400, fixture!("error-400-v1.json"));
    }
    let times = asked.times();
    let values = |text: &String| -> Vec<f64> {
        let level_at = |time: i64| text.split_once(" / ").map_or_else(|| level(text, time), |(a, b)| level(a, time) / level(b, time));
        points(1.0, times.len()).into_iter().zip(&times).map(|(pattern, time)| level_at(*time) * pattern).collect()
    };
    let milliseconds: Vec<i64> = times.iter().map(|time| time * 1000).collect();
    let body = if request.method.as_str() == "GET" {
        let list: Vec<Value> = milliseconds.iter().zip(values(&asked.texts[0])).map(|(time, value)| json!([time, value])).collect();
        json!({ "status": "ok", "series": [{ "tag_set": [], "interval": asked.interval, "pointlist": list }] })
    } else {
        let series: Vec<Value> = (0..asked.texts.len()).map(|i| json!({ "group_tags": [], "query_index": i, "unit": null })).collect();
        let values: Vec<_> = asked.texts.iter().map(values).collect();
        json!({ "data": { "type": "timeseries_response", "attributes": { "series": series, "times": milliseconds, "values": values } } })
    };
    ResponseTemplate::new(200).set_body_json(body)
}

async fn datadog() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(header("DD-API-KEY", API_KEY)).and(header("DD-APPLICATION-KEY", APP_KEY)).respond_with(play).mount(&server).await;
    server
}

#[tokio::test]
async fn both_apis_are_asked_as_documented_and_give_the_same_reply() {
    let server = MockServer::start().await;
    let text = "avg:system.cpu.user{env:prod} by {host}.rollup(avg, 60)";
    let document = json!({ "data": { "type": "timeseries_request", "attributes": {
        "from": 1_772_359_200_000_i64, "to": 1_772_359_500_000_i64, "interval": 60_000,
        "queries": [{ "data_source": "metrics", "name": "haldane_1", "query": text }],
        "formulas": [{ "formula": "haldane_1" }]
    } } });
    Mock::given(method("POST"))
        .and(path("/relay/api/v2/query/timeseries"))
        .and(header("DD-API-KEY", API_KEY))
        .and(header("DD-APPLICATION-KEY", APP_KEY))
        .and(header("accept", "application/json"))
        .and(body_json(document))
        .respond_with(json(200, fixture!("v2-hosts.json")))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/relay/api/v1/query"))
        .and(header("DD-API-KEY", API_KEY))
        .and(header("DD-APPLICATION-KEY", APP_KEY))
        .and(query_param("from", "1772359200"))
        .and(query_param("to", "1772359500"))
        .and(query_param("query", text))
        .respond_with(json(200, fixture!("v1-hosts.json")))
        .expect(1)
        .mount(&server)
        .await;
    for api in BOTH {
        let reply =
            open(&format!("{}/relay", server.uri()), api).fetch(&query("avg:system.cpu.user{env:prod} by {host}"), soon()).await.unwrap();
        let hosts: Vec<_> = reply.series.iter().map(|series| series.labels["host"].as_str()).collect();
        assert_eq!(hosts, ["web-1", "web-2"]);
        assert_eq!(present(&reply.series[0].values), [(0, 1.5), (1, 2.5), (3, 4.5), (4, 5.5)]);
        assert_eq!(present(&reply.series[1].values), [(0, 10.0), (1, 20.0), (2, 30.0)]);
        assert_eq!(reply.warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn recorded_replies_are_laid_on_the_grid() {
    let server = answering(json(200, fixture!("v1-recorded.json"))).await;
    let day = Window { start: 1_641_343_800, end: 1_641_430_500, step_seconds: 300 };
    let asked = Query { text: "system.cpu.idle{*}".to_owned(), window: day, buckets: false };
    let reply = open(&server.uri(), ApiVersion::V1).fetch(&asked, soon()).await.unwrap();
    let values = present(&reply.series[0].values);
    assert_eq!((values.len(), values[0], values[287].0), (288, (1, 91.458_384_047_614_2), 288));
    assert_eq!(reply.warnings, Vec::<String>::new());

    let server = answering(ResponseTemplate::new(200).set_body_raw(fixture!("v2-recorded-sparse.json"), "application/vnd.api+json")).await;
    let hour = Window { start: 1_711_977_600, end: 1_711_981_200, step_seconds: 15 };
    let asked = Query { text: "avg:datadog.estimated_usage.metrics.custom{*}".to_owned(), window: hour, buckets: false };
    let reply = open(&server.uri(), ApiVersion::V2).fetch(&asked, soon()).await.unwrap();
    assert_eq!(present(&reply.series[0].values), [(3, 1.0), (7, 1.0), (175, 87.0)]);
    assert_eq!(reply.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn no_series_is_an_empty_reply() {
    for (api, body) in [(ApiVersion::V2, fixture!("v2-empty.json")), (ApiVersion::V1, fixture!("v1-empty.json"))] {
        assert_eq!(read(api, json(200, body)).await.unwrap(), Reply::default());
    }
}

#[tokio::test]
async fn what_datadog_says_of_a_failure_is_carried() {
    let redirect = ResponseTemplate::new(302).insert_header("location", "https://app.datadoghq.com/account/login?next=secret");
    for (template, reason, parts) in [
        (json(400, fixture!("error-400-v1.json")), "refused", &["unable to parse avg:m{"][..]),
        (json(400, fixture!("error-400-v2.json")), "refused", &["Expected \"timeseries_request\""]),
        (json(413, r#"{"errors":["too long"]}"#), "refused", &["too long"]),
        (json(422, r#"{"errors":["unknown function"]}"#), "refused", &["unknown function"]),
        (json(401, r#"{"errors":["Unauthorized"]}"#), "account", &["api_key", "site", "Unauthorized"]),
        (json(403, fixture!("error-403.json")), "account", &["api_key", "app_key", "site", "timeseries_query", "Forbidden"]),
        (json(404, r#"{"errors":["Not found"]}"#), "account", &["`site` or `url`"]),
        (json(429, fixture!("error-429.json")), "rate_limited", &["Rate limit of 1600"]),
        (json(500, r#"{"errors":["Internal"]}"#), "unreachable", &["500", "Internal"]),
        (json(503, "<html>busy</html>"), "unreachable", &["503", "<html>busy"]),
        (json(504, "<html>busy</html>"), "timeout", &["504", "<html>busy"]),
        (json(408, r#"{"errors":["slow"]}"#), "unreachable", &["slow"]),
        (redirect, "account", &["https://app.datadoghq.com/account/login", "not followed"]),
        (ResponseTemplate::new(200).set_body_raw("<html>Sign in</html>", "text/html"), "unreadable", &["text/html", "<html>Sign in"]),
        (json(200, "{}"), "unreadable", &["it has no"]),
        (json(204, ""), "unreadable", &["204"]),
    ] {
        for api in BOTH {
            let error = read(api, template.clone()).await.unwrap_err();
            let said = error.to_string();
            assert_eq!(error.reason(), reason, "{said}");
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            assert!(!said.contains("secret") && !said.contains(API_KEY) && !said.contains(APP_KEY), "{said}");
        }
    }
}

#[tokio::test]
async fn a_reply_that_is_cut_off_or_a_failure_under_status_200_is_no_data() {
    for (api, body) in [(ApiVersion::V2, fixture!("v2-hosts.json")), (ApiVersion::V1, fixture!("v1-hosts.json"))] {
        let error = read(api, json(200, &body[..body.len() / 2])).await.unwrap_err();
        assert!(matches!(&error, SourceError::Unreadable(said) if said.contains("EOF")), "{error}");
    }
    let error = read(ApiVersion::V1, json(200, fixture!("v1-status-error.json"))).await.unwrap_err();
    assert_eq!(error, SourceError::GaveUp("the query timed out".to_owned()));
}

#[tokio::test]
async fn a_reached_limit_holds_back_the_accounts_next_request() {
    let server = MockServer::start().await;
    let limited = json(200, fixture!("v2-empty.json"))
        .insert_header("x-ratelimit-limit", "100")
        .insert_header("x-ratelimit-period", "3600")
        .insert_header("x-ratelimit-remaining", "0")
        .insert_header("x-ratelimit-reset", "3000")
        .insert_header("x-ratelimit-name", "batch_query");
    Mock::given(method("POST")).respond_with(limited).expect(1).mount(&server).await;
    let store = open(&server.uri(), ApiVersion::V2);
    assert_eq!(store.fetch(&query("a{*}"), soon()).await.unwrap(), Reply::default());
    let error = store.fetch(&query("b{*}"), Instant::now() + Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.reason(), "rate_limited", "{error}");
}

#[tokio::test]
async fn a_429_is_asked_again_when_it_says() {
    let server = MockServer::start().await;
    let limited = json(429, fixture!("error-429.json")).insert_header("retry-after", "1");
    Mock::given(method("POST")).respond_with(limited).up_to_n_times(1).expect(1).mount(&server).await;
    Mock::given(method("POST")).respond_with(json(200, fixture!("v2-empty.json"))).expect(1).mount(&server).await;
    let settings = DatadogSettings { connection: ConnectionSettings::default(), ..settings(&server.uri(), ApiVersion::V2) };
    let store = Datadog::open("main", &settings).unwrap();
    assert_eq!(store.fetch(&query("a{*}"), soon()).await.unwrap(), Reply::default());
    assert_eq!((store.traffic().requests, store.traffic().retries), (2, 1));
}

#[tokio::test]
async fn a_metric_set_is_one_request_whose_answers_are_told_apart() {
    let server = datadog().await;
    let store = open(&server.uri(), ApiVersion::V2);
    let name = |i: usize| if i.is_multiple_of(2) { "risen" } else { "steady" };
    let queries: Vec<Query> = (0..20).map(|i| query(&format!("avg:{}{i}{{arm:canary}}", name(i)))).collect();
    let replies = join_all(queries.iter().map(|query| store.fetch(query, soon()))).await;
    for (i, reply) in replies.into_iter().enumerate() {
        let reply = reply.unwrap();
        assert_eq!(reply.series[0].values, points(if i.is_multiple_of(2) { 160.0 } else { 100.0 }, 6)[..5]);
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_query_that_is_refused_fails_alone() {
    let server = datadog().await;
    let store = open(&server.uri(), ApiVersion::V2);
    let queries = ["avg:steady{*}", "avg:bad{*}", "avg:risen{*}"].map(query);
    let replies = join_all(queries.iter().map(|query| store.fetch(query, soon()))).await;
    let refused: Vec<bool> =
        replies.iter().map(|reply| matches!(reply, Err(SourceError::Syntax(said)) if said.contains("parse"))).collect();
    assert_eq!(refused, [false, true, false]);
    assert!(replies[0].is_ok() && replies[2].is_ok());
    // All of them, both halves, and both of the half that was refused again.
    assert_eq!(server.received_requests().await.unwrap().len(), 1 + 2 + 2);
}

/// A Datadog whose v2 reports an error beside the data wherever `slow` is asked for, and whose v1 does so always.
async fn partial() -> MockServer {
    let server = MockServer::start().await;
    let both = |request: &wiremock::Request| {
        let asked = AskedFor::of(request);
        let failed = json!({ "data": { "attributes": { "series": [], "times": [], "values": [] } }, "errors": "the query timed out" });
        let (times, values) = ([1000 * TEN, 1000 * (TEN + 60)], [[1, 2]]);
        let whole = json!({ "data": { "attributes": { "series": [{ "query_index": 0 }], "times": times, "values": values } } });
        let half = json!({ "data": whole["data"], "errors": ["a shard did not answer"] });
        match asked.texts.as_slice() {
            [one] if one.contains("slow") => ResponseTemplate::new(200).set_body_json(failed),
            [one] if one.contains("half") => ResponseTemplate::new(200).set_body_json(half),
            [one] if one.contains("fine") => ResponseTemplate::new(200).set_body_json(whole),
            [_] => json(200, fixture!("v2-empty.json")),
            _ => json(200, fixture!("v2-partial.json")),
        }
    };
    Mock::given(method("POST")).respond_with(both).mount(&server).await;
    let v1 = json!({ "status": "ok", "series": [{ "pointlist": [[1000 * TEN, 1]] }], "error": "a shard did not answer" });
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(v1)).mount(&server).await;
    server
}

#[tokio::test]
async fn an_error_beside_data_costs_the_query_whose_it_is_and_no_other() {
    let server = partial().await;
    let store = open(&server.uri(), ApiVersion::V2);
    let queries = ["avg:fine{*}", "avg:slow{*}", "avg:empty{*}", "avg:half{*}"].map(query);
    let replies = join_all(queries.iter().map(|query| store.fetch(query, soon()))).await;
    assert_eq!(replies[0].as_ref().unwrap().series[0].values[..2], [1.0, 2.0]);
    assert_eq!(replies[1], Err(SourceError::GaveUp("the query timed out".to_owned())));
    assert_eq!(replies[2], Ok(Reply::default()), "asked alone, it is only empty");
    let v1 = open(&server.uri(), ApiVersion::V1).fetch(&query("avg:half{*}"), soon()).await;
    for half in [&replies[3], &v1] {
        let Err(error @ SourceError::Partial(said)) = half else { panic!("{half:?}") };
        assert_eq!(error.reason(), "partial");
        assert!(said.contains("a shard did not answer") && said.contains("accept_partial: true"), "{said}");
    }
}

#[tokio::test]
async fn where_partial_replies_are_accepted_an_error_beside_data_is_a_warning() {
    let server = partial().await;
    let open = |api| Datadog::open("main", &DatadogSettings { accept_partial: true, ..settings(&server.uri(), api) }).unwrap();
    let warned = "the store reports an error beside the data: a shard did not answer";
    assert_eq!(open(ApiVersion::V1).fetch(&query("avg:half{*}"), soon()).await.unwrap().warnings, [warned]);
    let store = open(ApiVersion::V2);
    let queries = ["avg:fine{*}", "avg:slow{*}", "avg:empty{*}"].map(query);
    let replies = join_all(queries.iter().map(|query| store.fetch(query, soon()))).await;
    let fine = replies[0].as_ref().unwrap();
    assert_eq!(fine.series[0].values, [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(fine.warnings, ["the store reports an error beside the data: haldane_2: the query timed out"]);
    assert_eq!(replies[1], Err(SourceError::GaveUp("the query timed out".to_owned())));
    assert_eq!(replies[2], Ok(Reply::default()), "asked alone, it is only empty");
}

#[tokio::test]
async fn arithmetic_is_a_formula_over_its_queries() {
    let server = datadog().await;
    let store = open(&server.uri(), ApiVersion::V2);
    let text = "default_zero(sum:risen{arm:canary}.as_count()) / sum:steady{arm:canary}.as_count()";
    let reply = store.fetch(&query(text), soon()).await.unwrap();
    assert_eq!(reply.series[0].values, points(1.6, 6)[..5]);
    let body: Value = serde_json::from_slice(&server.received_requests().await.unwrap()[0].body).unwrap();
    let attributes = &body["data"]["attributes"];
    assert_eq!(attributes["formulas"], json!([{ "formula": "default_zero(haldane_1) / haldane_2" }]));
    assert_eq!(
        attributes["queries"],
        json!([
            { "data_source": "metrics", "name": "haldane_1", "query": "sum:risen{arm:canary}.as_count().rollup(sum, 60)" },
            { "data_source": "metrics", "name": "haldane_2", "query": "sum:steady{arm:canary}.as_count().rollup(sum, 60)" }
        ])
    );
}

#[tokio::test]
async fn a_long_window_is_asked_for_in_parts_of_which_each_point_is_taken_once() {
    let day = Window { start: TEN, end: TEN + 60 * 3000, step_seconds: 60 };
    for api in BOTH {
        let server = MockServer::start().await;
        // A point's value is its time; the interval that begins with the end is not complete, and says so by -1.
        let by_time = |request: &wiremock::Request| {
            let asked = AskedFor::of(request);
            let value = |time: i64| if time == asked.to { -1 } else { time };
            let milliseconds: Vec<i64> = asked.times().iter().map(|time| time * 1000).collect();
            assert!(milliseconds.len() <= 1500, "Datadog would make these coarser");
            let list: Vec<Value> = asked.times().iter().map(|time| json!([time * 1000, value(*time)])).collect();
            let values: Vec<i64> = asked.times().into_iter().map(value).collect();
            ResponseTemplate::new(200).set_body_json(json!({
                "status": "ok", "series": [{ "pointlist": list, "interval": 60 }],
                "data": { "attributes": { "series": [{ "query_index": 0 }], "times": milliseconds, "values": [values] } }
            }))
        };
        Mock::given(wiremock::matchers::any()).respond_with(by_time).mount(&server).await;
        let store = open(&server.uri(), api);
        let reply = store.fetch(&Query { text: "avg:m{*}".to_owned(), window: day, buckets: false }, soon()).await.unwrap();
        assert_eq!(server.received_requests().await.unwrap().len(), 3);
        let expected: Vec<f64> = (0..3000).map(|i| (TEN + 60 * i) as f64).collect();
        assert_eq!(reply.series[0].values, expected);
        assert_eq!(reply.warnings, Vec::<String>::new());
        let whole = store.fetch(&Query { text: "cumsum(avg:m{*})".to_owned(), window: day, buckets: false }, soon()).await.unwrap_err();
        assert!(whole.to_string().contains("whole range") && whole.may_be_of_length(), "{whole}");
        let longer = Window { end: TEN + 60 * 20_000, ..day };
        let long = store.fetch(&Query { text: "avg:m{*}".to_owned(), window: longer, buckets: false }, soon()).await.unwrap_err();
        assert!(long.to_string().contains("20000 points") && long.may_be_of_length(), "{long}");
        assert_eq!(server.received_requests().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_coarser_reply_is_never_laid_out_silently() {
    let hour = Window { start: TEN, end: TEN + 3600, step_seconds: 60 };
    for api in BOTH {
        let server = MockServer::start().await;
        let coarse = |request: &wiremock::Request| {
            let times = AskedFor { interval: 300, ..AskedFor::of(request) }.times();
            let milliseconds: Vec<i64> = times.iter().map(|time| time * 1000).collect();
            let list: Vec<Value> = milliseconds.iter().map(|time| json!([time, 7])).collect();
            ResponseTemplate::new(200).set_body_json(json!({
                "status": "ok", "series": [{ "pointlist": list, "interval": 300 }],
                "data": { "attributes": { "series": [{ "query_index": 0 }], "times": milliseconds, "values": [vec![7; times.len()]] } }
            }))
        };
        Mock::given(wiremock::matchers::any()).respond_with(coarse).mount(&server).await;
        let store = open(&server.uri(), api);
        for (text, why) in [("avg:m{*}", "as the store made them"), ("avg:m{*}.rollup(avg, 300)", "as the query asks")] {
            let reply = store.fetch(&Query { text: text.to_owned(), window: hour, buckets: false }, soon()).await.unwrap();
            let expected: Vec<(usize, f64)> = (0..12).map(|i| (5 * i + 4, 7.0)).collect();
            assert_eq!(present(&reply.series[0].values), expected);
            assert_eq!(reply.warnings, [format!("its points are 300 s apart, {why}, where the step is 60 s")]);
        }
    }
}

#[tokio::test]
async fn a_caller_does_not_wait_beyond_its_deadline_for_others() {
    let server = answering(json(200, fixture!("v2-empty.json")).set_delay(Duration::from_secs(120))).await;
    let store = open(&server.uri(), ApiVersion::V2);
    let (short, long) = (query("a{*}"), query("b{*}"));
    let mut long = Box::pin(store.fetch(&long, soon()));
    assert!(futures::poll!(long.as_mut()).is_pending());
    let error = store.fetch(&short, Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.reason(), "timeout", "{error}");
    assert!(futures::poll!(long.as_mut()).is_pending());
}

#[tokio::test]
async fn the_names_of_metrics_are_read_page_by_page() {
    let server = MockServer::start().await;
    let page = |body: &str| json(200, body);
    let cursor =
        |body: &str| serde_json::from_str::<Value>(body).unwrap()["meta"]["pagination"]["next_cursor"].as_str().unwrap().to_owned();
    let names = || Mock::given(method("GET")).and(path("/api/v2/metrics")).and(query_param("page[size]", "10000"));
    names()
        .and(query_param_is_missing("page[cursor]"))
        .respond_with(page(fixture!("v2-metrics-page-1.json")))
        .expect(1)
        .mount(&server)
        .await;
    for (before, body) in [
        (fixture!("v2-metrics-page-1.json"), fixture!("v2-metrics-page-2.json")),
        (fixture!("v2-metrics-page-2.json"), fixture!("v2-metrics-page-3.json")),
    ] {
        names().and(query_param("page[cursor]", cursor(before))).respond_with(page(body)).expect(1).mount(&server).await;
    }
    let names = open(&server.uri(), ApiVersion::V2).metric_names(soon()).await.unwrap();
    assert_eq!(
        names,
        [
            "datadog.event.tracking.indexation.audit.events",
            "datadog.estimated_usage.events.ingested_events",
            "datadog.estimated_usage.synthetics.api_test_runs"
        ]
    );
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/api/v1/metrics")).respond_with(page(fixture!("v1-metrics.json"))).mount(&server).await;
    let names = open(&server.uri(), ApiVersion::V1).metric_names(soon()).await.unwrap();
    assert_eq!(names, ["system.cpu.user", "trace.http.request.hits"]);
}

#[tokio::test]
async fn pages_that_never_end_are_read_so_often_and_no_more() {
    let server = MockServer::start().await;
    let endless = |request: &wiremock::Request| {
        let next =
            request.url.query_pairs().find(|(key, _)| key == "page[cursor]").map_or(0, |(_, value)| value.parse::<u32>().unwrap()) + 1;
        ResponseTemplate::new(200)
            .set_body_json(json!({ "data": [{ "id": format!("m{next}") }], "meta": { "pagination": { "next_cursor": next.to_string() } } }))
    };
    Mock::given(method("GET")).respond_with(endless).mount(&server).await;
    assert_eq!(open(&server.uri(), ApiVersion::V2).metric_names(soon()).await.unwrap().len(), 20);
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_keys_show_nowhere() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = answering(json(403, fixture!("error-403.json"))).await;
    for api in BOTH {
        let store = open(&server.uri(), api);
        let error = store.fetch(&query("avg:m{*}"), soon()).await.unwrap_err();
        let shown =
            format!("{error} {error:?} {store:?} {:?} {}", settings(&server.uri(), api), String::from_utf8_lossy(&log.0.lock().unwrap()));
        assert!(shown.contains("upstream") && !shown.contains(API_KEY) && !shown.contains(APP_KEY), "{shown}");
    }
}

#[test]
fn settings_are_read_strictly_and_a_site_that_is_none_is_refused_with_the_nearest() {
    let read = |more: Value| {
        let mut document =
            json!({ "kind": "datadog", "api_key": { "file": keys().join("api") }, "app_key": { "file": keys().join("app") } });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<SourceSettings>(document).map_err(|error| error.to_string())
    };
    let open = |more: Value| read(more).and_then(|settings| MetricStore::open("main", &settings).map_err(|error| error.to_string()));
    for site in ["datadoghq.com", "datadoghq.eu", "us3.datadoghq.com", "us5.datadoghq.com", "ap1.datadoghq.com", "ddog-gov.com"] {
        assert_eq!(open(json!({ "site": site })).unwrap().kind(), "datadog");
    }
    assert!(open(json!({})).is_ok());
    for (site, hint) in [
        ("app.datadoghq.com", "did you mean `datadoghq.com`?"),
        ("https://app.datadoghq.eu/dashboard/abc", "did you mean `datadoghq.eu`?"),
        ("https://us5.datadoghq.com", "did you mean `us5.datadoghq.com`?"),
        ("api.ap1.datadoghq.com", "did you mean `ap1.datadoghq.com`?"),
        ("datadog.com", "did you mean `datadoghq.com`?"),
        ("example.org", "for a relay give its `url`"),
    ] {
        let error = open(json!({ "site": site })).unwrap_err();
        assert!(error.contains("`main`: site: ") && error.contains(hint) && error.contains("`us2.ddog-gov.com`"), "{error}");
    }
    let error = open(json!({ "site": "datadoghq.eu", "url": "http://relay" })).unwrap_err();
    assert!(error.contains("keep one of them"), "{error}");
    let error = open(json!({ "app_key": { "env": "HALDANE_NO_SUCH_VARIABLE" } })).unwrap_err();
    assert!(error.contains("app_key") && error.contains("HALDANE_NO_SUCH_VARIABLE") && !error.contains("headers"), "{error}");
    for unknown in [json!({ "sites": "x" }), json!({ "api": "v3" }), json!({ "api_key": "hunter2" })] {
        assert!(read(unknown).is_err());
    }
    let settings: DatadogSettings = settings("http://host", ApiVersion::V2);
    let settled = DatadogSettings { settle: Some(Period::from_seconds(90)), ..settings };
    assert_eq!(Datadog::open("main", &settled).unwrap().settle(), Duration::from_secs(90));
}

/// A service whose only account is a played Datadog's.
async fn service(datadog: &MockServer) -> Service {
    let source = json!({
        "kind": "datadog", "url": datadog.uri(), "api_key": { "file": keys().join("api") }, "app_key": { "file": keys().join("app") }
    });
    Service::with_source("dd", source).await
}

#[tokio::test]
async fn a_judgement_over_datadog_is_a_request_and_one_for_each_earlier_day_and_says_what_was_asked() {
    let datadog = datadog().await;
    let service = service(&datadog).await;
    let metric = |name: &str| json!({ "name": name, "direction": "increase", "queries": { "datadog": format!("avg:{name}{{arm:${{scope}}}}.fill(null)") } });
    let body = json!({
        "config": { "name": "c", "metrics": [metric("alike"), metric("risen")] },
        "released_at": "2026-03-01T10:00:00Z",
        "baseline": { "scope": "baseline" }, "canary": { "scope": "canary" },
        "window": { "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T11:00:00Z", "step": "60s" }
    });
    let card = success(service.post("/v1/judgements", &body).await, 200).await;
    let found: Vec<_> = card["metrics"].as_array().unwrap().iter().map(|metric| (&metric["name"], &metric["status"])).collect();
    assert_eq!(card["verdict"], "fail", "{card}");
    assert_eq!(found, [(&json!("alike"), &json!("pass")), (&json!("risen"), &json!("regressed"))], "{card}");
    let text = card.to_string();
    assert!(text.contains("avg:alike{arm:canary}.fill(null).rollup(avg, 60)"), "{text}");
    assert!(!text.contains(API_KEY) && !text.contains(APP_KEY));
    // Both arms of both metrics over the window and its past, and then over the same clock of yesterday and of a week ago.
    let requests = datadog.received_requests().await.unwrap();
    let mut asked: Vec<(i64, usize)> = requests.iter().map(AskedFor::of).map(|asked| (asked.to, asked.texts.len())).collect();
    asked.sort_unstable();
    let day = |days: i64| (TEN + 3600 - days * 86_400, 4);
    assert_eq!(asked, [day(7), day(1), day(0)]);
}

/// Its API gives no buckets, so that nothing is asked for, and what can be had is named; other metrics are judged.
#[tokio::test]
async fn a_distribution_cannot_be_had_from_datadog_and_the_error_says_what_can() {
    let datadog = datadog().await;
    let service = service(&datadog).await;
    let metric = |name: &str, kind: &str| json!({ "name": name, "kind": kind, "direction": "increase", "queries": { "datadog": format!("avg:{name}{{arm:${{scope}}}}.fill(null)") } });
    let body = json!({
        "config": { "name": "c", "metrics": [metric("alike", "value"), metric("risen", "distribution")] },
        "baseline": { "scope": "baseline" }, "canary": { "scope": "canary" },
        "window": { "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T11:00:00Z", "step": "60s" }
    });
    let card = success(service.post("/v1/judgements", &body).await, 200).await;
    let found: Vec<_> = card["metrics"].as_array().unwrap().iter().map(|metric| metric["status"].as_str().unwrap()).collect();
    assert_eq!(found, ["pass", "error"], "{card}");
    let sentence = card["metrics"][1]["sentence"].as_str().unwrap();
    for part in ["gives no buckets of a distribution metric", "`kind: ratio`", "count(v: v > 0.25)", ".as_count()"] {
        assert!(sentence.contains(part), "{sentence}");
    }
    let asked: Vec<String> = datadog.received_requests().await.unwrap().iter().flat_map(|request| AskedFor::of(request).texts).collect();
    assert!(!asked.is_empty() && asked.iter().all(|text| text.contains("alike")), "{asked:?}");
}

#[tokio::test]
async fn kayentas_canary_and_fetch_ask_datadog() {
    let datadog = datadog().await;
    let service = service(&datadog).await;
    let metric = |name: &str| {
        json!({
            "name": name, "scopeName": "default", "groups": [name],
            "query": { "type": "datadog", "serviceType": "datadog", "metricName": format!("avg:{name}") },
            "analysisConfigurations": { "canary": { "direction": "increase" } }
        })
    };
    let body = super::kayenta::service::ad_hoc(
        super::kayenta::service::config(super::kayenta::service::KAYENTAS, &[metric("steady"), metric("risen")]),
        super::kayenta::service::execution(75, 50),
    );
    let status = service.ended("?metricsAccountName=dd", &body).await;
    assert_eq!(status["status"], "succeeded", "{status}");
    assert_eq!(status["result"]["judgeResult"]["score"]["score"], 50.0, "{status}");
    let requests = datadog.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    let asked = AskedFor::of(&requests[0]);
    assert_eq!((asked.from, asked.to, asked.interval), (TEN, TEN + 3600, 60));
    assert!(asked.texts.contains(&"avg:risen{pay-canary}.rollup(avg, 60)".to_owned()), "{:?}", asked.texts);

    let fetch = "/fetch/datadog/query?metricSetName=m&metricName=avg:risen&scope=arm:canary&start=2026-03-01T10:00:00Z&end=2026-03-01T11:00:00Z&step=60";
    let list = success(service.request(Method::POST, fetch).send().await.unwrap(), 200).await;
    let sets = service.found(&format!("/metricSetList/{}", list["metricSetListId"].as_str().unwrap())).await;
    let values: Vec<f64> = sets[0]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(values, points(160.0, 61)[..60]);
}
