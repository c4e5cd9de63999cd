//! The HTTP client that stores share, against servers that fail, limit, and ask for certificates.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haldane::source::SourceError;
use haldane::source::http::{
    BasicSettings, CertificateSettings, Client, ClientSettings, ConnectionSettings, Content, HttpReply, HttpRequest, ProxySettings,
    ReplyContent, SecretSettings,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use wiremock::matchers::{body_string_contains, header, path};
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use crate::support::haldane::{client, command};
use crate::support::process::Server;

/// The text of a reply that went well.
struct Text(String);

impl ReplyContent for Text {
    fn points(&self) -> usize {
        self.0.len()
    }

    fn warn(&mut self, warning: String) {
        self.0.push_str(&warning);
    }
}

fn read(reply: &HttpReply) -> Result<Text, SourceError> {
    match reply.status.as_u16() {
        200 => Ok(Text(String::from_utf8_lossy(&reply.body).into_owned())),
        429 => Err(SourceError::RateLimited("429".to_owned())),
        500..=599 => Err(SourceError::Unreachable(reply.status.to_string())),
        _ => Err(SourceError::Refused(reply.status.to_string())),
    }
}

fn settings() -> ClientSettings {
    ClientSettings { timeout: Some(Duration::from_secs(10)), ..ClientSettings::default() }
}

async fn ask(client: &Client, deadline: Duration) -> Result<String, SourceError> {
    let url = client.endpoint(&["query"]);
    let request = HttpRequest { method: Method::GET, url: &url, content: Content::Query(&[("query", "secret_metric")]), splits: false };
    client.ask(&request, Instant::now() + deadline, read).await.map(|text| text.0)
}

async fn asked(url: &str, settings: &ClientSettings) -> Result<String, SourceError> {
    ask(&Client::open("main", "store", url, settings).unwrap(), Duration::from_secs(30)).await
}

/// Answers with each of these in turn, and with the last of them from then on.
struct InTurn(Vec<ResponseTemplate>, AtomicUsize);

impl InTurn {
    fn of<const N: usize>(replies: [ResponseTemplate; N]) -> Self {
        Self(replies.to_vec(), AtomicUsize::new(0))
    }
}

impl Respond for InTurn {
    fn respond(&self, _: &wiremock::Request) -> ResponseTemplate {
        let turn = self.1.fetch_add(1, Ordering::SeqCst);
        self.0[turn.min(self.0.len() - 1)].clone()
    }
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

fn good() -> ResponseTemplate {
    status(200).set_body_string("good")
}

async fn server(respond: impl Respond + 'static, expected: impl Into<wiremock::Times>) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/query")).respond_with(respond).expect(expected).mount(&server).await;
    server
}

#[tokio::test]
async fn what_fails_for_the_stores_sake_is_asked_again_and_no_more_often_than_is_set() {
    let recovers = server(InTurn::of([status(503), status(500), good()]), 3).await;
    assert_eq!(asked(&recovers.uri(), &settings()).await.unwrap(), "good");
    let never = server(status(502), 3).await;
    let twice = ConnectionSettings { retries: Some(2), ..ConnectionSettings::default() };
    let error = asked(&never.uri(), &ClientSettings { connection: twice, ..settings() }).await.unwrap_err().to_string();
    assert!(error.contains("502 Bad Gateway (3 tries in "), "{error}");
    let once = server(status(502), 1).await;
    let none = ConnectionSettings { retries: Some(0), ..ConnectionSettings::default() };
    let error = asked(&once.uri(), &ClientSettings { connection: none, ..settings() }).await.unwrap_err().to_string();
    assert!(!error.contains("tries"), "{error}");
}

#[tokio::test]
async fn a_store_that_quotes_the_request_gives_no_secret_away() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "hunter2").unwrap();
    struct Echo;
    impl Respond for Echo {
        fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
            ResponseTemplate::new(400).set_body_string(format!("{:?}", request.headers))
        }
    }
    let echo = server(Echo, 2).await;
    let secret = || SecretSettings::File(token.path().to_owned());
    let quoting = |reply: &HttpReply| -> Result<Text, SourceError> { Err(SourceError::Refused(reply.beginning(2_000))) };
    for (settings, part) in [
        (ClientSettings { bearer_token: Some(secret()), ..settings() }, "Bearer <redacted>"),
        // joe:hunter2
        (
            ClientSettings { basic: Some(BasicSettings { username: "joe".to_owned(), password: secret() }), ..settings() },
            "Basic <redacted>",
        ),
    ] {
        let client = Client::open("main", "store", &echo.uri(), &settings).unwrap();
        let url = client.endpoint(&["query"]);
        let request = HttpRequest { method: Method::GET, url: &url, content: Content::Query(&[]), splits: false };
        let error = client.ask(&request, Instant::now() + Duration::from_secs(30), quoting).await.err().unwrap().to_string();
        assert!(error.contains(part) && !error.contains("hunter2") && !error.contains("am9lOmh1bnRlcjI="), "{error}");
    }
}

#[tokio::test]
async fn what_the_store_refuses_is_asked_once() {
    for code in [400, 401, 403, 404, 422] {
        let server = server(status(code), 1).await;
        assert_eq!(asked(&server.uri(), &settings()).await.unwrap_err().reason(), "refused", "{code}");
    }
}

#[tokio::test]
async fn the_time_that_a_reply_asks_for_is_waited_and_holds_for_all_of_the_account() {
    let limited = server(InTurn::of([status(429).insert_header("retry-after", "1"), good()]), 2).await;
    let client = Client::open("main", "store", &limited.uri(), &settings()).unwrap();
    let began = Instant::now();
    assert_eq!(ask(&client, Duration::from_secs(30)).await.unwrap(), "good");
    assert!(began.elapsed() >= Duration::from_secs(1), "not before it was told");

    let long = server(status(429).insert_header("retry-after", "600"), 1).await;
    let client = Client::open("main", "store", &long.uri(), &settings()).unwrap();
    let error = ask(&client, Duration::from_secs(30)).await.unwrap_err();
    assert!(error.reason() == "rate_limited" && error.to_string().contains("asks to wait 600 s"), "{error}");
    // The next one knows, and does not even ask.
    let error = ask(&client, Duration::from_secs(30)).await.unwrap_err();
    assert!(error.reason() == "rate_limited" && error.to_string().contains("is used up for another"), "{error}");
    assert_eq!(client.traffic().requests, 1);
}

#[tokio::test]
async fn the_stores_rate_limit_headers_are_obeyed_by_all_who_ask_at_once() {
    let limited = |remaining: &str| {
        good()
            .insert_header("x-ratelimit-limit", "3")
            .insert_header("x-ratelimit-period", "3600")
            .insert_header("x-ratelimit-remaining", remaining)
            .insert_header("x-ratelimit-reset", "3600")
            .insert_header("x-ratelimit-name", "queries")
    };
    let server = server(InTurn::of([limited("2"), limited("1"), limited("0")]), 3).await;
    let settings = ClientSettings { rate_limit_headers: true, ..settings() };
    let client = Client::open("main", "store", &server.uri(), &settings).unwrap();
    assert!(ask(&client, Duration::from_secs(30)).await.is_ok());
    let all = futures::future::join_all((0..20).map(|_| ask(&client, Duration::from_secs(30)))).await;
    assert_eq!(all.iter().filter(|reply| reply.is_ok()).count(), 2);
    for error in all.into_iter().filter_map(Result::err) {
        assert!(error.to_string().contains("`queries` of 3 requests in 3600 s is used up"), "{error}");
    }
}

#[tokio::test]
async fn no_more_requests_than_are_allowed_are_under_way_and_connections_are_used_again() {
    let (now, most, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counts = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&connections));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counts.2.fetch_add(1, Ordering::SeqCst);
            let (now, most) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                // A GET without a body comes in one piece here.
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood").await;
                }
            });
        }
    });
    let client = Client::open("main", "store", &url, &ClientSettings { max_concurrent: Some(3), ..settings() }).unwrap();
    let all = futures::future::join_all((0..30).map(|_| ask(&client, Duration::from_secs(30)))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(connections.load(Ordering::SeqCst) <= 6, "{} connections for 30 requests", connections.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_clock_that_is_minutes_off_is_told() {
    let skewed = server(good().insert_header("date", "Wed, 21 Oct 2015 07:28:00 GMT"), 1).await;
    let text = asked(&skewed.uri(), &settings()).await.unwrap();
    assert!(text.starts_with("good") && text.contains("the store's clock is") && text.contains("behind ours"), "{text}");
    // What lies in a cache in between is old, and says so.
    let cached = server(good().insert_header("date", "Wed, 21 Oct 2015 07:28:00 GMT").insert_header("age", "99"), 1).await;
    assert_eq!(asked(&cached.uri(), &settings()).await.unwrap(), "good");
}

/// A certificate authority with what it has signed, as PEM files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), issuer }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    fn ca_file(&self) -> PathBuf {
        self.write("ca.pem", &self.issuer.pem())
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A server at `localhost` that shows a certificate of this authority, and asks for one where it must.
    async fn server(&self, asks_for_certificate: bool) -> String {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if asks_for_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.sign("localhost");
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], key).unwrap();
        let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood").await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        format!("https://localhost:{port}")
    }
}

fn once(ca_file: Option<&Path>, client_certificate: Option<CertificateSettings>) -> ClientSettings {
    let connection = ConnectionSettings { retries: Some(0), client_certificate, ..ConnectionSettings::default() };
    ClientSettings { ca_file: ca_file.map(Path::to_owned), connection, ..settings() }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named_and_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let url = authority.server(false).await;
    assert_eq!(asked(&url, &once(Some(&authority.ca_file()), None)).await.unwrap(), "good");
    let error = asked(&url, &once(Some(&other.ca_file()), None)).await.unwrap_err();
    assert!(error.to_string().contains("`ca_file`"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_store_that_asks_for_one() {
    let authority = Authority::new();
    let (url, ca) = (authority.server(true).await, authority.ca_file());
    let (certificate, key) = authority.sign("haldane");
    let cert_file = authority.write("client.pem", &certificate.pem());
    let key_file = authority.write("client.key", &key.serialize_pem());
    let shown = CertificateSettings { cert_file: cert_file.clone(), key_file: key_file.clone() };
    assert_eq!(asked(&url, &once(Some(&ca), Some(shown))).await.unwrap(), "good");
    assert_eq!(asked(&url, &once(Some(&ca), None)).await.unwrap_err().reason(), "unreachable");

    for (cert_file, key_file, part) in [
        (PathBuf::from("/no/such.pem"), key_file.clone(), "connection.client_certificate.cert_file: `/no/such.pem` cannot be read"),
        (cert_file, ca.clone(), "hold no certificate and unencrypted key"),
    ] {
        let settings = once(Some(&ca), Some(CertificateSettings { cert_file, key_file }));
        let error = Client::open("main", "store", &url, &settings).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_is_gone_through_with_its_credentials_but_for_the_hosts_that_are_excepted() {
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "hunter2").unwrap();
    let proxy = MockServer::start().await;
    // joe:hunter2
    Mock::given(header("proxy-authorization", "Basic am9lOmh1bnRlcjI=")).respond_with(good()).expect(1).mount(&proxy).await;
    let settings = |except: &[&str]| {
        let basic = BasicSettings { username: "joe".to_owned(), password: SecretSettings::File(password.path().to_owned()) };
        let except = except.iter().map(|host| (*host).to_owned()).collect();
        let proxy = Some(ProxySettings { url: proxy.uri(), basic: Some(basic), except });
        ClientSettings { connection: ConnectionSettings { proxy, retries: Some(0), ..ConnectionSettings::default() }, ..settings() }
    };
    // Nobody resolves this name: the proxy would.
    assert_eq!(asked("http://store.invalid:9090", &settings(&[])).await.unwrap(), "good");
    let direct = server(good(), 1).await;
    assert_eq!(asked(&direct.uri(), &settings(&["127.0.0.1"])).await.unwrap(), "good");

    let wrong = ProxySettings { url: "http://joe:hunter2@proxy".to_owned(), basic: None, except: Vec::new() };
    let connection = ConnectionSettings { proxy: Some(wrong), ..ConnectionSettings::default() };
    let error = Client::open("main", "store", "http://a", &ClientSettings { connection, ..ClientSettings::default() }).unwrap_err();
    assert!(error.starts_with("connection.proxy.url:") && !error.contains("hunter2"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let read = |value: serde_json::Value| serde_json::from_value::<ConnectionSettings>(value).unwrap();
    for (connection, part) in [
        (json!({ "retries": 11 }), "connection.retries: 11"),
        (json!({ "connect_timeout": "0s" }), "connection.connect_timeout"),
        (json!({ "requests_per_second": 0 }), "connection.requests_per_second: 0"),
        (json!({ "proxy": { "url": "proxy:3128" } }), "connection.proxy.url"),
    ] {
        let settings = ClientSettings { connection: read(connection), ..ClientSettings::default() };
        let error = Client::open("main", "store", "http://a", &settings).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert!(serde_json::from_value::<ConnectionSettings>(json!({ "retrys": 1 })).is_err());
}

/// What a service logs at `level` while it judges one metric over a store that fails once, and one that the store refuses.
async fn log_at(level: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let matrix = json!({ "status": "success", "data": { "resultType": "matrix", "result": [] } });
    let store = MockServer::start().await;
    let refusal = status(400).set_body_json(json!({ "status": "error", "errorType": "bad_data", "error": "no secret_metric here" }));
    let refused = Mock::given(body_string_contains("refused")).respond_with(refusal).expect(2);
    refused.mount(&store).await;
    let rest = Mock::given(path("/api/v1/query_range")).respond_with(InTurn::of([status(503), status(200).set_body_json(matrix)]));
    rest.expect(3).mount(&store).await;
    let token = write("token", "hunter2");
    let settings = json!({ "sources": { "main": {
        "kind": "prometheus", "url": store.uri(), "bearer_token": { "file": token }, "max_concurrent": 1,
    } } });
    let (settings, log) = (write("settings.yaml", &settings.to_string()), write("log", ""));
    let server = Server::start(&log, "/health/ready", |address| {
        let mut command = command();
        command.args(["serve", "--log-format", "text", "--log-level", level, "--listen", &address.to_string()]);
        command.arg("--settings").arg(&settings);
        command
    });
    let metric = |name: &str| json!({ "name": name, "history": { "mode": "off" }, "queries": { "prometheus": format!("{name}{{secret_metric=\"${{scope}}\"}}") } });
    let body = json!({
        "config": { "name": "c", "metrics": [metric("fine"), metric("refused")] },
        "baseline": { "scope": "a" }, "canary": { "scope": "b" },
        "window": { "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T10:20:00Z" },
    });
    let response = client().post(format!("{}/v1/judgements", server.url())).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    drop(server);
    std::fs::read_to_string(&log).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_that_says_how_it_went_and_tells_no_secret_and_no_query() {
    let (info, debug) = (log_at("info").await, log_at("debug").await);
    let has = |log: &str, parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let read = ["DEBUG", "upstream{account=\"main\" store=\"prometheus\"", "tries=2", "status=200", "bytes=63", "points=0"];
    assert!(has(&debug, &read), "{debug}");
    let refused = ["INFO", "account=\"main\"", "store=\"prometheus\"", "tries=1", "status=400", "reason=\"refused\""];
    assert!(has(&info, &refused), "{info}");
    for log in [&info, &debug] {
        assert!(!log.contains("hunter2"), "{log}");
    }
    assert!(!info.contains("secret_metric"), "{info}");
}
