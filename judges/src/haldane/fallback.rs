//! What the declared limits decide where the statistics have too little, or only a suspicion.

use super::subject::Subject;
use crate::draft::ResultDraft;
use crate::limit::{self, Decision, present};
use crate::scorecard::{Mode, Status};

/// What the limits decide of a metric whose points are values.
pub(super) fn by_limits(subject: &Subject<'_>) -> Decision {
    let (metric, cleaned) = (subject.metric, subject.cleaned);
    let level = subject.medians[0];
    let of = |values: Vec<f64>| limit::decide_value(metric, &present(&values), level);
    limit::unless_of_both(of(cleaned.canary.values()), || of(cleaned.baseline.values()))
}

/// A suspicion that a declared limit decides: what would be too little data without it is too little with it.
pub(super) fn or_by_limit(draft: &mut ResultDraft, decision: Decision) {
    if decision.status != Status::Regressed {
        return;
    }
    // A distribution's sentence begins with its quantile.
    let it = if draft.result.mode == Mode::Distribution { "its" } else { "it" };
    let sentence = format!("{}; besides, {it} {}", decision.sentence, draft.result.sentence);
    draft.decide(decision.status, decision.reason, Mode::Threshold, sentence);
    draft.result.threshold = Some(decision.numbers);
}

/// Takes over what threshold mode decided, saying which guard led there.
pub(super) fn fall_back(draft: &mut ResultDraft, decision: Decision) {
    let guards: Vec<&str> = draft.result.guards.iter().map(|guard| guard.sentence.as_str()).collect();
    let sentence = format!("{}; too little for statistics: {}", decision.sentence, guards.join("; "));
    draft.decide(decision.status, decision.reason, Mode::Threshold, sentence);
    draft.result.threshold = Some(decision.numbers);
    if decision.status != Status::Inconclusive {
        draft.result.remedies.clear();
    }
}
