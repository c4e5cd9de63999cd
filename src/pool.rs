//! Threads for work that takes a while, as many as there are cores: no async thread waits for it, and not more is under way than the machine
//! can do.
//!
//! Work has its turn in the order in which it was asked for ([`run`]). What it consists of is spread over the cores ([`spread`]) by threads that
//! never wait: a thread of a pool that waits takes up other work meanwhile, on top of its own, and so on without a bound.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::{LazyLock, OnceLock};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

/// Bytes of input or output from which work is worth another thread; less is done in the time that a change of threads takes.
const WORTH_A_THREAD: usize = 64 << 10;

/// One for each piece of work that may be under way.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// The threads that work is spread over; `None` where the system gives none.
static PARTS: LazyLock<Option<rayon::ThreadPool>> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().thread_name(|i| format!("part-{i}")).build().ok());

/// Does the work on another thread, in its turn. What was begun ends also where the future is dropped.
///
/// # Errors
/// What a panic of the work left.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Box<dyn Any + Send>> {
    // The semaphore is never closed.
    let turn = TURNS.acquire().await.map_err(|closed| Box::new(closed.to_string()) as Box<dyn Any + Send>)?;
    let job = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(job).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => panic,
        Err(error) => Box::new(error.to_string()),
    })
}

/// Does `part` for each of `0..parts`, several at once, and waits for all. To be called by work that has its turn.
pub(crate) fn spread<T: Send + Sync>(parts: usize, part: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let Some(pool) = PARTS.as_ref().filter(|_| parts > 1) else { return (0..parts).map(part).collect() };
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
    if bytes <= WORTH_A_THREAD {
        return work();
    }
    run(work).await.unwrap_or_else(|panic| resume_unwind(panic))
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
            assert_eq!(spread(parts, |i| i * i), (0..parts).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn a_panic_of_one_part_is_one_of_the_work() {
        let work = || spread(10, |i| assert!(i != 7, "a fault in a part"));
        assert!(run(work).await.is_err());
        assert_eq!(run(|| spread(3, |i| i)).await.unwrap(), [0, 1, 2]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_work_is_begun_on_top_of_other_work() {
        thread_local!(static UNDER_WAY: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
        let work = || {
            let before = UNDER_WAY.replace(UNDER_WAY.get() + 1);
            let parts = spread(50, |i| (0..20_000u64).fold(i as u64, |a, b| a.wrapping_mul(31).wrapping_add(b)));
            UNDER_WAY.set(before);
            (before, parts.len())
        };
        let all = futures::future::join_all((0..200).map(|_| tokio::spawn(run(work)))).await;
        assert!(all.into_iter().all(|done| done.unwrap().unwrap() == (0, 50)));
    }

    #[tokio::test]
    async fn a_panic_reaches_who_asked_and_no_one_else() {
        let panic = run(|| panic!("a fault")).await.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a fault"));
        assert_eq!(run(|| 7).await.unwrap(), 7);
    }
}
