//! What is answered: a judgement with where every number came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use haldane_judges::Judgement;
use haldane_judges::evidence::{Arm, ArmPoints, Evidence, Observation, Points};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels::Labels;
use super::samples::MetricSamples;
use super::times::StageTimes;
use crate::source::Window;

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scorecard {
    /// The id by which the judgement can be asked for again; absent where it was judged on inline samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where people read it: the address of its report, for a service that knows its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the caller wrote on it, such as service, version or change; it decides nothing.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Version of the Haldane that judged.
    #[serde(default)]
    pub version: String,
    /// When it was judged. The only field, with `id`, `url` and `rerun`, that differs between two judgements of the same samples; but what is said
    /// of a tail that was young then, see `warnings`.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub judged_at: Timestamp,
    /// True when an earlier judgement with this id had been forgotten and the samples were fetched again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rerun: bool,
    /// The judge's answer.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Where the samples came from and over which times.
    pub data: Provenance,
    /// The samples themselves, shared by all who hold the scorecard; in no JSON until [`Scorecard::with_samples`] puts them there.
    #[serde(skip)]
    pub samples: Samples,
    /// How long it took; in no JSON.
    #[serde(skip)]
    pub times: StageTimes,
}

/// What a judge was given, where it is still at hand.
///
/// Two are equal whatever they hold: scorecards have a digest of their samples, and equal digests mean equal samples.
#[derive(Debug, Clone, Default)]
pub struct Samples(pub Option<Arc<Evidence>>);

impl PartialEq for Samples {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Samples {
    /// Those of the window alone, without what lies before it.
    #[must_use]
    pub fn of_window(&self) -> Self {
        let of_window = |evidence: &Arc<Evidence>| {
            let mut evidence = Evidence::clone(evidence);
            for observation in &mut evidence.observations {
                let Observation::Sampled { baseline, canary } = observation else { continue };
                for arm in [baseline, canary] {
                    (arm.history, arm.earlier) = (None, Vec::new());
                }
            }
            Arc::new(evidence)
        };
        Self(self.0.as_ref().map(of_window))
    }

    /// How many numbers they are.
    fn len(&self) -> usize {
        let points = |points: &Points| match points {
            Points::Values(values) => values.len(),
            Points::Counts { events, totals } => events.len() + totals.len(),
            Points::Buckets(buckets) => buckets.len() * (buckets.bounds().len() + 1),
        };
        let arm = |arm: &ArmPoints| {
            let instances = arm.instances.iter().map(|instance| instance.values.len()).sum::<usize>();
            let earlier = arm.earlier.iter().map(|earlier| points(&earlier.points)).sum::<usize>();
            points(&arm.points) + arm.history.as_ref().map_or(0, points) + instances + earlier + arm.bounds.len()
        };
        let metric = |observation: &Observation| match observation {
            Observation::Sampled { baseline, canary } => arm(baseline) + arm(canary),
            Observation::Failed(_) => 0,
        };
        self.0.as_ref().map_or(0, |evidence| evidence.observations.iter().map(metric).sum())
    }
}

impl Scorecard {
    /// The scorecard with every sample in it, for who asked for them.
    #[must_use]
    pub fn with_samples(mut self) -> Self {
        if let Some(evidence) = &self.samples.0 {
            for (metric, observation) in self.data.metrics.iter_mut().zip(&evidence.observations) {
                metric.samples = MetricSamples::of(observation);
            }
        }
        self
    }

    /// Whether samples are in it, as they are in one that an archive kept.
    #[must_use]
    pub fn has_samples(&self) -> bool {
        self.data.metrics.iter().any(|metric| metric.samples.is_some())
    }

    /// The scorecard with no sample in it.
    #[must_use]
    pub fn without_samples(mut self) -> Self {
        self.data.metrics.iter_mut().for_each(|metric| metric.samples = None);
        self
    }

    /// About how many bytes it takes in memory, its samples included.
    #[must_use]
    pub fn size(&self) -> usize {
        let attached = self.data.metrics.iter().filter_map(|metric| metric.samples.as_ref()).map(MetricSamples::len).sum::<usize>();
        self.size_without_samples() + size_of::<f64>() * self.samples.len() + size_of::<Option<f64>>() * attached
    }

    /// The same without its samples; in JSON it is about as long.
    #[must_use]
    pub fn size_without_samples(&self) -> usize {
        /// A metric's numbers, sentences and names; most are smaller.
        const METRIC: usize = 4096;
        let texts = self.data.metrics.iter().flat_map(|metric| &metric.queries).map(|query| query.query.len()).sum::<usize>();
        METRIC * (1 + self.judgement.metrics.len()) + texts
    }
}

/// Where the samples came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// Source the samples were read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What selected the baseline: its `scope`, `location` and other variables. Empty for samples that came with the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<String, String>,
    /// What selected the canary, likewise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub canary: BTreeMap<String, String>,
    /// When the canary's version was released, where that is known: only what its scope did until then is its past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub released_at: Option<Timestamp>,
    /// The canary's window, aligned to the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_window: Option<WindowSpan>,
    /// The baseline's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_window: Option<WindowSpan>,
    /// Distance between points, in seconds.
    pub step_seconds: u32,
    /// SHA-256 of all samples; equal digests mean equal data.
    pub digest: String,
    /// For each metric in the config's order, the queries of both arms and what came back.
    pub metrics: Vec<MetricProvenance>,
    /// The queries of both arms for who runs which version, where the config asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub population: Vec<QueryProvenance>,
}

/// A window as people read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowSpan {
    /// Start.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub start: Timestamp,
    /// End.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub end: Timestamp,
    /// Points in the window.
    pub points: usize,
}

/// Where one metric's samples came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricProvenance {
    /// The metric's name.
    pub name: String,
    /// The metric of the request's config that this is one pair of series of, where its queries returned several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_of: Option<String>,
    /// The labels that tell this pair of series from the others of its metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `inline`, or the store's kind.
    pub from: String,
    /// Distance between the metric's points, in seconds, where it is another than `data.step_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_seconds: Option<u32>,
    /// The queries, as the store was asked them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<QueryProvenance>,
    /// What else the store was asked for: the same clock of earlier days, and the bounds of histogram buckets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_read: Vec<AlsoRead>,
    /// What the samples of both arms are like; absent where they could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<MetricStatistics>,
    /// The series as they were judged, where the caller asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<MetricSamples>,
}

/// What the samples of both arms are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricStatistics {
    /// The baseline's.
    pub baseline: Statistics,
    /// The canary's.
    pub canary: Statistics,
}

/// What an arm's finite points are like, in the metric's unit (rates for counts, medians for buckets); all 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// Points.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Median.
    #[serde(default)]
    pub median: f64,
    /// 95 % of them are at or below it (Hyndman and Fan's definition 7).
    #[serde(default)]
    pub p95: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Standard deviation (divisor n - 1); 0 for one point.
    pub std: f64,
}

impl Statistics {
    pub(crate) fn of(points: &Points) -> Self {
        let finite = |values: &mut dyn Iterator<Item = f64>| values.filter(|value| value.is_finite()).collect::<Vec<f64>>();
        let values = match points {
            Points::Values(values) => finite(&mut values.iter().copied()),
            Points::Counts { events, totals } => finite(&mut events.iter().zip(totals).map(|(event, total)| event / total)),
            Points::Buckets(buckets) => finite(&mut buckets.quantiles(0.5).into_iter()),
        };
        if values.is_empty() {
            return Self::default();
        }
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = |share: f64| {
            let place = (sorted.len() - 1) as f64 * share;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            // Weighed and not subtracted, so that no finite values have an infinite quantile.
            let weight = place.fract();
            below * (1.0 - weight) + above * weight
        };
        // Divided before they are added, so that no finite values have an infinite mean.
        let n = values.len() as f64;
        let mean = values.iter().map(|value| value / n).sum::<f64>();
        let of_square = |value: &f64| (value - mean) * ((value - mean) / (n - 1.0).max(1.0));
        // Equal values have none, whatever the rounding of their mean.
        let variance = if sorted.first() == sorted.last() { 0.0 } else { values.iter().map(of_square).sum::<f64>() };
        Self {
            count: values.len(),
            mean,
            median: quantile(0.5),
            p95: quantile(0.95),
            min: quantile(0.0),
            max: quantile(1.0),
            std: variance.sqrt().min(f64::MAX),
        }
    }
}

/// One query and what came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryProvenance {
    /// The arm it selects.
    pub arm: Arm,
    /// `value`, `numerator`, `denominator`, `buckets` or `population`.
    pub part: String,
    /// Text in the store's language.
    pub query: String,
    /// Series that came back with a point in the window; absent where the query failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<usize>,
    /// Points of the window that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
    /// Points before the window that came back with them; absent where none were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_points: Option<usize>,
    /// Page that shows it, where the source's settings name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explore_url: Option<String>,
}

/// A query for what is read beside a metric's window and its past. A judgement goes on without it where it fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlsoRead {
    /// The arm it selects.
    pub arm: Arm,
    /// `earlier` for the same clock of an earlier day, `buckets` for the bounds of the histogram buckets that the values are interpolated in.
    pub part: String,
    /// How many days ago its window ends, for `earlier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Over which time it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowSpan>,
    /// Text in the store's language.
    pub query: String,
    /// Series that came back; absent where the query failed, or its reply was partial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<usize>,
    /// Points that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
}

/// A window as people read it; `None` where no calendar has it.
pub(super) fn span(window: Window) -> Option<WindowSpan> {
    let (start, end) = (Timestamp::from_second(window.start).ok()?, Timestamp::from_second(window.end).ok()?);
    Some(WindowSpan { start, end, points: window.len() })
}
