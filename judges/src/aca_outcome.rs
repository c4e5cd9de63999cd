//! What the judge `NetflixACAJudge-v1.0` finds on one metric and on the canary, and Kayenta's words for it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::verdict::Verdict;

/// A number that need not be finite. In JSON `"NaN"`, `"Infinity"` and `"-Infinity"` are texts, as Kayenta writes them.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

/// The same bits, or both `NaN`: a scorecard that was written and read back is equal to itself.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits() || self.0.is_nan() && other.0.is_nan()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl Visitor<'_> for AnyNumber {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or \"NaN\", \"Infinity\" or \"-Infinity\"")
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number(f64::NAN)),
                    "Infinity" => Ok(Number(f64::INFINITY)),
                    "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "AcaNumber".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number that need not be finite.",
            "anyOf": [{ "type": "number" }, { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] }]
        })
    }
}

/// What the judge calls a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcaClassification")]
pub enum Classification {
    /// No significant shift, or none that is large enough.
    Pass,
    /// Significantly above the baseline.
    High,
    /// Significantly below the baseline.
    Low,
    /// An arm has no data; the metric is left out of its groups.
    Nodata,
    /// An arm has no data though it must; the metric counts against its groups.
    NodataFailMetric,
    /// The samples could not be had or not be tested; the metric is left out of its groups.
    Error,
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "Pass",
            Self::High => "High",
            Self::Low => "Low",
            Self::Nodata => "Nodata",
            Self::NodataFailMetric => "NodataFailMetric",
            Self::Error => "Error",
        })
    }
}

/// Why a metric has its classification, where Kayenta says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AcaFinding")]
pub enum Finding {
    /// An arm has no data.
    MissingData,
    /// Both arms have the same values.
    Identical,
    /// The shift is significant and large enough.
    Classified,
    /// The same of a critical metric, by a shift that is critical too.
    ClassifiedCritical,
    /// The samples could not be had or not be tested.
    Failed,
}

/// One arm after missing points and outliers were dealt with; all 0 for an empty arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcaStatistics")]
pub struct SampleStatistics {
    /// Points.
    pub count: usize,
    /// Mean, in the unit.
    pub mean: Number,
    /// Smallest value, in the unit.
    pub min: Number,
    /// Largest value, in the unit.
    pub max: Number,
    /// Standard deviation (divisor n - 1), in the unit; 0 for one point.
    pub std: Number,
}

impl Default for SampleStatistics {
    fn default() -> Self {
        let zero = Number(0.0);
        Self { count: 0, mean: zero, min: zero, max: zero, std: zero }
    }
}

/// What the judge found on one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcaOutcome")]
pub struct MetricOutcome {
    /// What the judge calls the metric.
    pub classification: Classification,
    /// Whether the metric, unless it is muted, fails the canary by itself.
    pub critical: bool,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// Mean of the canary as a multiple of the baseline's; `NaN` where either mean is 0, 1 where nothing was tested, absent after an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Number>,
    /// Size of the shift by the metric's measure, where a test was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_size: Option<Number>,
    /// Lower end of the 98 % interval of the shift, in the unit. It may exceed the upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Number>,
    /// Upper end of the 98 % interval of the shift, in the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<Number>,
    /// Estimate of the shift, in the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Number>,
    /// The baseline.
    pub control: SampleStatistics,
    /// The canary.
    pub experiment: SampleStatistics,
}

impl MetricOutcome {
    /// Kayenta's reason for the metric that it knows as `name`; none where it gives none.
    #[must_use]
    pub fn reason(&self, name: &str) -> Option<String> {
        let classification = self.classification;
        self.finding.map(|finding| match finding {
            Finding::MissingData => format!("Missing data for {name}"),
            Finding::Identical => "The Canary and Baseline data are identical".to_owned(),
            Finding::Classified => format!("{name} was classified as {classification}"),
            Finding::ClassifiedCritical => format!("The metric {name} was classified as {classification} (Critical)"),
            Finding::Failed => "Metric Classification Failed".to_owned(),
        })
    }
}

/// The canary's score, by Kayenta's rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcaSummary")]
pub struct Summary {
    /// The score, rounded to two decimals; above 100 or below 0 where the weights do not add up to 100.
    pub score: Number,
    /// The score against the thresholds.
    pub verdict: Verdict,
    /// What set the score to 0 whatever the groups say.
    pub reason: SummaryReason,
    /// The groups, in the order in which Kayenta adds up their scores.
    pub groups: Vec<GroupOutcome>,
}

/// What set the score to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AcaSummaryReason")]
pub enum SummaryReason {
    /// Nothing; the groups made the score.
    None,
    /// A critical metric failed: the first, as its place among the metrics, counted from 0.
    CriticalMetric(usize),
    /// Half of the metrics or more have no data.
    TooManyWithoutData,
}

/// One group of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcaGroup")]
pub struct GroupOutcome {
    /// Its name.
    pub name: String,
    /// Percentage of its metrics that pass, of those that are pass, high, low or missing required data; 0 where there is none.
    pub score: f64,
    /// Whether there is any. Without, the group counts as 100 in the canary's score.
    pub has_data: bool,
    /// Its weight, in percent: the configured one, or an equal share of what the configured ones leave of 100.
    pub weight: Number,
}

impl Summary {
    /// Kayenta's reason for the score; empty where it gives none. `metric_reason` gives the reason of a metric by its place.
    #[must_use]
    pub fn text(&self, metric_reason: impl FnOnce(usize) -> Option<String>) -> String {
        match self.reason {
            SummaryReason::None => String::new(),
            SummaryReason::CriticalMetric(metric) => format!("Canary Failed: {}", metric_reason(metric).unwrap_or_default()),
            SummaryReason::TooManyWithoutData => "Canary Failed: 50% or more metrics returned NODATA".to_owned(),
        }
    }
}
