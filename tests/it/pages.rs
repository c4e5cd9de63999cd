//! What a judgement says of what was judged, where it is read again, and the pages of the service.

use std::time::Duration;

use haldane::archive::Archive;
use haldane::judgements::Links;
use haldane::settings::Settings;
use reqwest::Response;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

use crate::api::{Server, fetched, inline, problem, prometheus, settings_with};

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn labels() -> Value {
    json!({ "labels": { "service": "checkout", "version": "1.4.2", "build": "https://ci.example/7?a=b" } })
}

fn stored(settings: Settings) -> Settings {
    Settings { store: Some(Archive::open("memory:").unwrap()), ..settings }
}

async fn get_as(server: &Server, path: &str, accept: &'static str) -> Response {
    server.client.get(server.url(path)).header(ACCEPT, accept).send().await.unwrap()
}

fn media_type(response: &Response) -> &str {
    response.headers()["content-type"].to_str().unwrap().split(';').next().unwrap()
}

#[tokio::test]
async fn a_scorecard_says_what_was_judged_and_where_it_is_read() {
    let store = prometheus(Duration::ZERO).await;
    let mut settings = settings_with(&store.uri());
    let template = format!("{}/graph?q={{query}}&r={{range}}", store.uri());
    let source = json!({ "kind": "prometheus", "url": store.uri(), "explore_url": template });
    settings.sources = [("prometheus".to_owned(), serde_json::from_value(source).unwrap())].into();
    settings.links = Links::to("https://haldane.example/base/").unwrap();
    let server = Server::start(settings).await;
    let body = with(fetched(), &labels());
    let body = with(body, &json!({ "canary": { "scope": "b", "location": "eu", "variables": {} }, "released_at": "2026-01-01T00:00:00Z" }));
    let card: Value = server.judge("", &body).await.json().await.unwrap();
    assert_eq!(card["labels"], labels()["labels"], "{card}");
    assert_eq!(card["version"], env!("CARGO_PKG_VERSION"));
    let data = &card["data"];
    assert_eq!((&data["baseline"], &data["canary"]), (&json!({ "scope": "a" }), &json!({ "scope": "b", "location": "eu" })));
    assert_eq!(data["released_at"], "2026-01-01T00:00:00Z");
    assert_eq!(card["url"], json!(format!("https://haldane.example/base/v1/judgements/{}", card["id"].as_str().unwrap())));
    let link = data["metrics"][0]["queries"][0]["explore_url"].as_str().unwrap();
    assert_eq!(link, format!("{}/graph?q=p95%7Bapp%3D%22a%22%7D&r=3600", store.uri()));

    // Without an address of its own the service says nothing of one.
    let plain: Value = Server::start(settings_with(&store.uri())).await.judge("", &fetched()).await.json().await.unwrap();
    assert!(
        plain.get("url").is_none()
            && plain.get("labels").is_none()
            && plain["data"]["metrics"][0]["queries"][0].get("explore_url").is_none()
    );
}

#[tokio::test]
async fn labels_are_bounded_and_decide_nothing() {
    let server = Server::start(Settings::default()).await;
    let plain: Value = server.judge("", &inline(100.0, 160.0)).await.json().await.unwrap();
    let labelled: Value = server.judge("", &with(inline(100.0, 160.0), &labels())).await.json().await.unwrap();
    assert_eq!(
        (&plain["metrics"], &plain["verdict"], &plain["data"]["digest"]),
        (&labelled["metrics"], &labelled["verdict"], &labelled["data"]["digest"])
    );
    for (wrong, pointer) in [
        (json!({ "labels": { "a b": "c" } }), "/labels"),
        (json!({ "labels": { "a": "x".repeat(513) } }), "/labels/a"),
        (json!({ "labels": { "a": 7 } }), "/labels/a"),
        (json!({ "labels": ["a"] }), "/labels"),
        (json!({ "labels": (0..33).map(|i| (format!("l{i}"), json!("x"))).collect::<serde_json::Map<_, _>>() }), "/labels"),
    ] {
        let problem = problem(server.judge("", &with(inline(100.0, 160.0), &wrong)).await, 422).await;
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_judgement_is_answered_in_the_form_that_is_asked_for() {
    let server = Server::start(stored(Settings::default())).await;
    let body = with(inline(100.0, 160.0), &labels());
    let card: Value = server.judge("", &body).await.json().await.unwrap();
    let path = format!("/v1/judgements/{}", card["id"].as_str().unwrap());

    for (end, accept, media, says) in [
        (".html", "*/*", "text/html", "<!DOCTYPE html>"),
        ("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html", "<!DOCTYPE html>"),
        (".md", "text/html", "text/markdown", "## "),
        ("", "text/markdown", "text/markdown", "## "),
        (".txt", "*/*", "text/plain", "FAIL"),
        (".xml", "*/*", "application/xml", "<testsuites"),
        ("", "application/xml", "application/xml", "<testsuites"),
        (".json", "text/html", "application/json", "\"verdict\":\"fail\""),
        ("", "*/*", "application/json", "\"verdict\":\"fail\""),
        ("", "image/webp", "application/json", "\"verdict\":\"fail\""),
    ] {
        let response = get_as(&server, &format!("{path}{end}"), accept).await;
        assert_eq!((response.status().as_u16(), media_type(&response)), (200, media), "{end} {accept}");
        assert_eq!(response.headers()["vary"], "accept");
        let text = response.text().await.unwrap();
        assert!(text.contains(says) && (media == "application/json" || text.contains("1.4.2")), "{end} {accept}: {text}");
    }
    // The page draws both arms, whatever JSON shows.
    assert!(server.get(&format!("{path}.html")).await.text().await.unwrap().contains("<svg"));
    assert!(server.get(&path).await.json::<Value>().await.unwrap()["data"]["metrics"][0].get("samples").is_none());

    let posted = server.client.post(server.url("/v1/judgements")).header(ACCEPT, "text/html").json(&body).send().await.unwrap();
    assert_eq!(media_type(&posted), "text/html");

    let unknown = get_as(&server, "/v1/judgements/01ARZ3NDEKTSV4RRFFQ69G5FAV.html", "*/*").await;
    assert_eq!((unknown.status().as_u16(), media_type(&unknown)), (404, "text/html"));
    assert_eq!(unknown.headers()["content-security-policy"], "frame-ancestors 'none'");
    problem(server.get("/v1/judgements/01ARZ3NDEKTSV4RRFFQ69G5FAV").await, 404).await;
}

#[tokio::test]
async fn a_judgement_under_way_is_a_page_that_asks_again() {
    let store = prometheus(Duration::from_secs(3600)).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let started = server.client.post(server.url("/v1/judgements")).header("Prefer", "respond-async").json(&fetched()).send().await.unwrap();
    let location = started.headers()["location"].to_str().unwrap().to_owned();
    let page = get_as(&server, &location, "text/html").await;
    assert_eq!((page.status().as_u16(), media_type(&page)), (202, "text/html"));
    assert!(page.text().await.unwrap().contains("http-equiv=\"refresh\""));
}

async fn listed(server: &Server, query: &str) -> (Vec<String>, Option<String>) {
    let list: Value = server.get(&format!("/v1/judgements{query}")).await.json().await.unwrap();
    let name = |one: &Value| format!("{} {}", one["labels"]["n"].as_str().unwrap(), one["verdict"].as_str().unwrap());
    let names = list["judgements"].as_array().unwrap_or_else(|| panic!("{list}")).iter().map(name).collect();
    (names, list["next"].as_str().map(str::to_owned))
}

/// Judges three canaries, the second of which is bad.
async fn judge_three(server: &Server, body: impl Fn(usize) -> Value) {
    for n in 0..3 {
        let response = server.judge("", &with(body(n), &json!({ "labels": { "n": n.to_string() } }))).await;
        assert_eq!(response.status(), 200);
    }
}

/// The list once the store has all, which is written after the answers.
async fn settled(server: &Server) {
    while listed(server, "").await.0.len() < 3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_store_lists_its_judgements_newest_first_in_pages_and_filtered() {
    let server = Server::start(stored(Settings::default())).await;
    judge_three(&server, |n| inline(100.0, if n == 1 { 160.0 } else { 100.0 })).await;
    settled(&server).await;
    let all = ["2 pass", "1 fail", "0 pass"];
    assert_eq!(listed(&server, "").await, (all.map(str::to_owned).to_vec(), None));
    assert_eq!(listed(&server, "?verdict=fail").await.0, ["1 fail"]);
    assert_eq!(listed(&server, "?label=n=2&config=latency-only").await.0, ["2 pass"]);
    assert_eq!(listed(&server, "?config=other").await.0, [""; 0]);
    let (mut seen, mut next) = listed(&server, "?limit=1").await;
    while let Some(address) = next {
        let page = listed(&server, address.strip_prefix("/v1/judgements").unwrap()).await;
        seen.extend(page.0);
        next = page.1;
    }
    assert_eq!(seen, all);
    problem(server.get("/v1/judgements?verdict=maybe").await, 400).await;
}

#[tokio::test]
async fn without_a_store_a_replica_lists_what_it_remembers() {
    let store = prometheus(Duration::ZERO).await;
    let server = Server::start(settings_with(&store.uri())).await;
    judge_three(&server, |_| fetched()).await;
    let (names, next) = listed(&server, "").await;
    assert_eq!((names.len(), next), (3, None));
    assert!(names[0].starts_with('2') && names[2].starts_with('0'), "{names:?}");
    // Each is there under its id.
    let list: Value = server.get("/v1/judgements?label=n=1").await.json().await.unwrap();
    let id = list["judgements"][0]["id"].as_str().unwrap();
    let card: Value = server.get(&format!("/v1/judgements/{id}")).await.json().await.unwrap();
    assert_eq!(card["labels"]["n"], "1");
}

#[tokio::test]
async fn the_start_page_shows_judgements_configs_and_sources_and_hostile_names_do_no_harm() {
    let store = prometheus(Duration::ZERO).await;
    let server = Server::start(settings_with(&store.uri())).await;
    let empty = server.get("/").await.text().await.unwrap();
    assert!(empty.contains("Nothing that this service remembers") && empty.contains("not asked yet"), "{empty}");
    let hostile = json!({ "labels": { "service": "<script>alert(1)</script>\u{1b}[31m\u{202e}" } });
    assert_eq!(server.judge("", &with(fetched(), &hostile)).await.status(), 200);
    let response = server.get("/").await;
    assert_eq!(media_type(&response), "text/html");
    let page = response.text().await.unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains(['\u{1b}', '\u{202e}']), "{page}");
    for part in ["http-golden-signals", "answers", "prometheus", "clean"] {
        assert!(page.contains(part), "{part}");
    }
    let sources: Value = server.get("/v1/sources").await.json().await.unwrap();
    assert_eq!((&sources["sources"][0]["name"], &sources["sources"][0]["answers"]), (&json!("prometheus"), &json!(true)));
    let docs = server.get("/docs").await.text().await.unwrap();
    assert!(docs.contains("POST /v1/judgements") && docs.contains("schema-Scorecard") && !docs.contains("<script"));
}

#[tokio::test]
async fn the_form_judges_pasted_columns_and_a_file_and_says_what_is_wrong() {
    let server = Server::start(Settings::default()).await;
    let lines = |level: f64| (0..30).map(|i| format!("{}\n", level + f64::from(i * 7 % 11))).collect::<String>();
    let send = async |parts: &[(&'static str, String)]| {
        let boundary = "boundary-of-parts";
        let part =
            |(name, value): &(&str, String)| format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        let body = parts.iter().map(part).collect::<String>() + &format!("--{boundary}--\r\n");
        let request = server.client.post(server.url("/try")).header("Content-Type", format!("multipart/form-data; boundary={boundary}"));
        request.body(body).send().await.unwrap()
    };
    let named = || [("name", "p95 of <b>".to_owned()), ("unit", "ms".to_owned()), ("direction", "increase".to_owned())];
    let pasted = [("baseline", lines(100.0)), ("canary", lines(180.0))].into_iter().chain(named()).collect::<Vec<_>>();
    let response = send(&pasted).await;
    assert_eq!((response.status().as_u16(), media_type(&response)), (200, "text/html"));
    let page = response.text().await.unwrap();
    assert!(page.contains("fail") && page.contains("p95 of &lt;b&gt;") && page.contains("<svg"), "{page}");

    let rows = (0..30).map(|i| format!("{},{}\n", 100 + i * 7 % 11, 100 + i * 5 % 11)).collect::<String>();
    let page = send(&[("file", format!("baseline,canary\n{rows}"))]).await.text().await.unwrap();
    assert!(page.contains("<svg"), "{page}");

    for (parts, status, said) in [
        (vec![("baseline", "1\nx\n".to_owned()), ("canary", "1".to_owned())], 422, "is not a number"),
        (vec![], 422, "has no points"),
        (vec![("baseline", "1 ".repeat(5 << 20))], 413, "longer than"),
        (vec![("baseline", lines(1.0)), ("canary", lines(1.0)), ("step", "soon".to_owned())], 422, "step"),
    ] {
        let response = send(&parts).await;
        assert_eq!((response.status().as_u16(), media_type(&response)), (status, "text/html"));
        let page = response.text().await.unwrap();
        assert!(page.contains(said), "{said}: {page}");
    }
}
