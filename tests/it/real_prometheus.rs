//! From a real Prometheus to a scorecard: six kinds of canary, through the HTTP service and through the command line.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use haldane::analysis::Scorecard;
use haldane::source::{MetricStore, Query, StoreReader, Template, Window};
use haldane_judges::Verdict;
use haldane_judges::catalog::SHIPPED;
use haldane_judges::config::MetricQuery;
use haldane_judges::scorecard::{Action, Guard, MetricResult, Mode, Reason, Remedy, Status, VerdictReason};
use serde_json::{Value, json};

use crate::support::haldane::command as haldane;
use crate::support::process::{Server, free_address};
use crate::support::prometheus::Prometheus;
use crate::support::telemetry::{Arm, Gauge, MINUTES, START, gauges, openmetrics};

/// The judged window, in minutes of the recording: an hour of points, with something before and after it.
const WINDOW: std::ops::Range<usize> = 55..115;

/// Both arms of a canary by its name: the Deployments `NAME` and `NAME-canary`.
fn pairs() -> Vec<[Arm; 2]> {
    let pair = |name: &str| [Arm::healthy(name), Arm::healthy(&format!("{name}-canary"))];
    let healthy = pair("healthy");

    let mut regressed = pair("regressed");
    regressed[1].error_ratio = 0.03;
    regressed[1].median_ms *= 1.6;

    // Grows evenly over the window, to 60 % more at its end.
    let mut leaking = pair("leaking");
    for (minute, percent) in leaking[1].memory.iter_mut().enumerate() {
        let progress = (minute as f64 - WINDOW.start as f64) / WINDOW.len() as f64;
        *percent *= 1.0 + 0.6 * progress.clamp(0.0, 1.0);
    }

    // Some 100 requests an hour, and no error among them.
    let mut sparse = pair("sparse");
    for arm in &mut sparse {
        arm.rate = 0.03;
        arm.error_ratio = 0.0;
    }

    let gappy = pair("gappy").map(|arm| arm.with_gaps(0.35));
    let riddled = pair("riddled").map(|arm| arm.with_gaps(0.65));

    // Reported until the window began, and then no more.
    let mut vanished = pair("vanished");
    vanished[1].missing[WINDOW.start..].fill(true);

    vec![healthy, regressed, leaking, sparse, gappy, riddled, vanished]
}

/// One Prometheus for all tests that run at the same time; it ends with the last of them.
fn prometheus() -> Arc<Prometheus> {
    static SHARED: Mutex<Weak<Prometheus>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let arms: Vec<Arm> = pairs().into_iter().flatten().collect();
        let started = Arc::new(Prometheus::over(&openmetrics(&arms)));
        *shared = Arc::downgrade(&started);
        started
    })
}

/// The service over a Prometheus at this address.
fn serve(prometheus: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&folder.path().join("log"), "/health/ready", |address| {
        let mut command = haldane();
        command.args(["serve", "--listen", &address.to_string(), "--prometheus", prometheus]);
        command
    });
    (server, folder)
}

/// A selector of the arm's requests.
const REQUESTS: &str = r#"http_server_request_duration_seconds_count{pod=~"${scope}-[^-]+-[^-]+"}"#;

fn config() -> Value {
    let failed = REQUESTS.replace("{pod", r#"{http_response_status_code=~"5..", pod"#);
    let buckets = REQUESTS.replace("_count", "_bucket");
    let memory = r#"avg_over_time(container_memory_working_set_bytes{pod=~"${scope}-[^-]+-[^-]+"}[${step}])"#;
    json!({
        "name": "real-prometheus",
        "metrics": [
            {
                "name": "error-ratio", "kind": "ratio", "direction": "increase", "critical": true, "absent_means_zero": true,
                "tolerance": { "absolute": 0.01, "relative": 0 }, "limits": { "max": 0.01 },
                "queries": { "prometheus": {
                    "numerator": format!("sum(increase({failed}[${{step}}]))"),
                    "denominator": format!("sum(increase({REQUESTS}[${{step}}]))")
                } }
            },
            {
                "name": "latency-p95", "unit": "ms", "direction": "increase", "tolerance": { "absolute": 5 }, "limits": { "max_ratio": 2 },
                "queries": { "prometheus": format!("1000 * histogram_quantile(0.95, sum by (le) (rate({buckets}[${{step}}])))") }
            },
            {
                "name": "throughput", "unit": "requests/s", "direction": "decrease", "limits": { "min": 0.001 },
                "queries": { "prometheus": format!("sum(rate({REQUESTS}[${{step}}]))") }
            },
            {
                "name": "memory", "unit": "bytes", "direction": "increase", "accumulating": true, "tolerance": { "absolute": 1e7 },
                "queries": { "prometheus": format!("sum({memory})") }
            }
        ]
    })
}

fn request(canary: &str, config: Value) -> Value {
    let time = |minute: usize| {
        let second = START + 60 * i64::try_from(minute).expect("a minute of the recording");
        jiff::Timestamp::from_second(second).expect("a time").to_string()
    };
    json!({
        "config": config,
        "baseline": { "scope": canary },
        "canary": { "scope": format!("{canary}-canary") },
        "window": { "start": time(WINDOW.start), "end": time(WINDOW.end), "step": "60s" }
    })
}

struct HttpReply {
    status: u16,
    content_type: String,
    body: String,
}

async fn post(server: &Server, request: &Value) -> HttpReply {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let reply = client.post(format!("{}/v1/judgements", server.url())).json(request).send().await.expect("an answer");
    let content_type = reply.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    HttpReply { status: reply.status().as_u16(), content_type, body: reply.text().await.expect("a body") }
}

async fn judged(server: &Server, request: &Value) -> Scorecard {
    let reply = post(server, request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap_or_else(|e| panic!("{e}: {}", reply.body))
}

/// Runs `haldane judge` with the request on its standard input.
fn judge(arguments: &[&str], request: &Value) -> Output {
    let mut child = haldane()
        .args(["judge", "--request", "-", "--output", "json"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("haldane starts");
    child.stdin.take().expect("its input").write_all(request.to_string().as_bytes()).expect("it reads the request");
    child.wait_with_output().expect("it ends")
}

fn metric<'a>(card: &'a Scorecard, name: &str) -> &'a MetricResult {
    card.judgement.metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no metric {name}"))
}

/// Metrics that the verdict blames for this.
fn blamed(card: &Scorecard, reason: VerdictReason) -> Vec<&str> {
    let causes = card.judgement.reasons.iter().filter(|cause| cause.reason == reason);
    causes.flat_map(|cause| cause.metrics.iter().map(String::as_str)).collect()
}

#[track_caller]
fn assert_statuses(card: &Scorecard, expected: [Status; 4]) {
    let found: Vec<String> =
        card.judgement.metrics.iter().map(|m| format!("{} {} ({}): {}", m.name, m.status, m.reason, m.sentence)).collect();
    let statuses: Vec<Status> = card.judgement.metrics.iter().map(|m| m.status).collect();
    assert_eq!(statuses, expected, "{found:#?}");
}

#[tokio::test]
async fn a_healthy_canary_passes() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let card = judged(&server, &request("healthy", config())).await;
    assert_statuses(&card, [Status::Pass; 4]);
    assert_eq!((card.judgement.verdict, card.judgement.recommendation.action), (Verdict::Pass, Action::Promote));
    assert_eq!(card.judgement.score, Some(100.0));
    assert!(card.judgement.reasons.is_empty(), "{:?}", card.judgement.reasons);
    for metric in &card.judgement.metrics {
        for coverage in [metric.baseline_coverage, metric.canary_coverage] {
            assert_eq!((coverage.present, coverage.expected), (WINDOW.len(), WINDOW.len()), "{}", metric.name);
        }
    }
    // The counts are those of the recording: some 36,000 requests an hour.
    let counts = metric(&card, "error-ratio").counts.as_ref().expect("counts");
    assert!((30_000.0..40_000.0).contains(&counts.canary.total), "{counts:?}");
}

/// A distribution and a ratio of requests, both from the buckets of one histogram.
fn of_buckets() -> Value {
    let buckets = REQUESTS.replace("_count", "_bucket");
    let query = format!("sum by (le) (increase({buckets}[${{step}}]))");
    json!({
        "name": "buckets",
        "metrics": [
            { "name": "latency", "kind": "distribution", "unit": "s", "direction": "increase", "queries": { "prometheus": query } },
            {
                "name": "slow", "kind": "ratio", "unit": "s", "slower_than": "250ms", "direction": "increase",
                "queries": { "prometheus": { "buckets": query } }
            }
        ]
    })
}

#[tokio::test]
async fn requests_are_judged_by_the_buckets_of_their_histogram() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    for (canary, statuses) in [("healthy", [Status::Pass; 2]), ("regressed", [Status::Regressed; 2])] {
        let card = judged(&server, &request(canary, of_buckets())).await;
        let found: Vec<(Status, &str)> = card.judgement.metrics.iter().map(|one| (one.status, one.sentence.as_str())).collect();
        assert_eq!(found.iter().map(|(status, _)| *status).collect::<Vec<_>>(), statuses, "{found:?}");
        for (metric, from) in card.judgement.metrics.iter().zip(&card.data.metrics) {
            assert_eq!((metric.baseline_coverage.present, metric.canary_coverage.present), (WINDOW.len(), WINDOW.len()), "{found:?}");
            assert!(from.queries.iter().all(|query| query.part == "buckets" && query.series == Some(19)), "{:?}", from.queries);
        }
        // The median is some 80 ms, or 128.
        let median = card.data.metrics[0].statistics.expect("statistics").canary.mean;
        let expected = if canary == "healthy" { 0.08 } else { 0.128 };
        assert!((median / expected - 1.0).abs() < 0.05, "{median}");
    }
}

#[tokio::test]
async fn a_regressed_canary_fails_and_the_metrics_are_named() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let card = judged(&server, &request("regressed", config())).await;
    assert_statuses(&card, [Status::Regressed, Status::Regressed, Status::Pass, Status::Pass]);
    assert_eq!((card.judgement.verdict, card.judgement.recommendation.action), (Verdict::Fail, Action::Rollback));
    assert_eq!(blamed(&card, VerdictReason::Regressed), ["error-ratio", "latency-p95"]);
    assert!(card.judgement.summary.contains("error-ratio"), "{}", card.judgement.summary);
    // By how much: 3 % of errors where there were 0.2 %, and 1.6 times the latency.
    let shift = metric(&card, "error-ratio").counts.as_ref().expect("counts").shift;
    assert!((0.025..0.031).contains(&shift), "{shift}");
    let relative = metric(&card, "latency-p95").numbers.as_ref().and_then(|numbers| numbers.relative_shift).expect("a shift");
    assert!((0.5..0.7).contains(&relative), "{relative}");
}

#[tokio::test]
async fn a_leaking_canary_fails_by_its_memory_alone() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let card = judged(&server, &request("leaking", config())).await;
    assert_statuses(&card, [Status::Pass, Status::Pass, Status::Pass, Status::Regressed]);
    assert_eq!(card.judgement.verdict, Verdict::Fail);
    assert_eq!(blamed(&card, VerdictReason::Regressed), ["memory"]);
}

#[tokio::test]
async fn a_canary_with_few_requests_is_decided_by_its_limit_and_told_what_is_missing() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let card = judged(&server, &request("sparse", config())).await;
    assert_eq!((card.judgement.verdict, card.judgement.recommendation.action), (Verdict::Marginal, Action::Hold));
    assert!(blamed(&card, VerdictReason::InsufficientEvidence).contains(&"error-ratio"), "{:?}", card.judgement.reasons);
    let errors = metric(&card, "error-ratio");
    assert_eq!((errors.status, errors.reason, errors.mode), (Status::Inconclusive, Reason::InsufficientEvidence, Mode::Threshold));
    assert!(errors.guards.iter().any(|finding| finding.guard == Guard::CouldNotDetect), "{:?}", errors.guards);
    // 1 % is excluded by 268 requests without an error ((1.645 / .01)^2 .01 .99); some 100 have been seen.
    let seen = errors.counts.as_ref().expect("counts").canary.total;
    assert!((80.0..140.0).contains(&seen), "{seen}");
    let threshold = errors.threshold.as_ref().expect("threshold mode");
    assert_eq!(threshold.max, Some(0.01));
    assert!(threshold.rate_interval.and_then(|interval| interval.high).is_some_and(|high| high > 0.01), "{threshold:?}");
    let missing = errors.remedies.iter().find_map(|remedy| match remedy {
        Remedy::SendRequests { requests, .. } => Some(*requests as f64),
        _ => None,
    });
    assert!(missing.is_some_and(|missing| missing >= 268.0 - seen - 1.0), "{:?}", errors.remedies);
    assert!(
        errors.remedies.iter().any(|remedy| matches!(remedy, Remedy::Extend { minutes, .. } if *minutes > 60)),
        "{:?}",
        errors.remedies
    );
    assert!(!card.judgement.recommendation.remedies.is_empty());

    // The same canary against a limit that as many requests can settle: 5 % takes 59.
    let mut looser = config();
    looser["metrics"][0]["limits"]["max"] = json!(0.05);
    let card = judged(&server, &request("sparse", looser)).await;
    let errors = metric(&card, "error-ratio");
    assert_eq!((errors.status, errors.reason, errors.mode), (Status::Pass, Reason::Limit, Mode::Threshold));
}

/// Minutes of the window that were recorded of an arm.
fn recorded(scope: &str) -> usize {
    let arm = pairs().into_iter().flatten().find(|arm| arm.scope == scope).expect("an arm of the recording");
    arm.missing[WINDOW].iter().filter(|missing| !**missing).count()
}

#[track_caller]
fn assert_coverage_is_that_of_the_recording(card: &Scorecard, canary: &str) {
    for metric in &card.judgement.metrics {
        for (coverage, scope) in [(metric.baseline_coverage, canary.to_owned()), (metric.canary_coverage, format!("{canary}-canary"))] {
            assert_eq!((coverage.present, coverage.expected), (recorded(&scope), WINDOW.len()), "{} of {scope}", metric.name);
        }
    }
}

#[tokio::test]
async fn gaps_are_counted_and_judged_around() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    assert!((36..43).contains(&recorded("gappy-canary")), "30 to 40 % is missing");
    let card = judged(&server, &request("gappy", config())).await;
    assert_coverage_is_that_of_the_recording(&card, "gappy");
    assert_statuses(&card, [Status::Pass; 4]);
    assert_eq!(card.judgement.verdict, Verdict::Pass);
}

#[tokio::test]
async fn what_is_mostly_missing_is_no_data_and_never_a_pass() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    assert!(recorded("riddled-canary") < WINDOW.len() / 2, "more than half is missing");
    let card = judged(&server, &request("riddled", config())).await;
    assert_coverage_is_that_of_the_recording(&card, "riddled");
    assert_statuses(&card, [Status::NoData; 4]);
    assert_eq!((card.judgement.verdict, card.judgement.score), (Verdict::Marginal, None));
    assert_eq!(metric(&card, "memory").reason, Reason::LowCoverage);
}

#[tokio::test]
async fn a_canary_that_stopped_reporting_fails() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let card = judged(&server, &request("vanished", config())).await;
    assert_statuses(&card, [Status::Regressed; 4]);
    assert_eq!(card.judgement.verdict, Verdict::Fail);
    for metric in &card.judgement.metrics {
        assert_eq!(metric.reason, Reason::Silent, "{}", metric.name);
        assert_eq!((metric.baseline_coverage.present, metric.canary_coverage.present), (WINDOW.len(), 0), "{}", metric.name);
    }
}

/// What does not depend on when and where a scorecard was made.
fn lasting(mut card: Value) -> Value {
    let fields = card.as_object_mut().expect("a scorecard");
    for field in ["id", "judged_at", "rerun"] {
        fields.remove(field);
    }
    card
}

#[tokio::test]
async fn the_command_line_gives_the_same_scorecards_and_the_verdict_as_its_exit_code() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let cases = [("healthy", 0), ("regressed", 1), ("leaking", 1), ("sparse", 3), ("gappy", 0), ("riddled", 3), ("vanished", 1)];
    for (canary, code) in cases {
        let request = request(canary, config());
        let reply = post(&server, &request).await;
        let expected = lasting(serde_json::from_str(&reply.body).expect("a scorecard"));
        for arguments in [["--server", &server.url()], ["--prometheus", &prometheus.url()]] {
            let output = judge(&arguments, &request);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{canary} with {}: {errors}", arguments[0]);
            let card: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{canary} with {}: {e}", arguments[0]));
            assert_eq!(lasting(card), expected, "{canary} with {}", arguments[0]);
        }
    }
}

#[tokio::test]
async fn a_query_that_prometheus_refuses_is_that_metrics_finding_in_its_own_words() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let mut config = config();
    let buckets = REQUESTS.replace("_count", "_bucket");
    // Well formed, and refused while it is evaluated: several series on both sides of a division.
    let refused = format!("{buckets} / on() {buckets}");
    config["metrics"].as_array_mut().expect("metrics").push(json!({ "name": "refused", "queries": { "prometheus": refused } }));
    let card = judged(&server, &request("healthy", config)).await;
    let finding = metric(&card, "refused");
    assert_eq!((finding.status, finding.reason), (Status::Error, Reason::Fetch));
    assert!(finding.sentence.contains("many-to-many matching not allowed"), "{}", finding.sentence);
    assert_eq!(blamed(&card, VerdictReason::Error), ["refused"]);
    assert_eq!(card.judgement.verdict, Verdict::Marginal, "an error is never a pass");
    assert_eq!(card.judgement.counts.pass, 4, "the others are judged");
}

#[tokio::test]
async fn a_prometheus_that_is_down_is_no_verdict() {
    let nobody = format!("http://{}", free_address());
    let (server, _log) = serve(&nobody);
    let request = request("healthy", config());
    let reply = post(&server, &request).await;
    assert_eq!((reply.status, reply.content_type.as_str()), (502, "application/problem+json"), "{}", reply.body);
    let problem: Value = serde_json::from_str(&reply.body).expect("a problem");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("no metric could be read") && detail.contains("could not be reached"), "{problem}");
    for arguments in [["--server", &server.url()], ["--prometheus", &nobody]] {
        let output = judge(&arguments, &request);
        assert_eq!(output.status.code(), Some(4), "{}: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty(), "no scorecard without a verdict");
    }
}

/// Asked of two processes, whose hash maps are in different orders and whose caches are empty.
#[tokio::test]
async fn the_same_request_gives_the_same_bytes() {
    let prometheus = prometheus();
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let (server, _log) = serve(&prometheus.url());
        for _ in 0..2 {
            let mut text = post(&server, &request("regressed", config())).await.body;
            let card: Value = serde_json::from_str(&text).expect("a scorecard");
            for field in ["id", "judged_at"] {
                let value = card[field].as_str().unwrap_or_else(|| panic!("no {field} in {text}"));
                text = text.replacen(value, field, 1);
            }
            assert_eq!(card.get("rerun"), None, "{text}");
            bodies.push((card["id"].clone(), text));
        }
    }
    assert!(bodies.iter().all(|(_, text)| *text == bodies[0].1), "{bodies:#?}");
    let mut ids: Vec<String> = bodies.iter().map(|(id, _)| id.to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), bodies.len(), "each judgement has an id of its own");
}

#[tokio::test]
async fn the_shipped_golden_signals_judge_what_services_report() {
    let prometheus = prometheus();
    let (server, _log) = serve(&prometheus.url());
    let by_name = |canary: &str| {
        let mut request = request(canary, json!("http-golden-signals"));
        for arm in ["baseline", "canary"] {
            request[arm]["variables"] = json!({ "namespace": "shop" });
        }
        request
    };
    let card = judged(&server, &by_name("healthy")).await;
    assert_eq!(card.judgement.verdict, Verdict::Pass, "{}", card.judgement.summary);
    for metric in &card.judgement.metrics {
        // The baseline's Deployment is called `healthy`: its pods alone are taken in, and not those of `healthy-canary`.
        assert_eq!(metric.status, Status::Pass, "{}: {}", metric.name, metric.sentence);
        assert_eq!(metric.baseline_coverage.present, WINDOW.len() - 2, "{}: all but the warm-up", metric.name);
    }
    let card = judged(&server, &by_name("regressed")).await;
    assert_eq!(card.judgement.verdict, Verdict::Fail, "{}", card.judgement.summary);
    assert_eq!(blamed(&card, VerdictReason::Regressed), ["error-ratio", "latency"]);
}

/// With every variable given, no shipped query is refused, neither here nor by Prometheus, and none calls for advice.
#[tokio::test]
async fn a_real_prometheus_understands_every_shipped_query() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let prometheus = prometheus();
    let settings = serde_json::from_value(json!({ "kind": "prometheus", "url": prometheus.url() })).expect("settings");
    let source = MetricStore::open("prometheus", &settings).expect("a source");
    assert!(!SHIPPED.is_empty());
    for shipped in SHIPPED {
        let config = haldane_judges::catalog::shipped(shipped.name).expect("a config");
        let variables: BTreeMap<String, String> =
            config.variables.keys().map(String::as_str).chain(["scope"]).map(|name| (name.to_owned(), "healthy".to_owned())).collect();
        let step_seconds = u32::try_from(config.step.expect("a step").seconds()).expect("a short step");
        let window = Window { start: START, end: START + 3600, step_seconds };
        for metric in &config.metrics {
            let texts = match &metric.queries["prometheus"] {
                MetricQuery::Single(text) => vec![text],
                MetricQuery::Counts(counts) => vec![&counts.numerator, &counts.denominator],
                MetricQuery::Buckets(query) => vec![&query.buckets],
            };
            for text in texts {
                let at = format!("{}, {}", config.name, metric.name);
                let text = source.resolve(&Template { text, variables: &variables, window }).unwrap_or_else(|e| panic!("{at}: {e}"));
                let query = Query { text, window, buckets: metric.reads_buckets() };
                source
                    .fetch(&query, tokio::time::Instant::now() + std::time::Duration::from_secs(60))
                    .await
                    .unwrap_or_else(|e| panic!("{at}: {e}"));
                let mut advice = source.advise(&query);
                advice.retain(|advice| advice.concerns(metric));
                // That of histograms holds for any quantile read from one.
                assert!(advice.iter().all(|advice| advice.sentence.contains("histogram_quantile")), "{at}: {advice:?}");
            }
        }
    }
}

/// What a counter says at a scrape, counted from the recording's start; nothing where it is not there.
type Counter<'a> = &'a dyn Fn(i64) -> Option<i64>;

/// The counter of requests as Prometheus has it, by pod and status.
fn counters(series: &[(&str, &str, Counter<'_>)]) -> String {
    let mut text = "# TYPE http_server_request_duration_seconds_count unknown\n".to_owned();
    for (pod, code, value) in series {
        for scrape in 0..4 * MINUTES as i64 {
            let labels = format!("namespace=\"shop\",pod=\"{pod}-6bd4f9c5d7-x2vqk\",http_response_status_code=\"{code}\"");
            let Some(value) = value(scrape) else { continue };
            let time = START + 7 + 15 * scrape;
            text.push_str(&format!("http_server_request_duration_seconds_count{{{labels}}} {value} {time}\n"));
        }
    }
    text + "# EOF\n"
}

/// The metric `error-ratio` of the shipped golden signals, alone.
fn shipped_error_ratio() -> haldane_judges::CanaryConfig {
    let mut config = haldane_judges::catalog::shipped("http-golden-signals").expect("a config").into_inner();
    config.metrics.retain(|metric| metric.name == "error-ratio");
    config
}

/// What creates a series is counted, once, and a scrape gap creates none: `increase` alone would see nothing of a burst within one scrape.
#[tokio::test]
async fn the_first_value_of_a_counter_is_events_too() {
    const BORN: i64 = 4 * 80;
    let steady = |scrape: i64| Some(1000 + 300 * scrape);
    let since = |from: i64, value: fn(i64) -> i64| move |scrape: i64| (scrape >= from).then(|| value(scrape - from));
    let (burst, growing, late) = (since(BORN, |_| 900), since(BORN, |n| 10 + 3 * n), since(BORN, |n| 300 * (n + 1)));
    let gap = |scrape: i64| (!(BORN..BORN + 20).contains(&scrape)).then(|| 1000 + 300 * scrape);
    let prometheus = Prometheus::over(&counters(&[
        ("calm", "200", &steady),
        ("burst", "200", &steady),
        ("burst", "500", &burst),
        ("growing", "200", &steady),
        ("growing", "500", &growing),
        ("late", "200", &late),
        ("gap", "200", &gap),
    ]));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = serde_json::from_value(json!({ "kind": "prometheus", "url": prometheus.url() })).expect("settings");
    let source = MetricStore::open("prometheus", &settings).expect("a source");
    let config = shipped_error_ratio();
    let MetricQuery::Counts(queries) = &config.metrics[0].queries["prometheus"] else { panic!("counts") };
    let time = |minute: usize| START + 60 * minute as i64;
    let window = Window { start: time(WINDOW.start), end: time(WINDOW.end), step_seconds: 60 };
    let after = (4 * WINDOW.end as i64 - BORN) - 1;
    let minutes = WINDOW.len() as f64;
    for (scope, events, totals) in [
        ("calm", 0.0, 1200.0 * minutes),
        ("burst", 900.0, 1200.0 * minutes + 900.0),
        ("growing", (10 + 3 * after) as f64, 1200.0 * minutes + (10 + 3 * after) as f64),
        ("late", 0.0, (300 * (after + 1)) as f64),
        // Of the five minutes nobody knows; what was there before them is not counted again.
        ("gap", 0.0, 1200.0 * (minutes - 5.0)),
    ] {
        let variables = BTreeMap::from([("scope", scope), ("namespace", "shop")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (text, expected) in [(&queries.numerator, events), (&queries.denominator, totals)] {
            let text = source.resolve(&Template { text, variables: &variables, window }).expect("a query");
            let reply = source
                .fetch(&Query { text, window, buckets: false }, tokio::time::Instant::now() + std::time::Duration::from_secs(60))
                .await;
            let series = reply.expect("a reply").series;
            let sum: f64 = series.iter().flat_map(|series| &series.values).filter(|value| value.is_finite()).sum();
            assert!((sum - expected).abs() < 1.0, "{scope}: {sum}, not {expected}");
        }
    }

    // And so it is judged: 900 failed requests of some 70,000, where the old query saw none.
    let (server, _log) = serve(&prometheus.url());
    let asked = |config: Value| {
        let mut request = request("calm", config);
        request["canary"]["scope"] = json!("burst");
        for arm in ["baseline", "canary"] {
            request[arm]["variables"] = json!({ "namespace": "shop" });
        }
        request
    };
    let card = judged(&server, &asked(serde_json::to_value(&config).expect("JSON"))).await;
    let ratio = metric(&card, "error-ratio");
    let counts = ratio.counts.as_ref().expect("counts");
    assert!((counts.canary.events - 900.0).abs() < 1.0 && counts.baseline.events == 0.0, "{counts:?}");
    assert!(!ratio.sentence.contains("no events") && ratio.warnings.iter().all(|said| !said.contains("first value")), "{ratio:?}");
    let mut blind = serde_json::to_value(&config).expect("JSON");
    let increase = |more: &str| format!("sum(increase({}[${{step}}]))", REQUESTS.replace("{pod", &format!("{{{more}pod")));
    let numerator = increase(r#"http_response_status_code=~"5..", "#);
    blind["metrics"][0]["queries"]["prometheus"] = json!({ "numerator": numerator, "denominator": increase("") });
    blind["variables"] = json!({});
    let mut request = asked(blind);
    for arm in ["baseline", "canary"] {
        request[arm].as_object_mut().expect("an arm").remove("variables");
    }
    let card = judged(&server, &request).await;
    let ratio = metric(&card, "error-ratio");
    assert_eq!(ratio.counts.as_ref().expect("counts").canary.events, 0.0);
    let told = ratio.warnings.iter().filter(|said| said.contains("does not see a series' first value")).count();
    assert_eq!(told, 1, "{:?}", ratio.warnings);
}

/// Length of the recording of gauges, in minutes: three hours, and the window at its end.
const LONG: usize = 200;
/// The window that is judged at the end of it, in minutes.
const SHORT: usize = 20;

/// The request for the last twenty minutes of the recording of gauges.
fn late_request(canary: &str, config: Value) -> Value {
    let mut request = request(canary, config);
    let time = |minute: usize| jiff::Timestamp::from_second(START + 60 * minute as i64).expect("a time").to_string();
    request["window"] = json!({ "start": time(LONG - SHORT), "end": time(LONG), "step": "60s" });
    request
}

fn gauge_metric(name: &str, query: &str) -> Value {
    json!({ "name": name, "direction": "increase", "queries": { "prometheus": query } })
}

/// Two services: the canary of one swings against its baseline by up to 40 % every twenty minutes, released or not; that of the other
/// swings likewise and has doubled in the window.
fn swinging() -> Vec<Gauge> {
    const SWINGS: [f64; 10] = [0.0, 0.4, -0.1, 0.36, 0.05, -0.35, 0.1, 0.38, -0.4, 0.3];
    let levels = |of: &dyn Fn(usize) -> f64| (0..LONG).map(|minute| 80.0 * of(minute)).collect();
    let swing = |minute: usize| 1.0 + SWINGS[minute / SHORT % SWINGS.len()];
    let gauge = |app: &str, levels| Gauge { name: "queue_wait_ms", labels: format!("app=\"{app}\""), levels };
    vec![
        gauge("noisy", levels(&|_| 1.0)),
        gauge("noisy-canary", levels(&swing)),
        gauge("worse", levels(&|_| 1.0)),
        gauge("worse-canary", levels(&|minute| swing(minute) + if minute >= LONG - SHORT { 1.0 } else { 0.0 })),
    ]
}

/// Eight servers an arm: one of the canary's is half as slow again, or runs the old version.
fn servers() -> Vec<Gauge> {
    let mut recorded = Vec::new();
    for name in ["handling_ms", "build_info"] {
        for app in ["fleet", "fleet-canary", "mixed", "mixed-canary"] {
            for server in 0..8 {
                let odd = server == 5;
                let version = if app.ends_with("-canary") && !(app == "mixed-canary" && odd) { "2" } else { "1" };
                let labels = format!("app=\"{app}\",pod=\"{app}-{server}\"");
                let (labels, level) = if name == "build_info" {
                    (format!("{labels},version=\"{version}\""), 1.0)
                } else {
                    let own = 50.0 * (1.0 + 0.01 * f64::from(server));
                    (labels, if app == "fleet-canary" && odd { 1.5 * own } else { own })
                };
                recorded.push(Gauge { name, labels, levels: vec![level; LONG] });
            }
        }
    }
    recorded
}

#[tokio::test]
async fn history_from_a_real_prometheus_tells_swings_from_regressions() {
    let prometheus = Prometheus::over(&gauges(&swinging()));
    let (server, _log) = serve(&prometheus.url());
    let config = |mode: &str| {
        let mut metric = gauge_metric("wait", "avg_over_time(queue_wait_ms{app=\"${scope}\"}[${step}])");
        metric["history"] = json!({ "mode": mode });
        json!({ "name": "swinging", "metrics": [metric] })
    };
    let healthy = judged(&server, &late_request("noisy", config("auto"))).await;
    let wait = metric(&healthy, "wait");
    assert_eq!((wait.status, healthy.judgement.verdict), (Status::Inconclusive, Verdict::Marginal), "{}", wait.sentence);
    let history = wait.history.as_ref().expect("history");
    assert!(history.windows >= 9, "{history:?}");
    let alone = judged(&server, &late_request("noisy", config("off"))).await;
    assert_eq!(metric(&alone, "wait").status, Status::Regressed, "{}", metric(&alone, "wait").sentence);

    let worse = judged(&server, &late_request("worse", config("auto"))).await;
    let wait = metric(&worse, "wait");
    assert_eq!((wait.status, worse.judgement.verdict), (Status::Regressed, Verdict::Fail), "{}", wait.sentence);
    assert_eq!(wait.limit.as_ref().map(|limit| limit.from.as_str()), Some("history"), "{:?}", wait.limit);
}

#[tokio::test]
async fn one_bad_server_of_eight_is_named() {
    let prometheus = Prometheus::over(&gauges(&servers()));
    let (server, _log) = serve(&prometheus.url());
    let mut handling = gauge_metric("handling", "avg by (pod) (avg_over_time(handling_ms{app=\"${scope}\"}[${step}]))");
    handling["per_instance"] = json!("pod");
    let config = json!({ "name": "fleet", "metrics": [handling] });
    let card = judged(&server, &late_request("fleet", config.clone())).await;
    let found = metric(&card, "handling");
    assert_eq!(
        (found.status, found.reason, card.judgement.verdict),
        (Status::Regressed, Reason::Instance, Verdict::Fail),
        "{}",
        found.sentence
    );
    assert_eq!(found.worst_instance.as_ref().map(|worst| worst.name.as_str()), Some("fleet-canary-5"), "{:?}", found.worst_instance);
    assert!(found.sentence.contains("fleet-canary-5"), "{}", found.sentence);
    let card = judged(&server, &late_request("mixed", config)).await;
    assert_eq!(metric(&card, "handling").status, Status::Pass, "eight like the others: {}", metric(&card, "handling").sentence);
}

#[tokio::test]
async fn one_server_of_eight_that_runs_the_old_version_is_named() {
    let prometheus = Prometheus::over(&gauges(&servers()));
    let (server, _log) = serve(&prometheus.url());
    let config = json!({ "name": "versions", "population": {
        "instance": "pod", "version": "version", "queries": { "prometheus": "count by (pod, version) (build_info{app=\"${scope}\"})" }
    } });
    let card = judged(&server, &late_request("mixed", config.clone())).await;
    let causes = &card.judgement.reasons;
    let mixed = causes.iter().find(|cause| cause.reason == VerdictReason::MixedPopulation);
    assert!(mixed.is_some_and(|cause| cause.sentence.contains("mixed-canary-5")), "{causes:?}");
    assert_eq!(card.judgement.verdict, Verdict::Marginal);
    let card = judged(&server, &late_request("fleet", config)).await;
    assert_eq!(card.judgement.verdict, Verdict::Pass, "{}", card.judgement.summary);
}

/// The recording itself, by its own words: a fault there would make every verdict above worthless.
#[test]
fn the_recording_is_what_the_tests_say_it_is() {
    let arms: Vec<Arm> = pairs().into_iter().flatten().collect();
    let text = openmetrics(&arms);
    assert_eq!(text, openmetrics(&arms), "the same on every run");
    let lines = |scope: &str| {
        text.lines()
            .filter(|line| line.starts_with(&format!("container_memory_working_set_bytes{{namespace=\"shop\",pod=\"{scope}-6")))
            .count()
    };
    assert_eq!(lines("healthy-canary"), 4 * MINUTES, "a scrape every 15 s");
    assert_eq!(lines("vanished-canary"), 4 * WINDOW.start, "nothing from the window's start on");
    let leaking = arms.iter().find(|arm| arm.scope == "leaking-canary").expect("an arm");
    let grown = leaking.memory[WINDOW.end] / leaking.memory[WINDOW.start];
    assert!((grown - 1.6).abs() < 1e-9, "{grown}");
}
