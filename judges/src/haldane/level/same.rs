//! Arms that are the same, of which there is nothing to compare.

use crate::draft::ResultDraft;
use crate::explain;
use crate::haldane::subject::Subject;
use crate::limit::present;
use crate::scorecard::{MetricResult, Mode, Reason, Status};

/// In what the arms are the same.
pub(super) enum Same {
    /// One constant.
    Constant,
    /// One and the same series that varies: the query tells the arms apart by nothing.
    Series,
}

pub(super) fn sameness(subject: &Subject<'_>) -> Option<Same> {
    let samples = subject.samples.as_ref()?;
    let (bs, cs) = (&samples.baseline, &samples.canary);
    if bs.is_constant() && cs.is_constant() && bs.min() == cs.min() {
        // A rate that is the same throughout was measured of requests that could have failed.
        return if subject.is_rate() { None } else { Some(Same::Constant) };
    }
    subject.cleaned.is_one_series().then_some(Same::Series)
}

pub(super) fn same_arms(mut draft: ResultDraft, subject: &Subject<'_>, same: &Same) -> MetricResult {
    match same {
        Same::Constant => {
            let value = present(&subject.cleaned.baseline.values()).first().copied().unwrap_or(0.0);
            let sentence =
                format!("both arms are the same throughout ({}), so that nothing could differ", explain::quantity(subject.metric, value));
            draft.decide(Status::Pass, Reason::Identical, Mode::None, sentence);
        }
        Same::Series => {
            let sentence =
                "both arms are one and the same series, point by point, so that nothing is compared; does the query tell them apart?";
            draft.decide(Status::Inconclusive, Reason::SameSeries, Mode::None, sentence.to_owned());
        }
    }
    draft.close()
}
