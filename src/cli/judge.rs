//! `haldane judge`: a judgement by a server or in this process, or every look of a plan, with the verdict as the exit code.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgGroup, ValueEnum};
use haldane_judges::{CheckedConfig, Period};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::client::{self, Server};
use super::judgement_client::{JudgementClient, ScorecardReply};
use super::store::{self, StoreArgs};
use super::watch::{self, WatchDisplay};
use super::{CommandFailure, CommandOutcome, output};
use crate::analysis::{AnalysisLimits, Analyst, JudgementObserver, Plan, Scorecard};
use crate::replay::Case;
use crate::report::{self, Terminal, format};

/// Longest request or samples file that is read.
const MAX_INPUT_BYTES: u64 = 64 << 20;
/// Names of metrics that are listed, at most, and how much of one that there is not.
const MOST_NAMES: usize = 30;
const LONGEST_NAME: usize = 60;
/// Most values that such a file may hold.
const MAX_INPUT_VALUES: usize = 4_000_000;

/// Arguments of `haldane judge`.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("body").args(["request", "config", "scorecard"]).required(true)),
    after_help = "The exit code is the verdict: 0 pass, 1 fail, 3 marginal; 2 for a request that cannot be judged, 4 when nobody could be reached."
)]
pub(super) struct JudgeArgs {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    whence: Whence,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

/// What is judged.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is judged")]
struct What {
    /// Take the whole request, the JSON body of POST /v1/judgements, from this file, or from standard input with `-`.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = BODY_FLAGS)]
    request: Option<PathBuf>,
    /// Judge nothing, and show this scorecard, which `--output json` wrote, from a file, or from standard input with `-`.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = BODY_FLAGS.into_iter().chain(JUDGING_FLAGS))]
    scorecard: Option<PathBuf>,
    /// Canary config: the name of one that the server (or Haldane itself) has, or a YAML or JSON file.
    #[arg(long, value_name = "NAME|FILE")]
    config: Option<String>,
    /// What selects the baseline: the value of ${scope} in its queries.
    #[arg(long, value_name = "SCOPE")]
    baseline: Option<String>,
    /// What selects the canary.
    #[arg(long, value_name = "SCOPE")]
    canary: Option<String>,
    /// Value of ${location} in the queries of both arms.
    #[arg(long)]
    location: Option<String>,
    /// A template variable of both arms; repeat it for more.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// A template variable of the baseline alone.
    #[arg(long = "baseline-var", value_name = "NAME=VALUE", value_parser = variable)]
    baseline_variables: Vec<(String, String)>,
    /// A template variable of the canary alone.
    #[arg(long = "canary-var", value_name = "NAME=VALUE", value_parser = variable)]
    canary_variables: Vec<(String, String)>,
    /// Judge that decides, instead of the config's: `haldane-v1`, `threshold-v1` or `NetflixACAJudge-v1.0`.
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// Share of the arms' traffic that goes to the canary, 0 to 1, to be checked against what arrived.
    #[arg(long, value_name = "FRACTION")]
    canary_share: Option<f64>,
    /// Shares of the traffic, in per cent, that the canary is to receive one after the other; what to do then names the next one. Needs
    /// --canary-share.
    #[arg(long, value_name = "1,5,25,50,100", value_delimiter = ',', value_parser = percent)]
    ramp: Vec<f64>,
    /// What to write on the scorecard, such as service=checkout or version=1.4.2; repeat it for more. It decides nothing.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = variable)]
    labels: Vec<(String, String)>,
    /// Judge and report everything, and answer with a pass that says which verdict it would have been.
    #[arg(long)]
    advisory: bool,
}

/// Over which times.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When")]
struct When {
    /// The window's start, such as 2026-01-31T10:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "last")]
    start: Option<Timestamp>,
    /// The window's end. Default: when its samples have arrived, `settle` of the source ago (60s).
    #[arg(long, value_name = "TIME")]
    end: Option<Timestamp>,
    /// The window's length, up to its end.
    #[arg(long, value_name = "PERIOD")]
    last: Option<Period>,
    /// When you mean to end the observation. A judgement before that is one look of a plan: it may fail, and passes only at the end.
    #[arg(long, value_name = "TIME")]
    planned_end: Option<Timestamp>,
    /// When the canary's version was released: what its scope did until then says what healthy looks like. Default: --start, where given.
    #[arg(long, value_name = "TIME")]
    released_at: Option<Timestamp>,
    /// Which look of how many this is, such as 3/12, instead of what follows from --planned-end.
    #[arg(long, value_name = "LOOK/LOOKS", value_parser = look)]
    look: Option<(u32, u32)>,
    /// Judge at every look until the plan ends or the canary fails, and end with that verdict. Needs the start of the window and the
    /// planned end. On a terminal the scorecard is drawn anew at each look; elsewhere a look is a line. Looks that are over are
    /// judged at once, so that it may be started late, or again.
    #[arg(long)]
    watch: bool,
    /// Let a canary pass before the last look, once the config's min_observation is over.
    #[arg(long)]
    early_pass: bool,
    /// Distance between points, such as 60s. Default: the config's, or one fitted to the window.
    #[arg(long, value_name = "PERIOD")]
    step: Option<Period>,
    /// Compare before and after: the baseline's window lies this much earlier, such as 1d.
    #[arg(long, value_name = "PERIOD")]
    offset: Option<Period>,
}

/// Where the samples come from.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where the samples come from")]
struct Whence {
    /// Let this server judge, which has metric stores of its own. The environment's HALDANE_SERVER does as well, where neither
    /// --prometheus nor --settings is given.
    #[arg(long, value_name = "URL", conflicts_with_all = ["prometheus", "settings"])]
    server: Option<String>,
    /// File with the server's bearer token; the environment's HALDANE_TOKEN does as well.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// Samples to judge instead of fetched ones: the `samples` object of a request, in this JSON file or on standard input with `-`.
    #[arg(long, value_name = "FILE|-")]
    samples: Option<PathBuf>,
    /// How long the samples may take; metrics that have not arrived by then are reported as errors. Default: 50s.
    #[arg(long, value_name = "PERIOD")]
    wait: Option<Period>,
}

/// What comes out.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What comes out")]
struct OutcomeArgs {
    /// How the scorecard is written.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    /// Write it to this file instead of standard output; one line with the verdict goes to standard error.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Everything: in text every metric's numbers, guards and queries, in JSON every sample.
    #[arg(long, short)]
    verbose: bool,
    /// Show how this metric was judged, step by step and with its figures, instead of the scorecard.
    #[arg(long, value_name = "METRIC", conflicts_with = "output")]
    explain: Option<String>,
    /// Append what was judged to this file, a line for each judgement, which `haldane replay` judges again. Not with --server: a server
    /// records by `serve --record`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "scorecard"])]
    record: Option<PathBuf>,
}

/// A rendering of a scorecard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people on a terminal.
    Text,
    /// As the API gives it.
    Json,
    /// For pull requests and CI step summaries.
    Markdown,
    /// For the test report of a CI system; only a pass leaves it green.
    Junit,
    /// One self-contained page.
    Html,
}

/// Flags that a scorecard replaces, which is not judged again, beside those that a whole request replaces.
const JUDGING_FLAGS: [&str; 7] = ["watch", "server", "token_file", "prometheus", "settings", "wait", "request"];

/// Flags that a whole request replaces.
const BODY_FLAGS: [&str; 23] = [
    "config",
    "baseline",
    "canary",
    "location",
    "variables",
    "baseline_variables",
    "canary_variables",
    "judge",
    "canary_share",
    "start",
    "end",
    "last",
    "step",
    "offset",
    "planned_end",
    "released_at",
    "look",
    "early_pass",
    "ramp",
    "advisory",
    "labels",
    "source",
    "samples",
];

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it like name=value".to_owned()),
    }
}

fn look(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('/').and_then(|(look, looks)| Some((look.trim().parse().ok()?, looks.trim().parse().ok()?)));
    parts.ok_or_else(|| "write it like 3/12".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim().trim_end_matches('%').trim_end().parse::<f64>() {
        // Rounded, so that 7 % is 0.07 and not 0.07000000000000001.
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok((percent * 1e8).round() / 1e10),
        _ => Err("write per cent above 0 and at most 100, like 1,5,25,50,100".to_owned()),
    }
}

/// Judges and reports.
///
/// # Errors
/// [`CommandFailure`] when there is no verdict, or it could not be written.
pub(super) async fn command(args: JudgeArgs) -> Result<CommandOutcome, CommandFailure> {
    let reply = match &args.what.scorecard {
        Some(file) => saved(file)?,
        None => judged(&args).await?,
    };
    let verdict = reply.verdict()?;
    let OutcomeArgs { output_file, .. } = &args.outcome;
    let text = args.outcome.render(reply)?;
    output::write(output_file.as_deref(), &text)?;
    if let Some(file) = output_file {
        output::say(&format!("{verdict}: written to {}", file.display()));
    }
    Ok(verdict.into())
}

/// A scorecard that was kept.
fn saved(file: &Path) -> Result<ScorecardReply, CommandFailure> {
    let document = read_json(file, "scorecard")?;
    let card = serde_json::from_value::<Scorecard>(document)
        .map_err(|error| CommandFailure::usage(format!("`{}` is not a scorecard as --output json writes it: {error}", file.display())))?;
    Ok(ScorecardReply::Made(Box::new(card)))
}

/// Judges once, or at every look of a plan.
async fn judged(args: &JudgeArgs) -> Result<ScorecardReply, CommandFailure> {
    let wait = args.whence.wait.map(Period::duration);
    if wait.is_some_and(|wait| wait.is_zero()) {
        return Err(CommandFailure::usage("--wait 0s leaves no time to fetch anything; give at least 1s"));
    }
    let body = body(args)?;
    let client = args.whence.client(args.outcome.record.as_deref())?;
    let with_samples = args.outcome.draws_samples();
    if args.when.watch {
        return watch::follow(&client, body, wait, args.outcome.display()).await;
    }
    Ok(client.judge(body, wait, with_samples).await?)
}

impl Whence {
    /// Who judges.
    fn client(&self, record: Option<&Path>) -> Result<JudgementClient, CommandFailure> {
        let from_environment = || std::env::var("HALDANE_SERVER").ok().filter(|_| !self.store.is_given());
        let server = self.server.clone().or_else(from_environment).filter(|server| !server.trim().is_empty());
        let Some(address) = server else {
            let (sources, configs) = store::open(&self.store)?;
            let observer = record.map(|file| Arc::new(FileRecorder { file: file.to_owned() }) as Arc<dyn JudgementObserver>);
            let analyst = Analyst::new(sources, AnalysisLimits::default()).observed_by(observer);
            return Ok(JudgementClient::Local { analyst: Box::new(analyst), configs });
        };
        if record.is_some() {
            let message = format!(
                "--record: HALDANE_SERVER lets `{}` judge, which has the samples; record there by `serve --record`",
                address.trim()
            );
            return Err(CommandFailure::usage(message));
        }
        let token = client::token(self.token_file.as_deref(), std::env::var("HALDANE_TOKEN").ok())?;
        Ok(JudgementClient::Remote(Server::at(address.trim(), token)?))
    }
}

/// Appends what was judged to a file.
#[derive(Debug)]
struct FileRecorder {
    file: PathBuf,
}

impl FileRecorder {
    fn record(&self, plan: &Plan, scorecard: &Scorecard) -> Result<(), String> {
        let line = Case::of_judgement(plan.request(), scorecard)?.line()?;
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(&self.file);
        // All at once: other processes may append to the same file.
        opened.and_then(|mut opened| opened.write_all(&line)).map_err(|error| error.to_string())
    }
}

impl JudgementObserver for FileRecorder {
    fn judged(&self, plan: &Arc<Plan>, scorecard: &Scorecard) {
        if let Err(problem) = self.record(plan, scorecard) {
            // The verdict stands.
            output::say(&format!("warning: nothing is recorded in `{}`: {problem}", self.file.display()));
        }
    }
}

impl OutcomeArgs {
    /// Whether both arms are drawn, or were asked for.
    fn draws_samples(&self) -> bool {
        self.verbose || matches!(self.output, OutputFormat::Html | OutputFormat::Text)
    }

    /// Where the looks of a plan are shown while they are made.
    fn display(&self) -> WatchDisplay {
        let terminal = self.terminal();
        let is_text = self.output == OutputFormat::Text && self.output_file.is_none();
        let redraws = is_text && terminal.colour && self.explain.is_none() && !self.verbose;
        WatchDisplay { terminal, with_samples: self.draws_samples(), is_text, redraws }
    }

    fn terminal(&self) -> Terminal {
        if self.output_file.is_none() { output::terminal() } else { Terminal::default() }
    }

    fn render(&self, reply: ScorecardReply) -> Result<String, CommandFailure> {
        if let (ScorecardReply::Received { document, .. }, OutputFormat::Json) = (&reply, self.output) {
            return output::pretty(document);
        }
        let card = match reply {
            ScorecardReply::Made(card) => *card,
            received @ ScorecardReply::Received { .. } => received.card()?,
        };
        Ok(match self.output {
            OutputFormat::Text => self.text(&card)?,
            OutputFormat::Json => output::pretty(&card)?,
            OutputFormat::Markdown => report::markdown(&card),
            OutputFormat::Junit => report::junit(&card).map_err(|error| CommandFailure::usage(error.to_string()))?,
            OutputFormat::Html => report::html(&card),
        })
    }

    fn text(&self, card: &Scorecard) -> Result<String, CommandFailure> {
        let terminal = self.terminal();
        match &self.explain {
            None if self.verbose => Ok(report::verbose(card, terminal)),
            None => Ok(report::terminal(card, terminal)),
            Some(name) => report::explain(card, name, terminal).ok_or_else(|| {
                let names: Vec<String> = card.judgement.metrics.iter().take(MOST_NAMES).map(|metric| metric.name.clone()).collect();
                let more = if names.len() < card.judgement.metrics.len() { ", ..." } else { "" };
                let shown = format::truncate(name, LONGEST_NAME);
                CommandFailure::usage(format!("the scorecard has no metric `{shown}`; it has {}{more}", names.join(", ")))
            }),
        }
    }
}

/// The JSON body of `POST /v1/judgements`.
fn body(args: &JudgeArgs) -> Result<Value, CommandFailure> {
    if let Some(file) = &args.what.request {
        return read_json(file, "request");
    }
    let What { config, judge, canary_share, .. } = &args.what;
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    let config = config.as_deref().ok_or_else(|| CommandFailure::usage("give --config NAME or --config FILE"))?;
    put("config", Some(named_or_read(config)?));
    put("judge", judge.clone().map(Value::from));
    let mut baseline = args.what.arm(args.what.baseline.as_deref(), &args.what.baseline_variables);
    if let Some(offset) = args.when.offset {
        baseline.insert("offset".to_owned(), json!(offset));
    }
    put("baseline", Some(Value::Object(baseline)));
    put("canary", Some(Value::Object(args.what.arm(args.what.canary.as_deref(), &args.what.canary_variables))));
    put("window", args.when.window());
    put("planned_end", args.when.planned_end.map(|time| json!(time)));
    put("released_at", args.when.released_at.map(|time| json!(time)));
    put("looks", args.when.look.map(|(look, looks)| json!({ "look": look, "looks": looks })));
    put("early_pass", args.when.early_pass.then_some(Value::Bool(true)));
    put("canary_share", canary_share.map(Value::from));
    put("ramp", (!args.what.ramp.is_empty()).then(|| json!(args.what.ramp)));
    let labels = args.what.labels.iter().cloned().collect::<BTreeMap<_, _>>();
    put("labels", (!labels.is_empty()).then(|| json!(labels)));
    put("mode", args.what.advisory.then(|| Value::from("advisory")));
    put("source", args.whence.store.source.clone().map(Value::from));
    put("samples", args.whence.samples.as_deref().map(|file| read_json(file, "samples")).transpose()?);
    Ok(Value::Object(body))
}

impl What {
    fn arm(&self, scope: Option<&str>, own: &[(String, String)]) -> Map<String, Value> {
        let mut arm = Map::new();
        if let Some(scope) = scope {
            arm.insert("scope".to_owned(), json!(scope));
        }
        if let Some(location) = &self.location {
            arm.insert("location".to_owned(), json!(location));
        }
        let variables = self.variables.iter().chain(own).cloned().collect::<BTreeMap<_, _>>();
        if !variables.is_empty() {
            arm.insert("variables".to_owned(), json!(variables));
        }
        arm
    }
}

impl When {
    fn window(&self) -> Option<Value> {
        let mut window = Map::new();
        let times = [("start", self.start.map(|time| json!(time))), ("end", self.end.map(|time| json!(time)))];
        let periods = [("duration", self.last.map(|period| json!(period))), ("step", self.step.map(|period| json!(period)))];
        for (name, value) in times.into_iter().chain(periods) {
            if let Some(value) = value {
                window.insert(name.to_owned(), value);
            }
        }
        (!window.is_empty()).then_some(Value::Object(window))
    }
}

/// The config by its name, or its content where the argument is a path: it has a separator, the ending of such a file, or exists.
pub(super) fn named_or_read(config: &str) -> Result<Value, CommandFailure> {
    let path = Path::new(config);
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_path = config.contains(std::path::is_separator) || matches!(ending, Some("yaml" | "yml" | "json")) || path.is_file();
    if !is_path {
        return Ok(Value::from(config));
    }
    let text = crate::settings::read_bounded(path);
    let text = text.map_err(|error| CommandFailure::usage(format!("cannot read the config `{config}`: {error}")))?;
    let checked = CheckedConfig::from_yaml(&text).map_err(|invalid| {
        let problems = invalid.problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>();
        let hint = kayenta_hint(&text);
        CommandFailure::usage(format!("`{config}` is not a canary config:{problems}{hint}"))
    })?;
    serde_json::to_value(checked).map_err(|error| CommandFailure::usage(format!("`{config}`: {error}")))
}

/// What to do with a config that Kayenta wrote.
pub(super) fn kayenta_hint(text: &str) -> &'static str {
    // Of YAML, JSON is a part; `kayentactl` takes both.
    let document = serde_saphyr::from_str::<Value>(text).unwrap_or_default();
    let document = document.get("canaryConfig").unwrap_or(&document);
    if crate::settings::is_kayentas(document) { "\n  it is in Kayenta's format: `haldane convert` makes a native config of it" } else { "" }
}

fn read_json(file: &Path, what: &str) -> Result<Value, CommandFailure> {
    let unreadable = |error: std::io::Error| CommandFailure::usage(format!("cannot read the {what} `{}`: {error}", file.display()));
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes))
    };
    if read.map_err(unreadable)? as u64 > MAX_INPUT_BYTES {
        return Err(CommandFailure::usage(format!(
            "the {what} `{}` is longer than the {MAX_INPUT_BYTES} bytes that are read",
            file.display()
        )));
    }
    // As the service reads it: a repeated name is refused, and neither depth nor number is unbounded.
    crate::json::parse(&bytes, MAX_INPUT_VALUES).map_err(|error| CommandFailure::usage(format!("the {what} `{}` {error}", file.display())))
}
