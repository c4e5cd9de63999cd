//! The judge against labelled telemetry, where the corpus is at hand: `HALDANE_CORPUS` names its folder (the Makefile sets it).
//!
//! Without history every verdict on a metric is held against the reference rule's (`reference-verdicts.jsonl.gz`, mode `none`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Observation};
use haldane_judges::scorecard::{Judgement, Status};
use haldane_judges::{JudgeName, Verdict, judge};
use serde_json::{Value, json};

fn folder() -> Option<PathBuf> {
    std::env::var_os("HALDANE_CORPUS").map(PathBuf::from)
}

fn lines(name: &str) -> impl Iterator<Item = Value> {
    let path = folder().unwrap().join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn arm(values: &Value) -> ArmPoints {
    ArmPoints::values(values.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect())
}

/// A case as its config and its evidence.
fn case(case: &Value) -> (CheckedConfig, Evidence) {
    let metrics = case["metrics"].as_array().unwrap();
    let config = json!({
        "name": "corpus",
        "min_observation": "0s",
        "metrics": metrics.iter().map(|metric| {
            let name = metric["name"].as_str().unwrap();
            let is_rate = metric["role"] == "error_rate";
            json!({
                "name": name,
                "direction": metric["direction"],
                "kind": if is_rate { "ratio" } else { "value" },
                "unit": if name.contains("pct") { "percent" } else { "1" },
            })
        }).collect::<Vec<_>>(),
    });
    let config: CanaryConfig = serde_json::from_value(config).unwrap();
    let step_seconds = case["step_seconds"].as_f64().unwrap();
    let observations: Vec<Observation> =
        metrics.iter().map(|m| Observation::Sampled { baseline: arm(&m["baseline"]), canary: arm(&m["canary"]) }).collect();
    let concurrent = case["pairing"].as_str().unwrap().starts_with("concurrent");
    let evidence = Evidence {
        observations,
        step_seconds,
        observed_seconds: step_seconds * case["n"].as_f64().unwrap(),
        comparison: if concurrent { Comparison::Concurrent } else { Comparison::BeforeAfter },
        canary_share: None,
    };
    (config.check().unwrap(), evidence)
}

#[test]
fn verdicts_without_history_agree_with_the_reference_rule() {
    if folder().is_none() {
        eprintln!("HALDANE_CORPUS is not set: the labelled corpus is not at hand, nothing was compared");
        return;
    }
    let mut reference: BTreeMap<String, Value> =
        lines("reference-verdicts.jsonl.gz").map(|v| (v["id"].as_str().unwrap().to_owned(), v)).collect();
    let (mut metrics, mut differing) = (0, Vec::new());
    let (mut healthy, mut failed, mut not_passed, mut pairs, mut false_alarms) = (0, 0, 0, 0, 0);
    for line in lines("cases.jsonl.gz") {
        let id = line["id"].as_str().unwrap();
        let (config, evidence) = case(&line);
        let judgement: Judgement = judge(JudgeName::HaldaneV1, &config, &evidence);
        let want = reference.remove(id).unwrap_or_else(|| panic!("{id} has no reference verdict"));
        for metric in &judgement.metrics {
            let rule = &want["rule_metrics"][&metric.name];
            if rule.is_null() {
                continue;
            }
            metrics += 1;
            let expected = if rule["fail_none"] == true {
                Status::Regressed
            } else if rule["warn_none"] == true {
                Status::Suspect
            } else {
                Status::Pass
            };
            let got = if matches!(metric.status, Status::Regressed | Status::Suspect) { metric.status } else { Status::Pass };
            if got != expected {
                differing.push(format!("{id} {} expected {expected} got {} ({})", metric.name, metric.status, metric.sentence));
            }
        }
        let is_healthy = line["label"] == "healthy" && line["semi"] == false;
        if is_healthy {
            healthy += 1;
            failed += usize::from(judgement.verdict == Verdict::Fail);
            not_passed += usize::from(judgement.verdict != Verdict::Pass);
            pairs += judgement.metrics.len();
            false_alarms += judgement.counts.regressed;
        }
    }
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole as f64;
    println!("{metrics} metrics, {} differ from the reference rule", differing.len());
    println!(
        "{healthy} healthy canaries: {:.2} % failed, {:.2} % not passed; {:.2} % of {pairs} metrics regressed",
        percent(failed, healthy),
        percent(not_passed, healthy),
        percent(false_alarms, pairs)
    );
    for difference in &differing {
        println!("{difference}");
    }
    assert!(reference.is_empty() && metrics > 10_000, "{} unjudged, {metrics} metrics", reference.len());
    // Exact p-values in place of normal ones, and coverage, are the text's: see fixtures/reference/make/README.md.
    assert!(percent(differing.len(), metrics) <= 0.5, "{} of {metrics} metrics differ", differing.len());
    assert!(percent(failed, healthy) <= 5.5 && percent(false_alarms, pairs) <= 2.3);
}
