//! Threads for work that takes a while, as many as there are cores: no async thread waits for it, and not more is under way than the machine
//! can do.
//!
//! Work has its turn in the order in which it was asked for ([`run`]); what is about much has all turns but one, so that what is about
//! little never waits for it. Large work is spread over the cores ([`spread`]) by threads that never wait: a thread of a pool that waits takes
//! up other work meanwhile, on top of its own, and so on without a bound.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, oneshot};

/// Bytes of input or output from which work is worth another thread; less is done in the time that a change of threads takes.
const WORTH_A_THREAD: usize = 64 << 10;

/// Bytes of points or text from which work is large: it takes some hundredths of a second or more.
const LARGE: usize = 1 << 20;

/// Pieces of work that may be under way at once: as many as there are cores, and one large and one small piece in any case.
fn turns() -> usize {
    available_parallelism().map_or(1, usize::from).max(2)
}

static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(turns()));
static LARGE_TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(turns() - 1));

type Job = Box<dyn FnOnce() + Send>;

/// The threads that work has its turn on, one for each. Not the runtime's: those may all wait for a name server or a disk.
static THREADS: LazyLock<Sender<Job>> = LazyLock::new(|| {
    let (give, take) = channel::<Job>();
    let take: &'static Mutex<Receiver<Job>> = Box::leak(Box::new(Mutex::new(take)));
    for i in 0..turns() {
        let next = || take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let work = move || {
            while let Ok(job) = next() {
                job()
            }
        };
        if let Err(error) = std::thread::Builder::new().name(format!("work-{i}")).spawn(work) {
            tracing::error!(%error, "a thread for work could not be started");
        }
    }
    give
});

/// The threads that work is spread over; `None` where the system gives none.
static PARTS: LazyLock<Option<rayon::ThreadPool>> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().thread_name(|i| format!("part-{i}")).build().ok());

/// Does work about so many bytes on another thread, in its turn. What was begun ends also where the future is dropped.
///
/// # Errors
/// What a panic of the work left.
pub(crate) async fn run<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Box<dyn Any + Send>> {
    // The semaphores are never closed.
    let closed = |closed: tokio::sync::AcquireError| Box::new(closed.to_string()) as Box<dyn Any + Send>;
    let large = if bytes > LARGE { Some(LARGE_TURNS.acquire().await.map_err(closed)?) } else { None };
    let turn = TURNS.acquire().await.map_err(closed)?;
    let (answer, answered) = oneshot::channel();
    let job = move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        drop((turn, large));
        // Nobody may wait any more.
        drop(answer.send(done));
    };
    let lost = || Box::new("there is no thread to do it") as Box<dyn Any + Send>;
    THREADS.send(Box::new(job)).map_err(|_| lost())?;
    answered.await.map_err(|_| lost())?
}

/// Does `part` for each of `0..parts` and waits for all: several at once where all are about much, since small work would wait for the parts
/// of large work. To be called by work that has its turn.
pub(crate) fn spread<T: Send + Sync>(bytes: usize, parts: usize, part: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let Some(pool) = PARTS.as_ref().filter(|_| parts > 1 && bytes > LARGE) else { return (0..parts).map(part).collect() };
    let done: Vec<OnceLock<T>> = (0..parts).map(|_| OnceLock::new()).collect();
    // A part that panics makes the scope panic once all have ended.
    pool.in_place_scope_fifo(|scope| {
        for (i, place) in done.iter().enumerate() {
            let part = &part;
            scope.spawn_fifo(move |_| _ = place.set(part(i)));
        }
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Does the work here where it is about few bytes, and else on the pool. A panic goes on as one of the caller's.
pub(crate) async fn unless_small<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= WORTH_A_THREAD { work() } else { one_of_many(bytes, work).await }
}

/// Does the work on the pool however little it is about, since much more of its kind comes with it. A panic goes on as one of the caller's.
pub(crate) async fn one_of_many<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    run(bytes, work).await.unwrap_or_else(|panic| resume_unwind(panic))
}

/// What a panic said.
#[must_use]
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_work_is_done_at_once_and_large_work_on_another_thread() {
        let (here, id) = (std::thread::current().id(), || std::thread::current().id());
        assert_eq!(unless_small(WORTH_A_THREAD, id).await, here);
        assert_ne!(unless_small(WORTH_A_THREAD + 1, id).await, here);
    }

    #[test]
    fn every_part_is_done_and_keeps_its_place() {
        for parts in [0, 1, 2, 1_000] {
            assert_eq!(spread(usize::MAX, parts, |i| i * i), (0..parts).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn small_work_does_not_wait_for_large_work() {
        let (go_on, gone_on) = std::sync::mpsc::channel::<()>();
        let gone_on = std::sync::Arc::new(std::sync::Mutex::new(gone_on));
        let large = (0..turns() + 3).map(|_| {
            let gone_on = std::sync::Arc::clone(&gone_on);
            tokio::spawn(run(usize::MAX, move || _ = gone_on.lock().map(|gone_on| gone_on.recv())))
        });
        let large: Vec<_> = large.collect();
        assert_eq!(run(LARGE, || 7).await.unwrap(), 7);
        drop(go_on);
        assert!(futures::future::join_all(large).await.into_iter().all(|ended| ended.unwrap().is_ok()));
    }

    #[tokio::test]
    async fn a_panic_of_one_part_is_one_of_the_work() {
        let work = || spread(usize::MAX, 10, |i| assert!(i != 7, "a fault in a part"));
        assert!(run(usize::MAX, work).await.is_err());
        assert_eq!(run(0, || spread(0, 3, |i| i)).await.unwrap(), [0, 1, 2]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_work_is_begun_on_top_of_other_work() {
        thread_local!(static UNDER_WAY: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
        let work = || {
            let before = UNDER_WAY.replace(UNDER_WAY.get() + 1);
            let parts = spread(usize::MAX, 50, |i| (0..20_000u64).fold(i as u64, |a, b| a.wrapping_mul(31).wrapping_add(b)));
            UNDER_WAY.set(before);
            (before, parts.len())
        };
        let all = futures::future::join_all((0..200).map(|i| tokio::spawn(run(i % 2 * usize::MAX, work)))).await;
        assert!(all.into_iter().all(|done| done.unwrap().unwrap() == (0, 50)));
    }

    #[tokio::test]
    async fn a_panic_reaches_who_asked_and_no_one_else() {
        let panic = run(0, || panic!("a fault")).await.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a fault"));
        assert_eq!(run(0, || 7).await.unwrap(), 7);
    }
}
