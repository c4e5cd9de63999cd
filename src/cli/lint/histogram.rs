//! The buckets of both arms over the window, as a person looks at them: how many requests lie in each, and whether they are fine enough.

use haldane_judges::config::Metric;
use haldane_judges::evidence::{Arm, Buckets};
use serde::Serialize;

use crate::lint::LintFinding;
use crate::report::format::{self, Unit};

/// Share of all requests from which one bucket holds too many to tell anything within it.
const CROWDED: f64 = 0.5;
/// A width that is fine enough whatever a bucket holds, in seconds.
const FINE_SECONDS: f64 = 0.005;
/// Most rows of a picture.
const ROWS: usize = 20;

/// Both arms' requests in the buckets that they share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SharedHistogram {
    /// Upper bounds, in the metric's unit.
    pub(super) bounds: Vec<f64>,
    /// The baseline's requests in each bucket, the last above the last bound.
    pub(super) baseline: Vec<f64>,
    /// The canary's.
    pub(super) canary: Vec<f64>,
}

/// A line of the picture: what lies in it, and which share of each arm's requests.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PictureRow {
    pub(super) lies: String,
    pub(super) shares: [f64; 2],
}

impl SharedHistogram {
    /// `None` where the arms share no bound, or there are no requests.
    pub(super) fn of(baseline: &Buckets, canary: &Buckets) -> Option<Self> {
        let bounds = Buckets::shared_bounds(&[baseline, canary]);
        let sums = |arm: &Buckets| Some(arm.at_bounds(&bounds, arm.spacing())?.sums());
        let (baseline, canary) = (sums(baseline)?, sums(canary)?);
        let any = baseline.iter().chain(&canary).any(|count| *count > 0.0);
        any.then_some(Self { bounds, baseline, canary })
    }

    /// The buckets from the first to the last that hold anything, neighbours taken together where there are more than fit.
    pub(super) fn rows(&self, unit: &Unit) -> Vec<PictureRow> {
        let holds =
            |j: &usize| self.baseline.get(*j).is_some_and(|count| *count > 0.0) || self.canary.get(*j).is_some_and(|count| *count > 0.0);
        let places = || 0..self.baseline.len();
        let (Some(first), Some(last)) = (places().find(holds), places().rfind(holds)) else { return Vec::new() };
        let together = (last - first + 1).div_ceil(ROWS);
        let total = |arm: &[f64]| arm.iter().sum::<f64>();
        let row = |from: usize| {
            let to = (from + together - 1).min(last);
            let share = |arm: &[f64]| {
                let part: f64 = arm.get(from..=to).unwrap_or_default().iter().sum();
                if total(arm) > 0.0 { part / total(arm) } else { 0.0 }
            };
            PictureRow { lies: self.span(from, to, unit), shares: [share(&self.baseline), share(&self.canary)] }
        };
        (first..=last).step_by(together).map(row).collect()
    }

    /// What lies from the bucket `from` to the bucket `to`, in words.
    fn span(&self, from: usize, to: usize, unit: &Unit) -> String {
        let lower = from.checked_sub(1).and_then(|i| self.bounds.get(i));
        match (lower, self.bounds.get(to)) {
            (Some(lower), Some(upper)) => unit.range(Some(*lower), Some(*upper)),
            (None, Some(upper)) if *upper > 0.0 => unit.range(Some(0.0), Some(*upper)),
            (None, Some(upper)) => format!("up to {}", unit.value(*upper)),
            (Some(lower), None) => format!("above {}", unit.value(*lower)),
            (None, None) => "all".to_owned(),
        }
    }

    /// Where the quantiles lie that are asked about, and what the buckets are too coarse for.
    pub(super) fn findings(&self, at: &str, metric: &Metric, unit: &Unit, found: &mut Vec<LintFinding>) {
        let total: f64 = self.baseline.iter().sum();
        if total <= 0.0 {
            return;
        }
        let mut below = 0.0;
        let cdf: Vec<f64> = self
            .baseline
            .iter()
            .map(|count| {
                below += count / total;
                below
            })
            .collect();
        let mut said = Vec::new();
        for (tau, optional) in metric.asked_quantiles() {
            let bucket = cdf.iter().position(|share| *share >= tau - 1e-12).unwrap_or(self.bounds.len());
            let name = format!("p{}", format::number(tau * 100.0));
            if let (None, Some(last)) = (self.bounds.get(bucket), self.bounds.last()) {
                let message = format!(
                    "{name} of the baseline lies above the last bound, {}: how far it moves is not seen; add bounds",
                    unit.value(*last)
                );
                let severe = !optional;
                found.push(if severe { LintFinding::warning(at, message) } else { LintFinding::note(at, message) }.of(Arm::Baseline));
            } else {
                said.push(format!("{name} in {}", self.span(bucket, bucket, unit)));
            }
        }
        if !said.is_empty() {
            found.push(LintFinding::note(at, said.join(", ")).of(Arm::Baseline));
        }
        let fine = metric.tolerance.absolute.unwrap_or(0.0).max(metric.seconds_in_unit().map_or(0.0, |seconds| FINE_SECONDS / seconds));
        let crowded = self.baseline.iter().enumerate().find(|(_, count)| **count > CROWDED * total);
        if let Some((j, count)) = crowded {
            let upper = self.bounds.get(j);
            let lower = j.checked_sub(1).and_then(|i| self.bounds.get(i)).copied().unwrap_or(0.0);
            if upper.is_none_or(|upper| upper - lower > fine * (1.0 + 1e-9)) {
                let message = format!(
                    "{} of requests lie in {}: a shift within it is seen, and how large it is is not; add bounds there",
                    format::percent((count / total * 100.0).round() / 100.0),
                    self.span(j, j, unit)
                );
                found.push(LintFinding::warning(at, message).of(Arm::Baseline));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use haldane_judges::evidence::Spacing;

    use super::*;

    fn buckets(bounds: &[f64], counts: &[f64]) -> Buckets {
        Buckets::from_rows(bounds.to_vec(), &[Some(counts.to_vec())], Spacing::Linear).unwrap()
    }

    fn metric(more: &str) -> Metric {
        serde_json::from_str(&format!(r#"{{"name": "m", "kind": "distribution", "unit": "ms"{more}}}"#)).unwrap()
    }

    fn found(histogram: &SharedHistogram, metric: &Metric) -> Vec<String> {
        let mut found = Vec::new();
        histogram.findings("", metric, &format::unit_named(metric.kind, metric.unit.as_deref(), false), &mut found);
        found.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn empty_ends_are_left_out_and_many_buckets_are_taken_together() {
        let bounds: Vec<f64> = (1..=50).map(f64::from).collect();
        let counts: Vec<f64> = (0..51).map(|j| if (5..45).contains(&j) { 1.0 } else { 0.0 }).collect();
        let histogram = SharedHistogram::of(&buckets(&bounds, &counts), &buckets(&bounds, &counts)).unwrap();
        let rows = histogram.rows(&format::unit_named(haldane_judges::config::Kind::Distribution, Some("ms"), false));
        assert_eq!((rows.len(), rows[0].lies.as_str(), rows[0].shares), (20, "5 to 7 ms", [0.05; 2]));
        assert_eq!(SharedHistogram::of(&buckets(&[1.0], &[0.0, 0.0]), &buckets(&[1.0], &[0.0, 0.0])), None);
    }

    #[test]
    fn buckets_that_are_too_coarse_are_named_with_what_lies_in_them() {
        let coarse =
            SharedHistogram::of(&buckets(&[10.0, 100.0], &[750.0, 200.0, 50.0]), &buckets(&[10.0, 100.0], &[1.0, 0.0, 0.0])).unwrap();
        let said = found(&coarse, &metric(""));
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(said[0], "p99 of the baseline lies above the last bound, 100 ms: how far it moves is not seen; add bounds");
        assert_eq!(said[1], "p50 in 0 to 10 ms, p95 in 10 to 100 ms");
        assert!(said[2].starts_with("75 % of requests lie in 0 to 10 ms: "), "{said:?}");
        // Within five milliseconds nothing has to be told apart, or within what the config tolerates.
        let fine = SharedHistogram::of(&buckets(&[5.0, 100.0], &[750.0, 250.0, 0.0]), &buckets(&[5.0, 100.0], &[1.0, 0.0, 0.0])).unwrap();
        assert_eq!(found(&fine, &metric("")).len(), 1);
        assert_eq!(found(&coarse, &metric(r#", "tolerance": {"absolute": 10}, "quantiles": [0.5]"#)), ["p50 in 0 to 10 ms"]);
    }
}
