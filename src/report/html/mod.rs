//! A scorecard as one self-contained page: nothing is fetched, everything can be read without its script, in light and dark, on a phone and on paper.

mod axis;
mod chart;
mod forest;
mod style;
mod term;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haldane_judges::Verdict;
use haldane_judges::scorecard::{MetricResult, Status};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::format::{Unit, clean, truncate};
use super::picture::{MetricPicture, ShiftPlace};
use super::view::{MetricRow, View};
use crate::analysis::{MetricProvenance, MetricStatistics, Scorecard};
use style::{SCRIPT, STYLE};
use term::term;

/// Longest label that the banner shows, in columns; the evidence has it whole.
const LONGEST: usize = 100;

/// One metric with what is drawn of it.
struct MetricPart<'a> {
    row: &'a MetricRow,
    result: &'a MetricResult,
    provenance: Option<&'a MetricProvenance>,
    picture: Option<MetricPicture>,
    shift: Option<ShiftPlace>,
    unit: Unit,
}

/// Renders an HTML page. Everything but style, script and the drawings' numbers is escaped by the template.
#[must_use]
pub fn html(card: &Scorecard) -> String {
    let view = View::new(card);
    let metrics = parts(card, &view);
    let title = format!("Canary {}: {}", view.verdict, truncate(&subject(card), LONGEST));
    let script = STANDARD.encode(Sha256::digest(SCRIPT));
    let policy =
        format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(policy);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(card, &view))
                    (table(&metrics))
                    h2 { "Metric by metric" }
                    @for (i, part) in metrics.iter().enumerate() { (metric(i, part)) }
                    (evidence(&view))
                    (again(card))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// The metrics, worst first; those that decide nothing after all others of their status.
fn parts<'a>(card: &'a Scorecard, view: &'a View) -> Vec<MetricPart<'a>> {
    let mut parts: Vec<MetricPart<'a>> = card
        .judgement
        .metrics
        .iter()
        .zip(&view.rows)
        .map(|(result, row)| {
            let provenance = card.data.metrics.iter().find(|metric| metric.name == result.name);
            let picture = provenance.and_then(|provenance| MetricPicture::of(card, result, provenance));
            MetricPart { row, result, provenance, picture, shift: ShiftPlace::of(result), unit: Unit::of(result) }
        })
        .collect();
    let worst = |part: &MetricPart<'_>| part.shift.map_or(0.0, |place| place.shift);
    parts.sort_by(|a, b| {
        let rank = |part: &MetricPart<'_>| part.row.rank();
        rank(a).cmp(&rank(b)).then(worst(b).total_cmp(&worst(a)))
    });
    parts
}

/// What was judged, in short: service and version where labels name them, else the canary's scope, else the config.
fn subject(card: &Scorecard) -> String {
    let label = |name: &str| card.labels.get(name).map(|value| clean(value));
    let scope = || card.data.canary.get("scope").map(|scope| clean(scope));
    let what = label("service").or_else(scope).unwrap_or_else(|| clean(&card.judgement.config));
    label("version").map_or(what.clone(), |version| format!("{what} {version}"))
}

fn head(card: &Scorecard, view: &View) -> Markup {
    let class = match view.verdict {
        Verdict::Pass => "good",
        Verdict::Marginal => "open",
        Verdict::Fail => "bad",
    };
    let scope = |of: &std::collections::BTreeMap<String, String>| of.get("scope").map(|scope| truncate(&clean(scope), LONGEST));
    let others = card.labels.iter().filter(|(name, _)| *name != "service" && *name != "version");
    html! {
        header class=(class) {
            h1 { span.verdict { (view.verdict) } " " span.what { (truncate(&subject(card), LONGEST)) } " " span.score { (view.score) } }
            p.by {
                @if let Some(canary) = scope(&card.data.canary) { (canary) }
                @if let Some(baseline) = scope(&card.data.baseline) { " against " (baseline) ", " }
                "config " (truncate(&view.config, LONGEST)) ", judged by " (view.judge) ", " time datetime=(card.judged_at) { (card.judged_at.strftime("%F %T UTC")) }
            }
            @for (name, value) in others {
                @let (name, value) = (clean(name), clean(value));
                @if value.starts_with("https://") || value.starts_with("http://") {
                    span.tag { (name) ": " a href=(value) rel="noopener noreferrer" { (truncate(&value, LONGEST)) } }
                } @else { span.tag { (name) ": " (truncate(&value, LONGEST)) } }
            }
        }
        @if let Some(banner) = &view.banner { p.banner { (banner) } }
        p.summary { (prose(&view.summary)) }
        section.do aria-labelledby="do" {
            h2 id="do" { "What to do" }
            p { (prose(&view.recommendation)) }
            (list(None, &view.remedies))
        }
        @if !view.reasons.is_empty() {
            h2 { "Why" }
            ul.reasons { @for (reason, sentence) in &view.reasons { li { strong { (reason) } ": " (prose(sentence)) } } }
        }
        @if !view.warnings.is_empty() {
            h2 { "Warnings" }
            (list(None, &view.warnings))
        }
    }
}

fn table(metrics: &[MetricPart<'_>]) -> Markup {
    html! {
        h2 { "Metrics, worst first" }
        div.metrics {
            table {
                thead {
                    tr {
                        th scope="col" { "Status" }
                        th scope="col" { "Metric" }
                        th scope="col" { (term("levels", "Baseline → canary", "table")) }
                        th scope="col" { (term("change", "Shift", "table")) }
                        th scope="col" { (term("shift", "Against what is tolerated", "table")) (forest::scale()) }
                        th scope="col" { (term("limit", "Limit", "table")) }
                        th scope="col" { (term("mode", "Mode", "table")) }
                        th scope="col" { (term("n", "n", "table")) }
                    }
                }
                tbody {
                    @for (i, part) in metrics.iter().enumerate() {
                        @let row = part.row;
                        tr {
                            td class=(class(row)) { (row.status_word) }
                            td.name { a href={ "#metric-" (i) } { (row.name) } @for flag in &row.flags { " " span.flag { (flag) } } }
                            td data-label="Baseline → canary" { (row.levels()) }
                            td.number data-label="Shift" { (row.change_percent) }
                            td { @if let Some(place) = &part.shift { (forest::row(&row.name, place)) } }
                            td data-label="Limit" { (row.limit_short) }
                            td data-label="Mode" { (row.mode) }
                            td.number data-label="n" { (row.n) }
                        }
                    }
                }
            }
        }
    }
}

fn metric(i: usize, part: &MetricPart<'_>) -> Markup {
    let row = part.row;
    html! {
        details id={ "metric-" (i) } open[!row.is_plain_pass()] {
            summary {
                span class=(class(row)) { (row.status_word) } " " span.name { (row.name) }
                @for flag in &row.flags { " " span.flag { (flag) } }
            }
            p { (prose(&row.sentence)) }
            p.reason { "Reason " code { (row.reason) } }
            @if let Some(picture) = &part.picture {
                div.charts {
                    (chart::over_time(&row.name, picture, &part.unit))
                    (chart::distribution(&row.name, picture, &part.unit))
                }
            }
            @if let Some(of) = part.provenance.and_then(|provenance| provenance.statistics) { (statistics(i, &of, &part.unit)) }
            (instances(part))
            (list(None, &row.evidence))
            (list(Some("Guard"), &row.guards))
            (list(Some("To settle it"), &row.remedies))
            (list(Some("Warning"), &row.warnings))
            @if let Some(provenance) = part.provenance {
                @for (k, (query, (what, text))) in provenance.queries.iter().zip(&row.queries).enumerate() {
                    @let id = format!("query-{i}-{k}");
                    p.query {
                        "Query, " (what) " " button type="button" hidden data-copies=(id) { "Copy" }
                        @if let Some(link) = query.explore_url.as_deref().filter(|link| link.starts_with("http://") || link.starts_with("https://")) {
                            " " a href=(link) rel="noopener noreferrer" aria-label={ "Open the query of the " (what) " where it can be explored" } { "Open" }
                        }
                    }
                    pre { code id=(id) { (text) } }
                }
            }
        }
    }
}

/// What both arms are like; the same figures as in the scorecard's JSON.
fn statistics(i: usize, of: &MetricStatistics, unit: &Unit) -> Markup {
    let place = format!("metric-{i}");
    let columns = ["min", "mean", "median", "p95", "max", "count"];
    let arms = [("baseline", &of.baseline), ("canary", &of.canary)];
    let values: Vec<f64> = arms.iter().flat_map(|(_, s)| [s.min, s.mean, s.median, s.p95, s.max]).collect();
    let (shown, suffix) = unit.table(&values);
    html! {
        table.statistics {
            thead { tr {
                th scope="col" { @if suffix.is_empty() { "Points" } @else { "in " (suffix) } }
                @for column in columns { th.number scope="col" { (term(column, column, &place)) } }
            } }
            tbody {
                @for (k, (arm, s)) in arms.iter().enumerate() {
                    tr {
                        th scope="row" { (arm) }
                        @for text in &shown[k * 5..(k + 1) * 5] { td.number { (text) } }
                        td.number { (s.count) }
                    }
                }
            }
        }
    }
}

/// The canary's instance that differs most, where instances were read.
fn instances(part: &MetricPart<'_>) -> Markup {
    let Some(worst) = &part.result.worst_instance else { return html! {} };
    html! {
        h3 { "Instance by instance" }
        p {
            "Of the canary's instances " code { (clean(&worst.name)) } " differs most from all others: "
            (super::format::signed_percent(worst.relative)) ", p " (super::format::p_value(worst.p)) " (regressed at "
            (super::format::p_value(worst.p_limit)) " and below)."
        }
    }
}

fn evidence(view: &View) -> Markup {
    html! {
        @if view.groups.len() > 1 {
            h2 { "Groups" }
            ul { @for (name, score, weight) in &view.groups { li { (name) ": " (score) ", weight " (weight) } } }
        }
        h2 { "Evidence" }
        dl { @for (label, value) in &view.facts { dt { (label) } dd { (value) } } }
    }
}

/// How to ask for it again.
fn again(card: &Scorecard) -> Markup {
    let Some(id) = &card.id else { return html! {} };
    // Between double quotes a shell reads these.
    let quoted = |text: &str| clean(text).replace('"', "%22").replace('$', "%24").replace('`', "%60").replace('\\', "%5C");
    let url = card.url.as_deref().map_or_else(|| format!("$HALDANE_URL/v1/judgements/{}", quoted(id)), quoted);
    html! {
        h2 { "Judge it again" }
        p { "Answers with this scorecard while it is remembered, and judges the same request anew after that: " button type="button" hidden data-copies="again" { "Copy" } }
        pre { code id="again" { "curl -sS -H 'Accept: application/json' \"" (url) "?wait=50\"" } }
    }
}

fn list(label: Option<&str>, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            ul { @for line in lines { li { @if let Some(label) = label { strong { (label) } ": " } (prose(line)) } } }
        }
    }
}

/// A sentence whose names stand between backticks, as code; one with an unpaired backtick is left as it is.
fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    html! {
        @if parts.len() % 2 == 1 {
            @for (i, part) in parts.iter().enumerate() {
                @if i % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else {
            (text)
        }
    }
}

fn class(row: &MetricRow) -> &'static str {
    match row.status {
        Status::Pass => "status good",
        Status::Regressed | Status::Error => "status bad",
        Status::Suspect | Status::Inconclusive | Status::NoData => "status open",
    }
}
