//! Silence: does the canary still report, at the end of the window, and instance by instance?

use super::ladder::{Claim, Rung, Size, walk};
use super::remark::ExaminerRemark;
use super::rule;
use super::subject::Subject;
use crate::config::{Direction, Kind};
use crate::evidence::Instance;
use crate::explain;
use crate::quality;
use crate::scorecard::{Examiner, MetricResult, Mode, Reason};

/// The metric as a whole, then its instances; the graver finding.
pub(super) fn examine(subject: &Subject<'_>, _: &mut MetricResult) -> Option<ExaminerRemark> {
    if subject.metric.may_be_absent {
        return None;
    }
    let found = [at_the_end(subject), instances_gone(subject), instances_dead(subject)];
    // Of equally grave ones the first.
    found.into_iter().flatten().reduce(|first, next| if next.rung > first.rung { next } else { first })
}

fn observation(size: Size, reason: Reason, sentence: String) -> Option<ExaminerRemark> {
    let rung = walk(&Claim::certain(size));
    (rung >= Rung::Suspect).then_some(ExaminerRemark { examiner: Examiner::Silence, rung, reason, mode: Mode::None, sentence })
}

/// Length of the run at the end.
fn trailing(dead: &[bool]) -> usize {
    dead.iter().rev().take_while(|dead| **dead).count()
}

fn longest(dead: &[bool]) -> usize {
    dead.chunk_by(|a, b| a == b).filter(|run| run[0]).map(<[bool]>::len).max().unwrap_or(0)
}

/// The points that show that an arm was alive: totals for counts.
fn shown(points: &crate::evidence::Points) -> &[f64] {
    match points {
        crate::evidence::Points::Values(values) => values,
        crate::evidence::Points::Counts { totals, .. } => totals,
        crate::evidence::Points::Buckets(buckets) => buckets.totals(),
    }
}

/// The canary's last points are missing, or exactly 0 where a fall may be worse and the baseline is never 0.
fn at_the_end(subject: &Subject<'_>) -> Option<ExaminerRemark> {
    let (baseline, canary) = (shown(&subject.cleaned.baseline.points), shown(&subject.cleaned.canary.points));
    let present = baseline.iter().filter(|v| v.is_finite()).count();
    if (present as f64) < quality::REPORTS * baseline.len().max(1) as f64 || present == 0 {
        return None;
    }
    // Requests were seen, and only their events were not reported: that is no silence.
    if subject.cleaned.canary.seen > subject.cleaned.canary.coverage.fraction {
        return None;
    }
    // Totals of 0 are no traffic, whatever the direction of the rate.
    let counted = subject.cleaned.counts_requests();
    let falls =
        subject.metric.direction != Direction::Increase && subject.metric.kind != Kind::Ratio && subject.metric.kind != Kind::Events;
    let zero = (counted || falls) && !baseline.contains(&0.0);
    let dead = |values: &[f64]| values.iter().map(|v| !v.is_finite() || zero && *v == 0.0).collect::<Vec<bool>>();
    let (db, dc) = (dead(baseline), dead(canary));
    let run = trailing(&dc);
    // What never began has not ended: that is silence throughout, or a level of 0.
    if run == dc.len() {
        return None;
    }
    let usual = longest(&db).max(longest(&dc[..dc.len() - run]));
    let extra = run.saturating_sub(trailing(&db).max(usual));
    let (near, least, share) = rule::ENDED;
    let size = Size::of(run >= near && extra >= near, extra >= least.max(dc.len().div_ceil(share)));
    let missing = canary[canary.len() - run..].iter().any(|v| !v.is_finite());
    let what = if missing {
        "no points"
    } else if counted {
        "no traffic"
    } else {
        "nothing but 0"
    };
    let before = if usual == 0 { "none was missing".to_owned() } else { format!("{usual} at most were missing in a row") };
    let sentence = format!(
        "{what} in its last {} of {}, where the baseline reports; before, {before}",
        explain::count(run as u64, "interval"),
        dc.len()
    );
    observation(size, Reason::Ended, sentence)
}

/// The last third of an instance's points.
fn tail(instance: &Instance) -> &[f64] {
    let n = instance.values.len();
    let k = ((n as f64 * rule::INSTANCE_TAIL).ceil() as usize).max(rule::FEWEST);
    &instance.values[n.saturating_sub(k)..]
}

fn named(instances: &[&Instance]) -> String {
    explain::names(&instances.iter().map(|one| one.name.chars().take(100).collect()).collect::<Vec<String>>())
}

/// Instances of the canary that stopped reporting, unless the baseline's stop half as often.
fn instances_gone(subject: &Subject<'_>) -> Option<ExaminerRemark> {
    let (canary, baseline) = (&subject.cleaned.canary.instances, &subject.cleaned.baseline.instances);
    if canary.len() < 2 {
        return None;
    }
    let is_gone = |one: &&Instance| !tail(one).iter().any(|v| v.is_finite());
    let gone: Vec<&Instance> = canary.iter().filter(is_gone).collect();
    let share = gone.len() as f64 / canary.len() as f64;
    let others = if baseline.is_empty() { 0.0 } else { baseline.iter().filter(is_gone).count() as f64 / baseline.len() as f64 };
    let more = share > 0.0 && others < 0.5 * share;
    let verb = if gone.len() == 1 { "has" } else { "have" };
    let sentence = format!(
        "{} of {}, {}, {verb} no points in the last third of the window",
        gone.len(),
        explain::count(canary.len() as u64, "instance"),
        named(&gone)
    );
    observation(Size::of(more, more && share >= rule::HALF), Reason::InstancesSilent, sentence)
}

/// Instances of the canary that read 0 at the end while every other one of both arms is above 0 nearly always.
fn instances_dead(subject: &Subject<'_>) -> Option<ExaminerRemark> {
    let (canary, baseline) = (&subject.cleaned.canary.instances, &subject.cleaned.baseline.instances);
    if canary.len() < 2 || baseline.len() < 2 {
        return None;
    }
    let present = |values: &[f64]| values.iter().filter(|v| v.is_finite()).count();
    let is_dead = |one: &&Instance| present(tail(one)) >= rule::FEWEST && tail(one).iter().all(|v| !v.is_finite() || *v == 0.0);
    let is_alive = |one: &Instance| {
        let above = one.values.iter().filter(|v| **v > 0.0).count();
        above > 0 && above as f64 >= rule::ALIVE * present(&one.values) as f64
    };
    let dead: Vec<&Instance> = canary.iter().filter(is_dead).collect();
    let alive = canary.iter().filter(|one| !is_dead(one) && is_alive(one)).count();
    if dead.is_empty() || dead.len() + alive < canary.len() || !baseline.iter().all(is_alive) {
        return None;
    }
    let falls = subject.metric.direction != Direction::Increase;
    let half = dead.len() as f64 >= rule::HALF * canary.len() as f64;
    let verb = if dead.len() == 1 { "reads" } else { "read" };
    let sentence = format!("{} {verb} 0 in the last third of the window, where every other instance is above 0", named(&dead));
    observation(Size::of(true, falls || half), Reason::InstanceDead, sentence)
}
