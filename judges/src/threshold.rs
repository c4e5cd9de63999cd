//! The judge `threshold-v1`: the declared limits (`limit.rs`), and nothing else.

use crate::config::Metric;
use crate::draft::ResultDraft;
use crate::evidence::{Observation, Points};
use crate::explain;
use crate::haldane::{Rung, limit_by_points};
use crate::limit::{Decision, decide_distribution, decide_ratio, decide_value, limit_words, present, sum};
use crate::quality::{CleanMetric, level};
use crate::scorecard::{MetricResult, Mode, Reason, Status};
use crate::stats::median_of_sorted;

/// Judges a metric by its limits alone.
pub(crate) fn examine(metric: &Metric, observation: Option<&Observation>, cleaned: &CleanMetric) -> MetricResult {
    let (cleaned, units) = cleaned.completed(metric, observation, [level(&cleaned.baseline), level(&cleaned.canary)]);
    let mut draft = match ResultDraft::of(metric, &cleaned, &units) {
        Ok(open) => open,
        Err(closed) => return *closed,
    };
    if draft.lacks_data() {
        return draft.close();
    }
    let decision = if let Points::Buckets(canary) = &cleaned.canary.points {
        decide_distribution(metric, canary)
    } else if cleaned.is_counted() {
        let (events, totals) = cleaned.canary.counted();
        decide_ratio(metric, sum(&events), sum(&totals), baseline_level(&cleaned))
    } else {
        let decision = decide_value(metric, &present(&cleaned.canary.values()), baseline_level(&cleaned));
        beside_the_baseline(metric, &cleaned, decision)
    };
    draft.decide(decision.status, decision.reason, Mode::Threshold, decision.sentence);
    draft.result.threshold = Some(decision.numbers);
    draft.close()
}

/// Points past a limit that are too few by themselves, and far more than the baseline has, decide all the same.
fn beside_the_baseline(metric: &Metric, cleaned: &CleanMetric, decision: Decision) -> Decision {
    let (max, min) = (decision.numbers.max, decision.numbers.min);
    if decision.status != Status::Inconclusive || max.is_none() && min.is_none() {
        return decision;
    }
    let past = |v: f64| max.is_some_and(|max| v > max) || min.is_some_and(|min| v < min);
    let (baseline, canary) = (cleaned.baseline.values(), cleaned.canary.values());
    let status = match limit_by_points(&baseline, &canary, past) {
        Rung::Regressed => Status::Regressed,
        Rung::Suspect => Status::Suspect,
        Rung::Acquitted | Rung::Open => return decision,
    };
    let there = baseline.iter().filter(|v| v.is_finite() && past(**v)).count();
    let sentence = format!(
        "{} of {} are past the limit ({}), where {there} of the baseline's are",
        decision.numbers.points_past.unwrap_or(0),
        explain::count(decision.numbers.points.unwrap_or(0) as u64, "point"),
        limit_words(metric, max, min, false)
    );
    Decision { status, reason: Reason::Limit, sentence, ..decision }
}

/// The baseline's level, with its sign, for limits that are multiples of it; the pooled rate for counts.
pub(crate) fn baseline_level(cleaned: &CleanMetric) -> Option<f64> {
    if cleaned.is_counted() {
        let (events, totals) = cleaned.baseline.counted();
        let total = sum(&totals);
        return (total > 0.0).then(|| sum(&events) / total);
    }
    let mut values = present(&cleaned.baseline.values());
    values.sort_unstable_by(f64::total_cmp);
    (!values.is_empty()).then(|| median_of_sorted(&values))
}
