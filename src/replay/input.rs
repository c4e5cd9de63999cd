//! Files of recorded canaries, read case by case: JSON lines here, long-format tables with the feature `datasets`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::case::{Case, MAX_LINE_BYTES};
use super::error::ReplayError;

/// Most files that a folder may have.
const MAX_FILES: usize = 10_000;

/// What is sent to be judged: a line as it was read, or a case that a table was cut into.
pub(super) enum ItemContent {
    Line(Vec<u8>),
    #[cfg_attr(not(feature = "datasets"), allow(dead_code, reason = "tables alone make them"))]
    Case(Box<Case>),
    /// What could not be read at all.
    Unreadable(String),
}

/// A piece of a file.
pub(super) struct Item {
    pub(super) file: Arc<str>,
    /// From 1; 0 where the format has no lines.
    pub(super) line: u64,
    pub(super) content: ItemContent,
}

impl Item {
    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            ItemContent::Line(line) => line.len(),
            ItemContent::Case(case) => case.metrics.len() * case.points() * 2 * size_of::<Option<f64>>(),
            ItemContent::Unreadable(_) => 0,
        }
    }
}

/// How a file is written, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputFormat {
    Lines,
    CompressedLines,
    Table,
}

impl InputFormat {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let ends = |ending: &str| name.ends_with(ending);
        if ends(".jsonl.gz") {
            Some(Self::CompressedLines)
        } else if ends(".jsonl") {
            Some(Self::Lines)
        } else if ends(".csv") || ends(".parquet") || ends(".ndjson") {
            Some(Self::Table)
        } else {
            None
        }
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub(super) struct Input {
    path: PathBuf,
    format: InputFormat,
    bytes: u64,
}

/// Length of all files, in bytes.
pub(super) fn total_bytes(inputs: &[Input]) -> u64 {
    inputs.iter().map(|input| input.bytes).sum()
}

/// The files that are meant: those named, and those directly in a folder, by name.
pub(super) fn find(paths: &[PathBuf], output: Option<&Path>) -> Result<Vec<Input>, ReplayError> {
    let unreadable = |path: &Path, error: io::Error| ReplayError::Input(format!("`{}` cannot be read: {error}", path.display()));
    let written = output.and_then(|output| output.canonicalize().ok());
    let mut inputs = Vec::new();
    for path in paths {
        let about = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !about.is_dir() {
            let Some(format) = InputFormat::of(path) else {
                let message = format!("`{}` is neither .jsonl nor .jsonl.gz nor .csv, .parquet or .ndjson; rename it", path.display());
                return Err(ReplayError::Input(message));
            };
            inputs.push(Input { path: path.clone(), format, bytes: about.len() });
            continue;
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, error))? {
            let file = entry.map_err(|error| unreadable(path, error))?.path();
            // What an earlier replay wrote into the same folder is no recording.
            let is_output = written.is_some() && file.canonicalize().ok() == written;
            if let (Some(format), false) = (InputFormat::of(&file), is_output) {
                let about = std::fs::metadata(&file).map_err(|error| unreadable(&file, error))?;
                found.push(Input { path: file, format, bytes: about.len() });
            }
        }
        if found.is_empty() || found.len() > MAX_FILES {
            let message = format!("`{}` has {} files of recorded canaries; name 1 to {MAX_FILES}", path.display(), found.len());
            return Err(ReplayError::Input(message));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        inputs.append(&mut found);
    }
    if cfg!(not(feature = "datasets"))
        && let Some(table) = inputs.iter().find(|input| input.format == InputFormat::Table)
    {
        let message = format!(
            "`{}` is a table, which this build cannot read; build with `cargo build --release --features datasets`, or give JSON lines",
            table.path.display()
        );
        return Err(ReplayError::Input(message));
    }
    Ok(inputs)
}

/// Hands every case of a file to `send`, in the file's order, until that says that nobody listens any more.
pub(super) fn read(input: &Input, window: Option<f64>, read_bytes: &AtomicU64, send: &mut dyn FnMut(Item) -> bool) {
    let file: Arc<str> = input.path.display().to_string().into();
    let unreadable = |line: u64, message: String| Item { file: Arc::clone(&file), line, content: ItemContent::Unreadable(message) };
    if input.format == InputFormat::Table {
        read_table(&input.path, window, &file, send);
        read_bytes.fetch_add(input.bytes, Ordering::Relaxed);
        return;
    }
    let opened = match File::open(&input.path) {
        Ok(opened) => CountingReader { inner: opened, read: read_bytes },
        Err(error) => {
            send(unreadable(0, format!("cannot be opened: {error}")));
            return;
        }
    };
    let mut reader: Box<dyn BufRead> = match input.format {
        InputFormat::CompressedLines => Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(opened)))),
        InputFormat::Lines | InputFormat::Table => Box::new(BufReader::new(opened)),
    };
    let mut line = 0;
    loop {
        line += 1;
        let content = match next_line(&mut reader) {
            Ok(Some(InputLine::Whole(bytes))) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(Some(InputLine::Whole(bytes))) => ItemContent::Line(bytes),
            Ok(Some(InputLine::TooLong)) => {
                ItemContent::Unreadable(format!("the line is longer than the {MAX_LINE_BYTES} bytes that are read; split the case"))
            }
            Ok(None) => return,
            Err(error) => {
                send(unreadable(line, format!("the file breaks off here: {error}")));
                return;
            }
        };
        if !send(Item { file: Arc::clone(&file), line, content }) {
            return;
        }
    }
}

#[cfg(feature = "datasets")]
fn read_table(path: &Path, window: Option<f64>, file: &Arc<str>, send: &mut dyn FnMut(Item) -> bool) {
    let mut put = |content: ItemContent| send(Item { file: Arc::clone(file), line: 0, content });
    if let Err(message) = super::table::read(path, window, &mut |case| {
        put(match case {
            Ok(case) => ItemContent::Case(Box::new(case)),
            Err(message) => ItemContent::Unreadable(message),
        })
    }) {
        put(ItemContent::Unreadable(message));
    }
}

#[cfg(not(feature = "datasets"))]
fn read_table(_: &Path, _: Option<f64>, file: &Arc<str>, send: &mut dyn FnMut(Item) -> bool) {
    let content = ItemContent::Unreadable("tables need a build with `--features datasets`".to_owned());
    send(Item { file: Arc::clone(file), line: 0, content });
}

enum InputLine {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line without its end; of one that is too long nothing is kept.
fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<InputLine>> {
    let mut bytes = Vec::new();
    let most = MAX_LINE_BYTES as u64 + 1;
    if reader.take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        return Ok(Some(InputLine::Whole(bytes)));
    }
    if bytes.len() <= MAX_LINE_BYTES {
        return Ok(Some(InputLine::Whole(bytes)));
    }
    loop {
        let seen = reader.fill_buf()?;
        let end = seen.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(seen.len(), |end| end + 1);
        if used == 0 {
            return Ok(Some(InputLine::TooLong));
        }
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(InputLine::TooLong));
        }
    }
}

/// Counts what is read, for the progress bar.
struct CountingReader<'a> {
    inner: File,
    read: &'a AtomicU64,
}

impl Read for CountingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
