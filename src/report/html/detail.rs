//! What opening a metric shows: both arms over time and by distribution, their statistics, the evidence and the queries.

use haldane_judges::config::Kind;
use haldane_judges::scorecard::{DistributionNumbers, MetricResult, Status};
use maud::{Markup, html};

use super::glossary::Term;
use super::text::{list, prose, web_address};
use super::timeline::timeline;
use super::{instances, spread};
use crate::analysis::{MetricProvenance, MetricStatistics, Scorecard, Statistics};
use crate::report::clock::WallTime;
use crate::report::format::{self, Unit, clean, truncate};
use crate::report::past::{PastLimit, drawn, past_since};
use crate::report::tolerance::{ToleranceShift, level_limits};
use crate::report::view::{AT_LEAST, MetricRow, quantile_name, telling};

/// One metric of the page, and where all that is known of it lies.
pub(super) struct MetricPage<'a> {
    /// Its place in the config.
    pub(super) place: usize,
    pub(super) row: &'a MetricRow,
    pub(super) metric: &'a MetricResult,
    pub(super) shift: Option<ToleranceShift>,
    pub(super) data: Option<&'a MetricProvenance>,
}

/// Everything about one metric.
pub(super) fn detail(card: &Scorecard, page: &MetricPage) -> Markup {
    let (row, metric, place) = (page.row, page.metric, page.place);
    let (unit, as_read) = (format::unit_of(metric), format::unit_as_read(metric));
    html! {
        div.detail id={ "metric-" (place) } {
            p.finding { (prose(&row.sentence)) }
            p.dim {
                "Reason " code { (row.reason) } ", by the mode " code { (row.mode) }
                @if row.limit != "-" { ". " (Term::Limit.button()) " " (row.limit) }
                @if let Some(usual) = metric.history.as_ref().and_then(|history| history.usual) {
                    ". " (Term::Usual.button()) " ±" (if metric.kind == Kind::Ratio { unit.distance(usual) } else { format::percent(usual) })
                }
            }
            @if let Some(data) = page.data { (charts(card, page, data, if metric.per.is_some() { &unit } else { &as_read })) }
            div.columns {
                @if let Some(both) = page.data.and_then(|data| data.statistics) { (table(&both, metric, &as_read)) }
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

fn charts(card: &Scorecard, page: &MetricPage, data: &MetricProvenance, unit: &Unit) -> Markup {
    let metric = page.metric;
    let quantile = metric.distribution.as_ref().and_then(telling).map(|one| one.quantile);
    let series = drawn(card, page.place);
    let clock = WallTime::of(&card.data, data);
    let limits = level_limits(metric, page.shift.as_ref());
    let what = match quantile {
        Some(quantile) => format!("{} of each interval", quantile_name(quantile)),
        None if metric.canary_times.is_some() => {
            format!("value, the canary's times {}", format::number(metric.canary_times.unwrap_or(1.0)))
        }
        None if metric.kind == Kind::Distribution => "median of each interval".to_owned(),
        None if metric.counts.is_some() => "rate of each interval".to_owned(),
        None => "value".to_owned(),
    };
    let past = series.as_ref().and_then(|series| PastLimit::of(metric, series, &limits));
    let limit = limits.limits.iter().map(|limit| unit.value(*limit)).collect::<Vec<_>>().join(" and ");
    let curve = metric.distribution.as_ref().and_then(|of| spread::of_requests(&of.curve, unit));
    html! {
        @if let Some(PastLimit { points, all }) = past {
            p.past data-past=(points) {
                (points) " of the canary's " (all) " points " (if points == 1 { "lies" } else { "lie" }) " past the limit of " (limit) "."
            }
        }
        @if let Some(since) = past_since(card, page.place) { p.past { "Past its limit since " time { (since) } "." } }
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
    let what = match &metric.counts {
        _ if metric.kind == Kind::Distribution => "Each interval's median",
        Some(_) => "Each interval's rate",
        None if metric.per.is_some() => "All points, before they are divided by the traffic",
        None if metric.canary_times.is_some() => "All points, before the canary's are multiplied",
        None => "All points",
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
                        @let (baseline, canary) = of.is_above_last_bound(one.quantile);
                        td data-value=(one.baseline) { @if baseline { (AT_LEAST) } (unit.value(one.baseline)) }
                        td data-value=(one.canary) { @if canary { (AT_LEAST) } (unit.value(one.canary)) }
                        td {
                            (one.status)
                            @if !one.resolved && one.status == Status::Pass { ": not " (unit.value(one.detectable)) }
                            @else if !one.resolved && !baseline { ": no bound near" }
                        }
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
