//! What the words on the page mean: each is a button that shows its explanation, by hover, key and touch alike, and by no script.

use maud::{Markup, html};

/// A word that is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    Difference,
    Forest,
    Limit,
    Usual,
    Min,
    Mean,
    Median,
    P95,
    Max,
    Points,
    Deviation,
    Score,
    Distribution,
    Instances,
    Overview,
}

impl Term {
    const ALL: [Self; 15] = [
        Self::Difference,
        Self::Forest,
        Self::Limit,
        Self::Usual,
        Self::Min,
        Self::Mean,
        Self::Median,
        Self::P95,
        Self::Max,
        Self::Points,
        Self::Deviation,
        Self::Score,
        Self::Distribution,
        Self::Instances,
        Self::Overview,
    ];

    /// The word, and what it means.
    const fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::Difference => (
                "Typical difference",
                "How far the canary lies from the baseline. For values the Hodges-Lehmann shift: the median of the differences between canary and baseline points, within the same stretch of time where both are read at the same time. For counts the difference of the rates within the same intervals, for histograms that of the quantile. It is not the difference of the two medians beside it, which are of all points.",
            ),
            Self::Forest => (
                "In tolerances",
                "The difference and its 90 % interval as multiples of the tolerance, so that all metrics share one scale. Right of 0 is worse, right of 1 is worse than is put up with. The short red line is where a regression is proved, where that is told by a standard error. An arrow points to what lies beyond the scale.",
            ),
            Self::Limit => (
                "Limit",
                "From here on the canary is worse than is put up with: the baseline's level and the tolerance, which is the greater of the relative and the absolute one; or the limit that the config declares.",
            ),
            Self::Usual => (
                "Usual",
                "Where nine of ten canaries would lie in which nothing changed: the baseline's level and 1.645 standard deviations of the shifts between pairs of earlier windows.",
            ),
            Self::Min => ("Min", "The smallest point."),
            Self::Mean => ("Mean", "The sum of all points, divided by their number."),
            Self::Median => ("Median", "Half of the points lie below it, half above."),
            Self::P95 => ("p95", "95 of 100 points lie below it; between two points it is interpolated (Hyndman & Fan's type 7)."),
            Self::Max => ("Max", "The largest point."),
            Self::Points => ("Points", "Intervals of the window that have a value. What is missing is no zero."),
            Self::Deviation => ("Std. deviation", "How far points lie from their mean, as the root of the mean square (divisor n - 1)."),
            Self::Score => (
                "Score",
                "Share of the weight of the groups whose metrics passed, 0 to 100. It is Kayenta's way to put a verdict in a number.",
            ),
            Self::Distribution => (
                "Distribution",
                "For each value, the share of points (or, of a histogram, of requests) at or below it. The curve that lies further right has the larger values.",
            ),
            Self::Instances => (
                "Instances",
                "The mean of each instance over the window. One that lies apart from all others of its arm and from the baseline is sick by itself.",
            ),
            Self::Overview => (
                "Status",
                "Regressed: proved worse. Suspect: perhaps worse. Pass: no worse, and a regression would have shown. Inconclusive: too little data to tell. No data: nothing worth judging. Error: the data could not be had.",
            ),
        }
    }

    /// The word, as a button that explains it.
    pub(super) fn button(self) -> Markup {
        self.button_saying(self.entry().0)
    }

    /// The same with another text on it.
    pub(super) fn button_saying(self, text: &str) -> Markup {
        html! { button.term type="button" popovertarget={ "word-" (self as u8) } title=(self.entry().1) { (text) } }
    }
}

/// The explanations; unseen until one is asked for, and a list on paper.
pub(super) fn glossary() -> Markup {
    html! {
        @for term in Term::ALL {
            @let (word, meaning) = term.entry();
            div.meaning popover id={ "word-" (term as u8) } role="note" aria-label=(word) { p { dfn { (word) } ": " (meaning) } }
        }
    }
}
