//! The receiver operating characteristic of each judge as a drawing: a page of its own needs no script for it.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::layout::one_decimal;

/// Judges that are told apart by their line.
const DASHES: [&str; 5] = ["", "6 3", "2 3", "9 3 2 3", "12 4"];
/// The square that is drawn in, and where it begins.
const SIDE: f64 = 320.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 12.0;

/// The curve of one judge.
#[derive(Debug, Clone)]
pub(super) struct RocCurve {
    pub(super) judge: String,
    /// Area under it with its interval, in words.
    pub(super) area: String,
    /// Shares of healthy and of regressed canaries that are flagged, from [0, 0] to [1, 1].
    pub(super) points: Vec<[f64; 2]>,
    /// The same of its verdicts: those that failed, and those that did not pass.
    pub(super) failed: [f64; 2],
    pub(super) not_passed: [f64; 2],
}

fn x(share: f64) -> f64 {
    LEFT + SIDE * share
}

fn y(share: f64) -> f64 {
    TOP + SIDE * (1.0 - share)
}

/// The curves, their legend and the numbers behind them.
pub(super) fn chart(curves: &[RocCurve]) -> Markup {
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0];
    let (right, bottom) = (x(1.0), y(0.0));
    html! {
        figure {
            svg.roc viewBox="0 0 400 390" width="400" height="390" role="img" aria-labelledby="roc-title roc-text" {
                title id="roc-title" { "Receiver operating characteristic" }
                desc id="roc-text" {
                    "Across: share of healthy canaries flagged. Up: share of regressed canaries flagged, as the bar for flagging is lowered. \
                     The table below has the numbers."
                }
                @for tick in ticks {
                    line.grid x1=(x(tick)) y1=(TOP) x2=(x(tick)) y2=(bottom) {}
                    line.grid x1=(LEFT) y1=(y(tick)) x2=(right) y2=(y(tick)) {}
                    text x=(x(tick)) y=(bottom + 18.0) text-anchor="middle" { (format!("{:.0}", tick * 100.0)) }
                    text x=(LEFT - 8.0) y=(y(tick) + 4.0) text-anchor="end" { (format!("{:.0}", tick * 100.0)) }
                }
                line.chance x1=(LEFT) y1=(bottom) x2=(right) y2=(TOP) {}
                text x=(x(0.5)) y=(bottom + 38.0) text-anchor="middle" { "healthy canaries flagged, %" }
                text x="14" y=(y(0.5)) text-anchor="middle" transform=(format!("rotate(-90 14 {})", y(0.5))) { "regressed canaries flagged, %" }
                @for (i, curve) in curves.iter().enumerate() {
                    g.{ "j" (i % DASHES.len()) } {
                        polyline.curve points=(polyline(&curve.points)) stroke-dasharray=(DASHES.get(i % DASHES.len()).copied().unwrap_or_default()) {}
                        circle cx=(x(curve.failed[0])) cy=(y(curve.failed[1])) r="5" {}
                        rect x=(x(curve.not_passed[0]) - 4.0) y=(y(curve.not_passed[1]) - 4.0) width="8" height="8" {}
                    }
                }
            }
            figcaption {
                "Canaries ranked by how far they are beyond their limits. A dot is where the judge fails a canary, a square where it does not \
                 pass one; both may lie beside the line, since a verdict looks at more than one number. Dashes: chance alone."
            }
        }
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Judge" }
                        th.number scope="col" { "Area under the curve" }
                        th.number scope="col" { "Failed: healthy, regressed" }
                        th.number scope="col" { "Not passed: healthy, regressed" }
                    }
                }
                tbody {
                    @for (i, curve) in curves.iter().enumerate() {
                        tr {
                            th scope="row" {
                                svg.key viewBox="0 0 40 10" width="40" height="10" aria-hidden="true" {
                                    g.{ "j" (i % DASHES.len()) } {
                                        polyline.curve points="0,5 40,5" stroke-dasharray=(DASHES.get(i % DASHES.len()).copied().unwrap_or_default()) {}
                                    }
                                }
                                " " (curve.judge)
                            }
                            td.number { (curve.area) }
                            td.number { (pair(curve.failed)) }
                            td.number { (pair(curve.not_passed)) }
                        }
                    }
                }
            }
        }
    }
}

fn pair([healthy, regressed]: [f64; 2]) -> String {
    format!("{}, {}", one_decimal(healthy), one_decimal(regressed))
}

fn polyline(points: &[[f64; 2]]) -> String {
    let mut text = String::new();
    for [alarms, found] in points {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:.1},{:.1} ", x(*alarms), y(*found));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Its part of the page's style sheet.
pub(super) const STYLE: &str = "
figure{margin:.5rem 0}
figcaption{color:var(--dim);max-width:46rem}
svg.roc{max-width:100%;height:auto}
svg text{fill:var(--dim);font:12px system-ui,sans-serif}
svg .grid{stroke:var(--line);stroke-width:1}
svg .chance{stroke:var(--dim);stroke-width:1;stroke-dasharray:4 4}
svg .curve{fill:none;stroke-width:2.2}
.j0{stroke:#0969da;fill:#0969da}
.j1{stroke:#bc4c00;fill:#bc4c00}
.j2{stroke:#1a7f37;fill:#1a7f37}
.j3{stroke:#8250df;fill:#8250df}
.j4{stroke:#cf222e;fill:#cf222e}
@media(prefers-color-scheme:dark){.j0{stroke:#58a6ff;fill:#58a6ff}.j1{stroke:#f0883e;fill:#f0883e}.j2{stroke:#3fb950;fill:#3fb950}.j3{stroke:#bc8cff;fill:#bc8cff}.j4{stroke:#ff7b72;fill:#ff7b72}}
";
