//! `haldane replay`: judges recorded canaries again, and says how often the judges were right.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haldane_judges::{CheckedConfig, Period};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::judge::named_or_read;
use super::{CommandFailure, CommandOutcome, output};
use crate::replay::{
    Assumptions, Calibration, Case, Column, Fault, Filter, Injection, ReplayOptions, ReplayProgress, ReplaySummary, ReportFormat, Rule,
    Target, default_threads, evaluate, run, verdicts,
};
use crate::report::format::clean;
use crate::settings::ConfigStore;

const EXAMPLES: &str = "\
Examples:
  How often would each judge have stopped last quarter's canaries?
    haldane replay quarter.jsonl.gz --judge haldane-v1,NetflixACAJudge-v1.0,threshold-v1

  What would another tolerance have done to them?
    haldane replay quarter.jsonl.gz --config checkout.yaml --compare checkout-stricter.yaml

  How noisy is each metric, and what is the gate worth?
    haldane replay quarter.jsonl.gz --report calibration.html --releases-per-day 50 --defect-rate 0.05

  What would the gate find of faults that are put into healthy canaries?
    haldane replay quarter.jsonl.gz --inject step/20/2 --inject minor/40/5 --inject silent/20/0

A recording is one line of JSON for each canary (--schema prints the shape):
  {\"id\": \"checkout-4711\", \"label\": \"healthy\", \"step_seconds\": 60, \"metrics\": [
    {\"name\": \"panics\", \"kind\": \"events\", \"direction\": \"increase\", \"limits\": {\"max\": 3},
     \"baseline\": [0, 0, 1], \"canary\": [0, 2, 0]}]}
Of each metric it may state `kind` (value, ratio, or events: each interval's number of them), `unit`,
`direction`, `limits` as in a canary config, totals, the time before and the single instances.

Faults for --inject, as KIND/PERCENT/FACTOR; worse is x F, or / F where a fall is worse:
  shift/100/F  the whole window is worse
  step/P/F     the last P % are worse
  drift/P/F    the last P % grow worse, up to F
  healed/P/F   the first P % are worse
  minor/P/F    P % of the points, anywhere, are worse
  block/P/F    P % in one piece before the last third are worse
  spread/0/F   values scatter F times as far around their median
  silent/P/0   the last P % are missing
  zero/P/0     the last P % are 0 (not where a rise is worse)
  none/0/1     nothing, to compare with

Exits with 0, or with 2 where nothing could be read (with --strict, where any case could not).";

/// Arguments of `haldane replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArgs {
    /// Files of recorded canaries, or folders of them: JSON lines (.jsonl, .jsonl.gz), or tables with a row for each value (.csv, .ndjson; .parquet in a build with datasets).
    #[arg(required_unless_present = "schema", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A shipped config's name, or a file, whose metrics are found by name. Left out: derived from each metric's role and direction.
    #[arg(long, value_name = "NAME|FILE")]
    config: Option<String>,
    /// A second config, to be told which verdicts it changes.
    #[arg(long, value_name = "NAME|FILE", requires = "config")]
    compare: Option<String>,
    /// Judges, between commas: haldane-v1, haldane-v1/no-history, NetflixACAJudge-v1.0, threshold-v1, mann-whitney (a plain test).
    #[arg(long = "judge", value_name = "JUDGE", value_delimiter = ',', default_value = "haldane-v1")]
    judges: Vec<Rule>,
    /// Put a fault into one metric of each healthy canary, judge it once more and say what was found; repeat it for more faults.
    #[arg(long = "inject", value_name = "FAULT", conflicts_with = "resume")]
    faults: Vec<Fault>,
    /// The metric that carries the faults. Left out: one of each canary that can show the fault, always the same.
    #[arg(long, value_name = "METRIC", requires = "faults")]
    inject_into: Option<String>,
    /// Judge growing windows too, as a plan of this many looks would have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(crate::replay::MAX_LOOKS)))]
    looks: Option<u32>,
    /// Only cases of these: source=, label= or group=, values between commas; repeat it for more conditions.
    #[arg(long = "filter", value_name = "FIELD=VALUES")]
    filters: Vec<Filter>,
    /// Only canaries of at least this many points.
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_points: usize,
    /// Of a table's arms, judge the last so long; what is before is history. Left out: the rows of the arms `baseline` and `canary`.
    #[arg(long, value_name = "PERIOD")]
    window: Option<Period>,
    /// Write a row for each case, judge and metric: .jsonl, .csv, or .parquet in a build with datasets.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with an output that exists; what it has whole is not judged again.
    #[arg(long, requires = "output")]
    resume: bool,
    /// Threads. Left out: one for each processor.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Fail where a case cannot be read.
    #[arg(long)]
    strict: bool,
    /// How the rates are written.
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
    /// Print the JSON Schema of a recorded canary, one line of a .jsonl file, and do nothing else.
    #[arg(long)]
    schema: bool,
    /// Share of the releases that are worse than what they replace, 0 to 1: says what a fail and a pass are worth.
    #[arg(long, value_name = "SHARE", default_value_t = DEFECT_RATE)]
    defect_rate: f64,
    #[command(flatten, next_help_heading = "Calibration report")]
    report: ReportArgs,
}

/// Share of bad releases, where none is stated.
const DEFECT_RATE: f64 = 0.02;

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// Write what each metric's noise allows, what the gate is worth and which verdicts were wrong, counted from the first judge, with the
    /// ROC of each: .md or .html.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Releases a day that have a canary.
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    releases_per_day: f64,
    /// Share of those that fail as canaries. Left out: measured, where canaries are labelled regressed.
    #[arg(long, value_name = "SHARE")]
    catch_rate: Option<f64>,
    /// Share of the traffic that a canary receives, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    canary_share: f64,
}

/// Arguments of `haldane evaluate`.
#[derive(Debug, clap::Args)]
pub(super) struct EvaluateArgs {
    /// Folder of the labelled corpus.
    folder: PathBuf,
    /// Bounds that the figures must keep.
    #[arg(long, value_name = "FILE")]
    floors: PathBuf,
    /// Write the verdicts of haldane-v1 on each case, as JSON lines.
    #[arg(long, value_name = "FILE")]
    verdicts: Option<PathBuf>,
    /// Count which verdicts changed against such a file.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Share of bad releases, 0 to 1, at which a fail and a pass are told what they are worth.
    #[arg(long, value_name = "SHARE", default_value_t = DEFECT_RATE)]
    defect_rate: f64,
    /// Threads. Left out: one for each processor.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Replays what the arguments name, and prints the rates.
///
/// # Errors
/// [`CommandFailure::Usage`] for files, configs and outputs that cannot be used.
pub(super) fn command(args: &ReplayArgs) -> Result<CommandOutcome, CommandFailure> {
    if args.schema {
        output::print(&output::pretty(&schemars::schema_for!(Case))?)?;
        return Ok(CommandOutcome::Done);
    }
    let (columns, pairs) = columns(args)?;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let ReportArgs { releases_per_day, catch_rate, canary_share, .. } = args.report;
    let defect_rate = args.defect_rate;
    let assumptions = Assumptions { releases_per_day, defect_rate, catch_rate, canary_share };
    assumptions.check().map_err(CommandFailure::Usage)?;
    let write_report = args.report.report.as_deref().map(report_of).transpose()?;
    if let Some((_, fault)) = args.faults.iter().enumerate().find(|(i, fault)| args.faults.iter().take(*i).any(|earlier| earlier == *fault))
    {
        return Err(CommandFailure::usage(format!("--inject: `{fault}` is named twice")));
    }
    let mut calibration = Calibration::new(names.clone(), assumptions, &args.faults);
    let mut summary = ReplaySummary::new(names, &pairs, args.looks.is_some(), defect_rate, &args.faults);
    let target = args.inject_into.clone().map_or(Target::Any, Target::Named);
    let options = ReplayOptions {
        paths: args.paths.clone(),
        columns,
        injection: (!args.faults.is_empty()).then(|| Injection { faults: args.faults.clone(), target }),
        looks: args.looks,
        filters: args.filters.clone(),
        min_points: args.min_points,
        window_seconds: args.window.map(|window| window.seconds() as f64),
        output: args.output.clone(),
        resume: args.resume,
        threads: args.threads.unwrap_or_else(default_threads),
    };
    let bar = ReplayBar::new();
    let counted = run(
        &options,
        &mut |case| {
            summary.add(case);
            calibration.add(case);
        },
        &|progress| bar.show(progress),
    );
    drop(bar);
    let counted = counted.map_err(|error| CommandFailure::usage(error.to_string()))?;
    for note in &counted.notes {
        output::say(&format!("note: {}", clean(note)));
    }
    output::print(&summary.render(&counted, args.format).map_err(CommandFailure::Usage)?)?;
    if let Some((path, write)) = write_report {
        output::write(Some(path), &write(&calibration))?;
    }
    if summary.canaries() == 0 {
        let problem = counted.problems.first().map_or_else(String::new, |problem| format!("; the first problem: {problem}"));
        return Err(CommandFailure::usage(format!("no canary was judged{problem}")));
    }
    if !args.faults.is_empty() && summary.injected() == 0 {
        let metric = args.inject_into.as_ref().map_or_else(|| "a metric".to_owned(), |name| format!("a metric `{}`", clean(name)));
        return Err(CommandFailure::usage(format!(
            "--inject: no canary labelled healthy has {metric} that is judged and can show the faults; label some, or inject other faults"
        )));
    }
    if args.strict && counted.skipped > 0 {
        return Err(CommandFailure::usage(format!("{} cases could not be read or judged (--strict)", counted.skipped)));
    }
    Ok(CommandOutcome::Done)
}

type WriteReport = fn(&Calibration) -> String;

/// Where the report goes and how it is written, before anything is judged.
fn report_of(path: &Path) -> Result<(&Path, WriteReport), CommandFailure> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("md") => Ok((path, Calibration::markdown)),
        Some("html") => Ok((path, Calibration::html)),
        _ => Err(CommandFailure::usage(format!("--report: `{}` is neither .md nor .html; rename it", clean(&path.display().to_string())))),
    }
}

/// The judges with their configs, and which of them differ in the config alone, by their places.
type Columns = (Vec<Column>, Vec<(usize, usize)>);

fn columns(args: &ReplayArgs) -> Result<Columns, CommandFailure> {
    let mut rules = Vec::new();
    for rule in &args.judges {
        if rules.contains(rule) {
            return Err(CommandFailure::usage(format!("--judge: `{rule}` is named twice")));
        }
        rules.push(*rule);
    }
    let Some(config) = &args.config else {
        return Ok((rules.into_iter().map(Column::derived).collect(), Vec::new()));
    };
    let first = read_config(config)?;
    let by = |rule: Rule, name: String, config: &CheckedConfig| Column::by(rule, name, config).map_err(CommandFailure::Usage);
    let Some(compare) = &args.compare else {
        let columns: Result<Vec<Column>, CommandFailure> = rules.into_iter().map(|rule| by(rule, rule.to_string(), &first)).collect();
        return Ok((columns?, Vec::new()));
    };
    let second = read_config(compare)?;
    let (mut columns, mut pairs) = (Vec::new(), Vec::new());
    for rule in rules {
        pairs.push((columns.len(), columns.len() + 1));
        columns.push(by(rule, format!("{rule} by {}", label(config)), &first)?);
        columns.push(by(
            rule,
            format!("{rule} by {}{}", label(compare), if label(config) == label(compare) { " (2)" } else { "" }),
            &second,
        )?);
    }
    Ok((columns, pairs))
}

/// A config's name or the last part of its path.
fn label(config: &str) -> String {
    let name = Path::new(config).file_name().and_then(|name| name.to_str()).unwrap_or(config);
    clean(name)
}

fn read_config(config: &str) -> Result<CheckedConfig, CommandFailure> {
    match named_or_read(config)? {
        Value::String(name) => {
            let store = ConfigStore::shipped();
            store.get(&name).map(|entry| entry.config.clone()).ok_or_else(|| CommandFailure::usage(store.unknown(&name)))
        }
        document => CheckedConfig::from_value(document).map_err(|invalid| CommandFailure::usage(format!("`{config}`: {invalid}"))),
    }
}

/// Runs the measurement on the labelled corpus; fails where a bound is broken.
///
/// # Errors
/// [`CommandFailure::Usage`] where the corpus or the bounds cannot be read.
pub(super) fn evaluation(args: &EvaluateArgs) -> Result<CommandOutcome, CommandFailure> {
    let bar = ReplayBar::new();
    let threads = args.threads.unwrap_or_else(default_threads);
    let of = evaluate::Measurement {
        folder: args.folder.clone(),
        floors: args.floors.clone(),
        against: args.against.clone(),
        defect_rate: args.defect_rate,
        threads,
    };
    let found = evaluate::evaluate(&of, &|progress| bar.show(progress));
    drop(bar);
    let found = found.map_err(|error| CommandFailure::usage(error.to_string()))?;
    output::print(&found.text)?;
    if let Some(path) = &args.verdicts {
        let lines = verdicts::lines(&found.verdicts).map_err(|error| CommandFailure::usage(format!("--verdicts: {error}")))?;
        output::write(Some(path), &lines)?;
    }
    for broken in &found.broken {
        output::say(&format!("broken: {broken}"));
    }
    Ok(if found.broken.is_empty() { CommandOutcome::Done } else { CommandOutcome::Fail })
}

/// How far a replay is, on standard error and only on a terminal.
struct ReplayBar(ProgressBar);

impl ReplayBar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:32}] {bytes} of {total_bytes}, {msg}, {eta} left") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&self, progress: ReplayProgress) {
        self.0.set_length(progress.total_bytes);
        self.0.set_position(progress.bytes);
        // A message is made anew for every case otherwise, seen or not.
        if !self.0.is_hidden() {
            self.0.set_message(format!("{} canaries", progress.cases));
        }
    }
}

impl Drop for ReplayBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        // Nothing is left to do where standard error is closed.
        let _ = std::io::stderr().flush();
    }
}
