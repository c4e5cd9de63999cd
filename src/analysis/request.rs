//! What is asked: everything that a judgement depends on, with nothing left to look up but the samples.

use std::collections::BTreeMap;

use haldane_judges::config::Metric;
use haldane_judges::evidence::Looks;
use haldane_judges::{CanaryConfig, CheckedConfig, JudgeName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{AnalysisError, invalid};
use super::labels::Labels;
use super::limits::AnalysisLimits;
use super::samples::{ArmSamples, MetricSamples};
use crate::source::{MAX_VALUES, Query, Window};

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
    /// What the caller wrote on it; kept with the scorecard, and never looked at.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Samples that came with the request, by metric name; those metrics are not fetched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples: BTreeMap<String, MetricSamples>,
    /// Queries that an edge has made itself, by metric name; they take the place of the config's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<String, ArmQueries>,
}

impl Request {
    /// Checks what can be checked without a metric store.
    pub(super) fn check(&self, config: &CheckedConfig, limits: AnalysisLimits) -> Result<(), AnalysisError> {
        self.labels.check().map_err(|(label, message)| invalid(format!("/labels{label}"), message))?;
        check_sizes(self, limits)?;
        check_samples(self, config, limits)
    }

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

fn check_sizes(request: &Request, limits: AnalysisLimits) -> Result<(), AnalysisError> {
    if request.step_seconds == 0 || request.window.is_some_and(|window| window.step_seconds == 0) {
        return Err(invalid("/window/step", "0s is no distance between points; give at least 1s"));
    }
    if let Some(share) = request.canary_share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
        return Err(invalid("/canary_share", format!("{share} is no share of the traffic; give a number above 0 and below 1")));
    }
    // Where nothing is fetched, no metric store's limit counts.
    let given = |metric: &Metric| request.samples.contains_key(&metric.name);
    let inline = request.config.population.is_none() && request.config.metrics.iter().all(given);
    let most = if inline { limits.max_inline_points.max(limits.max_points) } else { limits.max_points };
    let own = request.queries.values().flat_map(|queries| [queries.baseline.window, queries.canary.window]);
    for window in request.window.into_iter().chain(request.baseline_window).chain(own) {
        if window.step_seconds == 0 {
            return Err(invalid("/window/step", "0s is no distance between points; give at least 1s"));
        }
        if window.is_empty() {
            let message = format!("the window holds no whole step of {} s; make it longer or the step shorter", window.step_seconds);
            return Err(invalid("/window", message));
        }
        if window.len() > most {
            let fitting = window.seconds().unsigned_abs().div_ceil(most as u64);
            let message = format!("{} points are more than {most}; a step of {fitting}s fits", window.len());
            return Err(invalid("/window/step", message));
        }
    }
    Ok(())
}

fn check_samples(request: &Request, config: &CheckedConfig, limits: AnalysisLimits) -> Result<(), AnalysisError> {
    for (name, samples) in &request.samples {
        let pointer = |arm: &str| format!("/samples/{}/{arm}", name.replace('~', "~0").replace('/', "~1"));
        if !config.metrics.iter().any(|metric| metric.name == *name) {
            let message = format!("config `{}` has no metric `{}`", config.name, name.chars().take(60).collect::<String>());
            return Err(invalid(pointer("").trim_end_matches('/').to_owned(), message));
        }
        let arms = [("baseline", &samples.baseline, &samples.baseline_history), ("canary", &samples.canary, &samples.canary_history)];
        for (arm, points, history) in arms {
            if let Some(history) = history.as_ref().filter(|history| history.kind() != points.kind()) {
                let message = format!(
                    "the points before the window are {}, and those of the window {}; give the same",
                    history.kind(),
                    points.kind()
                );
                return Err(invalid(pointer(&format!("{arm}_history")), message));
            }
        }
        check_earlier(samples).map_err(|(field, message)| invalid(pointer(&field), message))?;
        let histories = [("baseline_history", samples.baseline_history.as_ref()), ("canary_history", samples.canary_history.as_ref())];
        let histories = histories.into_iter().filter_map(|(field, points)| Some((field.to_owned(), points?)));
        let earlier = samples.earlier.iter().enumerate().flat_map(|(i, day)| {
            let arms = [("baseline", &day.baseline), ("canary", &day.canary)];
            arms.into_iter().filter_map(move |(arm, points)| Some((format!("earlier/{i}/{arm}"), points.as_ref()?)))
        });
        let windows = [("baseline".to_owned(), &samples.baseline), ("canary".to_owned(), &samples.canary)];
        for (arm, points) in windows.into_iter().chain(histories).chain(earlier) {
            let longest = match points {
                ArmSamples::Values(values) => values.len(),
                ArmSamples::Counts { events, totals } => {
                    if events.len() != totals.len() {
                        let message = format!("{} events and {} totals; give one of each an interval", events.len(), totals.len());
                        return Err(invalid(pointer(&arm), message));
                    }
                    events.len()
                }
                ArmSamples::Buckets(samples) => {
                    if let Some((field, message)) = samples.problem() {
                        return Err(invalid(format!("{}/{field}", pointer(&arm)), message));
                    }
                    let held = samples.counts.len().saturating_mul(samples.bounds.len().saturating_add(1));
                    if held > MAX_VALUES {
                        let message = format!(
                            "{} intervals of {} buckets are more than {MAX_VALUES} counts; give fewer bounds, or intervals further apart",
                            samples.counts.len(),
                            samples.bounds.len() + 1
                        );
                        return Err(invalid(pointer(&arm), message));
                    }
                    points.len()
                }
                ArmSamples::Instances(_) => points.len(),
            };
            if longest > limits.max_inline_points {
                let message = format!("{longest} points are more than {}; give fewer, further apart", limits.max_inline_points);
                return Err(invalid(pointer(&arm), message));
            }
        }
    }
    Ok(())
}

/// Longest ago that samples of an earlier day may lie.
const MOST_DAYS: u32 = 14;

/// Checks the samples of earlier days, and the bounds of buckets; the field within the metric's samples with what is wrong.
fn check_earlier(samples: &MetricSamples) -> Result<(), (String, String)> {
    for (i, day) in samples.earlier.iter().enumerate() {
        let field = |name: &str| format!("earlier/{i}/{name}");
        if !(1..=MOST_DAYS).contains(&day.days) {
            return Err((field("days"), format!("{} days ago is not read; give 1 to {MOST_DAYS}", day.days)));
        }
        if samples.earlier[..i].iter().any(|other| other.days == day.days) {
            return Err((field("days"), format!("{} days ago is given twice; give each day once", day.days)));
        }
        if day.baseline.is_none() && day.canary.is_none() {
            return Err((format!("earlier/{i}"), "has no points; give those of the baseline, the canary or both".to_owned()));
        }
        for (arm, points, window) in [("baseline", &day.baseline, &samples.baseline), ("canary", &day.canary, &samples.canary)] {
            let Some(points) = points else { continue };
            if points.kind() != window.kind() {
                let message =
                    format!("the points of an earlier day are {}, and those of the window {}; give the same", points.kind(), window.kind());
                return Err((field(arm), message));
            }
            if points.len() < window.len() {
                let message = format!(
                    "{} points are fewer than the {} of the window; give that day's window, and what lay before it where it is known",
                    points.len(),
                    window.len()
                );
                return Err((field(arm), message));
            }
        }
    }
    let bounds = &samples.bucket_bounds;
    match (0..bounds.len()).find(|i| !bounds[*i].is_finite() || *i > 0 && bounds[*i] <= bounds[i - 1]) {
        Some(i) => Err((
            format!("bucket_bounds/{i}"),
            format!("{} does not continue finite bounds that rise; sort them and leave infinite ones out", bounds[i]),
        )),
        None => Ok(()),
    }
}
