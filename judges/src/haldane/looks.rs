//! Repeated looks at a canary while its window grows: what those before must agree on where a metric asks for that.
//!
//! No look is remembered. The data of an earlier one is the first part of today's, so that any replica comes to the same answer. What a
//! plan costs otherwise is in the levels that the ladder shares among its looks.

use super::context::Context;
use crate::config::Metric;
use crate::evidence::Looks;
use crate::quality::CleanMetric;
use crate::scorecard::{MetricResult, Reason, Status};

/// Holds a regression back until the looks before this one say the same, where the metric asks for that.
///
/// Without a plan of looks the window is cut into so many disjoint parts, each of which must show it by itself. What a metric no longer
/// reports needs no confirmation. `judge` judges the metric by a part of the window alone.
pub(super) fn confirmed(
    mut result: MetricResult,
    metric: &Metric,
    cleaned: &CleanMetric,
    context: Context,
    judge: impl Fn(&CleanMetric, Context) -> MetricResult,
) -> MetricResult {
    let needs = metric.confirm;
    if needs <= 1 || result.status != Status::Regressed || matches!(result.reason, Reason::Silent | Reason::Ended) {
        return result;
    }
    let shows = |part: CleanMetric, share: f64, looks: Option<Looks>| {
        let context = Context { observed_seconds: context.observed_seconds * share, looks, ..context };
        judge(&part, context).status == Status::Regressed
    };
    let settle = if let Some(plan) = context.looks {
        let agrees =
            |look: u32| shows(cleaned.at_look(look, plan.look), f64::from(look) / f64::from(plan.look), Some(Looks { look, ..plan }));
        // How many looks in a row say so, this one included.
        let in_a_row = 1 + (1..plan.look).rev().take(needs as usize - 1).take_while(|look| agrees(*look)).count() as u32;
        if in_a_row >= needs {
            return result;
        }
        format!("{in_a_row} of the {needs} looks in a row that must say so; {} more would", needs - in_a_row)
    } else {
        if (1..=needs).all(|part| shows(cleaned.part(part, needs), 1.0 / f64::from(needs), context.looks)) {
            return result;
        }
        format!("it does not show in each of the {needs} parts that the window is cut into; a longer observation would tell")
    };
    result.status = Status::Suspect;
    result.reason = Reason::Unconfirmed;
    result.sentence = format!("{}; not confirmed: {settle}", result.sentence);
    result
}
