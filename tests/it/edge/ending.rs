//! Signals: the service ends whatever callers do, reads files again, and lets others be.

use std::io::Write as _;

use super::{Haldane, STORE_JUDGEMENT, eventually, post, status};

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn sigterm_ends_it_whatever_callers_do_and_whatever_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, settings) = super::silent_store(folder.path());
    let mut haldane =
        Haldane::start(&["--settings", &settings, "--deadline", "10m", "--background-deadline", "10m", "--shutdown-grace", "1s"]);
    let mut held = Vec::new();
    for i in 0..40 {
        let mut stream = haldane.connect();
        match i % 5 {
            0 => {}
            1 => stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap(),
            2 => stream.write_all(b"POST /v1/judgements HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{").unwrap(),
            3 => stream.write_all("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300).as_bytes()).unwrap(),
            _ => stream.write_all(&post("/v1/judgements", JSON, STORE_JUDGEMENT.as_bytes())).unwrap(),
        }
        held.push(stream);
    }
    let polled = post("/v1/judgements", &format!("{JSON}Prefer: respond-async\r\n"), STORE_JUDGEMENT.as_bytes());
    assert_eq!(status(&haldane.ask(&String::from_utf8(polled).unwrap())), 202);
    eventually("judgements under way", || haldane.metric("haldane_analyses_unfinished").is_some_and(|n| n > 1.0));
    haldane.server.signal("TERM");
    let ended = haldane.server.ends().expect("it ends");
    assert!(ended.success(), "{ended}: {}", haldane.log());
    assert!(haldane.log().contains("stopped"), "{}", haldane.log());
}

#[test]
fn sigterm_waits_for_a_request_in_flight() {
    let mut haldane = Haldane::start(&["--shutdown-grace", "60s"]);
    let mut stream = haldane.connect();
    let request = post("/v1/judgements", JSON, super::JUDGEMENT.as_bytes());
    let (begin, rest) = request.split_at(request.len() - 10);
    stream.write_all(begin).unwrap();
    // The request is under way once the one behind it is answered.
    eventually("the request", || haldane.metric("haldane_connections_open").is_some_and(|n| n >= 2.0));
    haldane.server.signal("TERM");
    eventually("its stopping", || haldane.log().contains("stopping"));
    stream.write_all(rest).unwrap();
    assert_eq!(status(&super::reply(&mut stream)), 200);
    assert!(haldane.server.ends().expect("it ends").success());
}

#[test]
fn configs_are_read_again_when_told_or_changed_and_those_from_before_kept_where_one_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("a.yaml"), "name: first\nmetrics: [{name: m}]\n").unwrap();
    let haldane = Haldane::start(&["--configs", folder.path().to_str().unwrap()]);
    assert_eq!(status(&haldane.get("/v1/configs/first")), 200);
    std::fs::write(file("b.yaml"), "name: second\nmetrics: [{name: m}]\n").unwrap();
    std::fs::write(file("c.json"), r#"{"name":"third","applications":["shop"],"metrics":[]}"#).unwrap();
    assert_eq!(status(&haldane.get("/v1/configs/second")), 404);
    // Neither says anything; they are heard before the one that does.
    haldane.server.signal("USR1");
    haldane.server.signal("USR2");
    haldane.server.signal("HUP");
    eventually("the second config", || status(&haldane.get("/v1/configs/second")) == 200);
    assert_eq!(status(&haldane.get("/canaryConfig/third")), 200);
    std::fs::write(file("b.yaml"), "name: second\nmetrics: []\n").unwrap();
    haldane.server.signal("HUP");
    eventually("the warning", || haldane.get("/health/ready").contains("configs: "));
    assert_eq!(haldane.metric("haldane_files_stale"), Some(1.0));
    assert!(haldane.log().contains("was not taken"));
    assert_eq!(status(&haldane.get("/v1/configs/second")), 200);
    // What is changed is seen without a word.
    std::fs::remove_file(file("b.yaml")).unwrap();
    eventually("what is left", || status(&haldane.get("/v1/configs/second")) == 404);
    eventually("no warning", || haldane.metric("haldane_files_stale") == Some(0.0));
    assert!(!haldane.get("/health/ready").contains("configs: "));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, settings) = super::silent_store(folder.path());
    let mut haldane = Haldane::start(&["--settings", &settings, "--deadline", "10m", "--shutdown-grace", "10m"]);
    let mut stream = haldane.connect();
    stream.write_all(&post("/v1/judgements", JSON, STORE_JUDGEMENT.as_bytes())).unwrap();
    eventually("a judgement under way", || haldane.metric("haldane_analyses_unfinished").is_some_and(|n| n > 0.0));
    haldane.server.signal("TERM");
    eventually("its stopping", || haldane.log().contains("stopping"));
    haldane.server.signal("TERM");
    assert_eq!(haldane.server.ends().expect("it ends").code(), Some(130));
}
