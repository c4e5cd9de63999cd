//! The canary config: which metrics are judged, how, and what the verdict follows from.
//!
//! A document (YAML or JSON) is read into [`CanaryConfig`], whose fields are plain data, and becomes a
//! [`CheckedConfig`] once every rule between its fields holds. Judges take only checked ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aca_rules::Rules;
use crate::evidence::JudgeName;
pub use crate::period::Period;
pub use crate::problem::{ConfigProblem, InvalidConfig};

/// Longest config text that is read, in bytes.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Longest query, in bytes.
pub const MAX_QUERY_BYTES: usize = 16 << 10;
/// Most metrics one config may have.
pub const MAX_METRICS: usize = 500;

/// A canary config.
///
/// One document says what "worse" means for one kind of service. Scopes, windows and accounts come with each request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// Name by which requests ask for this config: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What the config is for, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Judge that decides: `haldane-v1` (statistics and limits: fail is proved, pass is earned, all else is marginal), `threshold-v1`
    /// (limits alone) or `NetflixACAJudge-v1.0` (Kayenta's, with its own rules for groups and thresholds).
    #[serde(default = "default_judge")]
    pub judge: String,
    /// Whether the verdict gates (default), or advises: then everything is judged, recorded and reported, and the answer is a pass that
    /// says which verdict it would have been.
    #[serde(default, skip_serializing_if = "JudgingMode::is_gate")]
    pub mode: JudgingMode,
    /// What makes a canary fail: `any` regressed metric, only a `critical` one, or the `score`.
    #[serde(default)]
    pub fail_on: FailOn,
    /// Score limits; used by `fail_on: score` and reported always.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Weight of each metric group in the score. Left out: all groups weigh the same. Given: every group in use must be listed. With the
    /// judge `NetflixACAJudge-v1.0` weights are percentages, and groups that are not listed share what is left of 100.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, f64>,
    /// Shortest observation that may pass, such as `5m`; a shorter one is marginal at best.
    #[serde(default = "default_min_observation")]
    pub min_observation: Period,
    /// Intervals at the start of the window that are left out in both arms, while caches fill and code is compiled.
    #[serde(default)]
    pub warmup: u32,
    /// Distance between points, such as `60s`. Left out: the request's, or one fitted to the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Period>,
    /// Template variables that queries use as `${name}`, beside the built-in `${scope}`, `${location}`, `${step}` and `${window}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Variable>,
    /// Check of who runs which version, before anything is concluded from what they report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<PopulationCheck>,
    /// The metrics, in the order in which they are reported.
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

/// What a verdict is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JudgingMode {
    /// It decides.
    #[default]
    Gate,
    /// It is recorded; the answer is a pass.
    Advisory,
}

impl JudgingMode {
    fn is_gate(&self) -> bool {
        *self == Self::Gate
    }
}

/// Who must run which version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PopulationCheck {
    /// What must hold.
    #[serde(default)]
    pub rule: PopulationRule,
    /// Label that names the instances (`pod`, `instance`, `host`).
    pub instance: String,
    /// Label that names the version they run.
    pub version: String,
    /// For each kind of metric store, a query that returns one series for each instance and version, such as
    /// `count by (pod, version) (build_info{app="${scope}"})`.
    pub queries: BTreeMap<String, String>,
}

/// What must hold of the versions that run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PopulationRule {
    /// Each arm runs one version, and the two differ; anything else makes the canary marginal.
    #[default]
    OneVersionPerArm,
    /// None of the baseline's instances is left at the end of the window, and the canary runs one version; an instance that is left
    /// fails the canary. For changes that old instances would not survive. The baseline's scope selects the whole service, the
    /// canary's instances too: with no instance in it, or none of the canary's at the end, nothing is known and the canary is marginal.
    BaselineGone,
}

/// A template variable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What the variable selects, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Value used when a request gives none. Left out: requests must give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// What makes a canary fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    /// Any regressed metric that is not muted.
    #[default]
    Any,
    /// Only a regressed critical metric; other regressed metrics make the canary marginal.
    Critical,
    /// The score: below `thresholds.marginal` fails, below `thresholds.pass` is marginal.
    Score,
}

/// Score limits, 0 to 100; `marginal` must not exceed `pass`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// A score below this fails.
    #[schemars(range(min = 0, max = 100))]
    pub marginal: f64,
    /// A score of at least this passes.
    #[schemars(range(min = 0, max = 100))]
    pub pass: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { marginal: 75.0, pass: 95.0 }
    }
}

impl Thresholds {
    /// Reports the field whose value breaks a rule, relative to the thresholds themselves.
    ///
    /// # Errors
    /// When a limit is outside 0..=100 or `marginal` exceeds `pass`.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        for (field, value) in [("marginal", self.marginal), ("pass", self.pass)] {
            if !(0.0..=100.0).contains(&value) {
                return Err(ConfigProblem::new(format!("/{field}"), format!("{value} is not a score; give 0 to 100")));
            }
        }
        if self.marginal > self.pass {
            let (marginal, pass) = (self.marginal, self.pass);
            return Err(ConfigProblem::new("/marginal", format!("{marginal} must not exceed pass ({pass})")));
        }
        Ok(())
    }
}

/// What a metric measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A gauge, a percentile or a rate: one number an interval.
    #[default]
    Value,
    /// Events out of a total: errors of requests, conversions of visits. Give numerator and denominator wherever possible;
    /// with a single pre-divided `query` the counts, and with them the exact tests, are lost.
    Ratio,
    /// Events without a total: panics, restarts, errors logged. Each interval's number of them, nearly always 0 while all is well.
    Events,
    /// A histogram, such as latencies: its query gives the requests in each bucket, and every request counts.
    Distribution,
}

/// Which change is worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// A rise is worse.
    Increase,
    /// A fall is worse.
    Decrease,
    /// Any change is worse.
    #[default]
    Either,
}

/// One metric of a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name, unique in the config.
    pub name: String,
    /// What the metric tells, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `value` (default), `ratio`, `events` or `distribution`.
    #[serde(default)]
    pub kind: Kind,
    /// Unit of the values, for the report: `ms`, `s`, `percent`, `ratio`, `bytes`, `requests/s` or any other word.
    /// For a pre-divided ratio it also says what a percentage point is: `percent` (1.0) or `ratio` (0.01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Which change is worse: `increase`, `decrease` or `either` (default).
    #[serde(default)]
    pub direction: Direction,
    /// Score groups that the metric counts in. Left out: one group named `metrics`; with the judge `NetflixACAJudge-v1.0` none, so that
    /// the metric moves no score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// A regression fails the canary under `fail_on: critical`, and missing evidence always makes it marginal.
    #[serde(default)]
    pub critical: bool,
    /// Judged and reported, but without effect on verdict and score.
    #[serde(default)]
    pub muted: bool,
    /// Having no data for this metric is no reason to withhold a pass.
    #[serde(default)]
    pub optional: bool,
    /// Grows by nature (memory, descriptors, queue length), so that a leak matters more than a level.
    #[serde(default)]
    pub accumulating: bool,
    /// The canary may stop reporting this metric without that being evidence against it.
    #[serde(default)]
    pub may_be_absent: bool,
    /// A missing value means zero, where another metric shows that the target was up. For counters of rare events; in a ratio
    /// it speaks of the numerator, and the denominator shows that the target was up.
    #[serde(default)]
    pub absent_means_zero: bool,
    /// Measures the arm's traffic. Where the request states the canary's share, the split is checked against it, and the arms are
    /// compared as if each had received half.
    #[serde(default)]
    pub traffic: bool,
    /// What the metric is per. `request`: it follows the traffic (errors a second, bytes sent), so that it is divided by the metric with
    /// `traffic: true` in each interval of each arm before the arms are compared. Left out: it does not follow the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// Smallest shift worth acting on.
    #[serde(default, skip_serializing_if = "Tolerance::is_default")]
    pub tolerance: Tolerance,
    /// Limits of the metric itself. They always hold, whatever the baseline does, unless `enforce` is off.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Unit of the bucket bounds as the metric store has them, where that is another one of time than `unit`: `s` beside `unit: ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_unit: Option<String>,
    /// Quantiles that a distribution is asked about, rising, each above 0 and below 1. Default 0.5, 0.95 and 0.99, of which the last stands
    /// in the way of a pass only where there are requests enough to show it; what is stated here always does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<f64>,
    /// Of a ratio whose query gives buckets: requests slower than this are its events, such as `250ms`, or a number in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<Threshold>,
    /// Fewest points an arm needs for a statistical pass. Default 3.
    #[serde(default = "default_min_points")]
    #[schemars(range(min = 3))]
    pub min_points: u32,
    /// Fewest requests that the canary needs for a statistical pass of a ratio. Default 50.
    #[serde(default = "default_min_requests")]
    pub min_requests: u64,
    /// Relative worsening that the data must exclude, at 95 % confidence, before statistics pass the metric. Default 1.0 (+100 %).
    #[serde(default = "default_detectable")]
    pub detectable: f64,
    /// Label that names the instances (`pod`, `instance`, `host`) when the query returns one series for each; their mean is judged
    /// and the spread of the baseline's instances widens the tolerance. Left out: one series an arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_instance: Option<String>,
    /// Looks, one after the other, that must find the metric regressed before it counts as regressed; until then it is suspect. Default
    /// 1. Without a plan of looks the window is cut into that many parts of equal length, each of which must show it by itself.
    #[serde(default = "default_confirm", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 10))]
    pub confirm: u32,
    /// What is learnt from the time before the window.
    #[serde(default, skip_serializing_if = "History::is_default")]
    pub history: History,
    /// Settings that the judge `NetflixACAJudge-v1.0` alone reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aca: Option<Rules>,
    /// What to ask each kind of metric store, by its name: `prometheus`, `dataset`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<String, MetricQuery>,
}

impl Metric {
    /// The groups the metric counts in; `metrics` when it names none.
    #[must_use]
    pub fn group_names(&self) -> Vec<&str> {
        if self.groups.is_empty() { vec![DEFAULT_GROUP] } else { self.groups.iter().map(String::as_str).collect() }
    }

    /// Whether the metric is a ratio whose counts are read from any store: a numerator and a denominator, or buckets.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        let counts = |query: &MetricQuery| matches!(query, MetricQuery::Counts(_) | MetricQuery::Buckets(_));
        self.kind == Kind::Ratio && self.queries.values().all(counts)
    }

    /// Seconds in the metric's unit, where that is one of time.
    #[must_use]
    pub fn seconds_in_unit(&self) -> Option<f64> {
        seconds_in(self.unit.as_deref()?)
    }

    /// What a bucket bound is multiplied by to be in the metric's unit.
    #[must_use]
    pub fn bucket_factor(&self) -> f64 {
        let seconds = self.bucket_unit.as_deref().and_then(seconds_in).zip(self.seconds_in_unit());
        seconds.map_or(1.0, |(of_bounds, of_unit)| of_bounds / of_unit)
    }

    /// The place that a ratio of buckets counts from, in the metric's unit; `None` where none is stated, or the unit is none of time.
    #[must_use]
    pub fn slower_than_in_unit(&self) -> Option<f64> {
        match self.slower_than? {
            Threshold::InUnit(number) => Some(number),
            Threshold::Seconds(seconds) => Some(seconds / self.seconds_in_unit()?),
        }
    }

    /// Whether its queries give buckets.
    #[must_use]
    pub fn reads_buckets(&self) -> bool {
        self.kind == Kind::Distribution || self.slower_than.is_some()
    }

    /// One percentage point in the unit of a ratio's values: 0.01, or 1 where `unit` is `percent`.
    #[must_use]
    pub fn percentage_point(&self) -> f64 {
        if matches!(self.unit.as_deref(), Some("percent" | "%")) { 1.0 } else { 0.01 }
    }
}

/// A place in a distribution: a number in the metric's unit, or a length of time such as `250ms` or `1.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawThreshold", into = "RawThreshold")]
#[schemars(with = "RawThreshold")]
pub enum Threshold {
    /// In the metric's unit.
    InUnit(f64),
    /// A length of time, in seconds.
    Seconds(f64),
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number in the metric's unit, or a length of time such as `250ms`")]
enum RawThreshold {
    Number(f64),
    Text(String),
}

/// Seconds in each unit of time, by the names that configs use.
fn seconds_in(unit: &str) -> Option<f64> {
    match unit {
        "ns" | "nanoseconds" => Some(1e-9),
        "us" | "µs" | "microseconds" => Some(1e-6),
        "ms" | "milliseconds" => Some(1e-3),
        "s" | "seconds" => Some(1.0),
        "m" | "min" | "minutes" => Some(60.0),
        _ => None,
    }
}

impl TryFrom<RawThreshold> for Threshold {
    type Error = String;

    fn try_from(raw: RawThreshold) -> Result<Self, String> {
        let text = match raw {
            RawThreshold::Number(number) => return Ok(Self::InUnit(number)),
            RawThreshold::Text(text) => text,
        };
        let trimmed = text.trim();
        let at = trimmed.find(|c: char| c.is_alphabetic()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(at);
        let seconds = number.trim().parse::<f64>().ok().filter(|number| number.is_finite()).zip(seconds_in(unit));
        let (number, unit) = seconds.ok_or_else(|| format!("`{}` is no length of time; write it like `250ms` or `1.5s`", shown(&text)))?;
        Ok(Self::Seconds(number * unit))
    }
}

impl From<Threshold> for RawThreshold {
    fn from(threshold: Threshold) -> Self {
        match threshold {
            Threshold::InUnit(number) => Self::Number(number),
            Threshold::Seconds(seconds) => Self::Text(format!("{seconds}s")),
        }
    }
}

/// What a metric that follows the traffic is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// The metric that measures the arm's traffic.
    Request,
}

/// Group of metrics that name none.
pub const DEFAULT_GROUP: &str = "metrics";

/// What to ask one metric store: a string, a numerator and a denominator, or buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a query text, an object with `numerator` and `denominator`, or one with `buckets`")]
pub enum MetricQuery {
    /// One series in the metric's unit; of a distribution its buckets.
    Single(String),
    /// Events and their total, each counted within one step.
    Counts(CountQuery),
    /// A histogram's buckets, of which a ratio counts those above `slower_than`.
    Buckets(BucketQuery),
}

/// The query of a ratio that counts the requests slower than a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>", deny_unknown_fields)]
pub struct BucketQuery {
    /// The requests in each bucket within one step, such as `sum by (le) (increase(..._bucket{...}[${step}]))`.
    pub buckets: String,
}

/// The two queries of a ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>", deny_unknown_fields)]
pub struct CountQuery {
    /// Events within one step, such as failed requests.
    pub numerator: String,
    /// Everything that could have been such an event within one step, such as all requests.
    pub denominator: String,
}

// Lists of texts would be read as these objects too, field by field.
impl TryFrom<BTreeMap<String, String>> for BucketQuery {
    type Error = &'static str;

    fn try_from(mut fields: BTreeMap<String, String>) -> Result<Self, &'static str> {
        match (fields.remove("buckets"), fields.is_empty()) {
            (Some(buckets), true) => Ok(Self { buckets }),
            _ => Err("has `buckets` and nothing else"),
        }
    }
}

impl TryFrom<BTreeMap<String, String>> for CountQuery {
    type Error = &'static str;

    fn try_from(mut fields: BTreeMap<String, String>) -> Result<Self, &'static str> {
        match (fields.remove("numerator"), fields.remove("denominator"), fields.is_empty()) {
            (Some(numerator), Some(denominator), true) => Ok(Self { numerator, denominator }),
            _ => Err("has `numerator` and `denominator` and nothing else"),
        }
    }
}

/// Smallest shift worth acting on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// As a fraction of the baseline's level: 0.25 is 25 %. Default 0.25, and down to 0.10 the more of the metric's past is
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub relative: Option<f64>,
    /// In the metric's unit; for ratios with counts a fraction (0.01 is one percentage point). A shift must exceed both tolerances.
    /// Default 0, and 5 ms for distributions of times. For ratios never less than 0.1 percentage points, whatever is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub absolute: Option<f64>,
}

impl Tolerance {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of a metric. `max` and `min` always hold, and with too little data for statistics they alone decide; `max_ratio` is used there
/// only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Highest acceptable value, in the metric's unit; for ratios with counts a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Lowest acceptable value, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Highest acceptable multiple of the baseline's level: 1.5 is half as much again. Where a fall is worse, the lowest acceptable
    /// level is the baseline's divided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<f64>,
    /// Of a distribution: limits of its quantiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<QuantileLimit>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p75: Option<QuantileLimit>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<QuantileLimit>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<QuantileLimit>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<QuantileLimit>,
    /// Likewise: the quantile .999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<QuantileLimit>,
    /// Of a distribution: the largest acceptable share of requests slower than a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareLimit>,
    /// Whether they hold where there is enough data for statistics too. Default true; false where the baseline itself stands past
    /// them.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enforce: bool,
}

/// A limit of a quantile, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantileLimit {
    /// Highest acceptable value.
    pub max: f64,
}

/// A limit of the share of requests slower than a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareLimit {
    /// The bound, in the metric's unit.
    pub slower_than: f64,
    /// Highest acceptable share, 0 to 1.
    pub max: f64,
}

impl Default for Limits {
    fn default() -> Self {
        let none = None;
        Self {
            max: None,
            min: None,
            max_ratio: None,
            p50: none,
            p75: none,
            p90: none,
            p95: none,
            p99: none,
            p999: none,
            share: None,
            enforce: true,
        }
    }
}

impl Limits {
    /// Whether no limit is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.max.is_none() && self.min.is_none() && self.max_ratio.is_none() && self.of_distributions().is_empty()
    }

    /// The limits of a distribution: a name, a value in the unit, and the largest share of requests that may be slower.
    #[must_use]
    pub fn of_distributions(&self) -> Vec<(&'static str, f64, f64)> {
        let quantiles = [("p50", self.p50, 0.5), ("p75", self.p75, 0.25), ("p90", self.p90, 0.1), ("p95", self.p95, 0.05)];
        let rare = [("p99", self.p99, 0.01), ("p999", self.p999, 0.001)];
        let of_quantiles = quantiles.into_iter().chain(rare).filter_map(|(name, limit, share)| Some((name, limit?.max, share)));
        of_quantiles.chain(self.share.map(|limit| ("share", limit.slower_than, limit.max))).collect()
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is learnt from the time before the window: how much the metric moves when nothing is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// `auto` (default) reads as much as the store has, `off` nothing.
    pub mode: HistoryMode,
    /// Lengths of the window that are read before it. Default 20.
    #[schemars(range(min = 5, max = 100))]
    pub windows: u32,
    /// Whether the same clock time of yesterday and of a week ago is read too (default `auto`), so that what the time of day does is not
    /// held against the canary.
    pub clock: HistoryMode,
}

impl Default for History {
    fn default() -> Self {
        Self { mode: HistoryMode::Auto, windows: 20, clock: HistoryMode::Auto }
    }
}

impl History {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether history is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", from = "RawMode")]
pub enum HistoryMode {
    /// As much as there is.
    #[default]
    Auto,
    /// None.
    Off,
}

/// In YAML `off` and `on` are words for `false` and `true`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`auto` or `off`")]
enum RawMode {
    Flag(bool),
    Word(ModeWord),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ModeWord {
    Auto,
    Off,
}

impl From<RawMode> for HistoryMode {
    fn from(raw: RawMode) -> Self {
        match raw {
            RawMode::Flag(true) | RawMode::Word(ModeWord::Auto) => Self::Auto,
            RawMode::Flag(false) | RawMode::Word(ModeWord::Off) => Self::Off,
        }
    }
}

fn yes() -> bool {
    true
}
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}
fn default_confirm() -> u32 {
    1
}
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(n: &u32) -> bool {
    *n == 1
}
fn default_judge() -> String {
    "haldane-v1".to_owned()
}
fn default_min_observation() -> Period {
    Period::from_seconds(300)
}
fn default_min_points() -> u32 {
    3
}
fn default_min_requests() -> u64 {
    50
}
fn default_detectable() -> f64 {
    1.0
}

/// A config in which every rule between the fields holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct CheckedConfig {
    config: CanaryConfig,
    /// Every judgement names it, so that it is reckoned once.
    #[serde(skip)]
    digest: String,
}

impl Deref for CheckedConfig {
    type Target = CanaryConfig;
    fn deref(&self) -> &CanaryConfig {
        &self.config
    }
}

impl CheckedConfig {
    /// Reads YAML (of which JSON is a part).
    ///
    /// # Errors
    /// [`InvalidConfig`] for text that is too long, not YAML, of another shape, or against a rule.
    pub fn from_yaml(text: &str) -> Result<Self, InvalidConfig> {
        if text.len() > MAX_CONFIG_BYTES {
            let message = format!("{} bytes is longer than a config may be ({MAX_CONFIG_BYTES}); split it", text.len());
            return Err(ConfigProblem::new("", message).into());
        }
        let document = serde_saphyr::from_str::<serde_json::Value>(text).map_err(|error| {
            // Below its first line is a drawing of the place.
            let said = error.to_string();
            let first = said.lines().next().unwrap_or_default();
            ConfigProblem::new("", format!("is not YAML: {}", first.strip_prefix("error: ").unwrap_or(first)))
        })?;
        Self::from_value(document)
    }

    /// Reads a document that is JSON already.
    ///
    /// # Errors
    /// [`InvalidConfig`] for another shape, or against a rule.
    pub fn from_value(document: serde_json::Value) -> Result<Self, InvalidConfig> {
        if !document.is_object() {
            return Err(ConfigProblem::new("", "a config is an object with `name` and `metrics`").into());
        }
        crate::document::read::<CanaryConfig>(document)?.check()
    }

    /// The config itself, to change and check again.
    #[must_use]
    pub fn into_inner(self) -> CanaryConfig {
        self.config
    }

    /// SHA-256 of the config's canonical JSON, in hexadecimal; the same text means the same rules.
    #[must_use]
    pub fn digest(&self) -> String {
        self.digest.clone()
    }
}

impl CanaryConfig {
    /// Checks every rule between the fields.
    ///
    /// # Errors
    /// [`InvalidConfig`] with all the problems found.
    pub fn check(self) -> Result<CheckedConfig, InvalidConfig> {
        let mut problems = Vec::new();
        self.check_document(&mut problems);
        let mut seen = BTreeSet::new();
        for (i, metric) in self.metrics.iter().enumerate() {
            let at = format!("/metrics/{i}");
            if !seen.insert(metric.name.as_str()) {
                let message = format!("`{}` names two metrics; names must be unique", metric.name);
                problems.push(ConfigProblem::new(format!("{at}/name"), message));
            }
            let first = problems.len();
            metric.check(&mut problems);
            for problem in &mut problems[first..] {
                problem.pointer.insert_str(0, &at);
            }
            if metric.per.is_some() {
                self.check_per(metric, &at, &mut problems);
            }
            if !self.groups.is_empty() && !self.is_kayentas() {
                for group in metric.group_names() {
                    if !self.groups.contains_key(group) {
                        let message = format!("group `{group}` has no weight; list it in /groups, with 0 to leave it out of the score");
                        problems.push(ConfigProblem::new(format!("{at}/groups"), message));
                    }
                }
            }
        }
        if !problems.is_empty() {
            return Err(InvalidConfig { problems });
        }
        let canonical = serde_json::to_vec(&self).unwrap_or_default();
        let digest = Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(CheckedConfig { config: self, digest })
    }

    /// Whether a metric that is divided by the traffic has one, and only one, to be divided by.
    fn check_per(&self, metric: &Metric, at: &str, problems: &mut Vec<ConfigProblem>) {
        let mut wrong = |message: String| problems.push(ConfigProblem::new(format!("{at}/per"), message));
        if metric.traffic {
            return wrong("request: the traffic is not divided by itself; leave `per` out, or `traffic: true`".to_owned());
        }
        let counted = |query: &MetricQuery| !matches!(query, MetricQuery::Single(_));
        if metric.kind == Kind::Distribution || metric.kind == Kind::Ratio && metric.queries.values().any(counted) {
            return wrong("request: what counts requests is of its own total already; leave `per` out".to_owned());
        }
        let traffic: Vec<&str> = self.metrics.iter().filter(|other| other.traffic).map(|other| other.name.as_str()).collect();
        match traffic.as_slice() {
            [_] => {}
            [] => wrong("request: no metric measures the requests; say `traffic: true` on the one that does".to_owned()),
            several => {
                let names: Vec<String> = several.iter().take(4).map(|name| format!("`{}`", shown(name))).collect();
                wrong(format!("request: {} metrics have `traffic: true` ({}); leave it to one", several.len(), names.join(", ")));
            }
        }
    }

    /// Whether Kayenta's judge decides, whose rules for weights and thresholds are wider.
    fn is_kayentas(&self) -> bool {
        self.judge == JudgeName::NetflixAca.as_str()
    }

    fn check_document(&self, problems: &mut Vec<ConfigProblem>) {
        let mut wrong = |pointer: &str, message: String| problems.push(ConfigProblem::new(pointer, message));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 100 || !self.name.chars().all(plain) {
            let name = shown(&self.name);
            wrong("/name", format!("`{name}` is not a config name; use 1 to 100 of a-z, 0-9, `-`, `_`, `.`"));
        }
        if let Err(unknown) = self.judge.parse::<JudgeName>() {
            wrong("/judge", unknown.to_string());
        }
        if self.metrics.is_empty() && !self.is_kayentas() && self.population.is_none() {
            wrong("/metrics", "a config needs at least one metric, or a population check".to_owned());
        }
        if let Some(population) = &self.population {
            if self.is_kayentas() {
                wrong("/population", format!("`{}` checks no population; leave it out, or choose another judge", self.judge));
            }
            for (field, label) in [("instance", &population.instance), ("version", &population.version)] {
                if label.trim().is_empty() {
                    wrong(&format!("/population/{field}"), "is empty; give the label's name".to_owned());
                }
            }
            if population.queries.is_empty() {
                wrong("/population/queries", "nothing says who runs which version; give a query for each metric store".to_owned());
            }
            for (store, text) in &population.queries {
                if text.trim().is_empty() || text.len() > MAX_QUERY_BYTES {
                    let message = format!("a query has 1 to {MAX_QUERY_BYTES} bytes; this one has {}", text.len());
                    wrong(&format!("/population/queries/{store}"), message);
                }
            }
        }
        if self.metrics.len() > MAX_METRICS {
            wrong("/metrics", format!("{} metrics are more than the {MAX_METRICS} a config may have; split it", self.metrics.len()));
        }
        if self.step.is_some_and(|step| step.seconds() == 0) {
            wrong("/step", "0s is no distance between points; give at least 1s".to_owned());
        }
        for (group, weight) in &self.groups {
            if !weight.is_finite() {
                wrong(&format!("/groups/{group}"), format!("weight {weight} must be a finite number"));
            } else if *weight < 0.0 && !self.is_kayentas() {
                wrong(&format!("/groups/{group}"), format!("weight {weight} must be 0 or more"));
            }
        }
        if !self.is_kayentas() && !self.groups.is_empty() && self.groups.values().sum::<f64>() <= 0.0 {
            wrong("/groups", "all weights are 0, so nothing could be scored; give one group a weight".to_owned());
        }
        for name in self.variables.keys() {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(word) {
                wrong(&format!("/variables/{name}"), "a variable name is letters, digits and `_`".to_owned());
            }
            if BUILT_IN_VARIABLES.contains(&name.as_str()) {
                wrong(&format!("/variables/{name}"), format!("`{name}` is built in; choose another name"));
            }
        }
        if !self.is_kayentas() {
            if let Err(problem) = self.thresholds.check() {
                problems.push(problem.below("/thresholds"));
            }
            return;
        }
        for (field, value) in [("marginal", self.thresholds.marginal), ("pass", self.thresholds.pass)] {
            if !value.is_finite() {
                wrong(&format!("/thresholds/{field}"), format!("{value} is no score; give a finite number"));
            }
        }
    }
}

/// Variables that every query may use: the arm's scope and location, and the step and window in seconds, such as `60s`.
pub const BUILT_IN_VARIABLES: [&str; 4] = ["scope", "location", "step", "window"];

impl Metric {
    fn check(&self, problems: &mut Vec<ConfigProblem>) {
        let mut wrong = |pointer: &str, message: String| problems.push(ConfigProblem::new(pointer, message));
        if self.name.trim().is_empty() || self.name.len() > 200 || self.name.chars().any(char::is_control) {
            wrong("/name", format!("`{}` is not a metric name; use 1 to 200 printable characters", shown(&self.name)));
        }
        for (field, value) in [("relative", self.tolerance.relative), ("absolute", self.tolerance.absolute)] {
            if value.is_some_and(|v| !(v.is_finite() && v >= 0.0)) {
                wrong(&format!("/tolerance/{field}"), "a tolerance is 0 or more".to_owned());
            }
        }
        if let Some(ratio) = self.limits.max_ratio
            && !(ratio.is_finite() && ratio > 0.0)
        {
            wrong("/limits/max_ratio", format!("{ratio} must be above 0; 1.5 allows half as much again"));
        }
        if let (Some(min), Some(max)) = (self.limits.min, self.limits.max)
            && min > max
        {
            wrong("/limits/min", format!("{min} must not exceed max ({max})"));
        }
        self.check_distribution(&mut wrong);
        if self.kind == Kind::Ratio && self.is_counted() {
            for (field, value) in [("max", self.limits.max), ("min", self.limits.min)] {
                if let Some(value) = value.filter(|v| !(0.0..=1.0).contains(v)) {
                    wrong(&format!("/limits/{field}"), format!("{value} is not a fraction; a ratio's limit is 0 to 1 (0.01 is 1 %)"));
                }
            }
        }
        if !(self.detectable.is_finite() && self.detectable > 0.0) {
            wrong("/detectable", format!("{} must be above 0; 1.0 is +100 %", self.detectable));
        }
        if !(1..=10).contains(&self.confirm) {
            wrong("/confirm", format!("{} is no number of looks; give 1 to 10", self.confirm));
        }
        if !(5..=100).contains(&self.history.windows) {
            let message = format!("{} windows cannot be learnt from; give 5 to 100, or set history.mode to off", self.history.windows);
            wrong("/history/windows", message);
        }
        if self.per_instance.as_ref().is_some_and(|label| label.trim().is_empty()) {
            wrong("/per_instance", "is empty; give the label that names the instances, or leave it out".to_owned());
        }
        if self.min_points < 3 {
            wrong("/min_points", format!("{} is too few for any test; give at least 3", self.min_points));
        }
        for problem in self.aca.iter().flat_map(Rules::check) {
            wrong(&format!("/aca{}", problem.pointer), problem.message);
        }
        for (store, query) in &self.queries {
            if self.kind == Kind::Value && matches!(query, MetricQuery::Counts(_)) {
                let message = "a numerator and a denominator make a ratio; set `kind: ratio` or give one query".to_owned();
                wrong(&format!("/queries/{store}"), message);
            }
            if matches!(query, MetricQuery::Buckets(_)) && self.slower_than.is_none() {
                let message = match self.kind {
                    Kind::Ratio => "buckets make a ratio where it is said which requests are its events; give slower_than, such as 250ms",
                    Kind::Distribution => "the query of a distribution is its buckets; give it as a text",
                    Kind::Value | Kind::Events => "buckets make a distribution; set `kind: distribution` and give the query as a text",
                };
                wrong(&format!("/queries/{store}"), message.to_owned());
            }
            if self.kind == Kind::Distribution && matches!(query, MetricQuery::Counts(_)) {
                let message = "a numerator and a denominator make a ratio; give one query for the buckets, or set `kind: ratio`".to_owned();
                wrong(&format!("/queries/{store}"), message);
            }
            if self.slower_than.is_some() && !matches!(query, MetricQuery::Buckets(_)) && self.kind == Kind::Ratio {
                let message = "slower_than counts requests by their buckets; give the query as `buckets: ...`".to_owned();
                wrong(&format!("/queries/{store}"), message);
            }
            if self.kind == Kind::Events && matches!(query, MetricQuery::Counts(_)) {
                let message =
                    "events have no total, so that a numerator and a denominator make a ratio; set `kind: ratio` or give one query";
                wrong(&format!("/queries/{store}"), message.to_owned());
            }
            if self.per_instance.is_some() && self.kind == Kind::Ratio && !matches!(query, MetricQuery::Single(_)) {
                let message = "counts are summed over instances in the query; leave `per_instance` out of a ratio".to_owned();
                wrong("/per_instance", message);
            }
            let texts = match query {
                MetricQuery::Single(text) => vec![("", text)],
                MetricQuery::Counts(counts) => vec![("/numerator", &counts.numerator), ("/denominator", &counts.denominator)],
                MetricQuery::Buckets(query) => vec![("/buckets", &query.buckets)],
            };
            for (field, text) in texts {
                if text.trim().is_empty() {
                    wrong(&format!("/queries/{store}{field}"), "the query is empty".to_owned());
                } else if text.len() > MAX_QUERY_BYTES {
                    let message = format!(
                        "{} bytes are more than the {MAX_QUERY_BYTES} a query may have; record it as a rule in the store",
                        text.len()
                    );
                    wrong(&format!("/queries/{store}{field}"), message);
                }
            }
        }
    }
}

impl Metric {
    /// Quantiles that a distribution is asked about, and whether each is optional.
    #[must_use]
    pub fn asked_quantiles(&self) -> Vec<(f64, bool)> {
        if self.quantiles.is_empty() {
            return DEFAULT_QUANTILES.to_vec();
        }
        self.quantiles.iter().map(|tau| (*tau, false)).collect()
    }

    fn check_distribution(&self, wrong: &mut impl FnMut(&str, String)) {
        let is_distribution = self.kind == Kind::Distribution;
        if !self.quantiles.is_empty() && !is_distribution {
            wrong("/quantiles", "only a distribution has quantiles to ask about; set `kind: distribution` or leave them out".to_owned());
        }
        if self.quantiles.len() > MAX_QUANTILES {
            wrong("/quantiles", format!("{} quantiles are more than {MAX_QUANTILES}; ask about fewer", self.quantiles.len()));
        }
        for (i, tau) in self.quantiles.iter().enumerate() {
            if !(*tau > 0.0 && *tau < 1.0) {
                wrong(&format!("/quantiles/{i}"), format!("{tau} is no quantile; give a number above 0 and below 1, such as 0.95"));
            } else if i > 0 && *tau <= self.quantiles[i - 1] {
                wrong(
                    &format!("/quantiles/{i}"),
                    format!("{tau} does not rise above {}; give them in rising order", self.quantiles[i - 1]),
                );
            }
        }
        if let Some(unit) = &self.bucket_unit {
            if !self.reads_buckets() {
                wrong("/bucket_unit", "only buckets have bounds; set `kind: distribution` or leave it out".to_owned());
            } else if seconds_in(unit).is_none() || self.seconds_in_unit().is_none() {
                wrong(
                    "/bucket_unit",
                    format!("`{}` is converted to the metric's `unit`, and both must be units of time, such as `s` and `ms`", shown(unit)),
                );
            }
        }
        let limits = self.limits.of_distributions();
        for (name, value, share) in &limits {
            if !is_distribution {
                wrong(
                    &format!("/limits/{name}"),
                    "only a distribution has quantiles and shares; set `kind: distribution`, or use max".to_owned(),
                );
            } else if !(value.is_finite() && *share > 0.0 && *share < 1.0) {
                wrong(
                    &format!("/limits/{name}"),
                    format!("{value} at a share of {share} is no limit; give a finite value, and a share above 0 and below 1"),
                );
            }
        }
        if is_distribution {
            for (field, stated) in [("max", self.limits.max), ("min", self.limits.min), ("max_ratio", self.limits.max_ratio)] {
                if stated.is_some() {
                    wrong(
                        &format!("/limits/{field}"),
                        "a distribution has a limit for each quantile; write it like `p99: {max: 800}`".to_owned(),
                    );
                }
            }
            for (field, stated) in
                [("accumulating", self.accumulating), ("traffic", self.traffic), ("absent_means_zero", self.absent_means_zero)]
            {
                if stated {
                    wrong(&format!("/{field}"), "is of no use to a distribution; leave it out".to_owned());
                }
            }
        }
        if let Some(threshold) = self.slower_than {
            if self.kind != Kind::Ratio {
                wrong("/slower_than", "makes a ratio of buckets; set `kind: ratio`, or ask for the distribution's quantiles".to_owned());
            } else if self.slower_than_in_unit().is_none() {
                wrong(
                    "/slower_than",
                    "is a length of time, and the metric's `unit` none; set the unit of the bounds, such as `unit: s`".to_owned(),
                );
            } else if !self.slower_than_in_unit().is_some_and(|value| value.is_finite() && value > 0.0) {
                let (Threshold::InUnit(value) | Threshold::Seconds(value)) = threshold;
                wrong("/slower_than", format!("{value} is no bound that requests can be slower than; give a number above 0"));
            }
        }
    }
}

/// Quantiles that a distribution is asked about where its config names none, and whether each is optional.
const DEFAULT_QUANTILES: [(f64, bool); 3] = [(0.5, false), (0.95, false), (0.99, true)];
/// Most quantiles that one metric may ask about.
const MAX_QUANTILES: usize = 10;

/// The start of a value, for a message.
fn shown(value: &str) -> String {
    value.chars().take(60).flat_map(char::escape_debug).collect()
}
