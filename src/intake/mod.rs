//! What one process takes on of what its callers send: as much as it can work on soon (`seats`), in as much memory as it may have
//! (`memory`). Whoever is not taken on is told so at once, where possible before the body is read.
//!
//! Judgements that wait for a metric store have no seat: how many of them there may be, `judgements` bounds for each source apart. They take
//! memory, as what the store answers them does (`replies`), and answers until they are taken.
//!
//! ```text
//! mod ──▶ seats, replies ──▶ memory ──▶ refusal
//! ```

mod memory;
mod refusal;
mod replies;
mod seats;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use tokio::time::Instant;

pub(crate) use memory::HeldMemory;
use memory::{Memory, StorePromises};
pub(crate) use refusal::{Busy, OnRefusal};
pub(crate) use replies::{JudgementMemory, ReplyRoom};
use seats::{Seat, Seats};

/// Memory that a byte of a body takes while it is judged, about: its text, the document, the points, what is computed of them and the
/// answer. Ten bodies of 16.9 MB at once took 8 times their length at most (`make bench-service`), most of it one at a time.
const MEMORY_PER_BYTE: u64 = 8;
/// Seats for each processor: one works, the others read and write.
const SEATS_PER_CORE: usize = 3;
/// Most that wait for a seat.
const QUEUE: usize = 512;

/// Bounds of what a process takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Requests that are worked on at once.
    pub seats: usize,
    /// Most that wait for one of these places.
    pub queue: usize,
    /// Memory that all requests may take together, in bytes.
    pub memory_bytes: u64,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { seats: SEATS_PER_CORE * cores, queue: QUEUE, memory_bytes: 512 << 20 }
    }
}

/// What one process takes on. Clones share it.
#[derive(Debug, Clone)]
pub struct Intake {
    seats: Arc<Seats>,
    memory: Arc<Memory>,
    /// By the name of the source; there are as many as are configured.
    stores: Arc<Mutex<BTreeMap<String, Arc<StorePromises>>>>,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new(IntakeLimits::default())
    }
}

impl Intake {
    /// Takes on as much as `limits` say.
    #[must_use]
    pub fn new(limits: IntakeLimits) -> Self {
        Self {
            seats: Arc::new(Seats::new(limits.seats, limits.queue)),
            memory: Arc::new(Memory::new(limits.memory_bytes)),
            stores: Arc::default(),
        }
    }

    /// Whether a request would be taken on whose body has so many bytes, to be asked before they are read.
    ///
    /// # Errors
    /// [`Busy`] where it would not.
    pub(crate) fn ask(&self, bytes: u64, refused: OnRefusal) -> Result<(), Busy> {
        if !self.seats.has_room(Instant::now(), refused) {
            return Err(self.seats.refuse());
        }
        if !self.memory.has_room(bytes.saturating_mul(MEMORY_PER_BYTE)) {
            return Err(self.memory.refuse());
        }
        Ok(())
    }

    /// Memory for a body that begins to be read; it grows with what arrives.
    pub(crate) fn begin(&self) -> HeldMemory {
        self.memory.hold()
    }

    /// Memory for as much of a body as has arrived.
    ///
    /// # Errors
    /// [`Busy`] where there is no more.
    pub(crate) fn enlarge(&self, mut memory: HeldMemory, bytes: u64) -> Result<HeldMemory, Busy> {
        if memory.reach(bytes) { Ok(memory) } else { Err(self.memory.refuse()) }
    }

    /// Memory for what a metric store will answer one judgement; it leaves less to requests that come.
    pub(crate) fn replies(&self, source: &str) -> JudgementMemory {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let store = stores.entry(source.to_owned()).or_default();
        JudgementMemory::new(Arc::clone(&self.memory), Arc::clone(store))
    }

    /// The place of a request whose body of so many bytes has been read into `memory`, once there is one.
    ///
    /// # Errors
    /// [`Busy`] where it would have to wait for long, or there is no memory for it.
    pub(crate) async fn place(&self, mut memory: HeldMemory, bytes: u64, refused: OnRefusal) -> Result<Arc<Admitted>, Busy> {
        if !memory.reach(bytes.saturating_mul(MEMORY_PER_BYTE)) {
            return Err(self.memory.refuse());
        }
        let seat = self.seats.take(refused).await?;
        Ok(Arc::new(Admitted { seat: Mutex::new(Some(seat)), memory: Mutex::new(memory) }))
    }

    /// Memory for a document of so many bytes that is read from where it is kept, for as long as it is worked on.
    ///
    /// # Errors
    /// [`Busy`] where there is none.
    pub(crate) fn document(&self, bytes: u64) -> Result<HeldMemory, Busy> {
        self.answer(bytes.saturating_mul(MEMORY_PER_BYTE))
    }

    /// Memory for an answer that waits to be taken.
    ///
    /// # Errors
    /// [`Busy`] where there is none.
    pub(crate) fn answer(&self, bytes: u64) -> Result<HeldMemory, Busy> {
        self.enlarge(self.begin(), bytes)
    }

    /// What is taken on now, and what was refused.
    pub(crate) fn counts(&self) -> IntakeCounts {
        IntakeCounts {
            seated: self.seats.seated(),
            waiting: self.seats.waiting(),
            bytes: self.memory.held(),
            refused_processors: self.seats.refused(),
            refused_memory: self.memory.refused(),
        }
    }
}

/// What is taken on at a moment, and what was refused since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntakeCounts {
    /// Requests that are worked on.
    pub(crate) seated: usize,
    /// Those that wait.
    pub(crate) waiting: usize,
    /// Memory that requests and replies take, in bytes, about.
    pub(crate) bytes: u64,
    /// Refused because the processors had enough to do.
    pub(crate) refused_processors: u64,
    /// Refused for want of memory.
    pub(crate) refused_memory: u64,
}

/// The place of a request that was taken on, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    seat: Mutex<Option<Seat>>,
    memory: Mutex<HeldMemory>,
}

impl Admitted {
    /// Leaves the seat to others, as what waits for a metric store does. What the request takes of memory it still does.
    pub(crate) fn leave_seat(&self) {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What was read is a document of so many bytes, without the space between its parts; it takes no more memory than that.
    pub(crate) fn is_of(&self, bytes: usize) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.shrink_to((bytes as u64).saturating_mul(MEMORY_PER_BYTE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_on_is_bounded_by_memory_and_given_back() {
        let intake = Intake::new(IntakeLimits { seats: 4, queue: 4, memory_bytes: 8_000 });
        let place = |bytes| intake.place(intake.begin(), bytes, OnRefusal::ComesBack);
        let first = place(600).await.unwrap();
        assert_eq!(intake.ask(600, OnRefusal::ComesBack), Err(Busy::Memory));
        assert_eq!(place(600).await.unwrap_err(), Busy::Memory);
        assert_eq!(intake.ask(400, OnRefusal::ComesBack), Ok(()));
        drop(first);
        assert!(place(600).await.is_ok());
        let waits = place(600).await.unwrap();
        waits.leave_seat();
        waits.is_of(1_000);
        assert_eq!((intake.counts().seated, intake.ask(600, OnRefusal::ComesBack)), (0, Err(Busy::Memory)));
        waits.is_of(100);
        assert_eq!(intake.counts().bytes, 800);
        drop(waits);
        let counts = intake.counts();
        assert_eq!((counts.seated, counts.waiting, counts.bytes, counts.refused_memory), (0, 0, 0, 3));
    }

    #[tokio::test]
    async fn what_stores_answer_leaves_no_room_for_those_who_come() {
        let intake = Intake::new(IntakeLimits { seats: 4, queue: 4, memory_bytes: 8_000 });
        let replies = intake.replies("store");
        replies.room(1).await.taken_by(100_000);
        assert_eq!(intake.ask(1, OnRefusal::GivesUp), Err(Busy::Memory));
        drop(replies);
        assert_eq!(intake.ask(1, OnRefusal::GivesUp), Ok(()));
    }
}
