//! Judgements to the last bit: one digest for each file of scenarios, for random canaries of every kind, and for each source of the labelled
//! corpus, so that a change that is to leave every answer as it was can show that it does.
//!
//! `fixtures/evaluate/digests.json` holds two of each: of the whole judgements, which a change of the last digit of one number alters, and of
//! the statuses, reasons and verdicts alone. `HALDANE_DIGESTS=write` writes the file anew. The corpus is the folder that `HALDANE_CORPUS`
//! names; without it its digests are left as they are. Digests hold for one C library, whose `exp` and `ln` the last digits depend on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::MultiGzDecoder;
use haldane_judges::config::CheckedConfig;
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Instance, Observation, Points};
use haldane_judges::scorecard::Judgement;
use haldane_judges::{JudgeName, judge};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::invariants::hostile_canary;
use super::random::{Canary, Draw, any_length, any_metric, any_plan};
use super::scenarios;

/// Random canaries of each kind.
const RANDOM: u64 = 400;

/// Both digests of a set of judgements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Digests {
    /// Of the judgements' JSON.
    judgements: String,
    /// Of verdicts, and of the metrics' statuses and reasons.
    statuses: String,
}

/// A set of judgements under way.
#[derive(Default)]
struct Hashers {
    judgements: Sha256,
    statuses: Sha256,
}

impl Hashers {
    fn add(&mut self, judgement: &Judgement) {
        self.judgements.update(serde_json::to_vec(judgement).unwrap());
        let causes = judgement.reasons.iter().map(|cause| (cause.reason, &cause.metrics)).collect::<Vec<_>>();
        let metrics = judgement.metrics.iter().map(|metric| (&metric.name, metric.status, metric.reason)).collect::<Vec<_>>();
        self.statuses.update(serde_json::to_vec(&(judgement.verdict, causes, metrics)).unwrap());
    }

    fn finish(self) -> Digests {
        let hex = |hash: Sha256| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Digests { judgements: hex(self.judgements), statuses: hex(self.statuses) }
    }
}

fn path() -> String {
    format!("{}/../fixtures/evaluate/digests.json", env!("CARGO_MANIFEST_DIR"))
}

/// Holds the digests against those of the file, or writes them there; those that were not computed stay.
fn hold(computed: BTreeMap<String, Digests>) {
    // Tests of one binary run at the same time.
    static FILE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = FILE.lock();
    let text = std::fs::read_to_string(path()).unwrap_or_else(|_| "{}".to_owned());
    let mut known: BTreeMap<String, Digests> = serde_json::from_str(&text).unwrap();
    if std::env::var("HALDANE_DIGESTS").is_ok_and(|asked| asked == "write") {
        known.extend(computed);
        std::fs::write(path(), serde_json::to_string_pretty(&known).unwrap() + "\n").unwrap();
        return;
    }
    let differ = |of: fn(&Digests) -> &String| -> Vec<&str> {
        computed.iter().filter(|(name, digests)| known.get(*name).map(of) != Some(of(digests))).map(|(name, _)| name.as_str()).collect()
    };
    let (statuses, judgements) = (differ(|one| &one.statuses), differ(|one| &one.judgements));
    assert!(statuses.is_empty(), "statuses, reasons or verdicts differ in {statuses:?}; HALDANE_DIGESTS=write records them");
    assert!(
        judgements.is_empty(),
        "no status differs, and some number or sentence does in {judgements:?}; HALDANE_DIGESTS=write records them"
    );
}

#[test]
fn scenarios_are_judged_to_the_last_bit_as_before() {
    let digests = |(file, scenarios): (String, Vec<scenarios::Scenario>)| {
        let mut hashers = Hashers::default();
        for (config, evidence) in scenarios.iter().map(scenarios::case) {
            for name in JudgeName::ALL {
                hashers.add(&judge(name, &config, &evidence));
            }
        }
        (format!("scenarios/{file}"), hashers.finish())
    };
    hold(scenarios::files().into_iter().map(digests).collect());
}

/// Metrics of every kind, with pasts, gaps, instances and plans.
fn any_canary(draw: &mut Draw) -> Canary {
    let n = any_length(draw);
    let metrics = (0..draw.whole(1, 4)).map(|i| any_metric(draw, n).named(&format!("m{i}"))).collect();
    let comparison = if draw.chance(0.3) { Comparison::BeforeAfter } else { Comparison::Concurrent };
    Canary { comparison, looks: draw.chance(0.3).then(|| any_plan(draw)), ..Canary::of(metrics) }
}

#[test]
fn random_canaries_are_judged_to_the_last_bit_as_before() {
    let of = |name: &str, draw: &dyn Fn(&mut Draw) -> Canary| {
        let mut hashers = Hashers::default();
        for seed in 0..RANDOM {
            let canary = draw(&mut Draw::new(seed));
            for name in JudgeName::ALL {
                hashers.add(&judge(name, &canary.config(), &canary.evidence()));
            }
        }
        (format!("random/{name}"), hashers.finish())
    };
    hold(BTreeMap::from([of("any", &any_canary), of("hostile", &hostile_canary)]));
}

type Recorded = Vec<Option<f64>>;

/// A canary of the corpus, as far as it is judged here.
#[derive(Deserialize)]
struct Case {
    source: String,
    pairing: String,
    step_seconds: f64,
    metrics: Vec<CaseMetric>,
}

#[derive(Deserialize)]
struct CaseMetric {
    name: String,
    role: String,
    direction: String,
    baseline: Recorded,
    canary: Recorded,
    #[serde(default)]
    baseline_history: Option<Recorded>,
    #[serde(default)]
    canary_history: Option<Recorded>,
    #[serde(default)]
    baseline_instances: Option<Vec<Recorded>>,
}

impl Case {
    fn config(&self) -> CheckedConfig {
        let metric = |metric: &CaseMetric| {
            let is_rate = metric.role == "error_rate";
            json!({
                "name": metric.name,
                "kind": if is_rate { "ratio" } else { "value" },
                "unit": (is_rate && metric.name.contains("pct")).then_some("percent"),
                "direction": metric.direction,
                "accumulating": metric.role == "saturation" && metric.name.contains("mem"),
                "groups": [metric.role],
                "limits": { "max_ratio": 1.25 },
                "queries": if is_rate { json!({ "recorded": metric.name }) } else { json!({}) },
            })
        };
        let metrics: Vec<_> = self.metrics.iter().map(metric).collect();
        CheckedConfig::from_value(json!({ "name": "derived", "min_observation": "0s", "metrics": metrics })).unwrap()
    }

    fn evidence(&self, with_past: bool) -> Evidence {
        let values = |points: &Recorded| points.iter().map(|point| point.unwrap_or(f64::NAN)).collect::<Vec<f64>>();
        let past = |points: &Option<Recorded>| points.as_ref().filter(|_| with_past).map(|points| Points::Values(values(points)));
        let observation = |metric: &CaseMetric| {
            let instances = metric.baseline_instances.iter().flatten().filter(|_| with_past);
            let named = instances.enumerate().map(|(i, one)| Instance { name: format!("instance-{i:03}"), values: values(one) });
            let baseline = ArmPoints { instances: named.collect(), ..ArmPoints::values(values(&metric.baseline)) };
            Observation::Sampled {
                baseline: baseline.with_history(past(&metric.baseline_history)),
                canary: ArmPoints::values(values(&metric.canary)).with_history(past(&metric.canary_history)),
            }
        };
        let longest = self.metrics.iter().map(|metric| metric.canary.len()).max().unwrap_or(0);
        Evidence {
            observations: self.metrics.iter().map(observation).collect(),
            step_seconds: self.step_seconds,
            observed_seconds: self.step_seconds * longest as f64,
            comparison: if self.pairing.starts_with("concurrent") { Comparison::Concurrent } else { Comparison::BeforeAfter },
            ..Evidence::default()
        }
    }
}

#[test]
fn the_corpus_is_judged_to_the_last_bit_as_before() {
    let Some(folder) = std::env::var_os("HALDANE_CORPUS") else {
        eprintln!("HALDANE_CORPUS names no folder: the labelled corpus is not judged");
        return;
    };
    let file = std::path::Path::new(&folder).join("cases.jsonl.gz");
    let file = File::open(&file).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
    let mut hashers: BTreeMap<String, Hashers> = BTreeMap::new();
    for line in BufReader::new(MultiGzDecoder::new(file)).lines() {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        let (config, whole, alone) = (case.config(), case.evidence(true), case.evidence(false));
        let judged = |name, column: &str, evidence: &Evidence| (format!("corpus/{}/{column}", case.source), judge(name, &config, evidence));
        for (name, judgement) in [
            judged(JudgeName::HaldaneV1, "haldane-v1", &whole),
            judged(JudgeName::HaldaneV1, "haldane-v1 without history", &alone),
            judged(JudgeName::ThresholdV1, "threshold-v1", &alone),
            judged(JudgeName::NetflixAca, "NetflixACAJudge-v1.0", &alone),
        ] {
            hashers.entry(name).or_default().add(&judgement);
        }
    }
    assert!(!hashers.is_empty(), "the corpus holds no case");
    hold(hashers.into_iter().map(|(name, hashers)| (name, hashers.finish())).collect());
}
