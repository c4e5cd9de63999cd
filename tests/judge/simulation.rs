//! Ratios with counts on simulated traffic: how often a healthy one is flagged, and how often a worse one is found.
//!
//! No test of the suite: thousands of judgements a cell. `make simulate` runs it and prints the tables of
//! `fixtures/simulation/README.md`.

use std::sync::atomic::{AtomicUsize, Ordering};

use haldane_judges::config::{CanaryConfig, CheckedConfig};
use haldane_judges::evidence::{ArmPoints, Comparison, Evidence, Looks, Observation, Points};
use haldane_judges::scorecard::Status;
use haldane_judges::{JudgeName, judge};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use serde_json::json;

/// How a rate rises and falls; its mean stays.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moves {
    /// The rate's logarithm is a first-order autoregression of correlation .6 and standard deviation 1.
    Bursts,
    /// Incidents of 3 to 5 intervals in which the rate is 5 to 10 times what it is between them.
    Incidents,
    /// The rate rises to four times what it was, evenly on the logarithm.
    Drift,
}

/// How errors occur.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Errors {
    /// Each request fails on its own.
    Independent,
    /// The rate rises and falls, in both arms alike.
    Shared(Moves),
    /// The rate of each arm rises and falls on its own.
    Own(Moves),
}

const INDEPENDENT: (Errors, &str) = (Errors::Independent, "independent");
const SHARED: (Errors, &str) = (Errors::Shared(Moves::Bursts), "shared");
const OWN: (Errors, &str) = (Errors::Own(Moves::Bursts), "own");
const OWN_INCIDENTS: (Errors, &str) = (Errors::Own(Moves::Incidents), "own incidents");
const KINDS: [(Errors, &str); 6] = [
    INDEPENDENT,
    SHARED,
    (Errors::Shared(Moves::Incidents), "shared incidents"),
    (Errors::Shared(Moves::Drift), "drift"),
    OWN,
    OWN_INCIDENTS,
];
/// Intervals of a window.
const LENGTHS: [usize; 5] = [3, 5, 10, 20, 60];
const RATES: [f64; 5] = [0.001, 0.003, 0.01, 0.03, 0.1];
/// Requests of canary and baseline over the window.
const TRAFFIC: [(f64, f64); 6] =
    [(60.0, 60.0), (200.0, 200.0), (2_000.0, 2_000.0), (20_000.0, 20_000.0), (1_000.0, 19_000.0), (500.0, 9_500.0)];

/// What the release does to the canary's rate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    Nothing,
    /// So many errors more of each request, at any time.
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

/// Factors of mean 1 by which a rate rises and falls.
fn factors(n: usize, moves: Moves, rng: &mut StdRng) -> Vec<f64> {
    match moves {
        Moves::Bursts => {
            const RHO: f64 = 0.6;
            let normal = |rng: &mut StdRng| -> f64 { StandardNormal.sample(rng) };
            let mut z = normal(rng);
            (0..n)
                .map(|_| {
                    let factor = (z - 0.5).exp();
                    z = RHO * z + (1.0 - RHO * RHO).sqrt() * normal(rng);
                    factor
                })
                .collect()
        }
        Moves::Incidents => {
            // Chance that one begins in a quiet interval.
            const CHANCE: f64 = 0.015;
            // Long enough before the window that an incident may be under way when it begins.
            const BEFORE: usize = 40;
            let (mut left, mut factor) = (0, 1.0);
            let of_time = 4.0 * CHANCE / (1.0 + 4.0 * CHANCE);
            let mean = 1.0 - of_time + of_time * 7.5;
            let mut all = (0..n + BEFORE).map(|_| {
                if left == 0 {
                    factor = 1.0;
                    if rng.random_bool(CHANCE) {
                        (left, factor) = (rng.random_range(3..=5), rng.random_range(5.0..10.0));
                    }
                }
                left = i32::max(left - 1, 0);
                factor / mean
            });
            all.by_ref().take(BEFORE).for_each(drop);
            all.collect()
        }
        Moves::Drift => {
            let raw: Vec<f64> = (0..n).map(|i| (1.4 * i as f64 / (n.max(2) - 1) as f64 - 0.7).exp()).collect();
            let mean = raw.iter().sum::<f64>() / n as f64;
            raw.into_iter().map(|factor| factor / mean).collect()
        }
    }
}

/// The same for baseline and canary.
fn factors_of_arms(n: usize, errors: Errors, rng: &mut StdRng) -> [Vec<f64>; 2] {
    match errors {
        Errors::Independent => [vec![1.0; n], vec![1.0; n]],
        Errors::Shared(moves) => {
            let shared = factors(n, moves, rng);
            [shared.clone(), shared]
        }
        Errors::Own(moves) => [factors(n, moves, rng), factors(n, moves, rng)],
    }
}

/// Events and totals, interval by interval.
#[derive(Debug, Clone)]
struct Counts {
    events: Vec<f64>,
    totals: Vec<f64>,
}

impl Counts {
    /// An arm with one factor an interval, whose rate is `effect` on `rate` times that.
    fn draw(rate: f64, effect: Effect, requests: f64, factors: &[f64], rng: &mut StdRng) -> Self {
        let each = Poisson::new(requests / factors.len() as f64).unwrap();
        let of_interval = |factor: &f64| {
            let total: f64 = each.sample(rng);
            let chance = effect.on(rate * factor).min(1.0);
            (Binomial::new(total as u64, chance).unwrap().sample(rng) as f64, total)
        };
        let (events, totals) = factors.iter().map(of_interval).unzip();
        Self { events, totals }
    }

    fn first(&self, intervals: usize) -> Self {
        Self { events: self.events[..intervals].to_vec(), totals: self.totals[..intervals].to_vec() }
    }

    fn points(self) -> Points {
        Points::Counts { events: self.events, totals: self.totals }
    }
}

/// Baseline and canary.
type Arms = [Counts; 2];

fn arms(cell: &Cell, rng: &mut StdRng) -> Arms {
    let [for_baseline, for_canary] = factors_of_arms(cell.intervals, cell.errors, rng);
    [
        Counts::draw(cell.rate, Effect::Nothing, cell.baseline, &for_baseline, rng),
        Counts::draw(cell.rate, cell.effect, cell.canary, &for_canary, rng),
    ]
}

/// Windows of history.
const WINDOWS: usize = 20;

/// Both arms within the window and before it, the rates of each moving in the same way throughout.
fn with_past(cell: &Cell, rng: &mut StdRng) -> (Arms, Arms) {
    let cut = cell.intervals * WINDOWS;
    let [for_baseline, for_canary] = factors_of_arms(cut + cell.intervals, cell.errors, rng);
    let mut draw = |effect: Effect, requests: f64, factors: &[f64]| {
        let windows = (factors.len() / cell.intervals) as f64;
        Counts::draw(cell.rate, effect, requests * windows, factors, rng)
    };
    let before = [draw(Effect::Nothing, cell.baseline, &for_baseline[..cut]), draw(Effect::Nothing, cell.canary, &for_canary[..cut])];
    let now = [draw(Effect::Nothing, cell.baseline, &for_baseline[cut..]), draw(cell.effect, cell.canary, &for_canary[cut..])];
    (now, before)
}

/// A canary of one ratio with nothing but defaults.
fn config() -> CheckedConfig {
    let metric = json!({ "name": "errors", "kind": "ratio", "direction": "increase" });
    let config = json!({ "name": "c", "min_observation": "0s", "metrics": [metric] });
    serde_json::from_value::<CanaryConfig>(config).unwrap().check().unwrap()
}

/// What the judge says of a ratio.
fn status(config: &CheckedConfig, [baseline, canary]: Arms, before: Option<Arms>, looks: Option<Looks>) -> Status {
    let intervals = canary.totals.len();
    let [past_baseline, past_canary] = before.map_or([None, None], |arms| arms.map(|arm| Some(arm.points())));
    let evidence = Evidence {
        observations: vec![Observation::Sampled {
            baseline: ArmPoints::of(baseline.points()).with_history(past_baseline),
            canary: ArmPoints::of(canary.points()).with_history(past_canary),
        }],
        step_seconds: 60.0,
        observed_seconds: 60.0 * intervals as f64,
        comparison: Comparison::Concurrent,
        looks,
        ..Evidence::default()
    };
    judge(JudgeName::HaldaneV1, config, &evidence).metrics[0].status
}

/// Shares of the judgements of one cell: 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shares {
    pub(crate) regressed: f64,
    pub(crate) suspect: f64,
    pub(crate) pass: f64,
}

impl Shares {
    pub(crate) fn of(statuses: &[Status]) -> Self {
        let share = |wanted: Status| statuses.iter().filter(|status| **status == wanted).count() as f64 / statuses.len() as f64;
        Self { regressed: share(Status::Regressed), suspect: share(Status::Suspect), pass: share(Status::Pass) }
    }

    pub(crate) fn words(self) -> String {
        [self.regressed, self.suspect, self.pass].map(|share| format!("{:.0}", 100.0 * share)).join("/")
    }
}

fn shares(config: &CheckedConfig, cell: &Cell, runs: usize, rng: &mut StdRng) -> Shares {
    Shares::of(&(0..runs).map(|_| status(config, arms(cell, rng), None, None)).collect::<Vec<_>>())
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

pub(crate) fn runs() -> usize {
    std::env::var("HALDANE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000)
}

/// Computes every cell on all cores, each from a seed of its own, of which `series` tells apart those of the same cell.
pub(crate) fn on_all_cores<C: Sync, T: Send>(cells: &[C], series: u32, of: impl Fn(&C, &mut StdRng) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < cells.len());
        let seed = |i: usize| StdRng::seed_from_u64(u64::from(series) << 32 | i as u64);
        std::iter::from_fn(take).map(|i| (i, of(&cells[i], &mut seed(i)))).collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut indexed: Vec<(usize, T)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    indexed.sort_by_key(|(i, _)| *i);
    indexed.into_iter().map(|(_, result)| result).collect()
}

pub(crate) fn header(title: &str, columns: &[String]) {
    println!("\n### {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

pub(crate) fn row(columns: &[String]) {
    println!("| {} |", columns.join(" | "));
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn rate_words(cell: &Cell) -> String {
    format!("{} %", 100.0 * cell.rate)
}

fn traffic_words(canary: f64, baseline: f64) -> String {
    format!("{canary} v {baseline}")
}

/// What so many runs at this share may show at one-sided 95 %.
fn error_of(share: f64, runs: usize) -> f64 {
    1.645 * (share * (1.0 - share) / runs as f64).sqrt()
}

/// Goals beside what was measured. The sampling error of the runs is granted.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    rows: Vec<[String; 4]>,
    missed: Vec<String>,
}

impl Goals {
    pub(crate) fn at_most(&mut self, what: String, share: f64, goal: f64, runs: usize) {
        self.hold(what, share, format!("<= {}", percent(goal)), share <= goal, share <= goal + error_of(goal, runs));
    }

    pub(crate) fn at_least(&mut self, what: String, share: f64, goal: f64, runs: usize) {
        self.hold(what, share, format!(">= {}", percent(goal)), share >= goal, share >= goal - error_of(goal, runs));
    }

    fn hold(&mut self, what: String, share: f64, goal: String, met: bool, within_error: bool) {
        let verdict = match (met, within_error) {
            (true, _) => "yes",
            (false, true) => "within the sampling error",
            (false, false) => "**no**",
        };
        if !within_error {
            self.missed.push(format!("{what}: {} % measured, {goal} % wanted", percent(share)));
        }
        self.rows.push([what, goal, percent(share), verdict.to_owned()]);
    }

    /// What is wished for and not demanded.
    fn wish(&mut self, what: String, share: f64, most: f64) {
        let verdict = if share <= most { "yes" } else { "no (a wish)" };
        self.rows.push([what, format!("<= {}", percent(most)), percent(share), verdict.to_owned()]);
    }

    /// Prints them, and fails where one is missed.
    pub(crate) fn close(self, title: &str) {
        header(title, &["what", "goal, %", "measured, %", "reached"].map(str::to_owned));
        self.rows.iter().for_each(|columns| row(columns));
        println!();
        assert!(self.missed.is_empty(), "goals are missed: {:#?}", self.missed);
    }
}

/// Largest share of healthy ratios regressed that is allowed.
fn largest_allowed(cell: &Cell) -> f64 {
    match (cell.errors, cell.intervals) {
        (Errors::Independent | Errors::Shared(_), _) => 0.02,
        (Errors::Own(_), ..=10) => 0.05,
        (Errors::Own(_), 11..=20) => 0.035,
        (Errors::Own(_), _) => 0.03,
    }
}

/// Every rate and traffic with these errors at this length.
fn healthy_cells(errors: Errors, intervals: usize) -> impl Iterator<Item = Cell> {
    let of_rate = move |rate| TRAFFIC.map(|(canary, baseline)| Cell { rate, canary, baseline, intervals, errors, effect: Effect::Nothing });
    RATES.into_iter().flat_map(of_rate)
}

#[test]
#[ignore = "minutes long: make simulate"]
fn healthy_ratios_are_seldom_regressed() {
    /// Cells of each kind and length that are judged again, and how many times the runs: the largest of 30 is too large by chance.
    const AGAIN: (usize, usize) = (3, 10);
    let (config, runs) = (config(), runs());
    let at = || KINDS.into_iter().flat_map(|(errors, name)| LENGTHS.map(|n| (errors, name, n)));
    let cells: Vec<Cell> = at().flat_map(|(errors, _, n)| healthy_cells(errors, n)).collect();
    let first = on_all_cores(&cells, 0, |cell, rng| shares(&config, cell, runs, rng));
    let of_each = RATES.len() * TRAFFIC.len();
    let worst = |(cells, first): (&[Cell], &[Shares])| {
        let mut order: Vec<usize> = (0..of_each).collect();
        order.sort_by(|a, b| first[*b].regressed.total_cmp(&first[*a].regressed));
        order.into_iter().take(AGAIN.0).map(|i| cells[i]).collect::<Vec<_>>()
    };
    let again: Vec<Cell> = cells.chunks(of_each).zip(first.chunks(of_each)).flat_map(worst).collect();
    let runs_again = runs * AGAIN.1;
    let second = on_all_cores(&again, 1, |cell, rng| shares(&config, cell, runs_again, rng).regressed);
    let largest: Vec<(Cell, f64)> = again
        .chunks(AGAIN.0)
        .zip(second.chunks(AGAIN.0))
        .map(|(cells, shares)| cells.iter().copied().zip(shares.iter().copied()).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap())
        .collect();

    let lengths: Vec<String> = std::iter::once("errors".to_owned()).chain(LENGTHS.map(|n| format!("n = {n}"))).collect();
    header(
        &format!("Healthy; % regressed: largest cell ({runs_again} runs), mean; mean % suspect, pass, inconclusive ({runs} runs a cell)"),
        &lengths,
    );
    let entry = |((_, largest), first): (&(Cell, f64), &[Shares])| {
        let mean = |of: fn(&Shares) -> f64| mean(first.iter().map(of));
        let (suspect, pass) = (mean(|s| s.suspect), mean(|s| s.pass));
        let regressed = mean(|s| s.regressed);
        let rest = [suspect, pass, 1.0 - regressed - suspect - pass].map(|share| format!("{:.0}", 100.0 * share));
        format!("{}, {:.2}; {}", percent(*largest), 100.0 * regressed, rest.join(", "))
    };
    let entries: Vec<String> = largest.iter().zip(first.chunks(of_each)).map(entry).collect();
    for ((_, name), entries) in KINDS.iter().zip(entries.chunks(LENGTHS.len())) {
        row(&[&[(*name).to_owned()], entries].concat());
    }

    let own = [OWN, OWN_INCIDENTS];
    header(
        &format!("Healthy, own errors; % regressed in each cell, n = {LENGTHS:?} ({runs} runs a cell)"),
        &["rate", "canary v baseline", OWN.1, OWN_INCIDENTS.1].map(str::to_owned),
    );
    for i in 0..of_each {
        let of_kind = |(errors, _): (Errors, &str)| {
            let same = cells.iter().zip(&first).filter(|(cell, _)| cell.errors == errors);
            same.skip(i).step_by(of_each).map(|(_, shares)| percent(shares.regressed)).collect::<Vec<_>>().join(", ")
        };
        let cell = &cells[i];
        row(&[rate_words(cell), traffic_words(cell.canary, cell.baseline), of_kind(own[0]), of_kind(own[1])]);
    }

    let mut goals = Goals::default();
    for ((_, name, n), (cell, share)) in at().zip(&largest) {
        let what = format!("{name}, n = {n} ({}, {})", rate_words(cell), traffic_words(cell.canary, cell.baseline));
        goals.at_most(what.clone(), *share, largest_allowed(cell), runs_again);
        if n == 60 && matches!(cell.errors, Errors::Own(_)) {
            goals.wish(what, *share, 0.02);
        }
    }
    goals.close("Goals: healthy ones regressed, largest cell");
}

/// What a canary of this effect comes to, for every kind and length; `traffic` is of the number of intervals.
fn power(config: &CheckedConfig, series: u32, rate: f64, effects: &[Effect], traffic: fn(f64) -> (f64, f64)) -> Vec<(Cell, Shares)> {
    let kinds = KINDS.into_iter().filter(|(errors, _)| *errors != Errors::Shared(Moves::Drift));
    let cells: Vec<Cell> = kinds
        .flat_map(|(errors, _)| LENGTHS.map(|n| (errors, n)))
        .flat_map(|(errors, intervals)| {
            let (canary, baseline) = traffic(intervals as f64);
            effects.iter().map(move |effect| Cell { rate, canary, baseline, intervals, errors, effect: *effect })
        })
        .collect();
    let runs = runs();
    let found = on_all_cores(&cells, series, |cell, rng| shares(config, cell, runs, rng));
    cells.into_iter().zip(found).collect()
}

fn name_of(errors: Errors) -> &'static str {
    KINDS.into_iter().find(|(kind, _)| *kind == errors).map_or("", |(_, name)| name)
}

/// Prints a row for each kind and length, with a column for each factor.
fn power_table(title: &str, factors: &[f64], found: &[(Cell, Shares)]) {
    let columns = ["errors".to_owned(), "n".to_owned()].into_iter().chain(factors.iter().map(|factor| format!("x{factor}")));
    header(&format!("{title}; % regressed/suspect/pass, the rest inconclusive ({} runs a cell)", runs()), &columns.collect::<Vec<_>>());
    for found in found.chunks(factors.len()) {
        let cell = &found[0].0;
        let entries = found.iter().map(|(_, shares)| shares.words());
        row(&[name_of(cell.errors).to_owned(), cell.intervals.to_string()].into_iter().chain(entries).collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "minutes long: make simulate"]
fn worse_ratios_are_found() {
    const FACTORS: [f64; 7] = [1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 20.0];
    let (config, effects, runs) = (config(), FACTORS.map(Effect::Times), runs());
    let mut goals = Goals::default();

    let found = power(&config, 2, 0.02, &effects, |n| (1_000.0 * n, 1_000.0 * n));
    power_table("2 %, 1,000 requests an interval and arm", &FACTORS, &found);
    let eightfold =
        |(cell, _): &&(Cell, Shares)| cell.errors == Errors::Independent && cell.effect == Effect::Times(8.0) && cell.intervals >= 5;
    for (cell, shares) in found.iter().filter(eightfold) {
        let what = format!("x8 on 2 %, 1,000 an interval, independent, n = {}", cell.intervals);
        goals.at_least(format!("{what}: regressed"), shares.regressed, 0.95, runs);
        goals.at_most(format!("{what}: pass"), shares.pass, 0.0, runs);
    }
    let found = power(&config, 3, 0.01, &effects, |_| (2_000.0, 2_000.0));
    power_table("1 %, 2,000 requests an arm", &FACTORS, &found);
    let found = power(&config, 4, 0.01, &effects, |_| (1_000.0, 19_000.0));
    power_table("1 %, 1,000 v 19,000 requests", &FACTORS, &found);
    goals.close("Goals: worse ones found");
}

#[test]
#[ignore = "minutes long: make simulate"]
fn one_point_more_is_found() {
    let (config, runs) = (config(), runs());
    let of_length = |rate, (canary, baseline), errors| {
        LENGTHS.map(move |intervals| Cell { rate, canary, baseline, intervals, errors, effect: Effect::Plus(0.01) })
    };
    let cells: Vec<Cell> = RATES[..3]
        .iter()
        .flat_map(|rate| TRAFFIC[1..].iter().map(move |traffic| (*rate, *traffic)))
        .flat_map(|(rate, traffic)| [INDEPENDENT, SHARED, OWN].into_iter().flat_map(move |(errors, _)| of_length(rate, traffic, errors)))
        .collect();
    let found = on_all_cores(&cells, 5, |cell, rng| shares(&config, cell, runs, rng));
    let columns = ["rate", "canary v baseline", "errors"].map(str::to_owned).into_iter().chain(LENGTHS.map(|n| format!("n = {n}")));
    header(&format!("+1 point; % regressed/suspect/pass, the rest inconclusive ({runs} runs a cell)"), &columns.collect::<Vec<_>>());
    for (cells, found) in cells.chunks(LENGTHS.len()).zip(found.chunks(LENGTHS.len())) {
        let cell = &cells[0];
        let of = [rate_words(cell), traffic_words(cell.canary, cell.baseline), name_of(cell.errors).to_owned()];
        row(&of.into_iter().chain(found.iter().map(|shares| shares.words())).collect::<Vec<_>>());
    }
    let mut goals = Goals::default();
    let wanted = |cell: &Cell| cell.rate == 0.001 && cell.baseline == 2_000.0 && cell.errors == Errors::Independent && cell.intervals == 20;
    for (_, shares) in cells.iter().zip(&found).filter(|(cell, _)| wanted(cell)) {
        goals.at_least("+1 point on 0.1 %, 2,000 an arm, n = 20: regressed".to_owned(), shares.regressed, 0.87, runs);
    }
    goals.close("Goals: one point more");
}

#[test]
#[ignore = "minutes long: make simulate"]
fn history_raises_no_false_alarms_and_blinds_nobody() {
    const FACTORS: [f64; 4] = [1.0, 2.0, 3.0, 8.0];
    let (config, runs) = (config(), runs());
    let kinds = [INDEPENDENT, OWN, OWN_INCIDENTS];
    let of_kind = |intervals: usize, (canary, baseline): (f64, f64), errors| {
        FACTORS.map(|factor| Cell { rate: 0.02, canary, baseline, intervals, errors, effect: Effect::Times(factor) })
    };
    let cells: Vec<Cell> = [5, 20]
        .into_iter()
        .flat_map(|n| TRAFFIC[2..5].iter().map(move |traffic| (n, *traffic)))
        .flat_map(|(n, traffic)| kinds.into_iter().flat_map(move |(errors, _)| of_kind(n, traffic, errors)))
        .collect();
    let found = on_all_cores(&cells, 6, |cell, rng| {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (now, before) = with_past(cell, rng);
            without.push(status(&config, now.clone(), None, None));
            with.push(status(&config, now, Some(before), None));
        }
        [Shares::of(&without), Shares::of(&with)]
    });
    let columns = ["n", "canary v baseline", "errors"].map(str::to_owned).into_iter().chain(FACTORS.map(|factor| format!("x{factor}")));
    let title = format!("2 %; % regressed without > with {WINDOWS} windows of history (pass likewise), {runs} runs a cell");
    header(&title, &columns.collect::<Vec<_>>());
    let mut goals = Goals::default();
    for (cells, found) in cells.chunks(FACTORS.len()).zip(found.chunks(FACTORS.len())) {
        let cell = &cells[0];
        let of = [cell.intervals.to_string(), traffic_words(cell.canary, cell.baseline), name_of(cell.errors).to_owned()];
        let entry = |[without, with]: &[Shares; 2]| {
            format!("{} > {} ({:.0} > {:.0})", percent(without.regressed), percent(with.regressed), 100.0 * without.pass, 100.0 * with.pass)
        };
        row(&of.iter().cloned().chain(found.iter().map(entry)).collect::<Vec<_>>());
        let what = format!("{}, {}, n = {}, with history", of[2], of[1], of[0]);
        goals.at_most(format!("{what}: healthy regressed"), found[0][1].regressed, largest_allowed(cell), runs);
        if cell.errors == Errors::Independent {
            // Without history, less the sampling error of the difference.
            let [without, with] = found[2].map(|shares| shares.regressed);
            goals.at_least(format!("{what}: x3 regressed, as without"), with, without - error_of(without, runs), runs);
        }
    }
    goals.close("Goals: history");
}

const LOOKS: u32 = 12;

/// The arms as they are at a look of a plan, the last of which sees them all.
fn seen([baseline, canary]: &Arms, look: u32) -> Arms {
    let intervals = canary.totals.len() * look as usize / LOOKS as usize;
    [baseline.first(intervals), canary.first(intervals)]
}

/// What a plan of looks comes to. Shares of the canaries.
#[derive(Debug, Clone, Copy, Default)]
struct Planned {
    /// Regressed by one judgement of the whole window, without a plan.
    once: f64,
    /// Regressed at any look.
    ever: f64,
    /// Regressed at the last look.
    last: f64,
    /// Flagged at a look by itself and not flagged at that look of the plan.
    acquitted: f64,
}

#[test]
#[ignore = "minutes long: make simulate"]
fn twelve_looks_raise_few_more_false_alarms_than_one() {
    let (config, kinds) = (config(), [INDEPENDENT, SHARED, OWN]);
    let flagged = |status: Status| matches!(status, Status::Regressed | Status::Suspect);
    let mut goals = Goals::default();
    for (series, effect, name, runs) in [(7, Effect::Nothing, "Healthy", runs()), (8, Effect::Plus(0.01), "+1 point", runs() / 5)] {
        let cells: Vec<Cell> = [0.003, 0.01, 0.03]
            .into_iter()
            .flat_map(|rate| TRAFFIC[2..5].iter().map(move |traffic| (rate, *traffic)))
            .flat_map(|(rate, (canary, baseline))| kinds.map(|(errors, _)| Cell { rate, canary, baseline, intervals: 60, errors, effect }))
            .collect();
        let found = on_all_cores(&cells, series, |cell, rng| {
            let mut all = Planned::default();
            for _ in 0..runs {
                let arms = arms(cell, rng);
                let alone: Vec<Status> = (1..=LOOKS).map(|look| status(&config, seen(&arms, look), None, None)).collect();
                let planned = |look| status(&config, seen(&arms, look), None, Some(Looks { look, looks: LOOKS, early_pass: false }));
                let planned: Vec<Status> = (1..=LOOKS).map(planned).collect();
                let regressed = |status: Option<&Status>| f64::from(status == Some(&Status::Regressed));
                all.once += regressed(alone.last());
                all.ever += f64::from(planned.contains(&Status::Regressed));
                all.last += regressed(planned.last());
                all.acquitted += f64::from(alone.iter().zip(&planned).any(|(alone, planned)| flagged(*alone) && !flagged(*planned)));
            }
            let share = |count: f64| count / runs as f64;
            Planned { once: share(all.once), ever: share(all.ever), last: share(all.last), acquitted: share(all.acquitted) }
        });
        let columns = ["rate", "canary v baseline"].into_iter().chain(kinds.map(|(_, name)| name)).map(str::to_owned);
        let title = format!("{name}; % regressed by one look / ever in {LOOKS} / at the last of them, n = 60 ({runs} runs a cell)");
        header(&title, &columns.collect::<Vec<_>>());
        for (cells, found) in cells.chunks(kinds.len()).zip(found.chunks(kinds.len())) {
            let cell = &cells[0];
            let of = [rate_words(cell), traffic_words(cell.canary, cell.baseline)];
            let entry = |planned: &Planned| [planned.once, planned.ever, planned.last].map(percent).join(" / ");
            row(&of.into_iter().chain(found.iter().map(entry)).collect::<Vec<_>>());
        }
        let of_each = cells.len() / kinds.len();
        for (kind, (_, errors)) in kinds.iter().enumerate() {
            let mean = |of: fn(&Planned) -> f64| found.iter().skip(kind).step_by(kinds.len()).map(of).sum::<f64>() / of_each as f64;
            let (once, ever, acquitted) = (mean(|p| p.once), mean(|p| p.ever), mean(|p| p.acquitted));
            let runs = runs * of_each;
            if effect == Effect::Nothing {
                // The share of the single look has its own sampling error, which none at all does not make 0.
                let goal = 1.5 * (once + error_of(once.max(1.0 / runs as f64), runs));
                goals.at_most(format!("{name}, {errors}: ever in {LOOKS} looks, 1.5 times one look's {}", percent(once)), ever, goal, runs);
            }
            goals.at_most(format!("{name}, {errors}: flagged by a look alone and not in the plan"), acquitted, 0.0, runs);
        }
    }
    goals.close("Goals: looks");
}

#[test]
#[ignore = "minutes long: make simulate"]
fn few_worse_canaries_pass_early() {
    let (config, runs) = (config(), runs());
    let effects = [1.0, 1.5, 1.8, 2.0, 3.0];
    let requests = 100.0 * 60.0;
    let cells = effects.map(|factor| Cell {
        rate: 0.02,
        canary: requests,
        baseline: requests,
        intervals: 60,
        errors: Errors::Independent,
        effect: Effect::Times(factor),
    });
    let found = on_all_cores(&cells, 9, |cell, rng| {
        let mut early = 0.0;
        for _ in 0..runs {
            let arms = arms(cell, rng);
            let passes =
                |look| status(&config, seen(&arms, look), None, Some(Looks { look, looks: LOOKS, early_pass: true })) == Status::Pass;
            early += f64::from((1..LOOKS).any(passes));
        }
        early / runs as f64
    });
    let columns: Vec<String> = effects.iter().map(|factor| format!("x{factor}")).collect();
    header(&format!("2 %, 100 requests an interval and arm; % passed at one of {} early looks, n = 60 ({runs} runs)", LOOKS - 1), &columns);
    row(&found.iter().map(|share| percent(*share)).collect::<Vec<_>>());
    let mut goals = Goals::default();
    goals.at_most("x1.8 on 2 %, 100 an interval: early pass".to_owned(), found[2], 0.08, runs);
    goals.close("Goals: early pass");
}
