//! More than can be done: who is refused, who is not, and what they see.

use std::io::Write as _;
use std::thread;

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::bodies::{JSON, all_see};
use super::{Haldane, JUDGEMENT, STORE_JUDGEMENT, eventually, post, reply, silent_store, status};

/// A Prometheus that answers every query with `series`, the JSON of a matrix.
pub(super) fn store_of(series: &str) -> MockServer {
    let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{series}}}}}"#);
    futures::executor::block_on(async {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_raw(body, "application/json")).mount(&server).await;
        server
    })
}

fn judge(haldane: &Haldane, headers: &str, body: &str) -> String {
    let mut stream = haldane.connect();
    stream.write_all(&post("/v1/judgements", &format!("{JSON}{headers}"), body.as_bytes())).expect("the request is taken");
    reply(&mut stream)
}

fn from(source: &str) -> String {
    STORE_JUDGEMENT.replacen('{', &format!("{{\"source\":\"{source}\","), 1)
}

#[test]
fn a_store_that_never_answers_keeps_out_nobody_who_asks_another_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let (_dead, settings) = silent_store(folder.path());
    let sources = std::fs::read_to_string(&settings).unwrap();
    let good = store_of("[]");
    let both = format!("{}, good: {{kind: prometheus, url: '{}'}}}}\n", sources.trim_end().strip_suffix('}').unwrap(), good.uri());
    std::fs::write(&settings, both).unwrap();
    let haldane =
        Haldane::start(&["--settings", &settings, "--concurrent-analyses", "1", "--deadline", "10m", "--background-deadline", "10m"]);
    // One runs and eight wait.
    for place in 1..=12 {
        let mut request = from("main");
        request = request.replace(r#""scope":"a""#, &format!(r#""scope":"a{place}""#));
        let answer = judge(&haldane, "Prefer: respond-async\r\n", &request);
        assert_eq!(status(&answer), if place <= 9 { 202 } else { 503 }, "{place}: {answer}");
        assert!(place <= 9 || answer.contains("retry-after: "), "{answer}");
    }
    eventually("a full lane", || haldane.metric(r#"haldane_source_judgements{account="main",state="waiting"}"#) == Some(8.0));
    assert_eq!(haldane.metric(r#"haldane_source_judgements{account="main",state="running"}"#), Some(1.0));
    for _ in 0..3 {
        assert_eq!(status(&judge(&haldane, "", JUDGEMENT)), 200);
        let answer = judge(&haldane, "", &from("good"));
        assert!(status(&answer) == 200 && answer.contains("no_data"), "{answer}");
    }
    for path in ["/health/live", "/v1/judges", "/v1/limits", "/", "/credentials"] {
        assert_eq!(status(&haldane.get(path)), 200, "{path}");
    }
}

#[test]
fn where_memory_is_taken_callers_with_long_bodies_see_that_and_those_with_none_are_answered() {
    let haldane = Haldane::start(&["--max-bytes-in-flight", "1048576", "--body-timeout", "10m", "--body-bytes-per-second", "1"]);
    let mut slow = haldane.connect();
    let head = format!("POST /v1/judgements HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1000000\r\n\r\n");
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&vec![b' '; 900_000]).unwrap();
    let held = || haldane.metric("haldane_bytes_in_flight").unwrap_or_default();
    eventually("a body in memory", || held() >= 900_000.0);
    for path in ["/v1/judgements", "/judge"] {
        all_see(&haldane, path, JSON, 503);
    }
    assert!(haldane.metric(r#"haldane_requests_refused_total{reason="memory"}"#).is_some_and(|refused| refused >= 80.0));
    // Those with little to say are taken on.
    assert_eq!(status(&judge(&haldane, "", JUDGEMENT)), 200);
    assert_eq!(status(&haldane.get("/health/live")), 200);
    drop(slow);
    eventually("all memory", || held() == 0.0);
    assert_eq!(haldane.metric(r#"haldane_requests_admitted{state="working"}"#), Some(0.0));
}

#[test]
fn what_waits_for_a_store_takes_memory_and_no_seat() {
    let folder = tempfile::tempdir().unwrap();
    let (_dead, settings) = silent_store(folder.path());
    let haldane = Haldane::start(&["--settings", &settings, "--max-bytes-in-flight", "1048576", "--deadline", "10m"]);
    let metrics: Vec<String> = (0..300)
        .map(|i| format!(r#"{{"name":"m{i}","queries":{{"prometheus":"{}{{job=\"${{scope}}\"}}"}}}}"#, format!("m{i}_").repeat(40)))
        .collect();
    let config = format!(r#"{{"name":"c","metrics":[{}]}}"#, metrics.join(","));
    let long = STORE_JUDGEMENT.replace(r#""http-golden-signals""#, &config);
    let mut waiting = haldane.connect();
    waiting.write_all(&post("/v1/judgements?wait=600", JSON, long.as_bytes())).unwrap();
    let held = || haldane.metric("haldane_bytes_in_flight").unwrap_or_default();
    eventually("a judgement that waits", || {
        held() >= 500_000.0 && haldane.metric(r#"haldane_requests_admitted{state="working"}"#) == Some(0.0)
    });
    let answer = judge(&haldane, "", &long);
    assert!(status(&answer) == 503 && answer.contains("max_bytes_in_flight"), "{answer}");
    assert_eq!(status(&judge(&haldane, "", JUDGEMENT)), 200);
}

/// The one series that has so many points from `start` on, a minute apart.
fn series(start: u64, points: u64) -> String {
    let values: Vec<String> = (1..=points).map(|i| format!("[{},\"{}\"]", start + 60 * i, 100 + i * 7919 % 31)).collect();
    format!(r#"[{{"metric":{{}},"values":[{}]}}]"#, values.join(","))
}

#[test]
fn judgements_whose_replies_are_more_than_there_is_memory_end_one_after_another() {
    // 2026-11-01T00:00:00Z; memory for four queries with their past, where 48 are asked at once.
    let store = store_of(&series(1_793_491_200, 1_440));
    let haldane =
        Haldane::start(&["--prometheus", &store.uri(), "--max-bytes-in-flight", "1048576", "--cache-bytes", "0", "--deadline", "10m"]);
    let metrics: Vec<String> =
        (0..4).map(|i| format!(r#"{{"name":"m{i}","queries":{{"prometheus":"m{i}{{job=\"${{scope}}\"}}"}}}}"#)).collect();
    let body = |i: usize| {
        format!(
            r#"{{"config":{{"name":"c","metrics":[{}]}},"baseline":{{"scope":"a{i}"}},"canary":{{"scope":"b{i}"}},
            "window":{{"start":"2026-11-01T00:00:00Z","end":"2026-11-02T00:00:00Z","step":"60s"}}}}"#,
            metrics.join(",")
        )
    };
    let address = haldane.server.address();
    let callers: Vec<_> = (0..6)
        .map(|i| {
            let request = post("/v1/judgements?wait=600", JSON, body(i).as_bytes());
            // Who comes while there is no memory is told to come back.
            thread::spawn(move || {
                loop {
                    let mut stream = super::connect(address);
                    stream.write_all(&request).unwrap();
                    let answer = reply(&mut stream);
                    if status(&answer) != 503 {
                        return answer;
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        let answer = caller.join().unwrap();
        // Both arms are the same here, which only who has read them all can tell.
        assert!(status(&answer) == 200 && answer.matches(r#""reason":"same_series""#).count() == 4, "{answer}");
    }
    eventually("all memory", || haldane.metric("haldane_bytes_in_flight") == Some(0.0));
}

#[test]
fn places_are_given_back_by_callers_who_leave() {
    let haldane = Haldane::start(&[]);
    let points: Vec<u32> = (0..5_000).map(|i| 100 + i * 7919 % 31).collect();
    let metrics: Vec<String> = (0..20).map(|i| format!(r#"{{"name":"m{i}"}}"#)).collect();
    let samples: Vec<String> = (0..20).map(|i| format!(r#""m{i}":{{"baseline":{points:?},"canary":{points:?}}}"#)).collect();
    let body = format!(r#"{{"config":{{"name":"c","metrics":[{}]}},"samples":{{{}}}}}"#, metrics.join(","), samples.join(","));
    for _ in 0..40 {
        let mut stream = haldane.connect();
        stream.write_all(&post("/v1/judgements", JSON, body.as_bytes())).unwrap();
    }
    eventually("all memory", || {
        haldane.metric("haldane_bytes_in_flight") == Some(0.0)
            && haldane.metric(r#"haldane_requests_admitted{state="working"}"#) == Some(0.0)
            && haldane.metric(r#"haldane_requests_admitted{state="waiting"}"#) == Some(0.0)
    });
    assert_eq!(status(&judge(&haldane, "", JUDGEMENT)), 200);
}
