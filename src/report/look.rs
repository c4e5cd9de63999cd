//! One look of a plan in one line.

use super::format::truncate;
use super::page::Terminal;
use super::view::View;
use crate::analysis::Scorecard;

/// `10:15 UTC  look 3 of 12  marginal: on track, look 3 of 12`, as wide as the terminal at most.
#[must_use]
pub fn look(card: &Scorecard, terminal: Terminal) -> String {
    let until = card.data.canary_window.as_ref().map_or(card.judged_at, |window| window.end).strftime("%H:%M UTC").to_string();
    let look = card.judgement.looks.map_or_else(|| "last look".to_owned(), |plan| format!("look {} of {}", plan.look, plan.looks));
    truncate(&format!("{until}  {look}  {}", View::new(card).summary), terminal.width) + "\n"
}
