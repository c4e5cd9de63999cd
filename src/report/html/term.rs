//! Words of statistics with what they mean, shown on hover and to the keyboard, and read out.

use maud::{Markup, html};

/// What a word of a report means; `None` for one that needs no explanation.
fn meaning(word: &str) -> Option<&'static str> {
    Some(match word {
        "min" => "The smallest point of the window.",
        "mean" => "The sum of the points divided by their number. A few extreme points move it.",
        "median" => "Half of the points are below it. A few extreme points do not move it.",
        "p95" => "95 % of the points are below it.",
        "max" => "The largest point of the window.",
        "count" => "Points that are there. Missing ones are gaps in the drawing.",
        "std" => "Standard deviation: how far points typically lie from the mean.",
        "shift" => {
            "How much worse the canary is, in multiples of what is tolerated: the dot is the estimate, the line its 90 % interval. Left of \
             the first mark it is better than the baseline; right of the dashed mark it is beyond the tolerance; a dotted mark says from \
             which estimate on it counts as proved."
        }
        "change" => {
            "The estimated shift between the arms, which is the median of all differences of values, and not the difference of the two levels beside it."
        }
        "levels" => "What each arm is like by itself over the window: medians of values, rates of counts, a quantile of distributions.",
        "mode" => {
            "How it was decided: by statistics, by exact tests of counts, by the distribution of requests, or by declared limits alone."
        }
        "limit" => "From which shift on the metric counts as regressed, or the declared limit that decided.",
        "n" => "Points of the baseline and the canary; requests for ratios and distributions.",
        _ => return None,
    })
}

/// A word, with its meaning where there is one. `place` makes the id unique on the page.
pub(super) fn term(word: &str, shown: &str, place: &str) -> Markup {
    html! {
        @if let Some(meaning) = meaning(word) {
            span.term tabindex="0" aria-describedby={ "about-" (place) "-" (word) } {
                (shown)
                span.meaning role="tooltip" id={ "about-" (place) "-" (word) } { (meaning) }
            }
        } @else {
            (shown)
        }
    }
}
