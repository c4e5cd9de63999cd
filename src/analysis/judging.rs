//! Judges on a pool of threads of its own, so that no async thread ever waits for a judgement.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use haldane_judges::{JudgeName, Judgement};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::assemble::Assembly;
use super::error::AnalysisError;

/// As many threads as there are cores.
static POOL: LazyLock<Option<rayon::ThreadPool>> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().thread_name(|i| format!("judge-{i}")).build().ok());

/// Ends what it belongs to when it is dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` on the pool; the judge it is given leaves out what there is no time for until `deadline`, or that nobody waits for any more.
///
/// # Errors
/// [`AnalysisError::Broken`] where the work panicked.
pub(super) async fn on_the_pool<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce(&dyn Fn(JudgeName, &Assembly) -> Judgement) -> T + Send + 'static,
) -> Result<T, AnalysisError> {
    let stopped = Stop(Arc::default());
    let stop = Arc::clone(&stopped.0);
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        // A panic drops the sender, which the receiver sees.
        let judge = |name: JudgeName, assembly: &Assembly| haldane_judges::judge(name, &assembly.config, &assembly.evidence);
        _ = (deadline, &stop);
        // Nobody may wait any more.
        _ = sender.send(work(&judge));
    };
    match &*POOL {
        Some(pool) => pool.spawn_fifo(job),
        None => drop(tokio::task::spawn_blocking(job)),
    }
    receiver.await.map_err(|_| AnalysisError::Broken("a judge panicked; the log has the details".to_owned()))
}
