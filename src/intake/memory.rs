//! Memory that requests take, counted by what it is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::refusal::Busy;

/// Bytes up to which something takes little: the memory of a body of 64 KiB.
const LITTLE: u64 = 512 << 10;
/// One part in so many of the memory is left to what takes little.
const KEPT_FOR_LITTLE: u64 = 8;

/// A number of bytes that all requests share.
#[derive(Debug)]
pub(super) struct Memory {
    most: u64,
    held: AtomicU64,
    refused: AtomicU64,
    /// Told of all that is given back.
    freed: Notify,
}

/// What the queries of one metric store have been promised: one that never answers keeps the promises of no other.
#[derive(Debug)]
pub(super) struct StorePromises {
    /// Memory for replies that have not come yet.
    promised: AtomicU64,
    /// One of its judgements at a time may go on where there is no room.
    exemption: Arc<Semaphore>,
}

impl Default for StorePromises {
    fn default() -> Self {
        Self { promised: AtomicU64::new(0), exemption: Arc::new(Semaphore::new(1)) }
    }
}

impl StorePromises {
    /// Promises it whether or not there is room.
    pub(super) fn promise_anyway(&self, bytes: u64) {
        self.promised.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The exemption that lets a judgement go on where there is no room, once no other of this store has it.
    pub(super) async fn exemption(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.exemption).acquire_owned().await.ok()
    }
}

impl Memory {
    pub(super) fn new(most: u64) -> Self {
        Self { most, held: AtomicU64::new(0), refused: AtomicU64::new(0), freed: Notify::new() }
    }

    /// What a request costs that needs so much: one that could never be taken on is taken on where half is free.
    fn cost(&self, bytes: u64) -> u64 {
        if bytes > self.most { self.most / 2 } else { bytes }
    }

    /// Most that may be held once this is: of it all, a part is left to those that take little.
    fn bound(&self, bytes: u64) -> u64 {
        if bytes > LITTLE { self.most - self.most / KEPT_FOR_LITTLE } else { self.most }
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let cost = self.cost(bytes);
        self.held().saturating_add(cost) <= self.bound(cost)
    }

    /// Nothing yet, to be enlarged.
    pub(super) fn hold(self: &Arc<Self>) -> HeldMemory {
        HeldMemory { memory: Arc::clone(self), bytes: 0 }
    }

    /// Takes so much more, of `all` in the end, where there is room for it.
    #[must_use]
    fn take(&self, bytes: u64, all: u64) -> bool {
        let bound = self.bound(all);
        let taking = |held: u64| Some(held.saturating_add(bytes)).filter(|held| *held <= bound);
        bytes == 0 || self.held.try_update(Ordering::Relaxed, Ordering::Relaxed, taking).is_ok()
    }

    /// Promises so much to a query of a store where all that is held and promised to that store has room. What is promised keeps out other
    /// queries of the same store alone: one that never answers takes no memory.
    #[must_use]
    pub(super) fn promise(&self, store: &StorePromises, bytes: u64) -> bool {
        let most = self.bound(u64::MAX).saturating_sub(self.held());
        let promising = |promised: u64| Some(promised.saturating_add(bytes)).filter(|promised| *promised <= most);
        store.promised.try_update(Ordering::Relaxed, Ordering::Relaxed, promising).is_ok()
    }

    /// A query has been answered, or given up.
    pub(super) fn end_promise(&self, store: &StorePromises, bytes: u64) {
        store.promised.fetch_sub(bytes, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    /// Takes so much, whether or not there is room.
    pub(super) fn add(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    /// Ends once something is given back after this is called.
    pub(super) fn given_back(&self) -> Notified<'_> {
        self.freed.notified()
    }

    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts one that is not taken on.
    pub(super) fn refuse(&self) -> Busy {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Busy::Memory
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Memory that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    memory: Arc<Memory>,
    bytes: u64,
}

impl HeldMemory {
    /// Takes as much more as makes it so much in all; where there is no room nothing changes.
    #[must_use]
    pub(crate) fn reach(&mut self, bytes: u64) -> bool {
        let all = self.memory.cost(bytes);
        let more = all.saturating_sub(self.bytes);
        let taken = self.memory.take(more, all);
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl HeldMemory {
    /// Gives back what is beyond so much.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.memory.give_back(less);
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_is_given_back() {
        let memory = Arc::new(Memory::new(100));
        let (mut first, mut second) = (memory.hold(), memory.hold());
        assert!(first.reach(60) && !second.reach(41) && second.reach(40));
        assert!(!first.reach(61) && first.reach(60), "what is held already is no more");
        assert_eq!(memory.held(), 100);
        drop((first, second));
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn a_part_is_left_to_what_takes_little_and_promises_take_none_of_it() {
        let most = 80 << 20;
        let memory = Arc::new(Memory::new(most));
        let mut large = memory.hold();
        assert!(large.reach(60 << 20) && !memory.hold().reach(11 << 20) && !memory.has_room(11 << 20));
        assert!(large.reach(70 << 20) && memory.has_room(LITTLE) && memory.hold().reach(LITTLE));
        let (dead, good) = (StorePromises::default(), StorePromises::default());
        assert!(!memory.promise(&dead, 1));
        large.shrink_to(20 << 20);
        assert!(memory.promise(&dead, 50 << 20) && !memory.promise(&dead, 1), "what is promised keeps out queries of the same store");
        assert!(memory.has_room(50 << 20) && memory.promise(&good, 50 << 20), "and no requests, and none of another store");
        memory.end_promise(&dead, 50 << 20);
        drop(large);
        assert_eq!((memory.held(), memory.promise(&dead, 70 << 20)), (0, true));
    }

    #[test]
    fn what_could_never_fit_is_taken_on_where_half_is_free() {
        let memory = Arc::new(Memory::new(100));
        let mut other = memory.hold();
        assert!(other.reach(51) && !memory.has_room(1_000) && !memory.hold().reach(1_000));
        drop(other);
        other = memory.hold();
        assert!(other.reach(50) && memory.has_room(1_000) && memory.hold().reach(1_000));
        assert_eq!(memory.held(), 50);
        drop(other);
    }
}
