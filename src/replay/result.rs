//! What came of one recorded canary under each judge: the small result that everything printed afterwards follows from.

use std::fmt;
use std::sync::Arc;

use haldane_judges::scorecard::{Status, Verdict};
use serde::{Deserialize, Serialize};

use super::case::Label;
use super::faults::Fault;
use crate::report::format::clean;

/// One case under every column.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// The case's id.
    pub id: String,
    /// Where it is from.
    pub source: String,
    /// Its group.
    pub group: String,
    /// What it was in truth.
    pub label: Option<Label>,
    /// How the arms lie in time, as the recording says.
    pub pairing: Option<String>,
    /// Points of the canary.
    pub points: usize,
    /// What was found of faults that were put in, in their order; those that none of its metrics can show are left out.
    pub injected: Vec<FaultResult>,
    /// One for each column, in their order.
    pub columns: Vec<CaseJudgement>,
    /// Where it lies; `None` of one that an earlier replay judged.
    pub location: Option<CaseLocation>,
}

/// Where a case lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseLocation {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the format has no lines.
    pub line: u64,
}

impl CaseLocation {
    /// `FILE:LINE`, as editors take it.
    pub(super) fn words(&self) -> String {
        let file = clean(&self.file);
        if self.line > 0 { format!("{file}:{}", self.line) } else { file }
    }
}

/// Windows after which faulty canaries are judged too, in minutes.
pub const FOUND_WITHIN_MINUTES: [u32; 3] = [10, 20, 60];
/// Whether a canary that is worse was found to be: by its affected metrics, or by its verdict where it is unknown which those are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detection {
    /// An affected metric regressed, or the canary failed.
    Failed,
    /// An affected metric suspect, or the canary marginal.
    Held,
    /// Neither.
    Missed,
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Missed => "missed",
        })
    }
}

impl Detection {
    pub(super) fn of(judged: &CaseJudgement) -> Self {
        let is_known = judged.counted().any(|metric| metric.affected.is_some());
        let worst = judged.counted().filter(|metric| metric.affected == Some(true)).map(|metric| metric.status).min();
        match (is_known, worst, judged.verdict) {
            (true, Some(Status::Regressed), _) | (false, _, Verdict::Fail) => Self::Failed,
            (true, Some(Status::Suspect), _) | (false, _, Verdict::Marginal) => Self::Held,
            _ => Self::Missed,
        }
    }
}

/// What one judge said of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseJudgement {
    /// The verdict over the whole window.
    pub verdict: Verdict,
    /// The score over the whole window.
    pub score: Option<f64>,
    /// The first look that failed, where growing windows were judged.
    pub first_failed_look: Option<u32>,
    /// How a canary that is known to be worse would have been found after each of [`FOUND_WITHIN_MINUTES`]; `None` where it has fewer
    /// points than that, or too few in it.
    pub found_within: [Option<Detection>; 3],
    /// The metrics, in the config's order.
    pub metrics: Vec<JudgedMetric>,
}

impl CaseJudgement {
    /// The metrics that count towards rates: those that were recorded and are not muted.
    pub fn counted(&self) -> impl Iterator<Item = &JudgedMetric> {
        self.metrics.iter().filter(|metric| metric.recorded && !metric.muted)
    }

    /// How far beyond its limit the worst metric that counts is; 1 is at the limit.
    #[must_use]
    pub fn exceedance(&self) -> f64 {
        self.counted().map(|metric| metric.exceedance).fold(0.0, f64::max)
    }
}

/// What one judge said of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedMetric {
    /// The metric's name.
    pub name: String,
    /// Whether the case has it; one of a config that was not recorded is not judged.
    pub recorded: bool,
    /// Whether it is judged, but does not count.
    pub muted: bool,
    /// Whether the fault touches it, where that is known.
    pub affected: Option<bool>,
    /// Its status.
    pub status: Status,
    /// Why, in a word.
    pub reason: String,
    /// Relative shift in the worse direction.
    pub shift: Option<f64>,
    /// Relative shift from which it is regressed.
    pub limit: Option<f64>,
    /// Shift of a ratio from which it is regressed, in percentage points: the larger of its limits.
    pub limit_points: Option<f64>,
    /// Shift as a multiple of the limit, 0 or more; for judges without such a limit, of what they flag by.
    pub exceedance: f64,
    /// p-value that decided.
    pub p: Option<f64>,
    /// Shift in units of noise.
    pub shift_in_noise: Option<f64>,
    /// Placebo windows.
    pub history_windows: Option<usize>,
    /// Quantile of their shifts, as a fraction of the level; absent for ratios.
    pub history_spread: Option<f64>,
    /// The same for ratios, in percentage points.
    pub history_points: Option<f64>,
    /// The finding in a sentence.
    pub sentence: String,
}

/// What the judges find once a fault is in.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultResult {
    /// The fault.
    pub fault: Fault,
    /// The metric that carries it.
    pub metric: String,
    /// For each column, the metric's status and the canary's verdict.
    pub columns: Vec<(Status, Verdict)>,
}
