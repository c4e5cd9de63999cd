//! The bad-instance guard: one of the canary's instances that behaves unlike all others, which an average over the arm hides.
//!
//! h of an instance is the median over time of log(value) less the mean of the baseline's logs in the same interval, so that what
//! moves all instances cancels out. An instance's h is tested against those of all other instances, of both arms where they are
//! observed over the same intervals (`stats::prediction`). It is regressed when p <= .05 / (m k), k being the canary's instances,
//! and when it differs by the metric's tolerance, relative (25 % unless the config states one, at least 10 %) and absolute: hosts
//! differ by 10 % for no reason. On real hosts of one service 4.2 % of healthy metrics have an instance that differs by 10 % at
//! this p-value, and 0.5 % one that differs by 25 %.

use super::{Context, finite, overrule};
use crate::config::{Direction, Metric};
use crate::evidence::Instance;
use crate::explain;
use crate::quality::Cleaned;
use crate::scorecard::{InstanceNumbers, MetricResult, Reason, Status};
use crate::stats::prediction::prediction_test;
use crate::stats::{Sample, median_of_sorted};

/// Instances that the canary needs.
const FEWEST: usize = 3;
/// Values above 0 that an instance needs, beside half of its points.
const FEWEST_POINTS: usize = 3;
/// Relative tolerance where the config states none, and the smallest one.
const TOLERANCE: f64 = 0.25;
const LEAST_TOLERANCE: f64 = 0.10;
/// Level of the test, shared among the metrics and the canary's instances.
const P: f64 = 0.05;
/// Standard error of a median in standard errors of a mean, for normal values.
const MEDIAN_ERROR: f64 = 1.2533;
/// Longest instance name that is shown, in characters.
const LONGEST_NAME: usize = 100;

/// Where one instance stands.
struct Stand {
    name: String,
    /// Median distance from the reference, in logs.
    height: f64,
    /// Standard error of that median.
    error: f64,
}

/// What sets one of the canary's instances apart.
struct Apart {
    name: String,
    /// Its level as a fraction above that of the others, as it is.
    relative: f64,
    /// Its level and that of the others, in the unit.
    levels: (f64, f64),
    /// Above 0 is worse.
    sign: f64,
    p: f64,
}

impl Apart {
    fn worse(&self) -> f64 {
        self.sign * self.relative
    }
}

pub(super) fn check(mut result: MetricResult, metric: &Metric, cleaned: &Cleaned, context: Context) -> MetricResult {
    if matches!(result.status, Status::NoData | Status::Error) {
        return result;
    }
    let (canary, apart) = compare(metric, cleaned);
    let p_limit = P / (context.chances() * canary.max(1) as f64);
    let relative = metric.tolerance.relative.unwrap_or(TOLERANCE).max(LEAST_TOLERANCE);
    let absolute = metric.tolerance.absolute.unwrap_or(0.0);
    if let Some(worst) = apart.first() {
        let numbers = InstanceNumbers { name: worst.name.clone(), relative: worst.worse(), p: worst.p, p_limit };
        result.worst_instance = finite(numbers.relative).map(|_| numbers);
    }
    let is_bad = |one: &&Apart| one.p <= p_limit && one.worse() >= relative && one.sign * (one.levels.0 - one.levels.1) >= absolute;
    let bad: Vec<&Apart> = apart.iter().filter(is_bad).collect();
    let Some(worst) = bad.first() else { return result };
    // Where most of its instances are unlike the rest it is the canary as a whole.
    if result.status == Status::Regressed && 2 * bad.len() > canary {
        return result;
    }
    let others: Vec<String> = bad[1..].iter().map(|one| one.name.clone()).collect();
    let likewise = if others.is_empty() { String::new() } else { format!("; likewise {}", explain::names(&others)) };
    let tolerated = (absolute > 0.0).then(|| explain::difference(metric, absolute));
    let sentence = format!(
        "`{}` is unlike all other instances: {} where they have {} ({}){likewise}; {}",
        worst.name,
        explain::quantity(metric, worst.levels.0),
        explain::quantity(metric, worst.levels.1),
        explain::change(worst.relative),
        explain::limit(worst.sign, relative, tolerated)
    );
    if result.status == Status::Regressed {
        // The arm moved because of it: the instance is what to look at first.
        result.sentence = format!("{sentence}; the canary as a whole {}", result.sentence);
        result.reason = Reason::Instance;
    } else {
        overrule(&mut result, Status::Regressed, Reason::Instance, &sentence);
    }
    result
}

/// The number of the canary's instances that can be compared, and how each stands apart, the least likely first.
fn compare(metric: &Metric, cleaned: &Cleaned) -> (usize, Vec<Apart>) {
    let length = cleaned.canary.points.len();
    let canary: Vec<&Instance> = cleaned.canary.instances.iter().filter(|i| is_usable(i, length)).collect();
    if canary.len() < FEWEST {
        return (canary.len(), Vec::new());
    }
    let aligned = |i: &&Instance| cleaned.is_aligned() && is_usable(i, length);
    let baseline: Vec<&Instance> = cleaned.baseline.instances.iter().filter(aligned).collect();
    let reference = reference(if baseline.is_empty() { &canary } else { &baseline }, length);
    let stands = |arm: &[&Instance]| arm.iter().filter_map(|i| stand(i, &reference)).collect::<Vec<Stand>>();
    let (canary, baseline) = (stands(&canary), stands(&baseline));
    let mut level: Vec<f64> = reference.iter().copied().filter(|v| v.is_finite()).collect();
    level.sort_unstable_by(f64::total_cmp);
    let level = median_of_sorted(&level);
    let mut apart: Vec<Apart> = (0..canary.len())
        .filter_map(|i| {
            let others = || canary.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, one)| one).chain(&baseline);
            let heights: Vec<f64> = others().map(|one| one.height).collect();
            let mut errors: Vec<f64> = others().map(|one| one.error).collect();
            errors.sort_unstable_by(f64::total_cmp);
            let test = prediction_test(canary[i].height, &heights, median_of_sorted(&errors)).ok()?;
            let (sign, p) = match metric.direction {
                Direction::Increase => (1.0, test.p.greater),
                Direction::Decrease => (-1.0, test.p.less),
                Direction::Either => (1f64.copysign(test.difference), test.p.two_sided),
            };
            let levels = ((level + canary[i].height).exp(), (level + canary[i].height - test.difference).exp());
            Some(Apart { name: canary[i].name.clone(), relative: test.difference.exp_m1(), levels, sign, p })
        })
        .collect();
    apart.sort_by(|a, b| a.p.total_cmp(&b.p).then(b.worse().total_cmp(&a.worse())).then(a.name.cmp(&b.name)));
    (canary.len(), apart)
}

/// Whether an instance has values above 0 in at least half of the window's intervals.
fn is_usable(instance: &Instance, length: usize) -> bool {
    let positive = instance.values.iter().filter(|v| **v > 0.0 && v.is_finite()).count();
    instance.values.len() == length && positive >= FEWEST_POINTS && 2 * positive >= length
}

/// Mean of the logs in each interval, over the instances that have a value above 0; NaN where none has.
fn reference(instances: &[&Instance], length: usize) -> Vec<f64> {
    let mean = |t: usize| {
        let logs = || instances.iter().map(|i| i.values[t]).filter(|v| *v > 0.0 && v.is_finite()).map(f64::ln);
        logs().sum::<f64>() / logs().count() as f64
    };
    (0..length).map(mean).collect()
}

fn stand(instance: &Instance, reference: &[f64]) -> Option<Stand> {
    let positive = |v: f64| if v > 0.0 { v.ln() } else { f64::NAN };
    let distances: Vec<f64> = instance.values.iter().zip(reference).map(|(v, reference)| positive(*v) - reference).collect();
    let distances = Sample::of_present(&distances).ok()?;
    let (n, mean) = (distances.len() as f64, distances.mean());
    let variance = distances.sorted().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let name = instance.name.chars().take(LONGEST_NAME).collect();
    Some(Stand { name, height: distances.median(), error: MEDIAN_ERROR * (variance / n).sqrt() })
}
