//! The metrics, worst first: a line each, which opens.

use haldane_judges::scorecard::Status;
use maud::{Markup, html};

use super::detail::{MetricPage, detail};
use super::forest::ToleranceScale;
use super::glossary::Term;
use crate::analysis::Scorecard;
use crate::report::format::truncate;
use crate::report::past::provenance;
use crate::report::tolerance::ToleranceShift;
use crate::report::view::{MetricRow, View};

/// Longest name in a line; the opened metric has all of it.
const LONGEST_NAME: usize = 120;

/// Every metric, the worst first.
pub(super) fn worst_first<'a>(card: &'a Scorecard, view: &'a View) -> Vec<MetricPage<'a>> {
    let metrics = view.rows.iter().zip(&card.judgement.metrics).enumerate();
    let page = |(place, (row, metric))| MetricPage { place, row, metric, shift: ToleranceShift::of(metric), data: provenance(card, place) };
    let mut pages: Vec<MetricPage> = metrics.map(page).collect();
    pages.sort_by(|a, b| a.metric.worst_first(b.metric));
    pages
}

/// The list.
pub(super) fn metrics(card: &Scorecard, pages: &[MetricPage]) -> Markup {
    let scale = ToleranceScale::of(pages.iter().filter_map(|page| page.shift.as_ref()));
    // The worst one is open, so that whoever was told no sees why at once.
    let open = pages.first().filter(|page| page.metric.status != Status::Pass).map(|page| page.place);
    html! {
        h2 id="metrics" { "Metrics" span.dim { ", worst first" } }
        div.line.head {
            span { (Term::Overview.button()) }
            span { "Metric" }
            span { (Term::Difference.button()) }
            span { (Term::Forest.button()) (scale.axis()) span.ends { span { "better" } span { "worse" } } }
        }
        ol.metrics {
            @for page in pages {
                li {
                    details open[open == Some(page.place)] data-metric=(page.row.name) data-status=(page.row.status_word)
                        data-shift=[page.shift.as_ref().map(|shift| shift.shift)]
                        data-low=[page.shift.as_ref().and_then(|shift| shift.low)]
                        data-high=[page.shift.as_ref().and_then(|shift| shift.high)] {
                        summary { (line(scale, page)) }
                        (detail(card, page))
                    }
                }
            }
        }
    }
}

fn line(scale: ToleranceScale, page: &MetricPage) -> Markup {
    let row = page.row;
    html! {
        span.line {
            span class={ "status " (class(row)) } { (row.status_word.replace('_', " ")) }
            span.name {
                (truncate(&row.name, LONGEST_NAME))
                @for flag in &row.flags { " " span.flag { (flag) } }
            }
            span.change {
                strong { (row.change_percent) } " "
                @if row.levels() != row.change_percent { span.dim { (row.levels()) } }
            }
            span.scale {
                @match &page.shift {
                    Some(shift) => (scale.row(shift)),
                    None => span.dim { @if row.limit == "-" { "no tolerance applied" } @else { "limit " (row.limit) } },
                }
            }
        }
    }
}

fn class(row: &MetricRow) -> &'static str {
    match row.status {
        Status::Pass => "good",
        Status::Regressed | Status::Error => "bad",
        Status::Suspect | Status::Inconclusive | Status::NoData => "open",
    }
}
