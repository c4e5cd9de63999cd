//! Memory of what metric stores answer. A judgement that has read a part of what it needs keeps that until it has the rest, so that those
//! who wait for memory could wait for each other: one of each store at a time goes on where there is none, ends, and gives back what it held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedSemaphorePermit};

use super::memory::{Memory, StorePromises};

/// Memory of what stores answer one judgement, until it is dropped.
#[derive(Debug)]
pub(crate) struct JudgementMemory {
    memory: Arc<Memory>,
    store: Arc<StorePromises>,
    held: AtomicU64,
    /// Held by the one that waits for the others of the same judgement; inside, the exemption that lets them go on where there is no room.
    exemption: Mutex<Option<OwnedSemaphorePermit>>,
}

impl JudgementMemory {
    pub(super) fn new(memory: Arc<Memory>, store: Arc<StorePromises>) -> Self {
        Self { memory, store, held: AtomicU64::new(0), exemption: Mutex::new(None) }
    }

    /// Memory for a reply that will take about so much, once there is some.
    pub(crate) async fn room(&self, bytes: u64) -> ReplyRoom<'_> {
        let mut exemption = self.exemption.lock().await;
        loop {
            // Made before the look, so that nothing given back in between is missed.
            let given_back = self.memory.given_back();
            if exemption.is_some() {
                self.store.promise_anyway(bytes);
                break;
            }
            if self.memory.promise(&self.store, bytes) {
                break;
            }
            tokio::select! {
                // Who finds room leaves the exemption to the others.
                biased;
                () = given_back => {}
                only = self.store.exemption() => *exemption = only,
            }
        }
        ReplyRoom { of: self, bytes }
    }
}

impl Drop for JudgementMemory {
    fn drop(&mut self) {
        self.memory.give_back(*self.held.get_mut());
    }
}

/// Memory that is promised to one reply until it came, or was given up.
#[derive(Debug)]
pub(crate) struct ReplyRoom<'a> {
    of: &'a JudgementMemory,
    bytes: u64,
}

impl ReplyRoom<'_> {
    /// The reply came, and takes so much until the judgement ends.
    pub(crate) fn taken_by(self, bytes: u64) {
        self.of.memory.add(bytes);
        self.of.held.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for ReplyRoom<'_> {
    fn drop(&mut self) {
        self.of.memory.end_promise(&self.of.store, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reply_takes_what_it_is_and_gives_it_back_with_the_judgement() {
        let memory = Arc::new(Memory::new(100));
        let judgement = JudgementMemory::new(Arc::clone(&memory), Arc::default());
        drop(judgement.room(40).await);
        assert_eq!(memory.held(), 0, "it did not come");
        judgement.room(40).await.taken_by(70);
        judgement.room(20).await.taken_by(5);
        assert_eq!(memory.held(), 75);
        drop(judgement);
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test]
    async fn where_there_is_no_room_one_judgement_goes_on_and_the_others_once_it_has_ended() {
        let memory = Arc::new(Memory::new(800));
        let store = Arc::<StorePromises>::default();
        let of = || JudgementMemory::new(Arc::clone(&memory), Arc::clone(&store));
        let (first, second, third) = (of(), of(), of());
        for judgement in [&first, &second, &third] {
            judgement.room(200).await.taken_by(200);
        }
        // All hold a part, and all need more than the 100 that are left to replies.
        first.room(400).await.taken_by(400);
        first.room(400).await.taken_by(400);
        assert_eq!(memory.held(), 1_400);
        let mut seconds = second.room(300).boxed();
        let mut thirds = third.room(300).boxed();
        assert!((&mut seconds).now_or_never().is_none() && (&mut thirds).now_or_never().is_none());
        drop(first);
        // There is room for one of them, and the exemption for the other.
        let rooms = (seconds.await, thirds.await);
        assert_eq!(memory.held(), 400, "what is promised is not held");
        drop(rooms);
        drop((second, third));
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test]
    async fn those_who_wait_go_on_as_soon_as_there_is_room() {
        let memory = Arc::new(Memory::new(800));
        let store = Arc::<StorePromises>::default();
        let of = || JudgementMemory::new(Arc::clone(&memory), Arc::clone(&store));
        let (first, second) = (of(), of());
        let mut request = memory.hold();
        assert!(request.reach(700));
        let exempt = first.room(400).await;
        let mut waiting = second.room(50).boxed();
        assert!((&mut waiting).now_or_never().is_none(), "{} of 800 are held", memory.held());
        let other = JudgementMemory::new(Arc::clone(&memory), Arc::default());
        assert!(other.room(50).now_or_never().is_some(), "a store waits for no other");
        drop(request);
        assert!(waiting.now_or_never().is_some());
        drop(exempt);
    }
}
