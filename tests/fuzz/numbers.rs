//! The judges on any numbers: points, counts, buckets and instances of any size, sign and kind.

use haldane_judges::buckets::Buckets;
use haldane_judges::config::CanaryConfig;
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Instance, Observation, Points, Spacing};
use haldane_judges::{JudgeName, judge};
use serde_json::json;

use super::engine::run;

/// What one byte stands for.
const NUMBERS: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    10.0,
    99.0,
    100.0,
    101.0,
    1e-9,
    1e9,
    1e15,
    1e150,
    -1e150,
    1e308,
    -1e308,
    5e-324,
    f64::MIN_POSITIVE,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    4_294_967_296.0,
];

/// Numbers out of bytes: one that is small stands for a number of the list, another for eight bytes of a number or a whole number.
fn numbers(mut bytes: &[u8]) -> Vec<f64> {
    let mut numbers = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        numbers.push(match (usize::from(*first), rest.split_first_chunk()) {
            (listed, _) if listed < NUMBERS.len() => NUMBERS[listed],
            (any, Some((eight, rest))) if any >= 250 => {
                bytes = rest;
                f64::from_bits(u64::from_be_bytes(*eight))
            }
            (whole, _) => (whole * 7 % 113) as f64,
        });
    }
    numbers
}

fn arm(kind: u8, numbers: &[f64]) -> ArmPoints {
    let half = numbers.len() / 2;
    let points = match kind % 4 {
        0 => return ArmPoints::values(numbers.to_vec()),
        1 => return ArmPoints::counts(numbers[..half].to_vec(), numbers[half..half * 2].to_vec()),
        2 => {
            let instance = |(i, values): (usize, &[f64])| Instance { name: i.to_string(), values: values.to_vec() };
            let even = &numbers[..half * 2];
            return ArmPoints::from_instances(even.chunks_exact(half.max(1)).enumerate().map(instance).collect());
        }
        _ => {
            let rows: Vec<Option<Vec<f64>>> = numbers.chunks_exact(4).map(|row| Some(row.to_vec())).collect();
            match Buckets::from_rows(vec![0.1, 1.0, 10.0], &rows, Spacing::Linear) {
                Ok(buckets) => Points::Buckets(buckets),
                Err(_) => Points::Values(numbers.to_vec()),
            }
        }
    };
    ArmPoints::of(points)
}

#[test]
fn every_judge_answers_on_any_numbers() {
    let metric = |kind: u8| match kind % 4 {
        1 => json!({ "name": "m", "kind": "ratio", "direction": "increase", "critical": true }),
        3 => json!({ "name": "m", "kind": "distribution", "direction": "increase" }),
        _ => json!({ "name": "m", "direction": "either", "limits": { "max": 1000.0 } }),
    };
    run("numbers", &[], |bytes| {
        let Some(([kind, warmup, history], rest)) = bytes.split_first_chunk().map(|(head, rest)| (*head, rest)) else { return };
        let numbers = numbers(&rest[..rest.len().min(400)]);
        let (baseline, canary) = numbers.split_at(numbers.len() / 2);
        let past = |arm: ArmPoints| {
            let points = (history % 2 == 1).then(|| arm.points.clone());
            arm.with_history(points)
        };
        for name in JudgeName::ALL {
            let document =
                json!({ "name": "c", "judge": name.as_str(), "min_observation": "0s", "warmup": warmup % 4, "metrics": [metric(kind)] });
            let config = serde_json::from_value::<CanaryConfig>(document).expect("a config").check().expect("one that can be judged");
            let observed = Observation::Sampled { baseline: past(arm(kind, baseline)), canary: past(arm(kind, canary)) };
            let evidence = Evidence {
                observations: vec![observed],
                step_seconds: 60.0,
                observed_seconds: 3600.0,
                comparison: Comparison::Concurrent,
                ..Evidence::default()
            };
            let judgement = judge(name, &config, &evidence);
            assert_eq!(judgement.metrics.len(), 1);
            serde_json::to_vec(&judgement).expect("a judgement is plain data");
        }
    });
}
