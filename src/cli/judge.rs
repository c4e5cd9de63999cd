//! `haldane judge`: one judgement, by a server or in this process, with the verdict as the exit code.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, ValueEnum};
use haldane_judges::{CheckedConfig, Period, Verdict};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::client::{self, DEFAULT_WAIT, Server};
use super::progress::Spinner;
use super::store::{self, StoreArgs};
use super::{CommandFailure, CommandOutcome, output};
use crate::analysis::{AnalysisError, AnalysisLimits, Analyst, Scorecard};
use crate::api::Problem;
use crate::report;
use crate::settings::BodyLimits;

/// Longest request or samples file that is read.
const MAX_INPUT_BYTES: u64 = 64 << 20;
/// Most values that such a file may hold.
const MAX_INPUT_VALUES: usize = 4_000_000;

/// Arguments of `haldane judge`.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("body").args(["request", "config"]).required(true)),
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
    /// Include every sample in JSON.
    #[arg(long, short)]
    verbose: bool,
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
    let wait = args.whence.wait.map(Period::duration);
    if wait.is_some_and(|wait| wait.is_zero()) {
        return Err(CommandFailure::usage("--wait 0s leaves no time to fetch anything; give at least 1s"));
    }
    let from_environment = || std::env::var("HALDANE_SERVER").ok().filter(|_| !args.whence.store.is_given());
    let server = args.whence.server.clone().or_else(from_environment).filter(|server| !server.trim().is_empty());
    let body = body(&args)?;
    // The page draws both arms.
    let with_samples = args.outcome.verbose || args.outcome.output == OutputFormat::Html;
    let reply = match server {
        Some(address) => {
            let address = address.trim();
            let token = client::token(args.whence.token_file.as_deref(), std::env::var("HALDANE_TOKEN").ok())?;
            let server = Server::at(address, token)?;
            let _waiting = Spinner::start("waiting for the server's judgement");
            let mut document = server.judge(&body, wait, with_samples).await?;
            // A server that does not know its own address is there where it was asked. JSON is passed on untouched.
            if args.outcome.output != OutputFormat::Json && document.get("url").is_none() {
                let link = document.get("id").and_then(Value::as_str).map(|id| server.link(id));
                document.as_object_mut().zip(link).map(|(card, link)| card.insert("url".to_owned(), Value::from(link)));
            }
            ScorecardReply::Received(document)
        }
        None => {
            let scorecard = in_process(&args, body, wait.unwrap_or(DEFAULT_WAIT)).await?;
            ScorecardReply::Made(Box::new(if with_samples { scorecard.with_samples() } else { scorecard }))
        }
    };
    let verdict = reply.verdict()?;
    let text = reply.render(args.outcome.output, args.outcome.output_file.is_none())?;
    output::write(args.outcome.output_file.as_deref(), &text)?;
    if let Some(file) = &args.outcome.output_file {
        output::say(&format!("{verdict}: written to {}", file.display()));
    }
    Ok(verdict.into())
}

/// A scorecard: a server's own words, which JSON output passes on untouched, or one made here.
enum ScorecardReply {
    Received(Value),
    Made(Box<Scorecard>),
}

impl ScorecardReply {
    fn verdict(&self) -> Result<Verdict, CommandFailure> {
        match self {
            Self::Made(card) => Ok(card.judgement.verdict),
            Self::Received(document) => {
                let known = document.get("verdict").and_then(|verdict| Verdict::deserialize(verdict).ok());
                known.ok_or_else(|| CommandFailure::usage("the server's reply has no verdict; is it a Haldane server?"))
            }
        }
    }

    fn render(self, format: OutputFormat, to_terminal: bool) -> Result<String, CommandFailure> {
        let card = match (self, format) {
            (Self::Received(document), OutputFormat::Json) => return output::pretty(&document),
            (Self::Received(document), _) => serde_json::from_value(document).map_err(|error| {
                CommandFailure::usage(format!(
                    "the server's scorecard cannot be read: {error}; it may be of another version: use --output json"
                ))
            })?,
            (Self::Made(card), _) => *card,
        };
        Ok(match format {
            OutputFormat::Text => {
                let terminal = if to_terminal { output::terminal() } else { report::Terminal::default() };
                report::terminal(&card, terminal)
            }
            OutputFormat::Json => output::pretty(&card)?,
            OutputFormat::Markdown => report::markdown(&card),
            OutputFormat::Junit => report::junit(&card).map_err(|error| CommandFailure::usage(error.to_string()))?,
            OutputFormat::Html => report::html(&card),
        })
    }
}

/// Judges here, with the metric stores that the arguments name.
async fn in_process(args: &JudgeArgs, body: Value, wait: Duration) -> Result<Scorecard, CommandFailure> {
    let (sources, configs) = store::open(&args.whence.store)?;
    let analyst = Analyst::new(sources, AnalysisLimits::default());
    let request = crate::api::translate(body, &configs, &BodyLimits::default(), analyst.sources(), Timestamp::now())
        .map_err(|problem| client::refusal(&problem))?;
    let waiting = Spinner::start("fetching");
    let judging = async { analyst.run(&analyst.plan(request)?, Instant::now() + wait, &|progress| waiting.fetched(progress)).await };
    judging.await.map_err(|error| match error {
        AnalysisError::UnknownSource { .. } => {
            CommandFailure::usage(format!("{error}; give --prometheus URL, --settings FILE or --server URL"))
        }
        // As the server would put it, so that both ways end with the same exit code.
        _ => client::refusal(&Problem::from(&error)),
    })
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
