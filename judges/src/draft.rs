//! A metric's result while it is being made, and what data quality alone decides.

use crate::config::Metric;
use crate::explain;
use crate::quality::{self, CleanMetric, Unjudged};
use crate::scorecard::{Coverage, Examiner, Guard, GuardFinding, MetricResult, Mode, Reason, Status};

/// A result under way.
pub(crate) struct ResultDraft {
    pub(crate) result: MetricResult,
    /// The canary reports clearly less often than the baseline.
    asymmetric: bool,
    /// Shares of the intervals in which baseline and canary were seen.
    seen: (f64, f64),
    /// An arm has too few points for its level to be judged.
    lacks_data: bool,
}

impl ResultDraft {
    /// The result of what cannot be judged at all.
    pub(crate) fn unjudged(metric: &Metric, why: &Unjudged) -> MetricResult {
        let mut draft = Self::blank(metric);
        match why {
            Unjudged::Failed(failure) => {
                let reason = match failure.reason.as_str() {
                    "deadline" => Reason::Deadline,
                    "partial" => Reason::Partial,
                    "same_query" => Reason::SameQuery,
                    _ => Reason::Fetch,
                };
                let sentence = format!("the {}'s samples could not be had: {}", failure.arm, failure.message);
                draft.decide(Status::Error, reason, Mode::None, sentence);
            }
            Unjudged::Bounds(message) => draft.decide(Status::NoData, Reason::NoSharedBound, Mode::None, message.clone()),
            Unjudged::Mismatch(message) => draft.decide(Status::Error, Reason::Mismatch, Mode::None, message.clone()),
        }
        draft.result
    }

    /// The result of a metric that was not judged by the deadline of whoever asked.
    pub(crate) fn late(metric: &Metric) -> MetricResult {
        let mut draft = Self::blank(metric);
        let sentence = "was not judged by the request's deadline; give the request more time, or judge fewer metrics, instances or points";
        draft.decide(Status::Error, Reason::Deadline, Mode::None, sentence.to_owned());
        draft.result
    }

    fn blank(metric: &Metric) -> Self {
        Self { result: blank(metric), asymmetric: false, seen: (1.0, 1.0), lacks_data: false }
    }

    /// Starts a result; `units` is what its units are to be warned of. What is silent throughout comes back closed.
    pub(crate) fn of(metric: &Metric, cleaned: &CleanMetric, units: &[String]) -> Result<Self, Box<MetricResult>> {
        let mut draft = Self::blank(metric);
        let (baseline, canary) = (cleaned.baseline.coverage, cleaned.canary.coverage);
        draft.result.baseline_coverage = baseline;
        draft.result.canary_coverage = canary;
        draft.result.canary_times = cleaned.scaled;
        draft.result.warnings.extend(cleaned.warnings.iter().chain(units).cloned());
        let expected = cleaned.baseline.reports() && !metric.may_be_absent && !cleaned.up_at_other_step;
        if cleaned.canary.seen == 0.0 && canary.infinite == 0 && expected {
            let sentence = format!("is reported by the baseline ({}) and not at all by the canary", points(baseline));
            draft.decide(Status::Regressed, Reason::Silent, Mode::None, sentence);
            draft.result.examiner = Examiner::Silence;
            return Err(Box::new(draft.result));
        }
        draft.seen = (cleaned.baseline.seen, cleaned.canary.seen);
        draft.asymmetric = !metric.may_be_absent && cleaned.baseline.seen - cleaned.canary.seen > quality::ASYMMETRY + 1e-12;
        if baseline.fraction < quality::ENOUGH || canary.fraction < quality::ENOUGH {
            let infinite = baseline.infinite + canary.infinite;
            let rest = if infinite > 0 { format!("; {infinite} are infinite or too large to be judged") } else { String::new() };
            let unseen = cleaned.canary.seen > canary.fraction || cleaned.baseline.seen > baseline.fraction;
            let hint = if unseen { "; requests were reported without events: set absent_means_zero if that means none" } else { "" };
            let sentence = format!("too few points: the baseline has {}, the canary {}{rest}{hint}", points(baseline), points(canary));
            draft.decide(Status::NoData, Reason::LowCoverage, Mode::None, sentence);
            draft.lacks_data = true;
        }
        Ok(draft)
    }

    /// Whether an arm has too few points for its level to be judged; what there is may speak all the same.
    pub(crate) fn lacks_data(&self) -> bool {
        self.lacks_data
    }

    pub(crate) fn decide(&mut self, status: Status, reason: Reason, mode: Mode, sentence: String) {
        self.result.status = status;
        self.result.reason = reason;
        self.result.mode = mode;
        self.result.sentence = sentence;
    }

    pub(crate) fn guard(&mut self, guard: Guard, sentence: String) {
        self.result.guards.push(GuardFinding { guard, sentence });
    }

    /// Ends the result. A canary that reports clearly less often than the baseline is suspect at least.
    pub(crate) fn close(mut self) -> MetricResult {
        if self.asymmetric && !matches!(self.result.status, Status::Regressed | Status::Suspect) {
            let (baseline, canary) = (self.result.baseline_coverage, self.result.canary_coverage);
            // Intervals that are there without any request are no gaps.
            let sentence = if canary.fraction > self.seen.1 || baseline.fraction > self.seen.0 {
                let shares = (explain::rate(self.seen.1), explain::rate(self.seen.0));
                format!("the canary has requests in {} of its intervals, the baseline in {}", shares.0, shares.1)
            } else {
                format!("the canary reports {}, the baseline {}", points(canary), points(baseline))
            };
            self.result.warnings.push(format!("without that the metric would be {}: {}", self.result.status, self.result.sentence));
            let mode = self.result.mode;
            self.decide(Status::Suspect, Reason::DataAsymmetry, mode, sentence);
            self.result.examiner = Examiner::Silence;
        }
        self.result
    }
}

fn points(coverage: Coverage) -> String {
    if coverage.expected == 0 {
        "none".to_owned()
    } else {
        format!("{} of {}", coverage.present, explain::count(coverage.expected as u64, "point"))
    }
}

/// The result of a metric of which nothing is known yet: an error.
pub(crate) fn blank(metric: &Metric) -> MetricResult {
    MetricResult {
        name: metric.name.clone(),
        kind: metric.kind,
        unit: metric.unit.clone(),
        per: metric.per,
        traffic: metric.traffic,
        canary_times: None,
        direction: metric.direction,
        groups: metric.group_names().into_iter().map(str::to_owned).collect(),
        critical: metric.critical,
        muted: metric.muted,
        optional: metric.optional,
        status: Status::Error,
        reason: Reason::Fetch,
        mode: Mode::None,
        examiner: Examiner::Level,
        sentence: String::new(),
        findings: Vec::new(),
        baseline_coverage: Coverage::default(),
        canary_coverage: Coverage::default(),
        numbers: None,
        counts: None,
        events: None,
        distribution: None,
        limit: None,
        history: None,
        trend: None,
        worst_instance: None,
        threshold: None,
        guards: Vec::new(),
        remedies: Vec::new(),
        warnings: Vec::new(),
        aca: None,
    }
}
