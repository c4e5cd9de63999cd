//! What a judge is given: the samples of both arms on one step grid, and what is known about how they were taken.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::buckets::{Buckets, InvalidBuckets, Spacing};

/// The judges, by the names that configs and requests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum JudgeName {
    /// Fail is proved, pass is earned, all else is marginal with what would settle it; declared limits always hold.
    #[serde(rename = "haldane-v1")]
    HaldaneV1,
    /// The declared limits alone.
    #[serde(rename = "threshold-v1")]
    ThresholdV1,
    /// Kayenta's judge, to the last bit.
    #[serde(rename = "NetflixACAJudge-v1.0")]
    NetflixAca,
}

impl JudgeName {
    /// Every judge, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::HaldaneV1, Self::ThresholdV1, Self::NetflixAca];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HaldaneV1 => "haldane-v1",
            Self::ThresholdV1 => "threshold-v1",
            Self::NetflixAca => "NetflixACAJudge-v1.0",
        }
    }

    /// What the judge does, in a sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::HaldaneV1 => {
                "Fails a metric on proof that it is worse beyond its tolerance and beyond what is usual there, or past a declared limit; \
                 passes it when a worsening that must be detectable is excluded; says of all else what would settle it."
            }
            Self::ThresholdV1 => "Applies the declared limits and no statistics, with exact binomial bounds for ratios.",
            Self::NetflixAca => {
                "Computes what Spinnaker's Kayenta computes, to the last bit: a Mann-Whitney interval of the shift at 98 % and weighted \
                 group scores. For canaries that must keep Kayenta's verdicts; it has none of the guards of haldane-v1."
            }
        }
    }
}

impl fmt::Display for JudgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no judge has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown judge `{0}`; use `haldane-v1`, `threshold-v1` or `NetflixACAJudge-v1.0`")]
pub struct UnknownJudge(String);

impl FromStr for JudgeName {
    type Err = UnknownJudge;

    fn from_str(name: &str) -> Result<Self, UnknownJudge> {
        Self::ALL.into_iter().find(|judge| judge.as_str() == name).ok_or_else(|| UnknownJudge(name.chars().take(60).collect()))
    }
}

/// One of the two things compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// What runs already.
    Baseline,
    /// What is to be released.
    Canary,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Canary => "canary",
        })
    }
}

/// How the arms lie in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Both arms over the same window.
    #[default]
    Concurrent,
    /// The baseline's window lies before the canary's.
    BeforeAfter,
}

/// A `NaN` that says more than others: the metric store returned no point at all, where a plain one may be a point that it returned
/// and that is not a number, such as 0 / 0. Kayenta's judge alone tells them apart, by [`is_absent`].
pub const ABSENT: f64 = f64::from_bits(0x7ff8_0000_0000_ab5e);

/// Whether a value is [`ABSENT`].
#[must_use]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// One arm's points of one metric, one entry for each interval of the window, oldest first.
///
/// `NaN` is a missing point; an infinite one is counted and then taken for missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Points {
    /// One number an interval.
    Values(Vec<f64>),
    /// Events and their total in each interval; both vectors have the same length.
    Counts {
        /// Events, such as failed requests.
        events: Vec<f64>,
        /// Everything that could have been such an event.
        totals: Vec<f64>,
    },
    /// The requests in each bucket of a histogram, in each interval.
    Buckets(Buckets),
}

impl Points {
    /// Number of intervals, with and without data.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Counts { events, totals } => events.len().max(totals.len()),
            Self::Buckets(buckets) => buckets.len(),
        }
    }

    /// Whether there is no interval at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One instance's points of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its name in the metric store, such as a pod's.
    pub name: String,
    /// One entry for each interval, `NaN` where missing, oldest first and up to the window's end; what a shorter one lacks is missing.
    pub values: Vec<f64>,
}

/// One arm of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmPoints {
    /// The arm's points; the mean of its instances where the metric is read per instance.
    pub points: Points,
    /// The instances, where the metric is read per instance.
    pub instances: Vec<Instance>,
    /// The arm's points before the window, oldest first, on the same grid and ending where the window starts; `None` where they
    /// were not asked for. Placebo windows are cut from them.
    pub history: Option<Points>,
    /// The arm's points at the same clock time of earlier days; empty where they were not asked for or do not exist.
    pub earlier: Vec<Earlier>,
    /// Upper bounds of the histogram buckets that the values are interpolated in, in the metric's unit, rising; empty where the values
    /// are no quantiles of a histogram, or where that is not known.
    pub bounds: Vec<f64>,
    /// Distance between the points, in seconds, above 0, where it is not the evidence's: where a metric store has fewer points than were
    /// asked for. Both arms of a metric have the same.
    pub step_seconds: Option<f64>,
}

/// An arm's points some days ago, on the same grid moved back by whole days.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// How many days ago; 1 or more.
    pub days: u32,
    /// One entry for each interval, `NaN` where missing, oldest first, ending exactly that many days before the window's end and so
    /// holding that day's window and as much of what lay before it as was read.
    pub points: Points,
}

impl ArmPoints {
    /// An arm of which only the window's points are known.
    #[must_use]
    pub fn of(points: Points) -> Self {
        Self { points, instances: Vec::new(), history: None, earlier: Vec::new(), bounds: Vec::new(), step_seconds: None }
    }

    /// An arm that is one series.
    #[must_use]
    pub fn values(values: Vec<f64>) -> Self {
        Self::of(Points::Values(values))
    }

    /// An arm that is events out of totals.
    #[must_use]
    pub fn counts(events: Vec<f64>, totals: Vec<f64>) -> Self {
        Self::of(Points::Counts { events, totals })
    }

    /// An arm that is the buckets of a histogram.
    #[must_use]
    pub fn buckets(buckets: Buckets) -> Self {
        Self::of(Points::Buckets(buckets))
    }

    /// An arm whose points are the sum of its instances' buckets, each with its name; the instances' values are their medians, interval by
    /// interval. Instances whose layouts differ are added at the bounds that they share; `None` where they share none, or there are none.
    #[must_use]
    pub fn from_bucket_instances(instances: &[(String, Buckets)]) -> Option<Self> {
        let all: Vec<&Buckets> = instances.iter().map(|(_, buckets)| buckets).collect();
        let (bounds, spacing) = (Buckets::shared_bounds(&all), all.first()?.spacing());
        let intervals = all.iter().map(|one| one.len()).max().unwrap_or(0);
        let mut sum = Buckets::empty(bounds.clone(), intervals, spacing).ok()?;
        for one in &all {
            sum.add(&one.at_bounds(&bounds, spacing)?)?;
        }
        let medians = |(name, buckets): &(String, Buckets)| Instance { name: name.clone(), values: buckets.quantiles(0.5) };
        let mut instances: Vec<Instance> = instances.iter().map(medians).collect();
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        Some(Self { instances, ..Self::buckets(sum) })
    }

    /// An arm whose points are the mean of its instances, interval by interval, over those that report. All end with the window: one
    /// that has fewer points than others started later.
    #[must_use]
    pub fn from_instances(mut instances: Vec<Instance>) -> Self {
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        let length = instances.iter().map(|instance| instance.values.len()).max().unwrap_or(0);
        let (mut sums, mut counts) = (vec![0.0; length], vec![0u32; length]);
        for instance in &instances {
            let start = length - instance.values.len();
            for ((sum, count), v) in sums[start..].iter_mut().zip(&mut counts[start..]).zip(&instance.values).filter(|(_, v)| v.is_finite())
            {
                *sum += v;
                *count += 1;
            }
        }
        let mean = |(sum, count): (f64, u32)| if count == 0 { f64::NAN } else { sum / f64::from(count) };
        Self { instances, ..Self::values(sums.into_iter().zip(counts).map(mean).collect()) }
    }

    /// The same arm with the points before its window.
    #[must_use]
    pub fn with_history(mut self, history: Option<Points>) -> Self {
        self.history = history;
        self
    }

    /// The same arm with its points at the same clock time of earlier days.
    #[must_use]
    pub fn with_earlier(mut self, earlier: Vec<Earlier>) -> Self {
        self.earlier = earlier;
        self
    }

    /// The same arm with the bounds of the buckets that its values are interpolated in.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Vec<f64>) -> Self {
        self.bounds = bounds;
        self
    }

    /// The same arm with its bucket bounds, and what its instances read between them, multiplied by a factor above 0: bounds as a metric
    /// store has them, in the metric's unit ([`Metric::bucket_factor`](crate::config::Metric::bucket_factor)). Other arms stay as they are.
    #[must_use]
    pub fn in_unit(mut self, factor: f64) -> Self {
        if factor == 1.0 || !matches!(self.points, Points::Buckets(_)) {
            return self;
        }
        let scaled = |points: Points| match points {
            Points::Buckets(buckets) => Points::Buckets(buckets.scaled(factor)),
            other => other,
        };
        self.points = scaled(self.points);
        self.history = self.history.map(scaled);
        self.earlier = self.earlier.into_iter().map(|day| Earlier { days: day.days, points: scaled(day.points) }).collect();
        self.instances.iter_mut().flat_map(|one| &mut one.values).for_each(|v| *v *= factor);
        self
    }

    /// The same arm with the distance between its points, where that is not the evidence's.
    #[must_use]
    pub fn with_step(mut self, seconds: Option<f64>) -> Self {
        self.step_seconds = seconds;
        self
    }
}

/// Why one metric's samples could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FetchFailure {
    /// The arm whose query failed.
    pub arm: Arm,
    /// Stable word: `refused`, `unreachable`, `timeout`, `deadline`, `unreadable`, `too_large`, `many_series`, `no_query`,
    /// `young`, `partial` (the store calls its reply incomplete), `same_query` (both arms ask for one and the same thing).
    pub reason: String,
    /// What happened, with the metric store's own words where it gave any.
    pub message: String,
}

/// What is known about one metric.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all are samples")]
pub enum Observation {
    /// Samples of both arms, which may be empty.
    Sampled {
        /// The baseline's points.
        baseline: ArmPoints,
        /// The canary's points.
        canary: ArmPoints,
    },
    /// The samples could not be had.
    Failed(FetchFailure),
}

/// A plan of repeated judgements of one canary while its window grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Looks {
    /// Which judgement of the plan this is, from 1.
    pub look: u32,
    /// Judgements in the plan; at least `look`.
    pub looks: u32,
    /// Whether a healthy canary may pass before the last one. That gives up part of the control over false passes.
    #[serde(default)]
    pub early_pass: bool,
}

/// One instance of an arm and the version it says it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Its name in the metric store, such as a pod's.
    pub instance: String,
    /// The version it reports.
    pub version: String,
    /// Points it reported in the window.
    pub points: usize,
    /// Whether it reported in one of the last two intervals of the window.
    pub at_end: bool,
}

/// Who runs what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Population {
    /// The baseline's instances. One that changed its version is listed with each.
    pub baseline: Vec<Member>,
    /// The canary's.
    pub canary: Vec<Member>,
}

/// Everything a judge needs beside the config.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// One for each metric of the config, in its order.
    pub observations: Vec<Observation>,
    /// Distance between points, in seconds, above 0, where a metric has none of its own.
    pub step_seconds: f64,
    /// Length of the canary's window, in seconds.
    pub observed_seconds: f64,
    /// How the arms lie in time.
    pub comparison: Comparison,
    /// Share of the arms' traffic that was sent to the canary, 0 to 1, where the caller says it.
    pub canary_share: Option<f64>,
    /// The plan of repeated judgements, where there is one.
    pub looks: Option<Looks>,
    /// Shares of the traffic that the canary is to receive one after the other, each above 0 and at most 1, rising; empty where the
    /// caller states none.
    pub ramp: Vec<f64>,
    /// Who runs what, where the config asks for it; or why that could not be had.
    pub population: Option<Result<Population, FetchFailure>>,
    /// Whether the request asks for advice only, whatever the config says.
    pub advisory: bool,
}

impl Evidence {
    /// Distance between the points of one metric, in seconds.
    #[must_use]
    pub fn step_seconds_of(&self, metric: usize) -> f64 {
        match self.observations.get(metric) {
            Some(Observation::Sampled { canary, .. }) => canary.step_seconds.unwrap_or(self.step_seconds),
            _ => self.step_seconds,
        }
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            observations: Vec::new(),
            step_seconds: 60.0,
            observed_seconds: 0.0,
            comparison: Comparison::Concurrent,
            canary_share: None,
            looks: None,
            ramp: Vec::new(),
            population: None,
            advisory: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_instances_takes_each_point_at_its_distance_from_the_end() {
        let instance = |name: &str, values: &[f64]| Instance { name: name.to_owned(), values: values.to_vec() };
        let long = instance("a", &[1.0, 2.0, 3.0, 4.0, f64::NAN]);
        let arm = ArmPoints::from_instances(vec![instance("c", &[]), long, instance("b", &[f64::NAN, 10.0, 20.0])]);
        assert_eq!(arm.points, Points::Values(vec![1.0, 2.0, 3.0, 7.0, 20.0]));
        assert!(ArmPoints::from_instances(Vec::new()).points.is_empty());
    }
}
