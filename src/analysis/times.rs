//! How long the stages of a judgement took, for the service's metrics and its log.

use std::time::Duration;

/// How long the stages of a judgement took. Two are equal whatever they hold: time is no part of what was found.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageTimes {
    /// Waiting for a turn.
    pub queue: Duration,
    /// Reading from the metric stores.
    pub fetch: Duration,
    /// Making evidence of what was read and judging it, the wait for a thread included.
    pub judge: Duration,
}

impl PartialEq for StageTimes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl StageTimes {
    /// The stages by name.
    #[must_use]
    pub fn by_name(self) -> [(&'static str, Duration); 3] {
        [("queue", self.queue), ("fetch", self.fetch), ("judge", self.judge)]
    }

    /// All stages together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.queue.saturating_add(self.fetch).saturating_add(self.judge)
    }
}
