//! What judging one metric costs, beside sorting both of its arms, at n = 60, 240, 1,440 and 10,080 points an arm.
//!
//! `cargo bench -p haldane-judges`; `make bench` prints the ratios that the README quotes.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Buckets, Comparison, Evidence, Observation, Spacing};
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

/// Twenty bounds, each by half above the one before.
fn bounds() -> Vec<f64> {
    (0..20).map(|j| 5.0 * 1.5f64.powi(j)).collect()
}

/// Some 500 requests an interval, of exponential latencies.
fn histogram(n: usize, seed: u64, level: f64) -> Vec<Vec<f64>> {
    let bounds = bounds();
    let scatter = series(n * (bounds.len() + 1), seed, 1.0);
    let row = |i: usize| {
        let below = |bound: f64| 1.0 - (-bound / level).exp();
        let edges = std::iter::once(0.0).chain(bounds.iter().map(|bound| below(*bound))).chain([1.0]).collect::<Vec<f64>>();
        edges.windows(2).enumerate().map(|(j, pair)| (500.0 * (pair[1] - pair[0]) * scatter[i * (bounds.len() + 1) + j]).round()).collect()
    };
    (0..n).map(row).collect()
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
    let Some(distribution) = config(json!({ "name": "latency", "kind": "distribution", "unit": "ms", "direction": "increase" })) else {
        return;
    };
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
        let rows = |seed: u64, level: f64| -> Vec<Vec<f64>> { histogram(n, seed, level) };
        let (slow, fast) = (rows(5, 126.0), rows(6, 120.0));
        let buckets = |rows: &[Vec<f64>]| {
            let rows: Vec<Option<Vec<f64>>> = rows.iter().cloned().map(Some).collect();
            Buckets::from_rows(bounds(), &rows, Spacing::Linear).map(ArmPoints::buckets)
        };
        if let (Ok(baseline), Ok(canary)) = (buckets(&fast), buckets(&slow)) {
            let histograms = evidence(baseline, canary);
            // What reading all buckets once costs.
            group.bench_with_input(BenchmarkId::new("sum_buckets", n), &n, |bencher, _| {
                bencher.iter(|| black_box([&fast, &slow].map(|rows| rows.iter().flatten().sum::<f64>())));
            });
            group.bench_with_input(BenchmarkId::new("judge_distribution", n), &n, |bencher, _| {
                bencher.iter(|| black_box(judge(JudgeName::HaldaneV1, &distribution, black_box(&histograms))));
            });
        }
        group.bench_with_input(BenchmarkId::new("judge_ratio", n), &n, |bencher, _| {
            bencher.iter(|| black_box(judge(JudgeName::HaldaneV1, &ratio, black_box(&counts))));
        });
    }
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
