//! Something to say about one place of a config.

use haldane_judges::evidence::Arm;
use serde::Serialize;

/// How grave it is, gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    Warning,
    Note,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What was found, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LintFinding {
    pub(crate) severity: Severity,
    /// JSON pointer into the config; empty for the whole of it.
    pub(crate) pointer: String,
    /// The metric's name, where the store was asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric: Option<String>,
    /// The arms that it is true of, where it is about what came back for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arms: Vec<Arm>,
    pub(crate) message: String,
}

impl LintFinding {
    pub(crate) fn new(severity: Severity, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, pointer: pointer.into(), metric: None, arms: Vec::new(), message: message.into() }
    }

    pub(crate) fn error(pointer: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, pointer, message)
    }

    pub(crate) fn warning(pointer: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, pointer, message)
    }

    pub(crate) fn note(pointer: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, pointer, message)
    }

    pub(crate) fn of(mut self, arm: Arm) -> Self {
        self.arms.push(arm);
        self
    }

    pub(crate) fn on(mut self, metric: &str) -> Self {
        self.metric = Some(metric.to_owned());
        self
    }

    /// What is the same but for the arm.
    fn is_like(&self, other: &Self) -> bool {
        (self.severity, &self.pointer, &self.metric, &self.message) == (other.severity, &other.pointer, &other.metric, &other.message)
    }
}

/// Says once what is true of both arms, and what several checks found.
pub(crate) fn merged(findings: Vec<LintFinding>) -> Vec<LintFinding> {
    let mut out: Vec<LintFinding> = Vec::new();
    for finding in findings {
        match out.iter_mut().find(|known| known.is_like(&finding)) {
            Some(known) => known.arms.extend(finding.arms.into_iter().filter(|arm| !known.arms.contains(arm)).collect::<Vec<_>>()),
            None => out.push(finding),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_true_of_both_arms_is_said_once() {
        let slow = |arm| LintFinding::warning("/metrics/0", "slow").of(arm);
        let found = merged(vec![slow(Arm::Baseline), LintFinding::note("/metrics/0", "slow"), slow(Arm::Canary), slow(Arm::Canary)]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].arms, [Arm::Baseline, Arm::Canary]);
    }
}
