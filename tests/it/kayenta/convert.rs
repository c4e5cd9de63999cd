//! `haldane convert`: the result is a native config that judges the same, and says what it could not say.

use std::process::{Command, Output, Stdio};

use haldane::kayenta::convert::{convert, convert_with};
use haldane::kayenta::reading::model::CanaryConfig;
use haldane::kayenta::reading::request::ExecutionRequest;
use haldane::kayenta::reading::translate::translate;
use haldane::source::prometheus::variables_of;
use haldane_judges::config::MetricQuery;
use haldane_judges::evidence::{ArmPoints, Comparison, Observation};
use haldane_judges::{CheckedConfig, Evidence, Judgement, judge};
use serde_json::{Value, json};

use super::{config, configs, request};

/// Samples that pass, rise, fall and go missing, one kind a metric and in turn.
fn evidence(metrics: usize, turn: usize) -> Evidence {
    let around = |level: f64| (0..60_u32).map(|i| level + f64::from(i * 7 % 11)).collect::<Vec<_>>();
    let arms = |i: usize| match (i + turn) % 4 {
        0 => (around(100.0), around(100.5)),
        1 => (around(100.0), around(180.0)),
        2 => (around(100.0), around(60.0)),
        _ => (around(100.0), vec![f64::NAN; 60]),
    };
    let observed = |(baseline, canary)| Observation::Sampled { baseline: ArmPoints::values(baseline), canary: ArmPoints::values(canary) };
    Evidence {
        observations: (0..metrics).map(|i| observed(arms(i))).collect(),
        step_seconds: 60.0,
        observed_seconds: 3600.0,
        comparison: Comparison::Concurrent,
        canary_share: None,
        ..Evidence::default()
    }
}

/// A judgement without what tells the config's text.
fn bare(judgement: &Judgement) -> Value {
    let mut bare = serde_json::to_value(judgement).unwrap();
    for key in ["config", "config_digest"] {
        bare.as_object_mut().unwrap().remove(key).unwrap();
    }
    bare
}

#[test]
fn a_converted_config_judges_as_the_translated_one_does() {
    let mut verdicts = Vec::new();
    for name in ["NetflixACAJudge-v1.0", "haldane-v1", "threshold-v1"] {
        for (file, text) in configs() {
            let mut document: Value = serde_json::from_str(&text).unwrap();
            document["judge"]["name"] = json!(name);
            document["classifier"]["scoreThresholds"] = json!({ "pass": 95, "marginal": 75 });
            let kind = document["metrics"][0]["query"]["type"].as_str().unwrap().to_owned();
            let request = ExecutionRequest::from_value(request()).unwrap();
            let read = CanaryConfig::from_value(document.clone()).unwrap();
            let translated = translate(&read, &request, &[("a".to_owned(), kind)], None).unwrap();
            let converted = CheckedConfig::from_yaml(&convert(document.to_string().as_bytes()).unwrap().yaml).unwrap();
            assert_eq!(converted.judge, name, "{file}");
            let checked = translated.config.check().unwrap();
            for turn in 0..4 {
                let evidence = evidence(checked.metrics.len(), turn);
                let (ours, theirs) = (judge(translated.judge, &converted, &evidence), judge(name.parse().unwrap(), &checked, &evidence));
                assert_eq!(bare(&ours), bare(&theirs), "{file} under {name}");
                verdicts.push(ours.verdict);
            }
        }
    }
    verdicts.sort();
    verdicts.dedup();
    assert!(verdicts.len() >= 2, "the samples tell configs apart: {verdicts:?}");
}

#[test]
fn queries_become_native_templates() {
    let queries = |name: &str| {
        let converted = convert(config(name).to_string().as_bytes()).unwrap();
        let text = |query: &MetricQuery| match query {
            MetricQuery::Single(text) => text.clone(),
            MetricQuery::Counts(_) | MetricQuery::Buckets(_) => panic!("{query:?}"),
        };
        let queries: Vec<_> = converted.config.metrics.iter().map(|metric| metric.queries.values().map(text).collect::<String>()).collect();
        (queries, converted)
    };
    let (selectors, converted) = queries("selectors");
    assert!(converted.notes.iter().any(|note| note.starts_with("/metrics: native queries escape")), "{:#?}", converted.notes);
    let expected = [
        "avg(request_latency{job=~\"${scope}\",zone=\"${location}\",code=\"200\",method!=\"HEAD\"}) by (zone,method)",
        "avg(request_errors{job=\"${scope}\"})",
        "avg(node_load1{mode=\"idle\",instance=~\"${scope}-.{4}\",zone=~\".+/zones/${location}-.{1}\"})",
        "avg(node_load5{asg_groupName=\"${scope}\",zone=~\"${location}.{1}\"}) by (zone)",
    ];
    assert_eq!(selectors, expected);
    for text in &selectors {
        variables_of(text).unwrap();
    }
    let (datadog, converted) = queries("datadog");
    assert_eq!(datadog[0], "avg:trace.http.request.duration{${scope}}");
    assert_eq!(converted.config.variables["rollup"].default.as_deref(), Some("60"));
    let (golden, converted) = queries("golden-signals");
    assert!(!converted.notes.iter().any(|note| note.starts_with("/metrics: native queries escape")), "{:#?}", converted.notes);
    assert!(golden[0].starts_with("sum(rate(http_requests_total{job=\"${scope}\",ns=\"${location}\""));
    // A range stands outside of quotes, where no native variable may, so its default is written in.
    assert!(golden[1].contains("job=\"${scope}\", track=\"${track}\"}[5m])"), "{}", golden[1]);
    let variables: Vec<_> =
        converted.config.variables.iter().map(|(name, variable)| (name.as_str(), variable.default.as_deref())).collect();
    assert_eq!(variables, [("track", Some("canary"))]);
}

#[test]
fn what_has_no_equal_is_noted_by_its_pointer_in_the_yaml_too() {
    let mut document = config("golden-signals");
    document["judge"]["name"] = json!("haldane-v1");
    document["judge"]["judgeConfigurations"] = json!({ "other": 1 });
    document["metrics"][2]["scopeName"] = json!("edge");
    let converted = convert(json!({ "canaryConfig": document, "executionRequest": {} }).to_string().as_bytes()).unwrap();
    for pointer in [
        "/applications:",
        "/name:",
        "/judge/judgeConfigurations/other:",
        "/metrics: the metrics name the scopes",
        "/metrics/0/analysisConfigurations/canary/nanStrategy:",
        "/metrics/0/analysisConfigurations/canary/effectSize/criticalIncrease:",
        "/metrics/1/analysisConfigurations/canary/outliers:",
        "/metrics/1/analysisConfigurations/canary/effectSize/measure:",
        "/metrics/1/query:",
    ] {
        assert!(converted.notes.iter().any(|note| note.starts_with(pointer)), "{pointer} in {:#?}", converted.notes);
        assert!(converted.yaml.contains(&format!("# - {pointer}")), "{pointer} in {}", converted.yaml);
    }
    let clean = json!({
        "name": "clean",
        "judge": { "name": "NetflixACAJudge-v1.0" },
        "metrics": [{ "name": "m", "query": { "type": "prometheus", "customInlineTemplate": "PromQL:up{job=\"${scope}\"}" }, "scopeName": "default" }],
        "classifier": { "scoreThresholds": { "pass": 90, "marginal": 50 } }
    });
    let yaml = "\
# Converted from Kayenta's canary config `clean`.
name: clean
judge: NetflixACAJudge-v1.0
thresholds:
  marginal: 50
  pass: 90
metrics:
  - name: m
    queries:
      prometheus: up{job=\"${scope}\"}
";
    assert_eq!(convert(clean.to_string().as_bytes()).map(|converted| (converted.yaml, converted.notes)), Ok((yaml.to_owned(), Vec::new())));
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_haldane")).args(arguments).stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_program_writes_yaml_that_lint_accepts() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in configs() {
        let path = |extension: &str| folder.path().join(format!("{name}.{extension}")).display().to_string();
        let (from, to) = (path("json"), path("yaml"));
        std::fs::write(&from, text).unwrap();
        let (code, out, err) = run(&["convert", &from]);
        assert_eq!(code, Some(0), "{err}");
        assert!(err.lines().all(|line| line.contains(": note: /")) && out.starts_with("# Converted"), "{err}");
        let (code, nothing, _) = run(&["convert", &from, "--output", &to]);
        assert_eq!((code, nothing.as_str(), std::fs::read_to_string(&to).unwrap()), (Some(0), "", out));
        let (code, out, err) = run(&["lint", &to]);
        assert_eq!(code, Some(0), "{out}{err}");
    }
}

#[test]
fn yaml_and_a_byte_order_mark_are_read_as_json_is() {
    let json = convert(config("selectors").to_string().as_bytes()).unwrap();
    let yaml = serde_saphyr::to_string(&config("selectors")).unwrap();
    assert_eq!(convert(yaml.as_bytes()), Ok(json.clone()));
    assert_eq!(convert(format!("\u{feff}{}", config("selectors")).as_bytes()), Ok(json));
}

/// Kayenta's users write `${scope}` for whole matchers, which the scope of each request then is.
/// As `kayentactl` writes it: a document marker, comments, block texts and unquoted words, and the whole request around the config.
#[test]
fn yaml_as_people_and_tools_write_it_is_converted() {
    let yaml = "---\n# the golden signals\ncanaryConfig:\n  name: golden\n  applications: [shop]\n  judge: {name: NetflixACAJudge-v1.0, judgeConfigurations: {}}\n  \
                metrics:\n  - name: errors\n    query:\n      type: prometheus\n      customInlineTemplate: >-\n        PromQL:sum(rate(errors_total{app=\"${scope}\"}[1m]))\n    \
                groups: [errors]\n    analysisConfigurations:\n      canary: {direction: increase, critical: true}\n    scopeName: default\n  \
                classifier:\n    groupWeights: {errors: 100}\nexecutionRequest:\n  thresholds: {pass: 95, marginal: 75}\n";
    let converted = haldane::kayenta::convert::convert(yaml.as_bytes()).unwrap();
    let metric = &converted.config.metrics[0];
    assert_eq!((metric.name.as_str(), metric.critical, converted.lost.len()), ("errors", true, 0), "{}", converted.yaml);
    assert!(converted.yaml.contains("sum(rate(errors_total{app=\"${scope}\"}[1m]))"), "{}", converted.yaml);
}

#[test]
fn a_scope_of_label_matchers_becomes_the_value_of_the_label_that_is_named() {
    let document = |query: Value| {
        json!({
            "name": "matchers",
            "judge": { "name": "NetflixACAJudge-v1.0" },
            "metrics": [{ "name": "errors", "query": query, "analysisConfigurations": { "canary": { "critical": true } } }],
            "classifier": { "scoreThresholds": { "pass": 90, "marginal": 50 } }
        })
        .to_string()
    };
    let query = |converted: &haldane::kayenta::convert::Conversion| match converted.config.metrics[0].queries.get("prometheus") {
        Some(MetricQuery::Single(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    let whole = document(json!({ "type": "prometheus", "customInlineTemplate": "PromQL:sum(rate(x{code=\"500\",${scope}}[5m]))" }));
    let filter = document(json!({ "type": "prometheus", "metricName": "x", "customInlineTemplate": "code=\"500\",${scope}" }));
    for (text, expected) in
        [(&whole, "sum(rate(x{code=\"500\",app=\"${scope}\"}[5m]))"), (&filter, "avg(x{code=\"500\",app=\"${scope}\"})")]
    {
        let converted = convert_with(text.as_bytes(), Some("app")).unwrap();
        assert_eq!((query(&converted).as_str(), converted.lost.as_slice()), (expected, [].as_slice()));
        assert!(converted.notes.iter().any(|note| note.contains("the value of the label `app`")), "{:?}", converted.notes);
        let without = convert(text.as_bytes()).unwrap();
        assert_eq!(without.lost, ["errors"]);
        assert!(without.notes.iter().any(|note| note.contains("`--scope-label`")), "{:?}", without.notes);
    }
    // Outside of a selector there is nothing that a label could select.
    let name = document(json!({ "type": "prometheus", "customInlineTemplate": "PromQL:${scope}_errors" }));
    let converted = convert_with(name.as_bytes(), Some("app")).unwrap();
    assert_eq!(converted.lost, ["errors"]);
}

#[test]
fn a_critical_metric_that_lost_its_query_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let yaml = |critical: bool, kind: &str| {
        format!(
            "name: x\nmetrics:\n- name: errors\n  query: {{type: {kind}, customInlineTemplate: 'PromQL:x{{a=\"b\",${{scope}}}}'}}\n  \
             analysisConfigurations: {{canary: {{critical: {critical}}}}}\n"
        )
    };
    std::fs::write(path("a.yaml"), yaml(true, "prometheus")).unwrap();
    let (code, out, err) = run(&["convert", &path("a.yaml")]);
    assert_eq!(code, Some(3), "{err}");
    assert!(out.starts_with("# Converted") && err.contains("`errors` is critical and has no query now"), "{out}{err}");
    let (code, out, err) = run(&["convert", &path("a.yaml"), "--scope-label", "app"]);
    assert!(code == Some(0) && out.contains("x{a=\"b\",app=\"${scope}\"}"), "{out}{err}");
    std::fs::write(path("b.yaml"), yaml(false, "prometheus")).unwrap();
    assert_eq!(run(&["convert", &path("b.yaml")]).0, Some(0));
    std::fs::write(path("c.yaml"), yaml(true, "newrelic")).unwrap();
    assert_eq!(run(&["convert", &path("c.yaml")]).0, Some(3));
    assert_eq!(run(&["convert", &path("a.yaml"), "--scope-label", "a b"]).0, Some(2));
    // A person who lints it is told what it is.
    let (code, out, _) = run(&["lint", &path("a.yaml")]);
    assert!(code == Some(2) && out.contains("`haldane convert`"), "{out}");
}

#[test]
fn what_is_no_config_of_kayentas_ends_with_2_and_its_pointer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.json").display().to_string();
    for (text, expected) in [
        ("metrics: []", "/metrics: is missing or empty"),
        ("{\"metrics\": [", "is not JSON"),
        ("metrics: [", "is neither JSON nor YAML"),
        ("[]", "a canary config is an object"),
        (r#"{"name":"x"}"#, "/metrics: is missing"),
        (r#"{"canaryConfig":{"metrics":[]}}"#, "/canaryConfig/metrics: is missing"),
        (r#"{"name":"x","metrics":[{"name":"m","queries":{"prometheus":"up"}}]}"#, "/metrics/0/query: is missing"),
        (
            r#"{"metrics":[{"name":"m","query":{"type":"prometheus"},"analysisConfigurations":{"canary":{"muted":"no"}}}]}"#,
            "/metrics/0/analysisConfigurations/canary/muted: ",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, out, err) = run(&["convert", &file]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}");
        assert!(err.contains(expected), "{err}");
    }
    assert_eq!(run(&["convert", "/nowhere.json"]).0, Some(2));
}
