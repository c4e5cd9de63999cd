//! The turns of one judgement's queries: few enough under way at once, and memory for what they bring.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::intake::{JudgementMemory, ReplyRoom};
use crate::source::{Reply, Window};

/// Memory that a reply takes until there is a scorecard, in multiples of its own: beside its points there are those that are aligned, those
/// that are judged, and what is computed of them.
const COPIES: u64 = 3;

/// The turns of one judgement.
#[derive(Debug)]
pub(super) struct QueryTurns {
    permits: Semaphore,
    memory: JudgementMemory,
}

/// What a query waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TurnError {
    /// Other queries of the judgement.
    #[error("the judgement's other queries were under way (`--concurrent-queries`)")]
    Permit,
    /// Memory for the reply.
    #[error("the replies to other judgements took the memory that there is (`--max-bytes-in-flight`)")]
    Memory,
}

/// The turn of one query.
#[derive(Debug)]
pub(super) struct QueryTurn<'a> {
    _permit: SemaphorePermit<'a>,
    room: ReplyRoom<'a>,
}

impl QueryTurns {
    /// Turns for so many queries at once, whose replies are kept in `memory`.
    pub(super) fn new(concurrent: usize, memory: JudgementMemory) -> Self {
        Self { permits: Semaphore::new(concurrent.max(1)), memory }
    }

    /// The turn of a query over `window`, of which one series is expected.
    ///
    /// # Errors
    /// [`TurnError`] where it does not come until `deadline`.
    pub(super) async fn next(&self, window: Window, deadline: Instant) -> Result<QueryTurn<'_>, TurnError> {
        let permit = timeout_at(deadline, self.permits.acquire()).await.ok().and_then(Result::ok).ok_or(TurnError::Permit)?;
        let bytes = window.len().saturating_mul(size_of::<f64>()) as u64;
        let room = timeout_at(deadline, self.memory.room(bytes.saturating_mul(COPIES))).await.map_err(|_| TurnError::Memory)?;
        Ok(QueryTurn { _permit: permit, room })
    }

    /// The memory of what was read, once nothing is read any more.
    pub(super) fn into_memory(self) -> JudgementMemory {
        self.memory
    }
}

impl QueryTurn<'_> {
    /// What was asked for has come.
    pub(super) fn answered(self, reply: &Reply) {
        self.room.taken_by((reply.bytes() as u64).saturating_mul(COPIES));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::intake::{Intake, IntakeLimits};

    #[tokio::test(start_paused = true)]
    async fn a_query_whose_turn_does_not_come_says_what_it_waited_for() {
        // For replies seven eighths: room for a thousand points and no more.
        let intake = Intake::new(IntakeLimits { memory_bytes: 27_430, ..IntakeLimits::default() });
        let turns = || QueryTurns::new(1, intake.replies("store"));
        let (first, second, third) = (turns(), turns(), turns());
        let of = |points| Window { start: 0, end: points, step_seconds: 1 };
        let soon = || Instant::now() + Duration::from_secs(1);
        let asked = first.next(of(1_000), soon()).await.unwrap();
        assert_eq!(first.next(of(1), soon()).await.unwrap_err(), TurnError::Permit);
        // One more goes on, the next does not.
        let _exempt = second.next(of(1_000), soon()).await.unwrap();
        assert_eq!(third.next(of(1), soon()).await.unwrap_err(), TurnError::Memory);
        asked.answered(&Reply::default());
        assert!(first.next(of(1), soon()).await.is_err(), "the second has all of it");
    }
}
