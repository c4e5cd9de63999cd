//! Everything that can change a Haldane verdict, and nothing that does I/O.
//!
//! [`judge`] takes a checked canary config and the samples of both arms and answers with a [`Judgement`]: a status with
//! evidence for each metric and a verdict with reasons for the canary. It reads no clock, environment, file or global, so the
//! same samples give the same bytes wherever and whenever they are judged. [`Judging`] is the same metric by metric, for whoever has
//! several threads or a deadline.
//!
//! * [`config`]: what is judged and how; [`catalog`]: the configs that ship with Haldane.
//! * [`buckets`]: histograms; [`evidence`]: what a judge is given; [`scorecard`]: what it answers.
//! * [`aca`]: the judge of Spinnaker's Kayenta, to the last bit.
//! * [`stats`]: the statistics, which know samples and nothing of configs; [`quantity`]: how quantities are written; [`text`]:
//!   texts from outside in messages.

pub mod aca;
pub mod buckets;
pub mod catalog;
pub mod config;
pub mod document;
pub mod evidence;
pub mod period;
pub mod quantity;
pub mod scorecard;
pub mod stats;
pub mod text;
pub mod units;

mod aca_outcome;
mod aca_rules;
mod advice;
mod draft;
mod explain;
mod gravity;
mod haldane;
mod judging;
mod limit;
mod population;
mod problem;
mod quality;
mod remedy;
mod score;
mod threshold;
mod verdict;

pub use config::{CanaryConfig, CheckedConfig};
pub use evidence::{Evidence, JudgeName, UnknownJudge};
pub use judging::Judging;
pub use period::Period;
pub use problem::{ConfigProblem, InvalidConfig};
pub use scorecard::{Judgement, Verdict};

/// Judges a canary: every metric in turn, as [`Judging`] does it piece by piece.
///
/// `evidence.observations` has one entry for each metric of `config`, in its order; a missing one counts as a metric that
/// could not be read.
#[must_use]
pub fn judge(name: JudgeName, config: &CheckedConfig, evidence: &Evidence) -> Judgement {
    let judging = Judging::new(name, config, evidence);
    let results = (0..judging.metrics()).map(|i| judging.examine(i)).collect();
    judging.conclude(results)
}
