//! What a replay found in all: rates for each judge, by source, and which verdicts two configs disagree on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use haldane_judges::Verdict;
use haldane_judges::scorecard::Status;
use serde::Serialize;

use super::case::Label;
use super::faults::Fault;
use super::injection::{INJECTED_NOTE, InjectedRates};
use super::layout::{FOUND_WITHIN_NOTE, ReportFormat, Table, one_decimal, span, words};
use super::rates::{Ranking, Rate, Roc, Tally};
use super::result::{CaseJudgement, CaseResult, Detection, FOUND_WITHIN_MINUTES};
use super::run::ReplayCounts;
use super::worth::{self, Verdicts};
use crate::report::format::{clean, percent};

/// Most changed verdicts that are listed; all are counted.
const MAX_CHANGES: usize = 1000;
/// Most changed verdicts that a person is shown.
const SHOWN_CHANGES: usize = 50;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum SummaryMeasure {
    /// Healthy canaries that failed.
    HealthyFailed,
    /// Healthy canaries that failed at any of the looks.
    HealthyEverFailed,
    /// Healthy canaries that did not pass.
    HealthyNotPassed,
    /// Metrics of healthy canaries that were regressed.
    FalseAlarms,
    /// Regressed canaries that failed.
    RegressedFailed,
    /// Regressed canaries that failed at any of the looks.
    RegressedEverFailed,
    /// Regressed canaries of which an affected metric was regressed.
    AffectedRegressed,
    /// The same, or suspect.
    AffectedFlagged,
    /// Regressed canaries that were found after 10 minutes: an affected metric regressed, or the canary failed where those are unknown.
    #[serde(rename = "found_within_10")]
    FoundWithin10,
    /// The same, or held: an affected metric suspect, or the canary marginal.
    #[serde(rename = "held_within_10")]
    HeldWithin10,
    /// Found after 20 minutes.
    #[serde(rename = "found_within_20")]
    FoundWithin20,
    /// Found or held after 20 minutes.
    #[serde(rename = "held_within_20")]
    HeldWithin20,
    /// Found after 60 minutes.
    #[serde(rename = "found_within_60")]
    FoundWithin60,
    /// Found or held after 60 minutes.
    #[serde(rename = "held_within_60")]
    HeldWithin60,
    /// Canaries of unknown truth that failed.
    UnlabelledFailed,
    /// Canaries of unknown truth that did not pass.
    UnlabelledNotPassed,
    /// Metrics that were inconclusive or without data.
    Inconclusive,
    /// Metrics of the config that the case does not have; no other measure counts them.
    NotRecorded,
}

/// What is counted after each of [`FOUND_WITHIN_MINUTES`].
const WITHIN: [[SummaryMeasure; 2]; FOUND_WITHIN_MINUTES.len()] = [
    [SummaryMeasure::FoundWithin10, SummaryMeasure::HeldWithin10],
    [SummaryMeasure::FoundWithin20, SummaryMeasure::HeldWithin20],
    [SummaryMeasure::FoundWithin60, SummaryMeasure::HeldWithin60],
];

impl SummaryMeasure {
    const fn words(self) -> &'static str {
        match self {
            Self::HealthyFailed => "healthy canaries failed",
            Self::HealthyEverFailed => "healthy canaries failed at any look",
            Self::HealthyNotPassed => "healthy canaries not passed",
            Self::FalseAlarms => "their metrics regressed (false alarms)",
            Self::RegressedFailed => "regressed canaries failed",
            Self::RegressedEverFailed => "regressed canaries failed at any look",
            Self::AffectedRegressed => "affected metric regressed",
            Self::AffectedFlagged => "affected metric regressed or suspect",
            Self::FoundWithin10 => "found within 10 minutes",
            Self::HeldWithin10 => "found or held within 10 minutes",
            Self::FoundWithin20 => "found within 20 minutes",
            Self::HeldWithin20 => "found or held within 20 minutes",
            Self::FoundWithin60 => "found within 60 minutes",
            Self::HeldWithin60 => "found or held within 60 minutes",
            Self::UnlabelledFailed => "unlabelled canaries failed",
            Self::UnlabelledNotPassed => "unlabelled canaries not passed",
            Self::Inconclusive => "metrics inconclusive or without data",
            Self::NotRecorded => "metrics not recorded, left out above",
        }
    }
}

/// Rates of all judges, under way.
#[derive(Debug, Clone)]
pub struct ReplaySummary {
    columns: Vec<String>,
    /// By source, none for all together; measure; column.
    tallies: BTreeMap<(Option<String>, SummaryMeasure), Vec<Tally>>,
    rankings: Vec<Ranking>,
    /// By column.
    verdicts: Vec<Verdicts>,
    defect_rate: f64,
    injected: InjectedRates,
    sources: BTreeSet<String>,
    labels: [u64; 3],
    pairs: Vec<ColumnPair>,
    /// Whether growing windows were judged too.
    looks: bool,
}

/// Two columns that differ in their config alone.
#[derive(Debug, Clone)]
struct ColumnPair {
    columns: (usize, usize),
    counts: BTreeMap<(Verdict, Verdict), u64>,
    changes: Vec<Change>,
    changed: u64,
}

/// A case whose verdict the second config changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    /// The case.
    pub case: String,
    /// Its label.
    pub label: Option<Label>,
    /// The verdict by the first config.
    pub before: Verdict,
    /// The verdict by the second.
    pub after: Verdict,
    /// The metrics whose status changed, with both.
    pub metrics: Vec<String>,
}

/// One measure, for each judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct SummaryLine {
    measure: SummaryMeasure,
    words: &'static str,
    rates: Vec<Option<Rate>>,
}

impl SummaryLine {
    fn push_to(&self, table: &mut Table) {
        // How many were not recorded follows from the config; it is no estimate of anything.
        let cell = |rate: &Rate| match self.measure {
            SummaryMeasure::NotRecorded => format!("{} of {}", rate.hits, rate.trials),
            _ => words(rate),
        };
        let cells = self.rates.iter().map(|rate| rate.as_ref().map_or_else(|| "-".to_owned(), cell));
        table.push(self.words.to_owned(), cells.collect());
    }
}

impl ReplaySummary {
    /// An empty summary of these columns; `pairs` of them differ in their config alone; with `looks`,
    /// growing windows were judged too. `defect_rate` is the share of releases that are bad, 0 to 1; `faults` were put into canaries.
    #[must_use]
    pub fn new(columns: Vec<String>, pairs: &[(usize, usize)], looks: bool, defect_rate: f64, faults: &[Fault]) -> Self {
        let pair = |columns: &(usize, usize)| ColumnPair { columns: *columns, counts: BTreeMap::new(), changes: Vec::new(), changed: 0 };
        Self {
            tallies: BTreeMap::new(),
            rankings: vec![Ranking::default(); columns.len()],
            verdicts: vec![Verdicts::default(); columns.len()],
            defect_rate,
            injected: InjectedRates::new(faults, columns.len()),
            sources: BTreeSet::new(),
            labels: [0; 3],
            pairs: pairs.iter().map(pair).collect(),
            columns,
            looks,
        }
    }

    /// Counts a case.
    pub fn add(&mut self, case: &CaseResult) {
        self.sources.insert(case.source.clone());
        let label = match case.label {
            Some(Label::Healthy) => 0,
            Some(Label::Regressed) => 1,
            None => 2,
        };
        if let Some(count) = self.labels.get_mut(label) {
            *count += 1;
        }
        // Groups of two sources may have the same name.
        let group = format!("{}/{}", case.source, case.group);
        self.injected.add(&group, case);
        for (column, judged) in case.columns.iter().enumerate() {
            if let (Some(verdicts), Some(label)) = (self.verdicts.get_mut(column), case.label) {
                verdicts.add(&group, label, judged.verdict);
            }
            let mut count = |measure: SummaryMeasure, hits: usize, trials: usize| {
                for source in [None, Some(case.source.clone())] {
                    let tallies = self.tallies.entry((source, measure)).or_insert_with(|| vec![Tally::default(); self.columns.len()]);
                    if let Some(tally) = tallies.get_mut(column) {
                        tally.add(&group, hits as u64, trials as u64);
                    }
                }
            };
            let with = |statuses: &[Status]| judged.counted().filter(|metric| statuses.contains(&metric.status)).count();
            let counted = judged.counted().count();
            let failed = usize::from(judged.verdict == Verdict::Fail);
            let not_passed = usize::from(judged.verdict != Verdict::Pass);
            let ever = usize::from(judged.first_failed_look.is_some());
            match case.label {
                Some(Label::Healthy) => {
                    count(SummaryMeasure::HealthyFailed, failed, 1);
                    count(SummaryMeasure::HealthyNotPassed, not_passed, 1);
                    count(SummaryMeasure::FalseAlarms, with(&[Status::Regressed]), counted);
                    if self.looks {
                        count(SummaryMeasure::HealthyEverFailed, ever, 1);
                    }
                }
                Some(Label::Regressed) => {
                    count(SummaryMeasure::RegressedFailed, failed, 1);
                    if self.looks {
                        count(SummaryMeasure::RegressedEverFailed, ever, 1);
                    }
                    if let Some(worst) = worst_affected(judged) {
                        count(SummaryMeasure::AffectedRegressed, usize::from(worst == Status::Regressed), 1);
                        count(SummaryMeasure::AffectedFlagged, usize::from(worst <= Status::Suspect), 1);
                    }
                    for ([found, held], within) in WITHIN.into_iter().zip(judged.found_within) {
                        let Some(within) = within else { continue };
                        count(found, usize::from(within == Detection::Failed), 1);
                        count(held, usize::from(within <= Detection::Held), 1);
                    }
                }
                None => {
                    count(SummaryMeasure::UnlabelledFailed, failed, 1);
                    count(SummaryMeasure::UnlabelledNotPassed, not_passed, 1);
                }
            }
            count(SummaryMeasure::Inconclusive, with(&[Status::Inconclusive, Status::NoData]), counted);
            let missing = judged.metrics.iter().filter(|metric| !metric.recorded).count();
            count(SummaryMeasure::NotRecorded, missing, judged.metrics.len());
            if let (Some(ranking), Some(label)) = (self.rankings.get_mut(column), case.label) {
                ranking.add(&group, judged.exceedance(), label == Label::Regressed);
            }
        }
        for pair in &mut self.pairs {
            pair.add(case);
        }
    }

    /// Canaries that carried a fault, one for each fault.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.injected.canaries()
    }

    /// Canaries counted.
    #[must_use]
    pub fn canaries(&self) -> u64 {
        self.labels.iter().sum()
    }

    fn lines(&self, source: Option<&str>) -> Vec<SummaryLine> {
        let of_source = |(key, tallies): (&(Option<String>, SummaryMeasure), &Vec<Tally>)| {
            let is_told = key.1 != SummaryMeasure::NotRecorded || tallies.iter().any(|tally| tally.hits() > 0);
            (key.0.as_deref() == source && is_told).then(|| SummaryLine {
                measure: key.1,
                words: key.1.words(),
                rates: tallies.iter().map(Tally::rate).collect(),
            })
        };
        self.tallies.iter().filter_map(of_source).collect()
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// When the JSON cannot be written.
    pub fn render(&self, counted: &ReplayCounts, format: ReportFormat) -> Result<String, String> {
        let rocs: Vec<Option<Roc>> = self.rankings.iter().map(Ranking::roc).collect();
        if format == ReportFormat::Json {
            return self.json(counted, &rocs);
        }
        let mut out = String::new();
        let [healthy, regressed, unlabelled] = self.labels;
        let canaries = self.canaries();
        let heading = if format == ReportFormat::Markdown { "# Replay\n\n" } else { "" };
        let _ = writeln!(
            out,
            "{heading}{canaries} canaries: {healthy} healthy, {regressed} regressed, {unlabelled} unlabelled{}",
            about(counted)
        );
        for problem in &counted.problems {
            let _ = writeln!(out, "{}skipped: {problem}", if format == ReportFormat::Markdown { "- " } else { "  " });
        }
        let mut table = Table::new("", &self.columns);
        for line in self.lines(None) {
            line.push_to(&mut table);
        }
        if rocs.iter().any(Option::is_some) {
            let area = |roc: &Option<Roc>| {
                roc.as_ref().map_or_else(|| "-".to_owned(), |roc| format!("{:.3}{}", roc.area, span(roc.interval, 1.0, 3)))
            };
            table.push("area under the ROC curve".to_owned(), rocs.iter().map(area).collect());
            for i in 0..4 {
                let at = |roc: &Option<Roc>| roc.as_ref().and_then(|roc| roc.detection.get(i).copied());
                let Some([alarms, _]) = rocs.iter().find_map(at) else { continue };
                let cells = rocs.iter().map(|roc| at(roc).map_or_else(|| "-".to_owned(), |[_, found]| one_decimal(found))).collect();
                table.push(format!("found where {} of the healthy may fail", percent(alarms)), cells);
            }
        }
        out.push('\n');
        table.write(&mut out, format);
        let _ = writeln!(
            out,
            "\nIn brackets: 95 % intervals that resample whole groups. Ranked by the largest shift / limit of a canary. Muted metrics count towards no rate."
        );
        if WITHIN.iter().flatten().any(|measure| self.tallies.contains_key(&(None, *measure))) {
            let _ = writeln!(out, "{FOUND_WITHIN_NOTE}");
        }
        let markdown = format == ReportFormat::Markdown;
        if let Some(table) = worth::table(&self.columns, &self.verdicts, self.defect_rate) {
            let _ = writeln!(out, "\n{}{}\n", if markdown { "## " } else { "" }, worth::heading(self.defect_rate));
            table.write(&mut out, format);
        }
        if !self.injected.is_empty() {
            for (i, column) in self.columns.iter().enumerate() {
                let _ = writeln!(out, "\n{}Injected faults, judged by {column}\n", if markdown { "## " } else { "" });
                self.injected.table(i).write(&mut out, format);
            }
            let _ = writeln!(out, "\n{INJECTED_NOTE}");
        }
        if self.sources.len() > 1 {
            for source in &self.sources {
                let shown = if source.is_empty() { "no source".to_owned() } else { clean(source) };
                let _ = writeln!(out, "\n{}{shown}\n", if format == ReportFormat::Markdown { "## " } else { "" });
                let mut table = Table::new("", &self.columns);
                for line in self.lines(Some(source)) {
                    line.push_to(&mut table);
                }
                table.write(&mut out, format);
            }
        }
        for pair in &self.pairs {
            pair.write(&self.columns, format, &mut out);
        }
        Ok(out)
    }

    fn json(&self, counted: &ReplayCounts, rocs: &[Option<Roc>]) -> Result<String, String> {
        let sources: BTreeMap<&str, Vec<SummaryLine>> =
            self.sources.iter().map(|source| (source.as_str(), self.lines(Some(source)))).collect();
        let pairs: Vec<serde_json::Value> = self.pairs.iter().map(|pair| pair.json(&self.columns)).collect();
        let [healthy, regressed, unlabelled] = self.labels;
        let document = serde_json::json!({
            "canaries": {"healthy": healthy, "regressed": regressed, "unlabelled": unlabelled},
            "read": counted,
            "judges": self.columns,
            "rates": self.lines(None),
            "roc": rocs,
            "worth": self.verdicts.iter().map(|verdicts| verdicts.worth(self.defect_rate)).collect::<Vec<_>>(),
            "injected": self.injected.lines(),
            "by_source": sources,
            "compared": pairs,
        });
        serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|error| error.to_string())
    }
}

/// The gravest status among the affected metrics that count; of all metrics, where it is not known which are affected.
pub(super) fn worst_affected(judged: &CaseJudgement) -> Option<Status> {
    judged.counted().filter(|metric| metric.affected.unwrap_or(true)).map(|metric| metric.status).min()
}

impl ColumnPair {
    fn add(&mut self, case: &CaseResult) {
        let (Some(first), Some(second)) = (case.columns.get(self.columns.0), case.columns.get(self.columns.1)) else { return };
        *self.counts.entry((first.verdict, second.verdict)).or_default() += 1;
        if first.verdict == second.verdict {
            return;
        }
        self.changed += 1;
        if self.changes.len() >= MAX_CHANGES {
            return;
        }
        let status =
            |judged: &CaseJudgement, name: &str| judged.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.status);
        let names: BTreeSet<&str> = first.metrics.iter().chain(&second.metrics).map(|metric| metric.name.as_str()).collect();
        let shown = |status: Option<Status>| status.map_or_else(|| "not judged".to_owned(), |status| status.to_string());
        let metrics = names.into_iter().filter_map(|name| {
            let (before, after) = (status(first, name), status(second, name));
            (before != after).then(|| format!("{}: {} -> {}", clean(name), shown(before), shown(after)))
        });
        let metrics = metrics.collect();
        self.changes.push(Change { case: case.id.clone(), label: case.label, before: first.verdict, after: second.verdict, metrics });
    }

    fn names<'a>(&self, columns: &'a [String]) -> (&'a str, &'a str) {
        let name = |i: usize| columns.get(i).map_or("", String::as_str);
        (name(self.columns.0), name(self.columns.1))
    }

    fn write(&self, columns: &[String], format: ReportFormat, out: &mut String) {
        let (before, after) = self.names(columns);
        let markdown = format == ReportFormat::Markdown;
        let _ = writeln!(
            out,
            "\n{}{before} -> {after}: {} of {} verdicts change\n",
            if markdown { "## " } else { "" },
            self.changed,
            self.counts.values().sum::<u64>()
        );
        for ((before, after), n) in &self.counts {
            let _ = writeln!(out, "{}{before} -> {after}: {n}", if markdown { "- " } else { "  " });
        }
        for change in self.changes.iter().take(SHOWN_CHANGES) {
            let truth = match change.label {
                Some(Label::Healthy) => " (healthy)",
                Some(Label::Regressed) => " (regressed)",
                None => "",
            };
            let metrics = if change.metrics.is_empty() { String::new() } else { format!("; {}", change.metrics.join(", ")) };
            let bullet = if markdown { "- " } else { "  " };
            let _ = writeln!(out, "{bullet}{}{truth}: {} -> {}{metrics}", clean(&change.case), change.before, change.after);
        }
        if self.changed > SHOWN_CHANGES as u64 {
            let _ = writeln!(out, "  and {} more; --output has them all", self.changed - SHOWN_CHANGES as u64);
        }
    }

    fn json(&self, columns: &[String]) -> serde_json::Value {
        let (before, after) = self.names(columns);
        let counts = self.counts.iter().map(|((before, after), n)| serde_json::json!({"before": before, "after": after, "cases": n}));
        serde_json::json!({
            "before": before, "after": after, "changed": self.changed,
            "counts": counts.collect::<Vec<_>>(), "changes": self.changes,
        })
    }
}

/// What the rows of found canaries are of.
fn about(counted: &ReplayCounts) -> String {
    let mut out = String::new();
    for (n, what) in [(counted.resumed, "from the output"), (counted.filtered, "filtered out"), (counted.skipped, "skipped")] {
        if n > 0 {
            let _ = write!(out, "; {n} {what}");
        }
    }
    out
}
