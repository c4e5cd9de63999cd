//! What is told beside the verdict, whoever judged: the ramp's next step, that a verdict only advises, on how much a scorecard rests.

use crate::config::{CheckedConfig, JudgingMode};
use crate::evidence::{Evidence, JudgeName};
use crate::explain;
use crate::scorecard::{Action, Guard, Judgement, MetricResult, Remedy, Status, Verdict};

/// Completes a judge's answer.
pub(crate) fn complete(mut judgement: Judgement, config: &CheckedConfig, evidence: &Evidence) -> Judgement {
    if judgement.judge == JudgeName::NetflixAca && evidence.looks.is_some_and(|plan| plan.looks > 1) {
        let warning = format!("the judge {} knows no plan of looks: this was judged as if it were the only one", judgement.judge);
        judgement.warnings.push(warning);
    }
    if !evidence.ramp.is_empty() {
        match judgement.verdict {
            Verdict::Pass => next_step(&mut judgement, evidence),
            Verdict::Marginal => first_step_with_enough_traffic(&mut judgement, evidence),
            Verdict::Fail => {}
        }
    }
    if evidence.advisory || config.mode == JudgingMode::Advisory {
        only_advise(&mut judgement, evidence);
    }
    say_what_it_rests_on(&mut judgement);
    judgement
}

/// The first step of the ramp above the canary's share.
fn step_above(evidence: &Evidence) -> Option<f64> {
    let share = evidence.canary_share?;
    // A share that was written as 0.1 + 0.2 is still the step of 0.3.
    evidence.ramp.iter().copied().find(|step| *step > share * (1.0 + 1e-9))
}

fn next_step(judgement: &mut Judgement, evidence: &Evidence) {
    if evidence.canary_share.is_none() {
        return;
    }
    let step = step_above(evidence);
    judgement.recommendation.sentence = match step {
        Some(step) if step < 1.0 => format!("raise the canary to {}, the next step of the ramp", explain::rate(step)),
        Some(_) => "release it: the next step of the ramp is all traffic".to_owned(),
        None => "release it: the ramp has no further step".to_owned(),
    };
    judgement.recommendation.next_share = step;
}

/// Whether a metric was left open because the canary receives too few requests.
fn lacks_traffic(metric: &MetricResult) -> bool {
    let by_guard = |guard: Guard| metric.guards.iter().any(|finding| finding.guard == guard);
    !metric.muted
        && metric.status == Status::Inconclusive
        && (metric.counts.is_some() || metric.distribution.is_some())
        && (by_guard(Guard::FewRequests) || by_guard(Guard::CouldNotDetect))
}

/// Names the step at which the metrics that lack traffic would have enough of it, or says that there is none.
fn first_step_with_enough_traffic(judgement: &mut Judgement, evidence: &Evidence) {
    // Where something else speaks against the canary, more traffic is not what it should get.
    let clean = judgement.metrics.iter().all(|m| m.muted || !matches!(m.status, Status::Regressed | Status::Suspect));
    let held_for_more = judgement.reasons.iter().any(|cause| cause.reason == crate::scorecard::VerdictReason::InsufficientEvidence);
    let open: Vec<&MetricResult> = judgement.metrics.iter().filter(|metric| lacks_traffic(metric)).collect();
    if open.is_empty() || !clean || !held_for_more {
        return;
    }
    let needed = |metric: &&MetricResult| {
        metric.remedies.iter().find_map(|remedy| if let Remedy::RaiseShare { share, .. } = remedy { Some(*share) } else { None })
    };
    // The largest of what the metrics need, where every one of them could have enough.
    let share = open.iter().map(needed).try_fold(0.0, |most: f64, share| share.map(|share| most.max(share)));
    // What the canary gains the baseline loses.
    let enough = |step: &f64| share.is_some_and(|share| *step >= share && *step <= 1.0 - share);
    let step = evidence.ramp.iter().copied().find(enough);
    let names: Vec<String> = open.iter().map(|metric| metric.name.clone()).collect();
    let names = explain::names(&names);
    let first = &judgement.recommendation.sentence;
    judgement.recommendation.sentence = match step {
        Some(step) => {
            let step = explain::rate(step);
            format!("hold: raise the canary to {step}, the first step of the ramp with enough traffic to judge {names}")
        }
        None => format!("{first}; no step of the ramp has enough traffic to judge {names} in a window of this length"),
    };
    judgement.recommendation.next_share = step;
}

/// The answer is a pass that says what it would have been.
fn only_advise(judgement: &mut Judgement, evidence: &Evidence) {
    judgement.advisory = true;
    judgement.would_be = Some(judgement.verdict);
    judgement.verdict = Verdict::Pass;
    judgement.summary = format!("advisory pass: would be {}", judgement.summary);
    let recommendation = &mut judgement.recommendation;
    if recommendation.action != Action::Promote {
        recommendation.sentence = format!("promote the canary, since this only advises; as a gate it would be {}", recommendation.sentence);
        recommendation.action = Action::Promote;
        recommendation.next_share = step_above(evidence);
    }
}

fn say_what_it_rests_on(judgement: &mut Judgement) {
    let counted = || judgement.metrics.iter().filter(|metric| !metric.muted);
    let judged = counted().filter(|metric| matches!(metric.status, Status::Pass | Status::Suspect | Status::Regressed)).count();
    let all = counted().count();
    if judged * 2 < all {
        let all = explain::count(all as u64, "metric");
        judgement.summary = format!("{}; rests on {judged} of {all}", judgement.summary);
    }
}
