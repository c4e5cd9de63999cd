//! The settings of a metric that the judge `NetflixACAJudge-v1.0` alone reads, with Kayenta's defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::ConfigProblem;

/// Settings that the judge `NetflixACAJudge-v1.0` alone reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AcaRules")]
pub struct Rules {
    /// What becomes of missing points: `remove` (default) or `replace` with 0.
    pub nan_strategy: NanStrategy,
    /// An arm without data fails the metric instead of leaving it out. Without effect on a critical metric, which then fails the canary anyway.
    pub must_have_data: bool,
    /// What becomes of outliers.
    pub outliers: Outliers,
    /// How large a shift must be, beside being significant.
    pub effect_size: EffectSize,
}

/// What becomes of missing points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AcaNanStrategy")]
pub enum NanStrategy {
    /// They are left out; an arm without points is missing data.
    #[default]
    Remove,
    /// They count as 0; an arm without intervals passes.
    Replace,
}

/// What becomes of outliers, in each arm by its own quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AcaOutliers")]
pub struct Outliers {
    /// `keep` (default) or `remove`.
    pub strategy: OutlierStrategy,
    /// Interquartile ranges beyond the quartiles from which a point is an outlier, unless the 1st or 99th percentile lies further out. Default 3.
    pub factor: f64,
}

impl Default for Outliers {
    fn default() -> Self {
        Self { strategy: OutlierStrategy::Keep, factor: 3.0 }
    }
}

/// Whether outliers are removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AcaOutlierStrategy")]
pub enum OutlierStrategy {
    /// They stay.
    #[default]
    Keep,
    /// They are removed.
    Remove,
}

/// How large a shift must be, beside being significant. A size that cannot be computed (a mean of 0) counts as large enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AcaEffectSize")]
pub struct EffectSize {
    /// `mean_ratio` (default) or `cles`.
    pub measure: Measure,
    /// Smallest size of a rise. Default 1, or 0.5 for `cles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_increase: Option<f64>,
    /// Largest size of a fall. Default 1, or 0.5 for `cles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_decrease: Option<f64>,
    /// Smallest size of a rise with which a critical metric fails the canary. Default 1, or 0.5 for `cles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_increase: Option<f64>,
    /// Largest size of a fall with which a critical metric fails the canary. Default 1, or 0.5 for `cles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_decrease: Option<f64>,
}

/// What the size of a shift is measured by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AcaMeasure")]
pub enum Measure {
    /// The canary's mean as a multiple of the baseline's.
    #[default]
    MeanRatio,
    /// The chance that a canary point is above a baseline point, ties counting half.
    Cles,
}

/// The limits of [`EffectSize`], defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EffectLimits {
    /// Smallest size of a rise.
    pub allowed_increase: f64,
    /// Largest size of a fall.
    pub allowed_decrease: f64,
    /// Smallest size of a rise with which a critical metric fails the canary.
    pub critical_increase: f64,
    /// Largest size of a fall with which a critical metric fails the canary.
    pub critical_decrease: f64,
}

impl EffectSize {
    /// The limits, with the default of the measure where none is given.
    #[must_use]
    pub fn limits(&self) -> EffectLimits {
        let neutral = match self.measure {
            Measure::MeanRatio => 1.0,
            Measure::Cles => 0.5,
        };
        EffectLimits {
            allowed_increase: self.allowed_increase.unwrap_or(neutral),
            allowed_decrease: self.allowed_decrease.unwrap_or(neutral),
            critical_increase: self.critical_increase.unwrap_or(neutral),
            critical_decrease: self.critical_decrease.unwrap_or(neutral),
        }
    }
}

impl Rules {
    /// Reports the fields whose values break a rule, relative to the rules themselves.
    pub(crate) fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let factor = self.outliers.factor;
        let removes = self.outliers.strategy == OutlierStrategy::Remove;
        if !factor.is_finite() || removes && factor <= 0.0 {
            problems.push(ConfigProblem::new("/outliers/factor", format!("{factor} must be above 0; 3 is the default")));
        }
        let effect = &self.effect_size;
        let limits = [
            ("allowed_increase", effect.allowed_increase),
            ("allowed_decrease", effect.allowed_decrease),
            ("critical_increase", effect.critical_increase),
            ("critical_decrease", effect.critical_decrease),
        ];
        for (field, value) in limits {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                problems.push(ConfigProblem::new(format!("/effect_size/{field}"), format!("{value} is no size; give a finite number")));
            }
        }
        problems
    }
}
