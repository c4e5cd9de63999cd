//! What would settle a metric that this judgement could not: more time, a larger share, synthetic requests, a declared limit.

use crate::config::Metric;
use crate::explain;
use crate::scorecard::Remedy;
use crate::stats::Z_95;
use crate::stats::power::{requests_for_lower_bound, requests_for_upper_bound};

/// Most requests that are worth proposing.
const MOST_REQUESTS: f64 = 1e8;
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

/// For a shift that a spread between fresh instances may explain, of which the past has not enough to tell.
pub(crate) fn for_fresh_instances(metric: &Metric) -> Remedy {
    let sentence = format!(
        "run the canary's instances on the old version for 30 minutes before the next release, so that their own spread of `{}` is known",
        metric.name
    );
    Remedy::Configure { sentence }
}

fn extend(seconds: f64, why: &str) -> Remedy {
    let minutes = (seconds / 60.0).ceil().clamp(1.0, 1e9) as u64;
    Remedy::Extend { minutes, sentence: format!("observe {} longer, {why}", explain::count(minutes, "minute")) }
}

/// The traffic that a ratio or a distribution saw, and what a pass asks for. Rates are in the reading in which the ratio is judged.
#[derive(Debug, Clone)]
pub(crate) struct RatioTraffic {
    pub(crate) canary_total: f64,
    /// Rate of the canary as the metric reports it.
    pub(crate) canary_rate: f64,
    pub(crate) baseline_total: f64,
    /// Variances of one request of the canary, were it as much worse as must be excluded, and of the baseline.
    pub(crate) variances: (f64, f64),
    /// How much further from the shift seen the shift that must be excluded lies; not above 0 where more of the same would not exclude it.
    pub(crate) room: f64,
    /// How much more than independent requests the events vary.
    pub(crate) inflation: f64,
    /// What enough requests would do, such as `exclude a rate of 2 %`.
    pub(crate) would: String,
    /// Whether a rise is worse.
    pub(crate) rises: bool,
    /// The declared limit on the worse side.
    pub(crate) limit: Option<f64>,
    pub(crate) observed_seconds: f64,
    /// Intervals that lack for any pass.
    pub(crate) missing_intervals: usize,
    pub(crate) step_seconds: f64,
}

/// What so many canary requests would do.
struct RequestsAdvice {
    requests: f64,
    would: String,
}

impl RatioTraffic {
    /// Largest variance of the difference of the rates at which the shift is excluded; `None` where none is small enough.
    fn variance_allowed(&self) -> Option<f64> {
        (self.room > 0.0).then(|| (self.room / Z_95).powi(2) / self.inflation.max(1.0))
    }

    fn excludes(&self, requests: f64) -> RequestsAdvice {
        RequestsAdvice { requests, would: self.would.clone() }
    }

    /// The cheaper of excluding the shift and of settling the declared limit, which the canary's requests alone decide.
    fn cheaper(&self, excluding: Option<f64>, least: u64) -> Option<RequestsAdvice> {
        let limit = self.limit.and_then(|limit| {
            let requests = if self.rises {
                requests_for_upper_bound(self.canary_rate, limit)
            } else {
                requests_for_lower_bound(self.canary_rate, limit)
            };
            Some(RequestsAdvice { requests: requests? as f64, would: format!("settle the limit of {}", explain::rate(limit)) })
        });
        let excluding = excluding.map(|requests| self.excludes(requests.max(least as f64)));
        [excluding, limit]
            .into_iter()
            .flatten()
            .min_by(|a, b| a.requests.total_cmp(&b.requests))
            .filter(|one| one.requests > self.canary_total)
    }

    /// Canary requests with which, the baseline growing alike, the shift would be excluded.
    fn at_the_current_rate(&self) -> Option<f64> {
        let allowed = self.variance_allowed()?;
        let over = |variance: f64, total: f64| if total > 0.0 { variance / total } else { f64::INFINITY };
        let growth = (over(self.variances.0, self.canary_total) + over(self.variances.1, self.baseline_total)) / allowed;
        Some(growth.max(1.0) * self.canary_total).filter(|requests| requests.is_finite())
    }

    /// Share of the traffic with which the same requests in all would exclude it: the smaller root of
    /// `a / (f N) + b / ((1 - f) N) = allowed`. More than half would leave the baseline with less than the canary.
    fn share(&self, least: u64) -> Option<f64> {
        let all = self.canary_total + self.baseline_total;
        let scaled = self.variance_allowed()? * all;
        let (a, b) = self.variances;
        let middle = scaled + a - b;
        let root = middle * middle - 4.0 * scaled * a;
        if root < 0.0 || scaled <= 0.0 {
            return None;
        }
        let share = ((middle - root.sqrt()) / (2.0 * scaled)).max(least as f64 / all);
        // Rounded up to whole per cent, so that the share named is enough.
        let share = (100.0 * share).ceil() / 100.0;
        (share > self.canary_total / all && share <= 0.5).then_some(share)
    }

    /// Canary requests with which the shift would be excluded, the baseline's being what they are.
    fn alone(&self) -> Option<f64> {
        // Of a baseline without requests nothing is known, whatever the canary has.
        let left = self.variance_allowed().filter(|_| self.baseline_total > 0.0)? - self.variances.1 / self.baseline_total.max(1.0);
        (left > 0.0).then(|| self.variances.0 / left)
    }
}

/// Remedies for a ratio: the requests that would exclude what must be excluded for a pass, or that bring the rate's bound within the
/// limit. Each in closed form, however large the traffic.
pub(crate) fn for_ratio(metric: &Metric, traffic: &RatioTraffic) -> Vec<Remedy> {
    let condition = if traffic.rises { "if they fail no more often" } else { "at the rate seen so far" };
    let mut remedies = by_requests(metric, traffic, condition);
    if metric.limits.is_empty() {
        let field = if traffic.rises { "max" } else { "min" };
        let sentence = format!("declare limits.{field} for `{}`, so that the canary's own requests can decide it", metric.name);
        remedies.push(Remedy::Configure { sentence });
    }
    remedies
}

/// Remedies for a distribution, of whose questions all must be settled: what the one that takes most requests takes.
pub(crate) fn for_distribution(metric: &Metric, questions: &[RatioTraffic]) -> Vec<Remedy> {
    let needed = |one: &RatioTraffic| one.at_the_current_rate().unwrap_or(f64::INFINITY);
    let most = questions.iter().max_by(|a, b| needed(a).total_cmp(&needed(b)));
    let mut remedies = most.map(|most| by_requests(metric, most, "if they are as fast")).unwrap_or_default();
    if metric.limits.is_empty() {
        let sentence = format!("declare a limit such as limits.p95 for `{}`, so that the canary's own requests can decide it", metric.name);
        remedies.push(Remedy::Configure { sentence });
    }
    remedies
}

fn by_requests(metric: &Metric, traffic: &RatioTraffic, condition: &str) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let mut late = None;
    if traffic.missing_intervals > 0 {
        remedies.push(extend(traffic.missing_intervals as f64 * traffic.step_seconds, "for the intervals that are missing"));
    }
    if traffic.canary_total > 0.0 {
        if let Some(needed) = traffic.cheaper(traffic.at_the_current_rate(), metric.min_requests) {
            let growth = needed.requests / traffic.canary_total;
            let requests = explain::count(needed.requests.ceil() as u64, "canary request");
            let sentence = format!("at the current rate; {requests} would {}, {} were seen", needed.would, traffic.canary_total.round());
            let remedy = extend((growth - 1.0) * traffic.observed_seconds, &sentence);
            if growth <= SHORT_EXTENSION {
                remedies.push(remedy);
            } else if growth <= LONGEST_EXTENSION {
                late = Some(remedy);
            }
        }
        if let Some(share) = traffic.share(metric.min_requests) {
            let requests = (share * (traffic.canary_total + traffic.baseline_total)).round();
            let sentence = format!(
                "raise the canary's share to {} %: {requests} requests in the same time would {}",
                (100.0 * share).round(),
                traffic.excludes(requests).would
            );
            remedies.push(Remedy::RaiseShare { share, sentence });
        }
    }
    if let Some(needed) = traffic.cheaper(traffic.alone(), metric.min_requests).filter(|needed| needed.requests < MOST_REQUESTS) {
        let all = needed.requests.ceil();
        let requests = (all - traffic.canary_total).ceil().max(1.0) as u64;
        let synthetic = explain::count(requests, "synthetic request");
        let sentence = format!("send the canary {synthetic}: {all} in all would {} {condition}", needed.would);
        remedies.push(Remedy::SendRequests { requests, sentence });
    }
    remedies.extend(late);
    remedies
}
