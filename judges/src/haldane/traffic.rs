//! Quantities that follow the traffic: errors a second, bytes sent. Where the arms' traffic differs, what it explains is neither held against
//! the canary nor counted for it.

use super::ladder::Rung;
use super::remark::{ExaminerRemark, gravity, stand};
use super::rule;
use crate::config::{CheckedConfig, Direction, Kind, Metric};
use crate::evidence::{Evidence, Observation, Points};
use crate::quantity;
use crate::scorecard::{Examiner, ExaminerFinding, Guard, GuardFinding, MetricResult, Mode, Reason, Remedy, Status};
use crate::stats::Sample;

/// Times the baseline's traffic that the canary had: as the request states the share, else as the metric that measures it says; `None`
/// where neither is known.
pub(super) fn times(config: &CheckedConfig, evidence: &Evidence) -> Option<f64> {
    if let Some(share) = evidence.canary_share.filter(|share| *share > 0.0 && *share < 1.0) {
        return Some(share / (1.0 - share));
    }
    let (_, observation) = config.metrics.iter().zip(&evidence.observations).find(|(metric, _)| metric.traffic)?;
    let Observation::Sampled { baseline, canary } = observation else { return None };
    let mean = |points: &Points| match points {
        Points::Values(values) => Sample::of_present(values).ok().map(|sample| sample.mean()),
        Points::Counts { .. } | Points::Buckets(_) => None,
    };
    let (baseline, canary) = (mean(&baseline.points)?, mean(&canary.points)?);
    (baseline > 0.0 && canary > 0.0).then_some(canary / baseline)
}

/// Whether a metric is an amount that arrives with the traffic, and is compared as it is.
fn follows(metric: &Metric) -> bool {
    let rate = metric.unit.as_deref().is_some_and(|unit| unit.ends_with("/s") || unit.ends_with("/min"));
    !metric.traffic && metric.per.is_none() && (metric.kind == Kind::Events || metric.kind == Kind::Value && rate)
}

/// Withdraws what the traffic explains: a pass of what fell with it, and a regression of what rose with it.
pub(super) fn discounted(mut result: MetricResult, metric: &Metric, times: Option<f64>) -> MetricResult {
    let Some(times) = times.filter(|times| follows(metric) && !(1.0 / rule::UNEVEN..=rule::UNEVEN).contains(times)) else { return result };
    let fewer = times < 1.0;
    // What less traffic does looks good where a rise is worse, and bad where a fall is.
    let looks_good = match metric.direction {
        Direction::Increase => Some(fewer),
        Direction::Decrease => Some(!fewer),
        Direction::Either => None,
    };
    let judged_by_size =
        !matches!(result.reason, Reason::Silent | Reason::Ended | Reason::InstancesSilent | Reason::InstanceDead | Reason::Limit);
    let explained = match result.status {
        Status::Pass => looks_good != Some(false),
        Status::Regressed | Status::Suspect => judged_by_size && looks_good != Some(true),
        Status::Inconclusive | Status::NoData | Status::Error => false,
    };
    // What is the same throughout follows nothing.
    if !explained || result.reason == Reason::Identical {
        return result;
    }
    let sentence = format!("the canary had {} times the baseline's traffic, which this metric follows", quantity::number(times));
    result.guards.push(GuardFinding { guard: Guard::Traffic, sentence: sentence.clone() });
    result.sentence = format!("{sentence}: compared as it is, it {}", result.sentence);
    // What the traffic does not explain by far speaks against the canary all the same.
    let per_request = per_request(&result).map(|observed| observed / times);
    let far = 1.0 + metric.detectable;
    let against = per_request.is_some_and(|per| match metric.direction {
        Direction::Increase => per >= far,
        Direction::Decrease => per <= 1.0 / far,
        Direction::Either => per >= far || per <= 1.0 / far,
    });
    let status = if against { Status::Suspect } else { Status::Inconclusive };
    if let Some(per) = per_request.filter(|_| against) {
        result.sentence = format!("a request it is {} times the baseline's; {}", quantity::number(per), result.sentence);
    }
    (result.status, result.reason, result.mode) = (status, Reason::FollowsTraffic, Mode::None);
    let remedy = format!("make `{}` `per: request` beside a metric with `traffic: true`, or `kind: ratio` with its total", metric.name);
    result.remedies = vec![Remedy::Configure { sentence: remedy }];
    result
}

/// The traffic of a canary of which nobody stated what share it should get: how much it has says nothing. What shows whatever the share is
/// stands, and so does what shows with the arms brought to one level (`even`): that it died away, or that some instance gets none.
pub(super) fn without_share(mut result: MetricResult, even: impl FnOnce() -> Option<MetricResult>) -> MetricResult {
    let whatever_the_share = |examiner: Examiner| matches!(examiner, Examiner::Silence | Examiner::Limits);
    if gravity(result.status) == 0 || whatever_the_share(result.examiner) {
        return result;
    }
    let Some(mut even) = even() else { return result };
    let kept: Vec<_> = result.findings.iter().filter(|finding| whatever_the_share(finding.examiner)).cloned().collect();
    let seen = "nobody stated what share of the traffic the canary should get";
    let mut result = if gravity(even.status) > 0 {
        even.sentence = format!("{seen}; with both arms brought to one level, it {}", even.sentence);
        even.findings.retain(|finding| !whatever_the_share(finding.examiner));
        even
    } else {
        result.guards.push(GuardFinding { guard: Guard::Traffic, sentence: seen.to_owned() });
        result.sentence = format!("{seen}: compared as it is, it {}", result.sentence);
        (result.status, result.reason, result.mode) = (Status::Inconclusive, Reason::FollowsTraffic, Mode::None);
        (result.examiner, result.findings) = (Examiner::Level, Vec::new());
        let remedy = "state `canary_share` in the request, and its traffic is held against that share".to_owned();
        result.remedies = vec![Remedy::Configure { sentence: remedy }];
        result
    };
    for ExaminerFinding { examiner, status, reason, sentence } in kept {
        let rung = if status == Status::Regressed { Rung::Regressed } else { Rung::Suspect };
        let mode = if examiner == Examiner::Limits { Mode::Threshold } else { Mode::None };
        stand(&mut result, ExaminerRemark { examiner, rung, reason, mode, sentence });
    }
    result
}

/// Times the baseline's level that the canary's is, as they were reported.
fn per_request(result: &MetricResult) -> Option<f64> {
    let (baseline, canary) = match (&result.numbers, &result.events) {
        (Some(numbers), _) => (numbers.baseline, numbers.canary),
        (None, Some(events)) => (events.mean_baseline, events.mean_canary),
        (None, None) => return None,
    };
    (baseline > 0.0 && canary >= 0.0).then(|| canary / baseline)
}
