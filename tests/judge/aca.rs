//! The judge `NetflixACAJudge-v1.0` against recorded runs of Kayenta's own, and what must hold for any samples.

use std::collections::BTreeMap;

use haldane_judges::aca::{self, Classification, MetricOutcome, Number, ScoredMetric, rank_score, shift};
use haldane_judges::config::{CheckedConfig, Thresholds};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, FetchFailure, Observation};
use haldane_judges::scorecard::{Judgement, Reason, Status};
use haldane_judges::{JudgeName, Verdict, judge};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

const NAME: &str = "NetflixACAJudge-v1.0";

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../fixtures/reference/kayenta/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn samples(case: &Value, arm: &str) -> Vec<f64> {
    let point = |point: &Value| if point.is_null() { f64::NAN } else { Number::deserialize(point).unwrap().0 };
    case[arm].as_array().unwrap().iter().map(point).collect()
}

/// What Kayenta's user writes about a metric, as a native metric. Absent stays absent, so that the defaults are tried too.
fn metric(name: &str, kayenta: &Value) -> Value {
    let mut metric = json!({ "name": name, "aca": {} });
    for shared in ["direction", "critical", "muted"] {
        if let Some(value) = kayenta.get(shared) {
            metric[shared] = value.clone();
        }
    }
    let aca = &mut metric["aca"];
    for (theirs, ours) in [("nanStrategy", "nan_strategy"), ("mustHaveData", "must_have_data")] {
        if let Some(value) = kayenta.get(theirs) {
            aca[ours] = value.clone();
        }
    }
    for (theirs, ours) in [("strategy", "strategy"), ("outlierFactor", "factor")] {
        if let Some(value) = kayenta["outliers"].get(theirs) {
            aca["outliers"][ours] = value.clone();
        }
    }
    for (theirs, ours) in [
        ("allowedIncrease", "allowed_increase"),
        ("allowedDecrease", "allowed_decrease"),
        ("criticalIncrease", "critical_increase"),
        ("criticalDecrease", "critical_decrease"),
    ] {
        if let Some(value) = kayenta["effectSize"].get(theirs) {
            aca["effect_size"][ours] = value.clone();
        }
    }
    if let Some(measure) = kayenta["effectSize"].get("measure") {
        aca["effect_size"]["measure"] = if measure == "cles" { json!("cles") } else { json!("mean_ratio") };
    }
    // Kayenta reads an unknown word as the default.
    let known = |value: &Value, words: &[&str]| value.as_str().is_none_or(|word| words.contains(&word));
    if !known(&metric["direction"], &["increase", "decrease"]) {
        metric["direction"] = json!("either");
    }
    if !known(&metric["aca"]["nan_strategy"], &["replace"]) {
        metric["aca"]["nan_strategy"] = json!("remove");
    }
    if !known(&metric["aca"]["outliers"]["strategy"], &["remove"]) {
        metric["aca"]["outliers"]["strategy"] = json!("keep");
    }
    metric
}

fn config(extra: Value) -> CheckedConfig {
    let mut document = json!({ "name": "aca", "judge": NAME });
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    CheckedConfig::from_value(document).unwrap_or_else(|error| panic!("{error}"))
}

fn evidence(arms: Vec<(Vec<f64>, Vec<f64>)>) -> Evidence {
    let sampled = |(baseline, canary)| Observation::Sampled { baseline: ArmPoints::values(baseline), canary: ArmPoints::values(canary) };
    Evidence {
        observations: arms.into_iter().map(sampled).collect(),
        step_seconds: 60.0,
        observed_seconds: 3600.0,
        comparison: Comparison::Concurrent,
        canary_share: None,
        ..Evidence::default()
    }
}

fn judged(extra: Value, arms: Vec<(Vec<f64>, Vec<f64>)>) -> Judgement {
    judge(JudgeName::NetflixAca, &config(extra), &evidence(arms))
}

/// The judge's own finding on a single metric with these rules.
fn outcome(rules: Value, baseline: Vec<f64>, canary: Vec<f64>) -> MetricOutcome {
    judged(json!({ "metrics": [metric("metric", &rules)] }), vec![(baseline, canary)]).metrics[0].aca.clone().unwrap()
}

#[track_caller]
fn same_number(what: &str, found: Option<Number>, expected: &Value) {
    let expected = if expected.is_null() { None } else { Some(Number::deserialize(expected).unwrap()) };
    // `Number` compares bits, and takes every NaN for the same.
    assert_eq!(found, expected, "{what}");
}

fn check_metric(case: &Value, rules: &str) {
    let id = case["id"].as_str().unwrap();
    let expected = &case["expected"];
    let found = outcome(case[rules].clone(), samples(case, "control"), samples(case, "experiment"));
    for (arm, found) in [("control", found.control), ("experiment", found.experiment)] {
        let expected = &expected[format!("{arm}_stats")];
        assert_eq!(found.count, expected["count"].as_u64().unwrap() as usize, "{id}: {arm} count");
        for (name, number) in [("min", found.min), ("max", found.max), ("mean", found.mean), ("std", found.std)] {
            same_number(&format!("{id}: {arm} {name}"), Some(number), &expected[name]);
        }
    }
    let random = case["nondeterministic"] == true;
    if !random || !expected["classification"].is_null() {
        assert_eq!(json!(found.classification), expected["classification"], "{id}: {found:?}");
        assert_eq!(json!(found.critical), expected["critical"], "{id}: {found:?}");
        assert_eq!(json!(found.reason("metric")), expected["reason"], "{id}");
    }
    if random {
        return;
    }
    same_number(&format!("{id}: ratio"), found.ratio, &expected["deviation"]);
    same_number(&format!("{id}: effect size"), found.effect_size, &expected["effect_size"]);
    same_number(&format!("{id}: lower"), found.lower, &expected["ci_lower"]);
    same_number(&format!("{id}: upper"), found.upper, &expected["ci_upper"]);
    same_number(&format!("{id}: estimate"), found.estimate, &expected["estimate"]);
}

#[test]
fn every_metric_that_kayenta_judged_comes_out_the_same_to_the_last_bit() {
    for (file, number) in [("vectors.jsonl", 343), ("special.jsonl", 24)] {
        let cases = cases(file);
        for case in &cases {
            check_metric(case, "config");
            check_metric(case, "resolved");
        }
        let random = cases.iter().filter(|case| case["nondeterministic"] == true).count();
        println!("{file}: {} cases, {random} of them with random noise", cases.len());
        assert_eq!(cases.len(), number, "{file}");
    }
}

fn check_canary(case: &Value) {
    let id = case["id"].as_str().unwrap();
    let (expected, metrics) = (&case["expected"], case["metrics"].as_array().unwrap());
    let weights: BTreeMap<String, f64> = serde_json::from_value::<Option<_>>(case["group_weights"].clone()).unwrap().unwrap_or_default();
    let groups: Vec<Vec<String>> = metrics.iter().map(|metric| serde_json::from_value(metric["groups"].clone()).unwrap()).collect();
    let name = |i: usize| metrics[i]["name"].as_str().unwrap();
    let (summary, reason) = if metrics.iter().any(|metric| metric.get("control").is_some()) {
        let rules = (0..metrics.len()).map(|i| {
            let mut rules = metric(name(i), &metrics[i]["config"]);
            rules["groups"] = json!(groups[i]);
            rules
        });
        let document = json!({ "groups": weights, "thresholds": case["thresholds"], "metrics": rules.collect::<Vec<_>>() });
        let arms = metrics.iter().map(|metric| (samples(metric, "control"), samples(metric, "experiment"))).collect();
        let judgement = judged(document, arms);
        let reason_of = |i: usize| judgement.metrics[i].aca.as_ref().and_then(|aca| aca.reason(name(i)));
        for (i, expected) in expected["metrics"].as_array().unwrap().iter().enumerate() {
            let found = judgement.metrics[i].aca.as_ref().unwrap();
            assert_eq!(json!(found.classification), expected["classification"], "{id}: {i}");
            assert_eq!(json!(found.critical), expected["critical"], "{id}: {i}");
            assert_eq!(json!(judgement.metrics[i].muted), expected["muted"], "{id}: {i}");
            assert_eq!(json!(reason_of(i)), expected["reason"], "{id}: {i}");
            if expected["deviation_random"] != true {
                same_number(&format!("{id}: {i}"), found.ratio, &expected["deviation"]);
            }
        }
        let summary = judgement.aca.clone().unwrap();
        assert_eq!((judgement.score, judgement.verdict), (Some(summary.score.0), summary.verdict), "{id}: the shared fields say the same");
        let reason = summary.text(reason_of);
        (summary, reason)
    } else {
        let scored: Vec<ScoredMetric<'_>> = metrics
            .iter()
            .zip(&groups)
            .map(|(metric, groups)| ScoredMetric {
                groups,
                classification: serde_json::from_value(metric["classification"].clone()).unwrap(),
                critical: metric["critical"] == true,
                muted: metric["muted"] == true,
            })
            .collect();
        let thresholds: Thresholds = serde_json::from_value(case["thresholds"].clone()).unwrap();
        let summary = aca::summary(&scored, &weights, thresholds);
        let reason = summary.text(|i| metrics[i]["reason"].as_str().map(str::to_owned));
        (summary, reason)
    };
    let found: BTreeMap<&str, u64> = summary.groups.iter().map(|group| (group.name.as_str(), group.score.to_bits())).collect();
    let wanted = expected["group_scores"].as_object().unwrap();
    let wanted: BTreeMap<&str, u64> = wanted.iter().map(|(name, score)| (name.as_str(), score.as_f64().unwrap().to_bits())).collect();
    assert_eq!(found, wanted, "{id}: {summary:?}");
    same_number(&format!("{id}: score"), Some(summary.score), &expected["summary_score"]);
    let verdict = match summary.verdict {
        Verdict::Pass => "Pass",
        Verdict::Marginal => "Marginal",
        Verdict::Fail => "Fail",
    };
    assert_eq!(json!(verdict), expected["classification"], "{id}: {summary:?}");
    assert_eq!(json!(reason), expected["reason"], "{id}: {summary:?}");
}

#[test]
fn every_canary_that_kayenta_scored_comes_out_the_same() {
    let cases = cases("scores.jsonl");
    cases.iter().for_each(check_canary);
    println!("scores.jsonl: {} cases", cases.len());
    assert_eq!(cases.len(), 69);
}

/// The summary of groups by name, metrics that pass, metrics that are judged, and weight.
fn of_groups(groups: &[(&str, usize, usize, f64)], pass: f64) -> aca::Summary {
    let names: Vec<[String; 1]> = groups.iter().map(|(name, ..)| [(*name).to_owned()]).collect();
    let metrics: Vec<ScoredMetric<'_>> = groups
        .iter()
        .zip(&names)
        .flat_map(|((_, passed, judged, _), names)| {
            let classification = |i: usize| if i < *passed { Classification::Pass } else { Classification::High };
            (0..*judged).map(move |i| ScoredMetric { groups: names, classification: classification(i), critical: false, muted: false })
        })
        .collect();
    let weights = groups.iter().map(|(name, _, _, weight)| ((*name).to_owned(), *weight)).collect();
    aca::summary(&metrics, &weights, Thresholds { marginal: 55.0, pass })
}

#[test]
fn groups_are_added_up_in_the_order_of_kayentas_map() {
    let cases = cases("ties.jsonl");
    let mut sensitive = 0;
    for case in &cases {
        let groups: Vec<(&str, usize, usize, f64)> = Deserialize::deserialize(&case["groups"]).unwrap();
        let summary = of_groups(&groups, 95.0);
        let order: Vec<&str> = summary.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(json!(order), case["order"], "{case}");
        assert_eq!(json!(summary.score), case["score"], "{case}");
        sensitive += usize::from(case["order_sensitive"] == true);
    }
    assert_eq!((cases.len(), sensitive), (600, 450));
}

/// Recorded by running Kayenta: added up as the metrics name them, the groups would come to 74.99 and to 90.
#[test]
fn a_sum_on_half_a_hundredth_has_kayentas_last_digit_and_verdict() {
    let passing = of_groups(&[("errors", 1, 1, 40.0), ("Group 3", 1, 2, 50.01), ("saturation", 1, 1, 9.99)], 75.0);
    assert_eq!((passing.score, passing.verdict), (Number(75.0), Verdict::Pass));
    let marginal = of_groups(&[("requests", 1, 2, 3.33), ("Group 1", 1, 1, 79.99), ("cpu", 1, 2, 16.68)], 90.0);
    assert_eq!((marginal.score, marginal.verdict), (Number(89.99), Verdict::Marginal));
}

#[test]
fn a_canary_without_metrics_scores_nothing_and_fails() {
    let judgement = judged(json!({ "metrics": [] }), Vec::new());
    assert_eq!((judgement.verdict, judgement.score), (Verdict::Fail, Some(0.0)));
    assert!(judgement.warnings[0].contains("scores groups alone"), "{:?}", judgement.warnings);
}

#[test]
fn a_shift_exactly_as_large_as_the_limit_counts() {
    let (low, high): (Vec<f64>, Vec<f64>) =
        ((0..30).map(|i| 8.0 + f64::from(i % 5)).collect(), (0..30).map(|i| 16.0 + 2.0 * f64::from(i % 5)).collect());
    let rules = |limits: Value| json!({ "critical": true, "effectSize": limits });
    let rise = |limits| outcome(rules(limits), low.clone(), high.clone());
    let fall = |limits| outcome(rules(limits), high.clone(), low.clone());
    let found = |outcome: MetricOutcome| (outcome.classification, outcome.critical);
    assert_eq!(found(rise(json!({ "allowedIncrease": 2.0, "criticalIncrease": 2.0 }))), (Classification::High, true));
    assert_eq!(found(rise(json!({ "allowedIncrease": 2.0, "criticalIncrease": 2.1 }))), (Classification::High, false));
    assert_eq!(found(rise(json!({ "allowedIncrease": 2.1 }))), (Classification::Pass, false));
    assert_eq!(found(fall(json!({ "allowedDecrease": 0.5, "criticalDecrease": 0.5 }))), (Classification::Low, true));
    assert_eq!(found(fall(json!({ "allowedDecrease": 0.5, "criticalDecrease": 0.4 }))), (Classification::Low, false));
    assert_eq!(found(fall(json!({ "allowedDecrease": 0.4 }))), (Classification::Pass, false));
}

/// Scala's `min` and `max` keep the first of equal values, and 0 equals -0.
#[test]
fn the_first_of_equal_extremes_gives_the_sign_of_a_zero_bound() {
    let ends = |x: [f64; 2], y: [f64; 2]| shift(&x, &y).map(|interval| (interval.lower.to_bits(), interval.upper.to_bits())).unwrap();
    assert_eq!(ends([-0.0, 0.0], [0.0, -0.0]), (f64::to_bits(-0.0), f64::to_bits(-0.0)));
    assert_eq!(ends([0.0, -0.0], [-0.0, 0.0]), (0, 0));
}

/// Recorded for arms whose true chance is 0.921: 0.921, -0.921, -2.69, 890,372.8.
#[test]
fn kayentas_overflow_of_the_effect_size_is_kept() {
    let rise = |n: usize| {
        let baseline: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let canary = baseline.iter().map(|value| value + n as f64).collect();
        outcome(json!({ "direction": "increase", "effectSize": { "measure": "cles" } }), baseline, canary)
    };
    let found = |n: usize| (rise(n).classification, rise(n).effect_size.unwrap().0);
    assert_eq!(found(32_767), (Classification::High, 1.0));
    assert_eq!(found(32_768), (Classification::Pass, -1.0));
    assert_eq!(found(40_000).0, Classification::Pass);
    assert_eq!(found(46_341).0, Classification::High);
    assert!(found(46_341).1 > 890_000.0);
}

/// Two constants: 43 of 50 runs of Kayenta call 7 against 1 high and 7 fail; what all runs agree on is in the vectors.
#[test]
fn one_point_against_one_is_what_kayenta_says_more_often() {
    let classification = |baseline: f64, canary: f64| outcome(json!({}), vec![baseline], vec![canary]).classification;
    assert_eq!(classification(1.0, 7.0), Classification::High);
    for (baseline, canary) in [(5.0, 0.0), (0.0, 5.0), (10.0, 10.5), (10.0, 19.0), (-3.0, -2.0)] {
        assert_eq!(classification(baseline, canary), Classification::Error, "{baseline} against {canary} is exact whatever the noise");
    }
}

#[test]
fn constant_arms_give_the_same_answer_every_time() {
    let judgement = || judged(json!({ "metrics": [{ "name": "m" }] }), vec![(vec![1.0; 3], vec![5.0; 3])]);
    let first = judgement();
    assert_eq!(first, judgement());
    let ratio = first.metrics[0].aca.as_ref().unwrap().ratio.unwrap().0;
    assert!(ratio != 5.0 && (ratio - 5.0).abs() < 5.0 * 4e-5, "noise of Kayenta's size: {ratio}");
}

#[test]
fn zeros_against_one_other_value_cannot_be_tested_and_leave_the_score() {
    let metrics = json!([{ "name": "bad", "critical": true, "groups": ["g"] }, { "name": "good", "groups": ["g"] }]);
    let same = vec![1.0, 2.0];
    let judgement = judged(json!({ "metrics": metrics }), vec![(vec![5.0], vec![0.0; 3]), (same.clone(), same)]);
    assert_eq!((judgement.metrics[0].status, judgement.metrics[0].reason), (Status::Error, Reason::Untestable));
    assert_eq!((judgement.verdict, judgement.score), (Verdict::Pass, Some(100.0)));
    assert!(judgement.warnings[0].contains("`bad` was not judged"), "and says so: {:?}", judgement.warnings);
}

#[test]
fn what_the_store_returned_as_nan_is_replaced_and_a_gap_is_not() {
    let replace = json!({ "nanStrategy": "replace" });
    let counts = |canary: Vec<f64>| outcome(replace.clone(), vec![1.0, 2.0, 3.0], canary).experiment.count;
    assert_eq!(counts(vec![1.0, f64::NAN, 3.0]), 3);
    assert_eq!(counts(vec![1.0, haldane_judges::evidence::ABSENT, 3.0]), 2);
}

#[test]
fn a_metric_that_could_not_be_read_is_an_error() {
    let failure = FetchFailure { arm: haldane_judges::evidence::Arm::Canary, reason: "timeout".into(), message: "no answer".into() };
    let mut evidence = evidence(Vec::new());
    evidence.observations = vec![Observation::Failed(failure)];
    let judgement = judge(JudgeName::NetflixAca, &config(json!({ "metrics": [{ "name": "a" }, { "name": "beyond" }] })), &evidence);
    for metric in &judgement.metrics {
        let aca = metric.aca.as_ref().unwrap();
        assert_eq!((metric.status, metric.reason, aca.classification), (Status::Error, Reason::Fetch, Classification::Error));
        assert_eq!(aca.reason("a").as_deref(), Some("Metric Classification Failed"));
    }
}

#[test]
fn weights_and_thresholds_are_as_free_as_kayentas() {
    let document = |judge: &str| {
        json!({ "name": "free", "judge": judge, "metrics": [{ "name": "a", "groups": ["unlisted"] }],
            "groups": { "x": 150, "y": -20, "z": 0 }, "thresholds": { "marginal": 180, "pass": 150 } })
    };
    let accepted = CheckedConfig::from_value(document(NAME)).unwrap();
    assert_eq!(accepted.thresholds.marginal, 180.0);
    let refused = CheckedConfig::from_value(document("haldane-v1")).unwrap_err();
    let mut pointers: Vec<&str> = refused.problems.iter().map(|problem| problem.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/groups/y", "/metrics/0/groups", "/thresholds/marginal"]);
    let mut zero = document(NAME);
    zero["groups"] = json!({ "x": 0 });
    CheckedConfig::from_value(zero).unwrap();
    for (pointer, change) in [("/groups/x", true), ("/thresholds/pass", false)] {
        let mut config = CheckedConfig::from_value(document(NAME)).unwrap().into_inner();
        if change {
            config.groups.insert("x".into(), f64::NAN);
        } else {
            config.thresholds.pass = f64::INFINITY;
        }
        assert_eq!(config.check().unwrap_err().problems[0].pointer, pointer);
    }
}

#[test]
fn a_factor_with_which_kayenta_gives_up_is_refused() {
    let document = |strategy: &str, factor: f64| {
        let aca = json!({ "outliers": { "strategy": strategy, "factor": factor } });
        CheckedConfig::from_value(json!({ "name": "c", "judge": NAME, "metrics": [{ "name": "a" }, { "name": "b", "aca": aca }] }))
    };
    for factor in [0.0, -1.0] {
        let refused = document("remove", factor).unwrap_err();
        assert_eq!(refused.problems[0].pointer, "/metrics/1/aca/outliers/factor");
        assert!(refused.problems[0].message.contains("must be above 0"), "{refused}");
        document("keep", factor).expect("unread where outliers stay");
    }
    document("remove", 0.1).expect("above 0");
}

#[test]
fn unknown_rules_are_refused_and_other_judges_ignore_the_known_ones() {
    let with = |judge: &str, aca: Value| {
        CheckedConfig::from_value(json!({ "name": "c", "judge": judge, "metrics": [{ "name": "a", "aca": aca }] }))
    };
    let refused = with(NAME, json!({ "nan_strategie": "remove" })).unwrap_err();
    assert_eq!(refused.problems[0].pointer, "/metrics/0/aca/nan_strategie");
    let (plain, ruled) = (with("haldane-v1", json!({})).unwrap(), with("haldane-v1", json!({ "must_have_data": true })).unwrap());
    let samples = || evidence(vec![(vec![1.0; 20], vec![2.0; 20])]);
    let (plain, ruled) = (judge(JudgeName::HaldaneV1, &plain, &samples()), judge(JudgeName::HaldaneV1, &ruled, &samples()));
    assert_eq!(plain.metrics, ruled.metrics);
    assert!(plain.aca.is_none() && plain.metrics[0].aca.is_none());
}

#[test]
fn numbers_that_are_not_finite_are_written_as_kayenta_writes_them() {
    for (value, text) in
        [(f64::NAN, "\"NaN\""), (f64::INFINITY, "\"Infinity\""), (f64::NEG_INFINITY, "\"-Infinity\""), (-0.0, "-0.0"), (1.5, "1.5")]
    {
        assert_eq!(serde_json::to_string(&Number(value)).unwrap(), text);
        assert_eq!(serde_json::from_str::<Number>(text).unwrap(), Number(value));
    }
    assert_eq!(serde_json::from_str::<Number>("3").unwrap(), Number(3.0));
    assert!(serde_json::from_str::<Number>("\"inf\"").is_err());
}

/// The rank function as Kayenta evaluates it: everything pooled, sorted and ranked again.
fn sorted_again(x: &[f64], y: &[f64], mu: f64) -> Option<f64> {
    let numeric = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
    let mut pool: Vec<(f64, bool)> = x.iter().map(|v| (numeric(v - mu), true)).chain(y.iter().map(|v| (numeric(*v), false))).collect();
    pool.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties) = (0.0, 0.0);
    for group in pool.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let first = (group.as_ptr() as usize - pool.as_ptr() as usize) / size_of::<(f64, bool)>();
        let rank = (2 * first + group.len() + 1) as f64 / 2.0;
        sum += group.iter().filter(|(_, is_x)| *is_x).map(|_| rank).sum::<f64>();
        ties += (group.len() as f64).powi(3) - group.len() as f64;
    }
    let (nx, ny) = (x.len() as f64, y.len() as f64);
    let dz = sum - nx * (nx + 1.0) / 2.0 - nx * ny / 2.0;
    let correction = if dz == 0.0 { 0.0 } else { 0.5 * dz.signum() };
    let sigma = ((nx * ny / 12.0) * (nx + ny + 1.0 - ties / ((nx + ny) * (nx + ny - 1.0)))).sqrt();
    (sigma != 0.0).then(|| (dz - correction) / sigma)
}

fn point() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e3f64..1e3,
        4 => (-3..4i32).prop_map(f64::from),
        1 => Just(-0.0),
        1 => (0..50i32).prop_map(|i| f64::from(i) * 1e-6),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(f64::MIN), Just(5e-324)],
    ]
}

fn any_point() -> impl Strategy<Value = f64> {
    prop_oneof![3 => point(), 1 => Just(f64::NAN), 1 => any::<f64>()]
}

fn points(of: impl Strategy<Value = f64>, least: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(of, least..40)
}

fn rules() -> impl Strategy<Value = Value> {
    let direction = prop::sample::select(vec!["increase", "decrease", "either"]);
    let (nan, outliers) = (prop::sample::select(vec!["remove", "replace"]), prop::sample::select(vec!["keep", "remove"]));
    let measure = prop::sample::select(vec!["meanRatio", "cles"]);
    (direction, nan, outliers, 0.01f64..5.0, measure, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(direction, nan, outliers, factor, measure, critical, must, muted)| {
            json!({ "direction": direction, "nanStrategy": nan, "outliers": { "strategy": outliers, "outlierFactor": factor },
                "effectSize": { "measure": measure }, "critical": critical, "mustHaveData": must, "muted": muted })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_are_judged_and_the_judgement_reads_back_as_written(
        arms in prop::collection::vec((points(any_point(), 0), points(any_point(), 0), rules()), 1..4), weight in -200.0..200.0f64
    ) {
        let metrics: Vec<Value> = arms.iter().enumerate().map(|(i, (_, _, rules))| {
            let mut metric = metric(&format!("m{i}"), rules);
            metric["groups"] = json!([format!("g{}", i % 2), "all"]);
            metric
        }).collect();
        let samples = arms.into_iter().map(|(baseline, canary, _)| (baseline, canary)).collect();
        let judgement = judged(json!({ "groups": { "all": weight }, "metrics": metrics }), samples);
        let text = serde_json::to_string(&judgement).unwrap();
        prop_assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), judgement);
    }

    #[test]
    fn constant_arms_are_judged_whatever_their_values(a in any_point(), b in any_point(), n in 1..5usize, m in 1..5usize, rules in rules()) {
        outcome(rules, vec![a; n], vec![b; m]);
    }

    #[test]
    fn merging_gives_the_bits_of_sorting_again(x in points(point(), 1), y in points(point(), 1), mu in point(), i in any::<prop::sample::Index>(), j in any::<prop::sample::Index>()) {
        let (mut x, mut y) = (x, y);
        // A shift that is a difference of two points makes ties.
        for mu in [mu, x[i.index(x.len())] - y[j.index(y.len())], 0.0, -0.0] {
            x.sort_by(f64::total_cmp);
            y.sort_by(f64::total_cmp);
            prop_assert_eq!(rank_score(&x, &y, mu).ok().map(f64::to_bits), sorted_again(&x, &y, mu).map(f64::to_bits), "at {}", mu);
        }
    }

    #[test]
    fn the_order_of_the_points_moves_neither_interval_nor_classification(
        (x, shuffled) in points(-1e3f64..1e3, 1).prop_flat_map(|x| (Just(x.clone()), Just(x).prop_shuffle())), y in points(-1e3f64..1e3, 1)
    ) {
        prop_assert_eq!(shift(&x, &y), shift(&shuffled, &y));
        // By ranks; a ratio of means depends on the order in its last bits.
        let rules = json!({ "effectSize": { "measure": "cles" } });
        let (one, other) = (outcome(rules.clone(), y.clone(), x), outcome(rules, y, shuffled));
        prop_assert_eq!(one.classification, other.classification);
    }

    #[test]
    fn the_direction_that_is_not_worse_never_convicts(x in points(point(), 0), y in points(point(), 0)) {
        let found = |direction: &str| outcome(json!({ "direction": direction }), y.clone(), x.clone()).classification;
        prop_assert_ne!(found("increase"), Classification::Low);
        prop_assert_ne!(found("decrease"), Classification::High);
    }
}
