//! The judge `haldane-v1`: fail is proved, pass is earned, all else is open. `docs/METHOD.md` states the rule in formulas.
//!
//! *Examiners* look at one metric, each at what the others do not see, and each with the signature [`Examine`]. An examiner reduces
//! its data to a `Claim`, and the ladder (`ladder.rs`) alone makes a status of it. The gravest finding stands, and no examiner acquits
//! what another convicts: a pass takes that none speaks and that the `level` could have seen a regression.
//!
//! | examiner | its question |
//! | --- | --- |
//! | `silence` | does it still report, as a whole, at the end, instance by instance? |
//! | `limits` | is a declared limit provably broken? |
//! | `level` | is it worse than the baseline, beyond the tolerance and what is usual here? |
//! | `recent` | is it worse now, if not over the whole window? |
//! | `minority` | are some of its points far worse, if not the typical one? |
//! | `leak` | does what accumulates grow away? |
//! | `instance` | is one instance unlike all others? |
//!
//! `past.rs` learns from the time before the window, `looks.rs` is about judging one canary again and again, `rule.rs` has the constants.

pub(crate) mod finding;
mod instance;
mod ladder;
mod leak;
mod level;
mod limits;
mod looks;
mod minority;
mod past;
mod recent;
mod rule;
mod silence;
mod subject;
mod traffic;

use crate::config::{CheckedConfig, Kind, Metric};
use crate::evidence::{Evidence, Looks};
use crate::quality::{Cleaned, Unjudged};
use crate::scorecard::{Examiner, ExaminerFinding, MetricResult, Mode, Reason, Status};
use crate::threshold::Decision;
use finding::Finding;
pub(crate) use ladder::Rung;
use subject::{ArmSamples, Subject};

/// What is the same for every metric of one canary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Metrics that could differ at all (m).
    pub(crate) live: usize,
    /// Ratios with counts and distributions among them, and ratios of any kind.
    pub(crate) live_counts: usize,
    pub(crate) live_ratios: usize,
    /// Metrics among them that accumulate.
    pub(crate) live_accumulating: usize,
    pub(crate) step_seconds: f64,
    pub(crate) observed_seconds: f64,
    /// The plan of looks, where there is one of several.
    pub(crate) looks: Option<Looks>,
}

impl Context {
    /// What the level of a regression is divided by at this look: of a plan of `L`, look `l` spends `(2 l - 1) / L^2` of it, so that `l` looks
    /// have spent the square of the fraction that they are of the plan. Early looks see little, and spend little.
    pub(crate) fn looks(&self) -> f64 {
        self.looks.map_or(1.0, |plan| {
            let (look, looks) = (f64::from(plan.look.max(1)), f64::from(plan.looks.max(plan.look).max(1)));
            looks * looks / (2.0 * look - 1.0)
        })
    }

    /// How many chances a healthy canary has of being flagged by so many metrics: each at every look.
    pub(crate) fn chances_of(&self, metrics: usize) -> f64 {
        metrics.max(1) as f64 * self.looks()
    }

    /// Looks at which a healthy canary may pass.
    pub(crate) fn passing_looks(&self) -> f64 {
        self.looks.filter(|plan| plan.early_pass && plan.look < plan.looks).map_or(1.0, |plan| f64::from(plan.looks))
    }
}

/// What one examiner says beside the level.
pub(crate) struct Observation {
    pub(crate) examiner: Examiner,
    pub(crate) rung: Rung,
    pub(crate) reason: Reason,
    pub(crate) mode: Mode,
    pub(crate) sentence: String,
}

/// An examiner: what it has to say of a metric whose level was looked at; nothing where nothing speaks against the canary. It may leave
/// its numbers in the result.
type Examine = fn(&Subject<'_>, &mut MetricResult) -> Option<Observation>;

/// The examiners around the level, in the order in which findings of one gravity stand.
const EXAMINERS: [Examine; 7] =
    [silence::examine, limits::examine, level::events::examine, recent::examine, minority::examine, leak::examine, instance::examine];

/// The judge, with what is the same for every metric of one canary.
#[derive(Debug)]
pub(crate) struct Judge {
    context: Context,
    /// Times the baseline's traffic that the canary had.
    traffic: Option<f64>,
}

impl Judge {
    pub(crate) fn of(config: &CheckedConfig, evidence: &Evidence, live: &[bool], cleaned: &[Result<Cleaned, Unjudged>]) -> Self {
        let count = |wanted: &dyn Fn(&Metric, &Cleaned) -> bool| {
            let all = config.metrics.iter().zip(cleaned).zip(live).filter(|(_, live)| **live);
            all.filter(|((metric, cleaned), _)| cleaned.as_ref().is_ok_and(|cleaned| wanted(metric, cleaned))).count()
        };
        let context = Context {
            live: count(&|_, _| true),
            live_counts: count(&|_, cleaned| cleaned.counts_requests()),
            live_ratios: count(&|metric, _| metric.kind == Kind::Ratio),
            live_accumulating: count(&|metric, _| metric.accumulating),
            step_seconds: evidence.step_seconds,
            observed_seconds: evidence.observed_seconds,
            looks: evidence.looks.filter(|plan| plan.looks > 1),
        };
        Self { context, traffic: traffic::times(config, evidence) }
    }

    /// Judges one metric, the `i`-th of the evidence.
    pub(crate) fn examine(&self, metric: &Metric, evidence: &Evidence, i: usize, cleaned: &Cleaned) -> MetricResult {
        let context = Context { step_seconds: evidence.step_seconds_of(i), ..self.context };
        let samples = ArmSamples::of(cleaned);
        let (cleaned, units) = cleaned.completed(metric, evidence.observations.get(i), samples.levels(cleaned));
        let judged = |cleaned: &Cleaned, arms: ArmSamples| {
            let result = judge_one(metric, cleaned, arms, &units, context);
            if metric.confirm > 1 { looks::confirmed(result, metric, cleaned, context) } else { result }
        };
        let result = judged(&cleaned, samples);
        let unstated = metric.traffic && evidence.canary_share.is_none();
        let result = if unstated && cleaned.is_concurrent() {
            let even = || {
                let even = cleaned.brought_level()?;
                let arms = ArmSamples::of(&even);
                Some(judged(&even, arms))
            };
            traffic::without_share(result, even)
        } else {
            result
        };
        traffic::discounted(result, metric, self.traffic)
    }
}

/// Judges a metric by this look alone.
fn judge_one(metric: &Metric, cleaned: &Cleaned, arms: ArmSamples, units: &[String], context: Context) -> MetricResult {
    let finding = match Finding::of(metric, cleaned, units) {
        Ok(open) => open,
        Err(closed) => return *closed,
    };
    let subject = Subject::of(metric, cleaned, arms, context);
    let mut result = if finding.lacks_data() { finding.close() } else { level::judge(finding, &subject) };
    // All of them look before any of what they found stands.
    let observations = EXAMINERS.map(|examine| examine(&subject, &mut result));
    for observation in observations.into_iter().flatten() {
        stand(&mut result, observation);
    }
    result
}

/// How grave a status is: what an examiner may replace.
fn gravity(status: Status) -> u8 {
    match status {
        Status::Regressed => 2,
        Status::Suspect => 1,
        Status::Pass | Status::Inconclusive | Status::NoData | Status::Error => 0,
    }
}

/// Lets an examiner's finding stand where it is graver than what was found before; what does not stand is listed beside.
fn stand(result: &mut MetricResult, observation: Observation) {
    let status = match observation.rung {
        Rung::Regressed => Status::Regressed,
        Rung::Suspect => Status::Suspect,
        Rung::Acquitted | Rung::Open => return,
    };
    let Observation { examiner, reason, mode, sentence, .. } = observation;
    if gravity(status) <= gravity(result.status) {
        result.findings.push(ExaminerFinding { examiner, status, reason, sentence });
        return;
    }
    if gravity(result.status) > 0 {
        let sentence = std::mem::take(&mut result.sentence);
        result.findings.push(ExaminerFinding { examiner: result.examiner, status: result.status, reason: result.reason, sentence });
    }
    (result.status, result.examiner, result.reason, result.mode, result.sentence) = (status, examiner, reason, mode, sentence);
    result.guards.clear();
    result.remedies.clear();
}

/// What the points past a limit say beside those of the baseline; for the judge that knows limits alone.
pub(crate) fn limit_by_points(baseline: &[f64], canary: &[f64], past: impl Fn(f64) -> bool) -> Rung {
    limits::of_points(baseline, canary, past).0
}

/// A suspicion that a declared limit decides: what would be too little data without it is too little with it.
fn or_by_limit(finding: &mut Finding, decision: Decision) {
    if decision.status != Status::Regressed {
        return;
    }
    // A distribution's sentence begins with its quantile.
    let it = if finding.result.mode == Mode::Distribution { "its" } else { "it" };
    let sentence = format!("{}; besides, {it} {}", decision.sentence, finding.result.sentence);
    finding.decide(decision.status, decision.reason, Mode::Threshold, sentence);
    finding.result.threshold = Some(decision.numbers);
}

/// Takes over what threshold mode decided, saying which guard led there.
fn fall_back(finding: &mut Finding, decision: Decision) {
    let guards: Vec<&str> = finding.result.guards.iter().map(|guard| guard.sentence.as_str()).collect();
    let sentence = format!("{}; too little for statistics: {}", decision.sentence, guards.join("; "));
    finding.decide(decision.status, decision.reason, Mode::Threshold, sentence);
    finding.result.threshold = Some(decision.numbers);
    if decision.status != Status::Inconclusive {
        finding.result.remedies.clear();
    }
}

/// `value / unit`, where a unit of 0 makes anything but 0 infinite.
fn ratio_to(value: f64, unit: f64) -> f64 {
    if unit > 0.0 {
        value / unit
    } else if value == 0.0 {
        0.0
    } else {
        f64::INFINITY.copysign(value)
    }
}

/// A number for the scorecard: absent where it is not finite.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
