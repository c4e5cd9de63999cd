//! The use case: plan the queries, fetch both arms, align them on the step grid, judge, and keep the evidence.
//!
//! Every edge translates what it is told into a [`Request`] and renders the [`Scorecard`] that [`Analyst::run`] answers with.

use std::collections::BTreeMap;

use haldane_judges::evidence::{Arm, Buckets, InvalidBuckets, Looks, Points, Spacing};
use haldane_judges::{CanaryConfig, JudgeName, Judgement};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::{Query, Window};

mod align;
mod arms;
mod beside;
mod fetch;
mod pairing;
mod plan;
mod population;
mod run;

pub(crate) use align::resolution::{least_common_multiple, repeats, stride};
pub(crate) use arms::histogram_points;
pub use run::{AnalysisError, Analyst, Limits, Progress, name_of_series};

/// Everything that a judgement depends on, with nothing left to look up but the samples: the config itself, absolute times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The judge that decides.
    pub judge: JudgeName,
    /// The config, resolved. It is checked again when a request is read back from an id.
    pub config: CanaryConfig,
    /// Source to read from; `None` where every metric carries its samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What selects the baseline.
    pub baseline: Scope,
    /// What selects the canary.
    pub canary: Scope,
    /// The canary's window; `None` where every metric carries its samples and no times were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Distance between inline points, in seconds, where there is no window.
    pub step_seconds: u32,
    /// How much earlier the baseline's window lies, in seconds; 0 compares over the same window.
    #[serde(default)]
    pub baseline_offset_seconds: u32,
    /// The baseline's window where it is not simply the canary's, so many seconds earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_window: Option<Window>,
    /// Share of the arms' traffic that goes to the canary, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_share: Option<f64>,
    /// When the caller means to end the observation, for remedies and looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_end: Option<Timestamp>,
    /// When the canary's version was released. Its past counts as what healthy looks like up to then only; without it none of it does,
    /// since what runs already would else be held against itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// The plan of repeated judgements that this is one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<Looks>,
    /// Shares of the traffic that the canary is to receive one after the other, each above 0 and at most 1, rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramp: Vec<f64>,
    /// Whether the verdict is to be recorded only, and the answer a pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
    /// Samples that came with the request, by metric name; those metrics are not fetched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples: BTreeMap<String, InlineSamples>,
    /// Queries that an edge has made itself, by metric name; they take the place of the config's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<String, ArmQueries>,
}

impl Request {
    /// The baseline's window.
    #[must_use]
    pub fn baseline_window(&self) -> Option<Window> {
        self.baseline_window.or_else(|| Some(self.window?.earlier(i64::from(self.baseline_offset_seconds))))
    }
}

/// Both arms' queries of one metric, complete. Where they return several series, each pair of series is judged as a metric of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmQueries {
    /// The baseline's.
    pub baseline: Query,
    /// The canary's.
    pub canary: Query,
    /// Labels that tell the series of an arm apart. None: those that both arms' series have in common.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pair_by: Vec<String>,
}

/// What selects one arm in the metric store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Template variables of this arm, `scope` and `location` among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// Samples of one metric that came with the request, in either of two shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InlineSamples {
    /// The baseline's points.
    pub baseline: InlineArm,
    /// The canary's points.
    pub canary: InlineArm,
    /// The baseline's points before the window, in the same shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_history: Option<InlineArm>,
    /// The canary's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_history: Option<InlineArm>,
    /// Both arms' points at the same clock of earlier days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<InlineEarlier>,
    /// Upper bounds of the histogram buckets that the values are interpolated in, in the metric's unit; finite and rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bucket_bounds: Vec<f64>,
}

/// The points of a metric some days ago, of either arm or both, in the shape of the window's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InlineEarlier {
    /// How many days ago, 1 to 14; each day is given once.
    pub days: u32,
    /// The baseline's: those that lie exactly so many days before its window, and what lay before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<InlineArm>,
    /// The canary's, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<InlineArm>,
}

impl InlineArm {
    /// Number of intervals.
    fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Counts { events, totals } => events.len().max(totals.len()),
            Self::Instances(instances) => instances.values().map(Vec::len).max().unwrap_or(0),
            Self::Buckets(samples) => samples.counts.len(),
        }
    }

    /// The shape, in words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Values(_) => "numbers",
            Self::Counts { .. } => "events and totals",
            Self::Instances(_) => "instances",
            Self::Buckets(_) => "buckets",
        }
    }
}

/// One arm's inline points; `None` is a missing point. A vector of numbers alone makes a value metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InlineArm {
    /// One number an interval.
    Values(Vec<Option<f64>>),
    /// Events and totals of a ratio.
    Counts {
        /// Events of each interval.
        events: Vec<Option<f64>>,
        /// Totals of each interval.
        totals: Vec<Option<f64>>,
    },
    /// One vector for each instance, by its name.
    Instances(BTreeMap<String, Vec<Option<f64>>>),
    /// The buckets of a histogram.
    Buckets(BucketSamples),
}

/// The requests in each bucket of a histogram, interval by interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketSamples {
    /// Upper bounds of the buckets, in the metric's unit; finite and rising, at most 1,000.
    pub bounds: Vec<f64>,
    /// For each interval the requests in each bucket, one more than there are bounds: the last lie above the last bound. `null` where the
    /// interval is missing.
    pub counts: Vec<Option<Vec<f64>>>,
    /// How a quantile is interpolated within a bucket: `linear` (default), or `exponential` as of native histograms.
    #[serde(default, skip_serializing_if = "is_linear")]
    pub spacing: Spacing,
}

fn is_linear(spacing: &Spacing) -> bool {
    *spacing == Spacing::Linear
}

impl BucketSamples {
    fn of(buckets: &Buckets) -> Self {
        let counts = buckets.rows().zip(buckets.totals()).map(|(row, total)| total.is_finite().then(|| row.to_vec())).collect();
        Self { bounds: buckets.bounds().to_vec(), counts, spacing: buckets.spacing() }
    }

    /// What a judge is given.
    ///
    /// # Errors
    /// [`InvalidBuckets`] where they are none.
    pub fn buckets(&self) -> Result<Buckets, InvalidBuckets> {
        Buckets::from_rows(self.bounds.clone(), &self.counts, self.spacing)
    }

    /// The median of each interval; `None` where it has no requests.
    pub(crate) fn medians(&self) -> Vec<Option<f64>> {
        let medians = self.buckets().map(|buckets| buckets.quantiles(0.5)).unwrap_or_default();
        medians.into_iter().map(|median| median.is_finite().then_some(median)).collect()
    }

    /// What is wrong with them: the place within the samples, and what to do about it.
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        for (i, row) in self.counts.iter().enumerate() {
            let wrong = |count: &f64| !(count.is_finite() && *count >= 0.0);
            if let Some((j, count)) = row.iter().flatten().enumerate().find(|(_, count)| wrong(count)) {
                return Some((
                    format!("counts/{i}/{j}"),
                    format!("{count} is no number of requests; give 0 or more, or null for the whole interval"),
                ));
            }
        }
        let error = Buckets::from_rows(self.bounds.clone(), &self.counts, self.spacing).err()?;
        let at = match &error {
            InvalidBuckets::Number(_) => "bounds".to_owned(),
            InvalidBuckets::Order(bound) => format!("bounds/{bound}"),
            InvalidBuckets::Row { row, .. } => format!("counts/{row}"),
        };
        Some((at, error.to_string()))
    }
}

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scorecard {
    /// The id by which the judgement can be asked for again; absent where it was judged on inline samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it was judged. The only field, with `id` and `rerun`, that differs between two judgements of the same samples; but what is said
    /// of a tail that was young then, see `warnings`.
    #[schemars(with = "String")]
    pub judged_at: Timestamp,
    /// True when an earlier judgement with this id had been forgotten and the samples were fetched again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rerun: bool,
    /// The judge's answer.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Where the samples came from and over which times.
    pub data: Provenance,
}

/// Where the samples came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// Source the samples were read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
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
    #[schemars(with = "String")]
    pub start: Timestamp,
    /// End.
    #[schemars(with = "String")]
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
        // Divided before they are added, so that no finite values have an infinite mean.
        let n = values.len() as f64;
        let mean = values.iter().map(|value| value / n).sum::<f64>();
        let variance = values.iter().map(|value| (value - mean) * ((value - mean) / (n - 1.0).max(1.0))).sum::<f64>();
        Self {
            count: values.len(),
            mean,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
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
fn span(window: Window) -> Option<WindowSpan> {
    let (start, end) = (Timestamp::from_second(window.start).ok()?, Timestamp::from_second(window.end).ok()?);
    Some(WindowSpan { start, end, points: window.len() })
}

/// Both arms' samples on the step grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSamples {
    /// The baseline's.
    pub baseline: ArmSamples,
    /// The canary's.
    pub canary: ArmSamples,
    /// The baseline's before the window, where they were judged by: oldest first, up to where the window starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_history: Option<ArmSamples>,
    /// The canary's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_history: Option<ArmSamples>,
    /// Both arms' at the same clock of earlier days, where they were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierSamples>,
    /// Upper bounds of the histogram buckets that the values are interpolated in, in the metric's unit, rising; where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bucket_bounds: Vec<f64>,
}

/// The samples of an earlier day, which end exactly so many days before the arm's window does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EarlierSamples {
    /// How many days ago.
    pub days: u32,
    /// The baseline's: that day's window, and what lay before it as far as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<ArmSamples>,
    /// The canary's, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<ArmSamples>,
}

/// One arm's samples; `null` is a missing point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArmSamples {
    /// One number an interval.
    Values(Vec<Option<f64>>),
    /// Events and totals of a ratio.
    Counts {
        /// Events of each interval.
        events: Vec<Option<f64>>,
        /// Totals of each interval.
        totals: Vec<Option<f64>>,
    },
    /// The buckets of a histogram.
    Buckets(BucketSamples),
}
