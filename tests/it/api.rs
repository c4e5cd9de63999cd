//! The REST edge: the real router over a socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Once;
use std::time::Duration;

use haldane::analysis::BucketSamples;
use haldane::cli::serve::{assemble, bind_and_serve};
use haldane::settings::{BodyLimits, Settings};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_with_delay(settings, Duration::ZERO).await
    }

    async fn start_with_delay(settings: Settings, delay: Duration) -> Self {
        static PROVIDER: Once = Once::new();
        // The client wants one although nothing here speaks TLS.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (state, router) = assemble(settings).unwrap();
        let task = tokio::spawn(bind_and_serve(listener, state, router, async move { drop(stopped.await) }, delay));
        Self { address, client: Client::builder().no_proxy().build().unwrap(), stop: Some(stop), task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn judge(&self, query: &str, body: &Value) -> Response {
        self.client.post(self.url(&format!("/v1/judgements{query}"))).json(body).send().await.unwrap()
    }

    async fn judge_async(&self, body: &Value) -> Response {
        let request = self.client.post(self.url("/v1/judgements")).header("Prefer", "respond-async");
        request.json(body).send().await.unwrap()
    }

    async fn post_bytes(&self, body: Vec<u8>) -> Response {
        let request = self.client.post(self.url("/v1/judgements")).header("Content-Type", "application/json");
        request.body(body).send().await.unwrap()
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn server() -> Server {
    Server::start(Settings::default()).await
}

/// Noise of a fixed pattern around a level, without two equal neighbours.
fn points(level: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| level * (1.0 + 0.03 * ((i * 7919 % 101) as f64 / 101.0 - 0.5))).collect()
}

/// The same points in another order: no two arms are one series.
fn turned(mut points: Vec<f64>) -> Vec<f64> {
    points.rotate_left(7);
    points
}

pub(crate) fn inline(baseline: f64, canary: f64) -> Value {
    json!({
        "config": { "name": "latency-only", "metrics": [{ "name": "p95", "unit": "ms", "direction": "increase" }] },
        "window": { "step": "60s" },
        "samples": { "p95": { "baseline": points(baseline, 60), "canary": turned(points(canary, 60)) } }
    })
}

/// Reads a problem and checks what every problem has.
pub(crate) async fn problem(response: Response, status: u16) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{response:?}");
    assert!(response.headers().contains_key("x-request-id"));
    let code = response.status();
    let problem: Value = response.json().await.unwrap();
    assert_eq!((code.as_u16(), problem["status"].as_u64()), (status, Some(u64::from(status))), "{problem}");
    assert!(problem["type"].as_str().unwrap().starts_with("urn:haldane:problem:"), "{problem}");
    assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    problem
}

pub(crate) fn settings_with(prometheus: &str) -> Settings {
    let source = serde_json::from_value(json!({ "kind": "prometheus", "url": prometheus })).unwrap();
    Settings { sources: [("prometheus".to_owned(), source)].into(), ..Settings::default() }
}

/// A Prometheus that answers every range query with the same series, after a while.
pub(crate) async fn prometheus(delay: Duration) -> MockServer {
    let store = MockServer::start().await;
    let reply = |request: &wiremock::Request| {
        let field = |name: &str| {
            let form: Vec<(String, String)> = reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&request.body)))
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect();
            form.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.trim_end_matches('s').parse::<f64>().unwrap()).unwrap()
        };
        let (start, end, step) = (field("start"), field("end"), field("step"));
        let n = ((end - start) / step) as usize + 1;
        let canary = String::from_utf8_lossy(&request.body).contains("%22b%22") && n > 7;
        let points = if canary { turned(points(100.0, n)) } else { points(100.0, n) };
        let values: Vec<Value> = points.into_iter().enumerate().map(|(i, v)| json!([start + step * i as f64, v.to_string()])).collect();
        json!({ "status": "success", "data": { "resultType": "matrix", "result": [{ "metric": {}, "values": values }] } })
    };
    let respond = move |request: &wiremock::Request| ResponseTemplate::new(200).set_body_json(reply(request)).set_delay(delay);
    Mock::given(path_regex(".*query_range$")).respond_with(respond).mount(&store).await;
    store
}

pub(crate) fn fetched() -> Value {
    json!({
        "config": { "name": "latency-only", "metrics": [{ "name": "p95", "direction": "increase", "queries": { "prometheus": "p95{app=\"${scope}\"}" } }] },
        "baseline": { "scope": "a" },
        "canary": { "scope": "b" },
        "window": { "duration": "1h", "step": "60s" }
    })
}

#[tokio::test]
async fn every_verdict_is_answered_with_200_and_only_verbose_has_the_series() {
    let server = server().await;
    for (baseline, canary, verdict) in [(100.0, 160.0, "fail"), (100.0, 100.0, "pass")] {
        let response = server.judge("", &inline(baseline, canary)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let card: Value = response.json().await.unwrap();
        assert_eq!(card["verdict"], verdict, "{card}");
        assert_eq!(card["metrics"][0]["name"], "p95");
        assert!(card.get("id").is_none(), "inline samples have no id");
        assert!(card["data"]["metrics"][0].get("samples").is_none());
    }
    for query in ["?verbose", "?verbose=true&wait=5"] {
        let card: Value = server.judge(query, &inline(100.0, 160.0)).await.json().await.unwrap();
        let canary = card["data"]["metrics"][0]["samples"]["canary"]["values"].as_array().unwrap();
        assert_eq!(canary.len(), 60);
    }
}

#[tokio::test]
async fn a_look_of_a_plan_holds_passes_at_its_end_and_names_the_next_step() {
    let server = server().await;
    let judged = async |more: Value, canary: f64| {
        let mut body = inline(100.0, canary);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.judge("", &body).await.json::<Value>().await.unwrap()
    };
    let card = judged(json!({ "looks": { "look": 3, "looks": 12 } }), 100.0).await;
    assert_eq!((&card["verdict"], &card["reasons"][0]["reason"]), (&json!("marginal"), &json!("on_track")), "{card}");
    assert_eq!((&card["looks"]["look"], &card["recommendation"]["action"]), (&json!(3), &json!("hold")));
    let card = judged(json!({ "looks": { "look": 12, "looks": 12 }, "canary_share": 0.05, "ramp": [0.05, 0.25, 1] }), 100.0).await;
    assert_eq!((&card["verdict"], &card["recommendation"]["next_share"]), (&json!("pass"), &json!(0.25)), "{card}");
    assert_eq!(judged(json!({ "looks": { "look": 3, "looks": 12 }, "early_pass": true }), 100.0).await["verdict"], "pass");
    assert_eq!(judged(json!({ "looks": { "look": 6, "looks": 12 } }), 160.0).await["verdict"], "fail");
    let card = judged(json!({ "mode": "advisory" }), 160.0).await;
    assert_eq!((&card["verdict"], &card["would_be"], &card["advisory"]), (&json!("pass"), &json!("fail"), &json!(true)), "{card}");
}

#[tokio::test]
async fn a_planned_end_makes_each_judgement_a_look_and_says_when_the_plan_ends() {
    let store = prometheus(Duration::ZERO).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let now = jiff::Timestamp::now();
    let after = |minutes: i64| (now + jiff::SignedDuration::from_mins(minutes)).to_string();
    let judged = async |planned: i64| {
        let mut body = fetched();
        body["window"] = json!({ "start": after(-60), "step": "60s" });
        body["planned_end"] = json!(after(planned));
        server.judge("", &body).await.json::<Value>().await.unwrap()
    };
    let card = judged(60).await;
    assert_eq!((&card["verdict"], &card["looks"]["looks"]), (&json!("marginal"), &json!(24)), "{card}");
    assert!(card["recommendation"]["sentence"].as_str().unwrap().contains("; the plan ends "), "{card}");
    let card = judged(-1).await;
    assert_eq!((&card["verdict"], &card["looks"]["look"]), (&json!("pass"), &card["looks"]["looks"]), "{card}");
}

#[tokio::test]
async fn inline_buckets_are_judged_by_their_requests_and_come_back_as_they_were_sent() {
    let server = server().await;
    // Other intervals in each arm.
    let arm_from = |from: u32, slow: u32| {
        let row = |i: u32| json!([150 + i % 7, 250 + i % 5, 80, slow + i % 3, 2]);
        let rows: Vec<Value> = (from..from + 30).map(|i| if i == 4 { Value::Null } else { row(i) }).collect();
        json!({ "bounds": [0.05, 0.1, 0.25, 0.5], "counts": rows })
    };
    let arm = |slow: u32| arm_from(0, slow);
    let body = |slow: u32| {
        json!({
            "config": { "name": "c", "metrics": [{ "name": "latency", "kind": "distribution", "unit": "s", "direction": "increase" }] },
            "samples": { "latency": {
                "baseline": arm_from(3, 20), "canary": arm(slow), "baseline_history": arm_from(5, 20), "canary_history": arm_from(8, 20)
            } }
        })
    };
    for (slow, verdict) in [(20, "pass"), (120, "fail")] {
        let card: Value = server.judge("?verbose", &body(slow)).await.json().await.unwrap();
        assert_eq!(card["verdict"], verdict, "{}", card["metrics"][0]["sentence"]);
        let samples = &card["data"]["metrics"][0]["samples"];
        // A count of 150 comes back as 150.0.
        let numbers = |samples: &Value| serde_json::from_value::<BucketSamples>(samples.clone()).unwrap();
        assert_eq!(numbers(&samples["canary"]["buckets"]), numbers(&arm(slow)));
    }
    for (arm, pointer, said) in [
        (json!({ "bounds": [1, 1], "counts": [] }), "bounds/1", "does not rise"),
        (json!({ "bounds": [], "counts": [] }), "bounds", "0 bounds; give 1 to 1000"),
        (json!({ "bounds": [1], "counts": [[1, 2], [1]] }), "counts/1", "row 1 has 1 counts where 2 are needed"),
        (json!({ "bounds": [1], "counts": [[1, -2]] }), "counts/0/1", "-2 is no number of requests"),
        (json!({ "bounds": [1], "counts": [[1, "NaN"]] }), "counts/0/1", "\"NaN\" is not a finite number"),
        (json!({ "bounds": ["+Inf"], "counts": [] }), "bounds/0", "is not a finite number"),
        (json!({ "bounds": [1], "counts": [3] }), "counts/0", "is not an array of counts"),
        (json!({ "bounds": [1] }), "", "give those"),
        (json!({ "bounds": [1], "counts": [], "spacing": "log" }), "spacing", "neither `linear` nor `exponential`"),
        (json!({ "bounds": [1], "counts": vec![Value::Null; 300_000] }), "counts", "at most"),
    ] {
        let mut body = body(20);
        body["samples"]["latency"]["canary"] = arm;
        let refused = server.judge("", &body).await;
        assert_eq!(refused.status(), 422);
        let refused: Value = refused.json().await.unwrap();
        let expected = format!("/samples/latency/canary/{pointer}");
        assert_eq!(refused["pointer"], expected.trim_end_matches('/'), "{refused}");
        assert!(refused["detail"].as_str().unwrap().contains(said), "{refused}");
    }
}

#[tokio::test]
async fn the_same_samples_give_the_same_bytes() {
    let server = server().await;
    let mut cards = Vec::new();
    for _ in 0..2 {
        let text = server.judge("", &inline(100.0, 110.0)).await.text().await.unwrap();
        let card: Value = serde_json::from_str(&text).unwrap();
        cards.push(text.replace(card["judged_at"].as_str().unwrap(), ""));
    }
    assert_eq!(cards[0], cards[1]);
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_at_its_field_with_a_remedy() {
    let server = server().await;
    let with = |pointer: &str, value: Value| {
        let mut body = inline(100.0, 100.0);
        body[pointer] = value;
        body
    };
    let metrics = |n: usize| (0..n).map(|i| json!({ "name": format!("m{i}") })).collect::<Vec<_>>();
    for (body, pointer, part) in [
        (with("config", json!("no-such-config-at-all")), "/config", "unknown config"),
        (with("judge", json!("haldane-v2")), "/judge", "unknown judge `haldane-v2`"),
        (with("cannary", json!({})), "/cannary", "did you mean `canary`?"),
        (with("window", json!({ "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z" })), "/window/end", "before or when"),
        (with("window", json!({ "start": "2026-01-02T00:00:00Z", "end": "2996-01-01T00:00:00Z" })), "/window/end", "future"),
        (with("window", json!({ "duration": "1h", "step": "0s" })), "/window/step", "at least `1s`"),
        (with("window", json!({ "duration": "365d", "step": "1s" })), "/window/step", "fits"),
        (with("config", json!({ "name": "c", "metrics": metrics(10_001) })), "/config/metrics", "10001"),
        (with("config", json!({ "name": "c", "metrics": [{ "name": "p95" }, { "name": "p95" }] })), "/config/metrics/1/name", "unique"),
        (with("samples", json!({ "p59": { "baseline": [], "canary": [] } })), "/samples/p59", "`p95`"),
        (json!({ "config": inline(1.0, 1.0)["config"], "window": { "duration": "1h" } }), "/source", "none is configured"),
        (with("source", json!(7)), "/source", "string"),
        (with("looks", json!({ "look": 13, "looks": 12 })), "/looks/look", "no look of a plan of 12"),
        (with("looks", json!({ "look": 1, "looks": 1000 })), "/looks/looks", "1 to 100"),
        (with("ramp", json!([0.5, 0.25])), "/ramp/1", "does not rise"),
        (with("early_pass", json!(true)), "/early_pass", "belongs to a plan"),
        (with("mode", json!("silent")), "/mode", "advisory"),
        (json!("text"), "", "JSON object"),
    ] {
        let problem = problem(server.judge("", &body).await, 422).await;
        assert_eq!(problem["pointer"], pointer, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    let both = json!({ "name": "C", "metrics": [{ "name": "p95", "min_points": 1 }] });
    let problem = problem(server.judge("", &with("config", both)).await, 422).await;
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let server = server().await;
    for (body, part) in [
        (&b"{\"config\": \xff}"[..], "line 1 column 12"),
        (b"{\"config\": \"\xc3\x28\"}", "line 1"),
        (b"{\"config\"", "line 1 column 9"),
        (b"{\"canary_share\": 1e999}", "out of range"),
        (b"{\"config\": \"a\", \"config\": \"b\"}", "twice"),
    ] {
        let problem = problem(server.post_bytes(body.to_vec()).await, 400).await;
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    let form = server.client.post(server.url("/v1/judgements")).header("Content-Type", "application/x-www-form-urlencoded").body("{}");
    let problem = problem(form.send().await.unwrap(), 415).await;
    assert!(problem["detail"].as_str().unwrap().contains("Content-Type: application/json"), "{problem}");
}

#[tokio::test]
async fn a_byte_order_mark_before_a_body_is_passed_over() {
    let server = server().await;
    let body = ["\u{feff}".as_bytes(), inline(100.0, 100.0).to_string().as_bytes()].concat();
    assert_eq!(server.post_bytes(body).await.status().as_u16(), 200);
}

#[tokio::test]
async fn a_body_of_fifty_megabytes_is_refused_with_and_without_its_length() {
    let server = server().await;
    let body = vec![b' '; 50 << 20];
    problem(server.post_bytes(body.clone()).await, 413).await;
    let chunks = futures::stream::iter(body.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>());
    let streamed = server.client.post(server.url("/v1/judgements")).header("Content-Type", "application/json");
    problem(streamed.body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap(), 413).await;
}

#[tokio::test]
async fn samples_beyond_the_limits_are_refused() {
    let bodies = BodyLimits { max_inline_points: 100, ..BodyLimits::default() };
    let server = Server::start(Settings { bodies, ..Settings::default() }).await;
    let refused = problem(server.judge("", &inline(1.0, 1.0)).await, 422).await;
    assert_eq!(refused["pointer"], "/samples");
    let zeros = json!({ "config": "x", "samples": { "m": { "baseline": vec![0; 300_000], "canary": [] } } });
    problem(server.judge("", &zeros).await, 413).await;
}

#[tokio::test]
async fn numbers_at_the_edge_of_what_there_is_are_judged_without_a_panic() {
    let server = server().await;
    for canary in [
        json!([]),
        json!([1]),
        json!([null, "NaN", "Infinity", "-Infinity"]),
        json!([1e308, -1e308, 1e308, 5e-324, 0.0]),
        json!(vec![1e308; 60]),
        json!({ "instances": {} }),
        json!({ "events": [1], "totals": [2] }),
    ] {
        let mut body = inline(100.0, 100.0);
        body["samples"]["p95"]["canary"] = canary.clone();
        let response = server.judge("?verbose", &body).await;
        assert_eq!(response.status(), 200, "{canary}: {}", response.text().await.unwrap());
        let card: Value = response.json().await.unwrap();
        assert_ne!(card["verdict"], "pass", "{canary}: {card}");
    }
}

#[tokio::test]
async fn query_parameters_that_do_not_exist_are_refused() {
    let server = server().await;
    for query in ["?wait=0", "?wait=601", "?wait=soon", "?verbsoe"] {
        problem(server.judge(query, &inline(1.0, 1.0)).await, 400).await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let server = server().await;
    problem(server.get("/v1/nothing").await, 404).await;
    problem(server.get("/v1/configs/nothing").await, 404).await;
    problem(server.get("/v1/configs/%ff").await, 404).await;
    let response = server.client.delete(server.url("/v1/configs")).send().await.unwrap();
    assert!(response.headers()["allow"].to_str().unwrap().contains("GET"), "{response:?}");
    problem(response, 405).await;
    problem(server.client.request("BREW".parse().unwrap(), server.url("/v1/judgements")).send().await.unwrap(), 405).await;
}

#[tokio::test]
async fn a_judgement_is_answered_later_where_asked() {
    let store = prometheus(Duration::from_millis(300)).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let response = server.judge_async(&fetched()).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.headers()["preference-applied"], "respond-async");
    assert_eq!(response.headers()["retry-after"], "2");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], "running");
    assert_eq!(location, format!("/v1/judgements/{}", body["id"].as_str().unwrap()));

    let early = server.get(&location).await;
    assert_eq!(early.status(), StatusCode::ACCEPTED);
    assert_eq!(early.json::<Value>().await.unwrap(), body);
    let card: Value = server.get(&format!("{location}?wait=60")).await.json().await.unwrap();
    assert_eq!((&card["id"], card.get("rerun")), (&body["id"], None), "{card}");
    assert!(card["data"]["metrics"][0].get("samples").is_none());
    let again: Value = server.get(&format!("{location}?verbose")).await.json().await.unwrap();
    assert_eq!(again["judged_at"], card["judged_at"]);
    assert!(again["data"]["metrics"][0]["samples"].is_object());
    // Baseline and canary, once each: nobody asked the store again.
    assert_eq!(store.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_scorecard_that_was_waited_for_is_remembered_under_its_id() {
    let store = prometheus(Duration::ZERO).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let card: Value = server.judge("", &fetched()).await.json().await.unwrap();
    let id = card["id"].as_str().unwrap();
    assert!(id.len() < 1000, "{}", id.len());
    let again: Value = server.get(&format!("/v1/judgements/{id}")).await.json().await.unwrap();
    assert_eq!(card, again);
}

#[tokio::test]
async fn another_replica_with_the_key_runs_it_again_and_one_without_knows_nothing() {
    let store = prometheus(Duration::ZERO).await;
    let key = haldane::judgements::id::IdKey::from_bytes(&[3; 32]).unwrap();
    let keyed = || Settings { id_key: key.clone(), ..settings_with(&store.uri()) };
    let (first, second) = (Server::start(keyed()).await, Server::start(keyed()).await);
    let stranger = Server::start(settings_with(&store.uri())).await;
    let card: Value = first.judge("", &fetched()).await.json().await.unwrap();
    let path = format!("/v1/judgements/{}", card["id"].as_str().unwrap());

    let again: Value = second.get(&format!("{path}?wait=60")).await.json().await.unwrap();
    assert_eq!((&again["rerun"], &again["id"]), (&json!(true), &card["id"]), "{again}");
    assert_eq!(again["data"]["digest"], card["data"]["digest"]);
    problem(stranger.get(&path).await, 404).await;

    // Its store may not be configured there; then the answer is that of a POST.
    let bare = Server::start(Settings { id_key: key.clone(), ..Settings::default() }).await;
    let refused = problem(bare.get(&format!("{path}?wait=60")).await, 422).await;
    assert_eq!(refused["pointer"], "/source");
}

#[tokio::test]
async fn ids_that_are_none_of_ours_are_refused() {
    let store = prometheus(Duration::ZERO).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let card: Value = server.judge("", &fetched()).await.json().await.unwrap();
    let id = card["id"].as_str().unwrap();
    let at = id.len() / 2;
    let changed = format!("{}{}{}", &id[..at], if &id[at..=at] == "A" { "B" } else { "A" }, &id[at + 1..]);
    for wrong in [&changed, &id[..id.len() - 2], "x", "%00", "%ff", &"A".repeat(7000)] {
        let refused = problem(server.get(&format!("/v1/judgements/{wrong}")).await, 404).await;
        assert_eq!(refused["type"], "urn:haldane:problem:unknown-judgement");
    }
    // Format version 2, base64url of a first byte 2.
    let newer = server.get("/v1/judgements/AgAA").await;
    assert!(newer.headers().contains_key("retry-after"));
    problem(newer, 503).await;
}

#[tokio::test]
async fn inline_samples_cannot_be_polled_and_the_answer_says_so() {
    let server = server().await;
    let refused = problem(server.judge_async(&inline(1.0, 1.0)).await, 422).await;
    assert!(refused["detail"].as_str().unwrap().contains("without `Prefer: respond-async`"), "{refused}");
}

#[tokio::test]
async fn at_the_callers_deadline_there_is_a_scorecard_that_says_so() {
    let store = prometheus(Duration::from_secs(30)).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let response = server.judge("?wait=1", &fetched()).await;
    assert_eq!(response.status(), 200);
    let card: Value = response.json().await.unwrap();
    assert_eq!((&card["metrics"][0]["status"], &card["metrics"][0]["reason"]), (&json!("error"), &json!("deadline")), "{card}");
    assert_ne!(card["verdict"], "pass");
}

#[tokio::test]
async fn a_metric_that_both_arms_ask_alike_is_an_error_and_is_not_asked_for() {
    let store = prometheus(Duration::ZERO).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let mut request = fetched();
    // Pasted from another tool's template: its label is not the scope.
    let pasted = json!({ "name": "errors", "kind": "ratio", "direction": "increase", "limits": { "max": 0.01 }, "queries": { "prometheus": {
        "numerator": "sum(increase(errors{app=\"demo\"}[1m]))", "denominator": "sum(increase(requests{app=\"demo\"}[1m]))"
    } } });
    request["config"]["metrics"].as_array_mut().unwrap().push(pasted);
    let card: Value = server.judge("", &request).await.json().await.unwrap();
    let errors = &card["metrics"][1];
    assert_eq!(errors["status"], "error", "{errors}");
    for part in ["(/config/metrics/1/queries/prometheus)", "compared with itself", "${scope}"] {
        assert!(errors["sentence"].as_str().unwrap().contains(part), "{part}: {errors}");
    }
    assert_ne!(card["metrics"][0]["status"], "error", "{card}");
    assert_ne!(card["verdict"], "pass", "{card}");
    let asked = &card["data"]["metrics"][1]["queries"];
    assert_eq!((asked.as_array().unwrap().len(), &asked[0]["query"]), (4, &json!("sum(increase(errors{app=\"demo\"}[1m]))")), "{asked}");
    let sent = store.received_requests().await.unwrap();
    assert!(sent.iter().all(|request| !String::from_utf8_lossy(&request.body).contains("demo")), "nothing is asked that cannot differ");

    // By an earlier baseline it is a comparison, and by its limit alone it is none.
    let mut earlier = request.clone();
    earlier["baseline"] = json!({ "scope": "a", "offset": "1d" });
    let mut limited = request.clone();
    limited["config"]["judge"] = json!("threshold-v1");
    for judged in [earlier, limited] {
        let response = server.judge("", &judged).await;
        let card: Value = response.json().await.unwrap();
        assert!(!card["metrics"][1]["sentence"].as_str().unwrap().contains("compared with itself"), "{card}");
    }
    // All of them: nothing is left to judge.
    request["config"]["metrics"].as_array_mut().unwrap().remove(0);
    assert_eq!(problem(server.judge("", &request).await, 422).await["pointer"], "/canary");
    // The store is down for all that are asked for.
    let server = Server::start(settings_with("http://127.0.0.1:9")).await;
    let mut request = fetched();
    let alike = json!({ "name": "errors", "queries": { "prometheus": "up" } });
    request["config"]["metrics"].as_array_mut().unwrap().insert(0, alike);
    problem(server.judge("", &request).await, 502).await;
}

#[tokio::test]
async fn partial_replies_alone_make_a_scorecard_that_is_no_pass() {
    let store = MockServer::start().await;
    let zeros = json!({ "status": "success", "isPartial": true, "data": { "resultType": "matrix", "result": [] } });
    Mock::given(path_regex(".*query_range$")).respond_with(ResponseTemplate::new(200).set_body_json(zeros)).mount(&store).await;
    let settings = |more: Value| {
        let mut account = json!({ "kind": "prometheus", "url": store.uri() });
        account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Settings { sources: [("prometheus".to_owned(), serde_json::from_value(account).unwrap())].into(), ..Settings::default() }
    };
    let server = Server::start(settings(json!({}))).await;
    let card: Value = server.judge("", &fetched()).await.json().await.unwrap();
    let metric = &card["metrics"][0];
    assert_eq!((&metric["status"], &metric["reason"]), (&json!("error"), &json!("partial")), "{card}");
    let sentence = metric["sentence"].as_str().unwrap();
    assert!(sentence.contains("a part of it did not answer") && sentence.contains("accept_partial: true"), "{sentence}");
    assert_ne!(card["verdict"], "pass");

    let server = Server::start(settings(json!({ "accept_partial": true }))).await;
    let card: Value = server.judge("", &fetched()).await.json().await.unwrap();
    assert_eq!(card["metrics"][0]["status"], "no_data", "{card}");
    let warned = "canary: the store says that its reply is partial";
    assert!(card["metrics"][0]["warnings"].to_string().contains(warned), "{card}");
    // Nothing came back at all: for its name, or for its time.
    let said = card["warnings"].to_string();
    assert!(
        said.contains("check what selects it: scope") && said.contains("whether the store has samples, still or already, from 20"),
        "{said}"
    );
}

#[tokio::test]
async fn a_store_that_is_down_fails_the_request_and_later_looks_at_it_alike() {
    let settings = settings_with("http://127.0.0.1:9");
    let server = Server::start(settings).await;
    let refused = problem(server.judge("", &fetched()).await, 502).await;
    assert_eq!(refused["type"], "urn:haldane:problem:source-unreachable");
    let started = server.judge_async(&fetched()).await;
    let location = started.headers()["location"].to_str().unwrap().to_owned();
    problem(server.get(&format!("{location}?wait=60")).await, 502).await;
    // Remembered: a look that does not wait finds the same.
    problem(server.get(&location).await, 502).await;
}

#[tokio::test]
async fn beyond_what_may_run_and_wait_callers_are_told_to_come_back() {
    let store = prometheus(Duration::from_secs(2)).await;
    let mut settings = settings_with(&store.uri());
    (settings.executions.concurrent, settings.executions.queue) = (1, 1);
    let server = Server::start(settings).await;
    for _ in 0..2 {
        assert_eq!(server.judge_async(&fetched()).await.status(), StatusCode::ACCEPTED);
    }
    let refused = server.judge_async(&fetched()).await;
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(problem(refused, 503).await["type"], "urn:haldane:problem:overloaded");
}

#[tokio::test]
async fn configs_judges_and_the_schema_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "# why\nname: checkout\ndescription: Checkout.\nmetrics:\n  - name: p95\n";
    std::fs::write(folder.path().join("checkout.yaml"), yaml).unwrap();
    let configs = haldane::settings::ConfigStore::with_directory(folder.path()).unwrap();
    let server = Server::start(Settings { configs, ..Settings::default() }).await;

    let list: Value = server.get("/v1/configs").await.json().await.unwrap();
    let expected = json!({ "name": "checkout", "description": "Checkout.", "judge": "haldane-v1", "metrics": 1, "origin": "directory" });
    assert!(list["configs"].as_array().unwrap().contains(&expected), "{list}");
    let config: Value = server.get("/v1/configs/checkout").await.json().await.unwrap();
    assert_eq!(config["metrics"][0]["min_points"], 3);
    let as_yaml = server.client.get(server.url("/v1/configs/checkout")).header("Accept", "application/yaml").send().await.unwrap();
    assert_eq!(as_yaml.headers()["content-type"], "application/yaml");
    assert_eq!(as_yaml.text().await.unwrap(), yaml);

    let judges: Value = server.get("/v1/judges").await.json().await.unwrap();
    let names: Vec<_> = judges["judges"].as_array().unwrap().iter().map(|judge| judge["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["haldane-v1", "threshold-v1", "NetflixACAJudge-v1.0"]);
    let schema: Value = server.get("/v1/schema/canary-config.json").await.json().await.unwrap();
    assert!(schema["properties"]["metrics"].is_object() && schema["additionalProperties"] == json!(false), "{schema}");
}

#[tokio::test]
async fn the_openapi_document_is_the_recorded_one() {
    let served: Value = server().await.get("/openapi.json").await.json().await.unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/haldane.json");
    let recorded: Value = std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    assert!(served == recorded, "openapi/haldane.json is out of date: run `cargo run -- openapi > openapi/haldane.json`");
}

/// Every reference in the document leads somewhere; a generator that reads it would stop otherwise.
#[test]
fn every_reference_in_the_openapi_document_resolves() {
    fn walk(value: &Value, document: &Value, seen: &mut usize) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let target = document.pointer(reference.trim_start_matches('#'));
                    assert!(reference.starts_with("#/components/schemas/") && target.is_some(), "{reference}");
                    *seen += 1;
                }
                map.values().for_each(|value| walk(value, document, seen));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, document, seen)),
            _ => {}
        }
    }
    let document = haldane::api::openapi_document();
    let mut seen = 0;
    walk(&document, &document, &mut seen);
    assert!(seen > 50, "{seen}");
    assert_eq!(document["openapi"], "3.1.0");
    for path in ["/v1/judgements", "/v1/judgements/{id}", "/v1/configs/{name}", "/health/ready", "/metrics"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

/// The curl of the document's introduction and the examples of the body are read by the translation itself.
#[test]
fn the_examples_in_the_openapi_document_are_understood() {
    let document = haldane::api::openapi_document();
    let examples = &document["paths"]["/v1/judgements"]["post"]["requestBody"]["content"]["application/json"]["examples"];
    let configs = haldane::settings::ConfigStore::shipped();
    let mut read = 0;
    for (name, example) in examples.as_object().unwrap() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let translated = haldane::api::translate(example["value"].clone(), &configs, &BodyLimits::default(), &Default::default(), now);
        assert!(translated.is_ok(), "{name}: {translated:?}");
        read += 1;
    }
    assert_eq!(read, 2);
}

#[tokio::test]
async fn metrics_count_what_was_answered_and_found() {
    let server = server().await;
    assert_eq!(server.judge("", &inline(100.0, 160.0)).await.status(), 200);
    server.get("/nowhere/1").await;
    server.get("/nowhere/2").await;
    let response = server.get("/metrics").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        "haldane_http_requests_total{method=\"POST\",route=\"/v1/judgements\",status=\"200\"} 1",
        "haldane_http_requests_total{method=\"GET\",route=\"(none)\",status=\"404\"} 2",
        "haldane_http_request_duration_seconds_count{route=\"/v1/judgements\"} 1",
        "haldane_judgements_total{judge=\"haldane-v1\",verdict=\"fail\"} 1",
        "haldane_metric_findings_total{status=\"regressed\"} 1",
        "haldane_analyses_unfinished 0",
        "haldane_build_info{version=\"",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn request_ids_are_kept_or_made_up() {
    let server = server().await;
    let given = server.client.get(server.url("/health/live")).header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!((given.status(), given.headers()["x-request-id"].as_bytes()), (StatusCode::OK, &b"mine-1"[..]));
    assert!(server.get("/health/ready").await.headers()["x-request-id"].len() >= 32);
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_end_and_readiness_says_no() {
    let store = prometheus(Duration::from_millis(800)).await;
    let mut server = Server::start_with_delay(settings_with(&store.uri()), Duration::from_millis(400)).await;
    let (client, url) = (server.client.clone(), server.url("/v1/judgements"));
    let judging = tokio::spawn(async move { client.post(url).json(&fetched()).send().await.unwrap() });
    // In flight once the store has been asked.
    while store.received_requests().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    let mut answer = server.get("/health/ready").await;
    while answer.status() == 200 {
        answer = server.get("/health/ready").await;
    }
    problem(answer, 503).await;
    assert_eq!(server.get("/health/live").await.status(), 200);
    let card: Value = judging.await.unwrap().json().await.unwrap();
    assert!(card["verdict"].is_string(), "{card}");
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).is_err());
}

#[tokio::test]
async fn a_judgement_that_is_polled_is_finished_before_the_end() {
    let store = prometheus(Duration::from_millis(500)).await;
    let server = Server::start(settings_with(&store.uri())).await;
    assert_eq!(server.judge_async(&fetched()).await.status(), StatusCode::ACCEPTED);
    while store.received_requests().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop().await;
    assert_eq!(store.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn broken_http_does_not_disturb_the_service() {
    let server = server().await;
    let address = server.address;
    let send = move |bytes: Vec<u8>| {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let _ = stream.write_all(&bytes);
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            String::from_utf8_lossy(&reply).into_owned()
        })
    };
    assert!(send(b"\x00\x01nonsense\r\n\r\n".to_vec()).await.unwrap().starts_with("HTTP/1.1 400"));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    assert!(!send(long.into_bytes()).await.unwrap().contains(" 200 "));
    send(b"POST /v1/judgements HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{".to_vec())
        .await
        .unwrap();
    assert_eq!(server.get("/health/live").await.status(), 200);
}

#[tokio::test]
async fn a_field_name_of_megabytes_is_refused_in_a_few_words() {
    let server = server().await;
    let name = "x".repeat(7 << 20);
    for wrong in [
        json!({ name.as_str(): 1 }),
        json!({ "config": { "name": "c", "metrics": [{ "name": "m", name.as_str(): 1 }] } }),
        json!({ "config": name }),
    ] {
        let response = server.judge("", &wrong).await;
        let length = response.content_length().unwrap();
        let problem = problem(response, 422).await;
        assert!(length < 16 << 10, "{length} bytes: {}", problem["detail"]);
    }
}
