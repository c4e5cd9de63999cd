//! What judging one metric costs, beside sorting both of its arms, at n = 60, 240, 1,440 and 10,080 points an arm; and a canary of 50.
//!
//! `make bench` runs it and prints the table; docs/BENCHMARKS.md says what each row is.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Buckets, Comparison, Evidence, InvalidBuckets, Observation, Points, Spacing};
use haldane_judges::stats::Sample;
use haldane_judges::stats::differences::hodges_lehmann;
use haldane_judges::stats::mann_whitney::mann_whitney;
use haldane_judges::stats::paired::paired_rank_test;
use haldane_judges::{JudgeName, judge};
use serde_json::{Value, json};

use data::series;

#[path = "support/data.rs"]
mod data;

/// Points an arm.
const POINTS: [usize; 4] = [60, 240, 1440, 10_080];
/// Lengths of the window that lie before it, where there is a past.
const PAST: usize = 20;
/// Points of one arm of all data sets of a benchmark together. A processor learns the branches of a sort that it sees again and again, so
/// that a benchmark of one data set measures what no service sees.
const POINTS_OF_ALL_SETS: usize = 400_000;

/// A kind of metric: its config, and how an arm of it looks.
struct Subject {
    name: &'static str,
    metric: Value,
    /// So many intervals from a seed, of a baseline (false) or a canary.
    points: fn(usize, u64, bool) -> Option<Points>,
}

fn subjects() -> [Subject; 5] {
    [
        Subject { name: "value", metric: json!({ "name": "latency", "direction": "increase" }), points: values },
        Subject { name: "ratio", metric: json!({ "name": "errors", "kind": "ratio", "direction": "increase" }), points: counts },
        Subject {
            name: "ratio_without_counts",
            metric: json!({ "name": "errors", "kind": "ratio", "direction": "increase" }),
            points: rates,
        },
        Subject {
            name: "distribution",
            metric: json!({ "name": "latency", "kind": "distribution", "unit": "ms", "direction": "increase" }),
            points: distribution,
        },
        Subject { name: "events", metric: json!({ "name": "panics", "kind": "events", "direction": "increase" }), points: events },
    ]
}

fn values(n: usize, seed: u64, canary: bool) -> Option<Points> {
    Some(Points::Values(series(n, seed, if canary { 126.0 } else { 120.0 })))
}

/// A failed request in some 3 % of the intervals.
fn failures(n: usize, seed: u64) -> Vec<f64> {
    series(n, seed, 1.0).into_iter().map(|v| if v > 1.07 { 1.0 } else { 0.0 }).collect()
}

fn counts(n: usize, seed: u64, _: bool) -> Option<Points> {
    Some(Points::Counts { events: failures(n, seed), totals: vec![200.0; n] })
}

fn rates(n: usize, seed: u64, _: bool) -> Option<Points> {
    Some(Points::Values(failures(n, seed).into_iter().map(|failed| failed / 200.0).collect()))
}

fn events(n: usize, seed: u64, _: bool) -> Option<Points> {
    Some(Points::Values(failures(n, seed)))
}

/// Twenty bounds, each by half above the one before.
fn bounds() -> Vec<f64> {
    (0..20).map(|j| 5.0 * 1.5f64.powi(j)).collect()
}

/// Some 500 requests an interval, of exponential latencies.
fn histogram(n: usize, seed: u64, canary: bool) -> Vec<Option<Vec<f64>>> {
    let bounds = bounds();
    let level = if canary { 126.0 } else { 120.0 };
    let below = |bound: &f64| 1.0 - (-bound / level).exp();
    let edges = std::iter::once(0.0).chain(bounds.iter().map(below)).chain([1.0]).collect::<Vec<f64>>();
    let scatter = series(n * (bounds.len() + 1), seed, 1.0);
    let row = |scatter: &[f64]| edges.windows(2).zip(scatter).map(|(pair, v)| (500.0 * (pair[1] - pair[0]) * v).round()).collect();
    scatter.chunks(bounds.len() + 1).map(row).map(Some).collect()
}

fn distribution(n: usize, seed: u64, canary: bool) -> Option<Points> {
    let buckets: Result<Buckets, InvalidBuckets> = Buckets::from_rows(bounds(), &histogram(n, seed, canary), Spacing::Linear);
    buckets.ok().map(Points::Buckets)
}

fn config(metrics: Vec<Value>) -> Option<CheckedConfig> {
    serde_json::from_value::<CanaryConfig>(json!({ "name": "bench", "metrics": metrics })).ok()?.check().ok()
}

/// One metric of a canary from a seed, without or with a past.
fn observation(subject: &Subject, n: usize, seed: u64, past: bool) -> Option<Observation> {
    let arm = |canary: bool| {
        let seed = 4 * seed + 2 * u64::from(canary);
        // What ran before the release was the same in both arms.
        let history = if past { Some((subject.points)(PAST * n, seed + 1, false)?) } else { None };
        Some(ArmPoints::of((subject.points)(n, seed, canary)?).with_history(history))
    };
    Some(Observation::Sampled { baseline: arm(false)?, canary: arm(true)? })
}

fn evidence(observations: Vec<Observation>, n: usize) -> Evidence {
    Evidence { observations, observed_seconds: 60.0 * n as f64, comparison: Comparison::Concurrent, ..Evidence::default() }
}

/// Goes round and round through data sets.
fn in_turn<T, R>(sets: &[T], work: impl Fn(&T) -> R) -> impl FnMut() -> R {
    let mut next = 0;
    move || {
        next = if next + 1 < sets.len() { next + 1 } else { 0 };
        work(&sets[next])
    }
}

/// How many data sets of so many points an arm are judged in turn.
fn sets(points: usize) -> u64 {
    (POINTS_OF_ALL_SETS / points).clamp(2, 1000) as u64
}

fn one<T, R>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, n: usize, sets: &[T], work: impl Fn(&T) -> R) {
    if sets.is_empty() {
        return;
    }
    let slow = n >= 1440 && name.ends_with("_past");
    // What takes a large part of a second is measured a few times, and no more often in one sample than in another.
    let (samples, mode) = if slow { (10, SamplingMode::Flat) } else { (30, SamplingMode::Auto) };
    group.sample_size(samples).sampling_mode(mode);
    group.bench_with_input(BenchmarkId::new(name, n), &n, |bencher, _| {
        let mut work = in_turn(sets, &work);
        bencher.iter(|| black_box(work()));
    });
}

fn of_a_metric(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metric");
    for n in POINTS {
        let arms: Vec<(Vec<f64>, Vec<f64>)> =
            (0..sets(n)).map(|seed| (series(n, 4 * seed, 120.0), series(n, 4 * seed + 2, 126.0))).collect();
        one(&mut group, "copy_both_arms", n, &arms, |arms| arms.clone());
        one(&mut group, "sort_both_arms", n, &arms, |(baseline, canary)| {
            let (mut b, mut c) = (baseline.clone(), canary.clone());
            b.sort_unstable_by(f64::total_cmp);
            c.sort_unstable_by(f64::total_cmp);
            (b, c)
        });
        let samples: Vec<(Sample, Sample)> =
            arms.iter().filter_map(|(b, c)| Some((Sample::of_present(b).ok()?, Sample::of_present(c).ok()?))).collect();
        one(&mut group, "mann_whitney", n, &samples, |(b, c)| mann_whitney(c, b));
        one(&mut group, "hodges_lehmann", n, &samples, |(b, c)| hodges_lehmann(c, b));
        one(&mut group, "paired_rank_test", n, &arms, |(b, c)| paired_rank_test(c, b));
        drop((arms, samples));
        for subject in subjects() {
            let Some(config) = config(vec![subject.metric.clone()]) else { continue };
            let width = if subject.name == "distribution" { bounds().len() + 1 } else { 1 };
            for past in [false, true] {
                let points = n * width * if past { 1 + PAST } else { 1 };
                let sets: Vec<Evidence> =
                    (0..sets(points)).filter_map(|seed| Some(evidence(vec![observation(&subject, n, seed, past)?], n))).collect();
                let name = format!("judge_{}{}", subject.name, if past { "_past" } else { "" });
                one(&mut group, &name, n, &sets, |evidence| judge(JudgeName::HaldaneV1, &config, evidence));
                if subject.name == "value" && !past {
                    one(&mut group, "judge_value_aca", n, &sets, |evidence| judge(JudgeName::NetflixAca, &config, evidence));
                }
            }
        }
    }
    group.finish();
}

/// A canary of 50 metrics: 20 values, 20 ratios, 5 distributions, 5 of events.
fn of_a_canary(criterion: &mut Criterion) {
    let subjects = subjects();
    let place = |i: usize| match i {
        0..20 => 0,
        20..40 => 1,
        40..45 => 3,
        _ => 4,
    };
    let named = |i: usize| {
        let mut metric = subjects[place(i)].metric.clone();
        metric["name"] = json!(format!("metric-{i}"));
        metric
    };
    let Some(config) = config((0..50).map(named).collect()) else { return };
    let mut group = criterion.benchmark_group("canary");
    for n in [60, 1440] {
        for past in [false, true] {
            let of_seed =
                |seed: u64| (0..50).map(|i| observation(&subjects[place(i)], n, 50 * seed + i as u64, past)).collect::<Option<_>>();
            let sets: Vec<Evidence> = (0..sets(50 * n)).filter_map(|seed| Some(evidence(of_seed(seed)?, n))).collect();
            let name = if past { "judge_50_metrics_past" } else { "judge_50_metrics" };
            one(&mut group, name, n, &sets, |evidence| judge(JudgeName::HaldaneV1, &config, evidence));
        }
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(2000)).without_plots()
}

criterion_group! { name = benches; config = short(); targets = of_a_metric, of_a_canary }
criterion_main!(benches);
