//! The calibration report as one page: no script, nothing fetched, readable in light and dark, printable.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The report as it is shown.
pub(super) struct CalibrationView {
    pub(super) summary: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
    /// What was measured beside the metrics.
    pub(super) sections: Vec<Section>,
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
                style { (PreEscaped(STYLE)) }
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
.formula,li{color:var(--dim)}
@media print{main{max-width:none;padding:0}tr{break-inside:avoid}}
";
