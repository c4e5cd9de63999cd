//! What an archive is made of, once it is open.

use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Most bytes that `memory:` holds; it is for trying things out.
pub(super) const MAX_MEMORY_BYTES: u64 = 256 << 20;
/// How long the store may take for one operation.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Where documents are kept, and how.
pub(super) struct Backend {
    pub(super) objects: Box<dyn ObjectStore>,
    /// What every key begins with.
    pub(super) prefix: Path,
    /// Where it is, without credentials.
    pub(super) place: String,
    /// Whether it lists keys in their order, so that a page can be had without reading the rest.
    pub(super) ordered: bool,
    /// The bound on what it holds, where there is one.
    pub(super) room: Option<MemoryBound>,
    /// How long one operation may take.
    pub(super) patience: Duration,
    /// The threads on which a folder is read and written.
    pub(super) threads: Option<DiskThreads>,
}

/// Threads of a store in a folder. A disk that hangs holds those that wait for it, and none of anybody else.
pub(super) struct DiskThreads {
    runtime: Option<Runtime>,
    /// One permit for each list that is read.
    lists: Semaphore,
    hanging: Mutex<Hanging>,
}

/// Operations that were given up, one after another, and when the last one began.
#[derive(Default)]
struct Hanging {
    operations: usize,
    last: Option<Instant>,
}

impl DiskThreads {
    /// Most of them.
    const MOST: usize = 16;
    /// Most lists that are read at once: the others leave threads to whoever reads or writes one document.
    const LISTS: usize = 4;

    pub(super) fn new() -> std::io::Result<Self> {
        // It runs no tasks: only its threads for what blocks are used.
        Builder::new_current_thread().max_blocking_threads(Self::MOST).thread_name("store").build().map(|runtime| Self {
            runtime: Some(runtime),
            lists: Semaphore::new(Self::LISTS),
            hanging: Mutex::default(),
        })
    }

    fn hanging(&self) -> MutexGuard<'_, Hanging> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether as many operations as there are threads were given up and none has ended since: whoever asks would wait in vain. One in
    /// so much time is let through, to see.
    pub(super) fn all_hang(&self, patience: Duration) -> bool {
        let mut hanging = self.hanging();
        if hanging.operations < Self::MOST {
            return false;
        }
        let now = Instant::now();
        if hanging.last.is_some_and(|last| now.duration_since(last) < patience) {
            return true;
        }
        hanging.last = Some(now);
        false
    }

    /// The turn to read a list; `None` where it does not come within so much time.
    pub(super) async fn listing(&self, patience: Duration) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(patience, self.lists.acquire()).await.ok()?.ok()
    }

    /// An operation has ended, or was given up.
    pub(super) fn note(&self, ended: bool) {
        let mut hanging = self.hanging();
        if ended {
            *hanging = Hanging::default();
        } else {
            hanging.operations += 1;
            hanging.last = Some(Instant::now());
        }
    }

    /// Runs an operation whose blocking parts are done by these threads.
    pub(super) async fn run<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        std::future::poll_fn(|cx| {
            let _context = self.runtime.as_ref().map(Runtime::enter);
            operation.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for DiskThreads {
    fn drop(&mut self) {
        // Without waiting for what hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A bound on the bytes that a store holds.
pub(super) struct MemoryBound {
    pub(super) most: u64,
    /// Bytes written since they were last counted.
    pub(super) written: AtomicU64,
}
