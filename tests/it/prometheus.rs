//! The Prometheus adapter against recorded replies and against servers that misbehave.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haldane::source::cache::{ReplyCache, Source};
use haldane::source::http::{BasicSettings, ConnectionSettings, HeaderSettings, SecretSettings};
use haldane::source::prometheus::{Prometheus, PrometheusSettings};
use haldane::source::{MetricStore, Query, Reply, SourceError, SourceSettings, StoreReader as _, Window};
use haldane_judges::config::Period;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use wiremock::matchers::{body_string, body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::faults::read_request;

/// The window over which the replies in `fixtures/prometheus` were recorded.
const WINDOW: Window = Window { start: 1_795_215_600, end: 1_795_216_200, step_seconds: 60 };
const MATRIX: &str = include_str!("../../fixtures/prometheus/prometheus-2.42-matrix.json");

fn settings(url: &str) -> PrometheusSettings {
    PrometheusSettings {
        url: url.to_owned(),
        timeout: None,
        headers: BTreeMap::new(),
        bearer_token: None,
        basic: None,
        tenant: None,
        params: BTreeMap::new(),
        accept_partial: false,
        ca_file: None,
        max_reply_bytes: None,
        max_concurrent: None,
        settle: None,
        explore_url: None,
        // Each reply is to be seen once; retries have tests of their own.
        connection: ConnectionSettings { retries: Some(0), ..ConnectionSettings::default() },
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn query() -> Query {
    Query { text: r#"up{app="web-1"}"#.to_owned(), window: WINDOW, buckets: false }
}

async fn fetch(settings: &PrometheusSettings) -> Result<Reply, SourceError> {
    Prometheus::open("main", settings).unwrap().fetch(&query(), soon()).await
}

/// What the adapter makes of one reply.
async fn read(template: ResponseTemplate) -> Result<Reply, SourceError> {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/api/v1/query_range")).respond_with(template).expect(1).mount(&server).await;
    fetch(&settings(&server.uri())).await
}

fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

fn refused(result: Result<Reply, SourceError>) -> String {
    match result {
        Err(SourceError::Refused(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn not_read(result: Result<Reply, SourceError>) -> String {
    match result {
        Err(SourceError::Syntax(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn turned_away(result: Result<Reply, SourceError>) -> String {
    match result {
        Err(SourceError::Account(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn unreachable(result: Result<Reply, SourceError>) -> String {
    match result {
        Err(SourceError::Unreachable(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn unreadable(result: Result<Reply, SourceError>) -> String {
    match result {
        Err(SourceError::Unreadable(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// A server that does to each connection, once a request has arrived, what `answer` says.
async fn server<F, A>(answer: F) -> String
where
    F: Fn(TcpStream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                // All of it: a socket that is closed with bytes unread resets the connection, and takes its answer with it.
                if let Ok(Some(_)) = read_request(&mut stream).await {
                    answer(stream).await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_query_is_asked_by_post_and_its_series_keep_their_gaps() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/prom/api/v1/query_range"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(header("accept", "application/json"))
        .and(header("user-agent", concat!("haldane/", env!("CARGO_PKG_VERSION"))))
        .and(body_string("query=up%7Bapp%3D%22web-1%22%7D&start=1795215660&end=1795216200&step=60"))
        .respond_with(json(200, MATRIX))
        .expect(1)
        .mount(&server)
        .await;
    let reply = fetch(&settings(&format!("{}/prom/", server.uri()))).await.unwrap();
    let pods: Vec<_> = reply.series.iter().map(|series| series.labels["pod"].as_str()).collect();
    assert_eq!(pods, ["web-1-a", "web-1-b"]);
    assert_eq!(reply.series[0].values, [0.31, 0.25, 0.31, 0.25, 0.31, 0.25, 0.31, 0.25, 0.31, 0.355]);
    let present: Vec<_> = reply.series[1].values.iter().map(|value| value.is_finite()).collect();
    assert_eq!(present, [true, true, true, false, false, false, false, true, true, true]);
    assert_eq!(reply.series[1].values[7], 0.75);
    assert_eq!(reply.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn special_values_and_empty_results_are_read() {
    let reply = read(json(200, include_str!("../../fixtures/prometheus/prometheus-2.42-nan-inf.json"))).await.unwrap();
    assert_eq!(reply.series.len(), 3);
    assert!(reply.series[0].values.iter().all(|value| value.is_nan()));
    assert!(reply.series[1].values.iter().all(|value| *value == f64::INFINITY));
    assert!(reply.series[2].values.iter().all(|value| *value == f64::NEG_INFINITY));
    let empty = read(json(200, include_str!("../../fixtures/prometheus/prometheus-2.42-empty.json"))).await.unwrap();
    assert_eq!(empty, Reply::default());
}

const THANOS_PARTIAL: &str = include_str!("../../fixtures/prometheus/thanos-partial.json");
const VICTORIAMETRICS_PARTIAL: &str = include_str!("../../fixtures/prometheus/victoriametrics-partial.json");

fn partial(result: Result<Reply, SourceError>) -> String {
    match result {
        Err(error @ SourceError::Partial(_)) => {
            assert_eq!((error.reason(), error.is_transient()), ("partial", false));
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reply_that_the_store_calls_partial_is_none_and_what_annotates_the_query_is_harmless() {
    for (body, words) in [
        (THANOS_PARTIAL.to_owned(), &["No StoreAPIs matched for this query; ", "receive series from Addr: store-0:10901"][..]),
        (VICTORIAMETRICS_PARTIAL.to_owned(), &["a part of it did not answer"]),
        // Without a series, where zeros would be filled in; and as Prometheus' own remote read and Cortex say it.
        (empty_with(&["remote server http://r/read returned HTTP status 503 Service Unavailable"]), &["HTTP status 503"]),
        (empty_with(&["Query result may contain partial data"]), &["may contain partial data"]),
        (empty_with(&["PromQL info: metric might not be a counter", "results truncated due to limit"]), &["results truncated"]),
        (empty_with(&["no text of any release that is known"]), &["no text of any release"]),
    ] {
        let message = partial(read(json(200, &body)).await);
        for word in words.iter().chain(&["partial, by its own words", "accept_partial: true"]) {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert!(!message.contains("might not be a counter"), "{message}");
    }
    for whole in [
        include_str!("../../fixtures/prometheus/prometheus-3-infos.json").to_owned(),
        empty_with(&[]),
        empty_with(&["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)", "PromQL info: ignored"]),
        MATRIX.replacen("{\"status\"", "{\"isPartial\":false,\"warnings\":null,\"status\"", 1),
    ] {
        assert!(read(json(200, &whole)).await.is_ok(), "{whole}");
    }
}

/// A good reply without series, and with these warnings.
fn empty_with(warnings: &[&str]) -> String {
    serde_json::json!({ "status": "success", "data": { "resultType": "matrix", "result": [] }, "warnings": warnings }).to_string()
}

#[tokio::test]
async fn what_the_store_has_to_say_is_passed_on() {
    for (body, expected) in [
        (
            include_str!("../../fixtures/prometheus/prometheus-3-infos.json"),
            &["the store warns: PromQL warning: bucket label", "the store notes: PromQL info: metric might not be a counter"][..],
        ),
        (THANOS_PARTIAL, &["the store warns: No StoreAPIs", "the store warns: receive series from Addr: store-0:10901"][..]),
        (VICTORIAMETRICS_PARTIAL, &["the store says that its reply is partial"][..]),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(json(200, body)).mount(&server).await;
        let reply = fetch(&PrometheusSettings { accept_partial: true, ..settings(&server.uri()) }).await.unwrap();
        assert_eq!(reply.series.len(), 1);
        assert_eq!(reply.warnings.len(), expected.len(), "{:?}", reply.warnings);
        for (warning, expected) in reply.warnings.iter().zip(expected) {
            assert!(warning.starts_with(expected), "{warning}");
        }
    }
}

#[tokio::test]
async fn a_query_that_is_refused_carries_the_stores_words() {
    let bad = not_read(read(json(400, include_str!("../../fixtures/prometheus/error-400-bad-data.json"))).await);
    assert_eq!(bad, "bad_data: 1:4: parse error: unexpected end of input inside braces");
    let points = refused(read(json(400, include_str!("../../fixtures/prometheus/error-400-too-many-points.json"))).await);
    assert!(points.contains("exceeded maximum resolution of 11,000 points"), "{points}");
    let execution = refused(read(json(422, include_str!("../../fixtures/prometheus/error-422-execution.json"))).await);
    assert!(execution.starts_with("execution: found duplicate series for the match group"), "{execution}");
    let long = refused(read(json(400, &format!(r#"{{"status":"error","errorType":"bad_data","error":"{}"}}"#, "x".repeat(9_000)))).await);
    assert_eq!(long.chars().count(), "bad_data: ".len() + 500 + 1);
    let within_200 = refused(read(json(200, r#"{"status":"error","errorType":"bad_data","error":"no"}"#)).await);
    assert_eq!(within_200, "bad_data: no");
    assert!(refused(read(ResponseTemplate::new(400)).await).contains("400 Bad Request"));
}

#[tokio::test]
async fn missing_credentials_and_wrong_addresses_say_which_setting_to_look_at() {
    let denied = turned_away(read(json(401, include_str!("../../fixtures/prometheus/error-401-mimir.json"))).await);
    assert!(denied.contains("401") && denied.contains("credentials") && denied.contains("no org id"), "{denied}");
    let forbidden = turned_away(read(ResponseTemplate::new(403).set_body_raw("RBAC: access denied", "text/plain")).await);
    assert!(forbidden.contains("credentials") && forbidden.contains("RBAC: access denied"), "{forbidden}");
    let nowhere = turned_away(read(ResponseTemplate::new(404).set_body_raw("404 page not found\n", "text/plain")).await);
    assert!(nowhere.contains("`url`"), "{nowhere}");
}

#[tokio::test]
async fn a_store_in_trouble_is_told_from_a_bad_query() {
    let slow = read(json(503, include_str!("../../fixtures/prometheus/error-503-timeout.json"))).await;
    let said = "503 Service Unavailable: timeout: query timed out in expression evaluation";
    assert_eq!(slow, Err(SourceError::GaveUp(said.to_owned())));
    let gateway = unreachable(read(ResponseTemplate::new(502).set_body_raw("<html>\r\nBad Gateway</html>", "text/html")).await);
    assert_eq!(gateway, "502 Bad Gateway: `<html>\\r\\nBad Gateway</html>`");
    let limited = read(json(429, "{}")).await.unwrap_err();
    assert_eq!(
        (limited.reason(), limited.to_string().as_str()),
        ("rate_limited", "the metric store's rate limit: 429 Too Many Requests: `{}`")
    );
    let timeout = read(json(200, r#"{"status":"error","errorType":"timeout","error":"slow"}"#)).await;
    assert_eq!(timeout, Err(SourceError::GaveUp("timeout: slow".to_owned())));
}

#[tokio::test]
async fn a_reply_that_is_not_prometheus_is_shown_as_it_begins() {
    let login = format!("<!doctype html>\n<title>Sign in</title>\u{1b}[31m{}", "x".repeat(10_000));
    let html = unreadable(read(ResponseTemplate::new(200).set_body_raw(login, "text/html; charset=utf-8")).await);
    assert!(html.starts_with("200, content type `text/html; charset=utf-8`: expected value at line 1 column 1"), "{html}");
    assert!(html.contains("`<!doctype html>\\n<title>Sign in</title>\\u{1b}[31mxxx") && html.len() < 400, "{html}");
    let cut = unreadable(read(json(200, &MATRIX[..MATRIX.len() / 2])).await);
    assert!(cut.contains("EOF while parsing"), "{cut}");
    let invalid = unreadable(read(ResponseTemplate::new(200).set_body_raw(b"\xff\xfe{}".to_vec(), "application/json")).await);
    assert!(invalid.contains("it begins"), "{invalid}");
    assert!(unreadable(read(ResponseTemplate::new(204)).await).contains("204 No Content"));
}

#[tokio::test]
async fn results_of_another_type_are_named() {
    let vector = unreadable(read(json(200, include_str!("../../fixtures/prometheus/prometheus-2.42-instant-vector.json"))).await);
    assert_eq!(vector, "its result is of type `vector`, not `matrix`");
    let histogram = unreadable(read(json(200, include_str!("../../fixtures/prometheus/prometheus-3-native-histogram.json"))).await);
    assert!(histogram.contains("native histogram") && histogram.contains("histogram_quantile"), "{histogram}");
    let wrong = MATRIX.replacen("\"0.31\"", "0.31", 1);
    assert!(unreadable(read(json(200, &wrong)).await).contains("a value written as text"));
}

#[tokio::test]
async fn points_that_come_twice_or_out_of_order_are_read_with_a_warning() {
    let values = r#"[[1795216200,"3"],[1795215660,"1"],[1795215660,"2"],[1795215735,"5"]]"#;
    let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":{values}}}]}}}}"#);
    let reply = read(json(200, &body)).await.unwrap();
    assert_eq!((reply.series[0].values[0], reply.series[0].values[1], reply.series[0].values[9]), (2.0, 5.0, 3.0));
    assert!(reply.warnings[0].contains("off the grid") && reply.warnings[1].contains("more than once"), "{:?}", reply.warnings);
}

#[tokio::test]
async fn a_proxy_that_takes_no_post_is_asked_by_get() {
    for status in [403, 405, 501] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(status)).expect(1).mount(&server).await;
        Mock::given(method("GET"))
            .and(path("/api/v1/query_range"))
            .and(query_param("query", r#"up{app="web-1"}"#))
            .and(query_param("step", "60"))
            .respond_with(json(200, MATRIX))
            .expect(2)
            .mount(&server)
            .await;
        // Neither is a failure of the store that is waited for.
        let settings = PrometheusSettings { connection: ConnectionSettings::default(), ..settings(&server.uri()) };
        let source = Prometheus::open("main", &settings).unwrap();
        for _ in 0..2 {
            assert_eq!(source.fetch(&query(), soon()).await.unwrap().series.len(), 2, "{status}");
        }
    }
}

#[tokio::test]
async fn where_get_fails_as_well_the_cause_stays_and_post_is_tried_again_the_next_time() {
    let both = async |post: ResponseTemplate, get: ResponseTemplate| {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(post).expect(2).mount(&server).await;
        Mock::given(method("GET")).respond_with(get).expect(2).mount(&server).await;
        let headers = BTreeMap::from([("X-Key".to_owned(), HeaderSettings::Value("hunter2".to_owned()))]);
        let source = Prometheus::open("main", &PrometheusSettings { headers, ..settings(&server.uri()) }).unwrap();
        let first = source.fetch(&query(), soon()).await;
        assert_eq!(first, source.fetch(&query(), soon()).await);
        first
    };
    let denied = |words: &str| ResponseTemplate::new(403).set_body_raw(words.to_owned(), "text/plain");
    // Wrong credentials: the same by both methods, said once.
    let message = turned_away(both(denied("RBAC: access denied"), denied("RBAC: access denied")).await);
    assert_eq!(message.matches("RBAC: access denied").count(), 1, "{message}");
    // A secret that a proxy quotes is in neither part.
    let message = turned_away(both(denied("no POST for hunter2"), ResponseTemplate::new(503).set_body_raw("down", "text/plain")).await);
    assert!(message.starts_with("403") && message.contains("no POST for <redacted>"), "{message}");
    assert!(message.contains("asked once more by GET") && message.contains("503") && message.contains("down"), "{message}");
    let bad = json(400, include_str!("../../fixtures/prometheus/error-400-bad-data.json"));
    let message = not_read(both(ResponseTemplate::new(501).set_body_raw("POST is not implemented", "text/plain"), bad).await);
    assert!(message.starts_with("bad_data: 1:4: parse error"), "{message}");
    assert!(message.contains("POST had been turned away") && message.contains("POST is not implemented"), "{message}");
}

#[tokio::test]
async fn parameters_of_the_settings_go_with_every_query_by_either_method() {
    let read = |params: serde_json::Value| {
        let document = serde_json::json!({ "kind": "prometheus", "url": "http://a", "params": params });
        serde_json::from_value::<SourceSettings>(document).map_err(|error| error.to_string())
    };
    let Ok(SourceSettings::Prometheus(read_settings)) =
        read(serde_json::json!({ "partial_response": false, "max_source_resolution": "5m", "n": 3 }))
    else {
        panic!("settings")
    };
    let more = "&max_source_resolution=5m&n=3&partial_response=false";
    let server = MockServer::start().await;
    let form = format!("query=up%7Bapp%3D%22web-1%22%7D&start=1795215660&end=1795216200&step=60{more}");
    Mock::given(method("POST")).and(body_string(form)).respond_with(ResponseTemplate::new(405)).expect(1).mount(&server).await;
    let by_get = Mock::given(method("GET")).and(query_param("partial_response", "false")).and(query_param("n", "3"));
    by_get.and(path("/api/v1/query_range")).respond_with(json(200, MATRIX)).expect(1).mount(&server).await;
    let names = json(200, r#"{"status":"success","data":["up"]}"#);
    let by_name = Mock::given(method("GET")).and(query_param("partial_response", "false"));
    by_name.and(path("/api/v1/label/__name__/values")).respond_with(names).expect(1).mount(&server).await;
    let source = Prometheus::open("main", &PrometheusSettings { params: read_settings.params, ..settings(&server.uri()) }).unwrap();
    assert_eq!(source.fetch(&query(), soon()).await.unwrap().series.len(), 2);
    assert_eq!(source.metric_names(soon()).await.unwrap(), ["up"]);

    for (name, hint) in
        [("query", "leave it out"), ("start", ""), ("end", ""), ("step", ""), ("time", ""), ("timeout", "own setting"), ("", "no name")]
    {
        let settings = read(serde_json::json!({ name: "1" })).unwrap();
        let error = MetricStore::open("main", &settings).unwrap_err().to_string();
        assert!(error.contains("`main`: params: ") && error.contains(hint) && error.contains(name), "{error}");
    }
    let error = read(serde_json::json!({ "dedup": ["true"] })).unwrap_err();
    assert!(error.contains("a text, a whole number, `true` or `false`"), "{error}");
}

#[tokio::test]
async fn an_address_that_ends_with_the_apis_path_is_the_one_above() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/prom/api/v1/query_range")).respond_with(json(200, MATRIX)).expect(2).mount(&server).await;
    for end in ["/prom/api/v1", "/prom/api/v1/"] {
        assert_eq!(fetch(&settings(&format!("{}{end}", server.uri()))).await.unwrap().series.len(), 2);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_query_is_not_shown() {
    let location = "https://login.example:8443/start?token=hunter2";
    let message = turned_away(read(ResponseTemplate::new(302).insert_header("location", location)).await);
    assert!(message.contains("https://login.example:8443/start,") && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_window_of_too_many_points_or_none_is_not_asked_for() {
    let server = MockServer::start().await;
    let empty = include_str!("../../fixtures/prometheus/prometheus-2.42-empty.json");
    Mock::given(method("POST")).respond_with(json(200, empty)).expect(1).mount(&server).await;
    let source = Prometheus::open("main", &settings(&server.uri())).unwrap();
    let mut query = query();
    query.window = Window { start: WINDOW.end - 11_000 * 60, ..WINDOW };
    assert!(source.fetch(&query, soon()).await.is_ok());
    query.window.end += 60;
    assert!(refused(source.fetch(&query, soon()).await).contains("11001 points"));
    query.window.step_seconds = 0;
    assert!(refused(source.fetch(&query, soon()).await).contains("no point"));
    query.window = Window { start: 60, end: 0, step_seconds: 60 };
    assert!(refused(source.fetch(&query, soon()).await).contains("no point"));
}

#[tokio::test]
async fn credentials_tenant_and_headers_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer s3cret"))
        .and(header("x-scope-orgid", "team-a"))
        .and(header("x-plain", "1"))
        .and(header("x-env", "haldane"))
        .and(header("x-file", "s3cret"))
        .and(body_string_contains("query=up"))
        .respond_with(json(200, MATRIX))
        .expect(1)
        .mount(&server)
        .await;
    let mut with_token = settings(&server.uri());
    with_token.bearer_token = Some(SecretSettings::File(token.clone()));
    with_token.tenant = Some("team-a".to_owned());
    with_token.headers = BTreeMap::from([
        ("X-Plain".to_owned(), HeaderSettings::Value("1".to_owned())),
        // Cargo sets this variable for every test that it runs.
        ("X-Env".to_owned(), HeaderSettings::Env("CARGO_PKG_NAME".to_owned())),
        ("X-File".to_owned(), HeaderSettings::File(token.clone())),
    ]);
    let source = Prometheus::open("main", &with_token).unwrap();
    assert!(source.fetch(&query(), soon()).await.is_ok());

    // A token that is rotated in place counts from the next request.
    std::fs::write(&token, "rotated").unwrap();
    Mock::given(header("authorization", "Bearer rotated")).respond_with(json(200, MATRIX)).expect(1).mount(&server).await;
    assert!(source.fetch(&query(), soon()).await.is_ok());
    std::fs::remove_file(&token).unwrap();
    let gone = unreachable(source.fetch(&query(), soon()).await);
    assert!(gone.contains("secret file") && !gone.contains("rotated"), "{gone}");

    let basic = MockServer::start().await;
    // `joe:haldane` in base64.
    Mock::given(header("authorization", "Basic am9lOmhhbGRhbmU=")).respond_with(json(200, MATRIX)).expect(1).mount(&basic).await;
    let mut with_password = settings(&basic.uri());
    with_password.basic = Some(BasicSettings { username: "joe".to_owned(), password: SecretSettings::Env("CARGO_PKG_NAME".to_owned()) });
    assert!(fetch(&with_password).await.is_ok());
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let mut with_ca = settings("https://127.0.0.1:1");
    with_ca.ca_file = Some(file.clone());
    assert!(Prometheus::open("main", &with_ca).unwrap_err().contains("cannot be read"));
    for text in ["not a certificate", "", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).unwrap();
        let error = Prometheus::open("main", &with_ca).unwrap_err();
        assert!(error.starts_with("ca_file: ") && error.contains("ca.pem"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_named_where_tls_is_expected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            // Until the other side hangs up, for bytes left unread would take the answer with them.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    // With a CA file of its own, the test needs no certificates on the machine.
    let ca_file = Some(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/prometheus/ca.pem")));
    let message = unreachable(fetch(&PrometheusSettings { ca_file, ..settings(&format!("https://{plain}")) }).await);
    assert!(message.starts_with(&format!("no TLS connection to {plain}")) && message.contains("`ca_file`"), "{message}");
}

#[tokio::test]
async fn a_refused_connection_names_the_host_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let message = unreachable(fetch(&settings(&format!("http://{address}/secret/path"))).await);
    assert_eq!(message, format!("{address} refused the connection"));
}

#[tokio::test]
async fn an_unknown_host_is_told() {
    let message = unreachable(fetch(&settings("http://haldane.invalid:9090")).await);
    assert!(message.contains("haldane.invalid:9090"), "{message}");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_told() {
    let at_once = server(|stream| async move { drop(stream) }).await;
    let message = unreachable(fetch(&settings(&at_once)).await);
    assert!(message.contains("broke off"), "{message}");
    let in_the_body = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"status\":").await;
    })
    .await;
    let message = unreachable(fetch(&settings(&in_the_body)).await);
    assert!(message.contains("broke off"), "{message}");
}

#[tokio::test]
async fn a_slow_store_is_given_up_after_the_timeout() {
    let silent = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let dripping = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for (url, stage) in [(silent, "no reply had begun"), (dripping, "its reply was not complete")] {
        let mut hasty = settings(&url);
        hasty.timeout = Some(Period::from_seconds(1));
        let error = fetch(&hasty).await.unwrap_err();
        assert!(error.reason() == "timeout" && error.to_string().contains(stage), "{error}");
    }
}

#[tokio::test]
async fn an_endless_reply_is_left_at_the_cap() {
    static CHUNK: [u8; 65_536] = [b' '; 65_536];
    const OFFERED: u64 = 200 << 20;
    for head in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 209715200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let sent = Arc::new(AtomicU64::new(0));
        let (ended, mut end) = tokio::sync::mpsc::channel(1);
        let counter = Arc::clone(&sent);
        let url = server(move |mut stream| {
            let (counter, ended) = (Arc::clone(&counter), ended.clone());
            async move {
                let chunked = head.ends_with(b"chunked\r\n\r\n");
                let _ = stream.write_all(head).await;
                while counter.load(Ordering::SeqCst) < OFFERED {
                    if chunked && stream.write_all(b"10000\r\n").await.is_err() {
                        break;
                    }
                    if stream.write_all(&CHUNK).await.is_err() || (chunked && stream.write_all(b"\r\n").await.is_err()) {
                        break;
                    }
                    counter.fetch_add(CHUNK.len() as u64, Ordering::SeqCst);
                }
                let _ = ended.send(()).await;
            }
        })
        .await;
        let mut capped = settings(&url);
        capped.max_reply_bytes = NonZeroU64::new(1 << 20);
        assert_eq!(fetch(&capped).await, Err(SourceError::TooLarge(1 << 20)));
        end.recv().await.unwrap();
        // The cap, and what the sockets' buffers took.
        assert!(sent.load(Ordering::SeqCst) < OFFERED / 4, "{} bytes were taken", sent.load(Ordering::SeqCst));
    }
}

fn gzip(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for part in parts {
        encoder.write_all(&part).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_replies_are_read_and_bounded_after_decompression() {
    let compressed = |body: Vec<u8>| json(200, "").set_body_raw(body, "application/json").insert_header("content-encoding", "gzip");
    let reply = read(compressed(gzip([MATRIX.as_bytes().to_vec()].into_iter()))).await.unwrap();
    assert_eq!(reply.series.len(), 2);

    let bomb = gzip((0..100).map(|_| vec![b' '; 1 << 20]));
    assert!(bomb.len() < 1 << 20);
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(compressed(bomb)).mount(&server).await;
    let mut capped = settings(&server.uri());
    capped.max_reply_bytes = NonZeroU64::new(1 << 20);
    assert_eq!(fetch(&capped).await, Err(SourceError::TooLarge(1 << 20)));

    let broken = unreadable(read(compressed(b"this is not gzip at all".to_vec())).await);
    assert!(broken.contains("decompressed"), "{broken}");
}

#[tokio::test]
async fn an_account_opened_from_settings_is_cached_and_bounded() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(json(200, MATRIX).set_delay(Duration::from_millis(50))).expect(2).mount(&server).await;
    let settings: SourceSettings = serde_json::from_value(serde_json::json!({
        "kind": "prometheus",
        "url": server.uri(),
        "timeout": "5s",
        "headers": {"X-Plain": {"value": "1"}},
        "max_concurrent": 1,
    }))
    .unwrap();
    let source = MetricStore::open("main", &settings).unwrap();
    assert_eq!(source.kind(), "prometheus");
    let cache = ReplyCache::default();
    let source = Source::new("main", source, &cache);
    let other = Query { text: "down".to_owned(), window: WINDOW, buckets: false };
    let replies = futures::future::join_all([&query(), &other, &query(), &other].map(|query| source.fetch(query, soon()))).await;
    for reply in replies {
        assert_eq!(reply.unwrap().series.len(), 2);
    }
    assert_eq!((source.counts().hits, source.counts().misses), (2, 2));
}

#[test]
fn settings_that_are_wrong_are_refused_by_account_and_field() {
    let read = |value: serde_json::Value| serde_json::from_value::<SourceSettings>(value);
    for wrong in [
        serde_json::json!({"kind": "prometheus"}),
        serde_json::json!({"kind": "prometheus", "url": "http://a", "token": "hunter2"}),
        serde_json::json!({"kind": "prometheus", "url": "http://a", "bearer_token": "hunter2"}),
        serde_json::json!({"kind": "prometheus", "url": "http://a", "basic": {"username": "joe", "password": "hunter2"}}),
        serde_json::json!({"kind": "prometheus", "url": "http://a", "max_concurrent": 0}),
        serde_json::json!({"kind": "prometheus", "url": "http://a", "timeout": "soon"}),
        serde_json::json!({"kind": "promotheus", "url": "http://a"}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
    let mut tenants = settings("http://a");
    tenants.tenant = Some("a".to_owned());
    tenants.headers = BTreeMap::from([("x-scope-orgid".to_owned(), HeaderSettings::Value("b".to_owned()))]);
    tenants.max_concurrent = NonZeroU32::new(4);
    let error = MetricStore::open("main", &SourceSettings::Prometheus(tenants)).unwrap_err();
    assert!(error.to_string().starts_with("source `main`: tenant"), "{error}");
    let absent = PrometheusSettings { bearer_token: Some(SecretSettings::File(PathBuf::from("/no/such/token"))), ..settings("http://a") };
    let error = MetricStore::open("main", &SourceSettings::Prometheus(absent)).unwrap_err();
    assert!(error.to_string().contains("/no/such/token"), "{error}");
}
