//! The verdict on a canary.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The verdict on a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Worse than the baseline.
    Fail,
    /// Neither: something is suspect, or the evidence does not suffice.
    Marginal,
    /// No worse than the baseline, on sufficient evidence.
    Pass,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "fail",
            Self::Marginal => "marginal",
            Self::Pass => "pass",
        })
    }
}
