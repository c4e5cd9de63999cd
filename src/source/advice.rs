//! What can be said of a query without asking it: its shape, what a person should know, where a quantile's bounds come from.

use haldane_judges::config::{Metric, MetricQuery};

use super::query::{Query, Reply, Series};

/// What a query is, as far as its text tells without a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// What makes its values rates a second, where something does: `rate`, `.as_rate()`.
    pub rate: Option<&'static str>,
    /// Whether it sums events, so that it is larger where there is more traffic.
    pub follows_traffic: bool,
    /// Whether something that is no number divides it, so that it need not be.
    pub divided: bool,
}

/// What a person should know about a query before trusting its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What it is.
    pub sentence: String,
    /// Whether it matters only where the points show a shift.
    pub about_shifts: bool,
    /// What a metric may declare that answers it.
    pub unless: Option<Declaration>,
    /// What a metric has to declare for it to matter.
    pub only: Option<Declaration>,
}

/// What a metric may declare about the points of its queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declaration {
    /// `absent_means_zero`.
    AbsentMeansZero,
    /// `per_instance`.
    PerInstance,
    /// A `numerator` and a `denominator`, which are counts, as its queries for this store.
    Counts(&'static str),
}

impl Declaration {
    /// Whether a metric declares it.
    fn by(self, metric: &Metric) -> bool {
        match self {
            Self::AbsentMeansZero => metric.absent_means_zero,
            Self::PerInstance => metric.per_instance.is_some(),
            Self::Counts(store) => matches!(metric.queries.get(store), Some(MetricQuery::Counts(_))),
        }
    }
}

impl Advice {
    /// Whether a metric leaves it open.
    #[must_use]
    pub fn concerns(&self, metric: &Metric) -> bool {
        !self.unless.is_some_and(|declared| declared.by(metric)) && self.only.is_none_or(|declared| declared.by(metric))
    }

    /// Whether it matters for a query of a ratio's totals as well: where those are absent, nothing is taken for a zero.
    #[must_use]
    pub fn concerns_totals(&self) -> bool {
        self.only != Some(Declaration::AbsentMeansZero)
    }
}

/// How to ask which histogram buckets the values of a query are interpolated in: a query that returns a series for each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundsQuery {
    /// The query, over a few points.
    pub query: Query,
    /// The label that holds a bucket's upper bound.
    pub(super) label: &'static str,
    /// What a bound is multiplied by to be in the metric's unit; finite and above 0.
    pub(super) factor: f64,
}

impl BoundsQuery {
    /// The finite upper bounds, in the metric's unit, rising; none where the series name none.
    #[must_use]
    pub fn bounds(&self, reply: &Reply) -> Vec<f64> {
        let of_series = |series: &Series| series.labels.get(self.label)?.parse::<f64>().ok();
        let in_unit = reply.series.iter().filter_map(of_series).map(|bound| bound * self.factor);
        let mut bounds: Vec<f64> = in_unit.filter(|bound| bound.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    }
}
