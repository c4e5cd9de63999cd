//! Whole-judge behaviour as data: each file in `fixtures/scenarios` states a claim, the samples, and what must come out.
//!
//! Samples are compact: `100 x7, 1 x3` is seven times 100 and three times 1; `-` is a missing point, `inf` an infinite one.
//! Where more than one answer is right, `verdict_in` and `status_in` list them. `HALDANE_SCENARIO=text` checks those alone whose claim has
//! the text in it.

use std::collections::BTreeMap;

use haldane_judges::config::CheckedConfig;
use haldane_judges::evidence::{ArmPoints, Comparison, Earlier, Evidence, FetchFailure, Instance, Looks, Member, Observation, Population};
use haldane_judges::scorecard::Remedy;
use haldane_judges::{JudgeName, judge};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    claim: String,
    config: Value,
    #[serde(default = "minute")]
    step_seconds: f64,
    observed_seconds: Option<f64>,
    #[serde(default)]
    comparison: Comparison,
    canary_share: Option<f64>,
    looks: Option<Looks>,
    #[serde(default)]
    ramp: Vec<f64>,
    #[serde(default)]
    advisory: bool,
    population: Option<Runs>,
    #[serde(default)]
    samples: BTreeMap<String, Arms>,
    expect: Expect,
}

fn minute() -> f64 {
    60.0
}

/// Who runs what: `pod-1 v1`, one an entry; an entry that ends in `gone` did not report at the end of the window.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    #[serde(default)]
    baseline: Vec<String>,
    #[serde(default)]
    canary: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "nearly all are samples")]
enum Arms {
    Sampled {
        baseline: Arm,
        canary: Arm,
        baseline_history: Option<Arm>,
        canary_history: Option<Arm>,
        /// The same clock time so many days ago.
        #[serde(default)]
        baseline_earlier: BTreeMap<u32, Arm>,
        #[serde(default)]
        canary_earlier: BTreeMap<u32, Arm>,
        /// Bounds of the buckets that the values are interpolated in.
        #[serde(default)]
        bounds: Vec<f64>,
    },
    Failed {
        failed: FetchFailure,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Arm {
    Values(String),
    Counts { events: String, totals: String },
    Instances { instances: BTreeMap<String, String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    verdict: Option<String>,
    #[serde(default)]
    verdict_in: Vec<String>,
    would_be: Option<String>,
    next_share: Option<f64>,
    /// Part of the summary.
    summary: Option<String>,
    /// Part of the recommendation.
    recommends: Option<String>,
    score: Option<f64>,
    action: Option<String>,
    #[serde(default)]
    reasons: Option<Vec<String>>,
    /// Part of a warning about the canary as a whole.
    warning: Option<String>,
    /// Longest further observation that any remedy may ask for, in minutes.
    extends_at_most: Option<u64>,
    #[serde(default)]
    metrics: BTreeMap<String, ExpectMetric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectMetric {
    status: Option<String>,
    #[serde(default)]
    status_in: Vec<String>,
    reason: Option<String>,
    /// Reasons of what other examiners found beside.
    #[serde(default)]
    finds: Vec<String>,
    mode: Option<String>,
    guards: Option<Vec<String>>,
    /// Kinds of remedies, in order.
    remedies: Option<Vec<String>>,
    /// Requests of the remedy that sends them.
    requests: Option<u64>,
    /// Part of the sentence.
    says: Option<String>,
    /// What the sentence must not say.
    says_not: Option<String>,
}

fn numbers(text: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for entry in text.split([',', '\n']).flat_map(|part| {
        // Within a part, numbers stand side by side; only the last may be repeated.
        let words: Vec<&str> = part.split_whitespace().collect();
        match words.as_slice() {
            [number, times] if times.starts_with('x') => vec![(*number, times[1..].parse::<usize>().unwrap())],
            many => many.iter().map(|number| (*number, 1)).collect(),
        }
    }) {
        let value = match entry.0 {
            "-" => f64::NAN,
            number => number.parse().unwrap_or_else(|_| panic!("`{number}` is no number")),
        };
        values.extend(std::iter::repeat_n(value, entry.1));
    }
    values
}

fn points(arm: &Arm) -> ArmPoints {
    match arm {
        Arm::Values(text) => ArmPoints::values(numbers(text)),
        Arm::Counts { events, totals } => ArmPoints::counts(numbers(events), numbers(totals)),
        Arm::Instances { instances } => {
            ArmPoints::from_instances(instances.iter().map(|(name, text)| Instance { name: name.clone(), values: numbers(text) }).collect())
        }
    }
}

fn members(entries: &[String]) -> Vec<Member> {
    let member = |entry: &String| {
        let words: Vec<&str> = entry.split_whitespace().collect();
        Member { instance: words[0].to_owned(), version: words[1].to_owned(), points: 10, at_end: words.get(2) != Some(&"gone") }
    };
    entries.iter().map(member).collect()
}

fn word<T: serde::Serialize>(value: T) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// Fails where it is neither what must come out nor one of what may.
#[track_caller]
fn one_of(got: &String, must: Option<&String>, may: &[String], claim: &str, shown: &str) {
    assert!(must.is_some() == may.is_empty(), "{claim}: say what must come out, or what may");
    assert!(must == Some(got) || may.contains(got), "{claim}: {got}, expected {}{}\n{shown}", must.map_or("", |m| m), may.join(" or "));
}

/// The scenarios of each file, by its name.
pub(crate) fn files() -> Vec<(String, Vec<Scenario>)> {
    let folder = format!("{}/../fixtures/scenarios", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let read: Vec<Scenario> = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_name().unwrap().display().to_string(), read)
    };
    files.iter().map(read).collect()
}

/// What is judged in a scenario.
pub(crate) fn case(scenario: &Scenario) -> (CheckedConfig, Evidence) {
    let claim = &scenario.claim;
    let mut document = scenario.config.clone();
    document.as_object_mut().unwrap().entry("name").or_insert(json!("scenario"));
    let config = CheckedConfig::from_value(document).unwrap_or_else(|error| panic!("{claim}: {error}"));
    let observations: Vec<Observation> = config
        .metrics
        .iter()
        .map(|metric| match scenario.samples.get(&metric.name) {
            Some(Arms::Sampled { baseline, canary, baseline_history, canary_history, baseline_earlier, canary_earlier, bounds }) => {
                let history = |arm: &Option<Arm>| arm.as_ref().map(|arm| points(arm).points);
                let earlier = |arms: &BTreeMap<u32, Arm>| {
                    arms.iter().map(|(days, arm)| Earlier { days: *days, points: points(arm).points }).collect()
                };
                let whole =
                    |arm, past, before| points(arm).with_history(history(past)).with_earlier(earlier(before)).with_bounds(bounds.clone());
                Observation::Sampled {
                    baseline: whole(baseline, baseline_history, baseline_earlier),
                    canary: whole(canary, canary_history, canary_earlier),
                }
            }
            Some(Arms::Failed { failed }) => Observation::Failed(failed.clone()),
            None => panic!("{claim}: no samples of {}", metric.name),
        })
        .collect();
    let longest = observations.iter().map(|o| match o {
        Observation::Sampled { canary, baseline } => canary.points.len().max(baseline.points.len()),
        Observation::Failed(_) => 0,
    });
    let observed = scenario.observed_seconds.unwrap_or(longest.max().unwrap_or(10) as f64 * scenario.step_seconds);
    let evidence = Evidence {
        observations,
        step_seconds: scenario.step_seconds,
        observed_seconds: observed,
        comparison: scenario.comparison,
        canary_share: scenario.canary_share,
        looks: scenario.looks,
        ramp: scenario.ramp.clone(),
        advisory: scenario.advisory,
        population: scenario
            .population
            .as_ref()
            .map(|runs| Ok(Population { baseline: members(&runs.baseline), canary: members(&runs.canary) })),
    };
    (config, evidence)
}

fn check(scenario: &Scenario) {
    let claim = &scenario.claim;
    let (config, evidence) = case(scenario);
    let name: JudgeName = config.judge.parse().unwrap();
    let judgement = judge(name, &config, &evidence);
    let shown = serde_json::to_string_pretty(&judgement).unwrap();
    one_of(&word(judgement.verdict), scenario.expect.verdict.as_ref(), &scenario.expect.verdict_in, claim, &shown);
    if let Some(would_be) = &scenario.expect.would_be {
        assert_eq!(judgement.would_be.map(word).as_ref(), Some(would_be), "{claim}\n{shown}");
    }
    if let Some(share) = scenario.expect.next_share {
        assert_eq!(judgement.recommendation.next_share, Some(share), "{claim}\n{shown}");
    }
    if let Some(part) = &scenario.expect.summary {
        assert!(judgement.summary.contains(part), "{claim}\n{shown}");
    }
    if let Some(part) = &scenario.expect.recommends {
        assert!(judgement.recommendation.sentence.contains(part), "{claim}\n{shown}");
    }
    if let Some(score) = scenario.expect.score {
        assert_eq!(judgement.score, Some(score), "{claim}\n{shown}");
    }
    if let Some(action) = &scenario.expect.action {
        assert_eq!(&word(judgement.recommendation.action), action, "{claim}\n{shown}");
    }
    if let Some(reasons) = &scenario.expect.reasons {
        let got: Vec<String> = judgement.reasons.iter().map(|cause| word(cause.reason)).collect();
        assert_eq!(&got, reasons, "{claim}\n{shown}");
    }
    if let Some(warning) = &scenario.expect.warning {
        assert!(judgement.warnings.iter().any(|w| w.contains(warning)), "{claim}\n{shown}");
    }
    if let Some(most) = scenario.expect.extends_at_most {
        let remedies = judgement.recommendation.remedies.iter().chain(judgement.metrics.iter().flat_map(|m| &m.remedies));
        let longer = |r: &Remedy| matches!(r, Remedy::Extend { minutes, .. } if *minutes > most);
        assert!(!remedies.into_iter().any(longer), "{claim}\n{shown}");
    }
    for (name, want) in &scenario.expect.metrics {
        let got = judgement.metrics.iter().find(|m| m.name == *name).unwrap_or_else(|| panic!("{claim}: no metric {name}"));
        one_of(&word(got.status), want.status.as_ref(), &want.status_in, &format!("{claim}: {name}"), &shown);
        if let Some(reason) = &want.reason {
            assert_eq!(&word(got.reason), reason, "{claim}: {name}\n{shown}");
        }
        for reason in &want.finds {
            assert!(got.findings.iter().any(|found| &word(found.reason) == reason), "{claim}: {name}\n{shown}");
        }
        if let Some(mode) = &want.mode {
            assert_eq!(&word(got.mode), mode, "{claim}: {name}\n{shown}");
        }
        if let Some(guards) = &want.guards {
            let seen: Vec<String> = got.guards.iter().map(|g| word(g.guard)).collect();
            assert_eq!(&seen, guards, "{claim}: {name}\n{shown}");
        }
        if let Some(remedies) = &want.remedies {
            let seen: Vec<String> =
                got.remedies.iter().map(|r| serde_json::to_value(r).unwrap()["kind"].as_str().unwrap().to_owned()).collect();
            assert_eq!(&seen, remedies, "{claim}: {name}\n{shown}");
        }
        if let Some(requests) = want.requests {
            let sent = got.remedies.iter().find_map(|r| if let Remedy::SendRequests { requests, .. } = r { Some(*requests) } else { None });
            assert_eq!(sent, Some(requests), "{claim}: {name}\n{shown}");
        }
        if let Some(says) = &want.says {
            assert!(got.sentence.contains(says), "{claim}: {name}\n{shown}");
        }
        if let Some(says) = &want.says_not {
            assert!(!got.sentence.contains(says), "{claim}: {name} says `{says}`\n{shown}");
        }
    }
}

#[test]
fn every_scenario_holds() {
    let (mut scenarios, mut broken) = (0, Vec::new());
    let wanted = std::env::var("HALDANE_SCENARIO").unwrap_or_default();
    for (file, read) in files() {
        let read: Vec<Scenario> = read.into_iter().filter(|scenario| scenario.claim.contains(&wanted)).collect();
        scenarios += read.len();
        // All that break, so that one run shows them.
        for scenario in &read {
            if let Err(error) = std::panic::catch_unwind(|| check(scenario)) {
                let words = error.downcast_ref::<String>().cloned();
                broken.push(format!("{file}: {}", words.unwrap_or_else(|| scenario.claim.clone())));
            }
        }
    }
    let first: Vec<&str> = broken.iter().map(|words| words.lines().next().unwrap_or_default()).collect();
    assert!(broken.is_empty(), "{} of {scenarios} scenarios:\n  {}", broken.len(), first.join("\n  "));
    assert!(scenarios >= if wanted.is_empty() { 30 } else { 1 }, "{scenarios} scenarios");
}
