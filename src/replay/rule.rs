//! What can be replayed: the judges, one of them without its memory, and a plain test to compare with.

use std::fmt;
use std::str::FromStr;

use haldane_judges::config::{CanaryConfig, CheckedConfig, DEFAULT_GROUP, JudgingMode};
use haldane_judges::evidence::JudgeName;

/// What can be replayed: the judges, one of them without its memory, and a plain test to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The judge `haldane-v1`, with history and instances.
    HaldaneV1,
    /// The same without either.
    HaldaneV1NoHistory,
    /// Kayenta's judge.
    NetflixAca,
    /// The declared limits alone.
    ThresholdV1,
    /// A Mann-Whitney test at two-sided 2 % in the worse direction, for comparison only; not a judge that the service has.
    MannWhitney,
}

impl Rule {
    /// Everything that can be replayed.
    pub const ALL: [Self; 5] = [Self::HaldaneV1, Self::HaldaneV1NoHistory, Self::NetflixAca, Self::ThresholdV1, Self::MannWhitney];

    /// Its name on the command line and in the output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HaldaneV1 => "haldane-v1",
            Self::HaldaneV1NoHistory => "haldane-v1/no-history",
            Self::NetflixAca => "NetflixACAJudge-v1.0",
            Self::ThresholdV1 => "threshold-v1",
            Self::MannWhitney => "mann-whitney",
        }
    }

    /// The judge whose config it reads.
    pub(super) const fn judge(self) -> JudgeName {
        match self {
            Self::HaldaneV1 | Self::HaldaneV1NoHistory | Self::MannWhitney => JudgeName::HaldaneV1,
            Self::NetflixAca => JudgeName::NetflixAca,
            Self::ThresholdV1 => JudgeName::ThresholdV1,
        }
    }

    /// A config as this judge reads it.
    ///
    /// # Errors
    /// When it refuses the config.
    pub(super) fn config(self, mut config: CanaryConfig) -> Result<CheckedConfig, String> {
        self.judge().as_str().clone_into(&mut config.judge);
        // What a verdict is for does not change what it is.
        config.mode = JudgingMode::Gate;
        if self == Self::NetflixAca && config.metrics.iter().all(|metric| metric.groups.is_empty()) {
            // Kayenta's judge scores groups alone. Without any, every canary would score 0.
            config.metrics.iter_mut().for_each(|metric| metric.groups = vec![DEFAULT_GROUP.to_owned()]);
        }
        config.check().map_err(|invalid| format!("the config cannot be used with {self}: {invalid}"))
    }

    /// Whether it is given history and instances.
    pub(super) const fn is_full(self) -> bool {
        !matches!(self, Self::HaldaneV1NoHistory)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{}` cannot be replayed; use {known}", name.chars().take(60).collect::<String>())
        })
    }
}
