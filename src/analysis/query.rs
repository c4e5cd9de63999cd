//! A planned query: what it gives of a metric, and over which windows it is asked.

use haldane_judges::config::{Kind, MetricQuery};
use haldane_judges::evidence::Arm;

use crate::source::{Query, Window};

/// What a query gives of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Value,
    Numerator,
    Denominator,
    Buckets,
    Population,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Numerator => "numerator",
            Self::Denominator => "denominator",
            Self::Buckets => "buckets",
            Self::Population => "population",
        }
    }
}

/// The texts of a metric's query in a store's language: what each gives of the metric, where it stands below the query, and the text.
pub(crate) fn parts(kind: Kind, query: &MetricQuery) -> Vec<(Part, &'static str, &str)> {
    match query {
        MetricQuery::Single(text) if kind == Kind::Distribution => vec![(Part::Buckets, "", text)],
        MetricQuery::Single(text) => vec![(Part::Value, "", text)],
        MetricQuery::Buckets(query) => vec![(Part::Buckets, "/buckets", &query.buckets)],
        MetricQuery::Counts(counts) => {
            vec![(Part::Numerator, "/numerator", &counts.numerator), (Part::Denominator, "/denominator", &counts.denominator)]
        }
    }
}

/// One query of one arm.
#[derive(Debug)]
pub(crate) struct PlannedQuery {
    pub(crate) arm: Arm,
    pub(crate) part: Part,
    /// The query over the window alone.
    pub(crate) query: Query,
    /// Points before the window that are asked for with it.
    pub(crate) history_points: usize,
    /// How many days ago it is asked for too, at the same clock; each 1 or more.
    pub(crate) earlier: Vec<u32>,
}

impl PlannedQuery {
    /// A query over its window alone.
    pub(crate) fn over_window(arm: Arm, part: Part, text: String, window: Window) -> Self {
        Self { arm, part, query: Query { text, window, buckets: part == Part::Buckets }, history_points: 0, earlier: Vec::new() }
    }

    /// The query over the window and the time before it.
    pub(super) fn with_history(&self) -> Query {
        Query { window: self.query.window.with_past(self.history_points), ..self.query.clone() }
    }

    /// The query over the window so many days ago, on its grid, and over a few windows before it where `history_points` hold them.
    pub(super) fn days_ago(&self, days: u32, history_points: usize) -> Query {
        let window = self.query.window;
        let past = history_points.min(window.len().saturating_mul(WINDOWS_BEFORE_EARLIER));
        Query { window: window.with_past(past).earlier(i64::from(days).saturating_mul(DAY_SECONDS)), ..self.query.clone() }
    }

    /// Whether there is a window so many days ago that says what healthy looks like: on the grid, after 1970, apart from this one, and for
    /// the canary before its version was released.
    pub(super) fn has_earlier(&self, days: u32, released_at: Option<jiff::Timestamp>) -> bool {
        let window = self.query.window;
        let earlier = self.days_ago(days, self.history_points).window;
        let healthy = self.arm == Arm::Baseline || released_at.is_some_and(|released| earlier.end <= released.as_second());
        let on_grid = DAY_SECONDS % i64::from(window.step_seconds.max(1)) == 0;
        self.part == Part::Value && self.history_points > 0 && on_grid && earlier.start >= 0 && earlier.end <= window.start && healthy
    }
}

/// A day of UTC: clocks that are put forward or back shift the hour, and the judge sees by how much that matters.
pub(super) const DAY_SECONDS: i64 = 86_400;
/// The days on which the same clock is read, by how long ago they are: yesterday, and the same day of last week.
pub(super) const EARLIER_DAYS: [u32; 2] = [1, 7];
/// Windows before that of an earlier day that are read with it, at most: placebo windows are compared with those.
const WINDOWS_BEFORE_EARLIER: usize = 6;

/// Points before a window that are read with it: whole windows, as many as the config asks for, `most` points in all allow, and
/// there were since 1970.
pub(super) fn history_points(window: Window, windows: u32, most: usize) -> usize {
    let n = window.len();
    let since_1970 = usize::try_from(window.start / i64::from(window.step_seconds.max(1))).unwrap_or(0);
    let fitting = |points: usize| points.checked_div(n).unwrap_or(0);
    let windows = usize::try_from(windows).unwrap_or(usize::MAX);
    windows.min(fitting(most.saturating_sub(n))).min(fitting(since_1970)) * n
}
