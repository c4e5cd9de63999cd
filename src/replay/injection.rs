//! Which recorded canaries a fault is put into, and what the judges then find.
//!
//! One metric of each healthy canary carries the fault, everything else is judged as it was recorded. Which metric follows from the
//! case's id alone among those that can show the fault, so that runs, threads and further faults change nothing.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::Verdict;
use haldane_judges::config::CheckedConfig;
use haldane_judges::scorecard::Status;
use serde::Serialize;

use super::case::{Case, CaseMetric};
use super::faults::{Fault, random_of, seed_of};
use super::judging::{self, Column};
use super::layout::{Table, short_words};
use super::rates::{Rate, Tally};
use super::result::{CaseResult, FaultResult};

/// What every choice follows from, beside the names that it is about.
const SEED: &str = "20261128";

/// The faults of a replay, and where they are put.
#[derive(Debug, Clone)]
pub struct Injection {
    /// The faults, each into canaries as they were recorded.
    pub faults: Vec<Fault>,
    /// The metrics that carry them.
    pub target: Target,
}

/// The metric of a canary that carries a fault.
#[derive(Debug, Clone)]
pub enum Target {
    /// One of those that can show it.
    Any,
    /// The one of this name, in the canaries that have it.
    Named(String),
    /// One of those listed by the id of the case; no other case is judged at all.
    Listed(BTreeMap<String, BTreeSet<String>>),
}

/// A number that puts metrics of a case in an order that has nothing to do with what they are.
pub(super) fn rank(case: &str, metric: &str) -> u64 {
    seed_of(&[SEED, case, metric])
}

impl Injection {
    /// Whether the case is judged at all.
    pub(super) fn keeps(&self, case: &Case) -> bool {
        !matches!(&self.target, Target::Listed(metrics) if !metrics.contains_key(&case.id))
    }

    /// Puts each fault into a healthy case and judges it; faults that no metric of it can show are left out.
    ///
    /// # Errors
    /// When a judge refuses the case.
    pub(super) fn judge(&self, case: &Case, columns: &[Column]) -> Result<Vec<FaultResult>, String> {
        let derived: Result<Vec<Option<CheckedConfig>>, String> = columns
            .iter()
            .map(|column| if column.config.is_some() { Ok(None) } else { case.derived_config(column.rule).map(Some) })
            .collect();
        let derived = derived?;
        let configs: Vec<&CheckedConfig> =
            columns.iter().zip(&derived).filter_map(|(column, derived)| column.config.as_ref().or(derived.as_ref())).collect();
        let mut all = Vec::new();
        for fault in &self.faults {
            let Some((place, faulty)) = self.faulty(case, &configs, *fault) else { continue };
            let mut changed = case.clone();
            let metric = faulty.name.clone();
            if let Some(recorded) = changed.metrics.get_mut(place) {
                *recorded = faulty;
            }
            let judged = columns.iter().map(|column| {
                let judged = judging::judge(&changed, column, None)?;
                let status = judged.metrics.iter().find(|judged| judged.name == metric).map(|judged| judged.status);
                Ok((status.unwrap_or(Status::NoData), judged.verdict))
            });
            let judged: Result<Vec<(Status, Verdict)>, String> = judged.collect();
            all.push(FaultResult { fault: *fault, metric, columns: judged? });
        }
        Ok(all)
    }

    /// The metric with the fault, and its place in the case.
    fn faulty(&self, case: &Case, configs: &[&CheckedConfig], fault: Fault) -> Option<(usize, CaseMetric)> {
        let wanted = |name: &str| match &self.target {
            Target::Any => true,
            Target::Named(named) => named == name,
            Target::Listed(metrics) => metrics.get(&case.id).is_some_and(|listed| listed.contains(name)),
        };
        let mut candidates: Vec<(usize, &CaseMetric)> =
            case.metrics.iter().enumerate().filter(|(_, recorded)| wanted(&recorded.name)).collect();
        candidates.sort_by_key(|(_, recorded)| rank(&case.id, &recorded.name));
        candidates.into_iter().find_map(|(place, recorded)| {
            // A metric counts where every config judges it; what is worse is the first config's word.
            let judged = |config: &&CheckedConfig| config.metrics.iter().position(|metric| metric.name == recorded.name && !metric.muted);
            if !configs.iter().all(|config| judged(config).is_some()) {
                return None;
            }
            let first = configs.first()?;
            let metric = first.metrics.get(judged(first)?)?;
            let mut random = random_of(&[SEED, &case.id, &recorded.name, &fault.to_string()]);
            Some((place, fault.put_into(recorded, metric, &mut random)?))
        })
    }
}

/// What is counted of an injected fault, with its words.
const COUNTED: [&str; 6] =
    ["metric regressed", "suspect or worse", "inconclusive or no data", "metric passed", "canary failed", "canary not passed"];

/// Rates of injected faults, under way.
#[derive(Debug, Clone, Default)]
pub(super) struct InjectedRates {
    /// In the order that they were asked for.
    faults: Vec<(Fault, Vec<[Tally; COUNTED.len()]>)>,
}

/// One fault under each judge.
#[derive(Debug, Clone, Serialize)]
pub(super) struct InjectedLine {
    fault: String,
    judges: Vec<InjectedJudge>,
}

/// One fault under one judge.
#[derive(Debug, Clone, Serialize)]
struct InjectedJudge {
    metric_regressed: Option<Rate>,
    metric_suspect_or_worse: Option<Rate>,
    metric_inconclusive: Option<Rate>,
    metric_passed: Option<Rate>,
    canary_failed: Option<Rate>,
    canary_not_passed: Option<Rate>,
}

impl InjectedRates {
    /// None counted yet of `faults` under this many judges.
    pub(super) fn new(faults: &[Fault], columns: usize) -> Self {
        Self { faults: faults.iter().map(|fault| (*fault, vec![Default::default(); columns])).collect() }
    }

    /// Counts what was put into a case.
    pub(super) fn add(&mut self, group: &str, case: &CaseResult) {
        for injected in &case.injected {
            let Some((_, columns)) = self.faults.iter_mut().find(|(fault, _)| *fault == injected.fault) else { continue };
            for (tallies, (status, verdict)) in columns.iter_mut().zip(&injected.columns) {
                let counted = [
                    *status == Status::Regressed,
                    *status <= Status::Suspect,
                    matches!(status, Status::Inconclusive | Status::NoData | Status::Error),
                    *status == Status::Pass,
                    *verdict == Verdict::Fail,
                    *verdict != Verdict::Pass,
                ];
                tallies.iter_mut().zip(counted).for_each(|(tally, hit)| tally.one(group, hit));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// What was found under a judge, a row for each fault.
    pub(super) fn table(&self, column: usize) -> Table {
        let head: Vec<String> = std::iter::once("canaries").chain(COUNTED).map(str::to_owned).collect();
        let mut table = Table::new("fault", &head);
        for (fault, columns) in &self.faults {
            let Some(tallies) = columns.get(column) else { continue };
            let canaries = tallies.first().map_or(0, Tally::trials);
            let shown = |tally: &Tally| tally.rate().map_or_else(|| "-".to_owned(), |rate| short_words(&rate));
            table.push(fault.to_string(), std::iter::once(canaries.to_string()).chain(tallies.iter().map(shown)).collect());
        }
        table
    }

    pub(super) fn lines(&self) -> Vec<InjectedLine> {
        let judge = |tallies: &[Tally; COUNTED.len()]| {
            let [metric_regressed, metric_suspect_or_worse, metric_inconclusive, metric_passed, canary_failed, canary_not_passed] =
                tallies.each_ref().map(Tally::rate);
            InjectedJudge {
                metric_regressed,
                metric_suspect_or_worse,
                metric_inconclusive,
                metric_passed,
                canary_failed,
                canary_not_passed,
            }
        };
        self.faults
            .iter()
            .map(|(fault, columns)| InjectedLine { fault: fault.to_string(), judges: columns.iter().map(judge).collect() })
            .collect()
    }

    /// Canaries that carried any fault.
    pub(super) fn canaries(&self) -> u64 {
        self.faults.iter().filter_map(|(_, columns)| columns.first()?.first()).map(Tally::trials).sum()
    }
}

/// What the table of injected faults is of.
pub(super) const INJECTED_NOTE: &str = "Each fault is put into one metric of every healthy canary that has a metric which can show it; `none/0/1` is the same without a fault. Inconclusive or no data: neither found nor passed.";
