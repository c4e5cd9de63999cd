//! Files of recorded canaries, read case by case: JSON lines here, long-format tables by `table`, and by `parquet` with the feature
//! `datasets`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::case::{Case, MAX_LINE_BYTES};
use super::error::ReplayError;
use super::long_format::CaseProblem;
use super::table::TableFormat;

/// Most files that a folder may have.
const MAX_FILES: usize = 10_000;

/// What is sent to be judged: a line as it was read, or a case that a table was cut into.
pub(super) enum ItemContent {
    Line(Vec<u8>),
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
    Table(TableFormat),
    Parquet,
}

impl InputFormat {
    /// Those that there are, by the end of a name. Of one recording that is there in several formats, the first of these is read.
    const ALL: [(&'static str, Self); 5] = [
        (".jsonl", Self::Lines),
        (".jsonl.gz", Self::CompressedLines),
        (".ndjson", Self::Table(TableFormat::Ndjson)),
        (".csv", Self::Table(TableFormat::Csv)),
        (".parquet", Self::Parquet),
    ];

    /// The format of a file, its place among [`Self::ALL`], and the file's name without it.
    fn of(path: &Path) -> Option<(Self, usize, String)> {
        let name = path.file_name()?.to_str()?;
        let lower = name.to_ascii_lowercase();
        let place = Self::ALL.iter().position(|(ending, _)| lower.ends_with(ending))?;
        let (ending, format) = Self::ALL.get(place)?;
        Some((*format, place, name.get(..name.len() - ending.len())?.to_owned()))
    }

    fn is_readable(self) -> bool {
        self != Self::Parquet || cfg!(feature = "datasets")
    }
}

/// What to do about a file that this build cannot read.
const NO_PARQUET: &str = "is Parquet, which this build cannot read; build with `make build-datasets` (cargo build --release --features \
                          datasets), or give JSON lines, CSV or NDJSON";

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

/// The files to read, and what there is to say of others.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) files: Vec<Input>,
    /// Files that are passed over, because another one has the same recording.
    pub(super) notes: Vec<String>,
}

/// The files that are meant: those named, and those directly in a folder, by name. Files of a folder that differ in the format alone are
/// one recording in several formats, of which the one that is read best is read.
pub(super) fn find(paths: &[PathBuf], output: Option<&Path>) -> Result<Inputs, ReplayError> {
    let unreadable = |path: &Path, error: io::Error| ReplayError::Input(format!("`{}` cannot be read: {error}", path.display()));
    let written = output.and_then(|output| output.canonicalize().ok());
    let mut inputs = Inputs::default();
    for path in paths {
        let about = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !about.is_dir() {
            let Some((format, ..)) = InputFormat::of(path) else {
                let message = format!("`{}` is neither .jsonl nor .jsonl.gz nor .csv, .ndjson or .parquet; rename it", path.display());
                return Err(ReplayError::Input(message));
            };
            if !format.is_readable() {
                return Err(ReplayError::Input(format!("`{}` {NO_PARQUET}", path.display())));
            }
            inputs.files.push(Input { path: path.clone(), format, bytes: about.len() });
            continue;
        }
        // By the name without the format, and by the format.
        let mut found: BTreeMap<String, BTreeMap<usize, Input>> = BTreeMap::new();
        let mut files = 0;
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, error))? {
            let file = entry.map_err(|error| unreadable(path, error))?.path();
            // What an earlier replay wrote into the same folder is no recording.
            let is_output = written.is_some() && file.canonicalize().ok() == written;
            if let (Some((format, place, stem)), false) = (InputFormat::of(&file), is_output) {
                let about = std::fs::metadata(&file).map_err(|error| unreadable(&file, error))?;
                found.entry(stem).or_default().insert(place, Input { path: file, format, bytes: about.len() });
                files += 1;
            }
        }
        if files == 0 || files > MAX_FILES {
            let message = format!("`{}` has {files} files of recorded canaries; name 1 to {MAX_FILES}", path.display());
            return Err(ReplayError::Input(message));
        }
        for formats in found.into_values() {
            let mut formats = formats.into_values();
            let Some(best) = formats.next() else { continue };
            let name = |input: &Input| format!("`{}`", input.path.file_name().unwrap_or_default().display());
            let others: Vec<String> = formats.map(|other| name(&other)).collect();
            if !others.is_empty() {
                let verb = if others.len() == 1 { "is" } else { "are" };
                inputs.notes.push(format!("{} {verb} taken for {} in another format and not read", others.join(" and "), name(&best)));
            }
            inputs.files.push(best);
        }
    }
    Ok(inputs)
}

/// Hands every case of a file to `send`, in the file's order, until that says that nobody listens any more.
pub(super) fn read(input: &Input, window: Option<f64>, read_bytes: &AtomicU64, send: &mut dyn FnMut(Item) -> bool) {
    let file: Arc<str> = input.path.display().to_string().into();
    let unreadable = |line: u64, message: String| Item { file: Arc::clone(&file), line, content: ItemContent::Unreadable(message) };
    if let InputFormat::Table(_) | InputFormat::Parquet = input.format {
        read_table(input, window, &file, send);
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
        _ => Box::new(BufReader::new(opened)),
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

fn read_table(input: &Input, window: Option<f64>, file: &Arc<str>, send: &mut dyn FnMut(Item) -> bool) {
    let item = |line: u64, content: ItemContent| Item { file: Arc::clone(file), line, content };
    let wrong = |CaseProblem { line, problem }: CaseProblem| item(line, ItemContent::Unreadable(problem));
    let read = match input.format {
        InputFormat::Table(format) => super::table::read(&input.path, format, window, &mut |case| {
            send(case.map_or_else(wrong, |(line, case)| item(line, ItemContent::Case(case))))
        }),
        _ => {
            read_parquet(&input.path, window, &mut |case| send(case.map_or_else(wrong, |case| item(0, ItemContent::Case(Box::new(case))))))
        }
    };
    if let Err(problem) = read {
        send(wrong(problem));
    }
}

type TakeCase<'a> = &'a mut dyn FnMut(Result<Case, CaseProblem>) -> bool;

#[cfg(feature = "datasets")]
fn read_parquet(path: &Path, window: Option<f64>, take: TakeCase<'_>) -> Result<(), CaseProblem> {
    super::parquet::read(path, window, take).map_err(|problem| CaseProblem { line: 0, problem })
}

#[cfg(not(feature = "datasets"))]
fn read_parquet(_: &Path, _: Option<f64>, _: TakeCase<'_>) -> Result<(), CaseProblem> {
    Err(CaseProblem { line: 0, problem: NO_PARQUET.to_owned() })
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
