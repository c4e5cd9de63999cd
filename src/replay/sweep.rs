//! What wider tolerances would have done: which canaries would still have a regressed metric if each limit were so many times as wide.

use haldane_judges::scorecard::Status;

use super::case::Label;
use super::judging::WORST;
use super::layout::short_words;
use super::rates::Tally;
use super::result::{CaseJudgement, CaseResult};

/// Multiples of the tolerances that are told.
const MULTIPLES: [f64; 8] = [1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// Canaries with a metric beyond its limit, by how far.
#[derive(Debug, Clone, Default)]
pub(super) struct ToleranceSweep {
    /// Healthy and regressed canaries flagged at each multiple.
    tallies: [[Tally; 2]; MULTIPLES.len()],
}

impl ToleranceSweep {
    pub(super) const HEAD: [&'static str; 3] = ["Tolerances times", "Healthy canaries flagged", "Regressed canaries flagged"];
    pub(super) const NOTE: &'static str = "Flagged: a metric that counts is regressed, and its shift is at least so many times what it was \
        held to. What has no such limit (silence, a declared limit) stays flagged. Narrower tolerances cannot be told from this: replay \
        with the config (--compare).";

    pub(super) fn add(&mut self, group: &str, case: &CaseResult, judged: &CaseJudgement) {
        let Some(label) = case.label else { return };
        let flagged = judged.counted().filter(|metric| metric.status == Status::Regressed);
        // A regressed metric's exceedance is 1 more than its shift as a multiple of the limit.
        let furthest = flagged.map(|metric| if metric.exceedance < WORST { (metric.exceedance - 1.0).max(1.0) } else { f64::INFINITY });
        let furthest = furthest.fold(0.0, f64::max);
        for (multiple, [healthy, regressed]) in MULTIPLES.iter().zip(&mut self.tallies) {
            let tally = if label == Label::Healthy { healthy } else { regressed };
            tally.one(group, furthest >= *multiple);
        }
    }

    /// A row for each multiple; none where nothing is labelled.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        if self.tallies.iter().flatten().all(|tally| tally.trials() == 0) {
            return Vec::new();
        }
        let shown = |tally: &Tally| tally.rate().map_or_else(|| "-".to_owned(), |rate| short_words(&rate));
        let row = |(multiple, [healthy, regressed]): (&f64, &[Tally; 2])| vec![multiple.to_string(), shown(healthy), shown(regressed)];
        MULTIPLES.iter().zip(&self.tallies).map(row).collect()
    }
}
