//! One recorded canary: its shape on the wire, and the config and evidence that a judge takes.

use std::collections::BTreeMap;

use haldane_judges::config::{CanaryConfig, CheckedConfig, Direction, Kind, Limits, Metric};
use haldane_judges::evidence::{
    ABSENT, ArmPoints, Comparison, Earlier, Evidence, FetchFailure, Instance, Looks, Observation, Points, Population,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::points::{self, PointList, PointSlice};
use super::provenance::CaseProvenance;
use super::rule::Rule;
use crate::analysis::{ArmSamples, BucketSamples, EarlierSamples};

/// Longest line of a file of recorded canaries, in bytes.
pub(super) const MAX_LINE_BYTES: usize = 64 << 20;
/// Longest identifier of a case, a group or a source, in bytes.
const MAX_NAME_BYTES: usize = 1000;

/// What a saturation metric that grows by nature is called.
const ACCUMULATING: [&str; 5] = ["memory", "heap", "descriptors", "threads", "queue"];

/// A recorded canary: one line of a JSON lines file. Fields that are not listed here are passed over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "RecordedCanary")]
pub struct Case {
    /// Its name, unique among all that are replayed.
    pub id: String,
    /// Where it is from, such as a cluster or a product; rates are given for each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Canaries that resemble each other, such as those of one service: intervals resample whole groups. Left out: a group of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it was in truth, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Metrics that the fault touches, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected_metrics: Option<Vec<String>>,
    /// How the arms lie in time: `concurrent...` (default) over the same window, `before_after...` or anything else one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing: Option<String>,
    /// Distance between points, in seconds. Default 60.
    #[serde(default = "minute")]
    #[schemars(range(min = 0))]
    pub step_seconds: f64,
    /// Share of the arms' traffic that was sent to the canary, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_share: Option<f64>,
    /// Length of the canary's window, in seconds. Left out: that of its longest series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_seconds: Option<f64>,
    /// Which judgement of a plan of several it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<Looks>,
    /// Shares of the traffic that the canary was to receive one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramp: Vec<f64>,
    /// Who ran which version, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<Population>,
    /// Why that could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population_failure: Option<FetchFailure>,
    /// Whether `null` is a point that the metric store did not return, and `"NaN"` one that it returned and that is no number. Left out:
    /// `null` is either. Kayenta's judge alone tells them apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub null_is_absent: bool,
    /// The config that it was judged by, with a metric for each pair of series. Left out: it follows from the metrics' roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<CanaryConfig>,
    /// Where it is from and what was said of it. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<CaseProvenance>,
    /// The metrics.
    pub metrics: Vec<CaseMetric>,
}

/// What a recorded canary was in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// No worse than its baseline: whatever is flagged is a false alarm.
    Healthy,
    /// Worse than its baseline.
    Regressed,
}

/// One metric of a recorded canary. Points are oldest first, `null` where missing; `"NaN"`, `"Infinity"` and `"-Infinity"` are what a metric
/// store said so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseMetric {
    /// Its name, by which a config's metrics are found.
    pub name: String,
    /// What it measures: `error_rate` is judged as a ratio; anything else as a value. A recording with totals is a ratio anyway.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// `value`, `ratio`, `events` (each interval's number of them, without a total) or `distribution`. Left out: it follows from role, totals
    /// and buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its unit. Left out: `percent` for an `error_rate` whose name contains `pct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Limits that hold for it, as in a canary config. Left out: none; with the judge `threshold-v1` a quarter above the baseline, and
    /// 1 % for error rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Which change is worse.
    #[serde(default)]
    pub direction: Direction,
    /// The baseline's points; with `baseline_totals`, its events. Left out where it has buckets.
    #[serde(default, with = "points", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Option<f64>>")]
    pub baseline: Vec<Option<f64>>,
    /// The canary's points; with `canary_totals`, its events. Left out where it has buckets.
    #[serde(default, with = "points", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Option<f64>>")]
    pub canary: Vec<Option<f64>>,
    /// Everything that could have been one of the baseline's events.
    #[serde(default, with = "points::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Option<f64>>>")]
    pub baseline_totals: Option<Vec<Option<f64>>>,
    /// Everything that could have been one of the canary's events.
    #[serde(default, with = "points::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Option<f64>>>")]
    pub canary_totals: Option<Vec<Option<f64>>>,
    /// The baseline's points before the window, ending where it starts.
    #[serde(default, with = "points::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Option<f64>>>")]
    pub baseline_history: Option<Vec<Option<f64>>>,
    /// The canary's.
    #[serde(default, with = "points::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Option<f64>>>")]
    pub canary_history: Option<Vec<Option<f64>>>,
    /// Totals of the baseline's history.
    #[serde(default, with = "points::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Option<f64>>>")]
    pub baseline_history_totals: Option<Vec<Option<f64>>>,
    /// Totals of the canary's history.
    #[serde(default, with = "points::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Option<f64>>>")]
    pub canary_history_totals: Option<Vec<Option<f64>>>,
    /// The requests in each of the baseline's buckets, of a distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_buckets: Option<BucketSamples>,
    /// Those of the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_buckets: Option<BucketSamples>,
    /// Those of the baseline before the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_history_buckets: Option<BucketSamples>,
    /// Those of the canary before the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_history_buckets: Option<BucketSamples>,
    /// The single instances that `baseline` is the mean of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_instances: Option<Instances>,
    /// The single instances that `canary` is the mean of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_instances: Option<Instances>,
    /// Both arms' points at the same clock of earlier days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierSamples>,
    /// Upper bounds of the histogram buckets that the values are interpolated in, in the metric's unit, rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bucket_bounds: Vec<f64>,
    /// Distance between its points, in seconds, where that is not the case's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub step_seconds: Option<f64>,
    /// Why it could not be read; such a metric has no points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FetchFailure>,
}

/// Instances by name, or without names.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(from = "WireInstances")]
pub enum Instances {
    /// By name.
    Named(BTreeMap<String, Vec<Option<f64>>>),
    /// Named by their place.
    Numbered(Vec<Vec<Option<f64>>>),
}

/// Instances by name, or without names.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a list of points for each instance, or an object of such lists by name")]
#[schemars(rename = "Instances")]
enum WireInstances {
    /// By name.
    Named(#[schemars(with = "BTreeMap<String, Vec<Option<f64>>>")] BTreeMap<String, PointList>),
    /// Named by their place.
    Numbered(#[schemars(with = "Vec<Vec<Option<f64>>>")] Vec<PointList>),
}

impl From<WireInstances> for Instances {
    fn from(read: WireInstances) -> Self {
        match read {
            WireInstances::Named(named) => Self::Named(named.into_iter().map(|(name, list)| (name, list.0)).collect()),
            WireInstances::Numbered(all) => Self::Numbered(all.into_iter().map(|list| list.0).collect()),
        }
    }
}

impl Serialize for Instances {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(named) => serializer.collect_map(named.iter().map(|(name, values)| (name, PointSlice(values)))),
            Self::Numbered(all) => serializer.collect_seq(all.iter().map(|values| PointSlice(values))),
        }
    }
}

fn minute() -> f64 {
    60.0
}

impl Case {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong: field, value and remedy.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_slice(crate::json::without_mark(line));
        let case: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let at = if path == "." { String::new() } else { format!("{path}: ") };
            format!("{at}{}", error.into_inner())
        })?;
        json.end().map_err(|error| format!("more than one JSON value on the line: {error}"))?;
        case.check()?;
        Ok(case)
    }

    /// The rules between the fields.
    pub(super) fn check(&self) -> Result<(), String> {
        let names = [("id", Some(&self.id)), ("group", self.group.as_ref()), ("source", Some(&self.source))];
        for (field, name) in names.into_iter().filter_map(|(field, name)| Some((field, name?))) {
            if name.len() > MAX_NAME_BYTES {
                return Err(format!("{field}: {} bytes are too long for a name; give at most {MAX_NAME_BYTES}", name.len()));
            }
        }
        if self.id.trim().is_empty() {
            return Err("id: is empty; give each case a name of its own".to_owned());
        }
        if !(self.step_seconds.is_finite() && self.step_seconds > 0.0) {
            return Err(format!("step_seconds: {} is no distance between points; give a number above 0", self.step_seconds));
        }
        if let Some(share) = self.canary_share.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(format!("canary_share: {share} is no share; give 0 to 1"));
        }
        if let Some(seconds) = self.observed_seconds.filter(|seconds| !(seconds.is_finite() && *seconds >= 0.0)) {
            return Err(format!("observed_seconds: {seconds} is no length; give 0 or more"));
        }
        if let Some(looks) = self.looks.filter(|looks| !(1..=looks.looks).contains(&looks.look)) {
            return Err(format!("looks: {} of {} is no look of a plan; give 1 to {}", looks.look, looks.looks, looks.looks.max(1)));
        }
        let rises = self.ramp.iter().zip(self.ramp.iter().skip(1)).all(|(one, next)| one < next);
        if !rises || self.ramp.iter().any(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err("ramp: is no row of rising shares; give numbers above 0 and at most 1".to_owned());
        }
        if self.population.is_some() && self.population_failure.is_some() {
            return Err("population_failure: there is a population; give one of the two".to_owned());
        }
        if self.metrics.is_empty() {
            return Err("metrics: is empty; give at least one metric".to_owned());
        }
        for (i, metric) in self.metrics.iter().enumerate() {
            metric.check().map_err(|problem| format!("metrics[{i}].{problem}"))?;
        }
        Ok(())
    }

    /// Canaries of the same group resemble each other.
    pub(super) fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.id)
    }

    /// Points of the canary's longest series.
    pub fn points(&self) -> usize {
        self.metrics.iter().map(CaseMetric::points).max().unwrap_or(0)
    }

    /// Whether both arms were recorded over the same window.
    pub(super) fn is_concurrent(&self) -> bool {
        self.pairing.as_deref().is_none_or(|pairing| pairing.starts_with("concurrent"))
    }

    /// The config that follows from the roles: error rates are ratios, everything else is a value.
    ///
    /// A config in the recording is taken as it is. Otherwise what the recording says of kind and limits takes precedence. Each judge gets what it needs: `threshold-v1` limits such as people
    /// write them (a quarter above the baseline; errors at most 1 %) where none are recorded, Kayenta's judge one group for each role.
    pub(super) fn derived_config(&self, rule: Rule) -> Result<CheckedConfig, String> {
        if let Some(recorded) = &self.config {
            return rule.config(recorded.clone()).map_err(|problem| format!("config: {problem}"));
        }
        let metric = |metric: &CaseMetric| {
            let is_rate = metric.role == "error_rate";
            let is_percent = is_rate && metric.name.contains("pct");
            let unit = metric.unit.as_deref().or(is_percent.then_some("percent"));
            let percent_or_more = Limits { max: Some(if metric.baseline_totals.is_some() { 0.01 } else { 1.0 }), ..Limits::default() };
            let quarter = Limits { max_ratio: Some(1.25), ..Limits::default() };
            let is_threshold = rule == Rule::ThresholdV1;
            let counted = metric.baseline_totals.is_some();
            let kind = metric.kind.unwrap_or(match () {
                () if metric.canary_buckets.is_some() => Kind::Distribution,
                () if is_rate || counted => Kind::Ratio,
                () => Kind::Value,
            });
            let limits = if let Some(recorded) = metric.limits {
                recorded
            } else if !is_threshold || kind == Kind::Distribution {
                Limits::default()
            } else if is_rate && (counted || unit == Some("percent")) {
                percent_or_more
            } else {
                quarter
            };
            json!({
                "name": metric.name,
                "kind": kind,
                "unit": unit,
                "direction": metric.direction,
                "accumulating": metric.role == "saturation" && ACCUMULATING.iter().any(|word| metric.name.contains(word)),
                "groups": if rule == Rule::NetflixAca && !metric.role.is_empty() { vec![metric.role.as_str()] } else { vec!["metrics"] },
                "limits": limits,
                "queries": if kind == Kind::Ratio && !counted { json!({"recorded": metric.name}) } else { json!({}) },
            })
        };
        let config = json!({
            "name": "derived",
            "judge": rule.judge().as_str(),
            "min_observation": "0s",
            "metrics": self.metrics.iter().map(metric).collect::<Vec<_>>(),
        });
        let config: CanaryConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.check().map_err(|invalid| invalid.to_string())
    }

    /// What is known of the metrics of `config`; a metric that was not recorded has no points.
    pub(super) fn evidence(&self, config: &CheckedConfig, full: bool) -> Evidence {
        let recorded: BTreeMap<&str, &CaseMetric> = self.metrics.iter().map(|metric| (metric.name.as_str(), metric)).collect();
        let observation = |metric: &Metric| match recorded.get(metric.name.as_str()) {
            Some(recorded) => recorded.observation(full, if self.null_is_absent { ABSENT } else { f64::NAN }),
            None => Observation::Sampled { baseline: ArmPoints::values(Vec::new()), canary: ArmPoints::values(Vec::new()) },
        };
        Evidence {
            observations: config.metrics.iter().map(observation).collect(),
            step_seconds: self.step_seconds,
            observed_seconds: self.observed_seconds.unwrap_or(self.step_seconds * self.points() as f64),
            comparison: if self.is_concurrent() { Comparison::Concurrent } else { Comparison::BeforeAfter },
            canary_share: self.canary_share,
            looks: self.looks,
            ramp: self.ramp.clone(),
            population: self.population.clone().map(Ok).or_else(|| self.population_failure.clone().map(Err)),
            advisory: false,
        }
    }

    /// The case as it was at look `look` of `looks`. The judge takes earlier looks apart in the same way. `None` where there was nothing
    /// yet.
    pub(super) fn at_look(&self, look: u32, looks: u32) -> Option<Self> {
        self.first(f64::from(look) / f64::from(looks))
    }

    /// The case as it was after a fraction of its window, 0 to 1: the first points of both arms. A baseline that lies before the canary
    /// and is not of its length was complete by then; one of its length is the canary's window some time earlier, and grew with it.
    /// `None` where there was nothing yet.
    pub(super) fn first(&self, fraction: f64) -> Option<Self> {
        let first = |n: usize| (n as f64 * fraction).round() as usize;
        let cut = |points: &mut Vec<Option<f64>>| points.truncate(first(points.len()));
        let cut_buckets = |buckets: &mut BucketSamples| buckets.counts.truncate(first(buckets.counts.len()));
        let mut case = self.clone();
        // A part of the window is no look of the plan that the whole one was of.
        case.looks = None;
        case.observed_seconds = self.observed_seconds.map(|seconds| seconds * fraction);
        let concurrent = self.is_concurrent();
        for metric in &mut case.metrics {
            let of_baseline = metric.baseline_buckets.as_ref().map_or(metric.baseline.len(), |buckets| buckets.counts.len());
            let of_window = metric.points();
            let grows_along = concurrent || of_baseline == of_window;
            metric.canary_buckets.iter_mut().for_each(cut_buckets);
            cut(&mut metric.canary);
            metric.canary_totals.iter_mut().for_each(cut);
            metric.canary_instances.iter_mut().flat_map(Instances::all_mut).for_each(cut);
            if grows_along {
                cut(&mut metric.baseline);
                metric.baseline_buckets.iter_mut().for_each(cut_buckets);
                metric.baseline_totals.iter_mut().for_each(cut);
                metric.baseline_instances.iter_mut().flat_map(Instances::all_mut).for_each(cut);
            }
            // They end at the clock at which the window does.
            let later = |n: usize| n - first(n);
            let (of_baseline, of_canary) = (if grows_along { later(of_baseline) } else { 0 }, later(of_window));
            for day in &mut metric.earlier {
                for (points, cut) in [(&mut day.baseline, of_baseline), (&mut day.canary, of_canary)] {
                    points.iter_mut().for_each(|points| points.leave_out_last(cut));
                }
            }
        }
        (case.points() > 0).then_some(case)
    }
}

impl CaseMetric {
    /// Points of the canary.
    fn points(&self) -> usize {
        self.canary_buckets.as_ref().map_or(self.canary.len(), |buckets| buckets.counts.len())
    }

    fn check_buckets(&self) -> Result<(), String> {
        let arms = [
            ("baseline_buckets", &self.baseline_buckets, Some(&self.baseline)),
            ("canary_buckets", &self.canary_buckets, Some(&self.canary)),
            ("baseline_history_buckets", &self.baseline_history_buckets, self.baseline_history.as_ref()),
            ("canary_history_buckets", &self.canary_history_buckets, self.canary_history.as_ref()),
        ];
        for (field, buckets, points) in arms {
            let Some(buckets) = buckets else { continue };
            if let Some((at, problem)) = buckets.problem() {
                return Err(format!("{field}.{}: {problem}", at.replace('/', ".")));
            }
            if points.is_some_and(|points| !points.is_empty()) || self.canary_totals.is_some() {
                return Err(format!("{field}: there are buckets and points; give one of the two"));
            }
        }
        if self.baseline_buckets.is_some() != self.canary_buckets.is_some() {
            return Err("canary_buckets: both arms need buckets, or neither; add those that are missing".to_owned());
        }
        if self.kind == Some(Kind::Distribution) && self.canary_buckets.is_none() {
            return Err("kind: a distribution has buckets; give baseline_buckets and canary_buckets, or another kind".to_owned());
        }
        if let Some(kind) = self.kind.filter(|kind| self.canary_buckets.is_some() && !matches!(kind, Kind::Distribution | Kind::Ratio)) {
            return Err(format!("kind: `{}` has no buckets; leave it out, or say `distribution`", name_of(kind)));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if let Some(seconds) = self.step_seconds.filter(|seconds| !(seconds.is_finite() && *seconds > 0.0)) {
            return Err(format!("step_seconds: {seconds} is no distance between points; give a number above 0"));
        }
        for (i, day) in self.earlier.iter().enumerate() {
            for (arm, points) in [("baseline", &day.baseline), ("canary", &day.canary)] {
                if let Some(problem) = points.as_ref().and_then(ArmSamples::problem) {
                    return Err(format!("earlier[{i}].{arm}: {problem}"));
                }
            }
        }
        if self.failure.is_some() {
            let has_points = !self.baseline.is_empty() || !self.canary.is_empty() || self.canary_buckets.is_some();
            return if has_points { Err("failure: there are points; give one of the two".to_owned()) } else { Ok(()) };
        }
        if self.baseline.is_empty() && self.canary.is_empty() && self.baseline_buckets.is_none() && self.canary_buckets.is_none() {
            return Err(
                "canary: neither arm has points; give `baseline` and `canary`, or `baseline_buckets` and `canary_buckets`".to_owned()
            );
        }
        self.check_buckets()?;
        let arms = [
            ("baseline_totals", &self.baseline_totals, Some(&self.baseline)),
            ("canary_totals", &self.canary_totals, Some(&self.canary)),
            ("baseline_history_totals", &self.baseline_history_totals, self.baseline_history.as_ref()),
            ("canary_history_totals", &self.canary_history_totals, self.canary_history.as_ref()),
        ];
        for (field, totals, events) in arms {
            let Some(totals) = totals else { continue };
            let events = events.map_or(0, Vec::len);
            if totals.len() != events {
                return Err(format!("{field}: {} totals do not go with {events} events; give one for each", totals.len()));
            }
        }
        if self.baseline_totals.is_some() != self.canary_totals.is_some() {
            return Err("canary_totals: both arms need totals, or neither; add those that are missing".to_owned());
        }
        if let Some(kind) = self.kind.filter(|kind| *kind != Kind::Ratio && self.canary_totals.is_some()) {
            return Err(format!("kind: `{}` has no totals; leave them out, or say `ratio`", name_of(kind)));
        }
        Ok(())
    }

    /// What a judge is given; `missing` is what stands for `null`.
    fn observation(&self, full: bool, missing: f64) -> Observation {
        if let Some(failure) = &self.failure {
            return Observation::Failed(failure.clone());
        }
        let numbers = |values: &[Option<f64>]| values.iter().map(|value| value.unwrap_or(missing)).collect::<Vec<f64>>();
        let points = |values: &[Option<f64>], totals: Option<&Vec<Option<f64>>>| match totals {
            Some(totals) => Points::Counts { events: numbers(values), totals: numbers(totals) },
            None => Points::Values(numbers(values)),
        };
        // What cannot be read was refused with the case.
        let of_buckets = |buckets: &BucketSamples| buckets.buckets().map_or_else(|_| Points::Values(Vec::new()), Points::Buckets);
        let arm = |arm: &CaseArm<'_>| {
            let days = self.earlier.iter().filter(|_| full);
            let mut earlier: Vec<Earlier> =
                days.filter_map(|day| Some(Earlier { days: day.days, points: (arm.of_day)(day)?.points().points })).collect();
            earlier.sort_by_key(|day| day.days);
            // A past without totals says nothing about counts.
            let known = full && arm.totals.is_some() == arm.past_totals.is_some();
            ArmPoints {
                points: arm.buckets.map_or_else(|| points(arm.values, arm.totals), of_buckets),
                instances: arm.instances.filter(|_| full).map(|instances| instances.named(&numbers)).unwrap_or_default(),
                history: match arm.buckets {
                    Some(_) => arm.past_buckets.filter(|_| full).map(of_buckets),
                    None => arm.past.filter(|_| known).map(|past| points(past, arm.past_totals)),
                },
                earlier,
                bounds: self.bucket_bounds.clone(),
                step_seconds: self.step_seconds,
            }
        };
        let both = self.baseline_buckets.is_some() && self.canary_buckets.is_some();
        Observation::Sampled {
            baseline: arm(&CaseArm {
                values: &self.baseline,
                totals: self.baseline_totals.as_ref(),
                past: self.baseline_history.as_ref(),
                past_totals: self.baseline_history_totals.as_ref(),
                buckets: self.baseline_buckets.as_ref().filter(|_| both),
                past_buckets: self.baseline_history_buckets.as_ref(),
                instances: self.baseline_instances.as_ref(),
                of_day: |day| day.baseline.as_ref(),
            }),
            canary: arm(&CaseArm {
                values: &self.canary,
                totals: self.canary_totals.as_ref(),
                past: self.canary_history.as_ref(),
                past_totals: self.canary_history_totals.as_ref(),
                buckets: self.canary_buckets.as_ref().filter(|_| both),
                past_buckets: self.canary_history_buckets.as_ref(),
                instances: self.canary_instances.as_ref(),
                of_day: |day| day.canary.as_ref(),
            }),
        }
    }
}

/// What a case says of one arm of a metric.
struct CaseArm<'a> {
    values: &'a [Option<f64>],
    totals: Option<&'a Vec<Option<f64>>>,
    past: Option<&'a Vec<Option<f64>>>,
    past_totals: Option<&'a Vec<Option<f64>>>,
    buckets: Option<&'a BucketSamples>,
    past_buckets: Option<&'a BucketSamples>,
    instances: Option<&'a Instances>,
    of_day: fn(&EarlierSamples) -> Option<&ArmSamples>,
}

/// A kind as cases write it.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Value => "value",
        Kind::Ratio => "ratio",
        Kind::Events => "events",
        Kind::Distribution => "distribution",
    }
}

impl Instances {
    fn named(&self, numbers: &dyn Fn(&[Option<f64>]) -> Vec<f64>) -> Vec<Instance> {
        match self {
            Self::Named(named) => named.iter().map(|(name, values)| Instance { name: name.clone(), values: numbers(values) }).collect(),
            Self::Numbered(all) => {
                all.iter().enumerate().map(|(i, values)| Instance { name: i.to_string(), values: numbers(values) }).collect()
            }
        }
    }

    pub(super) fn all_mut(&mut self) -> Box<dyn Iterator<Item = &mut Vec<Option<f64>>> + '_> {
        match self {
            Self::Named(named) => Box::new(named.values_mut()),
            Self::Numbered(all) => Box::new(all.iter_mut()),
        }
    }
}

pub(super) fn numbers(values: &[Option<f64>]) -> Vec<f64> {
    values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use haldane_judges::scorecard::Status;

    use super::*;

    /// A line whose canary has so many requests in each bucket.
    fn line(canary: &serde_json::Value) -> String {
        let rows = |row: &serde_json::Value, from: u32| {
            let row = row.as_array().unwrap().clone();
            let moved = |i: u32| {
                row.iter().map(|count| count.as_u64().map_or(0, |count| count + u64::from((i * i + from) % 5))).collect::<Vec<u64>>()
            };
            json!({ "bounds": [0.1, 0.2, 0.4, 0.8], "counts": (from..from + 20).map(moved).collect::<Vec<_>>() })
        };
        let baseline = json!([200, 300, 100, 20, 2]);
        json!({
            "id": "a", "pairing": "concurrent",
            "metrics": [{
                "name": "latency", "unit": "s", "direction": "increase",
                "baseline_buckets": rows(&baseline, 1), "canary_buckets": rows(canary, 7),
                "baseline_history_buckets": rows(&baseline, 2), "canary_history_buckets": rows(&baseline, 5)
            }]
        })
        .to_string()
    }

    #[test]
    fn recorded_buckets_are_judged_as_a_distribution_and_cut_with_their_window() {
        for (canary, expected) in [(json!([200, 300, 100, 20, 2]), Status::Pass), (json!([100, 200, 250, 80, 10]), Status::Regressed)] {
            let case = Case::parse(line(&canary).as_bytes()).unwrap();
            assert_eq!((case.points(), case.first(0.5).unwrap().points()), (20, 10));
            let config = case.derived_config(Rule::HaldaneV1).unwrap();
            assert_eq!(config.metrics[0].kind, Kind::Distribution);
            let judged = haldane_judges::judge(Rule::HaldaneV1.judge(), &config, &case.evidence(&config, true));
            assert_eq!(judged.metrics[0].status, expected, "{}", judged.metrics[0].sentence);
        }
    }

    #[test]
    fn buckets_that_are_none_are_refused_with_their_place() {
        let refused =
            |metric: serde_json::Value| Case::parse(json!({ "id": "a", "metrics": [metric] }).to_string().as_bytes()).unwrap_err();
        let good = json!({ "bounds": [1], "counts": [[1, 2], null] });
        for (metric, expected) in [
            (json!({ "name": "m" }), "metrics[0].canary: neither arm has points"),
            (json!({ "name": "m", "canary_buckets": good }), "metrics[0].canary_buckets: both arms need buckets"),
            (
                json!({ "name": "m", "canary_buckets": good, "baseline_buckets": { "bounds": [1], "counts": [[1]] } }),
                "metrics[0].baseline_buckets.counts.0: row 0",
            ),
            (json!({ "name": "m", "canary_buckets": good, "baseline_buckets": good, "canary": [1] }), "there are buckets and points"),
            (json!({ "name": "m", "canary_buckets": good, "baseline_buckets": good, "kind": "value" }), "kind: `value` has no buckets"),
            (json!({ "name": "m", "canary": [1], "baseline": [1], "kind": "distribution" }), "kind: a distribution has buckets"),
        ] {
            let said = refused(metric);
            assert!(said.contains(expected), "{said}");
        }
    }
}
