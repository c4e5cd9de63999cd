//! How many of a canary's points lie past its limit, and since when: the same on the page, in a terminal and in Markdown.

use std::borrow::Cow;

use haldane_judges::scorecard::{Examiner, MetricResult, Status};

use super::clock::WallTime;
use super::series::{DrawnSeries, LevelLimits};
use super::tolerance::{ToleranceShift, level_limits};
use super::view::telling;
use crate::analysis::{MetricProvenance, MetricSamples, Scorecard};

/// The points of a canary that are worse than its limit.
pub(super) struct PastLimit {
    /// How many.
    pub(super) points: usize,
    /// Of how many that it has.
    pub(super) all: usize,
    /// From when on most points are: a time of the day, or one since the window's start.
    pub(super) since: Option<String>,
}

impl PastLimit {
    /// Nothing where there is no limit, or no point.
    pub(super) fn of(metric: &MetricResult, series: &DrawnSeries, limits: &LevelLimits, clock: &WallTime) -> Option<Self> {
        let (points, since) = limits.past(metric, &series.canary)?;
        let all = series.canary.iter().flatten().count();
        (all > 0).then(|| Self { points, all, since: since.map(|since| clock.name(since)) })
    }

    /// Since when the metric at a place of the scorecard is past its limit, where its samples are at hand and its level is what regressed:
    /// a bad instance or silence has another beginning.
    pub(super) fn since(card: &Scorecard, place: usize) -> Option<String> {
        let found = |one: &&MetricResult| one.status == Status::Regressed && one.examiner == Examiner::Level;
        let metric = card.judgement.metrics.get(place).filter(found)?;
        let data = provenance(card, place)?;
        let samples = samples(card, place)?;
        let limits = level_limits(metric, ToleranceShift::of(metric).as_ref());
        Self::of(metric, &drawn(metric, &samples), &limits, &WallTime::of(&card.data, data))?.since
    }
}

/// What is known of the data of the metric at a place. They are in the config's order, like the metrics; two may have one name.
pub(super) fn provenance(card: &Scorecard, place: usize) -> Option<&MetricProvenance> {
    let metric = card.judgement.metrics.get(place)?;
    card.data.metrics.get(place).filter(|data| data.name == metric.name)
}

/// The samples of the metric at a place, where the scorecard has them or knows those that were judged.
pub(super) fn samples(card: &Scorecard, place: usize) -> Option<Cow<'_, MetricSamples>> {
    if let Some(samples) = provenance(card, place).and_then(|data| data.samples.as_ref()) {
        return Some(Cow::Borrowed(samples));
    }
    let observation = card.samples.0.as_ref().and_then(|evidence| evidence.observations.get(place))?;
    MetricSamples::of(observation).map(Cow::Owned)
}

/// The series that are drawn: of a histogram the quantile that tells most.
pub(super) fn drawn(metric: &MetricResult, samples: &MetricSamples) -> DrawnSeries {
    DrawnSeries::of(samples, metric.distribution.as_ref().and_then(telling).map_or(0.5, |one| one.quantile))
}
