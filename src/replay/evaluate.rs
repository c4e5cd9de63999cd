//! The measurement on the labelled corpus: what the judges find, also of injected faults, Kayenta's agreement with its reference
//! verdicts, floors.
//!
//! For the people who change the judge (`make evaluate`); not part of what users are told of.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use haldane_judges::Verdict;
use haldane_judges::scorecard::Status;
use serde::Deserialize;

use super::case::Label;
use super::error::ReplayError;
use super::faults::Fault;
use super::injection::{Injection, Target, rank};
use super::judging::Column;
use super::layout::{FOUND_WITHIN_NOTE, ReportFormat, Table, one_decimal, short_words};
use super::options::{Filter, ReplayOptions};
use super::rates::{Rate, Tally};
use super::result::{CaseJudgement, CaseResult, Detection, FOUND_WITHIN_MINUTES};
use super::rule::Rule;
use super::run::{ReplayProgress, run};
use super::summary::worst_affected;
use super::verdicts::CaseVerdicts;
use super::worth::Verdicts;

/// Growing windows that are judged, and the fewest points of a canary that is judged so.
const LOOKS: u32 = 12;
const LOOKS_MIN_POINTS: usize = 60;
/// Metrics of a canary from which on it counts as one of many.
const MANY_METRICS: usize = 9;
/// The source whose labels say nothing of the level, so that it measures false alarms alone.
const LABELS_WITHOUT_LEVEL: &str = "jumpstarter";
/// Windows of canaries that faults are put into, in points; and most canaries of each source and pairing.
const POOL_POINTS: [usize; 2] = [30, 60];
const POOL_MOST: usize = 14;
/// The faults, in the table's order.
const FAULTS: [&str; 30] = [
    "none/0/1",
    "step/10/1.5",
    "step/10/2",
    "step/10/5",
    "step/20/1.25",
    "step/20/1.5",
    "step/20/2",
    "step/20/5",
    "step/30/1.25",
    "step/30/1.5",
    "step/30/2",
    "step/30/5",
    "drift/33/1.3",
    "drift/33/1.5",
    "drift/33/2",
    "healed/10/5",
    "healed/20/2",
    "healed/20/5",
    "minor/20/2",
    "minor/20/5",
    "minor/40/1.5",
    "minor/40/2",
    "minor/40/5",
    "block/20/5",
    "block/40/5",
    "spread/0/2",
    "spread/0/4",
    "silent/10/0",
    "silent/20/0",
    "zero/17/0",
];

/// Columns in the table's order.
const COLUMNS: [Rule; 5] = [Rule::HaldaneV1NoHistory, Rule::HaldaneV1, Rule::NetflixAca, Rule::ThresholdV1, Rule::MannWhitney];

/// What must hold; read from a file that is kept with the sources.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Floors {
    /// Shares in per cent.
    floors: Vec<Floor>,
    /// Cases whose verdict by Kayenta's judge may differ, each with its reason.
    kayenta_exceptions: BTreeMap<String, String>,
}

/// One bound on one row of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Floor {
    name: String,
    /// The row.
    row: String,
    /// The judges; of several the best counts.
    judges: Vec<String>,
    #[serde(default)]
    at_most: Option<f64>,
    #[serde(default)]
    at_least: Option<f64>,
}

/// What an evaluation found.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The report.
    pub text: String,
    /// What is broken, by name.
    pub broken: Vec<String>,
    /// What `haldane-v1` said of each case, in the corpus' order.
    pub verdicts: Vec<CaseVerdicts>,
}

/// The reference's verdicts on one case.
#[derive(Debug, Deserialize)]
struct Reference {
    id: String,
    kayenta: ReferenceKayenta,
}

#[derive(Debug, Deserialize)]
struct ReferenceKayenta {
    score: f64,
    verdict: String,
    metrics: BTreeMap<String, String>,
}

/// Rows of the table, in its order.
#[derive(Default)]
struct RateRows(Vec<(String, Vec<Tally>)>);

impl RateRows {
    fn count(&mut self, row: &str, column: usize, group: &str, hits: usize, trials: usize) {
        if !self.0.iter().any(|(name, _)| name == row) {
            self.0.push((row.to_owned(), vec![Tally::default(); COLUMNS.len()]));
        }
        let tally = self.0.iter_mut().find(|(name, _)| name == row).and_then(|(_, tallies)| tallies.get_mut(column));
        if let Some(tally) = tally {
            tally.add(group, hits as u64, trials as u64);
        }
    }

    fn rate(&self, row: &str, judge: &str) -> Option<Rate> {
        let column = COLUMNS.iter().position(|rule| rule.as_str() == judge)?;
        self.0.iter().find(|(name, _)| name == row)?.1.get(column)?.rate()
    }
}

/// The memory ramps before they were injected, which are counted once all cases are known.
const BEFORE_RAMP: &str = "the same canaries before injection, regressed or suspect";

const FIRST_ROWS: [&str; 39] = [
    "healthy canaries failed",
    "healthy, not passed",
    "healthy of 9 and more metrics, not passed",
    "healthy, any metric regressed",
    "per-metric false alarms",
    "faulty canaries passed",
    "faulty canaries passed, without JumpStarter",
    "affected metric regressed: PetShop",
    "affected metric regressed: Nezha",
    "affected metric regressed: MS cloud",
    "affected metric regressed or suspect: PetShop",
    "affected metric regressed or suspect: Nezha",
    "affected metric regressed or suspect: MS cloud",
    "latency x1.05",
    "latency x1.1",
    "latency x1.25",
    "latency x1.5",
    "latency x2",
    "latency x1.05, metric passed",
    "latency x1.1, metric passed",
    "latency x1.25, metric passed",
    "latency x1.5, metric passed",
    "latency x2, metric passed",
    "latency x1.05, canary passed",
    "latency x1.1, canary passed",
    "latency x1.25, canary passed",
    "latency x1.5, canary passed",
    "latency x2, canary passed",
    "errors +0.1 pp",
    "errors +1 pp",
    "memory ramp to +10 % regressed",
    "memory ramp to +10 % regressed or suspect",
    BEFORE_RAMP,
    "found within 10 minutes",
    "found or held within 10 minutes",
    "found within 20 minutes",
    "found or held within 20 minutes",
    "found within 60 minutes",
    "found or held within 60 minutes",
];

/// What is measured, and by what it is held.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The folder of the corpus.
    pub folder: PathBuf,
    /// The file of floors.
    pub floors: PathBuf,
    /// A file of verdicts that an earlier version wrote, to be told what changed.
    pub against: Option<PathBuf>,
    /// Share of bad releases, 0 to 1, at which verdicts are told what they are worth.
    pub defect_rate: f64,
    /// Threads that judge.
    pub threads: NonZeroUsize,
}

/// Measures every judge on a corpus and holds the rows against the floors of a file.
///
/// # Errors
/// [`ReplayError`] where the corpus or the floors cannot be read.
pub fn evaluate(of: &Measurement, progress: &dyn Fn(ReplayProgress)) -> Result<Evaluation, ReplayError> {
    let Measurement { folder, floors, against, defect_rate, threads } = of;
    if !(0.0..=1.0).contains(defect_rate) {
        return Err(ReplayError::Input(format!("--defect-rate: {defect_rate} is no share; give 0 to 1")));
    }
    let mut verdicts = Vec::new();
    let before = against.as_deref().map(super::verdicts::read).transpose()?;
    let unreadable = |path: &Path, error: String| ReplayError::Input(format!("`{}` cannot be read: {error}", path.display()));
    let text = std::fs::read_to_string(floors).map_err(|error| unreadable(floors, error.to_string()))?;
    let limits: Floors = serde_saphyr::from_str(&text).map_err(|error| unreadable(floors, error.to_string()))?;
    let references = references(&folder.join("reference-verdicts.jsonl.gz"))?;
    let mut rows = RateRows::default();
    for row in FIRST_ROWS {
        rows.0.push((row.to_owned(), vec![Tally::default(); COLUMNS.len()]));
    }
    let options = ReplayOptions {
        paths: vec![folder.join("cases.jsonl.gz")],
        columns: COLUMNS.into_iter().map(Column::derived).collect(),
        injection: None,
        looks: None,
        filters: Vec::new(),
        min_points: 0,
        window_seconds: None,
        output: None,
        resume: false,
        threads: *threads,
    };
    let mut worth = vec![Verdicts::default(); COLUMNS.len()];
    let mut pool = Pool::default();
    let mut agreement = Agreement { references, ..Agreement::default() };
    let mut memory: BTreeMap<String, Vec<Option<Status>>> = BTreeMap::new();
    let mut ramps: Vec<(String, String)> = Vec::new();
    let mut take = |case: &CaseResult| {
        count(&mut rows, case);
        pool.offer(case);
        if let (Some(label), [no_history, history, ..]) = (case.label, case.columns.as_slice()) {
            verdicts.push((label, CaseVerdicts { id: case.id.clone(), no_history: no_history.verdict, history: history.verdict }));
            if label == Label::Healthy || case.source != LABELS_WITHOUT_LEVEL {
                worth.iter_mut().zip(&case.columns).for_each(|(worth, judged)| worth.add(&case.group, label, judged.verdict));
            }
        }
        agreement.hold(case, &limits.kayenta_exceptions);
        match case.id.strip_suffix("+leak10") {
            Some(before) => ramps.push((before.to_owned(), case.group.clone())),
            None => {
                let status =
                    |judged: &CaseJudgement| judged.metrics.iter().find(|metric| metric.name == "memory_pct").map(|metric| metric.status);
                memory.insert(case.id.clone(), case.columns.iter().map(status).collect());
            }
        }
    };
    let counted = run(&options, &mut take, progress)?;
    for (before, group) in &ramps {
        for (column, status) in memory.get(before).into_iter().flatten().enumerate() {
            let flagged = status.is_some_and(|status| status <= Status::Suspect);
            rows.count(BEFORE_RAMP, column, group, usize::from(flagged), 1);
        }
    }

    // Faults that are in a part of the window, for the judge that looks for them.
    let columns = [Rule::HaldaneV1NoHistory, Rule::HaldaneV1];
    let faults: Result<Vec<Fault>, String> = FAULTS.into_iter().map(str::parse).collect();
    let faults = faults.map_err(ReplayError::Input)?;
    let options = ReplayOptions {
        columns: columns.into_iter().map(Column::derived).collect(),
        injection: Some(Injection { faults, target: Target::Listed(pool.drawn()) }),
        ..options
    };
    let mut take = |case: &CaseResult| {
        for injected in &case.injected {
            for (column, (status, _)) in injected.columns.iter().enumerate() {
                let mut say = |what: &str, hit: bool| {
                    rows.count(&format!("injected {}: {what}", injected.fault), column, &case.group, usize::from(hit), 1);
                };
                say("regressed", *status == Status::Regressed);
                say("suspect or worse", *status <= Status::Suspect);
            }
        }
    };
    let faulted = run(&options, &mut take, progress)?;

    // Growing windows, for the judge that plans for them.
    let healthy: Filter = "label=healthy".parse().map_err(ReplayError::Input)?;
    let options = ReplayOptions { injection: None, looks: Some(LOOKS), filters: vec![healthy], min_points: LOOKS_MIN_POINTS, ..options };
    let mut take = |case: &CaseResult| {
        for (column, judged) in case.columns.iter().enumerate() {
            let single = usize::from(judged.verdict == Verdict::Fail);
            rows.count("n >= 60: healthy failed at a single look", column, &case.group, single, 1);
            rows.count(
                "n >= 60: healthy failed at any of 12 looks",
                column,
                &case.group,
                usize::from(judged.first_failed_look.is_some()),
                1,
            );
        }
    };
    let looked = run(&options, &mut take, progress)?;

    let mut text = String::new();
    let names: Vec<String> = COLUMNS.iter().map(ToString::to_string).collect();
    let mut table = Table::new(&format!("{} canaries", counted.judged), &names);
    for (row, tallies) in &rows.0 {
        let trials = tallies.iter().map(Tally::trials).max().unwrap_or(0);
        let cells = tallies.iter().map(|tally| tally.rate().map_or_else(|| "-".to_owned(), |rate| short_words(&rate)));
        table.push(format!("{row} ({trials})"), cells.collect());
    }
    table.write(&mut text, ReportFormat::Text);
    let _ = writeln!(
        text,
        "\nIn brackets: 95 % intervals that resample whole groups. {FOUND_WITHIN_NOTE} Injected: into one metric of {} healthy canaries of {} points that passes, at most {POOL_MOST} of a source and pairing.",
        faulted.judged,
        POOL_POINTS.map(|points| points.to_string()).join(" or ")
    );
    if let Some(table) = super::worth::table(&names, &worth, *defect_rate) {
        let _ = writeln!(text, "\n{}; faulty: without JumpStarter\n", super::worth::heading(*defect_rate));
        table.write(&mut text, ReportFormat::Text);
    }
    if let Some(before) = before {
        super::verdicts::write_changes(&before, &verdicts, &mut text);
    }

    let mut broken = Vec::new();
    let skipped = counted.skipped + faulted.skipped + looked.skipped;
    if skipped > 0 {
        broken.push(format!("every case is read: {skipped} were skipped, {}", counted.problems.join("; ")));
    }
    agreement.conclude(&mut text, &mut broken);
    text.push_str("\nFloors\n");
    for floor in &limits.floors {
        hold(floor, &rows, &mut text, &mut broken);
    }
    let verdicts = verdicts.into_iter().map(|(_, verdicts)| verdicts).collect();
    Ok(Evaluation { text, broken, verdicts })
}

fn references(path: &Path) -> Result<BTreeMap<String, Reference>, ReplayError> {
    let wrong = |error: String| ReplayError::Input(format!("`{}` cannot be read: {error}", path.display()));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut all = BTreeMap::new();
    for line in BufReader::new(MultiGzDecoder::new(file)).lines() {
        let reference: Reference =
            serde_json::from_str(&line.map_err(|error| wrong(error.to_string()))?).map_err(|error| wrong(error.to_string()))?;
        all.insert(reference.id.clone(), reference);
    }
    Ok(all)
}

/// The injected regressions, by the end of the case's id.
const INJECTED: [(&str, &str); 7] = [
    ("+lat1.05", "latency x1.05"),
    ("+lat1.1", "latency x1.1"),
    ("+lat1.25", "latency x1.25"),
    ("+lat1.5", "latency x1.5"),
    ("+lat2", "latency x2"),
    ("+err0.1pp", "errors +0.1 pp"),
    ("+err1pp", "errors +1 pp"),
];

fn count(rows: &mut RateRows, case: &CaseResult) {
    let injected = INJECTED.iter().find(|(suffix, _)| case.id.ends_with(suffix)).map(|(_, row)| *row);
    let is_semi = case.id.contains('+')
        && case.id.rsplit('+').next().is_some_and(|how| ["lat", "err", "leak"].iter().any(|kind| how.starts_with(kind)));
    for (column, judged) in case.columns.iter().enumerate() {
        let mut say = |row: &str, hits: usize, trials: usize| rows.count(row, column, &case.group, hits, trials);
        let regressed = judged.counted().filter(|metric| metric.status == Status::Regressed).count();
        let failed = usize::from(judged.verdict == Verdict::Fail);
        if case.label == Some(Label::Healthy) {
            say("healthy canaries failed", failed, 1);
            say("healthy, not passed", usize::from(judged.verdict != Verdict::Pass), 1);
            if judged.counted().count() >= MANY_METRICS {
                say("healthy of 9 and more metrics, not passed", usize::from(judged.verdict != Verdict::Pass), 1);
            }
            say("healthy, any metric regressed", usize::from(regressed > 0), 1);
            say("per-metric false alarms", regressed, judged.counted().count());
            say(&format!("healthy failed: {}", case.source), failed, 1);
            continue;
        }
        let worst = worst_affected(judged);
        let found = usize::from(worst == Some(Status::Regressed));
        let flagged = usize::from(worst.is_some_and(|worst| worst <= Status::Suspect));
        let passed = usize::from(judged.verdict == Verdict::Pass);
        say("faulty canaries passed", passed, 1);
        if case.source != LABELS_WITHOUT_LEVEL {
            say("faulty canaries passed, without JumpStarter", passed, 1);
            for (minutes, within) in FOUND_WITHIN_MINUTES.iter().zip(judged.found_within) {
                let Some(within) = within else { continue };
                say(&format!("found within {minutes} minutes"), usize::from(within == Detection::Failed), 1);
                say(&format!("found or held within {minutes} minutes"), usize::from(within <= Detection::Held), 1);
            }
        }
        if let Some(row) = injected {
            say(row, found, 1);
            if row.starts_with("latency") {
                let affected = || judged.counted().filter(|metric| metric.affected == Some(true));
                let passing = affected().filter(|metric| metric.status == Status::Pass).count();
                say(&format!("{row}, metric passed"), passing, affected().count());
                say(&format!("{row}, canary passed"), passed, 1);
            }
        } else if case.id.ends_with("+leak10") {
            say("memory ramp to +10 % regressed", found, 1);
            say("memory ramp to +10 % regressed or suspect", flagged, 1);
        } else if !is_semi {
            let source = match case.source.as_str() {
                "petshop" => "PetShop",
                "nezha" => "Nezha",
                "mscloud" => "MS cloud",
                _ => continue,
            };
            say(&format!("affected metric regressed: {source}"), found, 1);
            say(&format!("affected metric regressed or suspect: {source}"), flagged, 1);
        }
    }
}

/// Canaries that faults are put into: healthy ones that pass, with history and without; into a metric that does as well.
#[derive(Default)]
struct Pool {
    /// By source and pairing, and by the rank of the case.
    offered: BTreeMap<(String, Option<String>), BTreeMap<u64, Candidate>>,
}

/// A case with those of its metrics that may carry the faults.
type Candidate = (String, BTreeSet<String>);

impl Pool {
    fn offer(&mut self, case: &CaseResult) {
        let [no_history, history, ..] = case.columns.as_slice() else { return };
        let passes = no_history.verdict == Verdict::Pass && history.verdict == Verdict::Pass;
        if case.label != Some(Label::Healthy) || !POOL_POINTS.contains(&case.points) || !passes {
            return;
        }
        let both = no_history.metrics.iter().zip(&history.metrics);
        let passing = both.filter(|(first, second)| first.status == Status::Pass && second.status == Status::Pass);
        let metrics: BTreeSet<String> = passing.map(|(metric, _)| metric.name.clone()).collect();
        if !metrics.is_empty() {
            let of_kind = self.offered.entry((case.source.clone(), case.pairing.clone())).or_default();
            // Which canary is drawn has nothing to do with which metrics of it pass.
            of_kind.insert(rank(&case.id, ""), (case.id.clone(), metrics));
        }
    }

    /// The metrics of which one carries the faults, by case.
    fn drawn(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.offered.values().flat_map(|ranked| ranked.values().take(POOL_MOST).cloned()).collect()
    }
}

/// How far Kayenta's judge agrees with the verdicts that were computed elsewhere.
#[derive(Default)]
struct Agreement {
    references: BTreeMap<String, Reference>,
    kayenta_cases: u64,
    kayenta_differs: Vec<String>,
    kayenta_excepted: Vec<String>,
}

impl Agreement {
    fn hold(&mut self, case: &CaseResult, exceptions: &BTreeMap<String, String>) {
        let Some(reference) = self.references.remove(&case.id) else {
            self.kayenta_differs.push(format!("{}: has no reference verdict", case.id));
            return;
        };
        let [_, _, kayenta, ..] = case.columns.as_slice() else { return };
        self.kayenta_cases += 1;
        if let Some(difference) = kayenta_difference(kayenta, &reference.kayenta) {
            match exceptions.get(&case.id) {
                Some(reason) => self.kayenta_excepted.push(format!("{}: {difference} ({reason})", case.id)),
                None => self.kayenta_differs.push(format!("{}: {difference}", case.id)),
            }
        }
    }

    fn conclude(&self, text: &mut String, broken: &mut Vec<String>) {
        let _ = writeln!(
            text,
            "\nKayenta's judge: {} cases, {} differ from the reference in score, verdict or a classification",
            self.kayenta_cases,
            self.kayenta_differs.len() + self.kayenta_excepted.len()
        );
        for difference in self.kayenta_differs.iter().take(20) {
            let _ = writeln!(text, "  {difference}");
        }
        for difference in &self.kayenta_excepted {
            let _ = writeln!(text, "  expected: {difference}");
        }
        if !self.kayenta_differs.is_empty() {
            broken.push(format!("kayenta's judge agrees with the reference: {} cases differ", self.kayenta_differs.len()));
        }
        if !self.references.is_empty() {
            broken.push(format!("every reference verdict has its case: {} are left over", self.references.len()));
        }
    }
}

/// What differs from Kayenta's verdict, if anything; the reference's scores are rounded to two digits.
fn kayenta_difference(judged: &CaseJudgement, reference: &ReferenceKayenta) -> Option<String> {
    let verdict = judged.verdict.to_string();
    let score = judged.score.unwrap_or(f64::NAN);
    let mut all = Vec::new();
    if verdict != reference.verdict.to_lowercase() {
        all.push(format!("verdict {verdict}, not {}", reference.verdict.to_lowercase()));
    }
    if (score - reference.score).abs().partial_cmp(&0.005_000_1).is_none_or(Ordering::is_gt) {
        all.push(format!("score {score}, not {}", reference.score));
    }
    for metric in &judged.metrics {
        if let Some(expected) = reference.metrics.get(&metric.name).filter(|expected| **expected != metric.reason) {
            all.push(format!("{} {}, not {expected}", metric.name, metric.reason));
        }
    }
    (!all.is_empty()).then(|| all.join(", "))
}

/// Holds a row against its floor. A row `a / b` is the ratio of two rows.
fn hold(floor: &Floor, rows: &RateRows, text: &mut String, broken: &mut Vec<String>) {
    let value = |judge: &String| match floor.row.split_once(" / ") {
        Some((part, whole)) => {
            let (part, whole) = (rows.rate(part, judge)?.rate, rows.rate(whole, judge)?.rate);
            // None failed at a single look: then none may fail at any.
            Some(if part == whole { 1.0 } else { part / whole })
        }
        None => Some(rows.rate(&floor.row, judge)?.rate * 100.0),
    };
    let values: Vec<Option<f64>> = floor.judges.iter().map(value).collect();
    let values: Option<Vec<f64>> = values.into_iter().collect();
    let best = values.and_then(|values| {
        let best = if floor.at_most.is_some() { f64::min } else { f64::max };
        values.into_iter().reduce(best)
    });
    let (holds, bound) = match (best, floor.at_most, floor.at_least) {
        (Some(best), Some(most), None) => (best <= most + 1e-9, format!("at most {most}")),
        (Some(best), None, Some(least)) => (best >= least - 1e-9, format!("at least {least}")),
        _ => (false, "names no row, judge or bound that exists".to_owned()),
    };
    let shown = best
        .map_or_else(|| "-".to_owned(), |best| if floor.row.contains(" / ") { format!("{best:.2}") } else { one_decimal(best / 100.0) });
    let line = format!("{}: {shown}, {bound}", floor.name);
    let _ = writeln!(text, "  {}  {line}", if holds { "holds " } else { "BROKEN" });
    if !holds {
        broken.push(line);
    }
}
