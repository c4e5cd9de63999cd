//! Samples on the wire: those that come with a request, and those that a scorecard shows to who asked.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::evidence::{ArmPoints, Buckets, Earlier, Instance, InvalidBuckets, Observation, Points, Spacing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Both arms' samples of one metric on the step grid. Of a request, a vector of numbers alone makes a value metric.
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
    /// One vector for each instance, by its name; only what callers send has it.
    Instances(BTreeMap<String, Vec<Option<f64>>>),
    /// The buckets of a histogram.
    Buckets(BucketSamples),
}

impl MetricSamples {
    /// What a judge was given of a metric; `None` where it could not be had.
    #[must_use]
    pub fn of(observation: &Observation) -> Option<Self> {
        let Observation::Sampled { baseline, canary } = observation else { return None };
        Some(Self {
            baseline: ArmSamples::of(&baseline.points),
            canary: ArmSamples::of(&canary.points),
            baseline_history: baseline.history.as_ref().map(ArmSamples::of),
            canary_history: canary.history.as_ref().map(ArmSamples::of),
            earlier: EarlierSamples::of(baseline, canary),
            bucket_bounds: baseline.bounds.clone(),
        })
    }

    /// How many numbers they are.
    pub(super) fn len(&self) -> usize {
        let earlier = self.earlier.iter().flat_map(|day| [&day.baseline, &day.canary]);
        let before = [&self.baseline_history, &self.canary_history];
        [&self.baseline, &self.canary].into_iter().chain(before.into_iter().chain(earlier).flatten()).map(ArmSamples::amount).sum()
    }

    /// What a judge is given; `with_history` says whether the points before the window are of use, `with_clock` whether those of earlier
    /// days are.
    pub(super) fn observation(&self, with_history: bool, with_clock: bool) -> Observation {
        let arm = |points: &ArmSamples, past: Option<&ArmSamples>, of_day: &dyn Fn(&EarlierSamples) -> Option<&ArmSamples>| {
            let days = self.earlier.iter().filter(|_| with_clock);
            let mut earlier: Vec<Earlier> =
                days.filter_map(|day| Some(Earlier { days: day.days, points: of_day(day)?.points().points })).collect();
            earlier.sort_by_key(|day| day.days);
            let history = past.filter(|_| with_history).map(|past| past.points().points);
            points.points().with_history(history).with_earlier(earlier).with_bounds(self.bucket_bounds.clone())
        };
        Observation::Sampled {
            baseline: arm(&self.baseline, self.baseline_history.as_ref(), &|day| day.baseline.as_ref()),
            canary: arm(&self.canary, self.canary_history.as_ref(), &|day| day.canary.as_ref()),
        }
    }
}

impl EarlierSamples {
    /// Both arms' samples of earlier days, day by day.
    pub(crate) fn of(baseline: &ArmPoints, canary: &ArmPoints) -> Vec<Self> {
        let of = |arm: &ArmPoints, days: u32| {
            arm.earlier.iter().find(|earlier| earlier.days == days).map(|earlier| ArmSamples::of(&earlier.points))
        };
        let days: BTreeSet<u32> = baseline.earlier.iter().chain(&canary.earlier).map(|earlier| earlier.days).collect();
        days.into_iter().map(|days| Self { days, baseline: of(baseline, days), canary: of(canary, days) }).collect()
    }
}

impl ArmSamples {
    /// An arm's points; an infinite one is `null` in JSON too, and who holds the samples themselves can tell.
    fn of(points: &Points) -> Self {
        let known = |values: &[f64]| values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect::<Vec<_>>();
        match points {
            Points::Values(values) => Self::Values(known(values)),
            Points::Counts { events, totals } => Self::Counts { events: known(events), totals: known(totals) },
            Points::Buckets(buckets) => Self::Buckets(BucketSamples::of(buckets)),
        }
    }

    /// How many intervals it has points of, those that are missing among them.
    pub(crate) fn intervals(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Counts { totals, .. } => totals.len(),
            Self::Instances(instances) => instances.values().map(Vec::len).max().unwrap_or(0),
            Self::Buckets(samples) => samples.counts.len(),
        }
    }

    /// What a judge is given.
    pub(crate) fn points(&self) -> ArmPoints {
        let known = |values: &[Option<f64>]| values.iter().map(|v| v.unwrap_or(f64::NAN)).collect::<Vec<f64>>();
        match self {
            Self::Values(values) => ArmPoints::values(known(values)),
            Self::Counts { events, totals } => ArmPoints::counts(known(events), known(totals)),
            Self::Instances(instances) => ArmPoints::from_instances(
                instances.iter().map(|(name, values)| Instance { name: name.clone(), values: known(values) }).collect(),
            ),
            // What could not be read was refused with the request.
            Self::Buckets(samples) => samples.buckets().map_or_else(|_| ArmPoints::values(Vec::new()), ArmPoints::buckets),
        }
    }

    /// Leaves out the last intervals.
    pub(crate) fn leave_out_last(&mut self, intervals: usize) {
        let cut = |values: &mut Vec<Option<f64>>| values.truncate(values.len().saturating_sub(intervals));
        match self {
            Self::Values(values) => cut(values),
            Self::Counts { events, totals } => [events, totals].into_iter().for_each(cut),
            Self::Instances(instances) => instances.values_mut().for_each(cut),
            Self::Buckets(samples) => samples.counts.truncate(samples.counts.len().saturating_sub(intervals)),
        }
    }

    /// What is wrong with them; `None` where they can be judged.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::Counts { events, totals } if events.len() != totals.len() => {
                Some(format!("{} events and {} totals; give one of each an interval", events.len(), totals.len()))
            }
            Self::Buckets(samples) => samples.problem().map(|(at, problem)| format!("{at}: {problem}")),
            Self::Values(_) | Self::Counts { .. } | Self::Instances(_) => None,
        }
    }

    /// Number of intervals.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Counts { events, totals } => events.len().max(totals.len()),
            Self::Instances(instances) => instances.values().map(Vec::len).max().unwrap_or(0),
            Self::Buckets(samples) => samples.counts.len(),
        }
    }

    /// One number an interval: rates for counts, medians for buckets, the mean of what reports for instances; `None` where there is none.
    #[must_use]
    pub fn numbers(&self) -> Vec<Option<f64>> {
        let known = |value: f64| (!value.is_nan()).then_some(value);
        match self {
            Self::Values(values) => values.clone(),
            Self::Counts { events, totals } => events.iter().zip(totals).map(|(event, total)| known((*event)? / (*total)?)).collect(),
            Self::Instances(_) => match self.points().points {
                Points::Values(values) => values.into_iter().map(known).collect(),
                Points::Counts { .. } | Points::Buckets(_) => Vec::new(),
            },
            Self::Buckets(samples) => samples.quantiles(0.5),
        }
    }

    fn amount(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Counts { events, totals } => events.len() + totals.len(),
            Self::Instances(instances) => instances.values().map(Vec::len).sum(),
            Self::Buckets(samples) => samples.counts.len() * (samples.bounds.len() + 1),
        }
    }

    /// The shape, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Values(_) => "numbers",
            Self::Counts { .. } => "events and totals",
            Self::Instances(_) => "instances",
            Self::Buckets(_) => "buckets",
        }
    }
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
    /// What a judge was given.
    pub(crate) fn of(buckets: &Buckets) -> Self {
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

    /// A quantile of each interval, above 0 and below 1; `None` where it has no requests.
    #[must_use]
    pub fn quantiles(&self, tau: f64) -> Vec<Option<f64>> {
        let quantiles = self.buckets().map(|buckets| buckets.quantiles(tau)).unwrap_or_default();
        quantiles.into_iter().map(|quantile| quantile.is_finite().then_some(quantile)).collect()
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
