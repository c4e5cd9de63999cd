//! Memory for the bodies of replies: whatever stores send, and however many at once, it has a bound.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Unit in which memory is given out.
const BLOCK_BYTES: usize = 64 << 10;
/// Memory for the bodies of all replies that are being read.
const TOTAL_BYTES: usize = 240 << 20;

/// What all sources share: these 240 MiB, and once they are used up one reply at a time beyond them.
pub(super) static ROOM: ReplyMemory = ReplyMemory::new(TOTAL_BYTES);

#[derive(Debug)]
pub(super) struct ReplyMemory {
    blocks: Semaphore,
    beyond: Semaphore,
}

/// What one reply has of it.
#[derive(Debug, Default)]
pub(super) struct ReplyShare<'r> {
    blocks: Option<SemaphorePermit<'r>>,
    beyond: Option<SemaphorePermit<'r>>,
}

impl ReplyMemory {
    const fn new(bytes: usize) -> Self {
        Self { blocks: Semaphore::const_new(bytes / BLOCK_BYTES), beyond: Semaphore::const_new(1) }
    }
}

impl<'r> ReplyShare<'r> {
    /// Makes it enough for a body of `bytes`; waits for others to end where there is none left.
    ///
    /// Whoever waits keeps what it has, and others wait for that. So one of them may always go on.
    pub(super) async fn grow(&mut self, room: &'r ReplyMemory, bytes: usize) {
        let missing = bytes.div_ceil(BLOCK_BYTES).saturating_sub(self.blocks.as_ref().map_or(0, SemaphorePermit::num_permits));
        if missing == 0 || self.beyond.is_some() {
            return;
        }
        tokio::select! {
            biased;
            // Neither is ever closed.
            Ok(blocks) = room.blocks.acquire_many(u32::try_from(missing).unwrap_or(u32::MAX)) => match &mut self.blocks {
                Some(held) => held.merge(blocks),
                None => self.blocks = Some(blocks),
            },
            Ok(beyond) = room.beyond.acquire() => self.beyond = Some(beyond),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn replies_that_are_too_much_together_are_all_read_in_the_end() {
        let room = ReplyMemory::new(4 * BLOCK_BYTES);
        let mut replies: [ReplyShare<'_>; 4] = Default::default();
        for held in &mut replies {
            held.grow(&room, BLOCK_BYTES).await;
        }
        let [first, second, third, fourth] = &mut replies;
        first.grow(&room, 3 * BLOCK_BYTES).await;
        assert!(first.beyond.is_some(), "one goes on");
        assert!(second.grow(&room, 2 * BLOCK_BYTES).now_or_never().is_none(), "and only one");
        first.grow(&room, 1000 * BLOCK_BYTES).await;
        *first = ReplyShare::default();
        second.grow(&room, 2 * BLOCK_BYTES).await;
        assert!(second.beyond.is_none(), "with what the first has given back");
        *third = ReplyShare::default();
        fourth.grow(&room, 2 * BLOCK_BYTES).await;
        drop(replies);
        assert_eq!((room.blocks.available_permits(), room.beyond.available_permits()), (4, 1));
    }
}
