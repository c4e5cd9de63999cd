//! What an archive is made of, once it is open.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;

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
}

/// A bound on the bytes that a store holds.
pub(super) struct MemoryBound {
    pub(super) most: u64,
    /// Bytes written since they were last counted.
    pub(super) written: AtomicU64,
}
