//! The judge's findings as a judgement like that of any other judge.
//!
//! Status, reason and sentence are in this service's words; Kayenta's own are in [`MetricResult::aca`] and [`Judgement::aca`].

use std::collections::BTreeMap;

use super::metric::{self, SharedSettings};
use super::score::{ScoredMetric, summary};
use crate::aca_outcome::{Classification, MetricOutcome, Summary, SummaryReason};
use crate::aca_rules::NanStrategy;
use crate::config::{CheckedConfig, Metric};
use crate::draft::{self, ResultDraft};
use crate::evidence::{ArmPoints, Evidence, FetchFailure, JudgeName, Observation, Points};
use crate::explain;
use crate::quantity;
use crate::score::{hold_for, late_names, not_in_time};
use crate::scorecard::{
    Action, Coverage, GroupScore, Judgement, MetricResult, Mode, Reason, Recommendation, Status, StatusCounts, Verdict, VerdictCause,
    VerdictReason,
};

/// Draws a canary's verdict from its metrics as Kayenta does; `late` says of which there was no time to judge them, which Kayenta does not
/// know and which passes no canary.
pub(crate) fn judgement(config: &CheckedConfig, evidence: &Evidence, metrics: Vec<MetricResult>, late: &[bool]) -> Judgement {
    let outcome =
        |result: &MetricResult| result.aca.as_ref().map_or((Classification::Error, false), |aca| (aca.classification, aca.critical));
    let scored: Vec<ScoredMetric<'_>> = config
        .metrics
        .iter()
        .zip(&metrics)
        .map(|(metric, result)| {
            let (classification, critical) = outcome(result);
            ScoredMetric { groups: &metric.groups, classification, critical, muted: metric.muted }
        })
        .collect();
    let mut summary = summary(&scored, &config.groups, config.thresholds);
    let late = not_in_time(late_names(&metrics, late));
    let passes = summary.verdict == Verdict::Pass;
    if passes && late.is_some() {
        summary.verdict = Verdict::Marginal;
    }
    let live_metrics = metrics.iter().filter(|result| result.aca.as_ref().is_some_and(|aca| aca.lower.is_some())).count();
    let reasons: Vec<VerdictCause> = (!passes).then(|| cause(config, &metrics, &summary)).into_iter().chain(late).collect();
    let because = reasons.iter().map(|cause| cause.sentence.as_str()).collect::<Vec<_>>().join("; ");
    let score = summary.score.0;
    let (action, advice, said) = match summary.verdict {
        Verdict::Pass => (Action::Promote, "promote the canary".to_owned(), format!("pass: the score is {score}")),
        Verdict::Marginal => (Action::Hold, hold_for(&reasons), format!("marginal: {because}")),
        Verdict::Fail => (Action::Rollback, format!("roll back: {because}"), format!("fail: {because}")),
    };
    Judgement {
        verdict: summary.verdict,
        score: score.is_finite().then_some(score),
        advisory: false,
        would_be: None,
        looks: None,
        summary: said,
        recommendation: Recommendation { action, sentence: advice, remedies: Vec::new(), next_share: None },
        reasons,
        judge: JudgeName::NetflixAca,
        config: config.name.clone(),
        config_digest: config.digest(),
        comparison: evidence.comparison,
        live_metrics,
        counts: count(&metrics),
        groups: groups(&summary),
        warnings: warnings(&metrics, &summary),
        metrics,
        aca: Some(summary),
    }
}

/// Judges one metric as Kayenta does.
pub(crate) fn examine(metric: &Metric, observation: Option<&Observation>) -> MetricResult {
    // Rates of counts are fractions whatever the unit says.
    let is_counts = |arm: &ArmPoints| matches!(arm.points, Points::Counts { .. });
    let fractions = match observation {
        Some(Observation::Sampled { baseline, canary }) if is_counts(baseline) || is_counts(canary) => {
            Some(Metric { unit: None, ..metric.clone() })
        }
        _ => None,
    };
    let metric = fractions.as_ref().unwrap_or(metric);
    let rules = metric.aca.unwrap_or_default();
    let settings = SharedSettings { direction: metric.direction, critical: metric.critical, rules };
    let mut coverages = (Coverage::default(), Coverage::default());
    let mut failure: Option<&FetchFailure> = None;
    let outcome = match observation {
        Some(Observation::Sampled { baseline, canary }) => {
            let (baseline, canary) = (values(&baseline.points), values(&canary.points));
            coverages = (coverage(&baseline, rules.nan_strategy), coverage(&canary, rules.nan_strategy));
            metric::classify(&baseline, &canary, settings)
        }
        Some(Observation::Failed(failed)) => {
            failure = Some(failed);
            metric::failed()
        }
        None => metric::failed(),
    };
    let (status, reason, mode, sentence) = in_our_words(metric, &outcome, observation.is_some(), failure);
    MetricResult {
        groups: metric.groups.clone(),
        status,
        reason,
        mode,
        sentence,
        baseline_coverage: coverages.0,
        canary_coverage: coverages.1,
        aca: Some(outcome),
        // Kayenta divides by nothing.
        per: None,
        ..draft::blank(metric)
    }
}

/// The result of a metric that was not judged by the deadline of whoever asked.
pub(crate) fn late(metric: &Metric) -> MetricResult {
    MetricResult { groups: metric.groups.clone(), aca: Some(metric::failed()), ..ResultDraft::late(metric) }
}

/// One number an interval; of counts the rate, which is not a number where there is no total and no event.
fn values(points: &Points) -> Vec<f64> {
    match points {
        Points::Values(values) => values.clone(),
        Points::Counts { events, totals } => events.iter().zip(totals).map(|(events, total)| events / total).collect(),
        // Kayenta knows no histograms; a percentile a minute is what its configs ask for.
        Points::Buckets(buckets) => buckets.quantiles(0.5),
    }
}

fn coverage(values: &[f64], nan_strategy: NanStrategy) -> Coverage {
    let present = values.iter().filter(|value| value.is_finite()).count();
    let missing = values.iter().filter(|value| value.is_nan()).count();
    Coverage {
        present,
        expected: values.len(),
        infinite: values.len() - present - missing,
        filled_with_zero: if nan_strategy == NanStrategy::Replace { missing } else { 0 },
        fraction: if values.is_empty() { 0.0 } else { present as f64 / values.len() as f64 },
    }
}

fn in_our_words(metric: &Metric, outcome: &MetricOutcome, known: bool, failure: Option<&FetchFailure>) -> (Status, Reason, Mode, String) {
    let empty = match (outcome.control.count, outcome.experiment.count) {
        (0, 0) => Some("neither arm has"),
        (0, _) => Some("the baseline does not have"),
        (_, 0) => Some("the canary does not have"),
        _ => None,
    };
    if let Some(failure) = failure {
        let reason = if failure.reason == "deadline" { Reason::Deadline } else { Reason::Fetch };
        let sentence = format!("the {}'s samples could not be had: {}", failure.arm, failure.message);
        return (Status::Error, reason, Mode::None, sentence);
    }
    match outcome.classification {
        Classification::Error if !known => (Status::Error, Reason::Fetch, Mode::None, "there are no samples of it".to_owned()),
        Classification::Error => {
            (Status::Error, Reason::Untestable, Mode::None, "cannot be tested: shifted onto each other, all points are equal".to_owned())
        }
        Classification::Nodata => {
            (Status::NoData, Reason::MissingData, Mode::None, format!("{} a point", empty.unwrap_or("one arm does not have")))
        }
        Classification::NodataFailMetric => {
            let sentence = format!("{} a point, and must_have_data is set", empty.unwrap_or("one arm does not have"));
            (Status::Regressed, Reason::MissingData, Mode::None, sentence)
        }
        Classification::Pass => match (empty, outcome.lower) {
            (Some(empty), _) => (
                Status::Pass,
                Reason::MissingData,
                Mode::None,
                format!("passes without data: {empty} an interval (nan_strategy is replace)"),
            ),
            (None, None) => (Status::Pass, Reason::Identical, Mode::None, "both arms have the same values".to_owned()),
            (None, Some(_)) => {
                (Status::Pass, Reason::WithinTolerance, Mode::Statistical, format!("not clearly worse: {}", numbers(metric, outcome)))
            }
        },
        Classification::High | Classification::Low => {
            let way = if outcome.classification == Classification::High { "higher" } else { "lower" };
            let critical = if outcome.critical { ", critically" } else { "" };
            (Status::Regressed, Reason::Shift, Mode::Statistical, format!("is {way}{critical}: {}", numbers(metric, outcome)))
        }
    }
}

fn numbers(metric: &Metric, outcome: &MetricOutcome) -> String {
    let mean = |value: f64| explain::quantity(metric, value);
    let (canary, baseline) = (mean(outcome.experiment.mean.0), mean(outcome.control.mean.0));
    let ratio = outcome.ratio.filter(|ratio| ratio.0.is_finite());
    let ratio = ratio.map_or("no ratio".to_owned(), |ratio| format!("ratio {}", quantity::number(ratio.0)));
    let end = |end: Option<super::Number>| end.map_or_else(String::new, |end| explain::difference(metric, end.0));
    let (lower, upper) = (end(outcome.lower), end(outcome.upper));
    format!("the canary's mean is {canary}, the baseline's {baseline} ({ratio}); the shift lies between {lower} and {upper} (98 %)")
}

fn count(metrics: &[MetricResult]) -> StatusCounts {
    let of = |status: Status| metrics.iter().filter(|metric| metric.status == status).count();
    StatusCounts {
        regressed: of(Status::Regressed),
        suspect: 0,
        pass: of(Status::Pass),
        inconclusive: 0,
        no_data: of(Status::NoData),
        error: of(Status::Error),
    }
}

/// The groups by name, as every judge gives them.
fn groups(summary: &Summary) -> Vec<GroupScore> {
    let by_name: BTreeMap<&str, GroupScore> = summary
        .groups
        .iter()
        .map(|group| {
            let weight = group.weight.0 / 100.0;
            let weight = if weight.is_finite() { weight } else { 0.0 };
            (group.name.as_str(), GroupScore { name: group.name.clone(), weight, score: group.has_data.then_some(group.score) })
        })
        .collect();
    by_name.into_values().collect()
}

/// Why the canary does not pass.
fn cause(config: &CheckedConfig, metrics: &[MetricResult], summary: &Summary) -> VerdictCause {
    let named = |wanted: &dyn Fn(&MetricResult) -> bool| -> Vec<String> {
        metrics.iter().filter(|metric| !metric.muted && wanted(metric)).map(|metric| metric.name.clone()).collect()
    };
    let (score, thresholds) = (summary.score.0, config.thresholds);
    match summary.reason {
        SummaryReason::CriticalMetric(first) => {
            let failing = named(&|m| m.aca.as_ref().is_some_and(|aca| aca.critical && aca.classification != Classification::Pass));
            let no_data = metrics.get(first).is_some_and(|metric| metric.status == Status::NoData);
            let (reason, what) =
                if no_data { (VerdictReason::NoData, "without data") } else { (VerdictReason::Regressed, "clearly worse") };
            let verb = if failing.len() == 1 { "is" } else { "are" };
            let sentence = format!("{} {verb} critical and {what}", explain::names(&failing));
            VerdictCause { reason, metrics: failing, sentence }
        }
        SummaryReason::TooManyWithoutData => {
            let missing = named(&|m| m.status == Status::NoData);
            let sentence = format!("{} of {} have no data", missing.len(), explain::count(named(&|_| true).len() as u64, "metric"));
            VerdictCause { reason: VerdictReason::InsufficientEvidence, metrics: missing, sentence }
        }
        SummaryReason::None => {
            let needed = if summary.verdict == Verdict::Fail { thresholds.marginal } else { thresholds.pass };
            // With thresholds out of order the lower of the two decides.
            let needed = needed.min(thresholds.pass);
            let sentence = format!("the score {score} is below {needed}");
            VerdictCause { reason: VerdictReason::Score, metrics: named(&|m| m.status == Status::Regressed), sentence }
        }
    }
}

/// What a person should know of this judge's rules where they were applied.
fn warnings(metrics: &[MetricResult], summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    let untested: Vec<String> = metrics.iter().filter(|m| !m.muted && m.status == Status::Error).map(|m| m.name.clone()).collect();
    if !untested.is_empty() {
        let verb = if untested.len() == 1 { "was" } else { "were" };
        warnings.push(format!("{} {verb} not judged, which this judge leaves out of the score", explain::names(&untested)));
    }
    if summary.groups.is_empty() && summary.reason == SummaryReason::None {
        warnings.push("no metric that counts is in a group; this judge scores groups alone, so the score is 0".to_owned());
    }
    let open: Vec<String> = summary.groups.iter().filter(|group| !group.has_data).map(|group| group.name.clone()).collect();
    if !open.is_empty() && summary.reason == SummaryReason::None {
        let verb = if open.len() == 1 { "counts" } else { "count" };
        warnings.push(format!("nothing in {} could be judged, which {verb} as 100 with this judge", explain::names(&open)));
    }
    warnings
}
