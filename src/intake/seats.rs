//! Places at the processors. A queue of a burst may be long, since it ends; one that never empties makes everybody late and helps nobody, and
//! is kept short ("controlled delay": K. Nichols and V. Jacobson, ACM Queue 10(5), 2012; for servers: B. Maurer, "Fail at Scale", ACM Queue
//! 13(8), 2015).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::refusal::{Busy, OnRefusal};

/// Requests that wait for each seat in a queue that is short whoever waits in it.
const SHORT: usize = 2;
/// Time for which a queue may have stood and still be a burst's.
const BURST: Duration = Duration::from_millis(50);
/// Time without anybody refused after which the next queue may be a burst's: one that stood empties now and then, and nothing has changed.
const CALM: Duration = Duration::from_secs(1);

/// The place of one request, until it is dropped.
pub(super) type Seat = OwnedSemaphorePermit;

/// A number of places, and who waits for them.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    count: usize,
    longest_queue: usize,
    queue: Mutex<Queue>,
    turned_away: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: usize,
    /// Since when somebody has been waiting.
    standing: Option<Instant>,
    /// When somebody was refused last.
    refused: Option<Instant>,
}

impl Seats {
    pub(super) fn new(count: usize, longest_queue: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        let (free, queue, turned_away) = (Arc::new(Semaphore::new(count)), Mutex::default(), AtomicU64::new(0));
        Self { free, count, longest_queue, queue, turned_away }
    }

    /// Whether one more may come: there is a seat, or few wait, or the queue is a burst's.
    pub(super) fn has_room(&self, now: Instant, refused: OnRefusal) -> bool {
        self.free.available_permits() > 0 || self.may_wait(&self.queue(), now, refused)
    }

    fn may_wait(&self, queue: &Queue, now: Instant, refused: OnRefusal) -> bool {
        let is_short = queue.waiting < self.count.saturating_mul(SHORT);
        let is_calm = queue.refused.is_none_or(|last| now.duration_since(last) >= CALM);
        let is_new = is_calm && queue.standing.is_none_or(|since| now.duration_since(since) < BURST);
        queue.waiting < self.longest_queue && (is_short || is_new || refused == OnRefusal::GivesUp)
    }

    /// A seat, in the order in which they were asked for.
    pub(super) async fn take(&self, refused: OnRefusal) -> Result<Seat, Busy> {
        // None is free while others wait.
        if let Ok(seat) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(seat);
        }
        let Some(_waiting) = self.enter(Instant::now(), refused) else { return Err(self.refuse()) };
        Arc::clone(&self.free).acquire_owned().await.map_err(|_| self.refuse())
    }

    fn enter(&self, now: Instant, refused: OnRefusal) -> Option<QueuePlace<'_>> {
        let mut queue = self.queue();
        if !self.may_wait(&queue, now, refused) {
            return None;
        }
        queue.waiting += 1;
        queue.standing = queue.standing.or(Some(now));
        Some(QueuePlace(self))
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one that is not taken on.
    pub(super) fn refuse(&self) -> Busy {
        self.queue().refused = Some(Instant::now());
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        Busy::Processors
    }

    pub(super) fn refused(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    pub(super) fn seated(&self) -> usize {
        self.count.saturating_sub(self.free.available_permits())
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting
    }
}

/// One that waits, until it is dropped.
struct QueuePlace<'a>(&'a Seats);

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.waiting = queue.waiting.saturating_sub(1);
        if queue.waiting == 0 {
            queue.standing = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    /// A request that waits.
    fn waiting<'a>(seats: &'a Seats, refused: OnRefusal) -> Option<BoxFuture<'a, Result<Seat, Busy>>> {
        let mut taking = seats.take(refused).boxed();
        match (&mut taking).now_or_never() {
            None => Some(taking),
            Some(ended) => ended.is_ok().then(|| std::future::ready(ended).boxed()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_and_a_queue_that_stands_is_kept_short() {
        let seats = Seats::new(2, 100);
        let held: Vec<Seat> = vec![seats.take(OnRefusal::ComesBack).await.unwrap(), seats.take(OnRefusal::ComesBack).await.unwrap()];
        let burst: Vec<_> = (0..100).map(|_| waiting(&seats, OnRefusal::ComesBack).expect("a place in the queue")).collect();
        assert!(waiting(&seats, OnRefusal::GivesUp).is_none(), "the queue is as long as it may be");
        drop(burst);
        tokio::time::sleep(CALM).await;
        let first = waiting(&seats, OnRefusal::ComesBack).unwrap();
        tokio::time::sleep(BURST).await;
        let second = waiting(&seats, OnRefusal::ComesBack).unwrap();
        let others = [waiting(&seats, OnRefusal::ComesBack).unwrap(), waiting(&seats, OnRefusal::ComesBack).unwrap()];
        assert!(!seats.has_room(Instant::now(), OnRefusal::ComesBack) && waiting(&seats, OnRefusal::ComesBack).is_none());
        let patient = waiting(&seats, OnRefusal::GivesUp).unwrap();
        assert_eq!((seats.seated(), seats.waiting(), seats.refused()), (2, 5, 2));
        // In the order in which they came.
        drop(held);
        drop(first.await.unwrap());
        drop(second.await.unwrap());
        drop(others);
        drop(patient.await.unwrap());
        assert_eq!((seats.seated(), seats.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn once_nobody_waits_and_nobody_was_refused_for_a_while_the_next_burst_may() {
        let seats = Seats::new(1, 10);
        let held = seats.take(OnRefusal::ComesBack).await.unwrap();
        let first = waiting(&seats, OnRefusal::ComesBack).unwrap();
        let second = waiting(&seats, OnRefusal::ComesBack).unwrap();
        tokio::time::sleep(BURST * 2).await;
        assert!(waiting(&seats, OnRefusal::ComesBack).is_none());
        drop(held);
        drop(first.await.unwrap());
        let held = second.await.unwrap();
        let short = [waiting(&seats, OnRefusal::ComesBack), waiting(&seats, OnRefusal::ComesBack)];
        assert!(
            short.iter().all(Option::is_some) && waiting(&seats, OnRefusal::ComesBack).is_none(),
            "the queue is empty at times, and stands"
        );
        drop(short);
        tokio::time::sleep(CALM).await;
        let burst: Vec<_> = (0..10).map(|_| waiting(&seats, OnRefusal::ComesBack)).collect();
        assert!(burst.iter().all(Option::is_some));
        drop((burst, held));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_queue_leaves_its_place() {
        let seats = Seats::new(1, 1);
        let held = seats.take(OnRefusal::ComesBack).await.unwrap();
        drop(waiting(&seats, OnRefusal::ComesBack).unwrap());
        assert_eq!(seats.waiting(), 0);
        drop(held);
        assert!(seats.take(OnRefusal::ComesBack).await.is_ok());
    }
}
