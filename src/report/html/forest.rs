//! The forest column: each metric's shift with its interval, all on one scale, in units of what is tolerated.

use maud::{Markup, html};

use crate::report::format::number;
use crate::report::picture::ShiftPlace;

const WIDTH: f64 = 220.0;
const HEIGHT: f64 = 22.0;
/// What the scale reaches from and to, in tolerances; what lies beyond is an arrow at the end.
const LOW: f64 = -2.0;
const HIGH: f64 = 4.0;

fn x(place: f64) -> f64 {
    let share = (place.clamp(LOW, HIGH) - LOW) / (HIGH - LOW);
    (8.0 + share * (WIDTH - 16.0)).round()
}

/// The scale's names, above the column.
pub(super) fn scale() -> Markup {
    html! {
        svg.forest viewBox={ "0 0 " (WIDTH) " 26" } role="img" aria-label="scale: 0 is no difference, 1 is what is tolerated, further right is worse" {
            @for (place, name, anchor) in [(LOW, "better", "start"), (0.0, "0", "end"), (1.0, "tolerated", "start"), (HIGH, "worse", "end")] {
                text x=(x(place)) y="12" text-anchor=(anchor) { (name) }
                path.axis d={ "M" (x(place)) " 17v9" } {}
            }
        }
    }
}

/// One metric's shift.
pub(super) fn row(name: &str, place: &ShiftPlace) -> Markup {
    let middle = HEIGHT / 2.0;
    let (low, high) = place.interval.unwrap_or((Some(place.shift), Some(place.shift)));
    let (from, to) = (x(low.unwrap_or(LOW)), x(high.unwrap_or(HIGH)));
    let open_left = low.is_none_or(|low| low < LOW);
    let open_right = high.is_none_or(|high| high > HIGH);
    let end = |end: Option<f64>, open: &str| end.map_or_else(|| open.to_owned(), number);
    let label = format!(
        "{name}: shift {} times what is tolerated, between {} and {}",
        number(place.shift),
        end(low, "no lower bound"),
        end(high, "no upper bound")
    );
    html! {
        svg.forest viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            path.grid d={ "M" (x(0.0)) " 0v" (HEIGHT) } {}
            path.tolerated d={ "M" (x(1.0)) " 0v" (HEIGHT) } {}
            @if let Some(proved) = place.proved_from.filter(|proved| (LOW..=HIGH).contains(proved)) { path.proved d={ "M" (x(proved)) " 0v" (HEIGHT) } {} }
            path.interval d={ "M" (from) " " (middle) "H" (to) } {}
            @if open_left { path.interval d={ "M" (from + 5.0) " " (middle - 4.0) "l-5 4l5 4" } {} }
            @if open_right { path.interval d={ "M" (to - 5.0) " " (middle - 4.0) "l5 4l-5 4" } {} }
            circle.shift cx=(x(place.shift)) cy=(middle) r="4" {}
        }
    }
}
