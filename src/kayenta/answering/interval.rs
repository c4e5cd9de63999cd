//! One judgement of a standalone analysis.

use std::sync::Arc;

use serde_json::Value;

use super::word::ExecutionStatus;

/// One judgement of an analysis that has begun: an execution like any other.
#[derive(Debug, Clone)]
pub(crate) struct IntervalExecution {
    pub(crate) id: String,
    /// What `GET /canary/{id}` answers.
    pub(crate) status: Arc<Value>,
}

impl IntervalExecution {
    /// What remembering it costs, in bytes.
    pub(crate) fn weight(&self) -> u32 {
        u32::try_from(self.status.to_string().len()).unwrap_or(u32::MAX)
    }

    /// How it stands. A status that was archived by somebody else may say anything; what is no status is an end without a score.
    pub(crate) fn standing(&self) -> ExecutionStatus {
        self.status["status"].as_str().and_then(|word| word.parse().ok()).unwrap_or(ExecutionStatus::Terminal)
    }

    pub(crate) fn score(&self) -> Option<f64> {
        self.status["result"]["judgeResult"]["score"]["score"].as_f64()
    }
}
