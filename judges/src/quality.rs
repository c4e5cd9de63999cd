//! From raw points to points worth judging: warm-up, infinities, zeros for absent counters, coverage.

use crate::config::{CheckedConfig, Kind, Metric};
use crate::evidence::{ArmPoints, Comparison, Evidence, FetchFailure, Observation, Points};
use crate::explain;
use crate::scorecard::Coverage;

/// Values beyond this size would overflow when subtracted or squared; they count as infinite.
const LARGEST: f64 = 1e150;
/// Counts beyond this are more than the binomial tails are right for; they count as infinite.
const LARGEST_COUNT: f64 = 1e12;
/// Share of points that the baseline must report for the canary's silence to be evidence.
pub(crate) const REPORTS: f64 = 0.8;
/// Difference in coverage from which a metric is suspect.
pub(crate) const ASYMMETRY: f64 = 0.2;
/// Share of points that an arm needs.
pub(crate) const ENOUGH: f64 = 0.5;

/// Both arms of one metric, cleaned.
#[derive(Debug, Clone)]
pub(crate) struct Cleaned {
    pub(crate) baseline: CleanArm,
    pub(crate) canary: CleanArm,
    /// Whether both arms were observed over the same window.
    concurrent: bool,
    pub(crate) warnings: Vec<String>,
}

/// One arm of one metric: points with `NaN` for missing, and how complete they are.
#[derive(Debug, Clone)]
pub(crate) struct CleanArm {
    pub(crate) points: Points,
    /// Values of each instance, where the metric is read per instance.
    pub(crate) instances: Vec<Vec<f64>>,
    pub(crate) coverage: Coverage,
    /// Share of the intervals in which the target was seen at all: for counts those with a total.
    pub(crate) seen: f64,
}

impl CleanArm {
    /// The arm's values; the rate of each interval for counts.
    pub(crate) fn values(&self) -> Vec<f64> {
        match &self.points {
            Points::Values(values) => values.clone(),
            Points::Counts { events, totals } => events.iter().zip(totals).map(|(x, m)| if *m > 0.0 { x / m } else { f64::NAN }).collect(),
        }
    }

    /// The intervals of a ratio in which the arm reported, as (events, totals); empty for values.
    pub(crate) fn counted(&self) -> (Vec<f64>, Vec<f64>) {
        match &self.points {
            Points::Values(_) => (Vec::new(), Vec::new()),
            Points::Counts { events, totals } => {
                events.iter().zip(totals).filter(|(x, m)| x.is_finite() && m.is_finite()).map(|(x, m)| (*x, *m)).unzip()
            }
        }
    }

    /// The values whose presence shows that the target was up: totals for counts.
    fn liveness(&self) -> &[f64] {
        match &self.points {
            Points::Values(values) | Points::Counts { totals: values, .. } => values,
        }
    }

    /// Whether every instance, or the arm's one series, reports nearly always.
    pub(crate) fn reports(&self) -> bool {
        let share = |values: &[f64]| {
            let present = values.iter().filter(|v| v.is_finite()).count();
            present as f64 >= REPORTS * values.len().max(1) as f64
        };
        self.coverage.present >= 3
            && if self.instances.is_empty() { self.coverage.fraction >= REPORTS } else { self.instances.iter().all(|i| share(i)) }
    }
}

/// Why a metric cannot be judged at all.
#[derive(Debug, Clone)]
pub(crate) enum Unjudged {
    /// Its samples could not be had.
    Failed(FetchFailure),
    /// Its samples are of the wrong kind.
    Mismatch(String),
}

/// The stated share of the traffic, where it is neither absent nor an even split.
fn split(evidence: &Evidence) -> Option<f64> {
    evidence.canary_share.filter(|share| *share > 0.0 && *share < 1.0 && *share != 0.5)
}

/// Metrics that could differ at all and are not muted (m).
pub(crate) fn live_metrics(config: &CheckedConfig, cleaned: &[Result<Cleaned, Unjudged>]) -> usize {
    count_live(config, cleaned, |_| true)
}

/// Those of them that a condition picks.
pub(crate) fn count_live(config: &CheckedConfig, cleaned: &[Result<Cleaned, Unjudged>], wanted: impl Fn(&Metric) -> bool) -> usize {
    let pairs = config.metrics.iter().zip(cleaned);
    pairs.filter(|(metric, c)| !metric.muted && wanted(metric) && c.as_ref().is_ok_and(Cleaned::is_live)).count()
}

/// Cleans every metric of a config. The result has one entry for each, in the config's order.
pub(crate) fn clean(config: &CheckedConfig, evidence: &Evidence) -> Vec<Result<Cleaned, Unjudged>> {
    let first: Vec<_> = config.metrics.iter().enumerate().map(|(i, metric)| clean_one(config, metric, evidence, i)).collect();
    let (baseline, canary) = (reporting(&first, |c| &c.baseline), reporting(&first, |c| &c.canary));
    let fill: Vec<_> = config
        .metrics
        .iter()
        .zip(&first)
        .map(|(metric, cleaned)| {
            let cleaned = cleaned.as_ref().ok().filter(|cleaned| metric.absent_means_zero && !cleaned.is_counted())?;
            Some((up_elsewhere(&baseline, &cleaned.baseline), up_elsewhere(&canary, &cleaned.canary)))
        })
        .collect();
    first
        .into_iter()
        .zip(fill)
        .map(|(cleaned, fill)| {
            cleaned.map(|mut cleaned| {
                if let Some((baseline, canary)) = fill {
                    fill_zeros(&mut cleaned.baseline, &baseline);
                    fill_zeros(&mut cleaned.canary, &canary);
                }
                let all_filled =
                    |arm: &CleanArm| arm.coverage.filled_with_zero > 0 && arm.coverage.filled_with_zero == arm.coverage.present;
                if all_filled(&cleaned.baseline) && all_filled(&cleaned.canary) {
                    cleaned
                        .warnings
                        .push("neither arm reports any, which counts as zero; right if there were none, wrong if the query is".to_owned());
                }
                cleaned
            })
        })
        .collect()
}

fn clean_one(config: &CheckedConfig, metric: &Metric, evidence: &Evidence, i: usize) -> Result<Cleaned, Unjudged> {
    let (baseline, canary) = match evidence.observations.get(i) {
        Some(Observation::Sampled { baseline, canary }) => (baseline, canary),
        Some(Observation::Failed(failure)) => return Err(Unjudged::Failed(failure.clone())),
        None => return Err(Unjudged::Mismatch("no samples were given for this metric".to_owned())),
    };
    let mut warnings = Vec::new();
    let mut cleaned = |arm: &ArmPoints, name: &str| clean_arm(config, metric, arm, name, &mut warnings);
    let (clean_baseline, mut clean_canary) = (cleaned(baseline, "baseline")?, cleaned(canary, "canary")?);
    if let (true, Some(share), Points::Values(values)) = (metric.traffic, split(evidence), &mut clean_canary.points) {
        let factor = (1.0 - share) / share;
        values.iter_mut().for_each(|v| *v *= factor);
        clean_canary.instances.iter_mut().flatten().for_each(|v| *v *= factor);
        let share = explain::rate(share);
        warnings.push(format!(
            "the canary's values were multiplied by {} for its stated share of {share} of the traffic",
            explain::digits(factor)
        ));
    }
    let same_kind = matches!(clean_baseline.points, Points::Values(_)) == matches!(clean_canary.points, Points::Values(_));
    if !same_kind {
        return Err(Unjudged::Mismatch("one arm has values and the other events and totals; give both the same".to_owned()));
    }
    let concurrent = evidence.comparison == Comparison::Concurrent;
    Ok(Cleaned { baseline: clean_baseline, canary: clean_canary, concurrent, warnings })
}

impl Cleaned {
    /// Whether entry `i` of both arms is the same moment.
    pub(crate) fn is_aligned(&self) -> bool {
        self.concurrent && self.baseline.points.len() == self.canary.points.len()
    }

    /// Whether both arms were observed over the same window.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.concurrent
    }

    /// Whether the metric is events out of totals.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self.canary.points, Points::Counts { .. })
    }

    /// Whether the arms could differ at all: both have data, and not one same constant. Counts need an event somewhere.
    pub(crate) fn is_live(&self) -> bool {
        if self.baseline.coverage.present == 0 || self.canary.coverage.present == 0 {
            return false;
        }
        if self.is_counted() {
            let events = |arm: &CleanArm| arm.counted().0.iter().any(|x| *x > 0.0);
            return events(&self.baseline) || events(&self.canary);
        }
        let all: Vec<f64> = self.baseline.values().into_iter().chain(self.canary.values()).filter(|v| v.is_finite()).collect();
        all.iter().any(|v| *v != all[0])
    }
}

fn clean_arm(
    config: &CheckedConfig,
    metric: &Metric,
    arm: &ArmPoints,
    name: &str,
    warnings: &mut Vec<String>,
) -> Result<CleanArm, Unjudged> {
    let warmup = config.warmup as usize;
    let settled = |values: &[f64]| values.iter().skip(warmup).copied().collect::<Vec<f64>>();
    let mut infinite = 0;
    let largest = if matches!(arm.points, Points::Counts { .. }) { LARGEST_COUNT } else { LARGEST };
    let mut finite = |values: &[f64]| -> Vec<f64> {
        settled(values)
            .into_iter()
            .map(|v| {
                if v.abs() > largest {
                    infinite += 1;
                    f64::NAN
                } else {
                    v
                }
            })
            .collect()
    };
    let (mut filled_with_zero, mut seen) = (0, None);
    let (points, present) = match &arm.points {
        Points::Values(values) => {
            let values = finite(values);
            let present = values.iter().filter(|v| v.is_finite()).count();
            (Points::Values(values), present)
        }
        Points::Counts { .. } if metric.kind == Kind::Value => {
            return Err(Unjudged::Mismatch("events and totals came for a metric of kind `value`; set `kind: ratio`".to_owned()));
        }
        Points::Counts { events, totals } if events.len() != totals.len() => {
            let message =
                format!("the {name} has {} entries of events and {} of totals; give one of each an interval", events.len(), totals.len());
            return Err(Unjudged::Mismatch(message));
        }
        Points::Counts { events, totals } => {
            let (mut events, mut totals) = (finite(events), finite(totals));
            let totals_seen = totals.iter().filter(|v| v.is_finite()).count();
            let (mut negative, mut excess) = (0, 0);
            for (x, m) in events.iter_mut().zip(&mut totals) {
                if x.is_nan() && m.is_finite() && metric.absent_means_zero {
                    *x = 0.0;
                    filled_with_zero += 1;
                }
                if *x < 0.0 || *m < 0.0 {
                    negative += 1;
                    (*x, *m) = (f64::NAN, f64::NAN);
                } else if *x > *m {
                    // Two extrapolated counters may disagree by a little; the numerator cannot be more than all.
                    excess += usize::from(*x > *m * 1.05);
                    *x = *m;
                }
                if x.is_nan() || m.is_nan() {
                    (*x, *m) = (f64::NAN, f64::NAN);
                }
            }
            if negative > 0 {
                warnings.push(format!("{negative} intervals of the {name} have a negative count and count as missing"));
            }
            if excess > 0 {
                warnings.push(format!("{excess} intervals of the {name} have more events than the total; they count as the total"));
            }
            let present = events.iter().filter(|v| v.is_finite()).count();
            seen = Some(totals_seen);
            (Points::Counts { events, totals }, present)
        }
    };
    let instances = arm.instances.iter().map(|instance| finite(&instance.values)).collect();
    if infinite > 0 {
        warnings.push(format!(
            "{infinite} values of the {name} are infinite or larger than can be judged ({largest:e}); they count as missing"
        ));
    }
    let expected = points.len();
    let fraction = share(present, expected);
    let seen = share(seen.unwrap_or(present), expected);
    Ok(CleanArm { points, instances, coverage: Coverage { present, expected, infinite, filled_with_zero, fraction }, seen })
}

fn share(present: usize, expected: usize) -> f64 {
    if expected == 0 { 0.0 } else { present as f64 / expected as f64 }
}

/// Number of metrics of an arm that report in each interval.
fn reporting(all: &[Result<Cleaned, Unjudged>], arm: impl Fn(&Cleaned) -> &CleanArm) -> Vec<usize> {
    let mut reporting = Vec::new();
    for cleaned in all.iter().flatten() {
        let values = arm(cleaned).liveness();
        reporting.resize(reporting.len().max(values.len()), 0);
        for (count, value) in reporting.iter_mut().zip(values) {
            *count += usize::from(value.is_finite());
        }
    }
    reporting
}

/// The intervals in which a metric of the arm other than this one reports.
fn up_elsewhere(reporting: &[usize], this: &CleanArm) -> Vec<bool> {
    let own = |t: usize| usize::from(this.liveness().get(t).is_some_and(|v| v.is_finite()));
    reporting.iter().enumerate().map(|(t, count)| *count > own(t)).collect()
}

fn fill_zeros(arm: &mut CleanArm, up: &[bool]) {
    if let Points::Values(values) = &mut arm.points {
        for (value, _) in values.iter_mut().zip(up).filter(|(value, up)| value.is_nan() && **up) {
            *value = 0.0;
            arm.coverage.filled_with_zero += 1;
            arm.coverage.present += 1;
        }
        arm.coverage.expected = values.len();
        arm.coverage.fraction = share(arm.coverage.present, arm.coverage.expected);
        arm.seen = arm.coverage.fraction;
    }
}
