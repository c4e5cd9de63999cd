//! One line of the log for each judgement, with what a search or a graph over the log needs.

use sha2::{Digest as _, Sha256};
use tracing::info;

use crate::analysis::Scorecard;
use crate::hex::hex;
use crate::judgements::{ExecutionResult, Failure};
use crate::source::escaped;

/// Characters of the digest of an id: enough to find one again, and no id, which holds scopes.
const DIGEST_LENGTH: usize = 16;

/// Logs how a judgement ended.
pub(crate) fn log(ending: &ExecutionResult) {
    match ending {
        Ok(scorecard) => judged(scorecard),
        Err(failure) => info!(reason = reason_of(failure), %failure, "not judged"),
    }
}

/// A failure in a word.
pub(crate) fn reason_of(failure: &Failure) -> &'static str {
    match failure {
        Failure::Analysis(_) => "analysis",
        Failure::Overloaded => "overloaded",
        Failure::Crashed => "crashed",
        Failure::Cancelled => "cancelled",
    }
}

fn judged(scorecard: &Scorecard) {
    let (judgement, times) = (&scorecard.judgement, scorecard.times);
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    info!(
        verdict = %judgement.verdict,
        config = %judgement.config,
        judge = judgement.judge.as_str(),
        metrics = judgement.metrics.len(),
        source = scorecard.data.source.as_deref().unwrap_or_default(),
        labels = %escaped(&serde_json::to_string(&scorecard.labels).unwrap_or_default(), usize::MAX),
        id_digest = scorecard.id.as_deref().map(id_digest).unwrap_or_default(),
        samples_digest = %scorecard.data.digest,
        rerun = scorecard.rerun,
        duration_ms = millis(times.total()),
        queue_ms = millis(times.queue),
        fetch_ms = millis(times.fetch),
        judge_ms = millis(times.judge),
        "judged"
    );
}

/// What an id is found by in the log: the start of its SHA-256, as `printf %s ID | sha256sum` gives it.
pub(crate) fn id_digest(id: &str) -> String {
    hex(Sha256::digest(id.as_bytes())).chars().take(DIGEST_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_logged_as_the_start_of_its_sha256() {
        // printf %s abc | sha256sum
        assert_eq!(id_digest("abc"), "ba7816bf8f01cfea");
    }
}
