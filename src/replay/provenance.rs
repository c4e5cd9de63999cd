//! Where a recorded canary is from and what was said of it then.

use std::collections::BTreeMap;

use haldane_judges::{JudgeName, Verdict};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::{Labels, WindowSpan};

/// Where a recorded canary is from and what was said of it then. Nothing is judged by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseProvenance {
    /// The judge that decided.
    pub judge: JudgeName,
    /// Its verdict; in advisory mode the one that it would have been.
    pub verdict: Verdict,
    /// Its score, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The release of Haldane that judged.
    pub version: String,
    /// When it was judged.
    #[schemars(with = "String")]
    pub judged_at: Timestamp,
    /// SHA-256 of all samples, as the scorecard has it.
    pub digest: String,
    /// SHA-256 of the config, as the scorecard has it.
    pub config_digest: String,
    /// What selected the baseline: its variables, `scope` and `location` among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<String, String>,
    /// What selected the canary.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub canary: BTreeMap<String, String>,
    /// The canary's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_window: Option<WindowSpan>,
    /// The baseline's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_window: Option<WindowSpan>,
    /// What the caller wrote on the judgement.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// When the canary's version was released, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub released_at: Option<Timestamp>,
}
