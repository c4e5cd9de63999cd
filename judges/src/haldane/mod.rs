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
//! | `leak` | does what accumulates grow away? |
//! | `recent` | is it worse now, if not over the whole window? |
//! | `minority` | are some of its points far worse, if not the typical one? |
//! | `instance` | is one instance unlike all others? |
//!
//! `past.rs` learns from the time before the window, `looks.rs` is about judging one canary again and again, `remark.rs` says what of all
//! that is said stands, `fallback.rs` what the limits decide instead, `rule.rs` has the constants.

mod context;
mod fallback;
mod instance;
mod ladder;
mod leak;
mod level;
mod limits;
mod looks;
mod minority;
mod numbers;
mod past;
mod recent;
mod remark;
mod rule;
mod silence;
mod subject;
mod tolerances;
mod traffic;

use crate::config::{CheckedConfig, Kind, Metric};
use crate::draft::ResultDraft;
use crate::evidence::Evidence;
use crate::quality::{CleanMetric, Unjudged};
use crate::scorecard::MetricResult;
use context::Context;
pub(crate) use ladder::Rung;
use remark::{ExaminerRemark, stand};
use subject::{SortedArms, Subject};

/// An examiner: what it has to say of a metric whose level was looked at; nothing where nothing speaks against the canary. It may leave
/// its numbers in the result.
type Examine = fn(&Subject<'_>, &mut MetricResult) -> Option<ExaminerRemark>;

/// The examiners around the level, in the order in which findings of one gravity stand.
const EXAMINERS: [Examine; 7] =
    [silence::examine, limits::examine, level::events::examine, leak::examine, recent::examine, minority::examine, instance::examine];

/// The judge, with what is the same for every metric of one canary.
#[derive(Debug)]
pub(crate) struct HaldaneJudge {
    context: Context,
    /// Times the baseline's traffic that the canary had.
    traffic: Option<f64>,
}

impl HaldaneJudge {
    pub(crate) fn of(config: &CheckedConfig, evidence: &Evidence, live: &[bool], cleaned: &[Result<CleanMetric, Unjudged>]) -> Self {
        let count = |wanted: &dyn Fn(&Metric, &CleanMetric) -> bool| {
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
    pub(crate) fn examine(&self, metric: &Metric, evidence: &Evidence, i: usize, cleaned: &CleanMetric) -> MetricResult {
        let context = Context { step_seconds: evidence.step_seconds_of(i), ..self.context };
        let samples = SortedArms::of(cleaned);
        let (cleaned, units) = cleaned.completed(metric, evidence.observations.get(i), samples.levels(cleaned));
        let judged = |cleaned: &CleanMetric, arms: SortedArms| {
            let result = judge_one(metric, cleaned, arms, &units, context);
            let by = |part: &CleanMetric, context| judge_one(metric, part, SortedArms::of(part), &[], context);
            if metric.confirm > 1 { looks::confirmed(result, metric, cleaned, context, by) } else { result }
        };
        let result = judged(&cleaned, samples);
        let unstated = metric.traffic && evidence.canary_share.is_none();
        let result = if unstated && cleaned.is_concurrent() {
            let even = || {
                let even = cleaned.brought_level()?;
                let arms = SortedArms::of(&even);
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
fn judge_one(metric: &Metric, cleaned: &CleanMetric, arms: SortedArms, units: &[String], context: Context) -> MetricResult {
    let draft = match ResultDraft::of(metric, cleaned, units) {
        Ok(open) => open,
        Err(closed) => return *closed,
    };
    let subject = Subject::of(metric, cleaned, arms, context);
    let mut result = if draft.lacks_data() { draft.close() } else { level::judge(draft, &subject) };
    // All of them look before any of what they found stands.
    let observations = EXAMINERS.map(|examine| examine(&subject, &mut result));
    for observation in observations.into_iter().flatten() {
        stand(&mut result, observation);
    }
    result
}

/// What the points past a limit say beside those of the baseline; for the judge that knows limits alone.
pub(crate) fn limit_by_points(baseline: &[f64], canary: &[f64], past: impl Fn(f64) -> bool) -> Rung {
    limits::of_points(baseline, canary, past).0
}
