//! What would settle a metric that this judgement could not: more time, a larger share, synthetic requests, a declared limit.

use crate::config::Metric;
use crate::explain;
use crate::scorecard::Remedy;
use crate::stats::binomial::conditional_power;
use crate::stats::power::{requests_for_lower_bound, requests_for_power, requests_for_upper_bound};

/// Fewest events of the worse arm for a regression, without which the test has no power either.
pub(crate) const LEAST_EVENTS: u64 = 4;
/// Longest extension that is proposed, as a multiple of what was observed.
const LONGEST_EXTENSION: f64 = 50.0;
/// Extensions up to this multiple of what was observed are proposed first.
const SHORT_EXTENSION: f64 = 8.0;

/// Remedies for a value metric: so many times the points are needed, or a limit.
pub(crate) fn for_values(metric: &Metric, growth: f64, observed_seconds: f64, step_seconds: f64) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    if growth.is_finite() && growth <= LONGEST_EXTENSION {
        remedies.push(extend(((growth - 1.0) * observed_seconds).max(step_seconds), "at the current rate"));
    }
    if metric.limits.is_empty() {
        remedies.push(Remedy::Configure { sentence: format!("declare limits for `{}`, so that little data can decide it", metric.name) });
    }
    remedies
}

/// Remedies for too few points: the missing ones, at the step.
pub(crate) fn for_points(metric: &Metric, missing: usize, step_seconds: f64) -> Vec<Remedy> {
    let mut remedies = vec![extend(missing as f64 * step_seconds, "for the points that are missing")];
    if metric.limits.is_empty() {
        remedies.push(Remedy::Configure { sentence: format!("declare limits for `{}`, so that little data can decide it", metric.name) });
    }
    remedies
}

fn extend(seconds: f64, why: &str) -> Remedy {
    let minutes = (seconds / 60.0).ceil().clamp(1.0, 1e9) as u64;
    Remedy::Extend { minutes, sentence: format!("observe {} longer, {why}", explain::count(minutes, "minute")) }
}

/// The traffic that a ratio saw, and what its guard asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RatioTraffic {
    pub(crate) canary_total: f64,
    pub(crate) canary_rate: f64,
    pub(crate) baseline_total: f64,
    pub(crate) baseline_rate: f64,
    /// Rate of the regression that must be detectable.
    pub(crate) regressed_rate: f64,
    /// Whether a rise is worse.
    pub(crate) rises: bool,
    /// The declared limit on the worse side.
    pub(crate) limit: Option<f64>,
    pub(crate) observed_seconds: f64,
}

impl RatioTraffic {
    /// Power to find the regression with so many requests in each arm.
    pub(crate) fn power(&self, canary_total: u64, baseline_total: u64) -> f64 {
        let (canary, baseline) = ((canary_total, self.regressed_rate), (baseline_total, self.baseline_rate));
        let (worse, better) = if self.rises { (canary, baseline) } else { (baseline, canary) };
        conditional_power(worse, better, 0.05, LEAST_EVENTS)
    }

    /// Requests that bring the bound of the canary's rate within the limit.
    fn for_limit(&self) -> Option<u64> {
        let limit = self.limit?;
        if self.rises { requests_for_upper_bound(self.canary_rate, limit) } else { requests_for_lower_bound(self.canary_rate, limit) }
    }
}

/// A number of canary requests, and what it would do.
struct Needed {
    requests: u64,
    would: String,
}

/// Remedies for a ratio: the requests that give the exact test its power, or that bring the rate's bound within the limit.
pub(crate) fn for_ratio(metric: &Metric, traffic: &RatioTraffic) -> Vec<Remedy> {
    let seen = traffic.canary_total.round().max(0.0) as u64;
    let baseline_seen = traffic.baseline_total.round().max(0.0) as u64;
    // The limit alone decides in threshold mode, whatever the baseline saw.
    let by_limit = traffic.for_limit().zip(traffic.limit);
    let needed = |most: u64, baseline: &dyn Fn(u64) -> u64| {
        let by_power = requests_for_power(most, |requests| traffic.power(requests, baseline(requests))).map(|n| n.max(metric.min_requests));
        let show = || format!("show a change to {}", explain::rate(traffic.regressed_rate));
        match (by_power, by_limit) {
            (Some(power), Some((requests, limit))) if requests < power => {
                Some(Needed { requests, would: format!("settle the limit of {}", explain::rate(limit)) })
            }
            (Some(requests), _) => Some(Needed { requests, would: show() }),
            (None, Some((requests, limit))) => Some(Needed { requests, would: format!("settle the limit of {}", explain::rate(limit)) }),
            (None, None) => None,
        }
        .filter(|needed| needed.requests > seen)
    };
    let mut remedies = Vec::new();
    let mut late = None;
    if seen > 0 {
        let per_canary = traffic.baseline_total / traffic.canary_total;
        if let Some(needed) = needed(u64::MAX, &|requests| (requests as f64 * per_canary).round() as u64) {
            let growth = needed.requests as f64 / traffic.canary_total;
            let requests = explain::count(needed.requests, "canary request");
            let sentence = format!("at the current rate; {requests} would {}, {seen} were seen", needed.would);
            let remedy = extend((growth - 1.0) * traffic.observed_seconds, &sentence);
            if growth <= SHORT_EXTENSION {
                remedies.push(remedy);
            } else if growth <= LONGEST_EXTENSION {
                late = Some(remedy);
            }
        }
        let both = seen + baseline_seen;
        // More than half would leave the baseline with less than the canary.
        if let Some(needed) = needed(both / 2, &|requests| both - requests.min(both)).filter(|needed| needed.requests <= both / 2) {
            // Rounded up to whole per cent, so that the share named is enough.
            let percent = (needed.requests as f64 / both as f64 * 100.0).ceil();
            let sentence =
                format!("raise the canary's share to {percent} %: {} requests in the same time would {}", needed.requests, needed.would);
            remedies.push(Remedy::RaiseShare { share: percent / 100.0, sentence });
        }
    }
    if let Some(needed) = needed(u64::MAX, &|_| baseline_seen) {
        let requests = needed.requests - seen;
        let synthetic = explain::count(requests, "synthetic request");
        let condition = if traffic.rises { "if none of them fails" } else { "at the rate seen so far" };
        let sentence = format!("send the canary {synthetic}: {} in all would {} {condition}", needed.requests, needed.would);
        remedies.push(Remedy::SendRequests { requests, sentence });
    }
    remedies.extend(late);
    if metric.limits.is_empty() {
        let field = if traffic.rises { "max" } else { "min" };
        let sentence = format!("declare limits.{field} for `{}`, so that the canary's own requests can decide it", metric.name);
        remedies.push(Remedy::Configure { sentence });
    }
    remedies
}
