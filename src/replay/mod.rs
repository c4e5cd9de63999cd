//! Replays recorded canaries through the judges: how often would they have been right, and what would another config have done?
//!
//! [`run`] reads files case by case, judges each under every [`Column`] on all processors, and hands the small results over in
//! the files' order, so that the same files give the same output on any number of threads. Recorded points are never kept.
//! [`Summary`] makes the rates of them, [`Calibration`] the report on what each metric's noise allows.
//!
//! * [`Case`]: a recorded canary's shape. `input`: files; `table`: long-format tables, with the feature `datasets`.
//! * `judging`: a case under a judge. `rows`: the flat output, which a later replay resumes.
//! * `faults`, `injection`: faults that are put into recorded canaries, and what is then found.
//! * `rates`: rates with intervals; `worth`: what they are worth at a stated defect rate.
//! * `evaluate`: the measurement on the labelled corpus.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};

mod calibration;
mod case;
pub mod evaluate;
mod faults;
mod injection;
mod input;
mod judging;
mod page;
mod rates;
mod rows;
mod summary;
#[cfg(feature = "datasets")]
mod table;
pub mod verdicts;
mod worth;

pub use calibration::{Assumptions, Calibration};
pub use case::{Case, CaseMetric, Instances, Label};
pub use faults::Fault;
pub use injection::{Injected, Injection, Target};
pub use judging::{CaseResult, Column, FOUND_WITHIN_MINUTES, Found, Judged, JudgedMetric, Rule};
pub use rows::Row;
pub use summary::{Format, Summary};

use input::{Content, Item};

/// Most looks that a window is cut into.
pub const MAX_LOOKS: u32 = 100;
/// Most cases that could not be read and are named one by one.
const MAX_NAMED: usize = 20;

/// Why a replay cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// What is to be replayed.
    #[error("{0}")]
    Input(String),
    /// Where the rows go.
    #[error("{0}")]
    Output(String),
}

/// A condition on cases, such as `source=shop,search`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    field: Field,
    values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Source,
    Label,
    Group,
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = || {
            format!(
                "`{}` is no filter; use source=, label= or group= with values between commas",
                text.chars().take(60).collect::<String>()
            )
        };
        let (field, values) = text.split_once('=').ok_or_else(hint)?;
        let field = match field {
            "source" => Field::Source,
            "label" => Field::Label,
            "group" => Field::Group,
            _ => return Err(hint()),
        };
        let values: BTreeSet<String> = values.split(',').map(str::to_owned).collect();
        if field == Field::Label
            && let Some(unknown) = values.iter().find(|value| !["healthy", "regressed", "none"].contains(&value.as_str()))
        {
            return Err(format!("`{}` is no label; use healthy, regressed or none", unknown.chars().take(60).collect::<String>()));
        }
        Ok(Self { field, values })
    }
}

impl Filter {
    fn keeps(&self, case: &Case) -> bool {
        let value = match self.field {
            Field::Source => &case.source,
            Field::Group => case.group(),
            Field::Label => match case.label {
                Some(Label::Healthy) => "healthy",
                Some(Label::Regressed) => "regressed",
                None => "none",
            },
        };
        self.values.contains(value)
    }
}

/// What to replay, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Judges with their configs.
    pub columns: Vec<Column>,
    /// Faults that are put into healthy canaries, which are judged once more for each.
    pub injection: Option<Injection>,
    /// Growing windows that are judged beside the whole one.
    pub looks: Option<u32>,
    /// Conditions that a case must meet, all of them.
    pub filters: Vec<Filter>,
    /// Fewest points of the canary.
    pub min_points: usize,
    /// Seconds at the end of each arm that are the window; what a table has before them is history.
    pub window_seconds: Option<f64>,
    /// Where the rows go.
    pub output: Option<PathBuf>,
    /// Whether to go on with an output that exists.
    pub resume: bool,
    /// Threads that judge.
    pub threads: NonZeroUsize,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Cases judged.
    pub cases: u64,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counted {
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
}

impl Counted {
    fn skip(&mut self, problem: String) {
        self.skipped += 1;
        if self.problems.len() < MAX_NAMED {
            self.problems.push(crate::report::format::clean(&problem));
        }
    }
}

enum Done {
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
pub fn run(options: &Options, take: &mut dyn FnMut(&CaseResult), progress: &dyn Fn(Progress)) -> Result<Counted, ReplayError> {
    if options.looks.is_some_and(|looks| !(2..=MAX_LOOKS).contains(&looks)) {
        return Err(ReplayError::Input(format!("looks: {} windows are no plan; give 2 to {MAX_LOOKS}", options.looks.unwrap_or_default())));
    }
    let inputs = input::find(&options.paths, options.output.as_deref())?;
    let mut counted = Counted::default();
    let mut seen = rows::Seen::default();
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
    let stop = AtomicBool::new(false);
    let threads = options.threads.get();
    let (send_item, items) = mpsc::sync_channel::<(u64, Item)>(2 * threads);
    let items = Mutex::new(items);
    let (send_done, done) = mpsc::sync_channel::<(u64, (String, Done))>(4 * threads);
    std::thread::scope(|scope| -> Result<(), ReplayError> {
        let (inputs, read_bytes, items, finished, stop) = (&inputs, &read_bytes, &items, &finished, &stop);
        scope.spawn(move || {
            let mut number = 0;
            let mut listening = true;
            for input in inputs {
                input::read(input, options.window_seconds, read_bytes, &mut |item| {
                    listening = !stop.load(Ordering::Relaxed) && send_item.send((number, item)).is_ok();
                    number += 1;
                    listening
                });
                if !listening {
                    return;
                }
            }
        });
        for _ in 0..threads {
            let send_done = send_done.clone();
            scope.spawn(move || {
                // A lock that another thread broke off with still guards a channel that works.
                let next = || items.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                while let Ok((number, item)) = next() {
                    if send_done.send((number, process(item, options, finished))).is_err() {
                        // Nobody listens: what waits is taken, so that the reader does not wait for ever.
                        stop.store(true, Ordering::Relaxed);
                        while next().is_ok() {}
                    }
                }
            });
        }
        drop(send_done);
        let mut early: BTreeMap<u64, (String, Done)> = BTreeMap::new();
        let mut expected = 0;
        // Moved in, so that the workers see it close when this function returns early.
        let done = done;
        for (number, result) in &done {
            early.insert(number, result);
            while let Some((place, result)) = early.remove(&expected) {
                expected += 1;
                match result {
                    Done::Filtered => counted.filtered += 1,
                    Done::Skipped(problem) => counted.skip(format!("{place}: {problem}")),
                    Done::Resumed => {}
                    Done::Judged(result) if !seen.is_new(&result.id) => {
                        counted.skip(format!("{place}: case `{}` was read before; give each case an id of its own", result.id));
                    }
                    Done::Judged(result) => {
                        if let Some(output) = &mut output {
                            output.write(&result)?;
                        }
                        take(&result);
                        counted.judged += 1;
                    }
                }
                progress(Progress { bytes: read_bytes.load(Ordering::Relaxed), total_bytes, cases: counted.judged });
            }
        }
        Ok(())
    })?;
    if let Some(output) = output {
        output.finish()?;
    }
    Ok(counted)
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

fn process(item: Item, options: &Options, finished: &BTreeSet<String>) -> (String, Done) {
    let place = if item.line > 0 { format!("{} line {}", item.file, item.line) } else { item.file.to_string() };
    let case = match item.content {
        Content::Line(line) => Case::parse(&line),
        Content::Case(case) => Ok(*case),
        Content::Unreadable(problem) => Err(problem),
    };
    let case = match case {
        Ok(case) => case,
        Err(problem) => return (place, Done::Skipped(problem)),
    };
    let is_listed = options.injection.as_ref().is_none_or(|injection| injection.keeps(&case));
    if case.points() < options.min_points || !is_listed || !options.filters.iter().all(|filter| filter.keeps(&case)) {
        return (place, Done::Filtered);
    }
    if finished.contains(&case.id) {
        return (place, Done::Resumed);
    }
    let columns: Result<Vec<Judged>, String> = options.columns.iter().map(|column| judging::judge(&case, column, options.looks)).collect();
    let healthy = options.injection.as_ref().filter(|_| case.label == Some(Label::Healthy));
    let injected = healthy.map_or(Ok(Vec::new()), |injection| injection.judge(&case, &options.columns));
    let done = match columns.and_then(|columns| Ok((columns, injected?))) {
        Err(problem) => Done::Skipped(format!("case `{}`: {problem}", case.id)),
        Ok((columns, injected)) => Done::Judged(Box::new(CaseResult {
            group: case.group().to_owned(),
            label: case.label,
            points: case.points(),
            pairing: case.pairing,
            injected,
            columns,
            source: case.source,
            id: case.id,
        })),
    };
    (place, done)
}

/// What the rows follow from beside the files, in twelve hexadecimal digits.
fn fingerprint(options: &Options) -> String {
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
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The threads that are worth starting here.
#[must_use]
pub fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
