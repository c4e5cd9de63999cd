//! The order of metrics from the worst to the best, the same in sentences, tables and pages.

use std::cmp::Ordering;

use crate::scorecard::{AppliedLimit, MetricResult, Status};

impl Status {
    /// How much it has to say against the canary: less is more.
    fn rank(self) -> usize {
        match self {
            Self::Regressed => 0,
            Self::Suspect => 1,
            Self::Error => 2,
            Self::NoData => 3,
            Self::Inconclusive => 4,
            Self::Pass => 5,
        }
    }
}

impl MetricResult {
    /// Orders from the worst to the best: muted metrics, which count for nothing, last; by status, critical ones first; and then by how
    /// many times its tolerance the shift is. What speaks against the canary without a shift, such as silence, comes before what has one.
    #[must_use]
    pub fn worst_first(&self, other: &Self) -> Ordering {
        let rank = |one: &Self| (one.muted, one.status.rank(), !one.critical);
        let without = |one: &Self| if one.status.rank() <= Status::Suspect.rank() { f64::INFINITY } else { f64::NEG_INFINITY };
        let times = |one: &Self| one.times_its_tolerance().unwrap_or_else(|| without(one));
        rank(self).cmp(&rank(other)).then(times(other).total_cmp(&times(self)))
    }

    /// The shift as a multiple of the tolerances that it must exceed: above 0 is worse, above 1 beyond them. Of a distribution the quantile
    /// that went furthest of those that decided. `None` where no tolerance or no shift is known.
    #[must_use]
    pub fn times_its_tolerance(&self) -> Option<f64> {
        let limit = self.limit.as_ref()?;
        let of = |shift: f64, relative: Option<f64>| multiple_of(limit, shift, relative);
        let times = match (&self.numbers, &self.counts, &self.distribution) {
            (Some(numbers), _, _) => of(numbers.shift, numbers.relative_shift),
            (None, Some(counts), _) => of(counts.shift, counts.relative_shift),
            (None, None, Some(distribution)) => {
                let all = &distribution.quantiles;
                let deciding = all.iter().filter(|one| one.status == self.status);
                let furthest = |one: f64, other: f64| one.max(other);
                let times = deciding.map(|one| of(one.shift, one.relative_shift)).reduce(furthest);
                times.or_else(|| all.iter().map(|one| of(one.shift, one.relative_shift)).reduce(furthest))?
            }
            (None, None, None) => return None,
        };
        (!times.is_nan()).then_some(times)
    }
}

/// A shift as a multiple of the limits that it must exceed: the smaller multiple, since it must exceed both. A limit of 0 is none, and
/// a level of 0 has no relative shift.
fn multiple_of(limit: &AppliedLimit, shift: f64, relative: Option<f64>) -> f64 {
    let unbounded = if shift > 0.0 { f64::INFINITY } else { 0.0 };
    let multiples = [(shift, limit.absolute), (relative.unwrap_or(unbounded), limit.relative)];
    multiples.into_iter().filter(|(_, limit)| *limit > 0.0).map(|(shift, limit)| shift / limit).reduce(f64::min).unwrap_or(unbounded)
}
