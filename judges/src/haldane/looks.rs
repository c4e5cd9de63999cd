//! Repeated looks at a canary while its window grows: what the earlier ones saw, and what they must agree on.
//!
//! No look is remembered. The data of an earlier one is the first part of today's, so that any replica comes to the same answer.
//!
//! In the first half of the plan a level fails only by a gross shift; a declared limit, one bad instance, a leak and silence fail at any
//! look.

use super::{Context, judge_one};
use crate::config::Metric;
use crate::evidence::Looks;
use crate::quality::Cleaned;
use crate::scorecard::{MetricResult, Reason, Status};
use crate::stats::mann_whitney::{mann_whitney, mann_whitney_score};
use crate::stats::sequential::sequential_p;
use crate::stats::{Sample, normal_isf};

/// Fewest points of an arm from which a look says anything.
const FEWEST: usize = 3;

/// One-sided Mann-Whitney p-value over the looks of the plan up to this one (p_seq); `None` without a plan of several looks.
///
/// `p` is this look's own. Both arms are turned so that more is worse. A look counts by the normal score of its p-value, which is exact
/// for small samples; of the earlier looks only the strongest is tested exactly, since only the strongest of all counts.
pub(super) fn p_over_looks(plan: Option<Looks>, p: f64, cleaned: &Cleaned, turned: impl Fn(&[f64]) -> Option<Sample>) -> Option<f64> {
    let plan = plan.filter(|plan| plan.looks > 1)?;
    let fraction = |look: u32| f64::from(look) / f64::from(plan.looks);
    let arms = |look: u32| {
        let part = cleaned.at_look(look, plan.look);
        let (b, c) = (turned(&part.baseline.values())?, turned(&part.canary.values())?);
        (b.len().min(c.len()) >= FEWEST).then_some((b, c))
    };
    let weight = |look: u32| arms(look).map(|(b, c)| (look, mann_whitney_score(&c, &b) * fraction(look).sqrt()));
    let strongest = (1..plan.look).filter_map(weight).max_by(|one, other| one.1.total_cmp(&other.1));
    let earlier = strongest.and_then(|(look, _)| {
        let (b, c) = arms(look)?;
        Some((normal_isf(mann_whitney(&c, &b).p.greater), fraction(look)))
    });
    Some(sequential_p(earlier.into_iter().chain([(normal_isf(p), fraction(plan.look))])))
}

/// Shift as a fraction of the level, share of comparisons and multiple of the scatter from which a shift is gross.
const GROSS: (f64, f64, f64) = (1.0, 0.95, 3.0);

/// Holds back, as suspect, a shift of the level that is not gross while less than half of the plan is over.
///
/// A short window shows much that passes; what is gross need not wait. Findings of another kind are not held back: a limit is the
/// caller's word, silence does not pass, and leaks and bad instances are told by tests of their own that count every look. Where one
/// bad instance moved the level too the finding is the instance.
pub(super) fn held_back_early(mut result: MetricResult, context: Context) -> MetricResult {
    let Some(plan) = context.looks.filter(|plan| plan.looks > 1 && plan.look.saturating_mul(2) < plan.looks) else { return result };
    let by_level = result.status == Status::Regressed && matches!(result.reason, Reason::Shift | Reason::Gross);
    if by_level && !is_gross(&result) {
        result.status = Status::Suspect;
        result.reason = Reason::Unconfirmed;
        result.sentence = format!(
            "{}; not confirmed: at look {} of {} only a shift by the level itself fails, from half of the plan on any",
            result.sentence, plan.look, plan.looks
        );
    }
    result
}

fn is_gross(result: &MetricResult) -> bool {
    // What is absent is not finite, and so is above every bound.
    let reaches = |value: Option<f64>, bound: f64| value.is_none_or(|value| value >= bound);
    match (&result.numbers, &result.counts) {
        (_, Some(counts)) => reaches(counts.relative_shift, GROSS.0) && counts.worse_share >= GROSS.1,
        (Some(n), None) => reaches(n.relative_shift, GROSS.0) && n.cles >= GROSS.1 && reaches(n.shift_in_noise, GROSS.2),
        (None, None) => true,
    }
}

/// Holds a regression back until the looks before this one say the same, where the metric asks for that.
///
/// Without a plan of looks the window is cut into so many disjoint parts, each of which must show it by itself. What a metric no longer
/// reports needs no confirmation.
pub(super) fn confirmed(mut result: MetricResult, metric: &Metric, cleaned: &Cleaned, context: Context) -> MetricResult {
    let needs = metric.confirm;
    if needs <= 1 || result.status != Status::Regressed || result.reason == Reason::Silent {
        return result;
    }
    let shows = |part: Cleaned, share: f64, looks: Option<Looks>| {
        let context = Context { observed_seconds: context.observed_seconds * share, looks, ..context };
        judge_one(metric, Ok(part), context).status == Status::Regressed
    };
    let settle = if let Some(plan) = context.looks.filter(|plan| plan.looks > 1) {
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
