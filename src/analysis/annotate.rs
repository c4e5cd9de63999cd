//! What is said of a judgement beside the judge: of its request's times, and of scopes that select nothing.

use haldane_judges::Judgement;
use haldane_judges::evidence::Arm;
use haldane_judges::scorecard::{Remedy, Status, VerdictReason};
use jiff::Timestamp;

use super::assemble::MetricNotes;
use super::request::Request;
use super::scorecard::{QueryProvenance, WindowSpan, span};

/// Adds to each metric's warnings what is to be said of its samples; advice about shifts only where one was found.
pub(super) fn add_notes(judgement: &mut Judgement, notes: &[MetricNotes]) {
    for (metric, notes) in judgement.metrics.iter_mut().zip(notes) {
        let shifted = matches!(metric.status, Status::Regressed | Status::Suspect);
        let advice = notes.advice.iter().filter(|advice| shifted || !advice.about_shifts).map(|advice| &advice.sentence);
        for warning in notes.warnings.iter().chain(advice) {
            if !metric.warnings.contains(warning) {
                metric.warnings.push(warning.clone());
            }
        }
    }
}

/// Says of an arm for which not one query returned a series what selected it, which is most likely misspelt, and over which time.
pub(super) fn unmatched_arms(request: &Request, notes: &[MetricNotes], population: &[QueryProvenance]) -> Vec<String> {
    let arms = [(Arm::Baseline, &request.baseline, request.baseline_window()), (Arm::Canary, &request.canary, request.window)];
    arms.into_iter()
        .filter_map(|(arm, scope, window)| {
            let asked = || notes.iter().flat_map(|one| &one.provenance.queries).chain(population).filter(|query| query.arm == arm);
            if asked().next().is_none() || asked().any(|query| query.series != Some(0)) {
                return None;
            }
            let given: Vec<String> = scope.variables.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
            let time = window.and_then(span).map(|WindowSpan { start, end, .. }| {
                format!("; or the time: whether the store has samples, still or already, from {start} to {end}")
            });
            let time = time.unwrap_or_default();
            Some(format!("no query of the {arm} returned a series; check what selects it: {}{time}", given.join(", ")))
        })
        .collect()
}

/// What is said of a canary whose past may be that of the version that is judged, and was left out for that.
pub(super) const UNRELEASED: &str = "judged without history: the window slides; give `released_at` (--released-at)";

/// Says of every extension until when it lasts, and whether that is within the plan.
pub(super) fn name_times(judgement: &mut Judgement, request: &Request) {
    let Some(end) = request.window.and_then(|window| Timestamp::from_second(window.end).ok()) else { return };
    let clock = |at: Timestamp| at.strftime("%H:%M UTC").to_string();
    let name = |remedy: &mut Remedy| {
        let Remedy::Extend { minutes, sentence } = remedy else { return };
        let seconds = i64::try_from(*minutes).unwrap_or(i64::MAX).saturating_mul(60);
        let Ok(until) = end.checked_add(jiff::SignedDuration::from_secs(seconds)) else { return };
        let plan = match request.planned_end {
            Some(planned) if until <= planned => format!(", within the plan that ends {}", clock(planned)),
            Some(planned) => format!(", beyond the plan that ends {}", clock(planned)),
            None => String::new(),
        };
        sentence.push_str(&format!("; extend to {}{plan}", clock(until)));
    };
    judgement.metrics.iter_mut().flat_map(|metric| &mut metric.remedies).for_each(name);
    // What the recommendation says already in its own words is said with its time as well.
    let before: Option<String> = judgement.recommendation.remedies.first().map(|first| first.sentence().to_owned());
    judgement.recommendation.remedies.iter_mut().for_each(name);
    let recommendation = &mut judgement.recommendation;
    if let (Some(before), Some(first)) = (before, recommendation.remedies.first()) {
        recommendation.sentence = recommendation.sentence.replacen(&before, first.sentence(), 1);
    }
    if let (Some(planned), Some(VerdictReason::OnTrack)) = (request.planned_end, judgement.reasons.first().map(|cause| cause.reason)) {
        recommendation.sentence.push_str(&format!("; the plan ends {}", clock(planned)));
    }
}
