//! Log lines on standard error, written by a thread of their own: a reader that is slow, gone or out of space stops nobody's request.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most lines, and bytes of them, that wait to be written; more are dropped and counted.
const MOST_LINES: usize = 8_192;
const MOST_BYTES: usize = 4 << 20;

static DROPPED: AtomicU64 = AtomicU64::new(0);
static QUEUE: LazyLock<LogQueue> = LazyLock::new(|| LogQueue::start(io::stderr()));

/// Lines that were dropped since the start.
#[must_use]
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until what was logged is written, at most so long.
pub fn flush(at_most: Duration) {
    QUEUE.flush(at_most);
}

/// Where the log goes: standard error, by way of a queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWriter;

impl MakeWriter<'_> for LogWriter {
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine(Vec::new())
    }
}

/// One line, sent when dropped.
#[derive(Debug)]
pub struct LogLine(Vec<u8>);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        if !self.0.is_empty() && !QUEUE.send(std::mem::take(&mut self.0)) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

enum LogItem {
    Line(Vec<u8>),
    Mark(SyncSender<()>),
}

struct LogQueue {
    lines: SyncSender<LogItem>,
    bytes: Arc<AtomicUsize>,
}

impl LogQueue {
    fn start(out: impl Write + Send + 'static) -> Self {
        let (lines, queued) = sync_channel(MOST_LINES);
        let bytes = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&bytes);
        // Without the thread every line is dropped, and the service works all the same.
        drop(std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&queued, &left, out)));
        Self { lines, bytes }
    }

    /// False where there is no room.
    fn send(&self, line: Vec<u8>) -> bool {
        let length = line.len();
        if self.bytes.fetch_add(length, Ordering::Relaxed) + length > MOST_BYTES || self.lines.try_send(LogItem::Line(line)).is_err() {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn flush(&self, at_most: Duration) {
        let (mark, written) = sync_channel(1);
        if self.lines.try_send(LogItem::Mark(mark)).is_ok() {
            // A reader that takes nothing is not waited for any longer.
            let _ = written.recv_timeout(at_most);
        }
    }
}

fn write_all(queued: &Receiver<LogItem>, bytes: &AtomicUsize, mut out: impl Write) {
    while let Ok(item) = queued.recv() {
        match item {
            LogItem::Line(line) => {
                // A reader that has gone, or a full disk: there is nobody to tell.
                if out.write_all(&line).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
                bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            LogItem::Mark(mark) => {
                let _ = out.flush();
                let _ = mark.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that nobody reads: each write waits for a permission that does not come.
    struct FullPipe(Receiver<()>);

    impl Write for FullPipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(()) => Ok(bytes.len()),
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_stops_nobody() {
        let (reader, pipe) = sync_channel::<()>(0);
        let queue = LogQueue::start(FullPipe(pipe));
        let line = vec![b'x'; 1024];
        let taken = (0..100_000).filter(|_| queue.send(line.clone())).count();
        assert!((1_000..=MOST_BYTES / 1024).contains(&taken), "{taken}");
        queue.flush(Duration::from_millis(1));
        // The reader goes away: what waits is thrown away, and there is room again.
        drop(reader);
        queue.flush(Duration::from_secs(60));
        while !queue.send(line.clone()) {
            std::thread::yield_now();
        }
    }
}
