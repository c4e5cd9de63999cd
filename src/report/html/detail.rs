//! What opening a metric shows: both arms over time and by distribution, their statistics, the evidence and the queries.

use std::borrow::Cow;

use haldane_judges::scorecard::{DistributionNumbers, MetricResult};
use maud::{Markup, html};

use super::forest::{ToleranceShift, level_limits};
use super::glossary::Term;
use super::series::DrawnSeries;
use super::text::{list, prose, web_address};
use super::timeline::{WallTime, timeline};
use super::{instances, spread};
use crate::analysis::{MetricProvenance, MetricSamples, MetricStatistics, Scorecard, Statistics};
use crate::report::format::{self, Unit, clean, truncate};
use crate::report::view::{MetricRow, quantile_name, telling};

/// One metric of the page, and where all that is known of it lies.
pub(super) struct MetricPage<'a> {
    /// Its place in the config.
    pub(super) place: usize,
    pub(super) row: &'a MetricRow,
    pub(super) metric: &'a MetricResult,
    pub(super) shift: Option<ToleranceShift>,
    pub(super) data: Option<&'a MetricProvenance>,
}

/// The samples of a metric, where the scorecard has them or knows those that were judged.
fn samples<'a>(card: &Scorecard, page: &MetricPage<'a>) -> Option<Cow<'a, MetricSamples>> {
    if let Some(samples) = page.data.and_then(|data| data.samples.as_ref()) {
        return Some(Cow::Borrowed(samples));
    }
    let observation = card.samples.0.as_ref().and_then(|evidence| evidence.observations.get(page.place))?;
    MetricSamples::of(observation).map(Cow::Owned)
}

/// The series that are drawn: of a histogram the quantile that tells most.
fn series(page: &MetricPage, samples: &MetricSamples) -> DrawnSeries {
    DrawnSeries::of(samples, page.metric.distribution.as_ref().and_then(telling).map_or(0.5, |one| one.quantile))
}

/// When the canary's first point lies past the limit.
pub(super) fn first_past(card: &Scorecard, page: &MetricPage) -> Option<String> {
    let samples = samples(card, page)?;
    let limits = level_limits(page.metric, page.shift.as_ref());
    let (_, first) = limits.past(page.metric, &series(page, &samples).canary)?;
    Some(WallTime::of(&card.data, page.data?).name(first?))
}

/// Everything about one metric.
pub(super) fn detail(card: &Scorecard, page: &MetricPage) -> Markup {
    let (row, metric, place) = (page.row, page.metric, page.place);
    let unit = Unit::of(metric);
    let at_hand = samples(card, page);
    let samples = at_hand.as_deref();
    html! {
        div.detail id={ "metric-" (place) } {
            p.finding { (prose(&row.sentence)) }
            p.dim {
                "Reason " code { (row.reason) } ", by the mode " code { (row.mode) }
                @if row.limit != "-" { ". " (Term::Limit.button()) " " (row.limit) }
                @if let Some(history) = metric.history.as_ref().filter(|_| metric.counts.is_none()).and_then(|history| history.spread) {
                    @let spread = if metric.kind == haldane_judges::config::Kind::Ratio { unit.distance(1.645 * history) } else { format::percent(1.645 * history) };
                    ". " (Term::Usual.button()) " ±" (spread)
                }
            }
            @if let Some(data) = page.data { (charts(card, page, data, samples, &unit)) }
            div.columns {
                @if let Some(both) = page.data.and_then(|data| data.statistics) { (table(&both, metric, &unit)) }
                @if let Some(of) = &metric.distribution { (quantiles(of, &unit)) }
            }
            (list(Some("Guard"), &row.guards))
            (list(Some("To settle it"), &row.remedies))
            (list(Some("Warning"), &row.warnings))
            @if !row.evidence.is_empty() {
                h4 { "The numbers behind it" }
                (list(None, &row.evidence))
            }
            @if let Some(data) = page.data { (queries(place, row, data)) }
        }
    }
}

fn charts(card: &Scorecard, page: &MetricPage, data: &MetricProvenance, samples: Option<&MetricSamples>, unit: &Unit) -> Markup {
    let metric = page.metric;
    let quantile = metric.distribution.as_ref().and_then(telling).map(|one| one.quantile);
    let series = samples.map(|samples| series(page, samples));
    let clock = WallTime::of(&card.data, data);
    let limits = level_limits(metric, page.shift.as_ref());
    let what = match quantile {
        Some(quantile) => format!("{} of each interval", quantile_name(quantile)),
        None if metric.counts.is_some() => "rate of each interval".to_owned(),
        None => "value".to_owned(),
    };
    let past = series.as_ref().and_then(|series| {
        let (past, first) = limits.past(metric, &series.canary)?;
        Some((past, series.canary.iter().flatten().count(), first.map(|first| clock.name(first))))
    });
    let curve = metric.distribution.as_ref().and_then(|of| spread::of_requests(&of.curve, unit));
    html! {
        @if let Some((past, all, first)) = past.filter(|(_, all, _)| *all > 0) {
            p.past data-past=(past) {
                (past) " of the canary's " (all) " points lie past the limit"
                @if let Some(first) = first { ", the first at " time { (first) } }
                "."
            }
        }
        div.columns {
            @match series.as_ref() {
                Some(series) => {
                    @match timeline(series, &clock, &limits, unit, &what) {
                        Some(figure) => (figure),
                        None => p.dim { "Neither arm has a point." },
                    }
                    @match curve {
                        Some(figure) => (figure),
                        None => @if let Some(figure) = spread::of_points(series, unit, &what) { (figure) },
                    }
                }
                None => {
                    @if let Some(figure) = curve { (figure) }
                    p.dim { "The samples are not in this scorecard, so that they are not drawn." }
                }
            }
            @if let Some(figure) = instances::instances(card.samples.0.as_deref(), page.place, metric, unit) { (figure) }
        }
    }
}

/// Reads one statistic of an arm.
type StatisticReader = fn(&Statistics) -> f64;

fn table(both: &MetricStatistics, metric: &MetricResult, unit: &Unit) -> Markup {
    let known = both.baseline.count > 0 || both.canary.count > 0;
    let what = match (&metric.distribution, &metric.counts) {
        (Some(_), _) => "Each interval's median",
        (None, Some(_)) => "Each interval's rate",
        (None, None) => "All points",
    };
    let rows: [(Term, StatisticReader); 6] = [
        (Term::Min, |of| of.min),
        (Term::Mean, |of| of.mean),
        (Term::Median, |of| of.median),
        (Term::P95, |of| of.p95),
        (Term::Max, |of| of.max),
        (Term::Deviation, |of| of.std),
    ];
    html! {
        @if known {
            table.numbers {
                caption { (what) }
                thead { tr { th scope="col" { "Statistic" } th scope="col" { "Baseline" } th scope="col" { "Canary" } } }
                tbody {
                    @for (term, of) in rows {
                        tr {
                            th scope="row" { (term.button()) }
                            @for arm in [&both.baseline, &both.canary] {
                                @match Some(of(arm)).filter(|_| arm.count > 0) {
                                    Some(value) => td data-value=(value) { (if term == Term::Deviation { unit.distance(value) } else { unit.value(value) }) },
                                    None => td { "-" },
                                }
                            }
                        }
                    }
                    tr {
                        th scope="row" { (Term::Points.button()) }
                        @for arm in [&both.baseline, &both.canary] { td data-value=(arm.count) { (arm.count) } }
                    }
                }
            }
        }
    }
}

fn quantiles(of: &DistributionNumbers, unit: &Unit) -> Markup {
    html! {
        table.numbers {
            caption { "All requests: " (format::count(of.requests_baseline)) " of the baseline, " (format::count(of.requests_canary)) " of the canary" }
            thead { tr { th scope="col" { "Quantile" } th scope="col" { "Baseline" } th scope="col" { "Canary" } th scope="col" { "Finding" } } }
            tbody {
                @for one in &of.quantiles {
                    tr {
                        th scope="row" { (quantile_name(one.quantile)) }
                        td data-value=(one.baseline) { (unit.value(one.baseline)) }
                        td data-value=(one.canary) { (unit.value(one.canary)) }
                        td { (one.status) }
                    }
                }
            }
        }
    }
}

fn queries(place: usize, row: &MetricRow, data: &MetricProvenance) -> Markup {
    html! {
        @if !row.queries.is_empty() {
            h4 { "Queries" }
            @for (i, ((what, text), query)) in row.queries.iter().zip(&data.queries).enumerate() {
                @let id = format!("query-{place}-{i}");
                div.query {
                    p {
                        (truncate(what, 200)) " "
                        button.copy type="button" hidden data-copy=(id) aria-label={ "Copy the query, " (truncate(what, 60)) } { "Copy" }
                        @if let Some(address) = query.explore_url.as_deref().and_then(web_address) {
                            " " a href=(address) rel="noreferrer" aria-label={ "Open the query, " (truncate(&clean(what), 60)) } { "Open" }
                        }
                    }
                    pre { code id=(id) { (text) } }
                }
            }
        }
    }
}
