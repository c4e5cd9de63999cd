//! From the samples of both arms to a classification.
//!
//! Kayenta adds unseeded normal noise, with a standard deviation of 1e-5 of the value, where both arms are constant and differ.
//! Here the noise is a fixed sequence of normal scores of that size: the quantiles at the multiples of the golden ratio, modulo 1,
//! which are spread evenly, never repeat and never are 0. The canary takes its scores first, then the baseline, as there.
//!
//! One point against one is a coin even so. All ranks are tied, and the metric is an error, whenever `x - (x - y)` rounds to `y`,
//! which depends on the last bits of the noise: always where either value is 0 or where they are within a factor of 2, now and
//! then where they are not (Kayenta, 7 against 1: 43 of 50 runs high, 7 errors). The face that most of 101 fixed draws show is taken,
//! so that what Kayenta always says is said here, and elsewhere what it says more often.

use super::rank::{self, ShiftEstimate, TiedRanks};
use crate::aca_outcome::{Classification, Finding, MetricOutcome, Number, SampleStatistics};
use crate::aca_rules::{Measure, NanStrategy, OutlierStrategy, Rules};
use crate::config::Direction;
use crate::evidence::is_absent;
use crate::stats::normal_isf;

/// Part of the estimate that an end of the interval must exceed.
const TOLERANCE: f64 = 0.25;
/// Noise of a constant arm, as a part of its value.
const NOISE: f64 = 1e-5;
/// Draws among which the majority decides for one point against one.
const DRAWS: usize = 101;
/// The golden ratio, modulo 1.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The shared settings that this judge reads beside its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedSettings {
    pub(super) direction: Direction,
    pub(super) critical: bool,
    pub(super) rules: Rules,
}

/// Classifies one metric.
pub(super) fn classify(control: &[f64], experiment: &[f64], settings: SharedSettings) -> MetricOutcome {
    let (x, y) = (transformed(experiment, &settings.rules), transformed(control, &settings.rules));
    let mut outcome = MetricOutcome {
        classification: Classification::Pass,
        critical: false,
        finding: None,
        ratio: Some(Number(1.0)),
        effect_size: None,
        lower: None,
        upper: None,
        estimate: None,
        control: statistics(&y),
        experiment: statistics(&x),
    };
    if x.is_empty() || y.is_empty() {
        if settings.rules.nan_strategy == NanStrategy::Remove {
            outcome.finding = Some(Finding::MissingData);
            (outcome.classification, outcome.critical) = if settings.rules.must_have_data && !settings.critical {
                (Classification::NodataFailMetric, false)
            } else {
                (Classification::Nodata, settings.critical)
            };
        }
        return outcome;
    }
    let (mean_x, mean_y) = (outcome.experiment.mean.0, outcome.control.mean.0);
    let (x, y) = (ArmValues::with_mean(x, mean_x), ArmValues::with_mean(y, mean_y));
    if x.sorted == y.sorted {
        outcome.finding = Some(Finding::Identical);
        return outcome;
    }
    let constant = is_constant(&x.values) && is_constant(&y.values);
    if constant && x.values[0] == y.values[0] {
        return outcome;
    }
    let tested = if constant { compare_constants(&x.values, &y.values, &settings.rules) } else { compare(&x, &y, &settings.rules) };
    match tested {
        Ok(test) => decide(&mut outcome, &test, settings),
        Err(TiedRanks) => {
            outcome.classification = Classification::Error;
            outcome.finding = Some(Finding::Failed);
            outcome.ratio = None;
        }
    }
    outcome
}

/// A metric whose samples could not be had.
pub(super) fn failed() -> MetricOutcome {
    MetricOutcome {
        classification: Classification::Error,
        critical: false,
        finding: Some(Finding::Failed),
        ratio: None,
        effect_size: None,
        lower: None,
        upper: None,
        estimate: None,
        control: SampleStatistics::default(),
        experiment: SampleStatistics::default(),
    }
}

/// Missing points and outliers dealt with; each arm by itself.
fn transformed(values: &[f64], rules: &Rules) -> Vec<f64> {
    let present: Vec<f64> = match rules.nan_strategy {
        NanStrategy::Remove => values.iter().copied().filter(|value| !value.is_nan()).collect(),
        // Kayenta replaces what its store returned as NaN. A gap leaves no trace in its series, and so nothing to replace.
        NanStrategy::Replace => {
            values.iter().filter(|value| !is_absent(**value)).map(|value| if value.is_nan() { 0.0 } else { *value }).collect()
        }
    };
    match rules.outliers.strategy {
        OutlierStrategy::Keep => present,
        OutlierStrategy::Remove => without_outliers(present, rules.outliers.factor),
    }
}

fn without_outliers(mut values: Vec<f64>, factor: f64) -> Vec<f64> {
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| percentile(&sorted, p);
    let (p75, p25) = (at(75.0), at(25.0));
    let range = p75 - p25;
    let (lower, upper) = (at(1.0), at(99.0));
    // As in Java, the lesser and the greater of a number and NaN is NaN, which removes nothing.
    let low = if (p25 - factor * range).is_nan() || lower.is_nan() { f64::NAN } else { lower.min(p25 - factor * range) };
    let high = if (p75 + factor * range).is_nan() || upper.is_nan() { f64::NAN } else { upper.max(p75 + factor * range) };
    values.retain(|value| !(*value > high || *value < low));
    values
}

/// The percentile by interpolation between order statistics (R's type 7); `NaN` without values.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let n = sorted.len();
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return f64::NAN };
    let position = 1.0 + (n as f64 - 1.0) * (p / 100.0);
    if n == 1 || position < 1.0 {
        return *first;
    }
    if position >= n as f64 {
        return *last;
    }
    let below = position.floor();
    let lower = sorted[below as usize - 1];
    lower + (position - below) * (sorted[below as usize] - lower)
}

/// The mean, corrected by the mean deviation from it; sums run in the order of the points.
fn mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let rough = values.iter().fold(0.0, |sum, value| sum + value) / n;
    rough + values.iter().fold(0.0, |sum, value| sum + (value - rough)) / n
}

fn statistics(values: &[f64]) -> SampleStatistics {
    let Some(first) = values.first() else { return SampleStatistics::default() };
    let n = values.len() as f64;
    let mean = mean(values);
    let (squares, deviations) = values.iter().fold((0.0, 0.0), |(squares, deviations), value| {
        let deviation = value - mean;
        (squares + deviation * deviation, deviations + deviation)
    });
    let variance = if values.len() == 1 { 0.0 } else { (squares - deviations * deviations / n) / (n - 1.0) };
    // Of equal values the last one, which matters to the sign of 0.
    let min = values.iter().fold(*first, |least, value| if least < *value { least } else { *value });
    let max = values.iter().fold(*first, |most, value| if most > *value { most } else { *value });
    SampleStatistics { count: values.len(), mean: Number(mean), min: Number(min), max: Number(max), std: Number(variance.sqrt()) }
}

/// One arm's values in the order of time and sorted, with their mean.
struct ArmValues {
    values: Vec<f64>,
    sorted: Vec<f64>,
    mean: f64,
}

impl ArmValues {
    fn of(values: Vec<f64>) -> Self {
        let mean = mean(&values);
        Self::with_mean(values, mean)
    }

    fn with_mean(values: Vec<f64>, mean: f64) -> Self {
        Self { sorted: rank::sorted(&values), values, mean }
    }
}

fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// What a test of two arms gives.
struct Test {
    interval: ShiftEstimate,
    ratio: f64,
    effect_size: f64,
}

fn compare(x: &ArmValues, y: &ArmValues, rules: &Rules) -> Result<Test, TiedRanks> {
    let interval = rank::shift_of((&x.values, &x.sorted), (&y.values, &y.sorted))?;
    let (mean_x, mean_y) = (x.mean, y.mean);
    let ratio = if mean_y == 0.0 || mean_x == 0.0 { f64::NAN } else { mean_x / mean_y };
    let effect_size = match rules.effect_size.measure {
        Measure::MeanRatio => ratio,
        Measure::Cles => rank::superiority(&x.sorted, &y.sorted),
    };
    Ok(Test { interval, ratio, effect_size })
}

fn compare_constants(x: &[f64], y: &[f64], rules: &Rules) -> Result<Test, TiedRanks> {
    let draw = |k: usize| {
        let first = k * (x.len() + y.len());
        compare(&ArmValues::of(noisy(x, first)), &ArmValues::of(noisy(y, first + x.len())), rules)
    };
    if x.len() > 1 || y.len() > 1 {
        return draw(0);
    }
    let mut draws: Vec<Result<Test, TiedRanks>> = (0..DRAWS).map(draw).collect();
    let tied = draws.iter().filter(|test| test.is_err()).count();
    let majority = draws.iter().position(|test| test.is_err() == (2 * tied > DRAWS));
    draws.swap_remove(majority.unwrap_or(0))
}

/// The values with normal scores added, from the score `first` on.
fn noisy(values: &[f64], first: usize) -> Vec<f64> {
    let deviation = values[0] * NOISE;
    let score = |k: usize| normal_isf(((k + 1) as f64 * GOLDEN).fract());
    // The mean of 0 is added because it turns a noise of -0 into 0.
    values.iter().enumerate().map(|(i, value)| value + (score(first + i) * deviation + 0.0)).collect()
}

fn decide(outcome: &mut MetricOutcome, test: &Test, settings: SharedSettings) {
    let ShiftEstimate { lower, upper, estimate } = test.interval;
    outcome.ratio = Some(Number(test.ratio));
    outcome.effect_size = Some(Number(test.effect_size));
    outcome.lower = Some(Number(lower));
    outcome.upper = Some(Number(upper));
    outcome.estimate = Some(Number(estimate));
    let limits = settings.rules.effect_size.limits();
    let bound = TOLERANCE * estimate.abs();
    let size = test.effect_size;
    let (rises, falls) = (|limit: f64| size.is_nan() || size >= limit, |limit: f64| size.is_nan() || size <= limit);
    let critical = if settings.direction != Direction::Decrease && lower > bound && rises(limits.allowed_increase) {
        outcome.classification = Classification::High;
        rises(limits.critical_increase)
    } else if settings.direction != Direction::Increase && upper < -bound && falls(limits.allowed_decrease) {
        outcome.classification = Classification::Low;
        falls(limits.critical_decrease)
    } else {
        return;
    };
    outcome.critical = settings.critical && critical;
    outcome.finding = Some(if outcome.critical { Finding::ClassifiedCritical } else { Finding::Classified });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(test: Result<Test, TiedRanks>) -> Classification {
        let mut outcome = MetricOutcome { classification: Classification::Pass, ..failed() };
        match test {
            Ok(test) => {
                decide(&mut outcome, &test, SharedSettings { direction: Direction::Either, critical: false, rules: Rules::default() })
            }
            Err(TiedRanks) => outcome.classification = Classification::Error,
        }
        outcome.classification
    }

    /// Random noise, as Kayenta adds it, from a generator that is small enough to need no crate.
    fn with_chance(values: &[f64], state: &mut u64) -> ArmValues {
        let mut unit = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((*state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        ArmValues::of(values.iter().map(|value| value + normal_isf(unit()) * (values[0] * NOISE)).collect())
    }

    #[test]
    fn what_fifty_runs_with_random_noise_agree_on_the_fixed_noise_gives() {
        let values = [5.0, 0.0, 100.0, 2e-6, 1.001, 2.5, 7.0, -3.0, 0.988, 1e9];
        let (rules, mut state, mut agreed, mut cases) = (Rules::default(), 1, 0, 0);
        for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b) {
            for (n, m) in [1, 3, 20].into_iter().flat_map(|n| [1, 3, 20].map(|m| (n, m))) {
                let (x, y) = (vec![a; n], vec![b; m]);
                let mut run = || verdict(compare(&with_chance(&x, &mut state), &with_chance(&y, &mut state), &rules));
                let first = run();
                cases += 1;
                if (1..50).all(|_| run() == first) {
                    agreed += 1;
                    assert_eq!(verdict(compare_constants(&x, &y, &rules)), first, "{n} times {a} against {m} times {b}");
                }
            }
        }
        assert!(agreed * 10 > cases * 9, "nearly all agree: {agreed} of {cases}");
    }
}
