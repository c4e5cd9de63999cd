//! Bad input through Kayenta's API: every refusal is a JSON object with a text in `message`, and names what is wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haldane::judgements::Options;
use haldane::judgements::id::IdKey;
use haldane::settings::{BodyLimits, Settings};
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wiremock::matchers::any as anything;
use wiremock::{Mock, MockServer};

use super::service::{KAYENTAS, Service, ad_hoc, config, execution, judging, metric, no_null, points, refusal, reply, success};

/// The document with another value at a pointer; `null` takes the field away.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
        Value::Object(fields) if value.is_null() => drop(fields.remove(field)),
        Value::Object(fields) => drop(fields.insert(field.to_owned(), value)),
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        other => panic!("{pointer}: {other}"),
    }
    document
}

fn fine() -> Value {
    judging(KAYENTAS, &["steady"])
}

fn standalone() -> Value {
    let scope = json!({ "scopeName": "default", "controlScope": "pay-base", "experimentScope": "pay-canary", "step": 60 });
    let request =
        json!({ "scopes": [scope], "thresholds": { "pass": 90, "marginal": 60 }, "lifetimeDurationMins": 45, "analysisIntervalMins": 15 });
    ad_hoc(config(KAYENTAS, &[metric("steady")]), request)
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_when_it_is_sent_with_its_pointer() {
    let service = Service::start().await;
    let arm = "/executionRequest/scopes/default/controlScope";
    let metrics = |n: usize| (0..n).map(|i| with(metric("steady"), "/name", json!(format!("m{i}")))).collect::<Vec<_>>();
    let query = "/canaryConfig/metrics/0/query";
    for (pointer, value, part) in [
        ("/canaryConfig", Value::Null, "/canaryConfig: is required"),
        ("/executionRequest", Value::Null, "/executionRequest: is required"),
        ("/canaryConfig", json!("checkout"), "/canaryConfig"),
        ("/executionRequest", json!([]), "/executionRequest"),
        ("/canaryConfig/metrics", json!([]), "/canaryConfig/metrics"),
        ("/canaryConfig/metrics", Value::Null, "/canaryConfig/metrics"),
        ("/canaryConfig/metrics", json!(metrics(501)), "501 metrics"),
        ("/canaryConfig/metrics", json!([metric("steady"), metric("steady")]), "/canaryConfig/metrics/1/name"),
        ("/canaryConfig/metrics/0/name", json!(""), "/canaryConfig/metrics/0/name"),
        ("/canaryConfig/metrics/0/scopeName", Value::Null, "/canaryConfig/metrics/0/scopeName"),
        ("/canaryConfig/metrics/0/scopeName", json!("edge"), "/executionRequest/scopes/edge: is missing"),
        ("/canaryConfig/classifier", Value::Null, "/canaryConfig/classifier"),
        ("/canaryConfig/classifier/groupWeights", json!({ "steady": "heavy" }), "/canaryConfig/classifier/groupWeights"),
        ("/canaryConfig/metrics/0/analysisConfigurations/canary/critical", json!("true"), "/critical"),
        ("/executionRequest/scopes", Value::Null, "/executionRequest/scopes/default: is missing"),
        (arm, Value::Null, "controlScope: is missing"),
        ("/executionRequest/scopes/default/experimentScope", Value::Null, "experimentScope: is missing"),
        ("/executionRequest/thresholds", Value::Null, "/executionRequest/thresholds"),
        ("/executionRequest/thresholds/pass", Value::Null, "/executionRequest/thresholds"),
        ("/executionRequest/thresholds/pass", json!("NaN"), "/executionRequest/thresholds/pass: NaN"),
        ("/executionRequest/thresholds/marginal", json!("-Infinity"), "/executionRequest/thresholds/marginal: -inf"),
        ("/executionRequest/thresholds/pass", json!("high"), "/executionRequest/thresholds/pass"),
        (&format!("{arm}/start"), Value::Null, "/executionRequest/scopes/default/controlScope/start: is missing"),
        (&format!("{arm}/start"), json!("yesterday"), "`yesterday` is no instant"),
        (&format!("{arm}/start"), json!("2026-03-01T11:00:00Z"), "must be later than the start"),
        (&format!("{arm}/end"), json!(1e300), "/executionRequest/scopes/default/controlScope/end"),
        (&format!("{arm}/step"), json!(-60), "-60 is no distance"),
        (&format!("{arm}/step"), json!(1e18), "too large"),
        (&format!("{arm}/end"), json!("2027-03-01T10:00:00Z"), "are more than"),
        (&format!("{arm}/scope"), json!("pay\u{0}base"), "NUL"),
        (&format!("{query}/type"), json!("telegraph"), "`telegraph`; the types read here are prometheus and datadog"),
        (&format!("{query}/type"), Value::Null, "no query.type"),
        (&format!("{query}/type"), json!("datadog"), "is of the type prometheus"),
        (&format!("{query}/customInlineTemplate"), json!("PromQL:x{a=\"${nothing}\"}"), "nothing"),
        (&format!("{query}/customInlineTemplate"), json!("x".repeat(20_000)), "20000 bytes"),
        (&format!("{query}/customFilter"), json!("a=\"b\""), "customFilter"),
    ] {
        let body = with(fine(), pointer, value.clone());
        let shown: String = value.to_string().chars().take(80).collect();
        let message = refusal(service.post("/canary?metricsAccountName=prom-main", &body).await, 400).await;
        assert!(message.contains(part), "{pointer} {shown}: {message}");
        assert!(message.chars().count() < 1000, "{message}");
    }
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        refusal(service.post("/canary", &body).await, 400).await;
    }
}

#[tokio::test]
async fn several_wrong_metrics_are_all_named() {
    let service = Service::start().await;
    let two = [metric("steady"), metric("risen"), metric("gappy")];
    let mut body = ad_hoc(config(KAYENTAS, &two), execution(75, 50));
    for i in [0, 2] {
        body["canaryConfig"]["metrics"][i]["scopeName"] = json!("");
    }
    let answer = success(service.post("/canary", &body).await, 400).await;
    let errors: Vec<&str> = answer["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
    assert!(errors.len() == 2 && errors[0].contains("/metrics/0/") && errors[1].contains("/metrics/2/"), "{answer}");
    assert_eq!(answer["message"], errors[0]);
}

#[tokio::test]
async fn unknown_accounts_are_refused_wherever_they_are_named() {
    let service = Service::start().await;
    for (method, path, parameters) in [
        (Method::POST, "/canary", &["metricsAccountName", "storageAccountName", "configurationAccountName"][..]),
        (Method::GET, "/canary/executions", &["storageAccountName"]),
        (Method::GET, "/canary/x", &["storageAccountName"]),
        (Method::GET, "/canaryConfig", &["configurationAccountName"]),
        (Method::GET, "/canaryConfig/x", &["configurationAccountName"]),
        (Method::GET, "/metricSetPairList/x", &["accountName"]),
        (Method::GET, "/metadata/metricsService", &["metricsAccountName"]),
        (Method::POST, "/standalone_canary_analysis", &["metricsAccountName", "storageAccountName"]),
    ] {
        for parameter in parameters {
            let request = service.request(method.clone(), &format!("{path}?{parameter}=nobody"));
            let body = if path == "/canary" { fine() } else { standalone() };
            let request = if method == Method::POST { request.json(&body) } else { request };
            let message = refusal(request.send().await.unwrap(), 400).await;
            assert!(message.contains("unknown account `nobody`") && message.contains("prom-main"), "{path} {parameter}: {message}");
        }
    }
    // Argo Rollouts sends one account's name in the place of another's, and empty names.
    let query = "?metricsAccountName=&storageAccountName=prom-main&configurationAccountName=haldane";
    service.begun(query, &fine()).await;
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_not_allowed() {
    let service = Service::start().await;
    let message = refusal(service.post("/canary/no-such-config", &execution(75, 50)).await, 404).await;
    assert!(message.contains("`no-such-config`") && message.contains("GET /canaryConfig"), "{message}");
    refusal(service.get("/canaryConfig/no-such-config").await, 404).await;
    // Without a store, what can be done instead is said.
    let written = config(KAYENTAS, &[metric("steady")]);
    for (method, path, body) in [
        (Method::POST, "/canaryConfig", written.clone()),
        (Method::PUT, "/canaryConfig/x", written),
        (Method::DELETE, "/canaryConfig/x", json!({})),
        (Method::POST, "/metricSetPairList", json!([])),
        (Method::DELETE, "/metricSetPairList/x", json!([])),
        (Method::POST, "/metricSetList", json!([])),
        (Method::POST, "/canaryResultArchive", json!({})),
        (Method::GET, "/canaryResultArchive", json!({})),
        (Method::GET, "/canaryResultArchive/x", json!({})),
    ] {
        let response = service.request(method.clone(), path).json(&body).send().await.unwrap();
        let message = refusal(response, 400).await;
        assert!(message.contains("--store"), "{method} {path}: {message}");
    }
    let message = refusal(service.get("/canary/01JNXW4T9S3E7M2V0QKZ5H8RCD").await, 404).await;
    assert!(message.contains("--store"), "{message}");
}

#[tokio::test]
async fn a_config_is_stored_by_kayentas_rules() {
    let service = Service::with_store().await;
    let fine = || config(KAYENTAS, &[metric("steady")]);
    for (pointer, value, part) in [
        ("/name", json!(""), "/name"),
        ("/name", Value::Null, "/name"),
        ("/applications", json!([]), "/applications"),
        ("/applications", Value::Null, "/applications"),
        ("/name", json!("with space"), "`with space`"),
        ("/name", json!("dots.too"), "`dots.too`"),
        ("/name", json!("ümlaut"), "`ümlaut`"),
        ("/metrics", json!([metric("steady"), metric("steady")]), "/metrics/1/name"),
        ("/metrics/0/name", json!(""), "/metrics/0/name"),
        ("/createdTimestamp", json!(9e14), "/createdTimestamp"),
    ] {
        let body = with(fine(), pointer, value.clone());
        let message = refusal(service.post("/canaryConfig", &body).await, 400).await;
        assert!(message.contains(part), "{pointer} {value}: {message}");
    }
    let id = success(service.post("/canaryConfig", &with(fine(), "/id", json!("mine"))).await, 200).await;
    assert_eq!(id, json!({ "canaryConfigId": "mine" }));
    refusal(service.post("/canaryConfig", &with(fine(), "/id", json!("mine"))).await, 400).await;
    // The same name for the same application.
    refusal(service.post("/canaryConfig", &fine()).await, 400).await;
    // Kayenta's answer to a change of what is not there.
    let other = with(fine(), "/name", json!("other"));
    refusal(service.put("/canaryConfig/nothing", &other).await, 400).await;
    refusal(service.request(Method::DELETE, "/canaryConfig/nothing").send().await.unwrap(), 404).await;
    success(service.post("/canaryConfig", &with(other.clone(), "/id", json!("other"))).await, 200).await;
    // Nor may a rename collide.
    refusal(service.put("/canaryConfig/other", &fine()).await, 400).await;
    // Without metrics it is stored, and fails when it is run.
    let bare = with(with(fine(), "/name", json!("bare")), "/metrics", Value::Null);
    let id = success(service.post("/canaryConfig", &bare).await, 200).await["canaryConfigId"].as_str().unwrap().to_owned();
    refusal(service.post(&format!("/canary/{id}"), &execution(75, 50)).await, 400).await;
    refusal(service.post("/canary/mine", &json!({ "scopes": {} })).await, 400).await;
}

/// Sends bytes as they are, and gives the status and the body that come back.
async fn raw(service: &Service, request: &[u8]) -> (u16, Value) {
    let mut stream = tokio::net::TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut reply)).await.unwrap().unwrap();
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{reply}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{reply}")))
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let service = Service::start().await;
    let deep = format!("{{\"canaryConfig\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for path in ["/canary", "/judge", "/standalone_canary_analysis", "/canaryConfig", "/canary/x", "/metricSetPairList"] {
        if path == "/canary/x" {
            continue;
        }
        for (body, part) in [
            (&b""[..], "line 1"),
            (b"{", "line 1"),
            (b"{\"a\": \xff}", "line 1"),
            (b"{\"a\": 1e999}", "out of range"),
            (b"{\"a\": NaN}", "line 1"),
            (b"{\"a\": 1, \"a\": 2}", "twice"),
            (b"{} {}", "trailing"),
            (deep.as_bytes(), "recursion"),
        ] {
            let request = service.request(Method::POST, path).header("Content-Type", "application/json; charset=utf-8");
            let message = refusal(request.body(body.to_vec()).send().await.unwrap(), 400).await;
            assert!(message.contains(part), "{path}: {message}");
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"] {
            let request = service.request(Method::POST, path).header("Content-Type", content_type).body(fine().to_string());
            let message = refusal(request.send().await.unwrap(), 415).await;
            assert!(message.contains("Content-Type: application/json"), "{path} {content_type}: {message}");
        }
    }
}

#[tokio::test]
async fn a_config_of_five_megabytes_is_refused_with_the_reason() {
    let service = Service::start().await;
    let large = |body: Value| with(body, "/canaryConfig/description", json!("x".repeat(5 << 20)));
    let alone = large(fine())["canaryConfig"].take();
    for (path, body) in [("/canary", large(fine())), ("/standalone_canary_analysis", large(standalone())), ("/canaryConfig", alone)] {
        let message = refusal(service.post(path, &body).await, 400).await;
        assert!(message.contains("longer than a canary config may be (1048576)"), "{path}: {message}");
    }
}

#[tokio::test]
async fn what_a_caller_names_stays_within_the_string_it_stands_in() {
    let service = Service::start().await;
    let body = with(fine(), "/executionRequest/scopes/default/controlScope/scope", json!("pay\"} or vector(1) #"));
    let status = service.ended("", &body).await;
    let pairs = service.found(&format!("/metricSetPairList/{}", status["metricSetPairListId"].as_str().unwrap())).await;
    assert_eq!(pairs[0]["attributes"]["control"]["query"], "steady{app=\"pay\\\"} or vector(1) #\"}");
}

#[tokio::test]
async fn a_body_longer_than_is_read_is_refused_with_and_without_its_length() {
    let service = Service::with(Settings { bodies: BodyLimits { bytes: 1 << 20, ..BodyLimits::default() }, ..Settings::default() }).await;
    for length in [(1 << 20) + 1, 3 << 20, 50 << 20] {
        let body = vec![b' '; length];
        let request = || service.request(Method::POST, "/canary").header("Content-Type", "application/json");
        let message = refusal(request().body(body.clone()).send().await.unwrap(), 413).await;
        assert!(message.contains("1048576"), "{message}");
        let chunks: Vec<_> = body.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let streamed = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
        refusal(request().body(streamed).send().await.unwrap(), 413).await;
    }
    let many = json!({ "canaryConfig": { "x": vec![0; 450_000] } });
    let service =
        Service::with(Settings { bodies: BodyLimits { max_inline_points: 10, ..BodyLimits::default() }, ..Settings::default() }).await;
    refusal(service.post("/canary", &many).await, 413).await;
}

#[tokio::test]
async fn a_config_too_large_for_an_id_is_refused_with_the_remedy_and_a_store_takes_it() {
    // Numbers of a fixed pattern, which do not compress.
    let mut state = 1_u64;
    let mut noise = |n: usize| {
        let mut digit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + ((state >> 33) % 26) as u8)
        };
        (0..n).map(|_| digit()).collect::<String>()
    };
    let (long, longer) = (noise(20_000), noise(400_000));
    let service = Service::start().await;
    for description in [&long, &longer] {
        for (path, body) in [("/canary", fine()), ("/standalone_canary_analysis", standalone())] {
            let body = with(body, "/canaryConfig/description", json!(description));
            let message = refusal(service.post(path, &body).await, 400).await;
            assert!(message.contains("--store"), "{message}");
        }
    }
    let service = Service::with_store().await;
    for description in [&long, &longer] {
        let status = service.ended("", &with(fine(), "/canaryConfig/description", json!(description))).await;
        assert_eq!((&status["status"], &status["config"]["description"]), (&json!("succeeded"), &json!(description)));
        assert_eq!(status["pipelineId"].as_str().unwrap().len(), 26);
    }
}

/// Where an execution can be asked for.
fn addresses(id: &str) -> Vec<(Method, String)> {
    vec![
        (Method::GET, format!("/canary/{id}")),
        (Method::GET, format!("/standalone_canary_analysis/{id}")),
        (Method::PUT, format!("/pipelines/{id}/cancel")),
        (Method::GET, format!("/metricSetPairList/{id}")),
        (Method::GET, format!("/metricSetPairList/{id}.pairs")),
        (Method::GET, format!("/metricSetPairList/{id}.pairs/x")),
        (Method::GET, format!("/metricSetList/{id}")),
        (Method::GET, format!("/canaryConfig/{id}")),
    ]
}

#[tokio::test]
async fn an_id_that_was_changed_cut_or_signed_by_another_key_is_not_found() {
    let key = || IdKey::from_bytes(&[5; 32]).unwrap();
    let service = Service::with(Settings { id_key: key(), ..Settings::default() }).await;
    let stranger = Service::start().await;
    let id = service.begun("", &fine()).await;
    service.end_of(&id).await;
    let bytes = URL_SAFE_NO_PAD.decode(&id).unwrap();
    // Version, dictionary, time, random bits, size, frame and tag, from both ends of each.
    let tag = bytes.len() - 32;
    for at in [1, 2, 9, 10, 17, 18, 21, 22, tag / 2, tag - 1, tag, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let changed = URL_SAFE_NO_PAD.encode(changed);
        assert!(refusal(service.get(&format!("/canary/{changed}")).await, 404).await.contains("no such"), "byte {at}");
    }
    for at in [1, 5, 20, id.len() / 2, id.len() - 1] {
        let other = if &id[at..=at] == "A" { "B" } else { "A" };
        for wrong in [format!("{}{other}{}", &id[..at], &id[at + 1..]), id[..at].to_owned(), format!("{}%41{}", &id[..at], &id[at..])] {
            for (method, path) in addresses(&wrong) {
                let message = refusal(service.request(method, &path).send().await.unwrap(), 404).await;
                assert!(!message.is_empty(), "{path}");
            }
        }
    }
    let message = refusal(stranger.get(&format!("/canary/{id}")).await, 404).await;
    assert!(message.starts_with("no such judgement: "), "{message}");
    // And the one that was given out is still found.
    service.found(&format!("/canary/{id}")).await;
}

#[tokio::test]
async fn an_id_of_a_newer_format_is_asked_for_again_later() {
    let service = Service::start().await;
    for newer in ["AgAA".to_owned(), URL_SAFE_NO_PAD.encode([[2_u8; 60], [9; 60]].concat()), URL_SAFE_NO_PAD.encode([255; 90])] {
        for (method, path) in addresses(&newer) {
            // A config's id is no execution's, and the list of pairs has one of its own form.
            if path.starts_with("/canaryConfig") || path.ends_with(&newer) && path.starts_with("/metricSetPairList") {
                continue;
            }
            let message = refusal(service.request(method, &path).send().await.unwrap(), 503).await;
            assert!(message.contains("once the upgrade is complete"), "{path}: {message}");
        }
    }
}

#[tokio::test]
async fn an_id_of_another_kind_is_refused_where_it_does_not_belong() {
    let service = Service::start().await;
    let canary = service.begun("", &fine()).await;
    let analysis = success(service.post("/standalone_canary_analysis", &standalone()).await, 200).await;
    let analysis = analysis["canaryAnalysisExecutionId"].as_str().unwrap().to_owned();
    let native = json!({
        "config": { "name": "c", "metrics": [{ "name": "m", "queries": { "prometheus": "steady{app=\"${scope}\"}" } }] },
        "baseline": { "scope": "pay-base" }, "canary": { "scope": "pay-canary" }, "window": { "duration": "1h", "step": "60s" }
    });
    let native = service.request(Method::POST, "/v1/judgements").header("Prefer", "respond-async").json(&native).send().await.unwrap();
    let native = success(native, 202).await["id"].as_str().unwrap().to_owned();
    let fetch = "/fetch/prometheus/query?metricSetName=m&metricName=steady&customFilter=PromQL:steady&start=2026-03-01T10:00:00Z&end=2026-03-01T11:00:00Z&step=60";
    let fetch =
        success(service.request(Method::POST, fetch).send().await.unwrap(), 200).await["metricSetListId"].as_str().unwrap().to_owned();

    let message = refusal(service.get(&format!("/canary/{analysis}")).await, 400).await;
    assert!(message.contains("/standalone_canary_analysis"), "{message}");
    let message = refusal(service.get(&format!("/standalone_canary_analysis/{canary}")).await, 400).await;
    assert!(message.contains("/canary"), "{message}");
    refusal(service.get(&format!("/canary/{fetch}")).await, 400).await;
    refusal(service.request(Method::PUT, &format!("/pipelines/{fetch}/cancel")).send().await.unwrap(), 404).await;
    for other in [&canary, &analysis] {
        refusal(service.get(&format!("/metricSetList/{other}")).await, 404).await;
    }
    // Under the native address an execution is there for people to read while it is remembered; an analysis is no judgement.
    assert_eq!(service.get(&format!("/v1/judgements/{canary}?wait=60")).await.status().as_u16(), 200);
    assert_eq!(service.get(&format!("/v1/judgements/{analysis}")).await.status().as_u16(), 404);
    refusal(service.get(&format!("/metricSetPairList/{analysis}.pairs")).await, 404).await;
    for (method, path) in addresses(&native) {
        refusal(service.request(method, &path).send().await.unwrap(), 404).await;
    }
    assert_eq!(service.found(&format!("/metricSetList/{fetch}")).await[0]["values"].as_array().unwrap().len(), 61);
}

#[tokio::test]
async fn paths_of_garbage_are_not_found() {
    for service in [Service::start().await, Service::with_store().await] {
        let long = "A".repeat(7000);
        let spaced = "%20".repeat(150);
        for garbage in [
            "x",
            "%00",
            "%ff",
            "%C3%28",
            "..%2F..%2Fetc",
            "...",
            "a.b.c",
            "%F0%9F%90%A4",
            "%5C",
            "%7B%7D",
            "null",
            "nil",
            "%3Cnil%3E",
            &long,
            &spaced,
        ] {
            for (method, path) in addresses(garbage) {
                let response = service.request(method.clone(), &path).send().await.unwrap();
                if path.contains("/pairs/x") && response.status().as_u16() == 404 {
                    continue;
                }
                let message = refusal(response, 404).await;
                assert!(message.chars().count() < 1000, "{message}");
            }
            refusal(service.post(&format!("/canary/{garbage}"), &execution(75, 50)).await, 404).await;
        }
    }
}

#[tokio::test]
async fn addresses_that_do_not_exist_and_methods_that_are_not_answered_have_a_message_too() {
    let service = Service::start().await;
    for path in ["/canary/x/y", "/judges/comparison/x", "/pipelines", "/pipelines/x", "/fetch/atlas/query", "/v2/canaries/canary"] {
        let answer = success(service.get(path).await, 404).await;
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{path}: {answer}");
    }
    for (method, path) in [
        (Method::DELETE, "/canary"),
        (Method::GET, "/canary"),
        (Method::PATCH, "/canary/x"),
        (Method::POST, "/canary/executions"),
        (Method::DELETE, "/canaryConfig"),
        (Method::GET, "/judge"),
        (Method::POST, "/judges"),
        (Method::GET, "/pipelines/x/cancel"),
        (Method::PUT, "/metricSetPairList"),
        (Method::GET, "/fetch/prometheus/query"),
        (Method::POST, "/credentials"),
        (Method::DELETE, "/health"),
        (Method::from_bytes(b"BREW").unwrap(), "/canary"),
    ] {
        let response = service.request(method.clone(), path).send().await.unwrap();
        assert!(response.headers().contains_key("allow"), "{method} {path}");
        refusal(response, 405).await;
    }
}

#[tokio::test]
async fn too_many_executions_at_once_begin_when_they_are_asked_for() {
    let executions = Options { concurrent: 1, queue: 0, ..Options::default() };
    let service = Service::with(Settings { executions, ..Settings::default() }).await;
    let id = service.begun("", &judging(KAYENTAS, &["held"])).await;
    // Orca repeats no POST, and Argo Rollouts takes any answer but 200 for an error.
    let waiting = service.begun("", &fine()).await;
    assert_eq!(service.found(&format!("/canary/{waiting}")).await["complete"], false);
    let pairs = json!([{ "name": "steady", "id": "p", "values": { "control": [1], "experiment": [1] } }]);
    let body =
        json!({ "canaryConfig": fine()["canaryConfig"], "scoreThresholds": { "pass": 75, "marginal": 50 }, "metricSetPairList": pairs });
    // What brings its samples waits for no store, and whoever polls is still answered.
    assert_eq!(service.post("/judge", &body).await.status(), 200);
    assert_eq!(service.found(&format!("/canary/{id}")).await["status"], "running");
    service.request(Method::PUT, &format!("/pipelines/{id}/cancel")).send().await.unwrap();
    service.end_of(&id).await;
    assert_eq!(service.end_of(&waiting).await["status"], "succeeded");
}

#[tokio::test]
async fn query_strings_of_garbage_are_read_or_refused() {
    let service = Service::start().await;
    let body = fine().to_string();
    let head = |query: &str| {
        let head = format!(
            "POST /canary?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        head.into_bytes()
    };
    // What is no text is no account.
    for query in
        ["storageAccountName=%ff", "storageAccountName=%C3%28", "storageAccountName=%zz", "storageAccountName=%", "metricsAccountName=%00"]
    {
        let (status, answer) = raw(&service, &head(query)).await;
        assert!(status == 400 && answer["message"].is_string(), "{query}: {status} {answer}");
    }
    // Argo Rollouts does not encode what it sends.
    for query in ["application=a+b&=&&x", "application=%ff%fe", "application={app}|x", "application=%", "&&&", "application"] {
        let (status, answer) = raw(&service, &head(query)).await;
        assert!(status == 200 && answer["canaryExecutionId"].is_string(), "{query}: {status} {answer}");
        let running = service.found(&format!("/canary/{}", answer["canaryExecutionId"].as_str().unwrap())).await;
        assert!(running["application"].is_string(), "{running}");
    }
    for (path, part) in [
        ("/canary/executions?limit=many", "limit=many"),
        ("/canary/executions?page=-1", "page=-1"),
        ("/canary/executions?statuses=FOO", "`FOO`"),
        ("/canary/executions?statuses=SUCCEEDED,FOO", "`FOO`"),
        ("/canary/executions?limit=99999999999999999999999", "limit="),
    ] {
        assert!(refusal(service.get(path).await, 400).await.contains(part));
    }
    for query in [
        "limit=18446744073709551615&page=18446744073709551615",
        "limit=0",
        "page=0",
        "statuses=REDIRECT",
        "statuses=terminal",
        "statuses=,,",
    ] {
        assert!(service.found(&format!("/canary/executions?{query}")).await.is_array());
    }
}

#[tokio::test]
async fn a_standalone_analysis_that_cannot_be_made_is_refused() {
    let service = Service::start().await;
    for (pointer, value, part) in [
        ("/executionRequest/scopes", json!([]), "/executionRequest/scopes"),
        ("/executionRequest/scopes", json!({}), "/executionRequest/scopes"),
        ("/executionRequest/thresholds", Value::Null, "/executionRequest/thresholds"),
        ("/executionRequest/lifetimeDurationMins", Value::Null, "/executionRequest/lifetimeDurationMins"),
        ("/executionRequest/lifetimeDurationMins", json!(-5), "/executionRequest/lifetimeDurationMins"),
        ("/executionRequest/lifetimeDurationMins", json!(1e14), "/executionRequest/lifetimeDurationMins"),
        ("/executionRequest/scopes/0/startTimeIso", json!("soon"), "`soon`"),
        ("/executionRequest/scopes/0/step", json!(-1), "-1"),
        ("/canaryConfig/metrics", json!([]), "/canaryConfig/metrics"),
    ] {
        let message = refusal(service.post("/standalone_canary_analysis", &with(standalone(), pointer, value.clone())).await, 400).await;
        assert!(message.contains(part), "{pointer} {value}: {message}");
    }
}

#[tokio::test]
async fn a_run_on_changed_data_says_so() {
    let changed = Arc::new(AtomicBool::new(false));
    let metrics = MockServer::start().await;
    let now = Arc::clone(&changed);
    let factor = move |request: &wiremock::Request| reply(request, if now.load(Ordering::SeqCst) { 1.25 } else { 1.0 });
    Mock::given(anything()).respond_with(factor).mount(&metrics).await;
    let keyed = || Settings { id_key: IdKey::from_bytes(&[6; 32]).unwrap(), ..Settings::default() };
    let (first, second) = (Service::over(keyed(), &metrics.uri()).await, Service::over(keyed(), &metrics.uri()).await);
    for judge in [KAYENTAS, "haldane-v1"] {
        changed.store(false, Ordering::SeqCst);
        let status = first.ended("", &judging(judge, &["steady", "risen"])).await;
        assert_eq!(status["haldane"]["rerun"], false);
        let id = status["pipelineId"].as_str().unwrap();
        changed.store(true, Ordering::SeqCst);
        let again = second.end_of(id).await;
        assert_eq!(again["haldane"]["rerun"], true);
        assert!(again["haldane"]["samplesDigest"].is_string());
        assert_ne!(again["haldane"]["samplesDigest"], status["haldane"]["samplesDigest"]);
        assert_eq!(again["haldane"]["configDigest"], status["haldane"]["configDigest"]);
        // Where it ran first, it is as it was.
        assert_eq!(first.found(&format!("/canary/{id}")).await, status);
        // And on the same data, the digest is the same.
        changed.store(false, Ordering::SeqCst);
        let third = Service::over(keyed(), &metrics.uri()).await;
        let same = third.end_of(id).await;
        assert_eq!((&same["haldane"]["rerun"], &same["haldane"]["samplesDigest"]), (&json!(true), &status["haldane"]["samplesDigest"]));
        assert_eq!(same["result"], status["result"]);
    }
}

/// Any JSON, with the values that trip programs.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::ANY.prop_filter_map("finite", |value| value.is_finite().then(|| json!(value))),
        prop::sample::select(vec![
            "",
            "NaN",
            "Infinity",
            "-Infinity",
            "${",
            "$\\{",
            "${scope}",
            "PromQL:",
            "PromQL:${x:-${y}}",
            "9999-12-31T23:59:59Z",
            "-009999-01-01T00:00:00Z",
            "0",
            "-1",
            "haldane-v1",
            "RemoteJudge-v1.0",
            "prometheus",
            "datadog",
            "cles",
            "remove",
            "replace",
            "\u{0}",
        ])
        .prop_map(Value::from),
        prop::sample::select(vec![0_i64, -1, 1, i64::MIN, i64::MAX, 253_402_300_799, 253_402_300_800_000, 4_294_967_295])
            .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{0,10}|canary|default|name|values", inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

/// Every pointer into a document.
fn pointers(document: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match document {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), found)),
        _ => {}
    }
}

/// The document with other values at some places.
fn mutated(base: Value) -> impl Strategy<Value = Value> {
    let mut places = Vec::new();
    pointers(&base, "", &mut places);
    prop::collection::vec((prop::sample::select(places), any_json()), 1..4).prop_map(move |changes| {
        let mut document = base.clone();
        for (place, value) in changes {
            if let Some(target) = document.pointer_mut(&place) {
                *target = value;
            }
        }
        document
    })
}

fn remote() -> Value {
    let scope = json!({ "startTimeIso": "2026-03-01T10:00:00Z", "startTimeMillis": 1_772_359_200_000_i64, "stepMillis": 60_000 });
    let pair = |id: &str| {
        json!({
            "name": "steady", "id": id, "tags": { "zone": id }, "scopes": { "control": scope, "experiment": scope },
            "values": { "control": points(1.0, 8), "experiment": points(1.6, 9) }
        })
    };
    let mut config = config("haldane-v1", &[metric("steady")]);
    config["judge"]["judgeConfigurations"] =
        json!({ "haldane": { "fail_on": "score", "metrics": { "steady": { "tolerance": { "relative": 0.1 } } } } });
    json!({ "canaryConfig": config, "scoreThresholds": { "pass": 95.0, "marginal": 75.0 }, "metricSetPairList": [pair("a"), pair("b")] })
}

/// One service for all cases, on a runtime of its own.
fn shared() -> &'static (tokio::runtime::Runtime, Service) {
    static SHARED: OnceLock<(tokio::runtime::Runtime, Service)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let service = runtime.block_on(Service::start());
        (runtime, service)
    })
}

/// Posts a document; whatever it is, the answer is no fault of the program, and what was started can be asked for.
fn check_answer(path: &str, body: &Value) -> Result<(), TestCaseError> {
    let (runtime, service) = shared();
    runtime.block_on(async {
        let response = service.post(path, body).await;
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).map_err(|_| TestCaseError::fail(format!("{status}: {text}")))?;
        prop_assert!(status < 500, "{}: {}", status, text);
        prop_assert!(status == 200 || answer["message"].is_string(), "{}: {}", status, text);
        prop_assert!(no_null(&answer).is_ok(), "{}", text);
        if let Some(id) = answer["canaryExecutionId"].as_str() {
            let status = service.end_of(id).await;
            prop_assert!(no_null(&status).is_ok(), "{}", status);
            prop_assert!(status["config"].is_object() && status["config"]["classifier"]["groupWeights"].is_object(), "{}", status);
        }
        if let Some(id) = answer["canaryAnalysisExecutionId"].as_str() {
            let response = service.get(&format!("/standalone_canary_analysis/{id}")).await;
            prop_assert!(response.status().as_u16() == 200, "{}", response.text().await.unwrap());
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_makes_a_fault(body in any_json(), path in prop::sample::select(vec!["/canary", "/judge", "/standalone_canary_analysis", "/canaryConfig"])) {
        check_answer(path, &body)?;
    }

    #[test]
    fn no_change_to_a_request_makes_a_fault(body in mutated(fine())) {
        check_answer("/canary", &body)?;
    }

    #[test]
    fn no_change_to_a_request_for_haldanes_judge_makes_a_fault(body in mutated(judging("haldane-v1", &["steady", "zones"]))) {
        check_answer("/canary", &body)?;
    }

    #[test]
    fn no_change_to_a_remote_request_makes_a_fault(body in mutated(remote())) {
        check_answer("/judge", &body)?;
    }

    #[test]
    fn no_change_to_a_standalone_request_makes_a_fault(body in mutated(standalone())) {
        check_answer("/standalone_canary_analysis", &body)?;
    }
}
