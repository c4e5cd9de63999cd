//! One recorded canary under one judge and config: the small result that everything printed afterwards follows from.

use std::fmt;
use std::str::FromStr;

use haldane_judges::config::{CheckedConfig, DEFAULT_GROUP, Direction, Kind};
use haldane_judges::evidence::{JudgeName, Looks};
use haldane_judges::scorecard::{AppliedLimit, Judgement, MetricResult, Status, Verdict};
use haldane_judges::stats::Sample;
use haldane_judges::stats::mann_whitney::mann_whitney;
use serde::{Deserialize, Serialize};

use super::case::{Case, CaseMetric, Label, numbers};

/// Largest exceedance that is told from others; what is worse counts as this.
const WORST: f64 = 1e6;
/// Two-sided level of the plain test, as in Kayenta's default.
const PLAIN_LEVEL: f64 = 0.02;

/// What can be replayed: the judges, one of them without its memory, and a plain test to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The judge `haldane-v1`, with history and instances.
    HaldaneV1,
    /// The same without either.
    HaldaneV1NoHistory,
    /// Kayenta's judge.
    NetflixAca,
    /// The declared limits alone.
    ThresholdV1,
    /// A Mann-Whitney test at two-sided 2 % in the worse direction, for comparison only; not a judge that the service has.
    MannWhitney,
}

impl Rule {
    /// Everything that can be replayed.
    pub const ALL: [Self; 5] = [Self::HaldaneV1, Self::HaldaneV1NoHistory, Self::NetflixAca, Self::ThresholdV1, Self::MannWhitney];

    /// Its name on the command line and in the output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HaldaneV1 => "haldane-v1",
            Self::HaldaneV1NoHistory => "haldane-v1/no-history",
            Self::NetflixAca => "NetflixACAJudge-v1.0",
            Self::ThresholdV1 => "threshold-v1",
            Self::MannWhitney => "mann-whitney",
        }
    }

    /// The judge whose config it reads.
    pub(super) const fn judge(self) -> JudgeName {
        match self {
            Self::HaldaneV1 | Self::HaldaneV1NoHistory | Self::MannWhitney => JudgeName::HaldaneV1,
            Self::NetflixAca => JudgeName::NetflixAca,
            Self::ThresholdV1 => JudgeName::ThresholdV1,
        }
    }

    /// Whether it is given history and instances.
    const fn is_full(self) -> bool {
        !matches!(self, Self::HaldaneV1NoHistory)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{}` cannot be replayed; use {known}", name.chars().take(60).collect::<String>())
        })
    }
}

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
        let mut config = config.clone().into_inner();
        rule.judge().as_str().clone_into(&mut config.judge);
        // What a verdict is for does not change what it is.
        config.mode = haldane_judges::config::JudgingMode::Gate;
        if rule == Rule::NetflixAca && config.metrics.iter().all(|metric| metric.groups.is_empty()) {
            // Kayenta's judge scores groups alone. Without any, every canary would score 0.
            config.metrics.iter_mut().for_each(|metric| metric.groups = vec![DEFAULT_GROUP.to_owned()]);
        }
        let config = config.check().map_err(|invalid| format!("the config cannot be used with {rule}: {invalid}"))?;
        Ok(Self { rule, name, config: Some(config) })
    }
}

/// One case under every column.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// The case's id.
    pub id: String,
    /// Where it is from.
    pub source: String,
    /// Its group.
    pub group: String,
    /// What it was in truth.
    pub label: Option<Label>,
    /// How the arms lie in time, as the recording says.
    pub pairing: Option<String>,
    /// Points of the canary.
    pub points: usize,
    /// What was found of faults that were put in, in their order; those that none of its metrics can show are left out.
    pub injected: Vec<super::Injected>,
    /// One for each column, in their order.
    pub columns: Vec<Judged>,
}

/// Windows after which faulty canaries are judged too, in minutes.
pub const FOUND_WITHIN_MINUTES: [u32; 3] = [10, 20, 60];
/// Fewest points of such a window: with fewer no judge decides anything.
const FOUND_WITHIN_MIN_POINTS: usize = 3;

/// Whether a canary that is worse was found to be: by its affected metrics, or by its verdict where it is unknown which those are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// An affected metric regressed, or the canary failed.
    Failed,
    /// An affected metric suspect, or the canary marginal.
    IdContent,
    /// Neither.
    Missed,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::IdContent => "held",
            Self::Missed => "missed",
        })
    }
}

impl Found {
    fn of(judged: &Judged) -> Self {
        let is_known = judged.counted().any(|metric| metric.affected.is_some());
        let worst = judged.counted().filter(|metric| metric.affected == Some(true)).map(|metric| metric.status).min();
        match (is_known, worst, judged.verdict) {
            (true, Some(Status::Regressed), _) | (false, _, Verdict::Fail) => Self::Failed,
            (true, Some(Status::Suspect), _) | (false, _, Verdict::Marginal) => Self::IdContent,
            _ => Self::Missed,
        }
    }
}

/// What one judge said of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The verdict over the whole window.
    pub verdict: Verdict,
    /// The score over the whole window.
    pub score: Option<f64>,
    /// The first look that failed, where growing windows were judged.
    pub first_failed_look: Option<u32>,
    /// How a canary that is known to be worse would have been found after each of [`FOUND_WITHIN_MINUTES`]; `None` where it has fewer
    /// points than that, or too few in it.
    pub found_within: [Option<Found>; 3],
    /// The metrics, in the config's order.
    pub metrics: Vec<JudgedMetric>,
}

impl Judged {
    /// The metrics that count towards rates: those that were recorded and are not muted.
    pub fn counted(&self) -> impl Iterator<Item = &JudgedMetric> {
        self.metrics.iter().filter(|metric| metric.recorded && !metric.muted)
    }

    /// How far beyond its limit the worst metric that counts is; 1 is at the limit.
    #[must_use]
    pub fn exceedance(&self) -> f64 {
        self.counted().map(|metric| metric.exceedance).fold(0.0, f64::max)
    }
}

/// What one judge said of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedMetric {
    /// The metric's name.
    pub name: String,
    /// Whether the case has it; one of a config that was not recorded is not judged.
    pub recorded: bool,
    /// Whether it is judged, but does not count.
    pub muted: bool,
    /// Whether the fault touches it, where that is known.
    pub affected: Option<bool>,
    /// Its status.
    pub status: Status,
    /// Why, in a word.
    pub reason: String,
    /// Relative shift in the worse direction.
    pub shift: Option<f64>,
    /// Relative shift from which it is regressed.
    pub limit: Option<f64>,
    /// Shift of a ratio from which it is regressed, in percentage points: the larger of its limits.
    pub limit_points: Option<f64>,
    /// Shift as a multiple of the limit, 0 or more; for judges without such a limit, of what they flag by.
    pub exceedance: f64,
    /// p-value that decided.
    pub p: Option<f64>,
    /// Shift in units of noise.
    pub shift_in_noise: Option<f64>,
    /// Placebo windows.
    pub history_windows: Option<usize>,
    /// Quantile of their shifts, as a fraction of the level; absent for ratios.
    pub history_spread: Option<f64>,
    /// The same for ratios, in percentage points.
    pub history_points: Option<f64>,
    /// The finding in a sentence.
    pub sentence: String,
}

/// Judges a case under a column.
pub(super) fn judge(case: &Case, column: &Column, looks: Option<u32>) -> Result<Judged, String> {
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
            Some(Found::of(&once(&seen, column.rule, config, None)))
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

fn once(case: &Case, rule: Rule, config: &CheckedConfig, looks: Option<Looks>) -> Judged {
    if rule == Rule::MannWhitney {
        return plain_test(case, config);
    }
    let mut evidence = case.evidence(config, rule.is_full());
    evidence.looks = looks;
    let Judgement { verdict, would_be, score, metrics, .. } = haldane_judges::judge(rule.judge(), config, &evidence);
    let metrics = metrics.into_iter().map(|metric| judged_metric(case, metric)).collect();
    Judged { verdict: would_be.unwrap_or(verdict), score, first_failed_look: None, found_within: [None; 3], metrics }
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
    let spread = history.and_then(|history| history.spread).filter(|_| counts.is_none());
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
    let from_limit = metric.limit.as_ref().map(|limit| {
        let (shift, relative) = match (&metric.numbers, &metric.counts) {
            (Some(numbers), _) => (numbers.shift, numbers.relative_shift),
            (None, Some(counts)) => (counts.shift, counts.relative_shift),
            (None, None) => (0.0, None),
        };
        let proved = metric.numbers.as_ref().zip(limit.proved_from).filter(|(_, from)| *from > 0.0).map(|(n, from)| n.effect / from);
        // The estimate must reach what proves it as well.
        proved.into_iter().fold(multiple_of(limit, shift, relative), f64::min)
    });
    let from_points = metric.threshold.as_ref().and_then(|threshold| {
        let (past, points) = (threshold.points_past?, threshold.points?);
        (points > 0).then(|| past as f64 / points as f64)
    });
    let size = from_limit.or(from_points);
    match (flagged, size) {
        (true, Some(size)) => 1.0 + size.max(0.0),
        // Silent, for instance: nothing is worse.
        (true, None) => WORST,
        (false, size) => size.unwrap_or(0.0).clamp(0.0, 1.0),
    }
}

/// A shift as a multiple of the limits that it must exceed: the smaller multiple, since it must exceed both. A limit of 0 is none, and
/// a level of 0 has no relative shift.
fn multiple_of(limit: &AppliedLimit, shift: f64, relative: Option<f64>) -> f64 {
    let unbounded = if shift > 0.0 { f64::INFINITY } else { 0.0 };
    let multiples = [(shift, limit.absolute), (relative.unwrap_or(unbounded), limit.relative)];
    multiples.into_iter().filter(|(_, limit)| *limit > 0.0).map(|(shift, limit)| shift / limit).reduce(f64::min).unwrap_or(unbounded)
}

/// The plain test on each metric that is not muted; any that is significant in the worse direction fails the canary.
fn plain_test(case: &Case, config: &CheckedConfig) -> Judged {
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
    Judged { verdict, score: None, first_failed_look: None, found_within: [None; 3], metrics }
}

fn arms_are_missing(status: Status) -> bool {
    status == Status::NoData
}

fn samples(metric: &CaseMetric) -> Result<(Sample, Sample), haldane_judges::stats::StatError> {
    if let (Some(baseline), Some(canary)) = (&metric.baseline_buckets, &metric.canary_buckets) {
        return Ok((Sample::of_present(&numbers(&baseline.medians()))?, Sample::of_present(&numbers(&canary.medians()))?));
    }
    let values = |values: &[Option<f64>], totals: &Option<Vec<Option<f64>>>| match totals {
        Some(totals) => numbers(values).iter().zip(numbers(totals)).map(|(events, total)| events / total).collect(),
        None => numbers(values),
    };
    let baseline = Sample::of_present(&values(&metric.baseline, &metric.baseline_totals))?;
    Ok((baseline, Sample::of_present(&values(&metric.canary, &metric.canary_totals))?))
}
