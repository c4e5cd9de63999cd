//! One judgement metric by metric, so that whoever asks may spread it over threads and stop at a deadline.

use crate::config::CheckedConfig;
use crate::draft::ResultDraft;
use crate::evidence::{Evidence, JudgeName};
use crate::haldane::HaldaneJudge;
use crate::quality::{self, CleanMetric, Unjudged};
use crate::scorecard::{Judgement, MetricResult};
use crate::{aca, advice, score, threshold};

/// A judgement under way.
///
/// ```
/// # use haldane_judges::{CheckedConfig, Evidence, JudgeName, Judging, judge};
/// # let config = CheckedConfig::from_yaml("{name: c, metrics: [{name: latency}, {name: errors}]}")?;
/// # let evidence = Evidence::default();
/// let judging = Judging::new(JudgeName::HaldaneV1, &config, &evidence);
/// let examine = |metric| judging.examine(metric);
/// let results = std::thread::scope(|scope| {
///     let threads: Vec<_> = (0..judging.metrics()).map(|metric| scope.spawn(move || examine(metric))).collect();
///     threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
/// });
/// assert_eq!(judging.conclude(results), judge(JudgeName::HaldaneV1, &config, &evidence));
/// # Ok::<(), haldane_judges::InvalidConfig>(())
/// ```
#[derive(Debug)]
pub struct Judging<'a> {
    name: JudgeName,
    config: &'a CheckedConfig,
    evidence: &'a Evidence,
    rule: JudgeInput,
}

/// What the metrics of one canary share, and their windows.
#[derive(Debug)]
enum JudgeInput {
    Haldane {
        cleaned: Vec<Result<CleanMetric, Unjudged>>,
        live: usize,
        judge: HaldaneJudge,
    },
    Threshold {
        cleaned: Vec<Result<CleanMetric, Unjudged>>,
        live: usize,
    },
    /// Takes the samples as they are, and has its own rules for the verdict.
    Aca,
}

impl<'a> Judging<'a> {
    /// Does what all metrics share, which takes a small part of the time that judging them takes.
    ///
    /// `evidence.observations` has one entry for each metric of `config`, in its order; a missing one counts as a metric that
    /// could not be read.
    #[must_use]
    pub fn new(name: JudgeName, config: &'a CheckedConfig, evidence: &'a Evidence) -> Self {
        let cleaned = || {
            let cleaned = quality::clean(config, evidence);
            let live = quality::live_metrics(config, &cleaned);
            (cleaned, live)
        };
        let count = |live: &[bool]| live.iter().filter(|live| **live).count();
        let rule = match name {
            JudgeName::HaldaneV1 => {
                let (cleaned, live) = cleaned();
                let judge = HaldaneJudge::of(config, evidence, &live, &cleaned);
                JudgeInput::Haldane { cleaned, live: count(&live), judge }
            }
            JudgeName::ThresholdV1 => {
                let (cleaned, live) = cleaned();
                JudgeInput::Threshold { cleaned, live: count(&live) }
            }
            JudgeName::NetflixAca => JudgeInput::Aca,
        };
        Self { name, config, evidence, rule }
    }

    /// How many metrics there are to examine.
    #[must_use]
    pub fn metrics(&self) -> usize {
        self.config.metrics.len()
    }

    /// Judges one metric, by its place among those of the config; `None` where there is none there. What it finds depends on no other
    /// examination, so that they may come in any order and at the same time.
    #[must_use]
    pub fn examine(&self, metric: usize) -> Option<MetricResult> {
        let asked = self.config.metrics.get(metric)?;
        let observation = self.evidence.observations.get(metric);
        Some(match &self.rule {
            JudgeInput::Haldane { cleaned, .. } | JudgeInput::Threshold { cleaned, .. } => match (cleaned.get(metric)?, &self.rule) {
                (Err(why), _) => ResultDraft::unjudged(asked, why),
                (Ok(cleaned), JudgeInput::Haldane { judge, .. }) => judge.examine(asked, self.evidence, metric, cleaned),
                (Ok(cleaned), _) => threshold::examine(asked, observation, cleaned),
            },
            JudgeInput::Aca => aca::examine(asked, observation),
        })
    }

    /// Draws the verdict from what the examinations found, in the order of the config's metrics. A metric of which there is no result was
    /// not judged in time: it is an error with the reason `deadline`, and a canary with such a metric does not pass, unless it is muted.
    #[must_use]
    pub fn conclude(&self, mut results: Vec<Option<MetricResult>>) -> Judgement {
        let (config, evidence) = (self.config, self.evidence);
        results.resize_with(self.metrics(), || None);
        let late: Vec<bool> = results.iter().map(Option::is_none).collect();
        let unjudged = |metric| match self.rule {
            JudgeInput::Aca => aca::late(metric),
            JudgeInput::Haldane { .. } | JudgeInput::Threshold { .. } => ResultDraft::late(metric),
        };
        let results = config.metrics.iter().zip(results).map(|(metric, result)| result.unwrap_or_else(|| unjudged(metric))).collect();
        let judgement = match self.rule {
            JudgeInput::Haldane { live, .. } | JudgeInput::Threshold { live, .. } => {
                score::judgement(self.name, config, evidence, live, results, &late)
            }
            JudgeInput::Aca => aca::judgement(config, evidence, results, &late),
        };
        advice::complete(judgement, config, evidence)
    }
}
