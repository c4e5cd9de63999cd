//! The calibration report as one page: no script, nothing fetched, readable in light and dark, printable.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::roc_chart::{self, RocCurve};
use super::wrong::WrongVerdict;

/// The report as it is shown.
pub(super) struct CalibrationView {
    pub(super) summary: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
    /// What was measured beside the metrics.
    pub(super) sections: Vec<Section>,
    /// How each judge tells regressed from healthy canaries; empty where one of the two is missing.
    pub(super) curves: Vec<RocCurve>,
    /// The first judge's wrong verdicts.
    pub(super) wrong: Vec<WrongVerdict>,
    pub(super) wrong_note: String,
    /// Name, value, and the formula with its numbers.
    pub(super) worth: Vec<[String; 3]>,
}

/// A table with what it is of.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
}

/// Renders the page. Everything but the style sheet is escaped by the template.
pub(super) fn html(view: &CalibrationView) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Calibration" }
                style { (PreEscaped(STYLE)) (PreEscaped(roc_chart::STYLE)) }
            }
            body {
                main {
                    h1 { "Calibration" }
                    p.summary { (view.summary) }
                    h2 { "What each metric's noise allows" }
                    div.scroll { (table(&view.head, &view.rows)) }
                    ul { @for note in &view.notes { li { (note) } } }
                    @for section in &view.sections {
                        h2 { (section.title) }
                        div.scroll { (table(&section.head, &section.rows)) }
                        ul { @for note in &section.notes { li { (note) } } }
                    }
                    @if !view.curves.is_empty() {
                        h2 { "Receiver operating characteristic" }
                        (roc_chart::chart(&view.curves))
                        h2 { "Wrong verdicts" }
                        (wrong(view))
                    }
                    h2 { "What it is worth" }
                    div.scroll {
                        table {
                            thead { tr { th { "" } th.number { "Value" } th { "Formula" } } }
                            tbody {
                                @for [name, value, formula] in &view.worth {
                                    tr { td { (name) } td.number { strong { (value) } } td.formula { (formula) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// The list of wrong verdicts, each of which leads to what its metrics showed.
fn wrong(view: &CalibrationView) -> Markup {
    html! {
        p { (view.wrong_note) }
        @if !view.wrong.is_empty() {
            div.scroll {
                table {
                    thead { tr { th scope="col" { "Case" } th scope="col" { "Mistake" } th scope="col" { "Where" } th scope="col" { "Why" } } }
                    tbody {
                        @for (i, one) in view.wrong.iter().enumerate() {
                            tr {
                                td.name { a href={ "#case-" (i + 1) } { (one.case) } }
                                td { (one.mistake.words()) }
                                td.name { code { (one.place) } }
                                td { (one.why) }
                            }
                        }
                    }
                }
            }
            @for (i, one) in view.wrong.iter().enumerate() {
                section.case id={ "case-" (i + 1) } {
                    h3 { (one.case) ": " (one.mistake.words()) }
                    p { code { (one.place) } }
                    div.scroll { (table(&WrongVerdict::HEAD.map(str::to_owned), &one.metrics.iter().map(|row| row.to_vec()).collect::<Vec<_>>())) }
                }
            }
        }
    }
}

fn table(head: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            thead { tr { @for (i, cell) in head.iter().enumerate() { th.number[i > 0] { (cell) } } } }
            tbody { @for row in rows { tr { @for (i, cell) in row.iter().enumerate() { td.number[i > 0].name[i == 0] { (cell) } } } } }
        }
    }
}

const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#59636e;--line:#d1d9e0}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--dim:#9198a1;--line:#3d444d}}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:78rem;margin:0 auto;padding:1.5rem}
h1{margin:0;font-size:1.8rem;line-height:1.2}
h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
.summary{font-size:1.1rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:baseline}
th{color:var(--dim);font-weight:600;vertical-align:bottom}
th.number,td.number{text-align:right}
td.number{white-space:nowrap}
.name{min-width:10rem;overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.2rem 0 .2rem;overflow-wrap:anywhere}
a{color:inherit}
.case:target{outline:2px solid var(--line);outline-offset:.4rem}
.formula,li{color:var(--dim)}
@media print{main{max-width:none;padding:0}tr{break-inside:avoid}}
";
