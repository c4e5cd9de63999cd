//! What a judge answers: a status with evidence for each metric, and a verdict with reasons for the canary.
//!
//! Every number is finite or absent, so that the JSON reads back as it was written; those of Kayenta's judge, which need not be,
//! are an [`Number`](crate::aca::Number).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aca_outcome::{MetricOutcome, Summary};
use crate::config::{Direction, Kind, Per};
use crate::evidence::{Comparison, JudgeName, Looks};
pub use crate::verdict::Verdict;

/// What the evidence on one metric supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Worse in the canary.
    Regressed,
    /// Perhaps worse; not enough for a regression.
    Suspect,
    /// No worse, and a regression would have shown.
    Pass,
    /// Too little data to tell.
    Inconclusive,
    /// No data worth judging.
    NoData,
    /// The data could not be had.
    Error,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regressed => "regressed",
            Self::Suspect => "suspect",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::NoData => "no_data",
            Self::Error => "error",
        })
    }
}

/// Why a metric has its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The canary's level moved in the worse direction.
    Shift,
    /// Its mean moved in the worse direction, though its typical point did not move as much.
    Mean,
    /// It is worse at the end of the window.
    Recent,
    /// It was worse at first, and no longer is at the end of the window.
    Healed,
    /// A minority of its points is far worse.
    Minority,
    /// More intervals have events.
    Events,
    /// It rose from a baseline that is 0 throughout.
    FromNothing,
    /// Undecided by what is usual, and what there is speaks against the canary.
    UndecidedAgainst,
    /// Worse beyond the tolerance; events come in bursts that could explain it, and chance could not.
    Bursts,
    /// It grows away from the baseline over the window.
    Leak,
    /// One of the canary's instances behaves unlike all others.
    Instance,
    /// Some of the canary's instances stopped reporting.
    InstancesSilent,
    /// One of the canary's instances reads 0 where every other is above.
    InstanceDead,
    /// Regressed in this look; the config asks for more that say so.
    Unconfirmed,
    /// The canary stopped reporting what the baseline reports.
    Silent,
    /// The canary stopped reporting before the window ended.
    Ended,
    /// The canary reports clearly less often than the baseline.
    DataAsymmetry,
    /// Decided by a declared limit.
    Limit,
    /// Both arms are one constant, so that nothing could differ.
    Identical,
    /// Both arms are one and the same series, so that nothing is compared.
    SameSeries,
    /// It follows the traffic, and the arms' traffic differs.
    FollowsTraffic,
    /// No worse than the tolerance allows.
    WithinTolerance,
    /// Too little data for statistics, and no limit decided.
    InsufficientEvidence,
    /// Too few of the expected points are present.
    LowCoverage,
    /// The metric store could not be read.
    Fetch,
    /// The metric store calls its reply incomplete.
    Partial,
    /// Both arms ask for one and the same thing.
    SameQuery,
    /// The time for the analysis ran out before the data arrived, or before the metric was judged.
    Deadline,
    /// The samples are of a kind that the metric's config does not have.
    Mismatch,
    /// The arms' histograms have no bucket bound in common.
    NoSharedBound,
    /// An arm has no data, and the rules of Kayenta's judge say what that means.
    MissingData,
    /// The test of Kayenta's judge cannot be computed from these samples.
    Untestable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shift => "shift",
            Self::Mean => "mean",
            Self::Recent => "recent",
            Self::Healed => "healed",
            Self::Minority => "minority",
            Self::Events => "events",
            Self::FromNothing => "from_nothing",
            Self::UndecidedAgainst => "undecided_against",
            Self::Bursts => "bursts",
            Self::InstancesSilent => "instances_silent",
            Self::InstanceDead => "instance_dead",
            Self::Ended => "ended",
            Self::SameSeries => "same_series",
            Self::FollowsTraffic => "follows_traffic",
            Self::Partial => "partial",
            Self::SameQuery => "same_query",
            Self::Leak => "leak",
            Self::Instance => "instance",
            Self::Unconfirmed => "unconfirmed",
            Self::Silent => "silent",
            Self::DataAsymmetry => "data_asymmetry",
            Self::Limit => "limit",
            Self::Identical => "identical",
            Self::WithinTolerance => "within_tolerance",
            Self::InsufficientEvidence => "insufficient_evidence",
            Self::LowCoverage => "low_coverage",
            Self::Fetch => "fetch",
            Self::Deadline => "deadline",
            Self::Mismatch => "mismatch",
            Self::NoSharedBound => "no_shared_bound",
            Self::MissingData => "missing_data",
            Self::Untestable => "untestable",
        })
    }
}

/// Which way of deciding gave the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The rank test on values.
    Statistical,
    /// The count tests on events and totals.
    Counts,
    /// The count tests on the buckets of a histogram.
    Distribution,
    /// The declared limits.
    Threshold,
    /// Nothing was tested.
    None,
}

/// Who looked at a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Examiner {
    /// Is it worse than the baseline, beyond the tolerance and what is usual?
    #[default]
    Level,
    /// Does it still report?
    Silence,
    /// Is a declared limit broken?
    Limits,
    /// Is it worse at the end of the window?
    Recent,
    /// Are some of its points far worse?
    Minority,
    /// Does what accumulates grow away?
    Leak,
    /// Is one instance unlike all others?
    Instance,
}

/// What an examiner found beside what stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExaminerFinding {
    /// Who.
    pub examiner: Examiner,
    /// What it supports by itself.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// The finding in a sentence.
    pub sentence: String,
}

/// A guard that kept a metric from being passed by statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Fewer points in an arm than any test needs.
    FewPoints,
    /// A regression of the detectable size could not be ruled out.
    CouldNotDetect,
    /// Fewer requests in the canary than required.
    FewRequests,
    /// The arms' traffic differs, and the metric follows it.
    Traffic,
}

/// A guard and what it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuardFinding {
    /// The guard.
    pub guard: Guard,
    /// What it saw and what it wanted.
    pub sentence: String,
}

/// Something that would settle what this judgement could not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Remedy {
    /// Observe longer at the current rate.
    Extend {
        /// Additional time, in whole minutes.
        minutes: u64,
        /// What to do, in a sentence.
        sentence: String,
    },
    /// Send the canary a larger share of the traffic.
    RaiseShare {
        /// Share of the arms' traffic that would give enough in the same window, 0 to 1.
        share: f64,
        /// What to do, in a sentence.
        sentence: String,
    },
    /// Send the canary synthetic requests.
    SendRequests {
        /// Additional requests.
        requests: u64,
        /// What to do, in a sentence.
        sentence: String,
    },
    /// Change the config: declare a limit, for instance.
    Configure {
        /// What to do, in a sentence.
        sentence: String,
    },
}

impl Remedy {
    /// What to do.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Extend { sentence, .. } | Self::RaiseShare { sentence, .. } => sentence,
            Self::SendRequests { sentence, .. } | Self::Configure { sentence } => sentence,
        }
    }
}

/// How complete one arm's points are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Points with a finite value.
    pub present: usize,
    /// Intervals in the window, after warm-up.
    pub expected: usize,
    /// Points that were infinite, or too large to be judged, and count as missing.
    pub infinite: usize,
    /// Missing points that were taken for zero because the metric says so and the target was up.
    pub filled_with_zero: usize,
    /// `present / expected`, 0 to 1.
    pub fraction: f64,
}

/// An interval with its confidence level; an open end is absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Two-sided confidence level, such as 0.9.
    pub level: f64,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// The numbers of the rank comparison. Shifts are canary minus baseline, turned so that more is worse; METHOD's notation in brackets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Numbers {
    /// Points in the baseline.
    pub n_baseline: usize,
    /// Points in the canary.
    pub n_canary: usize,
    /// Median of the baseline; the mean, for ratios without counts. In the unit.
    pub baseline: f64,
    /// Median of the canary; the mean, for ratios without counts. In the unit.
    pub canary: f64,
    /// Size of the baseline's level (L), in the unit: its distance from `mirrored_at` where that is given.
    pub level: f64,
    /// The bound from which the metric is judged, where its level is nearer to that than to 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored_at: Option<f64>,
    /// Hodges-Lehmann shift, in the unit; the difference of means, for ratios without counts. Above 0 is worse.
    pub shift: f64,
    /// The same as a fraction of the level; absent where that is 0.
    pub relative_shift: Option<f64>,
    /// 90 % sampling interval of the shift, in the unit, widened for autocorrelation; from the same clock time of earlier days where
    /// that decides.
    pub shift_interval: Option<Interval>,
    /// The estimate that decides (E): the relative shift, against that of the same clock time of earlier days where that decides; in the
    /// unit for ratios without counts.
    #[serde(default)]
    pub effect: f64,
    /// Its standard error (sigma): how far it strays while nothing is released.
    #[serde(default)]
    pub sigma: Option<f64>,
    /// `effect` less and plus t(.95) sigma, the interval that decides.
    #[serde(default)]
    pub effect_interval: Option<Interval>,
    /// Part of sigma that is the baseline's own drift in this window.
    #[serde(default)]
    pub drift: Option<f64>,
    /// Part of sigma that is sampling error.
    #[serde(default)]
    pub sampling: Option<f64>,
    /// Part of sigma that is the spread of fresh instances.
    #[serde(default)]
    pub pods: Option<f64>,
    /// The same estimate of means, where there is a past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_effect: Option<f64>,
    /// Its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_sigma: Option<f64>,
    /// Scatter within the arms, in the unit.
    pub noise: f64,
    /// Shift in units of that; absent where it is 0 or the metric is a ratio.
    pub shift_in_noise: Option<f64>,
    /// Mann-Whitney U of the canary, in the worse direction.
    pub u: f64,
    /// Chance that a canary point is worse than a baseline point, ties counting half (CLES).
    pub cles: f64,
    /// Normal score of U, corrected for ties and continuity (z).
    pub z: f64,
    /// One-sided Mann-Whitney p-value, exact for small samples.
    pub p: f64,
    /// The same with the variance inflated for autocorrelation.
    pub p_ess: f64,
    /// Variance inflation (V).
    pub variance_inflation: f64,
    /// Lag-1 autocorrelation of the baseline.
    pub rho_baseline: f64,
    /// Lag-1 autocorrelation of the canary.
    pub rho_canary: f64,
    /// Paired comparison, where the arms' timestamps align. Evidence only; nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired: Option<PairedNumbers>,
}

/// The paired rank test with a long-run variance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Paired")]
pub struct PairedNumbers {
    /// Pairs of points with the same timestamp.
    pub pairs: usize,
    /// Independent pairs they are worth.
    pub effective: f64,
    /// One-sided p-value.
    pub p: f64,
}

/// Counts of one arm, pooled over the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmCounts {
    /// Events.
    pub events: f64,
    /// Everything that could have been an event.
    pub total: f64,
    /// `events / total`; 0 without a total.
    pub rate: f64,
    /// Clopper-Pearson interval of the rate, 90 % two-sided (each bound 95 % one-sided).
    pub interval: Interval,
}

/// The numbers of the count comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CountNumbers {
    /// The baseline's counts.
    pub baseline: ArmCounts,
    /// The canary's counts.
    pub canary: ArmCounts,
    /// Difference of the rates, standardised to the same intervals (s); above 0 is worse.
    pub shift: f64,
    /// Difference as a fraction of the baseline's rate, or of what is left of it to 1 where that is less; absent where that is 0.
    pub relative_shift: Option<f64>,
    /// Whether the arms were compared interval by interval.
    #[serde(default)]
    pub aligned: bool,
    /// Normal deviate of the stratified exact test (z).
    #[serde(default)]
    pub z: f64,
    /// One-sided p-value with bursts and drift allowed for, which decides.
    pub p: f64,
    /// The same if requests were independent.
    #[serde(default = "one")]
    pub p_independent: f64,
    /// `p` over all looks of the plan so far, which then decides; absent without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_looks: Option<f64>,
    /// How much more than independent requests the events vary (T), the posterior median.
    #[serde(default = "one")]
    pub inflation: f64,
    /// p-value that the canary's rate is `detectable_rate`.
    #[serde(default = "one")]
    pub p_detectable: f64,
    /// Rate of the canary that must be excluded for a pass.
    #[serde(default)]
    pub detectable_rate: f64,
}

/// The numbers of the comparison of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventNumbers {
    /// Intervals of the baseline that have any.
    pub intervals_baseline: usize,
    /// Intervals of the canary that have any.
    pub intervals_canary: usize,
    /// Mean of the baseline, an interval.
    pub mean_baseline: f64,
    /// Mean of the canary, an interval.
    pub mean_canary: f64,
    /// Difference of the means as a fraction of the baseline's, above 0 is worse; absent where that is 0.
    pub relative_shift: Option<f64>,
    /// One-sided exact p-value that so many of the canary's intervals have any.
    pub p: f64,
    /// The same with runs allowed for.
    pub p_dependent: f64,
    /// One-sided p-value of the difference of the means.
    pub p_sum: f64,
}

/// The numbers of the comparison of distributions, canary against baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DistributionNumbers {
    /// Requests of the baseline, in the intervals that count.
    pub requests_baseline: f64,
    /// Requests of the canary.
    pub requests_canary: f64,
    /// Chance that a request of the canary is slower than one of the baseline, ties counting half: the common-language effect.
    pub cles: f64,
    /// Whether the arms were compared interval by interval.
    pub aligned: bool,
    /// Each quantile that was asked about, rising.
    pub quantiles: Vec<QuantileNumbers>,
    /// Shares of both arms at or below bounds.
    pub curve: Vec<CurvePoint>,
}

impl DistributionNumbers {
    /// Whether a quantile of the baseline, and one of the canary, lies above the last bucket bound, of which it then is at least as much.
    #[must_use]
    pub fn is_above_last_bound(&self, quantile: f64) -> (bool, bool) {
        self.curve.last().map_or((false, false), |last| (last.baseline < quantile, last.canary < quantile))
    }
}

/// What is known of one quantile. Shifts are turned so that more is worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantileNumbers {
    /// Which, above 0 and below 1.
    pub quantile: f64,
    /// The baseline's, interpolated within its bucket, in the unit. Above the last bound: that bound.
    pub baseline: f64,
    /// The canary's.
    pub canary: f64,
    /// Difference, in the unit; above 0 is worse.
    pub shift: f64,
    /// The same as a fraction of the baseline's; absent where that is 0.
    pub relative_shift: Option<f64>,
    /// 90 % interval of the difference, in the unit (Woodruff's intervals of both quantiles, combined by MOVER).
    pub shift_interval: Option<Interval>,
    /// Bucket in which the baseline's quantile lies, as its bounds in the unit; an open end is absent.
    pub bucket: (Option<f64>, Option<f64>),
    /// Bound whose slower requests are counted for it, in the unit.
    pub bound: f64,
    /// Whether that bound is near enough to the quantile to tell of it.
    pub resolved: bool,
    /// Requests of the baseline slower than the bound, and their share, standardised to the intervals of both arms.
    pub slower_baseline: Share,
    /// Those of the canary.
    pub slower_canary: Share,
    /// Normal deviate if requests are independent: of the whole distribution for a first quantile up to the median, else of the share.
    pub z: f64,
    /// One-sided p-value with bursts and drift allowed for, times the quantiles that can convict, which decides.
    pub p: f64,
    /// The same if requests were independent.
    pub p_independent: f64,
    /// `p` over all looks of the plan so far; absent without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_looks: Option<f64>,
    /// How much more than independent requests the share varies (T), the posterior median.
    pub inflation: f64,
    /// Value of the canary that must be excluded for a pass, in the unit.
    pub detectable: f64,
    /// p-value that the canary's quantile is that.
    pub p_detectable: f64,
    /// Whether it stands in the way of a pass.
    pub required: bool,
    /// What it supports by itself: `regressed`, `suspect`, `pass` or `inconclusive`.
    pub status: Status,
}

/// Requests beyond a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// How many.
    pub requests: f64,
    /// As a share of the arm's, 0 to 1.
    pub share: f64,
}

/// A point of both cumulative distributions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Bucket bound, in the unit.
    pub bound: f64,
    /// Share of the baseline's requests at or below it, 0 to 1.
    pub baseline: f64,
    /// Share of the canary's.
    pub canary: f64,
}

/// What no evidence says, for scorecards written before a number was in them.
fn one() -> f64 {
    1.0
}

/// The tolerances and limits that applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedLimit {
    /// Relative shift from which the metric is regressed.
    pub relative: f64,
    /// Shift from which it is, in the unit.
    pub absolute: f64,
    /// Where the relative limit comes from: `default`, `config` or `history`.
    pub from: String,
    /// p-value at or below which it is.
    pub p: f64,
    /// Estimate from which that is so, where it is told by a standard error.
    #[serde(default)]
    pub proved_from: Option<f64>,
    /// Standard deviation between fresh instances that was allowed for, as a fraction of the level, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_spread: Option<f64>,
}

/// What was learnt from the time before the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryNumbers {
    /// Placebo windows (K): pairs of windows before this one in which the metric could be compared.
    pub windows: usize,
    /// Points in each.
    pub window_points: usize,
    /// Standard deviation of their shifts (Q): as a fraction of the level, in the unit for ratios, of the deviates for counts and
    /// distributions; absent where it is unbounded.
    pub spread: Option<f64>,
    /// Shift from which a canary is unusual here, of what drifts, samples and placebo windows show together: as a fraction of the level, in
    /// the unit for ratios. Absent where the past does not decide, and for counts and distributions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<f64>,
    /// Shift of this clock time on earlier days, as a fraction of the level, where the comparison is with those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<f64>,
}

impl HistoryNumbers {
    /// Fewest placebo windows from which the past decides.
    pub const ENOUGH_WINDOWS: usize = 5;
}

/// How the canary, and its distance from the baseline, grow over the window. Drifts are fractions of the baseline's level, above 0 is
/// worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrendNumbers {
    /// Drift of the canary's distance from the baseline over the window.
    pub drift: f64,
    /// Drift from which it is a leak.
    pub limit: f64,
    /// Drift of the canary by itself.
    pub drift_of_canary: f64,
    /// The same limit for that.
    pub limit_of_canary: f64,
    /// One-sided p-value of the Mann-Kendall test, its variance inflated for autocorrelation: the larger of the two drifts'.
    pub p: f64,
    /// p-value at or below which it is; without enough placebo windows the metric is then suspect only.
    pub p_limit: f64,
    /// Placebo windows that the limits were learnt from; fewer than five teach nothing.
    pub windows: usize,
}

/// One of the canary's instances against all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceNumbers {
    /// Its name in the metric store.
    pub name: String,
    /// Its level as a fraction above the mean of all others; above 0 is worse.
    pub relative: f64,
    /// One-sided p-value of the leave-one-out prediction.
    pub p: f64,
    /// p-value at or below which it is regressed.
    pub p_limit: f64,
}

/// What threshold mode saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdNumbers {
    /// Highest value allowed, where one is declared; `max_ratio` is resolved.
    pub max: Option<f64>,
    /// Lowest value allowed, where one is declared.
    pub min: Option<f64>,
    /// Points past a limit (values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points_past: Option<usize>,
    /// Points looked at (values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
    /// Interval of the canary's rate (ratios).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_interval: Option<Interval>,
}

/// One metric's part of the scorecard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricResult {
    /// The metric's name.
    pub name: String,
    /// What it measures: `value`, `ratio`, `events` or `distribution`.
    pub kind: Kind,
    /// The unit, where the config names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What its values were divided by before they were judged; levels and shifts are of the quotient, in the unit a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// Whether it measures the traffic that others are divided by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub traffic: bool,
    /// What the canary's values were multiplied by before they were compared, for its stated share of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_times: Option<f64>,
    /// Which change is worse.
    pub direction: Direction,
    /// Groups it counts in.
    pub groups: Vec<String>,
    /// Whether it is critical.
    pub critical: bool,
    /// Whether it is muted.
    pub muted: bool,
    /// Whether it may lack data.
    pub optional: bool,
    /// What the evidence supports.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// How it was decided.
    pub mode: Mode,
    /// Whose finding it is.
    #[serde(default)]
    pub examiner: Examiner,
    /// The finding in a sentence, in the metric's unit.
    pub sentence: String,
    /// What other examiners found that speaks against the canary too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ExaminerFinding>,
    /// Completeness of the baseline.
    pub baseline_coverage: Coverage,
    /// Completeness of the canary.
    pub canary_coverage: Coverage,
    /// The rank comparison, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// The count comparison, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<CountNumbers>,
    /// The comparison of events, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventNumbers>,
    /// The comparison of distributions, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<DistributionNumbers>,
    /// The tolerances that applied, where statistics were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<AppliedLimit>,
    /// What was learnt from the time before the window, where there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryNumbers>,
    /// The trend, for metrics that accumulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<TrendNumbers>,
    /// The canary's instance that differs most, where instances are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_instance: Option<InstanceNumbers>,
    /// Threshold mode, where it was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdNumbers>,
    /// Guards that kept statistics from passing the metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardFinding>,
    /// What would settle it, cheapest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
    /// What a person should know about the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the judge `NetflixACAJudge-v1.0` found, where it judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aca: Option<MetricOutcome>,
}

/// What to do with the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Release it further.
    Promote,
    /// Neither, until the remedy has been applied.
    Hold,
    /// Take it back.
    Rollback,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
        })
    }
}

/// What to do with the canary, and what would settle an open question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// What to do.
    pub action: Action,
    /// The same in a sentence, with the remedy.
    pub sentence: String,
    /// What would settle every open metric, cheapest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
    /// The share of the traffic to send the canary next, 0 to 1, where the request states a ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_share: Option<f64>,
}

/// Why the canary has its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictReason {
    /// A metric regressed.
    Regressed,
    /// The score is below a threshold.
    Score,
    /// A metric is suspect.
    Suspect,
    /// Too little of the evidence could be judged.
    InsufficientEvidence,
    /// A metric could not be read.
    Error,
    /// A metric that is not optional has no data.
    NoData,
    /// The observation was shorter than required.
    ShortObservation,
    /// An arm runs more than one version, or both run the same.
    MixedPopulation,
    /// Instances of the baseline are left where none may be.
    OldInstances,
    /// Nothing speaks against the canary, and looks of the plan are left.
    OnTrack,
}

/// One reason of the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictCause {
    /// The reason.
    pub reason: VerdictReason,
    /// The metrics it speaks of, in the config's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// The reason in a sentence.
    pub sentence: String,
}

/// The score of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupScore {
    /// The group's name.
    pub name: String,
    /// Its weight as a share of the groups that were judged, 0 to 1; 0 where nothing in it was.
    pub weight: f64,
    /// 0 to 100; absent where nothing in the group was judged.
    pub score: Option<f64>,
}

/// Number of metrics with each status, muted ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusCounts {
    /// Worse in the canary.
    pub regressed: usize,
    /// Perhaps worse.
    pub suspect: usize,
    /// No worse.
    pub pass: usize,
    /// Too little data to tell.
    pub inconclusive: usize,
    /// No data worth judging.
    pub no_data: usize,
    /// Could not be had.
    pub error: usize,
}

/// A judge's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// 0 to 100; absent where nothing was judged.
    pub score: Option<f64>,
    /// Whether the verdict only advises: it is then a pass, and `would_be` says what it would have been.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
    /// The verdict that it would have been, where it only advises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_be: Option<Verdict>,
    /// The plan of looks that this judgement is one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<Looks>,
    /// The verdict in a sentence.
    pub summary: String,
    /// What to do.
    pub recommendation: Recommendation,
    /// Why, gravest first; empty for a pass, unless it only advises.
    pub reasons: Vec<VerdictCause>,
    /// The judge that decided.
    pub judge: JudgeName,
    /// Name of the config.
    pub config: String,
    /// SHA-256 of the config's canonical JSON.
    pub config_digest: String,
    /// How the arms lie in time.
    pub comparison: Comparison,
    /// Metrics that could differ at all, by which the tests are made stricter (m).
    pub live_metrics: usize,
    /// Number of metrics with each status.
    pub counts: StatusCounts,
    /// The groups, by name.
    pub groups: Vec<GroupScore>,
    /// The metrics, in the config's order.
    pub metrics: Vec<MetricResult>,
    /// What a person should know about the canary as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The score as the judge `NetflixACAJudge-v1.0` makes it, where it judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aca: Option<Summary>,
}
