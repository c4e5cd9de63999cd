//! The level: is the canary worse than the baseline, beyond the tolerance and beyond what is usual here?
//!
//! Each kind of metric reduces its data to one estimate with one standard error; all walk the same ladder.

pub(super) mod counts;
pub(super) mod distribution;
pub(super) mod events;
mod same;
pub(super) mod value;

use super::subject::Subject;
use crate::config::Kind;
use crate::draft::ResultDraft;
use crate::scorecard::MetricResult;

/// Judges the level of a metric.
pub(super) fn judge(draft: ResultDraft, subject: &Subject<'_>) -> MetricResult {
    match subject.metric.kind {
        _ if subject.cleaned.is_counted() => counts::judge(draft, subject),
        Kind::Distribution => distribution::judge(draft, subject),
        Kind::Events => events::judge(draft, subject),
        Kind::Value | Kind::Ratio => value::judge(draft, subject),
    }
}
