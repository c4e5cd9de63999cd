//! The calibration report: what each metric's noise allows, and what catching regressions is worth.
//!
//! Everything is counted from the first judge's results; every derived number stands beside its formula.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use haldane_judges::Verdict;
use haldane_judges::scorecard::{HistoryNumbers, Status};
use haldane_judges::stats::quantile_of_sorted;

use super::case::Label;
use super::faults::Fault;
use super::injection::{INJECTED_NOTE, InjectedRates};
use super::layout::{FOUND_WITHIN_NOTE, ReportFormat, Table, one_decimal, short_words, span, words};
use super::page::{self, CalibrationView, Section};
use super::rates::{Ranking, Rate, Tally};
use super::result::{CaseJudgement, CaseResult, Detection, FOUND_WITHIN_MINUTES};
use super::roc_chart::RocCurve;
use super::summary::worst_affected;
use super::sweep::ToleranceSweep;
use super::worth::{Verdicts, heading};
use super::wrong::WrongVerdicts;
use crate::report::format::{clean, number, percent};

/// Days of a month, on average.
const DAYS_PER_MONTH: f64 = 365.25 / 12.0;
const DAYS_PER_YEAR: f64 = 365.25;

/// What the report takes for granted, beside what it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assumptions {
    /// Releases a day, each with a canary.
    pub releases_per_day: f64,
    /// Share of the releases that are worse than what they replace, 0 to 1.
    pub defect_rate: f64,
    /// Share of those that fail as canaries, 0 to 1; `None` takes the measured one.
    pub catch_rate: Option<f64>,
    /// Share of the traffic that a canary receives, 0 to 1.
    pub canary_share: f64,
}

impl Assumptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The option, its value and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !(self.releases_per_day.is_finite() && self.releases_per_day > 0.0) {
            return Err(format!("--releases-per-day: {} must be a number above 0", self.releases_per_day));
        }
        let shares = [("defect-rate", Some(self.defect_rate)), ("catch-rate", self.catch_rate), ("canary-share", Some(self.canary_share))];
        match shares.into_iter().find(|(_, share)| share.is_some_and(|share| !(0.0..=1.0).contains(&share))) {
            Some((option, share)) => Err(format!("--{option}: {} is no share; give 0 to 1", share.unwrap_or_default())),
            None => Ok(()),
        }
    }
}

/// One metric under way.
#[derive(Debug, Clone, Default)]
struct MetricHistory {
    canaries: u64,
    windows: Vec<f64>,
    noise: Shifts,
    limits: Shifts,
    healthy: Tally,
    unlabelled: Tally,
    inconclusive: Tally,
}

/// Shifts of one metric: those of a ratio in percentage points, others as fractions of the level. One name may stand for both in
/// several sources.
#[derive(Debug, Clone, Default)]
struct Shifts {
    relative: Vec<f64>,
    points: Vec<f64>,
}

impl Shifts {
    /// Half and nine in ten are at most these.
    fn words(&self) -> String {
        let points = |value: f64| format!("{} pp", number(value));
        let parts = [(&self.relative, percent as fn(f64) -> String), (&self.points, points)];
        let parts = parts.into_iter().filter(|(values, _)| !values.is_empty()).map(|(values, write)| quantiles(values, 0.5, 0.9, write));
        let words = parts.collect::<Vec<_>>().join("; ");
        if words.is_empty() { "-".to_owned() } else { words }
    }
}

/// How one judge ranks canaries, and which it failed and did not pass: healthy, regressed.
#[derive(Debug, Clone, Default)]
struct JudgeCurve {
    name: String,
    ranking: Ranking,
    failed: [Tally; 2],
    not_passed: [Tally; 2],
}

impl JudgeCurve {
    fn add(&mut self, group: &str, label: Label, judged: &CaseJudgement) {
        let regressed = label == Label::Regressed;
        self.ranking.add(group, judged.exceedance(), regressed);
        for (tallies, hit) in [(&mut self.failed, judged.verdict == Verdict::Fail), (&mut self.not_passed, judged.verdict != Verdict::Pass)]
        {
            let [of_healthy, of_regressed] = tallies;
            if regressed { of_regressed } else { of_healthy }.one(group, hit);
        }
    }

    fn curve(&self) -> Option<RocCurve> {
        let (points, roc) = (self.ranking.curve()?, self.ranking.roc()?);
        let share = |tally: &Tally| tally.hits() as f64 / tally.trials().max(1) as f64;
        Some(RocCurve {
            judge: clean(&self.name),
            area: format!("{:.3}{}", roc.area, span(roc.interval, 1.0, 3)),
            points,
            failed: self.failed.each_ref().map(share),
            not_passed: self.not_passed.each_ref().map(share),
        })
    }
}

/// The report under way.
#[derive(Debug, Clone)]
pub struct Calibration {
    judges: Vec<JudgeCurve>,
    sweep: ToleranceSweep,
    wrong: WrongVerdicts,
    assumptions: Assumptions,
    metrics: BTreeMap<String, MetricHistory>,
    healthy_failed: Tally,
    healthy_not_passed: Tally,
    unlabelled_failed: Tally,
    unlabelled_not_passed: Tally,
    caught: Tally,
    affected: Tally,
    /// Regressed canaries failed, and failed or held, after each of [`FOUND_WITHIN_MINUTES`].
    found_within: [[Tally; 2]; FOUND_WITHIN_MINUTES.len()],
    verdicts: Verdicts,
    injected: InjectedRates,
    /// Metrics of the config that cases do not have.
    not_recorded: u64,
}

const HEAD: [&str; 8] = [
    "Metric",
    "Canaries (with past enough)",
    "Placebo windows",
    "Noise learnt, half / 9 of 10",
    "Shift it tells, half / 9 of 10",
    "False alarms",
    "False alarms a month",
    "Inconclusive",
];

impl Calibration {
    /// A report on what the first of `judges` finds, also of `faults` that were put into canaries, and on how each of them ranks.
    #[must_use]
    pub fn new(judges: Vec<String>, assumptions: Assumptions, faults: &[Fault]) -> Self {
        let none = Tally::default;
        Self {
            judges: judges.into_iter().map(|name| JudgeCurve { name, ..JudgeCurve::default() }).collect(),
            sweep: ToleranceSweep::default(),
            wrong: WrongVerdicts::default(),
            assumptions,
            metrics: BTreeMap::new(),
            healthy_failed: none(),
            healthy_not_passed: none(),
            unlabelled_failed: none(),
            unlabelled_not_passed: none(),
            caught: none(),
            affected: none(),
            found_within: Default::default(),
            verdicts: Verdicts::default(),
            injected: InjectedRates::new(faults, 1),
            not_recorded: 0,
        }
    }

    /// Counts a case.
    pub fn add(&mut self, case: &CaseResult) {
        let Some(judged) = case.columns.first() else { return };
        let group = format!("{}/{}", case.source, case.group);
        self.injected.add(&group, case);
        if let Some(label) = case.label {
            self.verdicts.add(&group, label, judged.verdict);
            for (curve, judged) in self.judges.iter_mut().zip(&case.columns) {
                curve.add(&group, label, judged);
            }
        }
        self.sweep.add(&group, case, judged);
        self.wrong.add(case, judged);
        let (failed, not_passed) = (judged.verdict == Verdict::Fail, judged.verdict != Verdict::Pass);
        match case.label {
            Some(Label::Healthy) => {
                self.healthy_failed.one(&group, failed);
                self.healthy_not_passed.one(&group, not_passed);
            }
            Some(Label::Regressed) => {
                self.caught.one(&group, failed);
                if let Some(worst) = worst_affected(judged) {
                    self.affected.one(&group, worst == Status::Regressed);
                }
                for ([failed, flagged], within) in self.found_within.iter_mut().zip(judged.found_within) {
                    if let Some(within) = within {
                        failed.one(&group, within == Detection::Failed);
                        flagged.one(&group, within <= Detection::Held);
                    }
                }
            }
            None => {
                self.unlabelled_failed.one(&group, failed);
                self.unlabelled_not_passed.one(&group, not_passed);
            }
        }
        for metric in &judged.metrics {
            if !metric.recorded {
                self.not_recorded += 1;
                continue;
            }
            let learnt = self.metrics.entry(metric.name.clone()).or_default();
            learnt.canaries += 1;
            if let Some(windows) = metric.history_windows.filter(|windows| *windows >= HistoryNumbers::ENOUGH_WINDOWS) {
                if metric.history_spread.or(metric.history_points).is_some() {
                    learnt.windows.push(windows as f64);
                }
                // What a canary with history is held to; without, the limit is a default and teaches nothing.
                if let Some(quantile) = metric.history_spread {
                    learnt.noise.relative.push(quantile);
                    learnt.limits.relative.extend(metric.limit);
                }
                if let Some(points) = metric.history_points {
                    learnt.noise.points.push(points);
                    learnt.limits.points.extend(metric.limit_points);
                }
            }
            // It alarms nobody.
            if metric.muted {
                continue;
            }
            let regressed = metric.status == Status::Regressed;
            match case.label {
                Some(Label::Healthy) => learnt.healthy.one(&group, regressed),
                None => learnt.unlabelled.one(&group, regressed),
                Some(Label::Regressed) => {}
            }
            learnt.inconclusive.one(&group, matches!(metric.status, Status::Inconclusive | Status::NoData));
        }
    }

    fn view(&self) -> CalibrationView {
        let monthly = |rate: &Rate| number(rate.rate * self.assumptions.releases_per_day * DAYS_PER_MONTH);
        let row = |(name, learnt): (&String, &MetricHistory)| {
            let alarms = learnt.healthy.rate().map(|rate| (rate, "")).or(learnt.unlabelled.rate().map(|rate| (rate, " *")));
            vec![
                clean(name),
                format!("{} ({})", learnt.canaries, learnt.windows.len()),
                quantiles(&learnt.windows, 0.5, 0.5, number),
                learnt.noise.words(),
                learnt.limits.words(),
                alarms.as_ref().map_or_else(|| "-".to_owned(), |(rate, star)| format!("{}{star}", short_words(rate))),
                alarms.as_ref().map_or_else(|| "-".to_owned(), |(rate, star)| format!("{}{star}", monthly(rate))),
                learnt.inconclusive.rate().map_or_else(|| "-".to_owned(), |rate| one_decimal(rate.rate)),
            ]
        };
        let canaries = [&self.healthy_failed, &self.caught, &self.unlabelled_failed].map(Tally::trials);
        let [healthy, regressed, unlabelled] = canaries;
        let summary = format!(
            "{} canaries ({healthy} healthy, {regressed} regressed, {unlabelled} unlabelled) judged by {}.",
            canaries.iter().sum::<u64>(),
            self.judges.first().map_or_else(String::new, |judge| clean(&judge.name))
        );
        let starred = self.metrics.values().any(|learnt| learnt.healthy.trials() == 0 && learnt.unlabelled.trials() > 0);
        let mut notes = vec![
            format!("Noise learnt (Q): the standard deviation of the shifts that placebo windows before each canary show, in percent of the level; of ratios in percentage points (pp). Half of the canaries with at least {} placebo windows have at most the first, 9 of 10 at most the second.", HistoryNumbers::ENOUGH_WINDOWS),
            "Shift it tells: the limit that those canaries were held to. A larger shift is regressed where the tests confirm it, so a tolerance below it cannot be had from this metric without more history or points.".to_owned(),
            format!("False alarms: metrics of healthy canaries that were regressed, with 95 % intervals that resample whole groups. A month: that share x {} releases a day x {:.2} days.", number(self.assumptions.releases_per_day), DAYS_PER_MONTH),
            "Inconclusive: metrics inconclusive or without data, of all canaries. Muted metrics are neither this nor false alarms.".to_owned(),
        ];
        if self.not_recorded > 0 {
            notes
                .push(format!("Left out: {} metrics of the config, counted over all canaries, that were not recorded.", self.not_recorded));
        }
        if starred {
            notes.push(
                "* of unlabelled canaries: real regressions are among them, so this is the most that false alarms can be.".to_owned(),
            );
        }
        CalibrationView {
            summary,
            head: HEAD.map(str::to_owned).to_vec(),
            rows: self.metrics.iter().map(row).collect(),
            notes,
            sections: self.sections(),
            curves: self.judges.iter().filter_map(JudgeCurve::curve).collect(),
            wrong: self.wrong.told().into_iter().cloned().collect(),
            wrong_note: self.wrong.note(),
            worth: self.worth(),
        }
    }

    /// What was measured beside the metrics, as far as the recordings allow.
    fn sections(&self) -> Vec<Section> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut sections = Vec::new();
        if self.found_within.iter().any(|[failed, _]| failed.trials() > 0) {
            let shown = |tally: &Tally| tally.rate().map_or_else(|| "-".to_owned(), |rate| words(&rate));
            let rows = FOUND_WITHIN_MINUTES.iter().zip(&self.found_within);
            sections.push(Section {
                title: "How soon faults are found".to_owned(),
                head: texts(&["Within", "Found", "Found or held"]),
                rows: rows.map(|(minutes, [failed, held])| vec![format!("{minutes} minutes"), shown(failed), shown(held)]).collect(),
                notes: texts(&[FOUND_WITHIN_NOTE]),
            });
        }
        if let Some(worth) = self.verdicts.worth(self.assumptions.defect_rate) {
            sections.push(Section {
                title: heading(self.assumptions.defect_rate),
                head: texts(&["", "Value", "Formula"]),
                rows: worth.lines().map(|(name, value, formula)| vec![name.to_owned(), value, formula.to_owned()]).to_vec(),
                notes: Vec::new(),
            });
        }
        let rows = self.sweep.rows();
        if !rows.is_empty() {
            let title = "What wider tolerances would have flagged".to_owned();
            sections.push(Section { title, head: texts(&ToleranceSweep::HEAD), rows, notes: texts(&[ToleranceSweep::NOTE]) });
        }
        if !self.injected.is_empty() {
            let (head, rows) = self.injected.table(0).into_parts();
            sections.push(Section { title: "Injected faults".to_owned(), head, rows, notes: texts(&[INJECTED_NOTE]) });
        }
        sections
    }

    /// What the gate costs and saves, each with its formula.
    fn worth(&self) -> Vec<[String; 3]> {
        let Assumptions { releases_per_day: releases, defect_rate, catch_rate, canary_share } = self.assumptions;
        let mut worth = Vec::new();
        let mut say = |name: &str, value: String, formula: String| worth.push([name.to_owned(), value, formula]);
        let alarm = |healthy: &Tally, unlabelled: &Tally| {
            healthy.rate().map(|rate| (rate, "healthy")).or(unlabelled.rate().map(|rate| (rate, "unlabelled")))
        };
        for (name, healthy, unlabelled, what) in [
            ("Good releases stopped a month", &self.healthy_failed, &self.unlabelled_failed, "failed"),
            ("Good releases held or stopped a month", &self.healthy_not_passed, &self.unlabelled_not_passed, "not passed"),
        ] {
            if let Some((rate, of)) = alarm(healthy, unlabelled) {
                let n = rate.rate * (1.0 - defect_rate) * releases * DAYS_PER_MONTH;
                let formula = format!(
                    "{of} canaries {what} ({}) x good releases ({}) x {} a day x {DAYS_PER_MONTH:.2} days",
                    words(&rate),
                    percent(1.0 - defect_rate),
                    number(releases)
                );
                say(name, number(n), formula);
            }
        }
        let bad = releases * DAYS_PER_YEAR * defect_rate;
        let formula = format!("{} releases a day x {DAYS_PER_YEAR} days x defect rate ({}, given)", number(releases), percent(defect_rate));
        say("Bad releases a year", number(bad), formula);
        let measured = self.caught.rate();
        let caught = match (catch_rate, &measured) {
            (Some(given), _) => Some((given, format!("{}, given", percent(given)))),
            (None, Some(rate)) => Some((rate.rate, format!("{}, measured on regressed canaries", words(rate)))),
            (None, None) => None,
        };
        let Some((catch, from)) = caught else {
            let formula = "no canary is labelled regressed: give --catch-rate".to_owned();
            say("Incidents avoided a year", "unknown".to_owned(), formula);
            return worth;
        };
        if let Some(rate) = self.affected.rate() {
            let formula = "regressed canaries of which an affected metric was regressed (any metric, where it is unknown which)".to_owned();
            say("Affected metric found", words(&rate), formula);
        }
        say("Catch rate", percent(catch), format!("regressed canaries that failed: {from}"));
        say(
            "Bad releases caught a year",
            number(bad * catch),
            format!("bad releases a year ({}) x catch rate ({})", number(bad), percent(catch)),
        );
        let avoided = bad * catch * (1.0 - canary_share);
        let formula = format!(
            "caught ({}) x share of the traffic that never met them (1 - canary share {}, given)",
            number(bad * catch),
            percent(canary_share)
        );
        say("Incidents avoided a year", number(avoided), formula);
        let left = bad * (1.0 - catch) + bad * catch * canary_share;
        let formula = format!("bad releases ({}) - incidents avoided ({}), in full-traffic incidents", number(bad), number(avoided));
        say("Incidents left a year", number(left), formula);
        worth
    }

    /// The report as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let view = self.view();
        let mut out = format!("# Calibration\n\n{}\n\n## What each metric's noise allows\n\n", view.summary);
        let mut table = Table::new(view.head.first().map_or("", String::as_str), view.head.get(1..).unwrap_or_default());
        for row in &view.rows {
            table.push(format!("`{}`", row.first().map_or("", String::as_str)), row.get(1..).unwrap_or_default().to_vec());
        }
        table.write(&mut out, ReportFormat::Markdown);
        out.push('\n');
        for note in &view.notes {
            let _ = writeln!(out, "- {}", note.replace("* of", "\\* of"));
        }
        for section in &view.sections {
            let _ = writeln!(out, "\n## {}\n", section.title);
            let mut table = Table::new(section.head.first().map_or("", String::as_str), section.head.get(1..).unwrap_or_default());
            for row in &section.rows {
                table.push(row.first().cloned().unwrap_or_default(), row.get(1..).unwrap_or_default().to_vec());
            }
            table.write(&mut out, ReportFormat::Markdown);
            out.push('\n');
            for note in &section.notes {
                let _ = writeln!(out, "- {note}");
            }
        }
        if !view.curves.is_empty() {
            out.push_str("\n## Receiver operating characteristic\n\n");
            let head = ["Area under the curve", "Failed: healthy, regressed", "Not passed: healthy, regressed"];
            let mut table = Table::new("Judge", &head.map(str::to_owned));
            for curve in &view.curves {
                let pair = |[healthy, regressed]: [f64; 2]| format!("{}, {}", one_decimal(healthy), one_decimal(regressed));
                table.push(curve.judge.clone(), vec![curve.area.clone(), pair(curve.failed), pair(curve.not_passed)]);
            }
            table.write(&mut out, ReportFormat::Markdown);
            out.push_str("\n## Wrong verdicts\n\n");
            let mut table = Table::new("Case", &["Mistake", "Where", "Why"].map(str::to_owned));
            for wrong in &view.wrong {
                table.push(
                    format!("`{}`", wrong.case),
                    vec![wrong.mistake.words().to_owned(), format!("`{}`", wrong.place), wrong.why.clone()],
                );
            }
            if !view.wrong.is_empty() {
                table.write(&mut out, ReportFormat::Markdown);
                out.push('\n');
            }
            let _ = writeln!(out, "- {}", view.wrong_note);
        }
        out.push_str("\n## What it is worth\n\n");
        let mut table = Table::new("", &["Value".to_owned(), "Formula".to_owned()]);
        for [name, value, formula] in &view.worth {
            table.push(name.clone(), vec![value.clone(), formula.clone()]);
        }
        table.write(&mut out, ReportFormat::Markdown);
        out
    }

    /// The report as one self-contained page.
    #[must_use]
    pub fn html(&self) -> String {
        page::html(&self.view())
    }
}

fn quantiles(values: &[f64], first: f64, second: f64, write: fn(f64) -> String) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let low = write(quantile_of_sorted(&sorted, first));
    if first >= second { low } else { format!("{low} / {}", write(quantile_of_sorted(&sorted, second))) }
}
