//! What a metric store is asked and what it answers: a window, a query, series.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most series one reply may have.
pub const MAX_SERIES: usize = 10_000;
/// Most values that the series of one reply may have together, absent ones included: 16 MiB. A short reply with a point a series would
/// otherwise be laid out over a long window; the longest body that is read holds about half as many.
pub const MAX_VALUES: usize = 2 << 20;

/// A window that ended so long ago is complete, where settings do not say: scrapes and remote writes have arrived.
pub(super) const DEFAULT_SETTLE: Duration = Duration::from_secs(60);

/// The points that are asked for: at `start + step`, `start + 2 step`, ... `end`; each speaks of the step before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Start, in Unix seconds.
    pub start: i64,
    /// End, in Unix seconds; later than `start` by a multiple of `step_seconds`.
    pub end: i64,
    /// Distance between points, in seconds; above 0.
    pub step_seconds: u32,
}

impl Window {
    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        let step = i64::from(self.step_seconds.max(1));
        usize::try_from(self.end.saturating_sub(self.start) / step).unwrap_or(0)
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The window's length, in seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.end.saturating_sub(self.start)
    }

    /// Unix time of the first point, in seconds.
    #[must_use]
    pub fn first_point(&self) -> i64 {
        self.start.saturating_add(i64::from(self.step_seconds))
    }

    /// The window with so many points before it.
    #[must_use]
    pub fn with_past(self, points: usize) -> Self {
        let seconds = i64::try_from(points).unwrap_or(i64::MAX).saturating_mul(i64::from(self.step_seconds));
        Self { start: self.start.saturating_sub(seconds), ..self }
    }

    /// The same window, `seconds` earlier.
    #[must_use]
    pub fn earlier(self, seconds: i64) -> Self {
        Self { start: self.start.saturating_sub(seconds), end: self.end.saturating_sub(seconds), ..self }
    }
}

/// A query before its variables are put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<'a> {
    /// The text of the config, in the store's language, with `${name}` for variables.
    pub text: &'a str,
    /// The caller's variables, `scope` and `location` among them; to be escaped for the place they land in.
    pub variables: &'a BTreeMap<String, String>,
    /// The window, from which `${step}` and `${window}` follow.
    pub window: Window,
}

/// A query as the store is asked it; equal queries have equal replies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// Text in the store's language, complete.
    pub text: String,
    /// The points asked for.
    pub window: Window,
    /// Whether its series are the buckets of a histogram, which `histogram.rs` reads; only then may a reply hold native histograms.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub buckets: bool,
}

/// One time series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels that tell it from others.
    pub labels: BTreeMap<String, String>,
    /// One entry for each point of the window, [`ABSENT`](haldane_judges::evidence::ABSENT), which is a `NaN`, where the store has none;
    /// infinities are kept.
    pub values: Vec<f64>,
}

/// A store's reply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The series, sorted by labels.
    pub series: Vec<Series>,
    /// What the store, or the reading of its reply, has to say about them.
    pub warnings: Vec<String>,
}

impl Reply {
    /// Memory that it takes, in bytes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// Of a reply, of a series and of a label.
        const OVERHEAD: usize = 200;
        const LABEL: usize = 2 * size_of::<String>();
        let labels = |series: &Series| series.labels.iter().map(|(name, value)| name.len() + value.len() + LABEL).sum::<usize>();
        let series = self.series.iter().map(|series| OVERHEAD + labels(series) + size_of_val(series.values.as_slice()));
        OVERHEAD + series.sum::<usize>() + self.warnings.iter().map(String::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_put_before_a_window_on_the_same_grid() {
        let window = Window { start: 600, end: 900, step_seconds: 60 };
        let longer = window.with_past(10);
        assert_eq!((longer.start, longer.end, longer.len()), (0, 900, 15));
        assert_eq!(window.with_past(0), window);
        assert_eq!(window.with_past(usize::MAX).end, 900);
    }
}
