//! Configs and requests become analyses: the same queries, windows and rules as Kayenta's, or a reason why not.

use std::collections::BTreeMap;

use haldane::analysis::Request;
use haldane::kayenta::reading::model::CanaryConfig;
use haldane::kayenta::reading::native::{Surface, choose_judge};
use haldane::kayenta::reading::query::build_query;
use haldane::kayenta::reading::request::ExecutionRequest;
use haldane::kayenta::reading::translate::translate;
use haldane::kayenta::wire::refusal::{Refusal, RefusalKind};
use haldane::source::Window;
use haldane_judges::JudgeName;
use haldane_judges::aca::{Measure, NanStrategy, OutlierStrategy};
use haldane_judges::config::{Direction, FailOn};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{config, configs, request};

/// 2026-03-01T10:00:00Z.
const TEN: i64 = 1_772_359_200;

fn accounts() -> Vec<(String, String)> {
    [("dd", "datadog"), ("prom", "prometheus")].map(|(name, kind)| (name.to_owned(), kind.to_owned())).to_vec()
}

fn run_with(config: Value, request: Value, account: Option<&str>) -> Result<Request, Refusal> {
    translate(&CanaryConfig::from_value(config)?, &ExecutionRequest::from_value(request)?, &accounts(), account)
}

fn run(config: Value, request: Value) -> Result<Request, Refusal> {
    run_with(config, request, None)
}

/// The document with other values at some pointers; `null` takes the field away.
fn with(mut document: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
            Value::Array(items) => items[field.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[field] = value.clone(),
        }
    }
    document
}

fn queries(request: &Request) -> BTreeMap<&str, &str> {
    request.queries.iter().map(|(name, arms)| (name.as_str(), arms.canary.text.as_str())).collect()
}

#[test]
fn a_config_keeps_every_key_it_came_with() {
    for (name, text) in configs() {
        let document: Value = serde_json::from_str(&text).unwrap();
        let config = CanaryConfig::from_json(text.as_bytes()).unwrap();
        assert_eq!(*config.document(), document, "{name}");
        config.check_for_storage().unwrap();
    }
}

#[test]
fn a_config_is_shown_with_its_templates_escaped_its_query_types_and_no_nulls() {
    let shown = CanaryConfig::from_value(config("golden-signals")).unwrap().shown_with_execution();
    let text = shown.to_string();
    assert!(!text.contains("${") && !text.contains("null"), "{text}");
    assert!(shown["templates"]["unused"] == "$\\{nobody}" && shown["combinedCanaryResultStrategy"] == "LOWEST");
    assert!(shown["metrics"].as_array().unwrap().iter().all(|metric| metric["query"]["serviceType"] == "prometheus"));
    let bare = CanaryConfig::from_value(json!({ "name": "c" })).unwrap().shown_with_execution();
    assert_eq!(bare, json!({ "name": "c", "applications": [], "metrics": [], "templates": {}, "classifier": { "groupWeights": {} } }));
}

// The texts follow from Kayenta's PrometheusMetricsService and DatadogMetricsService, by hand.
#[test]
fn queries_are_those_that_kayenta_builds() {
    let golden = run(config("golden-signals"), request()).unwrap();
    let expected = BTreeMap::from([
        (
            "error ratio",
            "sum(rate(http_requests_total{job=\"pay-canary\",ns=\"eu\",code=~\"5..\"}[1m])) / \
             sum(rate(http_requests_total{job=\"pay-canary\",ns=\"eu\"}[1m]))",
        ),
        (
            "latency p99 (ms)",
            " histogram_quantile(0.99,\n  sum by (le) (rate(http_request_duration_ms_bucket{job=\"pay-canary\", track=\"canary\"}[5m])))",
        ),
        ("cpu", "avg(rate(process_cpu_seconds_total{job='pay-canary'}[1m]))"),
    ]);
    assert_eq!(queries(&golden), expected);
    let selectors = run(config("selectors"), request()).unwrap();
    let expected = BTreeMap::from([
        ("by filter", "avg(request_latency{job=~\"pay-canary\",zone=\"eu\",code=\"200\",method!=\"HEAD\"}) by (zone,method)"),
        ("by named filter", "avg(request_errors{job=\"pay-canary\"})"),
        ("gce", "avg(node_load1{mode=\"idle\",instance=~\"pay-canary-.{4}\",zone=~\".+/zones/eu-.{1}\"})"),
        ("ec2", "avg(node_load5{asg_groupName=\"pay-canary\",zone=~\"eu.{1}\"}) by (zone)"),
    ]);
    assert_eq!(queries(&selectors), expected);
    assert_eq!(selectors.queries["by filter"].pair_by, ["zone", "method"]);
    assert_eq!(golden.queries["error ratio"].pair_by, [""; 0]);
    let datadog = run(config("datadog"), with(request(), &[("/scopes/default/experimentScope/scope", json!("service:pay"))])).unwrap();
    let expected = BTreeMap::from([
        ("latency", "avg:trace.http.request.duration{service:pay}"),
        ("errors", "sum:trace.http.request.errors{env:prod,service:pay,zone:eu}.as_count().rollup(sum, 60)"),
    ]);
    assert_eq!(queries(&datadog), expected);
    assert_eq!(datadog.source.as_deref(), Some("dd"));
}

#[test]
fn scope_parameters_are_variables_and_name_project_and_resource_type() {
    let parameters = json!({ "track": "stable", "range": 10, "none": null, "project": "p-1", "resourceType": "gce_instance" });
    let changes = [("/scopes/default/experimentScope/extendedScopeParams", parameters)];
    let golden = run(with(config("golden-signals"), &[]), with(request(), &changes)).unwrap();
    assert!(golden.queries["latency p99 (ms)"].canary.text.contains("track=\"stable\"}[10]"));
    assert!(golden.queries["latency p99 (ms)"].baseline.text.contains("track=\"canary\"}[5m]"));
    let changed = with(config("selectors"), &[("/metrics/2/query/resourceType", json!(null))]);
    let both = [changes[0].clone(), ("/scopes/default/controlScope/extendedScopeParams", json!({ "resourceType": "aws_ec2_instance" }))];
    let gce = run(changed, with(request(), &both)).unwrap();
    let expected = "avg(node_load1{mode=\"idle\",instance=~\"pay-canary-.{4}\",zone=~\".+/projects/p-1/zones/eu-.{1}\"})";
    assert_eq!(gce.queries["gce"].canary.text, expected);
    assert_eq!(gce.queries["gce"].baseline.text, "avg(node_load1{mode=\"idle\",asg_groupName=\"pay-base\",zone=~\"eu.{1}\"})");
}

#[test]
fn the_points_asked_for_are_start_and_every_step_up_to_the_end() {
    let window = |start: Value, end: Value, step: Value| {
        let at = "/scopes/default/experimentScope";
        let changes = [("start", start), ("end", end), ("step", step)].map(|(field, value)| (format!("{at}/{field}"), value));
        let changes: Vec<_> = changes.iter().map(|(pointer, value)| (pointer.as_str(), value.clone())).collect();
        run(config("golden-signals"), with(request(), &changes)).unwrap().window.unwrap()
    };
    for (start, end, step, first, points, seconds) in [
        (json!("2026-03-01T10:00:00Z"), json!("2026-03-01T11:00:00Z"), json!(60), TEN, 61, 60),
        (json!("2026-03-01T12:00:07+02:00"), json!("2026-03-01T10:10:06.999Z"), json!(0), TEN + 7, 10, 60),
        (json!(TEN), json!(TEN + 100), json!("30"), TEN, 4, 30),
        (json!(TEN), json!(TEN + 100), json!(null), TEN, 2, 60),
        (json!(TEN), json!(TEN + 10), json!(3600), TEN, 1, 3600),
    ] {
        let window = window(start, end, step);
        assert_eq!((window.first_point(), window.len(), window.step_seconds), (first, points, seconds));
    }
}

#[test]
fn arms_at_different_times_keep_their_own_windows() {
    let earlier = [
        ("/scopes/default/controlScope/start", json!("2026-03-01T09:00:00Z")),
        ("/scopes/default/controlScope/end", json!("2026-03-01T10:00:00Z")),
    ];
    let run = |changes: &[(&str, Value)]| run(config("golden-signals"), with(request(), changes)).unwrap();
    let shifted = run(&earlier);
    assert_eq!((shifted.baseline_offset_seconds, shifted.baseline_window), (3600, None));
    assert_eq!(shifted.queries["cpu"].baseline.window, shifted.window.unwrap().earlier(3600));
    let longer = run(&earlier[..1]);
    let own = Window { start: TEN - 3660, end: TEN + 3600, step_seconds: 60 };
    assert_eq!((longer.baseline_offset_seconds, longer.baseline_window), (0, Some(own)));
    assert_eq!(longer.queries["cpu"].baseline.window, own);
}

#[test]
fn kayentas_judge_is_told_its_own_rules_and_any_weights() {
    let changes = [("/classifier/groupWeights", json!({ "errors": -10, "latency": 250 }))];
    let request = with(request(), &[("/thresholds", json!({ "pass": 50, "marginal": 80 }))]);
    let run = run(with(config("golden-signals"), &changes), request).unwrap();
    assert_eq!(run.judge, JudgeName::NetflixAca);
    assert_eq!((run.config.thresholds.pass, run.config.thresholds.marginal), (50.0, 80.0));
    assert_eq!(run.config.groups, BTreeMap::from([("errors".to_owned(), -10.0), ("latency".to_owned(), 250.0)]));
    let [errors, latency, cpu] = &run.config.metrics[..] else { panic!("{:?}", run.config.metrics) };
    let rules = errors.aca.unwrap();
    assert_eq!((errors.direction, errors.critical, rules.nan_strategy), (Direction::Increase, true, NanStrategy::Replace));
    assert_eq!((rules.effect_size.allowed_increase, rules.effect_size.critical_increase), (Some(1.1), Some(2.0)));
    let rules = latency.aca.unwrap();
    assert_eq!((rules.must_have_data, rules.outliers.strategy, rules.outliers.factor), (true, OutlierStrategy::Remove, 2.5));
    assert_eq!((rules.effect_size.measure, rules.effect_size.allowed_increase), (Measure::Cles, Some(0.6)));
    assert_eq!((cpu.direction, cpu.critical, cpu.aca), (Direction::Either, false, None));
}

#[test]
fn haldane_is_told_what_it_understands_of_them_and_its_own_options() {
    let run = run(config("selectors"), request()).unwrap();
    assert_eq!((run.judge, run.config.fail_on), (JudgeName::HaldaneV1, FailOn::Score));
    // What is left of 100 goes to the groups without a weight; a metric without a group is not scored.
    let weights = [("errors", 50.0), ("latency", 50.0), ("metrics", 0.0)].map(|(name, weight)| (name.to_owned(), weight));
    assert_eq!(run.config.groups, BTreeMap::from(weights));
    let [filter, _, gce, _] = &run.config.metrics[..] else { panic!("{:?}", run.config.metrics) };
    assert_eq!((filter.tolerance.relative, filter.limits.max, filter.unit.as_deref()), (Some(0.25), Some(400.0), Some("ms")));
    assert_eq!((gce.direction, gce.tolerance.relative, gce.optional), (Direction::Decrease, Some(0.2), true));
    let golden = super::translate::run(with(config("golden-signals"), &[("/judge/name", json!("haldane-v1"))]), request()).unwrap();
    let [errors, latency, _] = &golden.config.metrics[..] else { panic!("{:?}", golden.config.metrics) };
    assert_eq!((errors.absent_means_zero, errors.optional, errors.tolerance.relative), (true, false, Some(0.1)));
    assert_eq!((latency.optional, latency.tolerance.relative), (false, None));
    assert_eq!(golden.config.name, "checkout_golden-signals");
}

#[test]
fn the_judge_is_the_one_that_is_named() {
    for (surface, judge, expected) in [
        (Surface::Canary, json!(null), Some(JudgeName::NetflixAca)),
        (Surface::Canary, json!({ "name": "" }), Some(JudgeName::NetflixAca)),
        (Surface::Canary, json!({ "name": "NetflixACAJudge-v1.0" }), Some(JudgeName::NetflixAca)),
        (Surface::Canary, json!({ "name": "threshold-v1" }), Some(JudgeName::ThresholdV1)),
        (Surface::Canary, json!({ "name": "RemoteJudge-v1.0" }), Some(JudgeName::HaldaneV1)),
        (Surface::Canary, json!({ "name": "dredd-v1.0" }), None),
        (Surface::RemoteJudge, json!(null), Some(JudgeName::HaldaneV1)),
        (Surface::RemoteJudge, json!({ "name": "NetflixACAJudge-v1.0" }), Some(JudgeName::NetflixAca)),
        (Surface::RemoteJudge, json!({ "judgeConfigurations": { "judge": "threshold-v1" } }), Some(JudgeName::ThresholdV1)),
        (
            Surface::RemoteJudge,
            json!({ "name": "RemoteJudge-v1.0", "judgeConfigurations": { "judge": "NetflixACAJudge-v1.0" } }),
            Some(JudgeName::NetflixAca),
        ),
        (Surface::RemoteJudge, json!({ "name": "RemoteJudge-v1.0", "judgeConfigurations": { "judge": "x" } }), None),
    ] {
        let config = CanaryConfig::from_value(json!({ "judge": judge })).unwrap();
        match (choose_judge(&config, surface), expected) {
            (Ok(judge), expected) => assert_eq!(Some(judge), expected, "{judge}"),
            (Err(refusal), expected) => assert_eq!((refusal.kind, expected), (RefusalKind::UnknownJudge, None), "{refusal}"),
        }
    }
}

#[test]
fn what_cannot_run_is_refused_by_its_pointer() {
    let refusal = |config: Value, request: Value| run(config, request).unwrap_err();
    let golden = |pointer: &str, value: Value| refusal(with(config("golden-signals"), &[(pointer, value)]), request()).message();
    let asked = |pointer: &str, value: Value| refusal(config("golden-signals"), with(request(), &[(pointer, value)])).message();
    for (message, start) in [
        (golden("/metrics", json!([])), "/canaryConfig/metrics:"),
        (golden("/classifier", json!(null)), "/canaryConfig/classifier:"),
        (golden("/metrics/1/scopeName", json!(null)), "/canaryConfig/metrics/1/scopeName:"),
        (golden("/metrics/1/scopeName", json!("other")), "/executionRequest/scopes/other: is missing"),
        (golden("/metrics/1/query/type", json!("graphite")), "/canaryConfig/metrics/1/query/type: metric `latency p99 (ms)`"),
        (golden("/metrics/1/name", json!("cpu")), "/canaryConfig/metrics/2/name:"),
        (golden("/metrics/1/name", json!("a\nb")), "/canaryConfig/metrics/1/name:"),
        (golden("/metrics/1/analysisConfigurations/canary/critical", json!("true")), "/metrics/1/analysisConfigurations/canary/critical: "),
        (
            golden("/metrics/1/analysisConfigurations/canary/outliers/outlierFactor", json!("3")),
            "/metrics/1/analysisConfigurations/canary/outliers/outlierFactor: ",
        ),
        (
            golden("/metrics/1/analysisConfigurations/canary/outliers/outlierFactor", json!(0)),
            "/canaryConfig/metrics/1/analysisConfigurations/canary/outliers/outlierFactor: ",
        ),
        (golden("/metrics/0/query/customFilter", json!("x")), "metric `error ratio`: customFilter is given"),
        (golden("/templates/cpu", json!(null)), "/canaryConfig/templates/cpu: is missing"),
        (asked("/thresholds", json!(null)), "/executionRequest/thresholds:"),
        (asked("/thresholds/pass", json!("NaN")), "/executionRequest/thresholds/pass:"),
        (asked("/scopes/default/controlScope", json!(null)), "/executionRequest/scopes/default/controlScope:"),
        (asked("/scopes/default/experimentScope/end", json!(null)), "/executionRequest/scopes/default/experimentScope/end:"),
        (
            asked("/scopes/default/experimentScope/end", json!("2026-03-01T10:00:00Z")),
            "/executionRequest/scopes/default/experimentScope/end:",
        ),
        (asked("/scopes/default/experimentScope/step", json!(-1)), "/executionRequest/scopes/default/experimentScope/step:"),
        (asked("/scopes/default/experimentScope/scope", json!("")), "metric `error ratio`: the template variable `scope` has no value"),
    ] {
        assert!(message.starts_with(start), "{message}\nshould start with {start}");
    }
    let haldane = |pointer: &str, value: Value| refusal(with(config("selectors"), &[(pointer, value)]), request()).message();
    let options = "/judge/judgeConfigurations/haldane";
    for (message, start) in [
        (haldane(options, json!(3)), "/canaryConfig/judge/judgeConfigurations/haldane:"),
        (haldane(&format!("{options}/warm_up"), json!(3)), "/canaryConfig/judge/judgeConfigurations/haldane/warm_up:"),
        (haldane(&format!("{options}/fail_on"), json!("never")), "/canaryConfig/judge/judgeConfigurations/haldane/fail_on:"),
        (haldane(&format!("{options}/metrics/nobody"), json!({})), "/canaryConfig/judge/judgeConfigurations/haldane/metrics/nobody:"),
        (
            haldane(&format!("{options}/metrics/gce"), json!({ "queries": {} })),
            "/canaryConfig/judge/judgeConfigurations/haldane/metrics/gce/queries:",
        ),
        (
            haldane(&format!("{options}/metrics/gce"), json!({ "detectable": -1 })),
            "/canaryConfig/judge/judgeConfigurations/haldane/metrics/gce/detectable:",
        ),
        (
            haldane(&format!("{options}/metrics/gce"), json!({ "tolerance": { "reltive": 1 } })),
            "/canaryConfig/judge/judgeConfigurations/haldane/metrics/gce/tolerance/reltive:",
        ),
        (haldane("/classifier/groupWeights/latency", json!(-1)), "/canaryConfig/classifier/groupWeights/latency:"),
    ] {
        assert!(message.starts_with(start), "{message}\nshould start with {start}");
    }
    let message = refusal(config("selectors"), with(request(), &[("/thresholds/marginal", json!(96))])).message();
    assert!(message.starts_with("/executionRequest/thresholds/marginal:"), "{message}");
    let unknown = refusal(with(config("selectors"), &[("/judge/name", json!("dredd-v1.0"))]), request());
    assert_eq!(unknown.kind, RefusalKind::UnknownJudge);
    assert!(unknown.message().contains("write NetflixACAJudge-v1.0 instead"), "{unknown}");
}

#[test]
fn the_account_is_the_one_named_or_the_first_that_speaks_the_queries() {
    let account = |config: Value, named| run_with(config, request(), named).map(|request| request.source.unwrap()).map_err(|r| r.message());
    assert_eq!(account(config("selectors"), None).as_deref(), Ok("prom"));
    assert_eq!(account(config("selectors"), Some("")).as_deref(), Ok("prom"));
    assert!(account(config("selectors"), Some("nobody")).unwrap_err().contains("`nobody` is not an account"));
    assert!(account(config("selectors"), Some("dd")).unwrap_err().contains("the account `dd` is of the type datadog"));
    let mixed = with(config("selectors"), &[("/metrics/1/query", json!({ "type": "datadog", "metricName": "m" }))]);
    assert!(account(mixed, None).unwrap_err().contains("metric `by named filter` asks datadog"));
}

#[test]
fn storing_checks_what_kayenta_checks_in_its_order() {
    let metric = json!({ "name": "m" });
    for (document, expected) in [
        (json!({}), "/name:"),
        (json!({ "name": "" , "applications": ["a"] }), "/name:"),
        (json!({ "name": "not plain" }), "/applications:"),
        (json!({ "name": "not plain", "applications": ["a"], "metrics": [{}] }), "/name:"),
        (json!({ "name": "a,b", "applications": ["a"] }), ""),
        (json!({ "metrics": [{ "query": { "type": "Prometheus" } }] }), "/metrics/0/query/type: `Prometheus` is no type of query"),
        (json!({ "metrics": [{ "query": { "type": "atlas" } }, { "query": {} }] }), "/metrics/1/query/type: is missing"),
        (json!({ "name": "c", "applications": ["a"], "metrics": [{}] }), "/metrics/0/name:"),
        (json!({ "name": "c", "applications": ["a"], "metrics": [metric, metric] }), "/metrics/1/name:"),
        (json!({ "name": "c_-9", "applications": ["a"], "metrics": [] }), ""),
        (json!({ "name": "c", "applications": ["a"], "metrics": [{ "name": "m", "query": { "type": "atlas", "q": "x" } }] }), ""),
    ] {
        let message = CanaryConfig::from_value(document.clone()).unwrap().check_for_storage().err().map(|refusal| refusal.message());
        assert!(
            message.as_deref().unwrap_or_default().starts_with(expected) && message.is_some() != expected.is_empty(),
            "{document}: {message:?}"
        );
    }
}

#[test]
fn what_is_too_large_or_no_config_is_refused_at_once() {
    let metrics = |n: usize| Value::from((0..n).map(|i| json!({ "name": format!("m{i}") })).collect::<Vec<_>>());
    for (text, expected) in [
        (" ".repeat(1 << 21), "(document): 2097152 bytes"),
        ("{".to_owned(), "(document): is not JSON"),
        ("[]".to_owned(), "(document): a canary config is an object"),
        (json!({ "metrics": metrics(501) }).to_string(), "/metrics: 501 metrics"),
        (json!({ "templates": { "a/b": "x".repeat(20_000) } }).to_string(), "/templates/a~1b: 20000 bytes"),
        (json!({ "metrics": [{ "query": { "metricName": "x".repeat(20_000) } }] }).to_string(), "/metrics/0/query/metricName: 20000 bytes"),
        (json!({ "metrics": [7] }).to_string(), "/metrics/0: invalid type"),
    ] {
        let message = CanaryConfig::from_json(text.as_bytes()).unwrap_err().message();
        assert!(message.starts_with(expected) && message.len() < 400, "{message}");
    }
}

/// Any small JSON value.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z${}:\\\\\"'`/~ -]{0,12}".prop_map(Value::from),
        Just(json!("2026-03-01T10:00:00Z")),
        Just(json!("-9999-01-01T00:00:00Z")),
        Just(json!("9999-12-30T22:00:00Z")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z/~]{0,6}", inner, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Pointers to everything in a document.
fn places(document: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match document {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found))
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), found)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_document_is_translated_or_refused(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), json_value()), 0..4),
    ) {
        let mut config: Value = serde_json::from_str(&configs()[which].1).unwrap();
        let mut request = request();
        for (place, in_config, value) in changes {
            let document = if in_config { &mut config } else { &mut request };
            let mut all = Vec::new();
            places(document, "", &mut all);
            if let Some(target) = document.pointer_mut(place.get(&all[..]).as_str()) {
                *target = value;
            }
        }
        let _ = run(config.clone(), request);
        let _ = haldane::kayenta::convert::convert(config.to_string().as_bytes());
        if let Ok(config) = CanaryConfig::from_value(config) {
            let _ = config.check_for_storage();
            prop_assert!(!config.shown_with_execution().to_string().contains(":null"));
            for metric in &config.metrics {
                let _ = build_query(&config, metric, &haldane::kayenta::reading::request::CanaryScope::default());
            }
        }
    }
}
