//! Keeps what a service judges in a folder of files that a replay reads, on a thread of its own.
//!
//! A judgement never waits for it and never fails by it: where the thread cannot keep up, and where the disk fails, a judgement is left out,
//! counted and told in the log. The folder has a bound; the oldest files go first.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::{info, warn};

use super::case::Case;
use crate::analysis::{JudgementObserver, Plan, Scorecard};

/// Judgements that wait to be written; more are left out.
const QUEUE: usize = 64;
/// Files of a full folder, about: the oldest of them is what goes at a time.
const FILES: u64 = 16;
/// Least that a folder may hold, in bytes.
const LEAST_BYTES: u64 = 1 << 20;
/// How long the end of a process waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(5);
/// How the names of the files begin and end. Others in the folder are left alone.
const PREFIX: &str = "recorded-";
const SUFFIX: &str = ".jsonl";

/// Where judgements are recorded, and how much of them is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFolder {
    /// The folder, which is made where it does not exist.
    pub path: PathBuf,
    /// Most bytes of recordings that it holds.
    pub max_bytes: u64,
}

impl RecordFolder {
    /// Bytes that are kept where nothing else is said: 10 GiB.
    pub const DEFAULT_BYTES: u64 = 10 << 30;
}

/// What became of judgements that were to be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Written.
    pub written: u64,
    /// Could not be written, or not be recorded at all.
    pub failed: u64,
    /// Left out, because the disk did not keep up.
    pub left_out: u64,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    failed: AtomicU64,
    left_out: AtomicU64,
}

/// What was judged, and what came of it.
type JudgedPlan = Box<(Arc<Plan>, Scorecard)>;

/// Records judgements; to be given to an [`Analyst`](crate::analysis::Analyst). Dropped, it waits some seconds for what is to be written.
#[derive(Debug)]
pub struct Recorder {
    /// `None` once it ends.
    queue: Mutex<Option<SyncSender<JudgedPlan>>>,
    counters: Arc<Counters>,
    ended: Mutex<Receiver<()>>,
}

impl Recorder {
    /// Makes the folder where it does not exist, and starts the thread that writes.
    ///
    /// # Errors
    /// Why the folder cannot be used.
    pub fn start(folder: &RecordFolder) -> Result<Self, String> {
        let shown = folder.path.display();
        if folder.max_bytes < LEAST_BYTES {
            return Err(format!("{} bytes hold no recording; give at least {LEAST_BYTES}", folder.max_bytes));
        }
        std::fs::create_dir_all(&folder.path).map_err(|error| format!("`{shown}` cannot be made: {error}"))?;
        let mut writer = FolderWriter { folder: folder.clone(), open: None, files: 0 };
        // Better told now than with the first judgement.
        writer.file(Timestamp::now()).map_err(|error| format!("`{shown}` cannot be written to: {error}"))?;
        let (queue, waiting) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(1);
        let counters = Arc::new(Counters::default());
        let counting = Arc::clone(&counters);
        let thread = std::thread::Builder::new().name("recorder".to_owned());
        let started = thread.spawn(move || {
            write_all(&waiting, &mut writer, &counting);
            // Nobody waits where the process has no time left.
            let _ = end.send(());
        });
        started.map_err(|error| format!("a thread that writes cannot be started: {error}"))?;
        Ok(Self { queue: Mutex::new(Some(queue)), counters, ended: Mutex::new(ended) })
    }

    /// What became of the judgements so far.
    #[must_use]
    pub fn counts(&self) -> RecordCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { written, failed, left_out } = &*self.counters;
        RecordCounts { written: of(written), failed: of(failed), left_out: of(left_out) }
    }
}

impl JudgementObserver for Recorder {
    fn judged(&self, plan: &Arc<Plan>, scorecard: &Scorecard) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().map(|queue| queue.try_send(Box::new((Arc::clone(plan), scorecard.clone()))));
        drop(queue);
        if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent
            && self.counters.left_out.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000)
        {
            warn!("judgements are made faster than they can be recorded; some are left out (see haldane_recordings_total)");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE).is_err() {
            warn!("the last judgements could not be recorded in time");
        }
    }
}

/// Writes what comes until nobody is left who could send more.
fn write_all(waiting: &Receiver<JudgedPlan>, writer: &mut FolderWriter, counters: &Counters) {
    let mut fails = false;
    for judged in waiting {
        let (plan, scorecard) = *judged;
        let line = Case::of_judgement(plan.request(), &scorecard).and_then(|case| case.line());
        let written = match line {
            Ok(line) => writer.write(&line, Timestamp::now()).map_err(|error| error.to_string()),
            // A judgement without a sample is nothing to replay, and no fault of the disk's.
            Err(problem) => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                warn!(%problem, "a judgement is not recorded");
                continue;
            }
        };
        match written {
            Ok(()) => {
                counters.written.fetch_add(1, Ordering::Relaxed);
                if fails {
                    info!("judgements are recorded again");
                }
                fails = false;
            }
            Err(problem) => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                if !fails {
                    warn!(%problem, folder = %writer.folder.path.display(), "judgements cannot be recorded; the service goes on without");
                }
                fails = true;
            }
        }
    }
}

/// The folder's newest file, and the rule by which the oldest ones go.
#[derive(Debug)]
struct FolderWriter {
    folder: RecordFolder,
    open: Option<OpenFile>,
    /// Files made by this process, so that two of the same second differ.
    files: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    day: String,
    bytes: u64,
}

impl FolderWriter {
    fn write(&mut self, line: &[u8], now: Timestamp) -> io::Result<()> {
        let max_bytes = self.folder.max_bytes;
        let open = self.file(now)?;
        let before = open.bytes;
        if let Err(error) = open.file.write_all(line) {
            // Of a line that was begun nothing stays: the next one would be glued to it.
            let whole = open.file.set_len(before).is_ok();
            if !whole || before == 0 {
                self.leave();
            }
            return Err(error);
        }
        open.bytes += line.len() as u64;
        if open.bytes >= max_bytes / FILES {
            self.open = None;
        }
        Ok(())
    }

    /// Today's file, a new one where there is none; then also what is too much goes.
    fn file(&mut self, now: Timestamp) -> io::Result<&mut OpenFile> {
        let now = now.to_zoned(TimeZone::UTC);
        let day = now.strftime("%Y-%m-%d").to_string();
        if self.open.as_ref().is_some_and(|open| open.day != day) {
            self.leave();
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                self.remove_oldest()?;
                self.files += 1;
                let name = format!("{PREFIX}{}-{}-{}{SUFFIX}", now.strftime("%Y-%m-%dT%H%M%SZ"), std::process::id(), self.files);
                let path = self.folder.path.join(name);
                OpenFile { file: OpenOptions::new().append(true).create_new(true).open(&path)?, path, day, bytes: 0 }
            }
        };
        Ok(self.open.insert(open))
    }

    /// Closes the open file; an empty one is removed.
    fn leave(&mut self) {
        if let Some(open) = self.open.take().filter(|open| open.bytes == 0) {
            // An empty file does no harm.
            let _ = std::fs::remove_file(&open.path);
        }
    }

    /// Makes room for another file: those that were recorded first go.
    fn remove_oldest(&self) -> io::Result<()> {
        let mut files = recorded(&self.folder.path)?;
        files.sort();
        let most = self.folder.max_bytes - self.folder.max_bytes / FILES;
        let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (path, bytes) in files {
            if total <= most {
                break;
            }
            std::fs::remove_file(&path)?;
            total -= bytes;
        }
        Ok(())
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The files of recordings in a folder with their lengths.
fn recorded(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_ours && entry.file_type()?.is_file() {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(folder: &Path, max_bytes: u64) -> FolderWriter {
        FolderWriter { folder: RecordFolder { path: folder.to_owned(), max_bytes }, open: None, files: 0 }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut files = recorded(folder).unwrap();
        files.sort();
        files.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_day_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        for time in ["2026-01-31T10:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z"] {
            writer.write(b"{}\n", at(time)).unwrap();
        }
        let names = names(folder.path());
        assert_eq!(names.iter().map(|name| &name[..19]).collect::<Vec<_>>(), ["recorded-2026-01-31", "recorded-2026-02-01"]);
        assert_eq!(std::fs::read_to_string(folder.path().join(&names[0])).unwrap(), "{}\n{}\n");
    }

    #[test]
    fn the_oldest_files_go_and_no_other_file_does() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.jsonl"), vec![b' '; 1 << 20]).unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        let line = vec![b'x'; 10_000];
        for i in 0..500 {
            writer.write(&line, at("2026-01-31T10:00:00Z") + jiff::SignedDuration::from_secs(i)).unwrap();
            let held: u64 = recorded(folder.path()).unwrap().iter().map(|(_, bytes)| bytes).sum();
            assert!(held <= (1 << 20) + 10_000, "{held}");
        }
        let names = names(folder.path());
        assert!(names.first().unwrap().as_str() > "recorded-2026-01-31T1006", "{names:?}");
        assert!(folder.path().join("mine.jsonl").exists());
    }

    #[test]
    fn a_folder_that_fails_is_an_error_and_one_that_is_back_is_written_again() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("recordings");
        std::fs::create_dir(&folder).unwrap();
        let mut writer = writer(&folder, 1 << 20);
        writer.write(b"{}\n", at("2026-01-31T10:00:00Z")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(writer.write(b"{}\n", at("2026-02-01T10:00:00Z")).is_err());
        std::fs::create_dir(&folder).unwrap();
        writer.write(b"{}\n", at("2026-02-01T11:00:00Z")).unwrap();
        assert_eq!(names(&folder).len(), 1);
    }
}
