//! The judge `NetflixACAJudge-v1.0`: what Spinnaker's Kayenta computes, to the last bit.
//!
//! It is here so that a canary moved from Kayenta keeps its verdicts. It shares nothing with `haldane-v1`: no warm-up, no coverage
//! rule, no guard, no correction for autocorrelation or for many metrics; and what is unsound in it stays in it alone. Infinite
//! points are judged, a metric that cannot be tested is left out of the score, and two points against two can convict.
//!
//! * [`Rules`]: the settings of a metric that this judge alone reads. Direction, groups, `critical` and `muted` are the shared ones.
//! * `metric`: from the samples of both arms to a [`Classification`]; `rank`: the interval of the shift that it rests on.
//! * [`summary`]: from classifications to the score. `answer` puts both into a [`Judgement`](crate::Judgement).
//!
//! The arms are called control and experiment here, as in Kayenta. Checked against recorded runs of Kayenta's own judge,
//! `fixtures/reference/kayenta`.
//!
//! One step differs on purpose. Where both arms are constant, Kayenta adds unseeded normal noise before it tests, so that one
//! reply follows from chance. Here the noise is a fixed sequence of normal scores of the same size; see `metric`.

mod answer;
mod metric;
mod order;
mod rank;
mod score;

pub use crate::aca_outcome::{Classification, Finding, GroupOutcome, MetricOutcome, Number, SampleStatistics, Summary, SummaryReason};
pub use crate::aca_rules::{EffectLimits, EffectSize, Measure, NanStrategy, OutlierStrategy, Outliers, Rules};
pub(crate) use answer::{examine, judgement, late};
pub use rank::{ShiftEstimate, TiedRanks, rank_score, shift};
pub use score::{ScoredMetric, summary};
