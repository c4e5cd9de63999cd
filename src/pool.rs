//! Threads for work that takes a while, as many as there are cores: no async thread waits for it, and not more is under way than the machine
//! can do.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;

use tokio::sync::oneshot;

/// Bytes of input or output from which work is worth another thread; less is done in the time that a change of threads takes.
const WORTH_A_THREAD: usize = 64 << 10;

/// `None` where the system gives no threads.
static POOL: LazyLock<Option<rayon::ThreadPool>> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().thread_name(|i| format!("work-{i}")).build().ok());

/// Does the work on the pool, in the order in which it was asked for. It is begun, and ends, also where the future is dropped.
///
/// # Errors
/// What a panic of the work left.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Box<dyn Any + Send>> {
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        // Nobody may wait any more.
        _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    };
    match &*POOL {
        Some(pool) => pool.spawn_fifo(job),
        None => drop(tokio::task::spawn_blocking(job)),
    }
    receiver.await.unwrap_or_else(|_| Err(Box::new("the work was given up")))
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
    async fn small_work_is_done_at_once_and_large_work_on_a_thread_of_the_pool() {
        let name = || std::thread::current().name().unwrap_or_default().to_owned();
        assert!(!unless_small(WORTH_A_THREAD, name).await.starts_with("work-"));
        assert!(unless_small(WORTH_A_THREAD + 1, name).await.starts_with("work-"));
    }

    #[tokio::test]
    async fn a_panic_reaches_who_asked_and_no_one_else() {
        let panic = run(|| panic!("a fault")).await.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a fault"));
        assert_eq!(run(|| 7).await.unwrap(), 7);
    }
}
