//! Ratios with counts on simulated traffic: how often a healthy one is flagged, and how often a worse one is found.
//!
//! No test of the suite: thousands of judgements a cell. `make simulate` runs it and prints the tables of
//! `fixtures/simulation/README.md`.

use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Looks, Observation, Points};
use haldane_judges::scorecard::Status;
use haldane_judges::stats::binomial::conditional_mid_p;
use haldane_judges::{JudgeName, judge};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use serde_json::json;

/// How errors occur.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Errors {
    /// Each request fails on its own.
    Independent,
    /// The rate rises and falls, in both arms alike.
    Shared(Bursts),
    /// The rate of each arm rises and falls on its own.
    Own(Bursts),
}

/// How a rate rises and falls; its mean stays.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bursts {
    /// The rate's logarithm is a first-order autoregression of this autocorrelation and standard deviation.
    Wave { rho: f64, sd: f64 },
    /// Incidents of 3 to 5 intervals in which the rate is 5 to 10 times what it is between them.
    Incidents { chance: f64 },
}

/// As strong as those under which the rule of signed ranks alone regresses 5 % of the healthy in its worst cell of 20 intervals.
const STRONG: Bursts = Bursts::Wave { rho: 0.6, sd: 1.0 };
/// As bad, but made otherwise: nothing was tuned on these.
const INCIDENTS: Bursts = Bursts::Incidents { chance: 0.015 };
/// Worse than any goal is stated for.
const EXTREME: Bursts = Bursts::Wave { rho: 0.8, sd: 1.0 };

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

const RATES: [f64; 4] = [0.001, 0.003, 0.01, 0.03];
/// Requests of canary and baseline.
const TRAFFIC: [(f64, f64); 7] =
    [(60.0, 60.0), (200.0, 200.0), (500.0, 500.0), (2_000.0, 2_000.0), (20_000.0, 20_000.0), (500.0, 9_500.0), (1_000.0, 19_000.0)];

/// Factors of mean 1 by which a rate rises and falls.
fn factors(n: usize, bursts: Bursts, rng: &mut StdRng) -> Vec<f64> {
    match bursts {
        Bursts::Wave { rho, sd } => {
            let normal = |rng: &mut StdRng| -> f64 { StandardNormal.sample(rng) };
            let mut z = sd * normal(rng);
            (0..n)
                .map(|_| {
                    let factor = (z - sd * sd / 2.0).exp();
                    z = rho * z + sd * (1.0 - rho * rho).sqrt() * normal(rng);
                    factor
                })
                .collect()
        }
        Bursts::Incidents { chance } => {
            // Long enough before the window that an incident may be under way when it begins.
            const BEFORE: usize = 40;
            let (mut left, mut factor) = (0, 1.0);
            let of_time = 4.0 * chance / (1.0 + 4.0 * chance);
            let mean = 1.0 - of_time + of_time * 7.5;
            let mut all = (0..n + BEFORE).map(|_| {
                if left == 0 {
                    factor = 1.0;
                    if rng.random_bool(chance) {
                        (left, factor) = (rng.random_range(3..=5), rng.random_range(5.0..10.0));
                    }
                }
                left = i32::max(left - 1, 0);
                factor / mean
            });
            all.by_ref().take(BEFORE).for_each(drop);
            all.collect()
        }
    }
}

/// The same for baseline and canary.
fn factors_of_arms(n: usize, errors: Errors, rng: &mut StdRng) -> [Vec<f64>; 2] {
    match errors {
        Errors::Independent => [vec![1.0; n], vec![1.0; n]],
        Errors::Shared(bursts) => {
            let shared = factors(n, bursts, rng);
            [shared.clone(), shared]
        }
        Errors::Own(bursts) => [factors(n, bursts, rng), factors(n, bursts, rng)],
    }
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
    let [for_baseline, for_canary] = factors_of_arms(cell.intervals, cell.errors, rng);
    [arm(cell.rate, cell.baseline, &for_baseline, rng), arm(cell.effect.on(cell.rate), cell.canary, &for_canary, rng)]
}

/// A canary of so many ratios.
fn config(ratios: usize) -> CheckedConfig {
    let metrics: Vec<_> = (0..ratios).map(|i| json!({ "name": format!("ratio-{i}"), "kind": "ratio", "direction": "increase" })).collect();
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": metrics });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

fn points((events, totals): &Counts) -> Points {
    Points::Counts { events: events.clone(), totals: totals.clone() }
}

fn first((events, totals): &Counts, intervals: usize) -> Counts {
    (events[..intervals].to_vec(), totals[..intervals].to_vec())
}

/// What a ratio's arms (baseline, canary) show, and what lies before them.
type Ratio = ([Counts; 2], Option<[Counts; 2]>);

/// Whether a ratio may be regressed at all: not without four events, a higher rate, and a pooled p-value within the level. Where only
/// regressions count the others need no judgement, which is most of the work.
fn may_be_regressed([(xb, mb), (xc, mc)]: &[Counts; 2]) -> bool {
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let (xb, mb, xc, mc) = (sum(xb), sum(mb), sum(xc), sum(mc));
    xc >= 4.0 && xc * mb > xb * mc && conditional_mid_p(xc, mc, xb, mb) <= 0.0101
}

/// How many of these ratios are regressed.
fn regressed(config: &CheckedConfig, ratios: &[Ratio]) -> f64 {
    if !ratios.iter().any(|(arms, _)| may_be_regressed(arms)) {
        return 0.0;
    }
    judged(config, ratios, None).into_iter().filter(|status| *status == Status::Regressed).count() as f64
}

/// Judges one canary of these ratios.
fn judged(config: &CheckedConfig, ratios: &[Ratio], looks: Option<Looks>) -> Vec<Status> {
    let observed = |(arms, before): &Ratio| {
        let arm = |i: usize| {
            ArmPoints::counts(arms[i].0.clone(), arms[i].1.clone()).with_history(before.as_ref().map(|before| points(&before[i])))
        };
        Observation::Sampled { baseline: arm(0), canary: arm(1) }
    };
    let evidence = Evidence {
        observations: ratios.iter().map(observed).collect(),
        step_seconds: 60.0,
        observed_seconds: 60.0 * ratios[0].0[1].0.len() as f64,
        comparison: Comparison::Concurrent,
        looks,
        ..Evidence::default()
    };
    judge(JudgeName::HaldaneV1, config, &evidence).metrics.into_iter().map(|metric| metric.status).collect()
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

const KINDS: [(Errors, &str); 6] = [
    (Errors::Independent, "independent"),
    (Errors::Shared(STRONG), "strong, shared"),
    (Errors::Shared(INCIDENTS), "incidents, shared"),
    (Errors::Own(STRONG), "strong, own"),
    (Errors::Own(INCIDENTS), "incidents, own"),
    (Errors::Own(EXTREME), "extreme, own"),
];
const LENGTHS: [usize; 2] = [20, 60];

/// Every rate and traffic with every kind of errors at every length, in this order.
fn cells(kinds: &[(Errors, &str)], lengths: &[usize], effect: Effect) -> Vec<Cell> {
    let of_kind = |rate, (canary, baseline), errors| {
        lengths.iter().map(move |intervals| Cell { rate, canary, baseline, intervals: *intervals, errors, effect })
    };
    let of_traffic = |rate, traffic| kinds.iter().flat_map(move |(errors, _)| of_kind(rate, traffic, *errors));
    RATES.iter().flat_map(|rate| TRAFFIC.iter().flat_map(move |traffic| of_traffic(*rate, *traffic))).collect()
}

/// Prints a table with a row for each rate and traffic and a column for each kind, which has an entry for each length.
fn table(title: &str, kinds: &[(Errors, &str)], cells: &[Cell], entries: &[String]) {
    println!("\n### {title}\n");
    println!("| rate | canary v baseline | {} |", kinds.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" | "));
    println!("|---|---|{}", "---|".repeat(kinds.len()));
    let of_row = entries.len() / (RATES.len() * TRAFFIC.len());
    for (cells, entries) in cells.chunks(of_row).zip(entries.chunks(of_row)) {
        let columns: Vec<String> = entries.chunks(of_row / kinds.len()).map(|of_kind| of_kind.join(", ")).collect();
        println!("| {} % | {} v {} | {} |", 100.0 * cells[0].rate, cells[0].canary, cells[0].baseline, columns.join(" | "));
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// Largest share of healthy ratios regressed that is allowed; none is stated for extreme bursts.
fn goal(cell: &Cell) -> Option<f64> {
    match cell.errors {
        Errors::Own(EXTREME) => None,
        Errors::Independent => Some(0.02),
        Errors::Shared(_) | Errors::Own(_) => Some(if cell.intervals < 60 { 0.035 } else { 0.02 }),
    }
}

/// What so many runs at this share may show at one-sided 95 %.
fn error_of(share: f64, runs: usize) -> f64 {
    1.645 * (share * (1.0 - share) / runs as f64).sqrt()
}

/// Prints the largest share of each kind and length, and fails where one is above its goal.
fn hold_to_goals(kinds: &[(Errors, &str)], cells: &[Cell], shares: &[f64], runs: usize) {
    let mut missed = Vec::new();
    let largest = kinds.iter().map(|(errors, name)| {
        let at = |intervals: usize| {
            let of = cells.iter().zip(shares).filter(|(cell, _)| cell.errors == *errors && cell.intervals == intervals);
            let (cell, share) = of.max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            if let Some(goal) = goal(cell).filter(|goal| *share > goal + error_of(*goal, runs)) {
                missed.push(format!("{name}, n = {intervals}: {share}, at most {goal} may be ({cell:?})"));
            }
            percent(*share)
        };
        LENGTHS.map(at).join(", ")
    });
    println!("| **largest** | | {} |", largest.collect::<Vec<_>>().join(" | "));
    assert!(missed.is_empty(), "healthy ratios are regressed: {missed:#?}");
}

#[test]
#[ignore = "minutes long: make simulate"]
fn healthy_ratios_are_seldom_regressed() {
    let few = [KINDS[0], KINDS[1], KINDS[3]];
    for (ratios, kinds, judgements) in [(1, &KINDS[..], runs()), (5, &few, runs() / 10)] {
        let config = config(ratios);
        let cells = cells(kinds, &LENGTHS, Effect::Nothing);
        let shares = on_all_cores(&cells, |cell, rng| {
            let once = |_| regressed(&config, &(0..ratios).map(|_| (arms(cell, rng), None)).collect::<Vec<_>>());
            (0..judgements).map(once).sum::<f64>() / (judgements * ratios) as f64
        });
        let title = format!("Healthy, ratios in the canary: {ratios}; % regressed, n = 20, 60 ({} runs a cell)", judgements * ratios);
        table(&title, kinds, &cells, &shares.iter().map(|share| percent(*share)).collect::<Vec<_>>());
        hold_to_goals(kinds, &cells, &shares, judgements * ratios);
    }
}

#[test]
#[ignore = "minutes long: make simulate"]
fn worse_ratios_are_found() {
    let kinds = [KINDS[0], KINDS[1], KINDS[3], KINDS[5]];
    let config = config(1);
    let runs = runs() / 10;
    for (effect, name) in [(Effect::Plus(0.01), "+1 percentage point"), (Effect::Times(2.0), "x2"), (Effect::Times(3.0), "x3")] {
        let cells = cells(&kinds, &LENGTHS, effect);
        let shares = on_all_cores(&cells, |cell, rng| share_of((0..runs).flat_map(|_| judged(&config, &[(arms(cell, rng), None)], None))));
        let title = format!("{name}; % regressed/suspect/pass, the rest inconclusive, n = 20, 60 ({runs} runs a cell)");
        let entry = |shares: &Shares| shares[..3].iter().map(|share| format!("{:.0}", 100.0 * share)).collect::<Vec<_>>().join("/");
        table(&title, &kinds, &cells, &shares.iter().map(entry).collect::<Vec<_>>());
        let floors = [
            (Effect::Plus(0.01), 0.001, 20, 0.89),
            (Effect::Plus(0.01), 0.001, 60, 0.95),
            (Effect::Times(3.0), 0.01, 20, 0.85),
            (Effect::Times(3.0), 0.01, 60, 0.94),
        ];
        for (_, rate, intervals, floor) in floors.into_iter().filter(|floor| floor.0 == effect) {
            let wanted = |c: &Cell| c.errors == Errors::Independent && c.rate == rate && c.baseline == 2_000.0 && c.intervals == intervals;
            let at = cells.iter().position(wanted).unwrap();
            let found = shares[at][0];
            assert!(found >= floor - error_of(floor, runs), "{name} on {rate} is found in {found} of n = {intervals}, {floor} was reached");
        }
    }
}

/// Windows of history.
const WINDOWS: usize = 20;

/// Both arms within the window and before it, the rates of each drifting in the same way throughout.
fn with_past(cell: &Cell, rng: &mut StdRng) -> ([Counts; 2], [Counts; 2]) {
    let cut = cell.intervals * WINDOWS;
    let [for_baseline, for_canary] = factors_of_arms(cut + cell.intervals, cell.errors, rng);
    let windows = WINDOWS as f64;
    let before = [
        arm(cell.rate, cell.baseline * windows, &for_baseline[..cut], rng),
        arm(cell.rate, cell.canary * windows, &for_canary[..cut], rng),
    ];
    let now =
        [arm(cell.rate, cell.baseline, &for_baseline[cut..], rng), arm(cell.effect.on(cell.rate), cell.canary, &for_canary[cut..], rng)];
    (now, before)
}

#[test]
#[ignore = "minutes long: make simulate"]
fn history_raises_no_false_alarms_and_blinds_nobody() {
    let kinds = [KINDS[0], KINDS[3], KINDS[4]];
    for (ratios, effect, name, judgements) in [
        (1, Effect::Nothing, "Healthy", runs() / 2),
        (5, Effect::Nothing, "Healthy", runs() / 20),
        (1, Effect::Plus(0.01), "+1 percentage point", runs() / 20),
        (1, Effect::Times(2.0), "x2", runs() / 20),
    ] {
        let config = config(ratios);
        let cells = cells(&kinds, &LENGTHS, effect);
        let shares = on_all_cores(&cells, |cell, rng| {
            let (mut without, mut with) = (0.0, 0.0);
            for _ in 0..judgements {
                let mut drawn: Vec<Ratio> = (0..ratios).map(|_| with_past(cell, rng)).map(|(now, before)| (now, Some(before))).collect();
                with += regressed(&config, &drawn);
                drawn.iter_mut().for_each(|ratio| ratio.1 = None);
                without += regressed(&config, &drawn);
            }
            [without, with].map(|count| count / (judgements * ratios) as f64)
        });
        let runs = judgements * ratios;
        let title = format!(
            "{name}, ratios in the canary: {ratios}; % regressed without > with {WINDOWS} windows of history, n = 20, 60 ({runs} runs a cell)"
        );
        let entry = |[without, with]: &[f64; 2]| format!("{} > {}", percent(*without), percent(*with));
        table(&title, &kinds, &cells, &shares.iter().map(entry).collect::<Vec<_>>());
        let mean = |kind: usize, i: usize| {
            let of = shares.chunks(LENGTHS.len()).skip(kind).step_by(kinds.len()).flatten();
            of.map(|share| share[i]).sum::<f64>() / (cells.len() / kinds.len()) as f64
        };
        let means = (0..kinds.len()).map(|kind| format!("{} > {}", percent(mean(kind, 0)), percent(mean(kind, 1))));
        println!("| **mean** | | {} |", means.collect::<Vec<_>>().join(" | "));
        if effect == Effect::Nothing {
            hold_to_goals(&kinds, &cells, &shares.iter().map(|share| share[1]).collect::<Vec<_>>(), runs);
        }
    }
}

#[test]
#[ignore = "minutes long: make simulate"]
fn twelve_looks_raise_few_more_false_alarms_than_one() {
    const LOOKS: u32 = 12;
    let kinds = [KINDS[0], KINDS[1], KINDS[3]];
    let config = config(1);
    for (effect, name, runs) in [(Effect::Nothing, "Healthy", runs() / 2), (Effect::Plus(0.01), "+1 percentage point", runs() / 50)] {
        let cells = cells(&kinds, &[60], effect);
        let shares = on_all_cores(&cells, |cell, rng| {
            let mut counts = [0.0; 3];
            for _ in 0..runs {
                let arms = arms(cell, rng);
                let seen = |look: u32| {
                    let intervals = cell.intervals * look as usize / LOOKS as usize;
                    [first(&arms[0], intervals), first(&arms[1], intervals)]
                };
                // The p-value of a plan is never below the smallest of its looks.
                if !(1..=LOOKS).any(|look| may_be_regressed(&seen(look))) {
                    continue;
                }
                let found = |look: u32, plan: Option<Looks>| judged(&config, &[(seen(look), None)], plan)[0] == Status::Regressed;
                let at = |look: u32| found(look, Some(Looks { look, looks: LOOKS, early_pass: false }));
                let last = at(LOOKS);
                counts[0] += f64::from(found(LOOKS, None));
                counts[1] += f64::from(last || (1..LOOKS).any(at));
                counts[2] += f64::from(last);
            }
            counts.map(|count: f64| count / runs as f64)
        });
        let title = format!("{name}; % regressed by one look / ever in {LOOKS} / at the last of them, n = 60 ({runs} runs a cell)");
        table(&title, &kinds, &cells, &shares.iter().map(|share| share.map(percent).join(" / ")).collect::<Vec<_>>());
        let of_each = cells.len() / kinds.len();
        let mean =
            |kind: usize, i: usize| shares.iter().skip(kind).step_by(kinds.len()).map(|share| share[i]).sum::<f64>() / of_each as f64;
        let means: Vec<[f64; 3]> = (0..kinds.len()).map(|kind| [0, 1, 2].map(|i| mean(kind, i))).collect();
        println!(
            "| **mean** | | {} |",
            means.iter().map(|mean| mean.map(|share| format!("{:.2}", 100.0 * share)).join(" / ")).collect::<Vec<_>>().join(" | ")
        );
        if effect == Effect::Nothing {
            for ([once, ever, _], (_, name)) in means.iter().zip(kinds) {
                let slack = 1.5 * error_of(*once, runs * of_each) + error_of(*ever, runs * of_each);
                assert!(*ever <= 1.5 * once + slack, "{name}: ever regressed {ever}, by one look {once}");
            }
        }
    }
}
