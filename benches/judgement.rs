//! What judging one metric costs, beside sorting both of its arms, at n = 60, 240, 1,440 and 10,080 points an arm.
//!
//! `cargo bench -p haldane-judges`; `make bench` prints the ratios that the README quotes.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Observation};
use haldane_judges::stats::Sample;
use haldane_judges::stats::differences::hodges_lehmann;
use haldane_judges::stats::mann_whitney::mann_whitney;
use haldane_judges::stats::paired::paired_rank_test;
use haldane_judges::{JudgeName, judge};
use serde_json::json;

/// Latencies with autocorrelation and a heavy tail, from a generator small enough to need no crate.
fn series(n: usize, mut state: u64, level: f64) -> Vec<f64> {
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 / (1u64 << 53) as f64).max(1e-12)
    };
    let mut drift = 0.0;
    (0..n)
        .map(|_| {
            drift = 0.5 * drift + (unit() - 0.5);
            // Three decimals, as stores report, so that long series have ties.
            (level * (1.0 + 0.05 * drift + 0.01 / unit().sqrt()) * 1000.0).round() / 1000.0
        })
        .collect()
}

fn config(metric: serde_json::Value) -> Option<CheckedConfig> {
    let document = json!({ "name": "bench", "metrics": [metric] });
    serde_json::from_value::<CanaryConfig>(document).ok()?.check().ok()
}

fn evidence(baseline: ArmPoints, canary: ArmPoints) -> Evidence {
    Evidence {
        observations: vec![Observation::Sampled { baseline, canary }],
        step_seconds: 60.0,
        observed_seconds: 3600.0,
        comparison: Comparison::Concurrent,
        canary_share: None,
        ..Evidence::default()
    }
}

fn benchmarks(criterion: &mut Criterion) {
    let Some(value) = config(json!({ "name": "latency", "direction": "increase" })) else { return };
    let Some(ratio) = config(json!({ "name": "errors", "kind": "ratio", "direction": "increase" })) else { return };
    let mut group = criterion.benchmark_group("metric");
    for n in [60, 240, 1440, 10_080] {
        let (baseline, canary) = (series(n, 1, 120.0), series(n, 2, 126.0));
        group.bench_with_input(BenchmarkId::new("sort_both_arms", n), &n, |bencher, _| {
            bencher.iter(|| {
                let (mut b, mut c) = (baseline.clone(), canary.clone());
                b.sort_unstable_by(f64::total_cmp);
                c.sort_unstable_by(f64::total_cmp);
                black_box((b, c))
            });
        });
        let samples = (Sample::of_present(&baseline), Sample::of_present(&canary));
        if let (Ok(b), Ok(c)) = samples {
            group.bench_with_input(BenchmarkId::new("mann_whitney", n), &n, |bencher, _| bencher.iter(|| black_box(mann_whitney(&c, &b))));
            group.bench_with_input(BenchmarkId::new("hodges_lehmann", n), &n, |bencher, _| {
                bencher.iter(|| black_box(hodges_lehmann(&c, &b)))
            });
        }
        group.bench_with_input(BenchmarkId::new("paired_rank_test", n), &n, |bencher, _| {
            bencher.iter(|| black_box(paired_rank_test(&canary, &baseline)));
        });
        let values = evidence(ArmPoints::values(baseline), ArmPoints::values(canary));
        group.bench_with_input(BenchmarkId::new("judge_value", n), &n, |bencher, _| {
            bencher.iter(|| black_box(judge(JudgeName::HaldaneV1, &value, black_box(&values))));
        });
        group.bench_with_input(BenchmarkId::new("judge_value_aca", n), &n, |bencher, _| {
            bencher.iter(|| black_box(judge(JudgeName::NetflixAca, &value, black_box(&values))));
        });
        let totals = vec![200.0; n];
        let events = |seed| series(n, seed, 1.0).into_iter().map(|v| if v > 1.04 { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
        let counts = evidence(ArmPoints::counts(events(3), totals.clone()), ArmPoints::counts(events(4), totals));
        group.bench_with_input(BenchmarkId::new("judge_ratio", n), &n, |bencher, _| {
            bencher.iter(|| black_box(judge(JudgeName::HaldaneV1, &ratio, black_box(&counts))));
        });
    }
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
