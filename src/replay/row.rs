//! One line of the flat output: one metric of one case under one judge.

use haldane_judges::Verdict;
use haldane_judges::scorecard::Status;
use serde::{Deserialize, Serialize};

use super::case::Label;
use super::result::Detection;

/// One metric of one case under one judge. What speaks of the case or the judge is the same in all of its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayRow {
    /// The case's id.
    pub case: String,
    /// Where it is from.
    pub source: String,
    /// Its group.
    pub group: String,
    /// `healthy` or `regressed`, where that is known.
    pub label: Option<Label>,
    /// How the arms lie in time, as the recording says.
    pub pairing: Option<String>,
    /// Points of the canary.
    pub points: usize,
    /// The judge, with its config where two are compared.
    pub judge: String,
    /// The judge's verdict on the case.
    pub verdict: Verdict,
    /// Its score.
    pub score: Option<f64>,
    /// The first of the looks that failed.
    pub first_failed_look: Option<u32>,
    /// Whether a canary that is known to be worse would have been found after 10 minutes; absent where it has fewer points than that.
    pub found_within_10: Option<Detection>,
    /// After 20 minutes.
    pub found_within_20: Option<Detection>,
    /// After 60 minutes.
    pub found_within_60: Option<Detection>,
    /// The metric.
    pub metric: String,
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
    /// Relative shift, above 0 is worse.
    pub shift: Option<f64>,
    /// Relative shift from which it is regressed.
    pub limit: Option<f64>,
    /// Shift of a ratio from which it is regressed, in percentage points: the larger of its limits.
    pub limit_points: Option<f64>,
    /// How far beyond its limit it is: above 1 where regressed.
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
    /// Rows of the case, by which a torn one is known.
    pub rows: usize,
    /// What the replay was asked for, in short; a replay goes on only where that is the same.
    pub run: String,
}
