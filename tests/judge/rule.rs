//! The rule for values against the reference procedure on made-up canaries (`fixtures/reference/rule.json`, made by `make/rule.py`).

use haldane_judges::config::CanaryConfig;
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Instance, Observation};
use haldane_judges::scorecard::{Guard, MetricResult, Mode, Status};
use haldane_judges::{JudgeName, judge};
use serde_json::{Value, json};

fn points(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

fn coverage(values: &Value) -> f64 {
    let points = points(values);
    points.iter().filter(|v| v.is_finite()).count() as f64 / points.len() as f64
}

fn judged(case: &Value, with_instances: bool) -> Vec<MetricResult> {
    let metrics = case["metrics"].as_array().unwrap();
    let config: CanaryConfig = serde_json::from_value(json!({
        "name": "rule",
        "min_observation": "0s",
        "metrics": metrics.iter().map(|m| json!({
            "name": m["name"],
            "direction": m["direction"],
            "kind": if m["role"] == "error_rate" { "ratio" } else { "value" },
            "unit": if m["name"].as_str().unwrap().contains("pct") { "percent" } else { "1" },
            // The reference rule knows silence, and no asymmetry of coverage short of it.
            "may_be_absent": coverage(&m["canary"]) > 0.0 || coverage(&m["baseline"]) < 0.8,
        })).collect::<Vec<_>>(),
    }))
    .unwrap();
    let observations = metrics
        .iter()
        .map(|m| {
            let mut baseline = ArmPoints::values(points(&m["baseline"]));
            if with_instances && let Some(instances) = m["baseline_instances"].as_array() {
                baseline.instances =
                    instances.iter().enumerate().map(|(i, v)| Instance { name: format!("pod-{i}"), values: points(v) }).collect();
            }
            Observation::Sampled { baseline, canary: ArmPoints::values(points(&m["canary"])) }
        })
        .collect();
    let concurrent = case["pairing"].as_str().unwrap().starts_with("concurrent");
    let evidence = Evidence {
        observations,
        step_seconds: 60.0,
        observed_seconds: 3600.0,
        comparison: if concurrent { Comparison::Concurrent } else { Comparison::BeforeAfter },
        canary_share: None,
        ..Evidence::default()
    };
    let judgement = judge(JudgeName::HaldaneV1, &config.check().unwrap(), &evidence);
    assert_eq!(judgement.live_metrics as u64, case["m"].as_u64().unwrap(), "{}", case["name"]);
    judgement.metrics
}

/// The status in the words of the fixture: what the guard sends to threshold mode is `threshold`.
fn status(metric: &MetricResult) -> &'static str {
    match metric.status {
        Status::Regressed => "regressed",
        Status::Suspect => "suspect",
        Status::NoData => "no_data",
        _ if metric.mode == Mode::Threshold => "threshold",
        Status::Pass => "pass",
        other => panic!("{}: {other}", metric.name),
    }
}

#[track_caller]
fn close(got: f64, want: &Value, what: &str) {
    let Some(want) = want.as_f64() else { return };
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1e-12), "{what}: got {got}, expected {want}");
}

#[test]
fn every_metric_gets_the_status_and_the_numbers_of_the_reference_procedure() {
    let path = format!("{}/../fixtures/reference/rule.json", env!("CARGO_MANIFEST_DIR"));
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut compared, mut widened, mut predicted) = (0, 0, 0);
    for case in fixture["cases"].as_array().unwrap() {
        for (mode, with_instances) in [("none", false), ("full", true)] {
            let results = judged(case, with_instances);
            for (metric, got) in case["metrics"].as_array().unwrap().iter().zip(&results) {
                let want = &metric["text"][mode];
                if want.is_null() {
                    continue;
                }
                let name = format!("{} {} {mode}", case["name"], got.name);
                // Few instances say little about the next one: the limit is then a prediction bound, where that is wider, and what
                // lies between the two is suspect.
                let wider = got.limit.as_ref().is_some_and(|limit| {
                    limit.from == "instances" && want["limit"].as_f64().is_some_and(|stated| limit.relative > stated * (1.0 + 1e-9))
                });
                let held_back = wider && want["status"] == "regressed" && status(got) == "suspect";
                assert!(held_back || want["status"] == status(got), "{name}: {} {:?}, expected {want}", got.sentence, got.guards);
                compared += 1;
                predicted += usize::from(wider);
                let Some(numbers) = &got.numbers else { continue };
                let features = &metric["features"];
                close(numbers.shift, &features["s"], &format!("{name} s"));
                close(numbers.level, &features["level"], &format!("{name} level"));
                close(numbers.noise, &features["noise"], &format!("{name} noise"));
                close(numbers.z, &json!(features["z"].as_f64().unwrap()), &format!("{name} z"));
                close(numbers.variance_inflation, &want["V"], &format!("{name} V"));
                // Far out the reference's Edgeworth form is 0, which a p-value is not.
                if want["p"].as_f64().unwrap() > 1e-6 {
                    close(numbers.p, &want["p"], &format!("{name} p"));
                } else {
                    assert!(numbers.p > 0.0 && numbers.p < 1e-6, "{name} p: {}", numbers.p);
                }
                close(numbers.p_ess, &want["p_ess"], &format!("{name} p_ess"));
                let limit = got.limit.as_ref().unwrap();
                if !wider {
                    close(limit.relative, &want["limit"], &format!("{name} limit"));
                }
                widened += usize::from(limit.from == "instances");
                if want["blind"] == true && numbers.n_baseline.min(numbers.n_canary) >= 3 && got.mode == Mode::Threshold {
                    let guarded = got.guards.iter().any(|g| matches!(g.guard, Guard::CouldNotDetect | Guard::FewPoints));
                    assert!(guarded, "{name}");
                }
            }
        }
    }
    assert!(compared > 150 && widened > 3 && predicted < widened, "{compared} compared, {widened} by the instances, {predicted} wider");
}
