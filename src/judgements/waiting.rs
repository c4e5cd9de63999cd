//! How many analyses wait for their turn.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts those that wait.
#[derive(Debug, Default)]
pub(super) struct WaitingCount(AtomicUsize);

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct WaitingPlace<'a>(&'a AtomicUsize);

impl WaitingCount {
    /// One more waits, until what is returned is dropped.
    pub(super) fn enter(&self) -> WaitingPlace<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitingPlace(&self.0)
    }

    /// How many wait.
    pub(super) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
