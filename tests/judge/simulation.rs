//! Ratios with counts on simulated traffic: how often a healthy one is flagged, and how often a worse one is found.
//!
//! No test of the suite: thousands of judgements a cell. `make simulate` runs it and prints the tables of
//! `fixtures/simulation/README.md`.

use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Looks, Observation, Points};
use haldane_judges::scorecard::{MetricResult, Status};
use haldane_judges::{JudgeName, judge};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use serde_json::json;

/// How errors occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errors {
    /// Each request fails on its own.
    Independent,
    /// The rate rises and falls, in both arms alike.
    SharedBursts,
    /// The rate of each arm rises and falls on its own.
    OwnBursts,
}

/// What the release does to the canary's rate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    Nothing,
    Plus(f64),
    Times(f64),
}

impl Effect {
    fn on(self, rate: f64) -> f64 {
        match self {
            Self::Nothing => rate,
            Self::Plus(points) => rate + points,
            Self::Times(factor) => rate * factor,
        }
    }
}

/// Events and totals, interval by interval.
type Counts = (Vec<f64>, Vec<f64>);

/// One simulated situation. Requests are those expected over the window.
#[derive(Debug, Clone, Copy)]
struct Cell {
    rate: f64,
    canary: f64,
    baseline: f64,
    intervals: usize,
    errors: Errors,
    effect: Effect,
}

/// Autocorrelation and standard deviation of the logarithm of a bursty rate.
const RHO: f64 = 0.8;
const SD: f64 = 1.0;

const RATES: [f64; 4] = [0.001, 0.003, 0.01, 0.03];
/// Requests of canary and baseline.
const TRAFFIC: [(f64, f64); 7] =
    [(60.0, 60.0), (200.0, 200.0), (500.0, 500.0), (2_000.0, 2_000.0), (20_000.0, 20_000.0), (500.0, 9_500.0), (1_000.0, 19_000.0)];

/// Factors of mean 1 by which a rate rises and falls: the exponential of a first-order autoregression.
fn bursts(n: usize, rng: &mut StdRng) -> Vec<f64> {
    let normal = |rng: &mut StdRng| -> f64 { StandardNormal.sample(rng) };
    let mut z = SD * normal(rng);
    (0..n)
        .map(|_| {
            let factor = (z - SD * SD / 2.0).exp();
            z = RHO * z + SD * (1.0 - RHO * RHO).sqrt() * normal(rng);
            factor
        })
        .collect()
}

/// Events and totals of one arm whose rate in each interval is `rate` times a factor.
fn arm(rate: f64, requests: f64, factors: &[f64], rng: &mut StdRng) -> Counts {
    let each = Poisson::new(requests / factors.len() as f64).unwrap();
    factors
        .iter()
        .map(|factor| {
            let total: f64 = each.sample(rng);
            let events = Binomial::new(total as u64, (rate * factor).min(1.0)).unwrap().sample(rng);
            (events as f64, total)
        })
        .unzip()
}

/// Events and totals of the baseline and of the canary.
fn arms(cell: &Cell, rng: &mut StdRng) -> [Counts; 2] {
    let steady = vec![1.0; cell.intervals];
    let (for_baseline, for_canary) = match cell.errors {
        Errors::Independent => (steady.clone(), steady),
        Errors::SharedBursts => {
            let shared = bursts(cell.intervals, rng);
            (shared.clone(), shared)
        }
        Errors::OwnBursts => (bursts(cell.intervals, rng), bursts(cell.intervals, rng)),
    };
    [arm(cell.rate, cell.baseline, &for_baseline, rng), arm(cell.effect.on(cell.rate), cell.canary, &for_canary, rng)]
}

/// The ratio alone, or with so many other metrics that are judged too.
fn config(others: usize) -> CheckedConfig {
    let mut metrics = vec![json!({ "name": "ratio", "kind": "ratio", "direction": "increase" })];
    metrics.extend((0..others).map(|i| json!({ "name": format!("value-{i}"), "direction": "increase" })));
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": metrics });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

fn points((events, totals): &Counts) -> Points {
    Points::Counts { events: events.clone(), totals: totals.clone() }
}

fn first((events, totals): &Counts, intervals: usize) -> Counts {
    (events[..intervals].to_vec(), totals[..intervals].to_vec())
}

/// Judges (baseline, canary) with what lies before them.
fn judged(config: &CheckedConfig, arms: &[Counts; 2], before: Option<&[Counts; 2]>, looks: Option<Looks>) -> MetricResult {
    let arm = |i: usize| ArmPoints::counts(arms[i].0.clone(), arms[i].1.clone()).with_history(before.map(|before| points(&before[i])));
    let mut observations = vec![Observation::Sampled { baseline: arm(0), canary: arm(1) }];
    let n = arms[1].0.len();
    observations.extend(config.metrics.iter().skip(1).map(|_| {
        let series = |shift: usize| ArmPoints::values((0..n).map(|t| 100.0 + ((t * 7 + shift) % 11) as f64).collect());
        Observation::Sampled { baseline: series(0), canary: series(3) }
    }));
    let evidence = Evidence {
        observations,
        step_seconds: 60.0,
        observed_seconds: 60.0 * n as f64,
        comparison: Comparison::Concurrent,
        looks,
        ..Evidence::default()
    };
    judge(JudgeName::HaldaneV1, config, &evidence).metrics.remove(0)
}

/// Shares of the judgements of one cell: regressed, suspect, pass, all else.
type Shares = [f64; 4];

fn share_of(statuses: impl Iterator<Item = Status>) -> Shares {
    let (mut shares, mut n) = ([0.0; 4], 0.0);
    for status in statuses {
        let at = match status {
            Status::Regressed => 0,
            Status::Suspect => 1,
            Status::Pass => 2,
            _ => 3,
        };
        shares[at] += 1.0;
        n += 1.0;
    }
    shares.map(|count| count / n)
}

fn runs() -> usize {
    std::env::var("HALDANE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000)
}

/// Computes every cell on all cores, each from a seed of its own.
fn on_all_cores<T: Send>(cells: &[Cell], of: impl Fn(&Cell, &mut StdRng) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut indexed: Vec<(usize, T)> = std::thread::scope(|scope| {
        let of = &of;
        let work = |start: usize| {
            let each = cells.iter().enumerate().skip(start).step_by(threads);
            each.map(|(i, cell)| (i, of(cell, &mut StdRng::seed_from_u64(i as u64)))).collect::<Vec<_>>()
        };
        let handles: Vec<_> = (0..threads).map(|start| scope.spawn(move || work(start))).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    indexed.sort_by_key(|(i, _)| *i);
    indexed.into_iter().map(|(_, result)| result).collect()
}

const KINDS: [Errors; 3] = [Errors::Independent, Errors::SharedBursts, Errors::OwnBursts];
const LENGTHS: [usize; 2] = [20, 60];

/// A row of cells: every kind of errors at every length.
fn row(rate: f64, (canary, baseline): (f64, f64), effect: Effect) -> impl Iterator<Item = Cell> {
    let of = move |errors, intervals| Cell { rate, canary, baseline, intervals, errors, effect };
    KINDS.into_iter().flat_map(move |errors| LENGTHS.map(|intervals| of(errors, intervals)))
}

fn rows() -> Vec<(f64, (f64, f64))> {
    RATES.into_iter().flat_map(|rate| TRAFFIC.map(|traffic| (rate, traffic))).collect()
}

fn head() {
    println!("\n| rate | canary v baseline | independent n=20 | n=60 | shared bursts n=20 | n=60 | own bursts n=20 | n=60 |");
    println!("|---|---|---|---|---|---|---|---|");
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// Prints the share of healthy canaries' ratios that are regressed; the largest of each column comes back.
fn false_alarms(others: usize) -> [f64; 6] {
    let config = config(others);
    let rows = rows();
    let cells: Vec<Cell> = rows.iter().flat_map(|(rate, traffic)| row(*rate, *traffic, Effect::Nothing)).collect();
    let shares = on_all_cores(&cells, |cell, rng| share_of((0..runs()).map(|_| judged(&config, &arms(cell, rng), None, None).status)));
    println!("\n### Healthy, {} in the canary: % regressed ({} runs a cell)", metrics(others), runs());
    head();
    let mut largest = [0.0f64; 6];
    for ((rate, (canary, baseline)), shares) in rows.iter().zip(shares.chunks(6)) {
        let cells: Vec<String> = shares.iter().map(|shares| percent(shares[0])).collect();
        println!("| {} % | {canary} v {baseline} | {} |", 100.0 * rate, cells.join(" | "));
        largest.iter_mut().zip(shares).for_each(|(largest, shares)| *largest = largest.max(shares[0]));
    }
    println!("| **largest** | | {} |", largest.map(percent).join(" | "));
    largest
}

fn metrics(others: usize) -> String {
    if others == 0 { "no other metric".to_owned() } else { format!("{others} other metrics") }
}

#[test]
#[ignore = "minutes long: make simulate"]
fn healthy_ratios_are_seldom_regressed() {
    for others in [0, 4] {
        let [independent_20, independent_60, shared_20, shared_60, own_20, own_60] = false_alarms(others);
        for (share, goal) in
            [(independent_20, 0.02), (independent_60, 0.02), (shared_20, 0.035), (shared_60, 0.02), (own_20, 0.035), (own_60, 0.02)]
        {
            // Three standard errors of the simulation itself.
            assert!(share <= goal + 3.0 * (goal / runs() as f64).sqrt(), "{share} of the healthy are regressed, at most {goal} may be");
        }
    }
}

#[test]
#[ignore = "minutes long: make simulate"]
fn worse_ratios_are_found() {
    let config = config(0);
    let runs = runs() / 5;
    for (effect, name) in [(Effect::Plus(0.01), "+1 percentage point"), (Effect::Times(2.0), "x2"), (Effect::Times(3.0), "x3")] {
        let rows = rows();
        let cells: Vec<Cell> = rows.iter().flat_map(|(rate, traffic)| row(*rate, *traffic, effect)).collect();
        let shares = on_all_cores(&cells, |cell, rng| share_of((0..runs).map(|_| judged(&config, &arms(cell, rng), None, None).status)));
        println!("\n### {name}: % regressed / suspect / pass / inconclusive ({runs} runs a cell)");
        head();
        for ((rate, (canary, baseline)), shares) in rows.iter().zip(shares.chunks(6)) {
            let cells: Vec<String> = shares.iter().map(|s| s.map(|share| format!("{:.0}", 100.0 * share)).join("/")).collect();
            println!("| {} % | {canary} v {baseline} | {} |", 100.0 * rate, cells.join(" | "));
        }
        let plenty = cells.iter().zip(&shares).find(|(c, _)| c.rate == 0.001 && c.canary == 20_000.0).unwrap().1;
        assert!(plenty[0] > 0.9 || effect != Effect::Plus(0.01), "{name} on plenty of traffic is found in {} of all", plenty[0]);
    }
}

/// Both arms before the window and within it, the rates of each drifting on its own in the same way throughout.
fn with_past(cell: &Cell, rng: &mut StdRng) -> ([Counts; 2], [Counts; 2]) {
    const WINDOWS: usize = 20;
    let long = Cell { intervals: cell.intervals * (WINDOWS + 1), ..*cell };
    let scale = (WINDOWS + 1) as f64;
    let steady = vec![1.0; long.intervals];
    let (for_baseline, for_canary) = match cell.errors {
        Errors::Independent => (steady.clone(), steady),
        Errors::SharedBursts => {
            let shared = bursts(long.intervals, rng);
            (shared.clone(), shared)
        }
        Errors::OwnBursts => (bursts(long.intervals, rng), bursts(long.intervals, rng)),
    };
    let cut = cell.intervals * WINDOWS;
    let before = [arm(cell.rate, cell.baseline * scale, &for_baseline, rng), arm(cell.rate, cell.canary * scale, &for_canary, rng)];
    let now =
        [arm(cell.rate, cell.baseline, &for_baseline[cut..], rng), arm(cell.effect.on(cell.rate), cell.canary, &for_canary[cut..], rng)];
    (before.map(|counts| first(&counts, cut)), now)
}

#[test]
#[ignore = "minutes long: make simulate"]
fn history_adds_what_is_usual_and_blinds_nobody() {
    let runs = runs() / 5;
    for others in [0, 4] {
        let config = config(others);
        for (effect, name) in [(Effect::Nothing, "healthy"), (Effect::Plus(0.01), "+1 percentage point"), (Effect::Times(2.0), "x2")] {
            let rows = rows();
            let cells: Vec<Cell> = rows.iter().flat_map(|(rate, traffic)| row(*rate, *traffic, effect)).collect();
            let shares = on_all_cores(&cells, |cell, rng| {
                let (mut without, mut with) = (Vec::new(), Vec::new());
                for _ in 0..runs {
                    let (before, now) = with_past(cell, rng);
                    without.push(judged(&config, &now, None, None).status);
                    with.push(judged(&config, &now, Some(&before), None).status);
                }
                (share_of(without.into_iter()), share_of(with.into_iter()))
            });
            println!("\n### {name}, {}: % regressed without > with history of 20 windows ({runs} runs a cell)", metrics(others));
            head();
            for ((rate, (canary, baseline)), shares) in rows.iter().zip(shares.chunks(6)) {
                let cells: Vec<String> =
                    shares.iter().map(|(without, with)| format!("{} > {}", percent(without[0]), percent(with[0]))).collect();
                println!("| {} % | {canary} v {baseline} | {} |", 100.0 * rate, cells.join(" | "));
            }
            for column in 0..6 {
                let of = |with: bool| shares.iter().skip(column).step_by(6).map(move |s| if with { s.1[0] } else { s.0[0] });
                let (mean, most) = (of(true).sum::<f64>() / rows.len() as f64, of(true).fold(0.0, f64::max));
                println!(
                    "column {column}: without {} with {} largest {}",
                    percent(of(false).sum::<f64>() / rows.len() as f64),
                    percent(mean),
                    percent(most)
                );
                assert!(
                    effect != Effect::Nothing || most <= 0.035 + 3.0 * (0.035 / runs as f64).sqrt(),
                    "{most} of the healthy are regressed"
                );
            }
        }
    }
}

#[test]
#[ignore = "minutes long: make simulate"]
fn twelve_looks_raise_few_more_false_alarms_than_one() {
    const LOOKS: u32 = 12;
    let config = config(0);
    let runs = runs() / 2;
    for (effect, name) in [(Effect::Nothing, "healthy"), (Effect::Plus(0.01), "+1 percentage point"), (Effect::Times(3.0), "x3")] {
        let rows: Vec<(f64, (f64, f64))> =
            RATES.into_iter().flat_map(|rate| TRAFFIC[2..].iter().map(move |traffic| (rate, *traffic))).collect();
        let cells: Vec<Cell> =
            rows.iter().flat_map(|(rate, traffic)| row(*rate, *traffic, effect)).filter(|cell| cell.intervals == 60).collect();
        let shares = on_all_cores(&cells, |cell, rng| {
            let (mut once, mut ever, mut last) = (0.0, 0.0, 0.0);
            for _ in 0..runs {
                let arms = arms(cell, rng);
                let at = |look: u32| {
                    let seen = cell.intervals * look as usize / LOOKS as usize;
                    let plan = Looks { look, looks: LOOKS, early_pass: false };
                    judged(&config, &[first(&arms[0], seen), first(&arms[1], seen)], None, Some(plan)).status == Status::Regressed
                };
                once += f64::from(judged(&config, &arms, None, None).status == Status::Regressed);
                ever += f64::from((1..=LOOKS).any(at));
                last += f64::from(at(LOOKS));
            }
            [once, ever, last].map(|count: f64| count / runs as f64)
        });
        println!("\n### {name}: % regressed by one look / ever in {LOOKS} / at the last of them ({runs} runs a cell)");
        println!("\n| rate | canary v baseline | independent | shared bursts | own bursts |\n|---|---|---|---|---|");
        let mut sums = [[0.0; 3]; 3];
        for ((rate, (canary, baseline)), shares) in rows.iter().zip(shares.chunks(3)) {
            let cells: Vec<String> = shares.iter().map(|s| s.map(percent).join(" / ")).collect();
            println!("| {} % | {canary} v {baseline} | {} |", 100.0 * rate, cells.join(" | "));
            sums.iter_mut().zip(shares).for_each(|(sum, s)| sum.iter_mut().zip(s).for_each(|(sum, s)| *sum += s / rows.len() as f64));
        }
        println!("| **mean** | | {} |", sums.map(|sum| sum.map(percent).join(" / ")).join(" | "));
        if effect == Effect::Nothing {
            let of = |i: usize| sums.iter().map(|sum| sum[i]).sum::<f64>();
            assert!(of(1) <= 1.5 * of(0), "ever regressed: {} against {} by one look", of(1), of(0));
        }
    }
}
