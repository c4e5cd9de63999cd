//! Places of judgements, for each metric store apart: those that wait for a store that never answers keep out nobody who asks another one,
//! or none.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// How many judgements of one source run and wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneCount {
    /// The source that they read from; `None` for those whose samples came with the request.
    pub source: Option<Arc<str>>,
    /// Those that run.
    pub running: usize,
    /// Those that wait for their turn.
    pub waiting: usize,
}

/// The places of all judgements.
#[derive(Debug)]
pub(super) struct Lanes {
    inline: Arc<Lane>,
    sources: BTreeMap<Arc<str>, Arc<Lane>>,
}

/// The places of the judgements that read from one source, or from none.
#[derive(Debug)]
pub(super) struct Lane {
    places: usize,
    /// One permit for each judgement that runs or waits.
    admission: Arc<Semaphore>,
    /// One permit for each that runs.
    turns: Semaphore,
    waiting: AtomicUsize,
}

/// The place of one judgement, until it is dropped.
pub(super) type LanePlace = OwnedSemaphorePermit;

impl Lanes {
    /// A lane for each source and one for what asks none, in each of which `concurrent` judgements run and `queue` wait.
    pub(super) fn new<'a>(sources: impl Iterator<Item = &'a str>, concurrent: usize, queue: usize) -> Self {
        let lane = || Arc::new(Lane::new(concurrent.max(1), queue));
        Self { inline: lane(), sources: sources.map(|name| (Arc::from(name), lane())).collect() }
    }

    /// The lane of what reads from this source, or from none.
    pub(super) fn of(&self, source: Option<&str>) -> &Arc<Lane> {
        source.and_then(|source| self.sources.get(source)).unwrap_or(&self.inline)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.sources.values().chain([&self.inline])
    }

    /// Judgements that run or wait.
    pub(super) fn unfinished(&self) -> usize {
        self.all().map(|lane| lane.unfinished()).sum()
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> usize {
        self.all().map(|lane| lane.waiting.load(Ordering::Relaxed)).sum()
    }

    /// The same for each source.
    pub(super) fn counts(&self) -> Vec<LaneCount> {
        let named = self.sources.iter().map(|(source, lane)| (Some(Arc::clone(source)), lane));
        let count = |(source, lane): (_, &Arc<Lane>)| {
            let waiting = lane.waiting.load(Ordering::Relaxed);
            LaneCount { source, running: lane.unfinished().saturating_sub(waiting), waiting }
        };
        named.chain([(None, &self.inline)]).map(count).collect()
    }

    /// Waits until every place is free, and lets nothing begin any more.
    pub(super) async fn close(&self) {
        for lane in self.all() {
            // A lane that is closed already has no places to wait for.
            if lane.admission.acquire_many(u32::try_from(lane.places).unwrap_or(u32::MAX)).await.is_ok() {
                lane.admission.close();
            }
        }
    }
}

impl Lane {
    fn new(concurrent: usize, queue: usize) -> Self {
        let places = concurrent.saturating_add(queue);
        let (admission, turns) = (Arc::new(Semaphore::new(places)), Semaphore::new(concurrent));
        Self { places, admission, turns, waiting: AtomicUsize::new(0) }
    }

    /// A place to wait and run in; `None` where all are taken.
    pub(super) fn enter(&self) -> Option<LanePlace> {
        Arc::clone(&self.admission).try_acquire_owned().ok()
    }

    /// The turn of who has a place; `None` where it does not come until `latest`.
    pub(super) fn turn(&self, latest: Instant) -> impl Future<Output = Option<SemaphorePermit<'_>>> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waits = Waits(&self.waiting);
        async move {
            let turn = timeout_at(latest, self.turns.acquire()).await;
            drop(waits);
            turn.ok()?.ok()
        }
    }

    fn unfinished(&self) -> usize {
        self.places.saturating_sub(self.admission.available_permits())
    }
}

/// One that waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lanes() -> Lanes {
        Lanes::new(["dead", "good"].into_iter(), 1, 1)
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_one_store_keeps_out_nobody_who_asks_another_or_none() {
        let lanes = lanes();
        let dead = lanes.of(Some("dead"));
        let _places = [dead.enter().unwrap(), dead.enter().unwrap()];
        let _turn = dead.turn(Instant::now()).await.unwrap();
        assert!(dead.enter().is_none());
        let soon = Instant::now() + Duration::from_secs(60);
        assert!(dead.turn(soon).await.is_none(), "none comes");
        for source in [Some("good"), None] {
            let lane = lanes.of(source);
            let _place = lane.enter().unwrap();
            assert!(lane.turn(Instant::now()).await.is_some());
        }
        assert_eq!((lanes.unfinished(), lanes.waiting()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_run_and_wait_are_counted_for_each_source() {
        let lanes = lanes();
        let lane = lanes.of(None);
        let _places = [lane.enter(), lane.enter()];
        let _turn = lane.turn(Instant::now()).await;
        let waiting = lane.turn(Instant::now());
        let of = |source: Option<&str>, running, waiting| LaneCount { source: source.map(Arc::from), running, waiting };
        assert_eq!(lanes.counts(), [of(Some("dead"), 0, 0), of(Some("good"), 0, 0), of(None, 1, 1)]);
        drop(waiting);
        assert_eq!(lanes.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn once_closed_nothing_begins() {
        let lanes = lanes();
        let place = lanes.of(Some("good")).enter();
        assert!(tokio::time::timeout(Duration::from_secs(1), lanes.close()).await.is_err());
        drop(place);
        lanes.close().await;
        assert!([Some("dead"), Some("good"), None].into_iter().all(|source| lanes.of(source).enter().is_none()));
    }
}
