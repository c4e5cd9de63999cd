//! A scorecard as one self-contained page: no script, nothing fetched, readable in light and dark, printable.

use std::fmt::Write as _;

use haldane_judges::Verdict;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::truncate;
use super::view::{MetricRow, Sparkline, View};
use crate::analysis::Scorecard;

/// Renders an HTML page. Everything but the style sheet and the sparklines' numbers is escaped by the template.
#[must_use]
pub fn html(card: &Scorecard) -> String {
    let view = View::new(card);
    let title = format!("Canary {}: {}", view.verdict, truncate(&view.config, 100));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(&view))
                    (table(&view.rows))
                    @for (i, row) in view.rows.iter().enumerate() { (metric(i, row)) }
                    (evidence(&view))
                }
            }
        }
    }
    .into_string()
}

fn head(view: &View) -> Markup {
    let class = match view.verdict {
        Verdict::Pass => "good",
        Verdict::Marginal => "open",
        Verdict::Fail => "bad",
    };
    html! {
        header class=(class) {
            h1 { span.verdict { (view.verdict) } " " span.score { (view.score) } }
            p.by { (view.config) ", judged by " (view.judge) }
        }
        @if let Some(banner) = &view.banner { p.banner { (banner) } }
        p.summary { (prose(&view.summary)) }
        @if !view.reasons.is_empty() {
            h2 { "Why" }
            ul { @for (reason, sentence) in &view.reasons { li { strong { (reason) } ": " (prose(sentence)) } } }
        }
        h2 { "What to do" }
        p { (prose(&view.recommendation)) }
        (list(None, &view.remedies))
        @if !view.warnings.is_empty() {
            h2 { "Warnings" }
            (list(None, &view.warnings))
        }
    }
}

fn table(rows: &[MetricRow]) -> Markup {
    html! {
        h2 { "Metrics" }
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Status" }
                        th scope="col" { "Metric" }
                        th scope="col" { "Baseline → canary" }
                        th scope="col" { "Change" }
                        th scope="col" { "Mode" }
                        th scope="col" { "Limit" }
                        th scope="col" title="Points of baseline and canary; requests for a ratio with counts" { "n" }
                        th scope="col" { "Both arms" }
                    }
                }
                tbody {
                    @for (i, row) in rows.iter().enumerate() {
                        tr {
                            td class=(class(row)) { (row.status_word) }
                            td.name { a href={ "#metric-" (i) } { (row.name) } }
                            td { (row.change) }
                            td.number { (row.change_percent) }
                            td { (row.mode) }
                            td { (row.limit) }
                            td.number { (row.n) }
                            td { @if let Some(points) = &row.points { (sparkline(points)) } }
                        }
                    }
                }
            }
        }
        @if rows.iter().any(|row| row.points.is_some()) {
            p.legend { span.baseline { "baseline" } " and " span.canary { "canary" } " over the window, oldest first" }
        }
    }
}

fn metric(i: usize, row: &MetricRow) -> Markup {
    html! {
        details id={ "metric-" (i) } open[!row.is_plain_pass()] {
            summary {
                span class=(class(row)) { (row.status_word) } " " span.name { (row.name) }
                @for flag in &row.flags { " " span.flag { (flag) } }
            }
            p { (prose(&row.sentence)) }
            p.reason { "Reason " code { (row.reason) } }
            (list(None, &row.evidence))
            (list(Some("Guard"), &row.guards))
            (list(Some("To settle it"), &row.remedies))
            (list(Some("Warning"), &row.warnings))
            @for (what, query) in &row.queries {
                p.query { "Query, " (what) }
                pre { code { (query) } }
            }
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
    use haldane_judges::scorecard::Status;
    match row.status {
        Status::Pass => "status good",
        Status::Regressed | Status::Error => "status bad",
        Status::Suspect | Status::Inconclusive | Status::NoData => "status open",
    }
}

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;
/// Points a sparkline draws at most; longer series are averaged in as many pieces.
const DRAWN: usize = 120;

/// Both arms on one scale; a gap in the data is a gap in the line.
fn sparkline(points: &Sparkline) -> Markup {
    let arms = [thinned(&points.baseline), thinned(&points.canary)];
    let finite = || arms.iter().flatten().flatten().copied();
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return html! { span.legend { "no points" } };
    }
    let [baseline, canary] = arms.map(|arm| path(&arm, low, high));
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" aria-label="baseline and canary over the window" {
            path.baseline d=(baseline) {}
            path.canary d=(canary) {}
        }
    }
}

fn thinned(points: &[Option<f64>]) -> Vec<Option<f64>> {
    let points = points.iter().map(|point| point.filter(|v| v.is_finite()));
    if points.len() <= DRAWN {
        return points.collect();
    }
    let points = points.collect::<Vec<_>>();
    let mean = |piece: &[Option<f64>]| {
        let n = piece.iter().flatten().count();
        // Divided before it is summed: values near the largest number must not overflow.
        (n > 0).then(|| piece.iter().flatten().map(|v| v / n as f64).sum())
    };
    points.chunks(points.len().div_ceil(DRAWN)).map(mean).collect()
}

fn path(points: &[Option<f64>], low: f64, high: f64) -> String {
    let dx = if points.len() > 1 { (WIDTH - 2.0) / (points.len() - 1) as f64 } else { 0.0 };
    // Halved, so that a range over both signs of huge numbers stays finite.
    let range = high / 2.0 - low / 2.0;
    let mut out = String::new();
    let mut pen_is_down = false;
    for (i, point) in points.iter().enumerate() {
        let Some(value) = point else {
            pen_is_down = false;
            continue;
        };
        let height = if range > 0.0 { (value / 2.0 - low / 2.0) / range } else { 0.5 };
        let (x, y) = (1.0 + dx * i as f64, HEIGHT - 1.0 - height * (HEIGHT - 2.0));
        let command = if pen_is_down { 'L' } else { 'M' };
        let _ = write!(out, "{command}{x:.1} {y:.1}");
        // A lone point between gaps is drawn as a dot: a line of no length with round ends.
        if !pen_is_down {
            out.push_str("h0");
        }
        pen_is_down = true;
    }
    out
}

const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#c5221f;--open:#8a5a00;--baseline:#6e7781;--canary:#0b62c4}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--dim:#9198a1;--line:#3d444d;--good:#4ac26b;--bad:#ff7b72;--open:#e3b341;--baseline:#9198a1;--canary:#6cb6ff}}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem}
header{border-left:.5rem solid;padding-left:1rem}
h1{margin:0;font-size:1.8rem;line-height:1.2}
.verdict{text-transform:uppercase}
.score,.by,.legend,.reason,.query,dt{color:var(--dim)}
.score{font-weight:400}.by{margin:.2rem 0 0}
h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
.summary{font-size:1.1rem}
.banner{border:1px solid var(--open);color:var(--open);border-radius:.4rem;padding:.4rem .8rem;font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
.status{font-weight:600;white-space:nowrap}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:middle}
th{color:var(--dim);font-weight:600;white-space:nowrap}
.number{text-align:right;white-space:nowrap}
.name{overflow-wrap:anywhere}
a{color:inherit}
.flag{border:1px solid var(--line);border-radius:1em;padding:0 .5em;font-size:.85em;color:var(--dim)}
details{border-top:1px solid var(--line);padding:.5rem 0}
summary{cursor:pointer}
pre{background:color-mix(in srgb,var(--fg) 6%,transparent);padding:.5rem;margin:0 0 .6rem;white-space:pre-wrap;overflow-wrap:anywhere}
p.query{margin:.4rem 0 .2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dd{margin:0;overflow-wrap:anywhere}
svg{display:block}
path{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
path.baseline{stroke:var(--baseline)}path.canary{stroke:var(--canary)}
span.baseline{color:var(--baseline);font-weight:600}span.canary{color:var(--canary);font-weight:600}
@media print{main{max-width:none;padding:0}details,tr,header{break-inside:avoid}}
";
