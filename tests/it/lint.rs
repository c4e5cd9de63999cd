//! `haldane lint`: what it says of the queries of a config, by themselves and against a real Prometheus.

use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;

use crate::support::haldane::command as haldane;
use crate::support::prometheus::Prometheus;
use crate::support::telemetry::{Arm, MINUTES, START, openmetrics};

/// The recording's end, up to which is looked.
const END: i64 = START + MINUTES as i64 * 60;

/// One Prometheus for all tests that run at the same time; it ends with the last of them.
fn prometheus() -> Arc<Prometheus> {
    static SHARED: Mutex<Weak<Prometheus>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let mut quiet = [Arm::healthy("quiet"), Arm::healthy("quiet-canary")];
        for arm in &mut quiet {
            arm.rate = 0.01;
            arm.error_ratio = 0.0;
        }
        let mut gone = Arm::healthy("gone");
        // Ten minutes in the middle of the half hour that is looked at.
        gone.missing[MINUTES - 20..MINUTES - 10].fill(true);
        let arms: Vec<Arm> = [Arm::healthy("shop"), Arm::healthy("shop-canary"), gone].into_iter().chain(quiet).collect();
        let started = Arc::new(Prometheus::over(&openmetrics(&arms)));
        *shared = Arc::downgrade(&started);
        started
    })
}

const COUNT: &str = "http_server_request_duration_seconds_count";

fn lint(yaml: &str, canary: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("canary.yaml");
    std::fs::write(&file, yaml).unwrap();
    let store = prometheus();
    let end = jiff::Timestamp::from_second(END).unwrap().to_string();
    let mut command = haldane();
    command.arg("lint").arg(&file).args(["--prometheus", &store.url(), "--baseline", "shop", "--canary", canary, "--end", &end]);
    command.args(more).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_str(&out(output)).unwrap_or_else(|error| panic!("{error}: {}", out(output)))
}

fn sound() -> String {
    format!(
        r#"
name: sound
step: 60s
metrics:
  - name: error-ratio
    kind: ratio
    direction: increase
    absent_means_zero: true
    limits: {{max: 0.01}}
    queries:
      prometheus:
        numerator: >-
          sum(({COUNT}{{pod=~"${{scope}}-6.*", http_response_status_code=~"5.."}}
          unless max_over_time({COUNT}{{pod=~"${{scope}}-6.*", http_response_status_code=~"5.."}}[10m] offset ${{step}}))
          or increase({COUNT}{{pod=~"${{scope}}-6.*", http_response_status_code=~"5.."}}[${{step}}]))
        denominator: sum(increase({COUNT}{{pod=~"${{scope}}-6.*"}}[${{step}}]))
  - name: memory
    unit: bytes
    limits: {{max: 1e9}}
    queries: {{prometheus: 'sum(container_memory_working_set_bytes{{pod=~"${{scope}}-6.*"}})'}}
"#
    )
}

#[test]
fn a_sound_config_is_drawn_for_both_arms_and_fits_a_terminal() {
    let output = lint(&sound(), "shop-canary", &[]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("1 file, 0 errors, 0 warnings\n"), "{text}");
    // 2025-06-03T10:00:00Z and two hours.
    assert!(text.contains("30 points 1m apart, 2025-06-03 11:30:00 to 12:00:00 UTC"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(!text.contains('\u{1b}'), "colours without a terminal");
    // A picture of 30 columns for each arm of both metrics.
    let drawn = |line: &&str| line.chars().filter(|c| ('▁'..='█').contains(c)).count() == 30;
    assert_eq!(text.lines().filter(drawn).count(), 4, "{text}");
    assert!(text.contains("in MiB, any change is worse"), "{text}");
}

#[test]
fn a_pipeline_reads_the_same_as_json() {
    let output = lint(&sound(), "shop-canary", &["--output", "json"]);
    let report = document(&output);
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{report:#}");
    let tried = &report["files"][0]["tried"];
    assert_eq!((&tried["source"], &tried["queries"], &tried["window"]["end"]), (&"prometheus".into(), &6.into(), &END.into()));
    let ratio = &tried["metrics"][0];
    for arm in ["baseline", "canary"] {
        let arm = &ratio[arm];
        assert_eq!((&arm["expected"], &arm["present"], &arm["resolution_seconds"]), (&30.into(), &30.into(), &60.into()), "{arm:#}");
        // Ten requests a second for half an hour, which swing by 3 % and arrive at random.
        let total = arm["counts"]["total"].as_f64().unwrap();
        assert!((total - 18_000.0).abs() < 1_500.0, "{total}");
        let effective = arm["effective"].as_f64().unwrap();
        assert!((1.0..=30.0).contains(&effective), "{effective}");
    }
    let memory = &tried["metrics"][1]["canary"];
    // 55 % of a gigabyte.
    assert!((memory["median"].as_f64().unwrap() - 5.5e8).abs() < 1e7, "{memory:#}");
    assert_eq!(memory["queries"][0]["series"], 1);
}

#[test]
fn what_a_person_needs_to_know_is_said_with_its_remedy() {
    let yaml = format!(
        r#"
name: doubtful
step: 15s
metrics:
  - {{name: overlapping, limits: {{min: 0}}, queries: {{prometheus: 'sum(rate({COUNT}{{pod=~"${{scope}}-6.*"}}[5m]))'}}}}
  - {{name: same, limits: {{min: 0}}, queries: {{prometheus: 'sum(container_memory_working_set_bytes{{pod=~"shop-6.*"}})'}}}}
  - {{name: several, limits: {{min: 0}}, queries: {{prometheus: 'container_memory_working_set_bytes{{pod=~".*${{scope}}.*"}}'}}}}
  - {{name: misspelt, limits: {{min: 0}}, queries: {{prometheus: 'sum(container_memory_working_set_byte{{pod=~"${{scope}}-6.*"}})'}}}}
  - {{name: refused, limits: {{min: 0}}, queries: {{prometheus: 'sum('}}}}
"#
    );
    let output = lint(&yaml, "gone", &["--output", "json", "--last", "30m"]);
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    let report = document(&output);
    let findings = report["files"][0]["findings"].as_array().unwrap();
    let expected = [
        ("refused", "error", 2, "the metric store refused the query"),
        ("several", "error", 1, "2 series came back where one is judged, told apart by pod"),
        ("overlapping", "warning", 2, "rate window 5m with step 15s: neighbours share 95 % of their data; use [15s]"),
        ("same", "warning", 0, "both arms are asked the same query, so that the canary is compared with itself"),
        ("misspelt", "warning", 2, "no series came back: the store has no `container_memory_working_set_byte`; did you mean"),
    ];
    for (metric, severity, arms, begins) in expected {
        let found = findings.iter().find(|one| one["metric"] == metric && one["message"].as_str().unwrap().starts_with(begins));
        let found = found.unwrap_or_else(|| panic!("{metric}: {findings:#?}"));
        let told = found["arms"].as_array().map_or(0, Vec::len);
        assert_eq!((found["severity"].as_str(), told), (Some(severity), arms), "{found:#}");
    }
    // What matters most comes first.
    let errors = findings.iter().take_while(|one| one["severity"] == "error").count();
    assert_eq!(report["errors"], errors);
}

#[test]
fn a_gap_is_shown_where_it_is_and_little_traffic_says_what_decides() {
    let report = document(&lint(&sound(), "gone", &["--output", "json"]));
    let canary = &report["files"][0]["tried"]["metrics"][0]["canary"];
    assert_eq!(canary["longest_gap"]["at"], "middle", "{canary:#}");
    let points = canary["longest_gap"]["points"].as_u64().unwrap();
    // Ten minutes, and the points whose rate would have looked into them.
    assert!((9..=12).contains(&points), "{points}");
    let text = out(&lint(&sound(), "quiet-canary", &[]));
    assert!(text.contains("too little for statistics in 30m, so that its limits will decide"), "{text}");
}

#[test]
fn a_scope_that_selects_nothing_is_a_warning_that_strict_makes_fatal() {
    let output = lint(&sound(), "nobody", &[]);
    let text = out(&output);
    assert!(text.contains("not one query found a series: nothing is called `nobody` there"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(lint(&sound(), "nobody", &["--strict"]).status.code(), Some(2));
}

#[test]
fn values_that_change_more_seldom_than_they_are_asked_for_are_recognised() {
    // Scraped every 15 s and asked every 5 s: Prometheus repeats the last value.
    let yaml = sound().replace("step: 60s", "step: 5s");
    let report = document(&lint(&yaml, "shop-canary", &["--output", "json", "--last", "10m"]));
    let findings = report["files"][0]["findings"].as_array().unwrap();
    let said =
        "its values change every 15s and are asked every 5s: 2 of 3 points repeat the one before, and prove nothing; use `step: 15s`";
    let found = findings.iter().find(|one| one["metric"] == "memory" && one["message"] == said);
    assert!(found.is_some_and(|found| found["arms"].as_array().unwrap().len() == 2), "{findings:#?}");
}

#[test]
fn a_counter_that_is_mostly_absent_is_no_warning_where_that_means_zero() {
    let counter = format!(
        r#"
  - name: requests
    traffic: true
    absent_means_zero: true
    limits: {{max: 1e6}}
    queries:
      prometheus: >-
        sum(({COUNT}{{pod=~"${{scope}}-6.*"}} unless max_over_time({COUNT}{{pod=~"${{scope}}-6.*"}}[10m] offset ${{step}}))
        or increase({COUNT}{{pod=~"${{scope}}-6.*"}}[${{step}}])) > 0
"#
    );
    let yaml = sound() + counter.trim_start_matches('\n');
    let output = lint(&yaml, "quiet-canary", &["--output", "json", "--strict"]);
    let report = document(&output);
    let canary = &report["files"][0]["tried"]["metrics"][2]["canary"];
    // A request in a hundred seconds.
    assert!((1..15).contains(&canary["present"].as_u64().unwrap()), "{canary:#}");
    assert_eq!((output.status.code(), &report["warnings"]), (Some(0), &0.into()), "{:#}", report["files"][0]["findings"]);
    let without =
        lint(&yaml.replace("    absent_means_zero: true\n    limits: {max: 1e6}", "    limits: {max: 1e6}"), "quiet-canary", &["--strict"]);
    assert!(out(&without).contains("of 30 points are missing"), "{}", out(&without));
    assert_eq!(without.status.code(), Some(2));
}

/// What `lint` says of a config without a store, and how it ends.
fn alone(yaml: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("canary.yaml");
    std::fs::write(&file, yaml).unwrap();
    let output = haldane().arg("lint").arg(&file).output().unwrap();
    let text = out(&output).lines().map(str::trim).collect::<Vec<_>>().join(" ");
    (output.status.code(), text)
}

/// Queries as they are copied from templates and dashboards of other tools. Errors are what `judge` refuses without asking a store.
#[test]
fn queries_are_read_without_a_store_as_a_judgement_will_read_them() {
    for (store, query, code, said) in [
        ("prometheus", r#"up{${scope}}"#, 2, "stands outside of a string"),
        ("prometheus", r#"sum(rate(x{a="${scope}"}[5m])"#, 0, "Prometheus cannot read this query"),
        ("prometheus", r#"avg(rate(x{a="${scope}"}))"#, 0, "Prometheus cannot read this query"),
        ("prometheus", r#"sum(rate(x{a="${scope}"}[$__rate_interval]))"#, 0, "is a variable of Grafana's; write `${step}`"),
        ("prometheus", r#"sum(rate(x{a="${scope}"}[${__rate_interval}]))"#, 2, "not declared; write `${step}`"),
        ("prometheus", r#"sum(rate(x{a="${scope}"}[{{ interval }}]))"#, 0, "write `${step}`"),
        ("prometheus", "sum(x{resources`cpu`})", 0, "Prometheus cannot read this query"),
        ("prometheus", r#"sum(rate(x{a="{{args.service-name}}"}[5m]))"#, 0, "a placeholder of Argo Rollouts'"),
        ("prometheus", r#"sum(rate(x{a="web"}[5m]))"#, 0, "nothing in this query tells the arms apart"),
        ("prometheus", r#"up{a=“${scope}”}"#, 2, "`“` is a typographic quote"),
        ("datadog", "avg:foo{version:{{args.version}}}", 2, "a placeholder of Argo Rollouts'"),
        ("datadog", "avg:foo{$scope}", 2, "a variable of a dashboard"),
        ("datadog", "avg:foo{version:${scope}", 2, "is not closed"),
        ("datadog", "logs(\"x\")", 2, "there is no query such as"),
        ("promtheus", r#"up{a="${scope}"}"#, 2, "did you mean `prometheus`?"),
    ] {
        let yaml = format!(
            "name: x\nmetrics:\n  - name: m\n    direction: increase\n    limits: {{max: 1}}\n    queries:\n      {store}: |-\n        {query}\n"
        );
        let (found, text) = alone(&yaml);
        assert!(found == Some(code) && text.contains(said), "{query}: {found:?} {text}");
    }
}

#[test]
fn a_query_that_a_store_refuses_is_shown_with_its_quotes_whole() {
    let query =
        r#"sum by (le) (rate(http_server_request_duration_seconds_bucket{container="server ", pod=~"${scope}-[a-z0-9]+-[a-z0-9]{5}"}[5m])"#;
    let yaml = format!("name: x\nmetrics:\n  - name: m\n    limits: {{max: 1}}\n    queries:\n      prometheus: |-\n        {query}\n");
    let output = lint(&yaml, "shop-canary", &[]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("refused the query") && text.lines().any(|line| line.contains("container=\"server \"")), "{text}");
}

#[test]
fn rates_that_are_to_be_counts_and_levels_in_another_unit_are_found_against_the_store() {
    let yaml = format!(
        r#"
name: mistaken
step: 60s
metrics:
  - name: errors
    kind: ratio
    direction: increase
    absent_means_zero: true
    limits: {{max: 0.001}}
    queries:
      prometheus:
        numerator: sum(rate({COUNT}{{pod=~"${{scope}}-6.*"}}[${{step}}]))
        denominator: sum(rate({COUNT}{{pod=~"${{scope}}-6.*"}}[${{step}}]))
  - name: memory
    unit: bytes
    direction: increase
    tolerance: {{absolute: 1e12}}
    limits: {{max: 1e8}}
    queries: {{prometheus: 'sum(container_memory_working_set_bytes{{pod=~"${{scope}}-6.*"}})'}}
"#
    );
    let report = document(&lint(&yaml, "shop-canary", &["--output", "json"]));
    let findings = report["files"][0]["findings"].as_array().unwrap();
    let said = |severity: &str, pointer: &str, part: &str| {
        let found =
            |one: &&Value| one["severity"] == severity && one["pointer"] == pointer && one["message"].as_str().unwrap().contains(part);
        assert!(findings.iter().any(|one| found(&one)), "{pointer}: {findings:#?}");
    };
    said("warning", "/metrics/0/queries/prometheus/numerator", "use `increase(...[${step}])`");
    said("warning", "/metrics/0/queries/prometheus/denominator", "use `increase(...[${step}])`");
    said("warning", "/metrics/0/limits/max", "the baseline itself is past `limits.max` of 0.1 %");
    said("error", "/metrics/1/tolerance/absolute", "are both in one unit?");
    said("warning", "/metrics/1/limits/max", "the baseline itself is past `limits.max` of 95.4 MiB");
}
