//! Latencies on simulated traffic: how often a healthy distribution is flagged, and how often a worse one is found, by its requests and,
//! beside that, by a percentile a minute.
//!
//! No test of the suite: `make simulate` runs it and prints the tables of `fixtures/simulation/README.md`.

use haldane_judges::config::CheckedConfig;
use haldane_judges::evidence::{ArmPoints, Buckets, Evidence, Observation, Spacing};
use haldane_judges::scorecard::Status;
use haldane_judges::{JudgeName, judge};
use rand::RngExt;
use serde_json::{Value, json};

use crate::random::{Draw, Latency, gravity, layout, requests};
use crate::simulation::{Goals, Shares, header, on_all_cores, row, runs};

/// What the release does to the canary's latency.
const FAULTS: [&str; 12] =
    ["healthy", "x1.05", "x1.1", "x1.25", "x1.5", "x2", "tail 1>2 %", "tail 1>4 %", "5 % +300 ms", "1 of 8 x2", "cold start", "30 % x3"];
const PER_INTERVAL: [f64; 5] = [3.0, 10.0, 50.0, 500.0, 5_000.0];
const LENGTHS: [usize; 4] = [5, 15, 30, 60];
const LAYOUTS: [&str; 3] = ["otel", "prometheus", "native"];
/// Intervals of a cold start, in which everything takes three times as long.
const COLD: usize = 3;
/// Standard deviation and lag-1 autocorrelation of the median's logarithm: what both arms share, and each arm's own.
const SHARED: (f64, f64) = (0.06, 0.7);
const OWN: (f64, f64) = (0.04, 0.5);

fn with(fault: &str, at: usize) -> Latency {
    let usual = Latency::USUAL;
    match fault {
        "healthy" => usual,
        "tail 1>2 %" => Latency { slow: 0.02, ..usual },
        "tail 1>4 %" => Latency { slow: 0.04, ..usual },
        "5 % +300 ms" => Latency { bump: 0.05, ..usual },
        "1 of 8 x2" => Latency { part: (0.125, 2.0), ..usual },
        "30 % x3" => Latency { part: (0.3, 3.0), ..usual },
        "cold start" => usual.times(if at < COLD { 3.0 } else { 1.0 }),
        factor => usual.times(factor[1..].parse().unwrap()),
    }
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    layout: &'static str,
    n: usize,
    per_interval: f64,
    fault: &'static str,
    /// As the config states it.
    tolerance: Option<f64>,
}

/// What the requests say, and what the percentiles of each minute say as values: the gravest of three.
#[derive(Debug, Clone, Copy)]
struct Found {
    by_requests: Status,
    by_percentiles: Status,
}

fn config(cell: &Cell, kind: &str, names: &[&str]) -> CheckedConfig {
    let metric = |name: &&str| {
        let mut metric = json!({ "name": name, "kind": kind, "unit": "ms", "direction": "increase", "tolerance": { "absolute": 5 } });
        if let Some(relative) = cell.tolerance {
            metric["tolerance"]["relative"] = json!(relative);
        }
        metric
    };
    let metrics: Vec<Value> = names.iter().map(metric).collect();
    CheckedConfig::from_value(json!({ "name": "c", "min_observation": "0s", "metrics": metrics })).unwrap()
}

fn judged(config: &CheckedConfig, arms: Vec<(ArmPoints, ArmPoints)>, n: usize) -> Status {
    let observations = arms.into_iter().map(|(baseline, canary)| Observation::Sampled { baseline, canary }).collect();
    let evidence = Evidence { observations, observed_seconds: 60.0 * n as f64, ..Evidence::default() };
    let metrics = judge(JudgeName::HaldaneV1, config, &evidence).metrics;
    metrics.iter().map(|metric| metric.status).max_by_key(|status| gravity(*status)).unwrap()
}

/// Judges one simulated canary.
fn found(cell: &Cell, draw: &mut Draw, values_too: bool) -> Found {
    let (bounds, spacing) = layout(cell.layout);
    let shared = draw.dependent(cell.n, SHARED.1);
    let mut arm = |fault: &str| {
        let own = draw.dependent(cell.n, OWN.1);
        let mut buckets = Buckets::empty(bounds.clone(), cell.n, spacing).unwrap();
        for t in 0..cell.n {
            let drift = (SHARED.0 * shared[t] + OWN.0 * own[t]).exp();
            buckets.set(t, &requests(draw, &bounds, cell.per_interval, &with(fault, t).times(drift)));
        }
        buckets
    };
    let (baseline, canary) = (arm("healthy"), arm(cell.fault));
    // As `histogram_quantile` gives them, each minute.
    let percentiles = || {
        let of = |buckets: &Buckets, tau: f64| {
            ArmPoints::values(buckets.quantiles(tau)).with_bounds(if spacing == Spacing::Linear { bounds.clone() } else { Vec::new() })
        };
        let arms = [0.5, 0.95, 0.99].map(|tau| (of(&baseline, tau), of(&canary, tau)));
        judged(&config(cell, "value", &["p50", "p95", "p99"]), arms.to_vec(), cell.n)
    };
    let by_percentiles = if values_too { percentiles() } else { Status::Inconclusive };
    let by_requests =
        judged(&config(cell, "distribution", &["latency"]), vec![(ArmPoints::buckets(baseline), ArmPoints::buckets(canary))], cell.n);
    Found { by_requests, by_percentiles }
}

fn shares(cell: &Cell, runs: usize, draw: &mut Draw, values_too: bool) -> (Shares, Shares) {
    let found: Vec<Found> = (0..runs).map(|_| found(cell, draw, values_too)).collect();
    let of = |which: fn(&Found) -> Status| Shares::of(&found.iter().map(which).collect::<Vec<_>>());
    (of(|found| found.by_requests), of(|found| found.by_percentiles))
}

fn columns() -> Vec<String> {
    std::iter::once("fault".to_owned()).chain(PER_INTERVAL.map(|rate| format!("{rate}/min"))).collect()
}

fn table(title: &str, cells: &[Cell], found: &[(Shares, Shares)], which: fn(&(Shares, Shares)) -> Shares) {
    header(title, &columns());
    for (cells, found) in cells.chunks(PER_INTERVAL.len()).zip(found.chunks(PER_INTERVAL.len())) {
        let entries = found.iter().map(|found| which(found).words());
        row(&std::iter::once(cells[0].fault.to_owned()).chain(entries).collect::<Vec<_>>());
    }
}

fn cells_of(layout: &'static str, n: usize, tolerance: Option<f64>) -> Vec<Cell> {
    let of_fault = |fault| PER_INTERVAL.map(|per_interval| Cell { layout, n, per_interval, fault, tolerance });
    FAULTS.into_iter().flat_map(of_fault).collect()
}

#[test]
#[ignore = "minutes long: make simulate"]
fn distributions_are_found_by_their_requests() {
    let runs = runs().div_ceil(20);
    let mut goals = Goals::default();
    for (series, tolerance) in [(20, None), (40, Some(0.1))] {
        for (i, layout) in LAYOUTS.into_iter().enumerate() {
            for (k, n) in LENGTHS.into_iter().enumerate() {
                // A tolerance of 10 % is shown for one layout.
                if tolerance.is_some() && i > 0 {
                    continue;
                }
                let cells = cells_of(layout, n, tolerance);
                let values_too = layout == "otel";
                let found = on_all_cores(&cells, series + (4 * i + k) as u32, |cell, rng| {
                    shares(cell, runs, &mut Draw::new(rng.random()), values_too)
                });
                let stated = tolerance.map_or("tolerance 25 %".to_owned(), |of| format!("tolerance {} %", 100.0 * of));
                let title = format!(
                    "Latency, {layout} bounds, n = {n}, {stated}; % regressed/suspect/pass, the rest inconclusive ({runs} runs a cell)"
                );
                table(&title, &cells, &found, |found| found.0);
                if values_too {
                    table(&format!("The same canaries by p50, p95 and p99 of each minute, n = {n}, {stated}"), &cells, &found, |found| {
                        found.1
                    });
                }
                for (cell, (by_requests, _)) in cells.iter().zip(&found) {
                    let what = format!("{layout}, n = {n}, {} a minute, {stated}: {} regressed", cell.per_interval, cell.fault);
                    match (cell.fault, cell.per_interval, tolerance) {
                        ("x1.5", 10.0, None) if n == 30 => goals.at_least(what, by_requests.regressed, 0.95, runs),
                        ("x1.25", 50.0, Some(_)) if n == 30 => goals.at_least(what, by_requests.regressed, 0.98, runs),
                        _ => {}
                    }
                }
            }
        }
    }
    goals.close("Goals: distributions found");
}

#[test]
#[ignore = "minutes long: make simulate"]
fn healthy_distributions_are_seldom_regressed() {
    let runs = runs().div_ceil(2);
    let of_length = |layout, n| PER_INTERVAL.map(|per_interval| Cell { layout, n, per_interval, fault: "healthy", tolerance: None });
    let cells: Vec<Cell> = LAYOUTS.into_iter().flat_map(|layout| LENGTHS.into_iter().flat_map(move |n| of_length(layout, n))).collect();
    let found = on_all_cores(&cells, 60, |cell, rng| shares(cell, runs, &mut Draw::new(rng.random()), false).0);
    let named: Vec<String> = ["bounds", "n"].map(str::to_owned).into_iter().chain(PER_INTERVAL.map(|rate| format!("{rate}/min"))).collect();
    header(&format!("Healthy latency; % regressed/suspect/pass ({runs} runs a cell)"), &named);
    let mut goals = Goals::default();
    for (cells, found) in cells.chunks(PER_INTERVAL.len()).zip(found.chunks(PER_INTERVAL.len())) {
        let words =
            |shares: &Shares| [shares.regressed, shares.suspect, shares.pass].map(|share| format!("{:.1}", 100.0 * share)).join("/");
        let of = [cells[0].layout.to_owned(), cells[0].n.to_string()];
        row(&of.into_iter().chain(found.iter().map(words)).collect::<Vec<_>>());
        for (cell, shares) in cells.iter().zip(found) {
            let what = format!("{}, n = {}, {} a minute: healthy regressed", cell.layout, cell.n, cell.per_interval);
            goals.at_most(what, shares.regressed, 0.01, runs);
        }
    }
    goals.close("Goals: healthy distributions regressed");
}
