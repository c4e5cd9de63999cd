//! The reader of canary configs: what it refuses, where it points, and that no text makes it panic.

use haldane_judges::catalog::SHIPPED;
use haldane_judges::config::{CanaryConfig, CheckedConfig, MAX_CONFIG_BYTES, MAX_METRICS};
use haldane_judges::{ConfigProblem, InvalidConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A config that is as small as one can be, with `extra` put on top of the document.
fn document(extra: Value) -> Value {
    let mut document = json!({ "name": "small", "metrics": [{ "name": "latency" }] });
    merge(&mut document, extra);
    document
}

fn merge(into: &mut Value, extra: Value) {
    match (into, extra) {
        (Value::Object(into), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, extra) => *into = extra,
    }
}

fn problems(document: Value) -> Vec<ConfigProblem> {
    let from_json = CheckedConfig::from_value(document.clone()).expect_err("a config against the rules").problems;
    let InvalidConfig { problems: from_yaml } = CheckedConfig::from_yaml(&document.to_string()).expect_err("the same as text");
    assert_eq!(from_json, from_yaml, "JSON is YAML");
    from_json
}

/// Asserts that one problem is at `pointer` and says each of `words`.
#[track_caller]
fn refused_at(pointer: &str, words: &[&str], document: Value) {
    let problems = problems(document);
    let found = problems.iter().find(|p| p.pointer == pointer).unwrap_or_else(|| panic!("nothing at {pointer}: {problems:?}"));
    for word in words {
        assert!(found.message.contains(word), "`{word}` is not in: {}", found.message);
    }
}

#[test]
fn the_smallest_config_is_one_metric_with_a_name() {
    let config = CheckedConfig::from_value(document(json!({}))).expect("nothing else is needed");
    assert_eq!(config.judge, "haldane-v1");
    assert_eq!(config.min_observation.seconds(), 300, "five minutes unless the config says otherwise");
}

#[test]
fn an_unknown_field_is_refused_where_it_stands_and_the_right_one_suggested() {
    let metric = json!({ "metrics": [{ "name": "a" }, { "name": "b", "critcal": true }] });
    refused_at("/metrics/1/critcal", &["unknown field `critcal`", "did you mean `critical`?"], document(metric));
    refused_at("/warmpu", &["unknown field `warmpu`", "did you mean `warmup`?"], document(json!({ "warmpu": 2 })));
    let tolerance = json!({ "metrics": [{ "name": "a", "tolerance": { "absolut": 5 } }] });
    refused_at("/metrics/0/tolerance/absolut", &["did you mean `absolute`?"], document(tolerance));
}

#[test]
fn an_unknown_word_is_refused_with_those_that_are_known() {
    let metric = |field: &str, word: &str| document(json!({ "metrics": [{ "name": "a", field: word }] }));
    refused_at("/metrics/0/direction", &["`incraese`", "did you mean `increase`?"], metric("direction", "incraese"));
    refused_at("/metrics/0/kind", &["`histogram`", "`value`", "`ratio`"], metric("kind", "histogram"));
    refused_at("/fail_on", &["`all`", "`any`", "`critical`", "`score`"], document(json!({ "fail_on": "all" })));
    refused_at("/judge", &["unknown judge `kayenta`", "`haldane-v1`", "`threshold-v1`"], document(json!({ "judge": "kayenta" })));
}

#[test]
fn every_rule_between_fields_names_its_field_and_value() {
    let cases = [
        ("/name", "Checkout Service", json!({ "name": "Checkout Service" })),
        ("/metrics", "at least one", json!({ "metrics": [] })),
        ("/step", "0s", json!({ "step": "0s" })),
        ("/min_observation", "soon", json!({ "min_observation": "soon" })),
        ("/thresholds/marginal", "96 must not exceed pass (95)", json!({ "thresholds": { "marginal": 96, "pass": 95 } })),
        ("/thresholds/pass", "101 is not a score", json!({ "thresholds": { "marginal": 75, "pass": 101 } })),
        ("/groups/errors", "weight -1 must be 0 or more", json!({ "groups": { "errors": -1, "metrics": 2 } })),
        ("/groups", "all weights are 0", json!({ "groups": { "metrics": 0 } })),
        ("/metrics/0/groups", "`metrics` has no weight", json!({ "groups": { "errors": 1 } })),
        ("/variables/scope", "built in", json!({ "variables": { "scope": {} } })),
        ("/variables/a-b", "letters, digits and `_`", json!({ "variables": { "a-b": {} } })),
        ("/metrics/1/name", "`a` names two metrics", json!({ "metrics": [{ "name": "a" }, { "name": "a" }] })),
        ("/metrics/0/name", "printable", json!({ "metrics": [{ "name": "a\nb" }] })),
        ("/metrics/0/tolerance/relative", "0 or more", json!({ "metrics": [{ "name": "a", "tolerance": { "relative": -0.1 } }] })),
        ("/metrics/0/limits/max_ratio", "0 must be above 0", json!({ "metrics": [{ "name": "a", "limits": { "max_ratio": 0 } }] })),
        ("/metrics/0/limits/min", "2 must not exceed max (1)", json!({ "metrics": [{ "name": "a", "limits": { "min": 2, "max": 1 } }] })),
        ("/metrics/0/detectable", "0 must be above 0", json!({ "metrics": [{ "name": "a", "detectable": 0 }] })),
        ("/metrics/0/min_points", "2 is too few", json!({ "metrics": [{ "name": "a", "min_points": 2 }] })),
        ("/metrics/0/confirm", "11 is no number of looks", json!({ "metrics": [{ "name": "a", "confirm": 11 }] })),
        ("/metrics/0/history/windows", "4 windows", json!({ "metrics": [{ "name": "a", "history": { "windows": 4 } }] })),
        ("/metrics/0/per_instance", "empty", json!({ "metrics": [{ "name": "a", "per_instance": " " }] })),
        ("/population/instance", "empty", json!({ "population": { "instance": "", "version": "v", "queries": { "prometheus": "q" } } })),
        ("/population/queries", "who runs which version", json!({ "population": { "instance": "p", "version": "v", "queries": {} } })),
        ("/metrics/0/queries/prometheus", "empty", json!({ "metrics": [{ "name": "a", "queries": { "prometheus": " " } }] })),
        (
            "/metrics/0/limits/max",
            "5 is not a fraction",
            json!({ "metrics": [{ "name": "a", "kind": "ratio", "limits": { "max": 5 },
                "queries": { "prometheus": { "numerator": "a", "denominator": "b" } } }] }),
        ),
        (
            "/metrics/0/queries/prometheus",
            "kind: ratio",
            json!({ "metrics": [{ "name": "a", "queries": { "prometheus": { "numerator": "a", "denominator": "b" } } }] }),
        ),
    ];
    for (pointer, words, extra) in cases {
        refused_at(pointer, &[words], document(extra));
    }
}

#[test]
fn what_is_per_request_needs_one_other_metric_that_counts_the_requests() {
    let metrics = |per: Value, others: Value| {
        let mut metrics = vec![json!({ "name": "errors", "per": "request" })];
        merge(&mut metrics[0], per);
        metrics.extend(others.as_array().unwrap().iter().cloned());
        document(json!({ "metrics": metrics }))
    };
    let traffic = |name: &str| json!({ "name": name, "traffic": true });
    CheckedConfig::from_value(metrics(json!({}), json!([traffic("rps")]))).expect("one that counts the requests");
    CheckedConfig::from_value(metrics(json!({ "kind": "events" }), json!([traffic("rps")]))).expect("events a request");
    let refused = |words: &[&str], per: Value, others: Value| refused_at("/metrics/0/per", words, metrics(per, others));
    refused(&["request: no metric measures the requests", "`traffic: true`"], json!({}), json!([{ "name": "rps" }]));
    refused(&["2 metrics have `traffic: true` (`rps`, `hits`)"], json!({}), json!([traffic("rps"), traffic("hits")]));
    refused(&["not divided by itself"], json!({ "traffic": true }), json!([]));
    let counts = json!({ "kind": "ratio", "queries": { "prometheus": { "numerator": "a", "denominator": "b" } } });
    refused(&["of its own total"], counts, json!([traffic("rps")]));
    refused_at("/metrics/0/per", &["`requests`", "`request`"], document(json!({ "metrics": [{ "name": "a", "per": "requests" }] })));
}

#[test]
fn events_are_one_query_and_may_be_of_each_instance() {
    let events =
        |queries: Value| document(json!({ "metrics": [{ "name": "a", "kind": "events", "per_instance": "pod", "queries": queries }] }));
    CheckedConfig::from_value(events(json!({ "prometheus": "sum by (pod) (increase(x[1m]))" }))).expect("panics of each pod");
    let counts = json!({ "prometheus": { "numerator": "a", "denominator": "b" } });
    refused_at("/metrics/0/queries/prometheus", &["events have no total", "`kind: ratio`"], events(counts));
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems(document(json!({ "name": "", "step": "0s", "metrics": [{ "name": "a", "min_points": 0 }] })));
    let pointers: Vec<&str> = found.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/name", "/step", "/metrics/0/min_points"]);
}

#[test]
fn what_a_distribution_may_say_is_said_where_it_stands_and_what_not_is_refused() {
    let metric = |fields: serde_json::Value| {
        let mut metric =
            json!({ "name": "a", "kind": "distribution", "unit": "ms", "direction": "increase", "queries": { "prometheus": "h" } });
        for (name, value) in fields.as_object().expect("fields") {
            metric[name] = value.clone();
        }
        document(json!({ "metrics": [metric] }))
    };
    for fine in [
        json!({}),
        json!({ "quantiles": [0.25, 0.5, 0.999], "bucket_unit": "s", "per_instance": "pod" }),
        json!({ "limits": { "p99": { "max": 800 }, "p50": { "max": 100 }, "share": { "slower_than": 250, "max": 0.05 } } }),
        json!({ "kind": "ratio", "slower_than": "250ms", "queries": { "prometheus": { "buckets": "h" } } }),
        json!({ "kind": "ratio", "slower_than": 0.25, "unit": null, "queries": { "prometheus": { "buckets": "h" } } }),
    ] {
        assert!(CheckedConfig::from_value(metric(fine.clone())).is_ok(), "{fine}");
    }
    for (pointer, words, fields) in [
        ("/metrics/0/quantiles/1", "0.5 does not rise above 0.5", json!({ "quantiles": [0.5, 0.5] })),
        ("/metrics/0/quantiles/0", "95 is no quantile", json!({ "quantiles": [95] })),
        ("/metrics/0/quantiles", "only a distribution has quantiles", json!({ "kind": "value", "quantiles": [0.5] })),
        ("/metrics/0/limits/max", "`p99: {max: 800}`", json!({ "limits": { "max": 800 } })),
        ("/metrics/0/limits/p99", "only a distribution", json!({ "kind": "value", "limits": { "p99": { "max": 800 } } })),
        ("/metrics/0/limits/share", "is no limit", json!({ "limits": { "share": { "slower_than": 250, "max": 5 } } })),
        ("/metrics/0/accumulating", "of no use to a distribution", json!({ "accumulating": true })),
        ("/metrics/0/bucket_unit", "`seconds?` is converted", json!({ "bucket_unit": "seconds?" })),
        ("/metrics/0/bucket_unit", "only buckets have bounds", json!({ "kind": "value", "bucket_unit": "s" })),
        ("/metrics/0/slower_than", "makes a ratio of buckets", json!({ "slower_than": "250ms" })),
        (
            "/metrics/0/slower_than",
            "`unit` none",
            json!({ "kind": "ratio", "unit": "requests", "slower_than": "250ms", "queries": { "prometheus": { "buckets": "h" } } }),
        ),
        ("/metrics/0/slower_than", "`fast` is no length of time", json!({ "kind": "ratio", "slower_than": "fast" })),
        ("/metrics/0/queries/prometheus", "give slower_than", json!({ "kind": "ratio", "queries": { "prometheus": { "buckets": "h" } } })),
        ("/metrics/0/queries/prometheus", "`buckets: ...`", json!({ "kind": "ratio", "slower_than": "250ms" })),
    ] {
        let found = problems(metric(fields.clone()));
        let said = found.iter().any(|problem| problem.pointer == pointer && problem.message.contains(words));
        assert!(said, "{fields}: {found:?}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_where_it_stands() {
    refused_at(
        "/metrics/0/tolerance/relative",
        &["invalid type"],
        document(json!({ "metrics": [{ "name": "a", "tolerance": { "relative": "10%" } }] })),
    );
    refused_at("/metrics", &["invalid type"], document(json!({ "metrics": { "name": "a" } })));
    let query = json!({ "metrics": [{ "name": "a", "queries": { "prometheus": ["up"] } }] });
    refused_at(
        "/metrics/0/queries/prometheus",
        &["a query text, an object with `numerator` and `denominator`, or one with `buckets`"],
        document(query),
    );
    for not_an_object in ["", "null", "- a", "42", "text"] {
        let refused = CheckedConfig::from_yaml(not_an_object).expect_err(not_an_object);
        assert_eq!(refused.problems[0].pointer, "", "{not_an_object:?}: {refused}");
    }
}

#[test]
fn ten_thousand_and_one_metrics_are_refused_by_their_number() {
    let metrics: Vec<Value> = (0..10_001).map(|i| json!({ "name": format!("m{i}") })).collect();
    refused_at("/metrics", &["10001", &MAX_METRICS.to_string(), "split it"], document(json!({ "metrics": metrics })));
}

#[test]
fn a_text_longer_than_a_config_may_be_is_refused_unread() {
    let refused = CheckedConfig::from_yaml(&"#".repeat(MAX_CONFIG_BYTES + 1)).expect_err("too long");
    assert!(refused.to_string().contains(&(MAX_CONFIG_BYTES + 1).to_string()), "{refused}");
}

/// Nine levels of nine references each would unfold into 387 million strings.
#[test]
fn references_that_multiply_are_refused_instead_of_unfolded() {
    let mut bomb = String::from("name: bomb\na0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..9 {
        let references = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{references}]\n"));
    }
    bomb.push_str("metrics: *a8\n");
    let refused = CheckedConfig::from_yaml(&bomb).expect_err("a bomb");
    assert!(refused.problems[0].message.starts_with("is not YAML"), "stopped by the reader, not by what came of it: {refused}");
}

#[test]
fn nesting_without_end_is_refused() {
    for (open, text) in [("[", "["), ("{a: ", "{a: "), ("- ", "- ")] {
        assert!(CheckedConfig::from_yaml(&text.repeat(100_000)).is_err(), "{open}");
    }
}

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(CanaryConfig)).expect("a schema is JSON")
}

#[test]
fn the_published_schema_accepts_every_shipped_config() {
    let schema = jsonschema::validator_for(&schema()).expect("a valid JSON Schema");
    for shipped in SHIPPED {
        let document: Value = serde_saphyr::from_str(shipped.yaml).expect("YAML");
        let errors: Vec<String> = schema.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", shipped.name);
    }
}

#[test]
fn the_published_schema_refuses_what_the_reader_refuses() {
    let schema = jsonschema::validator_for(&schema()).expect("a valid JSON Schema");
    assert!(schema.is_valid(&document(json!({}))));
    for extra in [
        json!({ "warmpu": 2 }),
        json!({ "metrics": [{ "name": "a", "critcal": true }] }),
        json!({ "metrics": [{ "name": "a", "direction": "up" }] }),
        json!({ "metrics": [{ "name": "a", "tolerance": { "relative": -1 } }] }),
        json!({ "metrics": [{ "name": "a", "min_points": 1 }] }),
        json!({ "thresholds": { "marginal": 75, "pass": 101 } }),
        json!({ "fail_on": "all" }),
    ] {
        assert!(!schema.is_valid(&document(extra.clone())), "the schema accepts {extra}");
        problems(document(extra));
    }
}

/// What an editor shows beside a field: every field of every object has a description.
#[test]
fn the_published_schema_documents_every_field() {
    fn walk(node: &Value, path: &str) {
        if let Some(properties) = node.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                assert!(property.get("description").is_some(), "{path}/{name} has no description");
            }
        }
        match node {
            Value::Object(fields) => fields.iter().for_each(|(name, child)| walk(child, &format!("{path}/{name}"))),
            Value::Array(items) => items.iter().for_each(|child| walk(child, path)),
            _ => {}
        }
    }
    walk(&schema(), "");
}

/// Accepted or refused, never a panic; what is accepted is accepted again, and means the same, once written as JSON.
fn reads_without_panic(text: &str) -> Result<(), TestCaseError> {
    match CheckedConfig::from_yaml(text) {
        Ok(config) => {
            let written = serde_json::to_value(&config).expect("plain data");
            let again = CheckedConfig::from_value(written).expect("what was accepted is accepted again");
            prop_assert_eq!(config.digest(), again.digest());
        }
        Err(refused) => prop_assert!(!refused.problems.is_empty() && !refused.to_string().is_empty()),
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        reads_without_panic(&text)?;
    }

    #[test]
    fn any_yaml_like_text_is_read_without_a_panic(text in "([-?:,{}&*!|>'\"%@` #\n\t\\[\\]a-c0-9.~<=]|name: |metrics:\n|  - )*") {
        reads_without_panic(&text)?;
    }

    /// A shipped config with a piece cut out and another put in: most of the document stays valid, so that deep rules are reached.
    #[test]
    fn a_damaged_config_is_read_without_a_panic(
        which in 0..SHIPPED.len(), at in any::<prop::sample::Index>(), length in 0..40usize, piece in "[-:{}&*a-z0-9.\n ]{0,12}"
    ) {
        let characters: Vec<char> = SHIPPED[which].yaml.chars().collect();
        let start = at.index(characters.len());
        let end = (start + length).min(characters.len());
        let damaged: String = characters[..start].iter().chain(&piece.chars().collect::<Vec<_>>()).chain(&characters[end..]).collect();
        reads_without_panic(&damaged)?;
    }

    #[test]
    fn any_numbers_in_a_config_are_read_without_a_panic(
        relative in any::<f64>(), absolute in any::<f64>(), max in any::<f64>(), weight in any::<f64>(), points in any::<i64>(), warmup in any::<i64>()
    ) {
        let yaml = format!(
            "name: numbers\nwarmup: {warmup}\ngroups: {{metrics: {weight:e}}}\nmetrics:\n- name: a\n  min_points: {points}\n  \
             tolerance: {{relative: {relative:e}, absolute: {absolute:e}}}\n  limits: {{max: {max:e}}}\n"
        );
        reads_without_panic(&yaml)?;
    }
}
