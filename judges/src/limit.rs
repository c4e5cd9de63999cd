//! Threshold mode: what declared limits decide, with exact binomial bounds for ratios.

use crate::config::{Direction, Limits, Metric};
use crate::evidence::Buckets;
use crate::explain;
use crate::quantity;
use crate::scorecard::{Interval, Reason, Status, ThresholdNumbers};
use crate::stats::binomial::{RateBounds, clopper_pearson};

/// Share of the points that must be past a limit for a value to fail.
const POINTS_PAST: f64 = 0.6;
/// Fewest points past a limit for a value to fail, and fewest in all for it to pass.
const POINTS: usize = 3;

/// What threshold mode decided.
pub(crate) struct Decision {
    pub(crate) status: Status,
    pub(crate) reason: Reason,
    pub(crate) numbers: ThresholdNumbers,
    pub(crate) sentence: String,
}

pub(crate) fn present(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|v| v.is_finite()).collect()
}

pub(crate) fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

/// The limits in the metric's unit, `max_ratio` resolved against the baseline's level; a level of 0 has no multiples.
pub(crate) fn resolve(metric: &Metric, level: Option<f64>) -> (Option<f64>, Option<f64>) {
    let Limits { max, min, max_ratio, .. } = metric.limits;
    let multiple = max_ratio.zip(level.filter(|level| *level != 0.0));
    let (mut highest, mut lowest) = (max, min);
    if let Some((ratio, level)) = multiple {
        let above = level + (ratio - 1.0) * level.abs();
        let below = level - (1.0 - 1.0 / ratio) * level.abs();
        if metric.direction != Direction::Decrease {
            highest = Some(highest.map_or(above, |max| max.min(above)));
        }
        if metric.direction != Direction::Increase {
            lowest = Some(lowest.map_or(below, |min| min.max(below)));
        }
    }
    (highest, lowest)
}

/// A value: fails when most points are past a limit, passes when none is.
pub(crate) fn decide_value(metric: &Metric, canary: &[f64], level: Option<f64>) -> Decision {
    let (max, min) = resolve(metric, level);
    let n = canary.len();
    let past = canary.iter().filter(|v| max.is_some_and(|max| **v > max) || min.is_some_and(|min| **v < min)).count();
    let numbers = ThresholdNumbers { max, min, points_past: Some(past), points: Some(n), rate_interval: None };
    let declared = max.is_some() || min.is_some();
    let none = undeclared(metric);
    let needed = if n < POINTS { n } else { POINTS.max((POINTS_PAST * n as f64).ceil() as usize) };
    let limit = limit_words(metric, max, min, false);
    let verb = if past == 1 { "is" } else { "are" };
    let points = format!("{past} of {} {verb} past the limit ({limit})", explain::count(n as u64, "point"));
    let (status, reason, sentence) = if !declared {
        (Status::Inconclusive, Reason::InsufficientEvidence, none)
    } else if n > 0 && past >= needed {
        (Status::Regressed, Reason::Limit, points)
    } else if past == 0 && n >= POINTS {
        (Status::Pass, Reason::Limit, format!("all {n} points are within the limit ({limit})"))
    } else {
        (Status::Inconclusive, Reason::InsufficientEvidence, format!("{points}, which decides nothing"))
    };
    Decision { status, reason, numbers, sentence }
}

/// A ratio: fails when its rate's bound is past a limit, passes when the other bound is within it.
pub(crate) fn decide_ratio(metric: &Metric, events: f64, total: f64, level: Option<f64>) -> Decision {
    let (max, min) = resolve(metric, level);
    let bounds = clopper_pearson(events.min(total), total, 0.05).unwrap_or(RateBounds { low: 0.0, high: 1.0 });
    let rate_interval = Some(Interval { level: 0.9, low: Some(bounds.low), high: Some(bounds.high) });
    let numbers = ThresholdNumbers { max, min, points_past: None, points: None, rate_interval };
    let limit = limit_words(metric, max, min, true);
    let seen = format!("{} of {}", quantity::number(events), explain::count(total.round() as u64, "request"));
    let between = format!("the rate lies between {} and {}", explain::rate(bounds.low), explain::rate(bounds.high));
    let past = max.is_some_and(|max| bounds.low > max) || min.is_some_and(|min| bounds.high < min);
    let within = max.is_none_or(|max| bounds.high <= max) && min.is_none_or(|min| bounds.low >= min);
    let (status, reason, sentence) = if max.is_none() && min.is_none() {
        (Status::Inconclusive, Reason::InsufficientEvidence, undeclared(metric))
    } else if past {
        (Status::Regressed, Reason::Limit, format!("{seen}: {between}, past the limit ({limit})"))
    } else if within {
        (Status::Pass, Reason::Limit, format!("{seen}: {between}, within the limit ({limit})"))
    } else {
        (Status::Inconclusive, Reason::InsufficientEvidence, format!("{seen}: {between}, on both sides of the limit ({limit})"))
    };
    Decision { status, reason, numbers, sentence }
}

/// What a canary is past and the baseline as well convicts nobody.
pub(crate) fn unless_of_both(decision: Decision, of_baseline: impl FnOnce() -> Decision) -> Decision {
    if decision.status != Status::Regressed || of_baseline().status != Status::Regressed {
        return decision;
    }
    let sentence = format!("{}; so is the baseline, which decides nothing", decision.sentence);
    Decision { status: Status::Inconclusive, reason: Reason::InsufficientEvidence, sentence, ..decision }
}

/// A distribution: fails where the bound of a share is past a limit of its, passes where the other bound of every one is within.
///
/// A quantile is past its limit where more than its share of requests are slower than the first bucket bound at or above it, and within
/// it where fewer are slower than the last bound at or below it.
pub(crate) fn decide_distribution(metric: &Metric, canary: &Buckets) -> Decision {
    let limits = metric.limits.of_distributions();
    let sums = canary.sums();
    let total = sum(&sums);
    let numbers = |bounds: Option<RateBounds>| ThresholdNumbers {
        max: None,
        min: None,
        points_past: None,
        points: None,
        rate_interval: bounds.map(|bounds| Interval { level: 0.9, low: Some(bounds.low), high: Some(bounds.high) }),
    };
    let open = |sentence: String| Decision {
        status: Status::Inconclusive,
        reason: Reason::InsufficientEvidence,
        numbers: numbers(None),
        sentence,
    };
    if limits.is_empty() {
        return open("no limit is declared for it".to_owned());
    }
    let of_bound = |j: Option<usize>| {
        let slower = j.map_or(total, |j| sums.iter().skip(j + 1).sum::<f64>());
        clopper_pearson(slower.min(total), total, 0.05).unwrap_or(RateBounds { low: 0.0, high: 1.0 })
    };
    let tolerant = 1.0 + 1e-9;
    let (mut within, mut shown) = (true, None);
    for (name, value, share) in &limits {
        let at_or_above = canary.bounds().partition_point(|bound| *bound * tolerant < *value);
        let at_or_below = canary.bounds().partition_point(|bound| *bound <= *value * tolerant).checked_sub(1);
        let above = if at_or_above < canary.bounds().len() { of_bound(Some(at_or_above)) } else { RateBounds { low: 0.0, high: 1.0 } };
        let words = |bounds: RateBounds, at: Option<usize>| {
            let at = at.and_then(|j| canary.bounds().get(j)).copied().unwrap_or(0.0);
            let limit = distribution_limit_words(metric, (name, *value, *share));
            format!(
                "between {} and {} of requests are slower than {} (limit: {limit})",
                explain::rate(bounds.low),
                explain::rate(bounds.high),
                explain::quantity(metric, at)
            )
        };
        if total > 0.0 && above.low > *share {
            return Decision {
                status: Status::Regressed,
                reason: Reason::Limit,
                numbers: numbers(Some(above)),
                sentence: words(above, Some(at_or_above)),
            };
        }
        let below = of_bound(at_or_below);
        if below.high > *share {
            if within {
                shown = Some(words(below, at_or_below));
            }
            within = false;
        } else {
            shown.get_or_insert_with(|| words(below, at_or_below));
        }
    }
    let sentence = shown.unwrap_or_default();
    if within && total > 0.0 {
        return Decision { status: Status::Pass, reason: Reason::Limit, numbers: numbers(None), sentence };
    }
    open(format!("{sentence}, which decides nothing"))
}

/// A limit of a distribution, as [`Limits::of_distributions`] has it: `p95 at most 400 ms`.
pub(crate) fn distribution_limit_words(metric: &Metric, (name, value, share): (&str, f64, f64)) -> String {
    let value = explain::quantity(metric, value);
    if name == "share" { format!("at most {} slower than {value}", explain::rate(share)) } else { format!("{name} at most {value}") }
}

fn undeclared(metric: &Metric) -> String {
    match metric.limits.max_ratio {
        Some(_) => "max_ratio is no limit where the baseline is 0; declare limits.max too".to_owned(),
        None => "no limit is declared for it".to_owned(),
    }
}

pub(crate) fn limit_words(metric: &Metric, max: Option<f64>, min: Option<f64>, counted: bool) -> String {
    let shown = |value: f64| if counted { explain::rate(value) } else { explain::quantity(metric, value) };
    match (max, min) {
        (Some(max), Some(min)) => format!("{} to {}", shown(min), shown(max)),
        (Some(max), None) => format!("at most {}", shown(max)),
        (None, Some(min)) => format!("at least {}", shown(min)),
        (None, None) => "none".to_owned(),
    }
}
