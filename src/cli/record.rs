//! `haldane record`: walks over a past period and writes what would have been judged at each step, for `haldane replay`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use haldane_judges::Period;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::client::{self, DEFAULT_WAIT};
use super::judge::{named_or_read, variable};
use super::store::{self, StoreArgs};
use super::{CommandFailure, CommandOutcome, output};
use crate::analysis::{AnalysisError, AnalysisLimits, Analyst, Request};
use crate::api::Problem;
use crate::replay::{Case, Incidents, Label};
use crate::settings::BodyLimits;

/// Most windows of one run.
const MAX_WINDOWS: u64 = 1_000_000;
/// Windows in a row that cannot be read at all before it gives up.
const MAX_FAILURES: usize = 10;

const EXAMPLES: &str = "\
Examples:
  How often would last month's comparisons of checkout with its twin have alarmed, with nothing wrong?
    haldane record --prometheus http://localhost:9090 --config checkout.yaml \\
      --baseline checkout --canary checkout-canary --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z \\
      --every 1h --duration 30m --duration 1h --healthy --output january.jsonl
    haldane replay january.jsonl

  The same with what went wrong, one line for each: start,end[,scope,label,metrics]
    haldane record ... --incidents incidents.csv --output january.jsonl

A window that an incident covers by half is labelled regressed (or what its label says), one that no incident touches
healthy, any other is left without a label. Each window counts as released at its start, so that what lay before it is
its past. A metric that could not be read is recorded with the reason.

Exits with 0; with 2 where nothing could be recorded, and with 4 where the metric store cannot be reached.";

/// Arguments of `haldane record`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group(ArgGroup::new("truth").args(["healthy", "incidents"])),
    group(ArgGroup::new("existing").args(["overwrite", "resume"]))
)]
pub(super) struct RecordArgs {
    /// Canary config: the name of a shipped one or of the settings, or a YAML or JSON file.
    #[arg(long, value_name = "NAME|FILE")]
    config: String,
    /// What selects the baseline: the value of ${scope} in its queries.
    #[arg(long, value_name = "SCOPE")]
    baseline: String,
    /// What selects the canary.
    #[arg(long, value_name = "SCOPE")]
    canary: String,
    /// Value of ${location} in the queries of both arms.
    #[arg(long)]
    location: Option<String>,
    /// A template variable of both arms; repeat it for more.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Judge that decides, instead of the config's: `haldane-v1`, `threshold-v1` or `NetflixACAJudge-v1.0`.
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// Share of the arms' traffic that goes to the canary, 0 to 1.
    #[arg(long, value_name = "FRACTION")]
    canary_share: Option<f64>,
    /// Where the first window starts, such as 2026-01-31T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Timestamp,
    /// Where the last window ends at the latest.
    #[arg(long, value_name = "TIME")]
    to: Timestamp,
    /// Distance between the starts of the windows.
    #[arg(long, value_name = "PERIOD")]
    every: Period,
    /// Length of the windows; repeat it to have several at each step.
    #[arg(long = "duration", value_name = "PERIOD", default_value = "30m")]
    durations: Vec<Period>,
    /// Distance between points, such as 60s. Default: the config's, or one fitted to the window.
    #[arg(long, value_name = "PERIOD")]
    step: Option<Period>,
    /// Compare before and after: the baseline's window lies this much earlier, such as 1d.
    #[arg(long, value_name = "PERIOD")]
    offset: Option<Period>,
    /// Label every window healthy: nothing was wrong in the period.
    #[arg(long)]
    healthy: bool,
    /// Label the windows by these incidents: CSV with a head, `start,end` and, where known, `scope`, `label` and `metrics`.
    #[arg(long, value_name = "FILE")]
    incidents: Option<PathBuf>,
    /// Where to write to: JSON lines.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output where it exists.
    #[arg(long)]
    overwrite: bool,
    /// Go on with the output where it exists; windows that it has are not read again.
    #[arg(long)]
    resume: bool,
    /// How long the samples of a window may take. Default: 50s.
    #[arg(long, value_name = "PERIOD")]
    wait: Option<Period>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Records the windows that the arguments name.
///
/// # Errors
/// [`CommandFailure`] for arguments, files and stores that cannot be used.
pub(super) async fn command(args: RecordArgs) -> Result<CommandOutcome, CommandFailure> {
    let windows = windows(&args)?;
    let incidents = args.incidents.as_deref().map(read_incidents).transpose()?;
    let (sources, configs) = store::open(&args.store)?;
    let analyst = Analyst::new(sources, AnalysisLimits::default());
    let config = named_or_read(&args.config)?;
    // All that can be refused is refused before a file is touched.
    let of_window = |window: &WindowTimes| -> Result<Request, CommandFailure> {
        let body = body(&args, &config, window);
        crate::api::translate(body, &configs, &BodyLimits::default(), analyst.sources(), Timestamp::now())
            .map_err(|problem| client::refusal(&problem))
    };
    let mut digest = None;
    if let Some(first) = windows.first() {
        let plan = analyst.plan(of_window(first)?).map_err(|error| refused(&error))?;
        digest = plan.request().config.clone().check().ok().map(|config| config.digest());
    }
    let (mut file, done) = open(&args, digest.as_deref().unwrap_or_default())?;
    let wait = args.wait.map_or(DEFAULT_WAIT, Period::duration);
    let bar = WindowBar::over(windows.len() as u64);
    let (mut written, mut failed, mut in_a_row) = (RecordedLabels::default(), 0_u64, 0);
    let mut skipped = 0_u64;
    for window in &windows {
        if done.contains(&(window.start, window.end)) {
            skipped += 1;
            bar.step(window);
            continue;
        }
        let plan = analyst.plan(of_window(window)?).map_err(|error| refused(&error))?;
        let scorecard = match analyst.run(&plan, Instant::now() + wait, &|_| {}).await {
            Ok(scorecard) => scorecard,
            Err(error) => {
                failed += 1;
                in_a_row += 1;
                bar.say(&format!("{} to {}: {error}", window.start, window.end));
                if in_a_row == MAX_FAILURES {
                    output::say(&format!("{MAX_FAILURES} windows in a row could not be read; go on with --resume"));
                    return Err(refused(&error));
                }
                bar.step(window);
                continue;
            }
        };
        in_a_row = 0;
        let (label, affected) = match &incidents {
            Some(incidents) => incidents.label(&args.canary, window.start, window.end),
            None => (args.healthy.then_some(Label::Healthy), None),
        };
        let recorded = Case::of_judgement(plan.request(), &scorecard);
        match recorded.and_then(|case| case.labelled(label, affected).line()) {
            Ok(line) => {
                let unwritable = |error| CommandFailure::usage(format!("cannot write `{}`: {error}", args.output.display()));
                file.write_all(&line).map_err(unwritable)?;
                written.add(label);
            }
            Err(problem) => {
                failed += 1;
                bar.say(&format!("{} to {}: not recorded: {problem}", window.start, window.end));
            }
        }
        bar.step(window);
    }
    drop(bar);
    let RecordedLabels { healthy, regressed, unlabelled } = written;
    let total = healthy + regressed + unlabelled;
    let more = [(skipped, "were there already"), (failed, "could not be read")];
    let more: String = more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("; {n} {what}")).collect();
    output::print(&format!(
        "{total} of {} windows recorded ({healthy} healthy, {regressed} regressed, {unlabelled} unlabelled) in {}{more}\n",
        windows.len(),
        args.output.display()
    ))?;
    if total + skipped == 0 {
        return Err(CommandFailure::usage("no window could be recorded"));
    }
    Ok(CommandOutcome::Done)
}

/// A failure as a judgement of the window would have been told.
fn refused(error: &AnalysisError) -> CommandFailure {
    match error {
        AnalysisError::UnknownSource { .. } => CommandFailure::usage(format!("{error}; give --prometheus URL or --settings FILE")),
        _ => client::refusal(&Problem::from(error)),
    }
}

/// When a window starts and ends.
struct WindowTimes {
    start: Timestamp,
    end: Timestamp,
}

/// Windows recorded, by their label.
#[derive(Default)]
struct RecordedLabels {
    healthy: u64,
    regressed: u64,
    unlabelled: u64,
}

impl RecordedLabels {
    fn add(&mut self, label: Option<Label>) {
        match label {
            Some(Label::Healthy) => self.healthy += 1,
            Some(Label::Regressed) => self.regressed += 1,
            None => self.unlabelled += 1,
        }
    }
}

/// The windows in their order: at each step one of each length that ends in the period.
fn windows(args: &RecordArgs) -> Result<Vec<WindowTimes>, CommandFailure> {
    let usage = |message: String| Err(CommandFailure::usage(message));
    if args.to <= args.from {
        return usage(format!("--to: {} is not after --from, {}", args.to, args.from));
    }
    if args.to > Timestamp::now() {
        return usage(format!("--to: {} has not come yet; a recording is of the past", args.to));
    }
    let (every, seconds) = (args.every.seconds(), args.to.as_second() - args.from.as_second());
    if every == 0 {
        return usage("--every: 0s never comes to an end; give at least 1s".to_owned());
    }
    if args.durations.iter().any(|duration| duration.seconds() == 0) {
        return usage("--duration: 0s is no window; give at least one step".to_owned());
    }
    let steps = seconds.unsigned_abs() / every + 1;
    if steps.saturating_mul(args.durations.len() as u64) > MAX_WINDOWS {
        return usage(format!("--every: {every} s makes more than {MAX_WINDOWS} windows of the period; make it longer"));
    }
    let durations: BTreeSet<u64> = args.durations.iter().map(|duration| duration.seconds()).collect();
    let mut windows = Vec::new();
    for step in 0..steps {
        let later = |start: Timestamp, seconds: u64| start.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok();
        let Some(start) = later(args.from, step * every) else { break };
        windows.extend(
            durations
                .iter()
                .filter_map(|seconds| later(start, *seconds))
                .filter(|end| *end <= args.to)
                .map(|end| WindowTimes { start, end }),
        );
    }
    if windows.is_empty() {
        return usage(format!("--duration: no window fits between {} and {}", args.from, args.to));
    }
    Ok(windows)
}

/// The JSON body of `POST /v1/judgements` that would have judged a window.
fn body(args: &RecordArgs, config: &Value, window: &WindowTimes) -> Value {
    let arm = |scope: &str| {
        let mut arm = Map::from_iter([("scope".to_owned(), json!(scope))]);
        if let Some(location) = &args.location {
            arm.insert("location".to_owned(), json!(location));
        }
        if !args.variables.is_empty() {
            arm.insert("variables".to_owned(), args.variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect());
        }
        arm
    };
    let (mut baseline, canary) = (arm(&args.baseline), arm(&args.canary));
    if let Some(offset) = args.offset {
        baseline.insert("offset".to_owned(), json!(offset));
    }
    let mut times = json!({ "start": window.start, "end": window.end });
    if let Some(step) = args.step {
        times["step"] = json!(step);
    }
    let mut body = json!({ "config": config, "baseline": baseline, "canary": canary, "window": times });
    let given = [
        ("judge", args.judge.clone().map(Value::from)),
        ("canary_share", args.canary_share.map(Value::from)),
        ("source", args.store.source.clone().map(Value::from)),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

fn read_incidents(path: &Path) -> Result<Incidents, CommandFailure> {
    let unreadable = |problem: String| CommandFailure::usage(format!("--incidents: `{}`: {problem}", path.display()));
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    Incidents::read(BufReader::new(file)).map_err(unreadable)
}

/// What of a recorded line says which window it is of.
#[derive(Deserialize)]
struct RecordedLine {
    recorded: RecordedWindow,
}

#[derive(Deserialize)]
struct RecordedWindow {
    config_digest: String,
    canary: std::collections::BTreeMap<String, String>,
    canary_window: RecordedSpan,
}

#[derive(Deserialize)]
struct RecordedSpan {
    start: Timestamp,
    end: Timestamp,
}

/// Windows by start and end.
type DoneWindows = BTreeSet<(Timestamp, Timestamp)>;

/// The output, and the windows that it has already; a torn last line is cut off.
fn open(args: &RecordArgs, config_digest: &str) -> Result<(File, DoneWindows), CommandFailure> {
    let shown = args.output.display();
    let unusable = |error: std::io::Error| CommandFailure::usage(format!("--output: `{shown}` cannot be used: {error}"));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let opened = if args.overwrite {
        options.create(true).truncate(true).open(&args.output)
    } else if args.resume {
        options.create(true).truncate(false).open(&args.output)
    } else {
        options.create_new(true).open(&args.output)
    };
    let mut file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let message = format!("--output: `{shown}` exists; go on with it by --resume, or replace it by --overwrite");
            return Err(CommandFailure::usage(message));
        }
        opened => opened.map_err(unusable)?,
    };
    let mut done = DoneWindows::new();
    let (mut end, mut number) = (0_u64, 0_u64);
    {
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = std::io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut line).map_err(unusable)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            (end, number) = (end + read as u64, number + 1);
            let other = |problem: &str| {
                CommandFailure::usage(format!(
                    "--output: `{shown}` line {number}: {problem}; name another file, or replace it by --overwrite"
                ))
            };
            let known: RecordedLine = serde_json::from_slice(&line).map_err(|_| other("it was not written by `haldane record`"))?;
            let RecordedWindow { config_digest: of, canary, canary_window } = known.recorded;
            if of != config_digest || canary.get("scope") != Some(&args.canary) {
                return Err(other("it was recorded by another config, or is of another canary"));
            }
            done.insert((canary_window.start, canary_window.end));
        }
        // A line without its end is torn; one that is longer than any recording is none of ours.
        if line.len() as u64 >= MAX_LINE {
            let message = format!("--output: `{shown}` line {} is too long for a recording; name another file", number + 1);
            return Err(CommandFailure::usage(message));
        }
    }
    file.set_len(end).and_then(|()| file.seek(SeekFrom::End(0))).map_err(unusable)?;
    Ok((file, done))
}

/// Longest line that is read back.
const MAX_LINE: u64 = (64 << 20) + 2;

/// How far it is, on standard error and only on a terminal.
struct WindowBar(ProgressBar);

impl WindowBar {
    fn over(windows: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(windows), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:32}] {pos} of {len} windows, {msg}, {eta} left") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn step(&self, window: &WindowTimes) {
        self.0.set_message(window.start.to_string());
        self.0.inc(1);
    }

    fn say(&self, line: &str) {
        self.0.suspend(|| output::say(&crate::report::format::clean(line)));
    }
}

impl Drop for WindowBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
