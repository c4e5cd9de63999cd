//! What is judged over a real Prometheus is recorded, and replayed to the same verdicts: `judge --record`, `serve --record` and
//! `haldane record`.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::haldane::{client, command as haldane};
use crate::support::process::Server;
use crate::support::prometheus::Prometheus;
use crate::support::telemetry::{Arm, START, openmetrics};

/// The judged window, in minutes of the recording.
const WINDOW: std::ops::Range<i64> = 75..115;

/// Scopes `NAME` and `NAME-canary` of two pods each.
fn telemetry() -> String {
    let pods = |name: &str| ["a", "b"].map(|pod| Arm::healthy(&format!("{name}-{pod}")));
    let mut arms = Vec::new();
    for name in ["healthy", "regressed", "gappy"] {
        arms.extend(pods(name));
        arms.extend(pods(&format!("{name}-canary")));
    }
    for arm in &mut arms {
        if arm.scope.starts_with("regressed-canary") {
            arm.error_ratio = 0.03;
            arm.median_ms *= 1.6;
        }
        if arm.scope.starts_with("gappy") {
            *arm = arm.clone().with_gaps(0.35);
        }
    }
    openmetrics(&arms)
}

/// A value, a ratio, a distribution, one by instance, one that Prometheus refuses and one of several series where one is expected.
fn config(judge: &str) -> Value {
    let requests = r#"http_server_request_duration_seconds_count{pod=~"${scope}-[ab]-[^-]+-[^-]+"}"#;
    let buckets = requests.replace("_count", "_bucket");
    let failed = requests.replace("{pod", r#"{http_response_status_code=~"5..", pod"#);
    let memory = r#"container_memory_working_set_bytes{pod=~"${scope}-[ab]-[^-]+-[^-]+"}"#;
    let mut metrics = json!([
        {
            "name": "latency-p95", "unit": "ms", "direction": "increase", "limits": { "max_ratio": 1.5 },
            "queries": { "prometheus": format!("1000 * histogram_quantile(0.95, sum by (le) (rate({buckets}[${{step}}])))") }
        },
        {
            "name": "error-ratio", "kind": "ratio", "direction": "increase", "absent_means_zero": true, "limits": { "max": 0.01 },
            "queries": { "prometheus": {
                "numerator": format!("sum(increase({failed}[${{step}}]))"), "denominator": format!("sum(increase({requests}[${{step}}]))")
            } }
        },
        {
            "name": "memory", "unit": "bytes", "direction": "increase", "per_instance": "pod", "limits": { "max_ratio": 1.5 },
            "queries": { "prometheus": format!("avg by (pod) (avg_over_time({memory}[${{step}}]))") }
        },
        { "name": "refused", "limits": { "max_ratio": 2 }, "queries": { "prometheus": format!("{buckets} / on() {buckets}") } },
        { "name": "several", "limits": { "max_ratio": 2 }, "queries": { "prometheus": memory } }
    ]);
    // Limits on a distribution are of its quantiles, and Kayenta's judge knows none.
    if judge == "haldane-v1" {
        let distribution = json!({
            "name": "latency", "kind": "distribution", "unit": "s", "direction": "increase",
            "queries": { "prometheus": format!("sum by (le) (increase({buckets}[${{step}}]))") }
        });
        metrics.as_array_mut().unwrap().push(distribution);
    } else {
        metrics.as_array_mut().unwrap().iter_mut().for_each(|metric| metric["groups"] = json!(["all"]));
    }
    json!({ "name": "recorded", "judge": judge, "metrics": metrics })
}

fn time(minute: i64) -> String {
    jiff::Timestamp::from_second(START + 60 * minute).unwrap().to_string()
}

fn request(canary: &str, judge: &str, window: std::ops::Range<i64>) -> Value {
    json!({
        "config": config(judge),
        "baseline": { "scope": canary },
        "canary": { "scope": format!("{canary}-canary") },
        "window": { "start": time(window.start), "end": time(window.end), "step": "60s" },
        "canary_share": 0.5
    })
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = haldane().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn judged(prometheus: &str, request: &Value, more: &[&str]) -> Value {
    let arguments = [&["judge", "--request", "-", "--output", "json", "--prometheus", prometheus], more].concat();
    serde_json::from_str(&ok(&arguments, &request.to_string())).unwrap()
}

/// What was found of one metric, to the last bit, as a scorecard and a replayed row say it.
fn findings(card: &Value) -> Vec<Value> {
    let first = |places: [&Value; 3]| places.into_iter().find(|value| value.is_number()).cloned().unwrap_or_default();
    let metrics = card["metrics"].as_array().unwrap().iter();
    metrics
        .map(|metric| {
            let counts = &metric["counts"];
            let p = first([
                &metric["numbers"]["p"],
                if counts["p_looks"].is_null() { &counts["p"] } else { &counts["p_looks"] },
                &metric["events"]["p"],
            ]);
            let reason = if metric["aca"].is_object() { &metric["aca"]["classification"] } else { &metric["reason"] };
            json!([card["verdict"], card["score"], metric["name"], metric["status"], reason, p])
        })
        .collect()
}

/// The rows of a replay by case, in the order of the file.
fn replayed(recording: &Path, judge: &str) -> Vec<Vec<Value>> {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    let (recording, output) = (recording.to_str().unwrap(), rows.to_str().unwrap());
    ok(&["replay", recording, "--judge", judge, "--strict", "--output", output], "");
    let mut cases: Vec<(Value, Vec<Value>)> = Vec::new();
    for line in std::fs::read_to_string(&rows).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if cases.last().is_none_or(|(case, _)| *case != row["case"]) {
            cases.push((row["case"].clone(), Vec::new()));
        }
        let finding = json!([row["verdict"], row["score"], row["metric"], row["status"], row["reason"], row["p"]]);
        cases.last_mut().unwrap().1.push(finding);
    }
    cases.into_iter().map(|(_, rows)| rows).collect()
}

#[test]
fn a_replay_of_what_was_recorded_gives_the_verdicts_that_judging_gave() {
    let prometheus = Prometheus::over(&telemetry());
    let folder = tempfile::tempdir().unwrap();
    for judge in ["haldane-v1", "threshold-v1", "NetflixACAJudge-v1.0"] {
        let file = folder.path().join(format!("{judge}.jsonl"));
        let mut live = Vec::new();
        for canary in ["healthy", "regressed", "gappy"] {
            let card = judged(&prometheus.url(), &request(canary, judge, WINDOW), &["--record", file.to_str().unwrap()]);
            live.push(findings(&card));
        }
        assert_eq!(replayed(&file, judge), live, "{judge}");
        if judge == "haldane-v1" {
            // Beside what was found, that all of it was there to be found.
            let text = std::fs::read_to_string(&file).unwrap();
            let case: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
            let metrics = &case["metrics"];
            assert_eq!(metrics[0]["canary_history"].as_array().unwrap().len(), metrics[0]["baseline_history"].as_array().unwrap().len());
            assert_eq!(metrics[0]["bucket_bounds"].as_array().unwrap().len(), 18, "{metrics}");
            assert_eq!(metrics[1]["canary_totals"].as_array().unwrap().len(), 40);
            assert_eq!(metrics[2]["canary_instances"].as_object().unwrap().len(), 2);
            assert!(metrics[3]["failure"]["message"].as_str().unwrap().contains("many-to-many"), "{}", metrics[3]);
            assert_eq!(metrics[4]["failure"]["reason"], "many_series");
            assert_eq!(metrics[5]["canary_buckets"]["counts"].as_array().unwrap().len(), 40);
            assert_eq!((&case["recorded"]["verdict"], &case["canary_share"]), (&json!("fail"), &json!(0.5)));
            assert!(!text.contains("127.0.0.1") && !text.contains("\"query\""), "no address and no filled query");
        }
    }
}

#[tokio::test]
async fn a_service_records_what_it_judges() {
    let prometheus = Prometheus::over(&telemetry());
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("recordings");
    let server = Server::start(&folder.path().join("log"), "/health/ready", |address| {
        let mut command = haldane();
        command.args(["serve", "--listen", &address.to_string(), "--prometheus", &prometheus.url()]).arg("--record").arg(&recordings);
        command
    });
    let mut live = Vec::new();
    for canary in ["healthy", "regressed"] {
        let request = request(canary, "haldane-v1", WINDOW);
        let reply = client().post(format!("{}/v1/judgements", server.url())).json(&request).send().await.unwrap();
        live.push(findings(&reply.json::<Value>().await.unwrap()));
    }
    // It is written after the answer, by a thread of its own.
    let written = |text: &str| text.contains("haldane_recordings_total{outcome=\"written\"} 2");
    let mut metrics = String::new();
    while !written(&metrics) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        metrics = client().get(format!("{}/metrics", server.url())).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("haldane_recordings_total{outcome=\"failed\"} 0"), "{metrics}");
    }
    assert_eq!(replayed(&recordings, "haldane-v1"), live);
}

#[test]
fn a_past_period_is_recorded_step_by_step_with_labels_and_resumed() {
    let prometheus = Prometheus::over(&telemetry());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("config.json"), config("haldane-v1").to_string()).unwrap();
    let incidents = format!("start,end,scope,label,metrics\n{},{},regressed-canary,,error-ratio;latency-p95\n", time(83), time(103));
    std::fs::write(path("incidents.csv"), incidents).unwrap();
    let record = |more: &[&str]| {
        let (config, from, to) = (path("config.json"), time(60), time(110));
        let url = prometheus.url();
        let fixed =
            ["record", "--prometheus", &url, "--config", &config, "--baseline", "regressed", "--canary", "regressed-canary", "--from"];
        let rest = [from.as_str(), "--to", &to, "--every", "10m", "--duration", "20m", "--duration", "30m", "--step", "60s"];
        run(&[&fixed[..], &rest[..], more].concat(), "")
    };
    let (whole, incidents) = (path("whole.jsonl"), path("incidents.csv"));
    let output = record(&["--output", &whole, "--incidents", &incidents]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // Of 20 minutes those from 60, 70, 80 and 90, of 30 those from 60, 70 and 80; half of 20 minutes lies in 80-100, 90-110, 70-100, 80-110.
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("7 of 7 windows recorded (1 healthy, 4 regressed, 2 unlabelled)"), "{said}");
    let text = std::fs::read_to_string(&whole).unwrap();
    let mut live = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut request = request("regressed", "haldane-v1", WINDOW);
        let window = &case["recorded"]["canary_window"];
        request["window"] = json!({ "start": window["start"], "end": window["end"], "step": "60s" });
        request.as_object_mut().unwrap().remove("canary_share");
        live.push(findings(&judged(&prometheus.url(), &request, &[])));
    }
    assert_eq!(replayed(Path::new(&whole), "haldane-v1"), live);

    // An output is neither overwritten nor gone on with unless that is said.
    let refused = record(&["--output", &whole, "--healthy"]);
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("--resume"), "{refused:?}");
    let torn: String = text.split_inclusive('\n').take(3).chain(["{\"id\": \"to"]).collect();
    let resumed = path("torn.jsonl");
    std::fs::write(&resumed, torn).unwrap();
    let output = record(&["--output", &resumed, "--incidents", &incidents, "--resume"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("3 were there already"), "{output:?}");
    let without_time = |text: &str| -> Vec<Value> {
        let case = |line: &str| {
            let mut case: Value = serde_json::from_str(line).unwrap();
            case["recorded"].as_object_mut().unwrap().remove("judged_at");
            case
        };
        text.lines().map(case).collect()
    };
    assert_eq!(without_time(&std::fs::read_to_string(&resumed).unwrap()), without_time(&text));
}
