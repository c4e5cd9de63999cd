//! The optional store: JSON documents by kind and id, in memory, a folder, S3, Google Cloud Storage or Azure.
//!
//! Without it the service keeps no state. With it, executions have short ids and outlive every replica, can be listed, and configs and
//! metric sets can be written through the API. Nothing here knows what the documents mean, and nothing is ever thrown away: how long
//! they are kept is for the bucket's lifecycle rules, or whoever owns the folder.

mod backend;
mod error;
mod key;
mod location;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::{Path, PathPart};
use object_store::{Error as Fault, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ArchiveError, InvalidArchive, MAX_DOCUMENT_BYTES, MAX_OFFSET};
pub use key::{MAX_ID_LENGTH, is_short_id, place_before, short_id};

use crate::intake::{Busy, HeldMemory, Intake};
use crate::pool;
use backend::{Backend, MemoryBound};
use error::reason;

/// Small documents that are read at the same time.
const READ_AT_ONCE: usize = 16;

/// Longest document that takes no memory to speak of.
const SHORT: u64 = 64 << 10;

/// Most entries of one page of a listing.
pub const MAX_PAGE: usize = 1000;

/// What a document is; each kind has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// A request that was accepted, by the id of its execution.
    Execution,
    /// A request that was accepted through Kayenta's API, by the id of its execution.
    KayentaExecution,
    /// The scorecard an execution ended with, by its id.
    Scorecard,
    /// A judgement in short, by when it was judged.
    Summary,
    /// A canary config.
    CanaryConfig,
    /// A list of pairs of metric sets.
    MetricSetPairList,
    /// A list of metric sets.
    MetricSetList,
    /// An archived result.
    CanaryResult,
}

impl DocumentKind {
    fn folder(self) -> &'static str {
        match self {
            Self::Execution => "executions",
            Self::KayentaExecution => "kayenta-executions",
            Self::Scorecard => "scorecards",
            Self::Summary => "judgements-by-time",
            Self::CanaryConfig => "canary-configs",
            Self::MetricSetPairList => "metric-set-pair-lists",
            Self::MetricSetList => "metric-set-lists",
            Self::CanaryResult => "canary-results",
        }
    }
}

/// A document as it was found.
#[derive(Debug)]
pub struct Document<T> {
    /// What it says.
    pub value: T,
    /// When it was written last, to the millisecond.
    pub updated: Timestamp,
    /// What it takes of memory until it has been worked on, where it is long.
    pub(crate) memory: Option<HeldMemory>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The document's id.
    pub id: String,
    /// When it was written last, to the millisecond.
    pub updated: Timestamp,
}

/// A store that is open. Copies share it.
#[derive(Clone)]
pub struct Archive(Arc<Backend>, Intake);

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Archive").field(&self.0.place).finish()
    }
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.place)
    }
}

impl Archive {
    /// Opens the store at `url`: `memory:`, `file:///absolute/path`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    /// `az://container/prefix`. A folder is made if it is missing; nothing is asked of a bucket yet. Credentials of buckets come from
    /// the environment, as their own tools read them.
    ///
    /// # Errors
    /// [`InvalidArchive`] for a URL that cannot be used, with the remedy.
    pub fn open(url: &str) -> Result<Self, InvalidArchive> {
        location::open(url).map(|inner| Self(Arc::new(inner), Intake::default()))
    }

    /// The same, whose long documents take of the memory that the process has for what it takes on.
    #[must_use]
    pub(crate) fn within(self, intake: Intake) -> Self {
        Self(self.0, intake)
    }

    /// What kind of store it is: `memory`, `file`, `s3`, `gs`, ...
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.place.split(':').next().unwrap_or_default()
    }

    /// Asks the store for something small, to see whether it answers.
    ///
    /// # Errors
    /// [`ArchiveError`] when it does not.
    pub async fn check(&self) -> Result<(), ArchiveError> {
        self.list(DocumentKind::Execution, None, 1).await.map(drop)
    }

    /// Writes a document, over the one there may be.
    ///
    /// # Errors
    /// [`ArchiveError`] when the id or the document cannot be kept, or the store does not take it.
    pub async fn put(&self, kind: DocumentKind, id: &str, value: &(impl Serialize + Sync)) -> Result<(), ArchiveError> {
        self.write(self.key(kind, id)?, value, PutMode::Overwrite).await
    }

    /// Writes a document that is not there yet. Of several at the same time one succeeds.
    ///
    /// # Errors
    /// [`ArchiveError::Exists`] when it is there, and as [`Archive::put`].
    pub async fn create(&self, kind: DocumentKind, id: &str, value: &(impl Serialize + Sync)) -> Result<(), ArchiveError> {
        self.write(self.key(kind, id)?, value, PutMode::Create).await
    }

    /// Reads a document; `None` if there is none.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be read.
    pub async fn get<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Option<Document<T>>, ArchiveError> {
        self.read(kind, id, false).await
    }

    /// The same for one of the many documents of a list: however short it is, the threads that answer do not parse it.
    ///
    /// # Errors
    /// As of [`Archive::get`].
    pub(crate) async fn get_of_many<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Option<Document<T>>, ArchiveError> {
        self.read(kind, id, true).await
    }

    async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: DocumentKind,
        id: &str,
        of_many: bool,
    ) -> Result<Option<Document<T>>, ArchiveError> {
        let key = self.key(kind, id)?;
        let busy = |busy: Busy| ArchiveError::Busy(busy.to_string());
        let read = async {
            let found = match self.0.objects.get(&key).await {
                Err(Fault::NotFound { .. }) => return Ok(None),
                found => found.map_err(|fault| self.failed(&key, &fault))?,
            };
            let meta = found.meta.clone();
            if meta.size > MAX_DOCUMENT_BYTES as u64 {
                return Err(ArchiveError::TooLarge { key: self.shown(&key), bytes: meta.size });
            }
            // Before it is read.
            let memory = if meta.size > SHORT { Some(self.1.document(meta.size).map_err(busy)?) } else { None };
            let bytes = found.bytes().await.map_err(|fault| self.failed(&key, &fault))?;
            Ok(Some((bytes, updated(&meta), memory)))
        };
        let Some((bytes, updated, memory)) = self.in_time(read).await? else { return Ok(None) };
        let (length, parse) = (bytes.len(), move || serde_json::from_slice(&bytes));
        let value = if of_many { pool::one_of_many(length, parse).await } else { pool::unless_small(length, parse).await };
        let corrupt = |error: serde_json::Error| ArchiveError::Corrupt { key: self.shown(&key), reason: error.to_string() };
        Ok(Some(Document { value: value.map_err(corrupt)?, updated, memory }))
    }

    /// Deletes a document. False if it was not there.
    ///
    /// # Errors
    /// [`ArchiveError`] when the store does not do it.
    pub async fn delete(&self, kind: DocumentKind, id: &str) -> Result<bool, ArchiveError> {
        let key = self.key(kind, id)?;
        let delete = async {
            // Buckets delete what is not there without a word.
            match self.0.objects.head(&key).await {
                Err(Fault::NotFound { .. }) => return Ok(false),
                found => found.map_err(|fault| self.failed(&key, &fault))?,
            };
            match self.0.objects.delete(&key).await {
                Ok(()) => Ok(true),
                Err(Fault::NotFound { .. }) => Ok(false),
                Err(fault) => Err(self.failed(&key, &fault)),
            }
        };
        self.in_time(delete).await
    }

    /// The documents of a kind, in the order of their keys: at most `limit` ([`MAX_PAGE`] if that is less), beginning after the id
    /// `after`, which need not exist. A page that is shorter is the last.
    ///
    /// # Errors
    /// [`ArchiveError`] when the store cannot be read.
    pub async fn list(&self, kind: DocumentKind, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, ArchiveError> {
        let folder = self.0.prefix.clone().join(kind.folder());
        let after = after.map(|id| self.key(kind, id)).transpose()?;
        let found = self.page(&folder, after.as_ref(), limit.min(MAX_PAGE)).await?;
        Ok(found.iter().filter_map(|meta| entry(meta, key::read)).collect())
    }

    /// Files an execution under its application, for [`Archive::newest`].
    ///
    /// # Errors
    /// [`ArchiveError`] as of [`Archive::put`].
    pub async fn file_under(&self, application: &str, started: Timestamp, id: &str) -> Result<(), ArchiveError> {
        let name = key::in_time(started, &key::escaped(id)?);
        let key = below(self.by_application(application)?, &name)?;
        // Everything is in the key; an object of no bytes at all is more than some tools copy.
        self.write(key, &serde_json::json!({}), PutMode::Overwrite).await
    }

    /// The executions that were filed under an application, newest first: at most `limit` ([`MAX_PAGE`] if that is less) after
    /// `offset` newer ones.
    ///
    /// # Errors
    /// [`ArchiveError`] when the store cannot be read, and [`ArchiveError::TooFar`].
    pub async fn newest(&self, application: &str, limit: usize, offset: usize) -> Result<Vec<Entry>, ArchiveError> {
        if offset > MAX_OFFSET {
            return Err(ArchiveError::TooFar(offset));
        }
        let folder = self.by_application(application)?;
        let found = self.page(&folder, None, limit.min(MAX_PAGE) + offset).await?;
        Ok(found.iter().skip(offset).filter_map(|meta| entry(meta, key::read_in_time)).collect())
    }

    /// Writes a document where [`Archive::newest_documents`] finds it by its time.
    ///
    /// # Errors
    /// [`ArchiveError`] as of [`Archive::put`].
    pub async fn put_in_time(
        &self,
        kind: DocumentKind,
        time: Timestamp,
        id: &str,
        value: &(impl Serialize + Sync),
    ) -> Result<(), ArchiveError> {
        let key = below(self.0.prefix.clone().join(kind.folder()), &key::in_time(time, &key::escaped(id)?))?;
        self.write(key, value, PutMode::Overwrite).await
    }

    /// The documents of [`Archive::put_in_time`] after a place, newest first, with the places after them: at most `limit` ([`MAX_PAGE`] if that
    /// is less). `after` is such a place, or a [`place_before`]. What was deleted meanwhile, or cannot be read as `T`, is `None`.
    ///
    /// # Errors
    /// [`ArchiveError`] when the store cannot be read.
    pub async fn newest_documents<T: DeserializeOwned>(
        &self,
        kind: DocumentKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Option<T>)>, ArchiveError> {
        let folder = self.0.prefix.clone().join(kind.folder());
        let after = after.map(|place| below(folder.clone(), place)).transpose()?;
        let found = self.page(&folder, after.as_ref(), limit.min(MAX_PAGE)).await?;
        let names: Vec<String> = found.iter().map(|meta| meta.location.filename().unwrap_or_default().to_owned()).collect();
        let read = found.into_iter().map(|meta| async move { self.0.objects.get(&meta.location).await?.bytes().await });
        let documents = self.in_time(async {
            let read = futures::stream::iter(read).buffered(READ_AT_ONCE);
            Ok(read.collect::<Vec<_>>().await)
        });
        let mut values = Vec::new();
        for (name, document) in names.into_iter().zip(documents.await?) {
            let value = match document {
                Ok(bytes) => serde_json::from_slice(&bytes)
                    .inspect_err(|error| tracing::warn!(%error, name, "a document of the store cannot be read, and is left out of a list"))
                    .ok(),
                Err(Fault::NotFound { .. }) => None,
                Err(fault) => return Err(self.failed(&folder, &fault)),
            };
            values.push((name, value));
        }
        Ok(values)
    }

    fn key(&self, kind: DocumentKind, id: &str) -> Result<Path, ArchiveError> {
        below(self.0.prefix.clone().join(kind.folder()), &key::escaped(id)?)
    }

    fn by_application(&self, application: &str) -> Result<Path, ArchiveError> {
        below(self.0.prefix.clone().join("by-application"), &key::escaped(application)?)
    }

    /// Whether documents come in the order of their keys, so that a page of them is had without a look at all others.
    pub(crate) fn lists_in_order(&self) -> bool {
        self.0.ordered
    }

    /// The key as messages name it: without what all keys begin with.
    fn shown(&self, key: &Path) -> String {
        key.as_ref().strip_prefix(self.0.prefix.as_ref()).unwrap_or(key.as_ref()).trim_start_matches('/').to_owned()
    }

    async fn write(&self, key: Path, value: &(impl Serialize + Sync), mode: PutMode) -> Result<(), ArchiveError> {
        let unwritable = |error: serde_json::Error| ArchiveError::Corrupt { key: self.shown(&key), reason: error.to_string() };
        let json = serde_json::to_vec(value).map_err(unwritable)?;
        let bytes = json.len() as u64;
        if json.len() > MAX_DOCUMENT_BYTES {
            return Err(ArchiveError::TooLarge { key: self.shown(&key), bytes });
        }
        let write = async {
            self.make_room(bytes).await?;
            let written = self.0.objects.put_opts(&key, PutPayload::from(json), mode.into()).await;
            written.map(drop).map_err(|fault| self.failed(&key, &fault))
        };
        self.in_time(write).await
    }

    /// Counts what is written where there is a bound, and when it is reached, what is really there.
    async fn make_room(&self, bytes: u64) -> Result<(), ArchiveError> {
        let Some(MemoryBound { most, written }) = &self.0.room else { return Ok(()) };
        if written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= *most {
            return Ok(());
        }
        let all = self.0.objects.list(None).try_fold(0_u64, |sum, meta| std::future::ready(Ok(sum + meta.size)));
        let held = all.await.map_err(|fault| self.failed(&self.0.prefix, &fault))?;
        if held + bytes > *most {
            // What was refused was not written.
            written.store(held, Ordering::Relaxed);
            return Err(ArchiveError::Full);
        }
        written.store(held + bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The first `limit` objects right below `folder` after the key `after`, in the order of their keys.
    async fn page(&self, folder: &Path, after: Option<&Path>, limit: usize) -> Result<Vec<ObjectMeta>, ArchiveError> {
        // Each looks at everything in a folder.
        let _turn = match &self.0.threads {
            Some(threads) => Some(threads.listing(self.0.patience).await.ok_or_else(|| {
                ArchiveError::Unavailable("more lists of it are asked for than can be read; ask for fewer at once".to_owned())
            })?),
            None => None,
        };
        let read = async {
            let mut objects = match after {
                Some(after) => self.0.objects.list_with_offset(Some(folder), after),
                None => self.0.objects.list(Some(folder)),
            };
            let mut found = BTreeMap::new();
            while let Some(meta) = objects.try_next().await.map_err(|fault| self.failed(folder, &fault))? {
                if self.0.ordered && found.len() == limit {
                    break;
                }
                // Whatever else lies in the folder is not ours.
                let ours = meta.location.prefix_match(folder).is_some_and(|rest| rest.count() == 1);
                if ours && after.is_none_or(|after| meta.location > *after) {
                    found.insert(meta.location.clone(), meta);
                }
                if found.len() > limit {
                    found.pop_last();
                }
            }
            Ok(found.into_values().collect())
        };
        self.ended_in_time(read, false).await
    }

    async fn in_time<T>(&self, operation: impl Future<Output = Result<T, ArchiveError>>) -> Result<T, ArchiveError> {
        self.ended_in_time(operation, true).await
    }

    /// Ends an operation, or gives it up. Whether that tells of the disk is `late_tells`: a long list takes long on any.
    async fn ended_in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, ArchiveError>>,
        late_tells: bool,
    ) -> Result<T, ArchiveError> {
        let too_late = |_| ArchiveError::Unavailable(format!("it took more than {:?}", self.0.patience));
        let Some(threads) = &self.0.threads else {
            return tokio::time::timeout(self.0.patience, operation).await.map_err(too_late)?;
        };
        if threads.all_hang(self.0.patience) {
            return Err(ArchiveError::Unavailable("all that was asked of it lately is still waited for".to_owned()));
        }
        let ended = tokio::time::timeout(self.0.patience, threads.run(operation)).await;
        if ended.is_ok() || late_tells {
            threads.note(ended.is_ok());
        }
        ended.map_err(too_late)?
    }

    fn failed(&self, key: &Path, fault: &Fault) -> ArchiveError {
        match fault {
            Fault::AlreadyExists { .. } | Fault::Precondition { .. } => ArchiveError::Exists { key: self.shown(key) },
            Fault::PermissionDenied { .. }
            | Fault::Unauthenticated { .. }
            | Fault::NotFound { .. }
            | Fault::NotImplemented { .. }
            | Fault::NotSupported { .. } => ArchiveError::Refused(reason(fault)),
            _ => ArchiveError::Unavailable(reason(fault)),
        }
    }
}

/// The key of a name that is escaped already; as plain text it would be escaped once more.
fn below(folder: Path, name: &str) -> Result<Path, ArchiveError> {
    let part = PathPart::parse(name).map_err(|fault| ArchiveError::InvalidId { shown: name.to_owned(), reason: fault.to_string() })?;
    Ok(folder.join(part))
}

fn updated(meta: &ObjectMeta) -> Timestamp {
    // A time that does not fit came from a broken clock and orders nothing.
    Timestamp::from_millisecond(meta.last_modified.timestamp_millis()).unwrap_or_default()
}

/// A line of a listing; `None` for an object whose name is not one of ours.
fn entry(meta: &ObjectMeta, read: impl Fn(&str) -> Option<String>) -> Option<Entry> {
    Some(Entry { id: read(meta.location.filename()?)?, updated: updated(meta) })
}

#[cfg(test)]
mod tests;
