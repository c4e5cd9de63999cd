//! The service over a socket, with a metric store that is played: what a metric does follows from its name.

use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;

use haldane::archive::Archive;
use haldane::cli::serve::{assemble, bind_and_serve};
use haldane::settings::Settings;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// 2026-03-01T10:00:00Z, when every window begins.
pub(super) const TEN: i64 = 1_772_359_200;
/// Points of an arm: each minute from 10:00 to 11:00.
pub(super) const POINTS: usize = 61;
/// The points that `gappy` lacks in both arms.
pub(super) const GAP: std::ops::Range<usize> = 20..25;
/// The name of the judge that is Kayenta's own.
pub(crate) const KAYENTAS: &str = "NetflixACAJudge-v1.0";
/// Longer than any test polls.
const HELD: Duration = Duration::from_secs(120);

/// A service and the metric store it asks.
pub(crate) struct Service {
    address: SocketAddr,
    client: Client,
    _stop: oneshot::Sender<()>,
    _metrics: Option<MockServer>,
}

impl Service {
    /// One that asks a played metric store.
    pub(super) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// The same with a store of documents in memory.
    pub(super) async fn with_store() -> Self {
        Self::with(Settings { store: Some(Archive::open("memory:").unwrap()), ..Settings::default() }).await
    }

    /// One with these settings that asks a played metric store.
    pub(super) async fn with(settings: Settings) -> Self {
        let metrics = MockServer::start().await;
        Mock::given(path_regex(".*query_range$")).respond_with(|request: &wiremock::Request| reply(request, 1.0)).mount(&metrics).await;
        let mut service = Self::over(settings, &metrics.uri()).await;
        service._metrics = Some(metrics);
        service
    }

    /// One with these settings that asks the metric store at `url`.
    pub(super) async fn over(settings: Settings, url: &str) -> Self {
        Self::asking(settings, "prom-main", json!({ "kind": "prometheus", "url": url })).await
    }

    /// One whose only account has this name and these settings.
    pub(crate) async fn with_source(account: &str, source: Value) -> Self {
        Self::asking(Settings::default(), account, source).await
    }

    async fn asking(mut settings: Settings, account: &str, source: Value) -> Self {
        static PROVIDER: Once = Once::new();
        // The client wants one although nothing here speaks TLS.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let source = serde_json::from_value(source).unwrap();
        settings.sources = [(account.to_owned(), source)].into();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (state, router) = assemble(settings).unwrap();
        tokio::spawn(bind_and_serve(listener, state, router, async move { drop(stopped.await) }, Duration::ZERO));
        Self { address, client: Client::builder().no_proxy().build().unwrap(), _stop: stop, _metrics: None }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PUT, path).json(body).send().await.unwrap()
    }

    /// What is at a path, which must be there.
    pub(crate) async fn found(&self, path: &str) -> Value {
        success(self.get(path).await, 200).await
    }

    /// Starts an execution and gives its id.
    pub(super) async fn begun(&self, query: &str, body: &Value) -> String {
        let reply = success(self.post(&format!("/canary{query}"), body).await, 200).await;
        reply["canaryExecutionId"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
    }

    /// Starts an execution and polls it to its end.
    pub(crate) async fn ended(&self, query: &str, body: &Value) -> Value {
        let id = self.begun(query, body).await;
        self.end_of(&id).await
    }

    /// Polls an execution to its end.
    pub(super) async fn end_of(&self, id: &str) -> Value {
        for _ in 0..3000 {
            let status = self.found(&format!("/canary/{id}")).await;
            if status["complete"] == true {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{id} does not end");
    }
}

/// The JSON of a reply with this status.
#[track_caller]
pub(crate) fn success(response: Response, status: u16) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let found = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!(found, status, "{caller}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{caller}: {error}: {text}"))
    }
}

/// The message of a refusal with this status, once all that Orca, Gate and Argo Rollouts read of one is as they read it.
#[track_caller]
pub(super) fn refusal(response: Response, status: u16) -> impl Future<Output = String> {
    let caller = std::panic::Location::caller();
    async move {
        let retry = response.headers().contains_key("retry-after");
        let body = success(response, status).await;
        assert!(body["error"].is_string(), "{caller}: {body}");
        if let Some(errors) = body.get("errors") {
            assert!(errors.as_array().unwrap().iter().all(Value::is_string), "{caller}: {body}");
        }
        assert_eq!(retry, status == 503, "{caller}: only what may work later says when, and it always does");
        assert_eq!(no_null(&body), Ok(()), "{caller}: {body}");
        body["message"].as_str().filter(|message| !message.is_empty()).unwrap_or_else(|| panic!("{caller}: {body}")).to_owned()
    }
}

/// The pointer of a `null` in a document, of which Orca's Kotlin would make an error.
pub(super) fn no_null(document: &Value) -> Result<(), String> {
    match document {
        Value::Null => Err(String::new()),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(i, item)| no_null(item).map_err(|below| format!("/{i}{below}"))),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| no_null(value).map_err(|below| format!("/{name}{below}"))),
        _ => Ok(()),
    }
}

/// Noise of a fixed pattern around a level, without two equal neighbours.
pub(crate) fn points(level: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| level * (1.0 + 0.03 * ((i * 7919 % 101) as f64 / 101.0 - 0.5))).collect()
}

/// What the played store says, all levels times `factor`. The metric asked for is the first of these names in the query; an arm is known
/// by its scope.
pub(super) fn reply(request: &wiremock::Request, factor: f64) -> ResponseTemplate {
    let form = format!("http://x/?{}", String::from_utf8_lossy(&request.body));
    let fields: Vec<(String, String)> = reqwest::Url::parse(&form).unwrap().query_pairs().into_owned().collect();
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap();
    let number = |name: &str| field(name).trim_end_matches('s').parse::<f64>().unwrap();
    let (query, start, step) = (field("query"), number("start"), number("step"));
    // What is asked for over ten o'clock began then: it has no history.
    let begin = if number("end") < TEN as f64 { start } else { start.max(TEN as f64) };
    let n = ((number("end") - begin) / step) as usize + 1;
    let canary = query.contains("pay-canary");
    let series = |labels: Value, level: f64, gap: std::ops::Range<usize>| {
        let values: Vec<Value> = points(level, n)
            .into_iter()
            .enumerate()
            .filter(|(i, _)| !gap.contains(i))
            .map(|(i, value)| json!([begin + step * i as f64, value.to_string()]))
            .collect();
        json!({ "metric": labels, "values": values })
    };
    let level = |of_canary: f64| factor * if canary { of_canary } else { 100.0 };
    let plain = |of_canary: f64| series(json!({}), level(of_canary), 0..0);
    // What is steady differs a little, or the arms would be identical.
    let result = match ["steady", "risen", "absent", "gappy", "zones", "held", "broken"].iter().find(|name| query.contains(**name)) {
        Some(&"steady") => json!([plain(100.01)]),
        Some(&"risen") => json!([plain(160.0)]),
        Some(&"absent") => json!([]),
        Some(&"gappy") => json!([series(json!({}), level(100.01), GAP)]),
        Some(&"zones") => {
            json!([series(json!({ "zone": "a" }), level(100.01), 0..0), series(json!({ "zone": "b" }), level(160.0), 0..0)])
        }
        Some(&"held") => return ResponseTemplate::new(200).set_delay(HELD),
        _ => {
            let refused = json!({ "status": "error", "errorType": "bad_data", "error": "no such thing" });
            return ResponseTemplate::new(400).set_body_json(refused);
        }
    };
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": { "resultType": "matrix", "result": result } }))
}

/// A metric that asks for its own name, in the group of its name.
pub(super) fn metric(name: &str) -> Value {
    json!({
        "name": name, "scopeName": "default", "groups": [name],
        "query": { "type": "prometheus", "serviceType": "prometheus", "customInlineTemplate": format!("PromQL:{name}{{app=\"${{scope}}\"}}") },
        "analysisConfigurations": { "canary": { "direction": "increase" } }
    })
}

/// `zones`, whose series are told apart by their zone.
pub(super) fn zones() -> Value {
    let mut metric = metric("zones");
    metric["query"] =
        json!({ "type": "prometheus", "metricName": "zones", "groupByFields": ["zone"], "customInlineTemplate": "app=\"${scope}\"" });
    metric
}

/// A canary config, with weights that are shared equally.
pub(crate) fn config(judge: &str, metrics: &[Value]) -> Value {
    let weight = 100.0 / metrics.len() as f64;
    let weights: serde_json::Map<String, Value> =
        metrics.iter().map(|metric| (metric["groups"][0].as_str().unwrap().to_owned(), weight.into())).collect();
    json!({
        "name": "pay-golden", "description": "", "configVersion": "1", "applications": ["pay"],
        "judge": { "name": judge, "judgeConfigurations": {} },
        "metrics": metrics, "templates": {}, "classifier": { "groupWeights": weights }
    })
}

/// A request for the hour from 10:00, as Orca writes one.
pub(crate) fn execution(pass: u32, marginal: u32) -> Value {
    execution_until("2026-03-01T11:00:00Z", pass, marginal)
}

/// A request for the time from 10:00 on.
pub(super) fn execution_until(end: &str, pass: u32, marginal: u32) -> Value {
    let scope = |name: &str| {
        json!({
            "scope": name, "location": "eu", "start": "2026-03-01T10:00:00Z", "end": end, "step": 60,
            "extendedScopeParams": { "track": "canary", "region": null }
        })
    };
    json!({
        "scopes": { "default": { "controlScope": scope("pay-base"), "experimentScope": scope("pay-canary") } },
        "thresholds": { "pass": pass, "marginal": marginal },
        "siteLocal": { "team": null },
        "metadata": []
    })
}

/// The body of `POST /canary`.
pub(crate) fn ad_hoc(config: Value, execution: Value) -> Value {
    json!({ "canaryConfig": config, "executionRequest": execution })
}

/// The body of a judgement of these metrics at 75 and 50.
pub(super) fn judging(judge: &str, names: &[&str]) -> Value {
    let metrics: Vec<Value> = names.iter().map(|name| if *name == "zones" { zones() } else { metric(name) }).collect();
    ad_hoc(config(judge, &metrics), execution(75, 50))
}
