//! Who may ask: tokens, hosts, origins, links.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::overload::store_of;
use super::{Haldane, JUDGEMENT, STORE_JUDGEMENT, eventually, post, status};
use crate::support::haldane::command;

const JSON: &str = "Content-Type: application/json\r\n";

/// A new token, and its line in the file.
fn new_token(arguments: &[&str]) -> (String, String) {
    let made = command().args(["token", "new"]).args(arguments).output().unwrap();
    assert!(made.status.success());
    (String::from_utf8(made.stdout).unwrap().trim().to_owned(), String::from_utf8(made.stderr).unwrap())
}

fn with(line: &str, more: &str) -> String {
    line.trim_end().replace('}', &format!(", {more}}}\n"))
}

/// A service with these lines in its file of tokens.
fn guarded(lines: &str, arguments: &[&str]) -> Haldane {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.yaml");
    std::fs::write(&file, format!("tokens:\n{lines}")).unwrap();
    start(folder, &file, arguments)
}

fn start(folder: TempDir, file: &Path, arguments: &[&str]) -> Haldane {
    let tokens = file.display().to_string();
    let all: Vec<&str> = ["--tokens-file", &tokens].into_iter().chain(arguments.iter().copied()).collect();
    Haldane::start_in(folder, &all, |command| command)
}

fn get(haldane: &Haldane, path: &str, headers: &str) -> String {
    haldane.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn send(haldane: &Haldane, path: &str, headers: &str, body: &str) -> String {
    haldane.ask(&String::from_utf8(post(path, headers, body.as_bytes())).unwrap())
}

#[test]
fn with_tokens_all_is_closed_but_whether_it_lives_and_is_ready() {
    let (token, line) = new_token(&["--name", "ci"]);
    let haldane = guarded(&line, &[]);
    for open in ["/health/live", "/health/ready", "/health"] {
        assert_eq!(status(&haldane.get(open)), 200, "{open}");
    }
    let closed = [
        "/",
        "/metrics",
        "/openapi.json",
        "/v1/judges",
        "/v1/configs",
        "/v1/judgements/x",
        "/canaryConfig",
        "/credentials",
        "/nowhere",
        "/t/",
        "/t/../metrics",
        "/t/%2e%2e/metrics",
        "/t//metrics",
        "//metrics",
        "/health/live/../../metrics",
        "/health/live%2f..%2f..%2fmetrics",
        "/health/../metrics",
        "/health/live/",
        "/t/x/t/y/metrics",
        "/%74/x/metrics",
        "/health/live;/metrics",
        "/canary/..%2fmetrics",
    ];
    for path in closed {
        let answer = haldane.get(path);
        assert!(
            status(&answer) == 401 && answer.contains("www-authenticate: Bearer") && answer.contains("\"message\":"),
            "{path}: {answer}"
        );
    }
    for path in ["/metrics", "/openapi.json", "/v1/judges", "/credentials"] {
        assert_eq!(status(&get(&haldane, path, &bearer(&token))), 200, "{path}");
        assert_eq!(status(&haldane.get(&format!("/t/{token}{path}"))), 200, "{path}");
    }
    assert_eq!(status(&get(&haldane, "/nowhere", &bearer(&token))), 404);
    assert_eq!(status(&send(&haldane, "/v1/judgements", &format!("{JSON}{}", bearer(&token)), JUDGEMENT)), 200);
    assert_eq!(status(&send(&haldane, "/v1/judgements", JSON, JUDGEMENT)), 401);
    assert!(!haldane.log().contains(&token), "no token in the log");
}

#[test]
fn guesses_are_turned_away_and_no_token_shows_anywhere() {
    let (token, line) = new_token(&["--name", "ci"]);
    let haldane = guarded(&line, &["--log-level", "trace"]);
    let digest = line.split("sha256: ").nth(1).unwrap().split(',').next().unwrap();
    let long = "a".repeat(5_000);
    for guess in [&token[..46], &format!("{token}x"), &token.to_uppercase(), digest, "hdn_", "", &long, "null", "%00", "\u{e9}"] {
        let answer = get(&haldane, "/metrics", &bearer(guess));
        assert!(status(&answer) == 401 && !answer.contains(&token), "{guess}: {answer}");
    }
    for header in [format!("Authorization: Basic {token}\r\n"), format!("Authorization: {token}\r\n"), format!("Cookie: token={token}\r\n")]
    {
        assert_eq!(status(&get(&haldane, "/metrics", &header)), 401, "{header}");
    }
    let twice = format!("Authorization: Bearer nothing\r\n{}", bearer(&token));
    assert_eq!(status(&get(&haldane, "/metrics", &twice)), 401, "the first one counts");
    let metrics = haldane.get(&format!("/t/{token}/metrics"));
    assert!(status(&metrics) == 200 && metrics.contains("haldane_access_denied_total{reason=\"unauthenticated\"}"), "{metrics}");
    // A wrong address shows itself in the answer, without the token.
    let lost = haldane.get(&format!("/t/{token}/lost/and/found"));
    assert!(status(&lost) == 404 && lost.contains("/lost/and/found") && !lost.contains(&token), "{lost}");
    assert!(!metrics.contains(&token));
    assert!(!haldane.log().contains(&token), "no token in the log");
}

#[test]
fn roles_and_bounds_are_kept_on_both_surfaces() {
    let (reader, read) = new_token(&["--name", "reader", "--role", "read"]);
    let (judge, judging) = new_token(&["--name", "judge", "--role", "judge"]);
    let (admin, all) = new_token(&["--name", "admin", "--role", "admin"]);
    let (bound, few) = new_token(&["--name", "bound", "--role", "judge"]);
    let few = with(&few, "configs: [http-golden-signals, mine], sources: [eu], applications: [shop]");
    let haldane = guarded(&format!("{read}{judging}{all}{few}"), &["--store", "memory:", "--prometheus", "http://127.0.0.1:9"]);
    let config = r#"{"name":"x","applications":["shop"],"metrics":[],"judge":{"name":"NetflixACAJudge-v1.0","judgeConfigurations":{}},
        "classifier":{"groupWeights":{}},"templates":{},"configVersion":"1"}"#;
    let asked = |token: &str, path: &str, body: &str| status(&send(&haldane, path, &format!("{JSON}{}", bearer(token)), body));
    for (token, judged, written) in [(&reader, 403, 403), (&judge, 200, 403), (&admin, 200, 200)] {
        assert_eq!(asked(token, "/v1/judgements", JUDGEMENT), judged);
        assert_eq!(asked(token, "/canaryConfig", config), written);
        assert_eq!(asked(token, "/canaryConfig/", config) == 403, written == 403);
        assert_eq!(status(&get(&haldane, "/v1/configs", &bearer(token))), 200);
    }
    let denied = |answer: &str, word: &str| assert!(status(answer) == 403 && answer.contains(word), "{word}: {answer}");
    let headers = format!("{JSON}{}", bearer(&bound));
    denied(&send(&haldane, "/v1/judgements", &headers, JUDGEMENT), "comes with the request");
    denied(&send(&haldane, "/v1/judgements", &headers, &super::STORE_JUDGEMENT.replace("http-golden-signals", "grpc")), "`grpc`");
    denied(&send(&haldane, "/v1/judgements", &headers, super::STORE_JUDGEMENT), "the source `prometheus`");
    denied(&send(&haldane, "/canary?application=shop", &headers, "{}"), "comes with the request");
    denied(&send(&haldane, "/canary/other?application=shop&metricsAccountName=eu", &headers, "{}"), "the config `other`");
    denied(&send(&haldane, "/canary/mine?application=bank&metricsAccountName=eu", &headers, "{}"), "the application `bank`");
    denied(
        &send(&haldane, "/canary/mine?application=shop&application=bank&metricsAccountName=eu", &headers, "{}"),
        "the application `bank`",
    );
    denied(&send(&haldane, "/canary/mine?application=shop", &headers, "{}"), "a source that the request does not name");
    denied(&send(&haldane, "/canary/m%69ne%2Fx?application=shop&metricsAccountName=eu", &headers, "{}"), "the config");
    denied(&get(&haldane, "/canary/executions", &bearer(&bound)), "an application that the request does not name");
    // Past the bounds: there is no such config.
    assert_eq!(status(&send(&haldane, "/canary/m%69ne?application=shop&metricsAccountName=eu", &headers, "{}")), 404);
}

#[test]
fn a_bound_token_sees_and_writes_nothing_of_others_by_any_route() {
    let (admin, all) = new_token(&["--name", "admin", "--role", "admin"]);
    let (bound, few) = new_token(&["--name", "bound", "--role", "admin"]);
    let few = with(&few, "configs: [http-golden-signals, mine], sources: [eu], applications: [shop]");
    let haldane = guarded(&format!("{all}{few}"), &["--store", "memory:", "--prometheus", "http://127.0.0.1:9"]);
    let config = |id: &str, application: &str| {
        format!(
            r#"{{"id":"{id}","name":"{id}","applications":["{application}"],"metrics":[],"judge":{{"name":"NetflixACAJudge-v1.0","judgeConfigurations":{{}}}},
            "classifier":{{"groupWeights":{{}}}},"templates":{{}},"configVersion":"1"}}"#
        )
    };
    let request = |method: &str, token: &str, path: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}{}", bearer(token));
        haldane.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    for (id, application) in [("mine", "shop"), ("hidden", "bank"), ("theirs", "shop")] {
        assert_eq!(status(&request("POST", &admin, "/canaryConfig", &config(id, application))), 200);
    }
    let labelled = JUDGEMENT.replacen('{', "{\"labels\":{\"service\":\"vault\"},", 1);
    let judged = send(&haldane, "/v1/judgements", &format!("{JSON}{}", bearer(&admin)), &labelled);
    assert_eq!(status(&judged), 200, "{judged}");
    assert!(get(&haldane, "/", &bearer(&admin)).contains("vault"));
    let start = get(&haldane, "/", &bearer(&bound));
    assert!(status(&start) == 200 && start.contains("http-golden-signals"), "{start}");
    for foreign in ["vault", "http-low-traffic", "127.0.0.1:9", ">prometheus<"] {
        assert!(!start.contains(foreign), "{foreign}: {start}");
    }
    for path in [
        "/v1/judgements",
        "/v1/judgements?config=mine",
        "/v1/configs/http-low-traffic",
        "/metrics",
        "/canaryResultArchive",
        "/canaryResultArchive/",
        "/metricSetList",
        "/metricSetPairList",
        "/canaryConfig/hidden",
        "/canaryConfig/theirs",
    ] {
        let answer = get(&haldane, path, &bearer(&bound));
        assert!(status(&answer) == 403 && !answer.contains("bank"), "{path}: {answer}");
        assert_ne!(status(&get(&haldane, path, &bearer(&admin))), 403, "{path}");
    }
    for (path, shown, hidden) in [
        ("/v1/configs", "http-golden-signals", "http-low-traffic"),
        ("/v1/sources", "sources", "prometheus"),
        ("/credentials", "memory", "prometheus"),
        ("/metricsServices", "[", "prometheus"),
        ("/canaryConfig", "mine", "hidden"),
        ("/canaryConfig?application=shop", "mine", "theirs"),
    ] {
        let answer = get(&haldane, path, &bearer(&bound));
        assert!(status(&answer) == 200 && answer.contains(shown) && !answer.contains(hidden), "{path}: {answer}");
    }
    let execution = json!({
        "canaryConfig": serde_json::from_str::<serde_json::Value>(&config("any", "bank").replace("\"metrics\":[]", r#""metrics":[{"name":"m",
            "query":{"type":"prometheus","serviceType":"prometheus","customInlineTemplate":"PromQL:up"},"scopeName":"default","groups":["g"]}]"#)).unwrap(),
        "executionRequest": {"scopes": {"default": {
            "controlScope": {"scope": "a", "location": "l", "start": "2026-11-01T10:00:00Z", "end": "2026-11-01T11:00:00Z", "step": 60},
            "experimentScope": {"scope": "b", "location": "l", "start": "2026-11-01T10:00:00Z", "end": "2026-11-01T11:00:00Z", "step": 60}}},
            "thresholds": {"pass": 90, "marginal": 50}},
    });
    let begin = |path: &str, body: &str, field: &str| {
        let begun = request("POST", &admin, path, body);
        begun.split(&format!("{field}\":\"")).nth(1).unwrap_or_else(|| panic!("{begun}")).split('"').next().unwrap().to_owned()
    };
    let foreign = begin("/canary?application=bank&metricsAccountName=prometheus", &execution.to_string(), "canaryExecutionId");
    let foreign_set = begin(
        "/fetch/prometheus/query?metricsAccountName=prometheus&metricSetName=m&metricName=m&customFilter=PromQL:up&scope=a&start=2026-11-01T10:00:00Z&end=2026-11-01T11:00:00Z&step=60",
        "",
        "metricSetListId",
    );
    let stored_pairs = begin("/metricSetPairList", "[]", "metricSetPairListId");
    for path in [
        format!("/canary/{foreign}"),
        format!("/metricSetPairList/{foreign}.pairs"),
        format!("/metricSetPairList/{foreign}.pairs/x"),
        format!("/metricSetPairList/{stored_pairs}"),
        format!("/metricSetList/{foreign_set}"),
        format!("/canaryResultArchive/{foreign}"),
        format!("/judges/judge?canaryConfigId=mine&metricSetPairListId={stored_pairs}&passThreshold=90&marginalThreshold=50"),
    ] {
        let (method, body) = if path.starts_with("/judges") { ("POST", "{}") } else { ("GET", "") };
        let answer = request(method, &bound, &path, body);
        let hidden = status(&answer) == 403 || path.starts_with("/canaryResultArchive") && status(&answer) == 404;
        assert!(hidden && !answer.contains("bank"), "{path}: {answer}");
    }
    let theirs = judged.split("\"id\":\"").nth(1).unwrap_or_else(|| panic!("{judged}")).split('"').next().unwrap();
    for form in ["", ".html", ".md", "/link"] {
        let answer = get(&haldane, &format!("/v1/judgements/{theirs}{form}"), &bearer(&bound));
        assert!(status(&answer) == 403 && !answer.contains("vault"), "{form}: {answer}");
    }
    let archived = r#"{"application":"bank","complete":true,"status":"succeeded"}"#;
    for (method, path, body) in [
        ("POST", "/canaryConfig", config("new", "shop")),
        ("PUT", "/canaryConfig/hidden", config("hidden", "shop")),
        ("PUT", "/canaryConfig/mine", config("mine", "bank")),
        ("DELETE", "/canaryConfig/hidden", String::new()),
        ("POST", "/canaryResultArchive", archived.to_owned()),
        ("PUT", "/canaryResultArchive/x", archived.to_owned()),
        ("DELETE", "/canaryResultArchive/x", String::new()),
        ("POST", "/metricSetPairList", "[]".to_owned()),
        ("DELETE", "/metricSetList/x", String::new()),
        ("POST", "/canary/theirs?application=shop&metricsAccountName=eu", "{}".to_owned()),
        ("PUT", &format!("/pipelines/{foreign}/cancel"), String::new()),
    ] {
        assert_eq!(status(&request(method, &bound, path, &body)), 403, "{method} {path}");
    }
    assert_eq!(status(&request("PUT", &bound, "/canaryConfig/mine", &config("mine", "shop"))), 200);
    assert_eq!(status(&request("DELETE", &bound, "/canaryConfig/mine", "")), 204);
}

#[test]
fn a_token_that_is_bound_to_sources_alone_learns_nothing_of_other_sources() {
    let (admin, all) = new_token(&["--name", "admin", "--role", "admin"]);
    let (bound, few) = new_token(&["--name", "bound", "--role", "judge"]);
    let few = with(&few, "sources: [eu]");
    let (folder, store) = (tempfile::tempdir().unwrap(), store_of("[]"));
    let settings = folder.path().join("settings.yaml");
    let sources = ["eu", "bank"].map(|name| format!("  {name}: {{kind: prometheus, url: '{}'}}\n", store.uri())).concat();
    std::fs::write(&settings, format!("sources:\n{sources}  vault: {{kind: prometheus, url: 'http://127.0.0.1:9'}}\n")).unwrap();
    let arguments = ["--store", "memory:", "--settings", settings.to_str().unwrap(), "--public-url", "http://haldane.example"];
    let haldane = guarded(&format!("{all}{few}"), &arguments);
    let judge = |token: &str, source: &str, headers: &str| {
        let body = STORE_JUDGEMENT.replacen('{', &format!("{{{source}"), 1);
        send(&haldane, "/v1/judgements", &format!("{JSON}{headers}{}", bearer(token)), &body)
    };
    let id_of = |answer: &str| answer.split("\"id\":\"").nth(1).unwrap_or_else(|| panic!("{answer}")).split('"').next().unwrap().to_owned();
    let own = id_of(&judge(&admin, r#""source":"eu","#, ""));
    let others = id_of(&judge(&admin, r#""source":"bank","#, ""));
    let failed = id_of(&judge(&admin, r#""source":"vault","#, "Prefer: respond-async\r\n"));
    eventually("a failure", || status(&get(&haldane, &format!("/v1/judgements/{failed}?wait=5"), &bearer(&admin))) == 502);

    let list = get(&haldane, "/v1/judgements?config=http-golden-signals", &bearer(&bound));
    assert!(status(&list) == 200 && list.contains(&own) && !list.contains(&others), "{list}");
    let list = get(&haldane, "/v1/judgements?config=http-golden-signals", &bearer(&admin));
    assert!(list.contains(&own) && list.contains(&others), "{list}");
    assert_eq!(status(&get(&haldane, &format!("/v1/judgements/{own}/link"), &bearer(&bound))), 200);
    for id in [&others, &failed] {
        for form in ["", ".html", "/link"] {
            let answer = get(&haldane, &format!("/v1/judgements/{id}{form}"), &bearer(&bound));
            assert!(status(&answer) == 403 && !answer.contains("127.0.0.1"), "{form}: {answer}");
        }
    }
    assert_eq!(status(&get(&haldane, "/v1/judgements/nothing/link", &bearer(&bound))), 404);
    for source in [r#""source":"zz","#, ""] {
        let answer = judge(&bound, source, "");
        assert!(matches!(status(&answer), 403 | 422) && answer.contains("eu") && !answer.contains("vault"), "{answer}");
    }

    let execution = json!({
        "canaryConfig": {"name": "c", "applications": ["shop"], "metrics": [{"name": "m", "query": {"type": "prometheus",
            "serviceType": "prometheus", "customInlineTemplate": "PromQL:up"}, "scopeName": "default", "groups": ["g"]}],
            "judge": {"name": "NetflixACAJudge-v1.0", "judgeConfigurations": {}}, "classifier": {"groupWeights": {}}, "templates": {},
            "configVersion": "1"},
        "executionRequest": {"scopes": {"default": {
            "controlScope": {"scope": "a", "location": "l", "start": "2026-11-01T10:00:00Z", "end": "2026-11-01T11:00:00Z", "step": 60},
            "experimentScope": {"scope": "b", "location": "l", "start": "2026-11-01T10:00:00Z", "end": "2026-11-01T11:00:00Z", "step": 60}}},
            "thresholds": {"pass": 90, "marginal": 50}},
    });
    for source in ["eu", "bank"] {
        let path = format!("/canary?application=shop&metricsAccountName={source}");
        assert_eq!(status(&send(&haldane, &path, &format!("{JSON}{}", bearer(&admin)), &execution.to_string())), 200);
    }
    let list = get(&haldane, "/canary/executions?application=shop", &bearer(&bound));
    assert!(status(&list) == 200 && list.contains("\"eu\"") && !list.contains("\"bank\""), "{list}");
    assert!(get(&haldane, "/canary/executions?application=shop", &bearer(&admin)).contains("\"bank\""));
}

#[test]
fn a_token_has_its_rate_and_its_end() {
    let (slow, line) = new_token(&["--name", "slow"]);
    let (over, ended) = new_token(&["--name", "over"]);
    let haldane = guarded(&format!("{}{}", with(&line, "per_minute: 3"), with(&ended, "expires: 2020-01-01T00:00:00Z")), &[]);
    let answers: Vec<String> = (0..5).map(|_| get(&haldane, "/v1/judges", &bearer(&slow))).collect();
    assert!(answers[..3].iter().all(|answer| status(answer) == 200), "{answers:?}");
    assert!(
        answers.iter().any(|answer| status(answer) == 429 && answer.contains("retry-after: ") && answer.contains("`slow`")),
        "{answers:?}"
    );
    let answer = get(&haldane, "/v1/judges", &bearer(&over));
    assert!(status(&answer) == 401 && answer.contains("has ended"), "{answer}");
}

#[test]
fn tokens_are_rotated_without_a_restart_and_a_broken_file_changes_nothing() {
    let (old, old_line) = new_token(&["--name", "old"]);
    let (new, new_line) = new_token(&["--name", "new"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.yaml");
    std::fs::write(&file, format!("tokens:\n{old_line}")).unwrap();
    let haldane = start(folder, &file, &[]);
    let of = |token: &str| status(&get(&haldane, "/v1/judges", &bearer(token)));
    assert_eq!((of(&old), of(&new)), (200, 401));
    std::fs::write(&file, format!("tokens:\n{new_line}")).unwrap();
    haldane.server.signal("HUP");
    eventually("the new token", || of(&new) == 200);
    assert_eq!(of(&old), 401);
    // Without a signal: the file is looked at every few seconds.
    std::fs::write(&file, "tokens: [{name: broken, sha256: hunter2").unwrap();
    eventually("the warning", || get(&haldane, "/health/ready", &bearer(&new)).contains("stays in use"));
    assert!(!haldane.get("/health/ready").contains("tokens"), "only holders of a token are told");
    let metrics = get(&haldane, "/metrics", &bearer(&new));
    assert!(metrics.contains("haldane_files_stale 1") && of(&new) == 200, "{metrics}");
    assert!(!haldane.log().contains("hunter2"));
    std::fs::write(&file, format!("tokens:\n{old_line}{new_line}")).unwrap();
    eventually("both tokens", || of(&old) == 200 && of(&new) == 200);
    assert!(!get(&haldane, "/health/ready", &bearer(&new)).contains("stays in use"));
    let output = Command::new(env!("CARGO_BIN_EXE_haldane")).args(["serve", "--tokens-file", "/dev/zero"]).output().unwrap();
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("regular file"));
}

#[test]
fn no_request_sees_half_of_what_is_read_again() {
    let (token, line) = new_token(&["--name", "kept"]);
    let (_, other) = new_token(&["--name", "other"]);
    let folder = tempfile::tempdir().unwrap();
    let (tokens, configs) = (folder.path().join("tokens.yaml"), folder.path().join("configs"));
    std::fs::create_dir(&configs).unwrap();
    // A file that is replaced is never half there.
    let replace = |path: &Path, text: String| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, path).unwrap();
    };
    let change = |version: usize| {
        let name = ["first", "second"][version % 2];
        replace(&configs.join("live.yaml"), format!("name: live\nmetrics: [{{name: {name}-a}}, {{name: {name}-b}}]\n"));
        replace(&tokens, format!("tokens:\n{line}{}", ["", &other][version % 2]));
    };
    change(0);
    let haldane = Haldane::start(&["--tokens-file", tokens.to_str().unwrap(), "--configs", configs.to_str().unwrap()]);
    let seen = |answer: &str, version: &str| {
        let [a, b] = ["a", "b"].map(|metric| answer.contains(&format!("{version}-{metric}")));
        assert_eq!(a, b, "{answer}");
        a
    };
    let mut versions = [0; 2];
    for change_number in 1..=40 {
        change(change_number);
        haldane.server.signal("HUP");
        for _ in 0..5 {
            let answer = get(&haldane, "/v1/configs/live", &bearer(&token));
            assert_eq!(status(&answer), 200, "{answer}");
            let (first, second) = (seen(&answer, "first"), seen(&answer, "second"));
            assert!(first != second, "{answer}");
            versions[usize::from(second)] += 1;
        }
    }
    assert!(versions.iter().all(|seen| *seen > 0), "{versions:?}");
}

#[test]
fn a_foreign_host_and_a_page_of_another_origin_are_turned_away() {
    let haldane = Haldane::start(&[]);
    let ask = |request: &str| haldane.ask(request);
    for (host, expected) in
        [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:8090", 200), ("attacker.example", 421), ("attacker.example:8090", 421)]
    {
        let answer = ask(&format!("GET /v1/judges HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert_eq!(status(&answer), expected, "{host}: {answer}");
    }
    let judges = |headers: &str| status(&send(&haldane, "/v1/judgements", &format!("{JSON}{headers}"), JUDGEMENT));
    assert_eq!((judges(""), judges("Origin: http://localhost\r\n"), judges("Sec-Fetch-Site: same-origin\r\n")), (200, 200, 200));
    for foreign in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(judges(foreign), 403, "{foreign}");
        for (method, path) in
            [("POST", "/canary"), ("PUT", "/canaryConfig/x"), ("DELETE", "/canaryConfig/x"), ("PUT", "/pipelines/x/cancel")]
        {
            let answer =
                ask(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{foreign}Content-Length: 0\r\n\r\n"));
            assert!(status(&answer) == 403 && !answer.contains("access-control-allow-origin"), "{method} {path}: {answer}");
        }
    }
    let preflight = "OPTIONS /canary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: https://evil.example\r\n\
                     Access-Control-Request-Method: DELETE\r\n\r\n";
    assert!(!ask(preflight).contains("access-control-allow-origin"));

    let open = Haldane::start(&["--cors-origin", "https://deck.example", "--allowed-host", "haldane.example"]);
    for path in ["/v1/judges", "/judges"] {
        let answer =
            open.ask(&format!("GET {path} HTTP/1.1\r\nHost: haldane.example\r\nConnection: close\r\nOrigin: https://deck.example\r\n\r\n"));
        assert!(status(&answer) == 200 && answer.contains("access-control-allow-origin: https://deck.example"), "{answer}");
    }
    let judged = send(&open, "/v1/judgements", &format!("{JSON}Origin: https://deck.example\r\n"), JUDGEMENT);
    assert_eq!(status(&judged), 200);
    assert!(!open.ask(&preflight.replace("localhost", "haldane.example")).contains("evil.example"));
}

#[test]
fn a_signed_link_opens_one_judgement_until_it_ends() {
    let (token, line) = new_token(&["--name", "ci"]);
    let haldane = guarded(&line, &["--store", "memory:", "--public-url", "http://haldane.example"]);
    let judged = send(&haldane, "/v1/judgements", &format!("{JSON}{}", bearer(&token)), JUDGEMENT);
    let scorecard: serde_json::Value = serde_json::from_str(judged.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let id = scorecard["id"].as_str().unwrap();
    let made = get(&haldane, &format!("/v1/judgements/{id}/link"), &bearer(&token));
    let made: serde_json::Value = serde_json::from_str(made.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let link = made["url"].as_str().unwrap();
    // It does not hand out another that ends later.
    assert!(scorecard["url"].as_str().is_some_and(|url| url.contains("signature=")), "{scorecard}");
    let followed = haldane.get(link);
    assert!(status(&followed) == 200 && !followed.contains("signature="), "{followed}");
    let signature = link.split_once('?').unwrap().1;
    for other in [
        format!("/v1/judges?{signature}"),
        format!("/metrics?{signature}"),
        format!("/v1/judgements/{id}/link?{signature}"),
        link.replace("expires=", "expires=9"),
    ] {
        assert_eq!(status(&haldane.get(&other)), 401, "{other}");
    }
    assert_eq!(status(&haldane.get(&format!("/v1/judgements/{id}"))), 401);
    assert_eq!(status(&send(&haldane, link, JSON, JUDGEMENT)), 401);
}
