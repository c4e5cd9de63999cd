//! The points of a metric as they were compared, how many lie past its limit, and since when: the same on the page, in a terminal and in
//! Markdown.

use std::borrow::Cow;

use haldane_judges::scorecard::{Examiner, MetricResult, Status};

use super::clock::WallTime;
use super::onset;
use super::series::{DrawnSeries, LevelLimits};
use super::tolerance::{ToleranceShift, level_limits};
use super::view::telling;
use crate::analysis::{ArmSamples, MetricProvenance, MetricSamples, Scorecard};

/// The points of a canary that are worse than its limit.
pub(super) struct PastLimit {
    /// How many.
    pub(super) points: usize,
    /// Of how many that it has.
    pub(super) all: usize,
}

impl PastLimit {
    /// Nothing where there is no limit, or no point, and of rates, which an interval with few requests tells little of.
    pub(super) fn of(metric: &MetricResult, series: &DrawnSeries, limits: &LevelLimits) -> Option<Self> {
        let is_past = limits.is_past(metric.direction).filter(|_| metric.counts.is_none())?;
        let points = series.canary.iter().flatten().filter(|value| is_past(**value)).count();
        let all = series.canary.iter().flatten().count();
        (all > 0).then_some(Self { points, all })
    }
}

/// Since when the metric at a place of the scorecard is past its limit, where its samples are at hand and its level is what regressed: a bad
/// instance or silence has another beginning. A time of the day, or a minute of the window.
pub(super) fn past_since(card: &Scorecard, place: usize) -> Option<String> {
    let found = |one: &&MetricResult| one.status == Status::Regressed && one.examiner == Examiner::Level;
    let metric = card.judgement.metrics.get(place).filter(found)?;
    let since = match (&metric.counts, samples(card, place)?.as_ref()) {
        (Some(counts), MetricSamples { canary: ArmSamples::Counts { events, totals }, .. }) => {
            onset::of_rates(events, totals, counts.baseline.rate)
        }
        _ => {
            let shift = ToleranceShift::of(metric);
            let limits = level_limits(metric, shift.as_ref());
            let level = shift.map_or_else(|| limits.limits.first().copied(), |shift| Some(shift.level))?;
            onset::of_values(&drawn(card, place)?.canary, level, limits.is_past(metric.direction)?)
        }
    };
    Some(WallTime::of(&card.data, provenance(card, place)?).name(since?))
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

/// The series that are drawn of the metric at a place, as they were compared: of a histogram the quantile that tells most, divided by the
/// traffic or multiplied for the share of it where the judge did so. `None` where samples of it are not at hand.
pub(super) fn drawn(card: &Scorecard, place: usize) -> Option<DrawnSeries> {
    let metric = card.judgement.metrics.get(place)?;
    let of = |place: usize| {
        let quantile = card.judgement.metrics.get(place)?.distribution.as_ref().and_then(telling).map_or(0.5, |one| one.quantile);
        Some(DrawnSeries::of(samples(card, place)?.as_ref(), quantile))
    };
    let own = of(place)?;
    let compared = match metric.per {
        Some(_) => own.over(&of(card.judgement.metrics.iter().position(|one| one.traffic)?)?),
        None => own,
    };
    Some(match metric.canary_times {
        Some(factor) => compared.with_canary_times(factor),
        None => compared,
    })
}
