//! Judges recorded canaries case by case on all processors, and hands the small results over in the files' order.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use rayon::ThreadPoolBuilder;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::hex::hex;

use super::case::{Case, Label};
use super::error::ReplayError;
use super::input::{self, Input, Inputs, Item, ItemContent};
use super::judging::{self, Column};
use super::options::ReplayOptions;
use super::result::{CaseJudgement, CaseLocation, CaseResult};
use super::rows;

/// Most looks that a window is cut into.
pub const MAX_LOOKS: u32 = 100;
/// Most cases that could not be read and are named one by one.
const MAX_NAMED: usize = 20;
/// Cases of a batch for each thread: so many that threads seldom wait for the last one's case.
const BATCH_CASES: usize = 32;
/// Bytes of lines from which on a batch is full, whatever its cases. Three batches are in memory at most: one that is judged, one
/// that waits, and one that is being read.
const BATCH_BYTES: usize = 32 << 20;

/// How far a replay is.
#[derive(Debug, Clone, Copy)]
pub struct ReplayProgress {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Cases judged.
    pub cases: u64,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReplayCounts {
    /// Cases judged now.
    pub judged: u64,
    /// Cases that the output had already.
    pub resumed: u64,
    /// Cases that the filters left out.
    pub filtered: u64,
    /// Cases that could not be read or judged.
    pub skipped: u64,
    /// The first of those: file, line and what is wrong.
    pub problems: Vec<String>,
    /// Files that were passed over, and why.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl ReplayCounts {
    fn skip(&mut self, problem: String) {
        self.skipped += 1;
        if self.problems.len() < MAX_NAMED {
            self.problems.push(crate::report::format::clean(&problem));
        }
    }
}

enum CaseOutcome {
    Judged(Box<CaseResult>),
    Resumed,
    Filtered,
    Skipped(String),
}

/// Replays: every case's result is handed to `take`, in the order of the files; those of a resumed output first.
///
/// # Errors
/// [`ReplayError`] for files that cannot be found and an output that cannot be written or resumed. A case that cannot be read is
/// counted and skipped.
pub fn run(
    options: &ReplayOptions,
    take: &mut dyn FnMut(&CaseResult),
    progress: &dyn Fn(ReplayProgress),
) -> Result<ReplayCounts, ReplayError> {
    if options.looks.is_some_and(|looks| !(2..=MAX_LOOKS).contains(&looks)) {
        return Err(ReplayError::Input(format!("looks: {} windows are no plan; give 2 to {MAX_LOOKS}", options.looks.unwrap_or_default())));
    }
    let Inputs { files: inputs, notes } = input::find(&options.paths, options.output.as_deref())?;
    let mut counted = ReplayCounts { notes, ..ReplayCounts::default() };
    let mut seen = rows::CaseIds::default();
    let mut finished = BTreeSet::new();
    let mut output = match &options.output {
        None => None,
        Some(path) => {
            let mut known = |result: CaseResult| {
                counted.resumed += 1;
                take(&result);
                if finished.insert(result.id.clone()) {
                    Ok(())
                } else {
                    Err(ReplayError::Output(format!("case `{}` is in the output twice; name another file", result.id)))
                }
            };
            Some(rows::Output::open(path, names(&options.columns), fingerprint(options), options.resume, &mut known)?)
        }
    };
    let finished = finished;
    let total_bytes = input::total_bytes(&inputs);
    let read_bytes = AtomicU64::new(0);
    let threads = options.threads.get();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| ReplayError::Input(format!("threads: {threads} cannot be started: {error}; give fewer")))?;
    let (send, batches) = mpsc::sync_channel::<Vec<Item>>(1);
    std::thread::scope(|scope| -> Result<(), ReplayError> {
        let (inputs, read_bytes) = (&inputs, &read_bytes);
        scope.spawn(move || read_batches(inputs, options.window_seconds, BATCH_CASES * threads, read_bytes, &send));
        // Moved in, so that the reader sees it close when this function returns early.
        for batch in batches {
            let results: Vec<(String, CaseOutcome)> =
                pool.install(|| batch.into_par_iter().map(|item| process(item, options, &finished)).collect());
            for (place, result) in results {
                match result {
                    CaseOutcome::Filtered => counted.filtered += 1,
                    CaseOutcome::Skipped(problem) => counted.skip(format!("{place}: {problem}")),
                    CaseOutcome::Resumed => {}
                    CaseOutcome::Judged(result) if !seen.is_new(&result.id) => {
                        counted.skip(format!("{place}: case `{}` was read before; give each case an id of its own", result.id));
                    }
                    CaseOutcome::Judged(result) => {
                        if let Some(output) = &mut output {
                            output.write(&result)?;
                        }
                        take(&result);
                        counted.judged += 1;
                    }
                }
                progress(ReplayProgress { bytes: read_bytes.load(Ordering::Relaxed), total_bytes, cases: counted.judged });
            }
        }
        Ok(())
    })?;
    if let Some(output) = output {
        output.finish()?;
    }
    Ok(counted)
}

/// Reads the files in batches of at most so many cases, until nobody takes them any more.
fn read_batches(inputs: &[Input], window: Option<f64>, cases: usize, read_bytes: &AtomicU64, send: &mpsc::SyncSender<Vec<Item>>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut listening = true;
    for input in inputs {
        input::read(input, window, read_bytes, &mut |item| {
            bytes += item.bytes();
            batch.push(item);
            if batch.len() >= cases || bytes >= BATCH_BYTES {
                bytes = 0;
                listening = send.send(std::mem::take(&mut batch)).is_ok();
            }
            listening
        });
        if !listening {
            return;
        }
    }
    // Whoever has stopped taking them wants no last one either.
    let _ = send.send(batch);
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

fn process(item: Item, options: &ReplayOptions, finished: &BTreeSet<String>) -> (String, CaseOutcome) {
    let place = if item.line > 0 { format!("{} line {}", item.file, item.line) } else { item.file.to_string() };
    let case = match item.content {
        ItemContent::Line(line) => Case::parse(&line),
        ItemContent::Case(case) => Ok(*case),
        ItemContent::Unreadable(problem) => Err(problem),
    };
    let case = match case {
        Ok(case) => case,
        Err(problem) => return (place, CaseOutcome::Skipped(problem)),
    };
    let is_listed = options.injection.as_ref().is_none_or(|injection| injection.keeps(&case));
    if case.points() < options.min_points || !is_listed || !options.filters.iter().all(|filter| filter.keeps(&case)) {
        return (place, CaseOutcome::Filtered);
    }
    if finished.contains(&case.id) {
        return (place, CaseOutcome::Resumed);
    }
    let columns: Result<Vec<CaseJudgement>, String> =
        options.columns.iter().map(|column| judging::judge(&case, column, options.looks)).collect();
    let healthy = options.injection.as_ref().filter(|_| case.label == Some(Label::Healthy));
    let injected = healthy.map_or(Ok(Vec::new()), |injection| injection.judge(&case, &options.columns));
    let done = match columns.and_then(|columns| Ok((columns, injected?))) {
        Err(problem) => CaseOutcome::Skipped(format!("case `{}`: {problem}", case.id)),
        Ok((columns, injected)) => CaseOutcome::Judged(Box::new(CaseResult {
            group: case.group().to_owned(),
            label: case.label,
            points: case.points(),
            pairing: case.pairing,
            injected,
            columns,
            location: Some(CaseLocation { file: item.file, line: item.line }),
            source: case.source,
            id: case.id,
        })),
    };
    (place, done)
}

/// What the rows follow from beside the files, in twelve hexadecimal digits.
fn fingerprint(options: &ReplayOptions) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(format!("{:?} {:?} {}", options.looks, options.window_seconds, options.min_points));
    // Conditions hold together in any order.
    let filters: BTreeSet<String> = options.filters.iter().map(|filter| format!("{filter:?}")).collect();
    digest.update(format!(" {filters:?}"));
    for column in &options.columns {
        let config = column.config.as_ref().map(haldane_judges::CheckedConfig::digest).unwrap_or_default();
        digest.update(format!("\n{} {} {config}", column.rule, column.name));
    }
    hex(digest.finalize().iter().take(6).copied())
}

/// The threads that are worth starting here.
#[must_use]
pub fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
