//! A scorecard as one self-contained page, for whoever is told no at night: what was judged, why, since when and what to do come first.
//!
//! Nothing is fetched, and nothing needs a script; the one that copies queries is admitted by its hash. Words that need explaining are
//! buttons with a popover, which hover, keyboard, touch and screen readers know. Charts are SVG whose colours are the style sheet's, so
//! that they follow light, dark and paper.

mod banner;
mod chart;
mod detail;
mod forest;
mod glossary;
mod instances;
mod metrics;
mod spread;
mod style;
mod text;
mod timeline;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use self::text::shell_word;
use super::format::clean;
use super::view::View;
use crate::analysis::Scorecard;

/// Renders an HTML page. Everything but the style sheet, the script and the charts' numbers is escaped by the template.
#[must_use]
pub fn html(card: &Scorecard) -> String {
    let view = View::new(card);
    let pages = metrics::worst_first(card, &view);
    let title = format!("{}: canary {}", banner::subject(card, &view), view.verdict);
    let script = STANDARD.encode(Sha256::digest(style::SCRIPT));
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
                style { (PreEscaped(style::STYLE)) }
            }
            body {
                main {
                    (banner::banner(card, &view, &pages))
                    (metrics::metrics(card, &pages))
                    (evidence(card, &view))
                }
                footer { (glossary::glossary()) }
                script { (PreEscaped(style::SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn evidence(card: &Scorecard, view: &View) -> Markup {
    html! {
        @if view.groups.len() > 1 {
            h2 { "Groups" }
            ul { @for (name, score, weight) in &view.groups { li { (name) ": " (score) ", weight " (weight) } } }
        }
        h2 { "Where it comes from" }
        dl { @for (label, value) in &view.facts { dt { (label) } dd { (value) } } }
        @if let Some(command) = again(card) {
            h2 { "Ask again" }
            p {
                "Answers from what was kept; judges anew where nothing was. "
                button.copy type="button" hidden data-copy="again" aria-label="Copy the command" { "Copy" }
            }
            pre { code id="again" { (command) } }
        }
    }
}

/// The command that asks for the same judgement; nothing where it has no id, as that of inline samples.
fn again(card: &Scorecard) -> Option<String> {
    let accept = "curl -fsS -H 'Accept: application/json'";
    match (&card.url, &card.id) {
        (Some(url), _) => Some(format!("{accept} {}", shell_word(&clean(url)))),
        (None, Some(id)) => Some(format!("{accept} \"$HALDANE_SERVER\"/v1/judgements/{}", shell_word(&clean(id)))),
        (None, None) => None,
    }
}
