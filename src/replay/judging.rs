//! One recorded canary under one judge and config: the small result that everything printed afterwards follows from.

use haldane_judges::config::{CheckedConfig, Direction, Kind};
use haldane_judges::evidence::Looks;
use haldane_judges::scorecard::{AppliedLimit, Examiner, Judgement, MetricResult, Mode, Status, Verdict};
use haldane_judges::stats::Sample;
use haldane_judges::stats::mann_whitney::mann_whitney;

use super::case::{Case, CaseMetric, Label, numbers};
use super::result::{CaseJudgement, Detection, FOUND_WITHIN_MINUTES, JudgedMetric};
use super::rule::Rule;

/// Largest exceedance that is told from others; what is worse counts as this.
pub(super) const WORST: f64 = 1e6;
/// Two-sided level of the plain test, as in Kayenta's default.
const PLAIN_LEVEL: f64 = 0.02;

/// A judge with the config that it judges by; without one, that which follows from each case's roles.
#[derive(Debug, Clone)]
pub struct Column {
    /// What judges.
    pub rule: Rule,
    /// How it is called in the output.
    pub name: String,
    /// What it judges by.
    pub config: Option<CheckedConfig>,
}

impl Column {
    /// A judge by the config that follows from each case.
    #[must_use]
    pub fn derived(rule: Rule) -> Self {
        Self { rule, name: rule.to_string(), config: None }
    }

    /// A judge by a config of one's own.
    ///
    /// # Errors
    /// When this judge refuses the config.
    pub fn by(rule: Rule, name: String, config: &CheckedConfig) -> Result<Self, String> {
        rule.config(config.clone().into_inner()).map(|config| Self { rule, name, config: Some(config) })
    }
}

/// Fewest points of such a window: with fewer no judge decides anything.
const FOUND_WITHIN_MIN_POINTS: usize = 3;

/// Judges a case under a column.
pub(super) fn judge(case: &Case, column: &Column, looks: Option<u32>) -> Result<CaseJudgement, String> {
    let config = match &column.config {
        Some(config) => config,
        None => &case.derived_config(column.rule)?,
    };
    if !config.metrics.iter().any(|metric| case.metrics.iter().any(|recorded| recorded.name == metric.name)) {
        return Err(format!("metrics: none of those of config `{}` is recorded; are the names the same?", config.name));
    }
    let mut judged = once(case, column.rule, config, None);
    if case.label == Some(Label::Regressed) {
        judged.found_within = FOUND_WITHIN_MINUTES.map(|minutes| {
            let points = (f64::from(minutes) * 60.0 / case.step_seconds).round() as usize;
            let all = case.points();
            if points < FOUND_WITHIN_MIN_POINTS || points > all {
                return None;
            }
            let seen = case.first(points as f64 / all as f64)?;
            Some(Detection::of(&once(&seen, column.rule, config, None)))
        });
    }
    if let Some(looks) = looks {
        let failed = |look: &u32| {
            case.at_look(*look, looks).is_some_and(|seen| {
                let plan = Looks { look: *look, looks, early_pass: false };
                once(&seen, column.rule, config, Some(plan)).verdict == Verdict::Fail
            })
        };
        judged.first_failed_look = (1..=looks).find(failed);
    }
    Ok(judged)
}

fn once(case: &Case, rule: Rule, config: &CheckedConfig, looks: Option<Looks>) -> CaseJudgement {
    if rule == Rule::MannWhitney {
        return plain_test(case, config);
    }
    let mut evidence = case.evidence(config, rule.is_full());
    evidence.looks = looks.or(evidence.looks);
    let Judgement { verdict, would_be, score, metrics, .. } = haldane_judges::judge(rule.judge(), config, &evidence);
    let metrics = metrics.into_iter().map(|metric| judged_metric(case, metric)).collect();
    CaseJudgement { verdict: would_be.unwrap_or(verdict), score, first_failed_look: None, found_within: [None; 3], metrics }
}

fn affected(case: &Case, name: &str) -> Option<bool> {
    case.affected_metrics.as_ref().map(|affected| affected.iter().any(|affected| affected == name))
}

fn judged_metric(case: &Case, metric: MetricResult) -> JudgedMetric {
    let exceedance = exceedance(&metric);
    let numbers = metric.numbers.as_ref();
    let (counts, history) = (metric.counts.as_ref(), metric.history.as_ref());
    let aca = metric.aca.as_ref();
    let points = points(&metric);
    // Of counts it is that of deviates, which has no unit.
    let spread = history.and_then(|history| history.spread).filter(|_| counts.is_none() && metric.distribution.is_none());
    let aca_shift = aca.and_then(|aca| aca.ratio).map(|ratio| ratio.0 - 1.0).filter(|shift| shift.is_finite());
    JudgedMetric {
        recorded: is_recorded(case, &metric.name),
        muted: metric.muted,
        affected: affected(case, &metric.name),
        status: metric.status,
        reason: aca.map_or_else(|| metric.reason.to_string(), |aca| aca.classification.to_string()),
        shift: numbers.and_then(|n| n.relative_shift).or(counts.and_then(|c| c.relative_shift)).or(aca_shift),
        limit: metric.limit.as_ref().map(|limit| relative_limit(&metric, limit)).filter(|limit| limit.is_finite()),
        limit_points: points.zip(absolute_limit(&metric)).map(|(points, limit)| points * limit).filter(|limit| limit.is_finite()),
        exceedance: if exceedance.is_nan() { 0.0 } else { exceedance.clamp(0.0, WORST) },
        p: numbers.map(|n| n.p).or(counts.map(|c| c.p_looks.unwrap_or(c.p))).or(metric.events.as_ref().map(|e| e.p)),
        shift_in_noise: numbers.and_then(|n| n.shift_in_noise),
        history_windows: history.map(|history| history.windows),
        history_spread: spread.filter(|_| points.is_none()),
        history_points: points.zip(spread).map(|(points, spread)| points * spread),
        sentence: crate::report::format::clean(&metric.sentence),
        name: metric.name,
    }
}

fn is_recorded(case: &Case, name: &str) -> bool {
    case.metrics.iter().any(|recorded| recorded.name == name)
}

/// Percentage points that 1 is in the unit of a ratio; `None` for values. Counts are fractions whatever the unit says.
fn points(metric: &MetricResult) -> Option<f64> {
    let in_percent = metric.counts.is_none() && matches!(metric.unit.as_deref(), Some("percent" | "%"));
    (metric.kind == Kind::Ratio).then_some(if in_percent { 1.0 } else { 100.0 })
}

/// The relative shift from which a metric is regressed: the tolerance, or what proves it where that is more.
fn relative_limit(metric: &MetricResult, limit: &AppliedLimit) -> f64 {
    let proved = limit.proved_from.filter(|_| metric.kind != Kind::Ratio);
    proved.into_iter().fold(limit.relative, f64::max)
}

/// The shift that a metric's limits come to in its unit: the larger of the absolute one and the relative one of its level.
fn absolute_limit(metric: &MetricResult) -> Option<f64> {
    let limit = metric.limit.as_ref()?;
    let level = match (&metric.numbers, &metric.counts) {
        (Some(numbers), _) => numbers.level,
        (None, Some(counts)) => counts.baseline.rate.min(1.0 - counts.baseline.rate).max(0.0),
        (None, None) => 0.0,
    };
    let proved = limit.proved_from.filter(|_| metric.kind == Kind::Ratio).unwrap_or(0.0);
    Some(limit.absolute.max(proved).max(if level > 0.0 { limit.relative * level } else { 0.0 }))
}

/// How far beyond its limit a metric is. One that fails a necessary condition (the test, the noise, the absolute tolerance) stays
/// below 1 however large its shift, so that ranking by it agrees with the decision.
fn exceedance(metric: &MetricResult) -> f64 {
    let flagged = metric.status == Status::Regressed;
    if let Some(aca) = &metric.aca {
        let size = aca.ratio.map_or(0.0, |ratio| ratio.0.ln().abs());
        // Both means need be above 0 for a ratio; where one is not, the shift is as large as any.
        return if !flagged {
            0.0
        } else if size.is_finite() {
            1.0 + size
        } else {
            WORST
        };
    }
    let from_limit = metric.times_its_tolerance().map(|times| {
        let proved_from = metric.limit.as_ref().and_then(|limit| limit.proved_from).filter(|from| *from > 0.0);
        // The estimate must reach what proves it as well.
        metric.numbers.as_ref().zip(proved_from).map_or(times, |(numbers, from)| times.min(numbers.effect / from))
    });
    let from_points = metric.threshold.as_ref().and_then(|threshold| {
        let (past, points) = (threshold.points_past?, threshold.points?);
        (points > 0).then(|| past as f64 / points as f64)
    });
    let size = from_limit.or(from_points);
    // Silent, for instance, or past a declared limit: no tolerance would excuse that.
    let by_shift = metric.examiner == Examiner::Level && metric.mode != Mode::Threshold;
    match (flagged, size.filter(|_| by_shift || !flagged)) {
        (true, Some(size)) => 1.0 + size.max(0.0),
        (true, None) => WORST,
        (false, size) => size.unwrap_or(0.0).clamp(0.0, 1.0),
    }
}

/// The plain test on each metric that is not muted; any that is significant in the worse direction fails the canary.
fn plain_test(case: &Case, config: &CheckedConfig) -> CaseJudgement {
    let metric = |metric: &haldane_judges::config::Metric| {
        let recorded = case.metrics.iter().find(|recorded| recorded.name == metric.name);
        let arms = recorded.and_then(|recorded| samples(recorded).ok());
        let (status, p, exceedance) = arms.map_or((Status::NoData, None, 0.0), |(baseline, canary)| {
            let test = mann_whitney(&canary, &baseline);
            let (p, z) = match metric.direction {
                Direction::Increase => (2.0 * test.p.greater, test.z),
                Direction::Decrease => (2.0 * test.p.less, -test.z),
                Direction::Either => (test.p.two_sided, test.z.abs()),
            };
            let status = if p <= PLAIN_LEVEL { Status::Regressed } else { Status::Pass };
            (status, Some(p.min(1.0)), z.clamp(0.0, WORST))
        });
        JudgedMetric {
            name: metric.name.clone(),
            recorded: recorded.is_some(),
            muted: metric.muted,
            affected: affected(case, &metric.name),
            status,
            reason: if arms_are_missing(status) { "missing_data" } else { "test" }.to_owned(),
            shift: None,
            limit: None,
            limit_points: None,
            exceedance,
            p,
            shift_in_noise: None,
            history_windows: None,
            history_spread: None,
            history_points: None,
            sentence: String::new(),
        }
    };
    let metrics: Vec<JudgedMetric> = config.metrics.iter().map(metric).collect();
    let failed = metrics.iter().any(|metric| !metric.muted && metric.status == Status::Regressed);
    let verdict = if failed { Verdict::Fail } else { Verdict::Pass };
    CaseJudgement { verdict, score: None, first_failed_look: None, found_within: [None; 3], metrics }
}

fn arms_are_missing(status: Status) -> bool {
    status == Status::NoData
}

fn samples(metric: &CaseMetric) -> Result<(Sample, Sample), haldane_judges::stats::StatError> {
    if let (Some(baseline), Some(canary)) = (&metric.baseline_buckets, &metric.canary_buckets) {
        return Ok((Sample::of_present(&numbers(&baseline.quantiles(0.5)))?, Sample::of_present(&numbers(&canary.quantiles(0.5)))?));
    }
    let values = |values: &[Option<f64>], totals: &Option<Vec<Option<f64>>>| match totals {
        Some(totals) => numbers(values).iter().zip(numbers(totals)).map(|(events, total)| events / total).collect(),
        None => numbers(values),
    };
    let baseline = Sample::of_present(&values(&metric.baseline, &metric.baseline_totals))?;
    Ok((baseline, Sample::of_present(&values(&metric.canary, &metric.canary_totals))?))
}
