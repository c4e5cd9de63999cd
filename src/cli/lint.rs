//! `haldane lint`: says what is wrong with a canary config before a release depends on it, and tries its queries.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use haldane_judges::config::{BUILT_IN_VARIABLES, Kind, Metric, MetricQuery};
use haldane_judges::evidence::Arm;
use haldane_judges::{CheckedConfig, Period};
use jiff::Timestamp;

use super::judge::variable;
use super::progress::Waiting;
use super::store::{self, StoreArgs};
use super::{Failure, Outcome, output};
use crate::analysis::{Account, Progress};
use crate::report::format::{clean, clean_query, truncate};
use crate::source::cache::CachedSource;
use crate::source::{Advice, Query, Reply, SourceError, Template, Window};

/// Queries in flight at a time.
const CONCURRENT: usize = 8;
/// Distance between points where the config names none.
const DEFAULT_STEP: Period = Period::from_seconds(60);

/// Arguments of `haldane lint`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0, or with 2 where there is an error (with --strict, or a warning), or with 4 where no query could be asked."
)]
pub(super) struct Args {
    /// Canary configs, YAML or JSON.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    #[command(flatten, next_help_heading = "Trying the queries")]
    store: StoreArgs,
    /// Value of ${scope} for the baseline.
    #[arg(long, value_name = "SCOPE")]
    baseline: Option<String>,
    /// Value of ${scope} for the canary.
    #[arg(long, value_name = "SCOPE")]
    canary: Option<String>,
    /// Value of ${location} for both arms.
    #[arg(long)]
    location: Option<String>,
    /// A template variable of both arms; repeat it for more.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Length of the window that is asked for, up to now.
    #[arg(long, value_name = "PERIOD", default_value = "30m")]
    last: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
    Note,
}

/// Something to say about one place of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    severity: Severity,
    pointer: String,
    message: String,
}

impl Finding {
    fn new(severity: Severity, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, pointer: pointer.into(), message: message.into() }
    }
}

/// Checks the files and prints what was found.
///
/// # Errors
/// [`Failure`] when a metric store is asked for that cannot be used, or none of its queries reached it.
pub(super) async fn command(args: Args) -> Result<Outcome, Failure> {
    let accounts = if args.store.is_given() { Some(store::open(&args.store)?.0) } else { None };
    let account = accounts.as_ref().map(|accounts| accounts.choose(args.store.source.as_deref()));
    let account = account.transpose().map_err(|error| Failure::usage(error.to_string()))?;
    if account.is_some() && (args.baseline.is_none() || args.canary.is_none()) {
        return Err(Failure::usage("give --baseline and --canary, so that the queries can be tried for both arms"));
    }
    let (mut errors, mut warnings, mut tried) = (0, 0, Tried::default());
    for file in &args.files {
        let shown = clean(&file.display().to_string());
        let text = std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("cannot read `{shown}`: {error}")))?;
        let mut findings = Vec::new();
        match CheckedConfig::from_yaml(&text) {
            Err(invalid) => {
                findings
                    .extend(invalid.problems.into_iter().map(|problem| Finding::new(Severity::Error, problem.pointer, problem.message)));
                let hint = super::judge::kayenta_hint(&text).trim_start();
                if !hint.is_empty() {
                    findings.push(Finding::new(Severity::Error, "", hint));
                }
            }
            Ok(config) => {
                examine(&config, &mut findings);
                if let Some(account) = account {
                    tried.add(&dry_run(&args, &config, account, &mut findings).await);
                }
            }
        }
        errors += findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        warnings += findings.iter().filter(|finding| finding.severity == Severity::Warning).count();
        for finding in &findings {
            let word = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            let pointer = if finding.pointer.is_empty() { String::new() } else { format!(" {}", clean(&finding.pointer)) };
            output::print(&format!("{shown}:{pointer}: {word}: {}\n", clean(&finding.message)))?;
        }
    }
    let files = args.files.len();
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let summary = [counted(files, "file"), counted(errors, "error"), counted(warnings, "warning")].join(", ");
    output::print(&format!("{summary}\n"))?;
    if tried.asked > 0 && tried.unreachable == tried.asked {
        return Err(Failure::unreachable("not one query reached the metric store; check its URL and that it runs"));
    }
    Ok(if errors > 0 || (args.strict && warnings > 0) { Outcome::Usage } else { Outcome::Done })
}

/// What can be said without a metric store.
fn examine(config: &CheckedConfig, findings: &mut Vec<Finding>) {
    let mut used = BTreeSet::new();
    for (i, metric) in config.metrics.iter().enumerate() {
        let at = format!("/metrics/{i}");
        examine_metric(&at, metric, config.judge == haldane_judges::JudgeName::NetflixAca.as_str(), findings);
        for (pointer, text) in metric.queries.iter().flat_map(|(store, query)| texts(&format!("{at}/queries/{store}"), query)) {
            examine_variables(config, &pointer, text, &mut used, findings);
        }
    }
    for (store, text) in config.population.iter().flat_map(|population| &population.queries) {
        examine_variables(config, &format!("/population/queries/{store}"), text, &mut used, findings);
    }
    for name in config.variables.keys().filter(|name| !used.contains(name.as_str())) {
        findings.push(Finding::new(Severity::Warning, format!("/variables/{name}"), "no query uses this variable"));
    }
}

fn examine_variables<'a>(config: &CheckedConfig, pointer: &str, text: &'a str, used: &mut BTreeSet<&'a str>, findings: &mut Vec<Finding>) {
    for name in variables(text) {
        let Some(name) = name else {
            findings.push(Finding::new(Severity::Error, pointer, "a `${` is not closed by `}`"));
            continue;
        };
        used.insert(name);
        if !BUILT_IN_VARIABLES.contains(&name) && !config.variables.contains_key(name) {
            let known = BUILT_IN_VARIABLES.into_iter().chain(config.variables.keys().map(String::as_str));
            let message = format!("`${{{name}}}` is not built in and not declared; {}", suggestion(name, known));
            findings.push(Finding::new(Severity::Error, pointer, message));
        }
    }
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest.filter(|(distance, known)| *distance <= 1 + known.len() / 3) {
        Some((_, known)) => format!("did you mean `${{{known}}}`?"),
        None => format!("declare it in /variables as `{name}: {{}}`, and each request must give it"),
    }
}

/// `kayentas` says that Kayenta's judge decides, which knows no limits.
fn examine_metric(at: &str, metric: &Metric, kayentas: bool, findings: &mut Vec<Finding>) {
    let mut warn = |pointer: &str, message: &str| findings.push(Finding::new(Severity::Warning, format!("{at}{pointer}"), message));
    if metric.queries.is_empty() {
        warn("/queries", "no query, so this metric can only be judged on samples that come with a request");
    }
    if metric.limits.is_empty() && !kayentas {
        warn(
            "/limits",
            "no limits, so this metric stays inconclusive where there is too little data for statistics; give `max`, `min` or `max_ratio`",
        );
    }
    if metric.kind == Kind::Ratio && !metric.is_counted() {
        warn(
            "/queries",
            "a ratio read as one ready-made number loses its counts, and with them the exact tests; give `numerator` and `denominator`",
        );
    }
    let is_time = matches!(metric.unit.as_deref(), Some("ms" | "s" | "us" | "µs" | "seconds" | "milliseconds"));
    if is_time && metric.kind == Kind::Value && metric.tolerance.absolute.is_none() {
        warn(
            "/tolerance",
            "a latency without an absolute tolerance fails on 1 ms becoming 2 ms; give one, such as 5 ms: `absolute: 5` (in the metric's unit)",
        );
    }
    if metric.critical && metric.optional {
        warn(
            "/optional",
            "critical and optional contradict each other: missing evidence on a critical metric always makes the canary marginal",
        );
    }
    if metric.critical && metric.muted {
        warn("/muted", "critical and muted contradict each other: a muted metric has no effect on the verdict");
    }
}

fn texts<'a>(at: &str, query: &'a MetricQuery) -> Vec<(String, &'a str)> {
    match query {
        MetricQuery::Single(text) => vec![(at.to_owned(), text)],
        MetricQuery::Counts(counts) => {
            vec![(format!("{at}/numerator"), &counts.numerator), (format!("{at}/denominator"), &counts.denominator)]
        }
    }
}

/// The names between `${` and `}`; `None` for one that is not closed.
fn variables(text: &str) -> Vec<Option<&str>> {
    text.split("${").skip(1).map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

/// How the queries fared.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    asked: usize,
    unreachable: usize,
}

impl Tried {
    fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.unreachable += other.unreachable;
    }
}

/// One query of one arm, to be tried.
struct Trial<'a> {
    pointer: String,
    arm: Arm,
    text: &'a str,
    expected: Expected<'a>,
}

/// What a query should return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected<'a> {
    /// One series.
    One,
    /// One for each value of these labels.
    Each(&'a [&'a str]),
}

/// Asks the store every query for both arms, and says what came back.
async fn dry_run(args: &Args, config: &CheckedConfig, account: &Account, findings: &mut Vec<Finding>) -> Tried {
    let source = &account.source;
    let window = match recent_window(args, config) {
        Ok(window) => window,
        Err(message) => {
            findings.push(Finding::new(Severity::Error, "", message));
            return Tried::default();
        }
    };
    let mut trials = Vec::new();
    let per_instance: Vec<Option<[&str; 1]>> =
        config.metrics.iter().map(|metric| metric.per_instance.as_deref().map(|label| [label])).collect();
    let member = config.population.as_ref().map(|population| [population.instance.as_str(), population.version.as_str()]);
    if let (Some(population), Some(member)) = (&config.population, &member) {
        match population.queries.get(source.kind()) {
            None => {
                let message = format!("the population has no query for {}", source.kind());
                findings.push(Finding::new(Severity::Error, "/population/queries", message));
            }
            Some(text) => {
                let pointer = format!("/population/queries/{}", source.kind());
                let arm = |arm| Trial { pointer: pointer.clone(), arm, text, expected: Expected::Each(member) };
                trials.extend([arm(Arm::Baseline), arm(Arm::Canary)]);
            }
        }
    }
    for (i, metric) in config.metrics.iter().enumerate() {
        let at = format!("/metrics/{i}/queries");
        match metric.queries.get(source.kind()) {
            None => findings.push(Finding::new(Severity::Error, at, format!("`{}` has no query for {}", metric.name, source.kind()))),
            Some(query) => {
                for (pointer, text) in texts(&format!("{at}/{}", source.kind()), query) {
                    let expected = per_instance[i].as_ref().map_or(Expected::One, |labels| Expected::Each(labels));
                    let arm = |arm| Trial { pointer: pointer.clone(), arm, text, expected };
                    trials.extend([arm(Arm::Baseline), arm(Arm::Canary)]);
                }
            }
        }
    }
    let waiting = Waiting::start(format!("trying the queries on `{}`", clean(&account.name)));
    let total = trials.len();
    let mut tried = Tried { asked: total, unreachable: 0 };
    // Kept in order: the findings follow the config.
    let asked = trials.into_iter().map(|trial| async move {
        let outcome = ask(args, config, source, window, &trial).await;
        (trial, outcome)
    });
    let mut replies = futures::stream::iter(asked).buffered(CONCURRENT);
    let mut done = 0;
    while let Some((trial, outcome)) = replies.next().await {
        done += 1;
        waiting.fetched(Progress { done, total });
        tried.unreachable += usize::from(matches!(outcome, Err(SourceError::Unreachable(_) | SourceError::TimedOut(_))));
        report(&trial, window, outcome, findings);
    }
    tried
}

fn recent_window(args: &Args, config: &CheckedConfig) -> Result<Window, String> {
    let step = config.step.unwrap_or(DEFAULT_STEP);
    let step_seconds = u32::try_from(step.seconds()).map_err(|_| format!("the step {step} is too long"))?;
    let step = i64::from(step_seconds);
    let end = Timestamp::now().as_second() / step * step;
    let points = i64::try_from(args.last.seconds()).unwrap_or(i64::MAX) / step;
    if points == 0 {
        return Err(format!("--last {} is shorter than one step of {step} s; give a longer one", args.last));
    }
    Ok(Window { start: end - points * step, end, step_seconds })
}

async fn ask(
    args: &Args,
    config: &CheckedConfig,
    source: &CachedSource,
    window: Window,
    trial: &Trial<'_>,
) -> Result<(Arc<Reply>, Vec<Advice>), SourceError> {
    let scope = match trial.arm {
        Arm::Baseline => &args.baseline,
        Arm::Canary => &args.canary,
    };
    let defaults = config.variables.iter().filter_map(|(name, variable)| Some((name.clone(), variable.default.clone()?)));
    let built_in = [("scope", scope), ("location", &args.location)];
    let built_in = built_in.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    let variables = defaults.chain(args.variables.iter().cloned()).chain(built_in).collect();
    let text = source.resolve(&Template { text: trial.text, variables: &variables, window })?;
    let query = Query { text, window };
    let advice = source.advise(&query);
    Ok((source.fetch(&query).await?, advice))
}

fn report(trial: &Trial<'_>, window: Window, outcome: Result<(Arc<Reply>, Vec<Advice>), SourceError>, findings: &mut Vec<Finding>) {
    let arm = trial.arm;
    let mut say = |severity, message: String| findings.push(Finding::new(severity, &trial.pointer, format!("{arm}: {message}")));
    let (reply, advice) = match outcome {
        Ok(reply) => reply,
        Err(error) => return say(Severity::Error, format!("{error}; query `{}`", truncate(&clean_query(trial.text), 200))),
    };
    let expected = window.len() * reply.series.len();
    let present = reply.series.iter().flat_map(|series| &series.values).filter(|value| value.is_finite()).count();
    match reply.series.len() {
        0 => say(Severity::Warning, "no series came back; check the metric's name, its labels and the scope".to_owned()),
        n if n > 1 && trial.expected == Expected::One => {
            let labels = reply.series.iter().take(3).map(|series| format!("{:?}", series.labels)).collect::<Vec<_>>().join(", ");
            say(
                Severity::Error,
                format!("{n} series came back where one is judged ({labels}); aggregate them in the query, or set `per_instance`"),
            );
        }
        _ if missing_label(trial, &reply).is_some() => {
            let label = missing_label(trial, &reply).unwrap_or_default();
            say(Severity::Error, format!("a series has no label `{label}`; keep it in the query's grouping"));
        }
        n => {
            let gaps = expected.saturating_sub(present);
            let severity = if gaps * 2 > expected { Severity::Warning } else { Severity::Note };
            let series = if n == 1 { "1 series".to_owned() } else { format!("{n} series") };
            say(severity, format!("{series}, {present} of {expected} points, {gaps} missing"));
        }
    }
    for text in &reply.warnings {
        say(Severity::Warning, text.clone());
    }
    for advice in advice {
        say(if advice.about_shifts { Severity::Note } else { Severity::Warning }, advice.sentence);
    }
}

/// A label that a series should have and has not.
fn missing_label<'a>(trial: &Trial<'a>, reply: &Reply) -> Option<&'a str> {
    let Expected::Each(labels) = trial.expected else { return None };
    labels.iter().copied().find(|label| reply.series.iter().any(|series| !series.labels.contains_key(*label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(yaml: &str) -> Vec<(Severity, String)> {
        let mut findings = Vec::new();
        examine(&CheckedConfig::from_yaml(yaml).unwrap(), &mut findings);
        findings.into_iter().map(|finding| (finding.severity, finding.pointer)).collect()
    }

    #[test]
    fn what_would_surprise_later_is_said_now() {
        let yaml = r#"
name: x
variables: {zone: {}, unused: {}}
metrics:
  - {name: errors, kind: ratio, critical: true, optional: true, limits: {max: 0.01}, queries: {prometheus: "a{z=\"${zone}\"}"}}
  - {name: latency, unit: ms, critical: true, muted: true, queries: {prometheus: "b{z=\"${zne}\", s=\"${scope}\"}[${step"}}
"#;
        let at = |severity, pointer: &str| (severity, pointer.to_owned());
        let expected = [
            at(Severity::Warning, "/metrics/0/queries"),
            at(Severity::Warning, "/metrics/0/optional"),
            at(Severity::Warning, "/metrics/1/limits"),
            at(Severity::Warning, "/metrics/1/tolerance"),
            at(Severity::Warning, "/metrics/1/muted"),
            at(Severity::Error, "/metrics/1/queries/prometheus"),
            at(Severity::Error, "/metrics/1/queries/prometheus"),
            at(Severity::Warning, "/variables/unused"),
        ];
        assert_eq!(findings(yaml), expected);
    }

    #[test]
    fn a_sound_config_gives_no_finding() {
        let yaml = r#"
name: x
metrics:
  - {name: latency, unit: ms, tolerance: {absolute: 5}, limits: {max: 500}, queries: {prometheus: "b{s=\"${scope}\"}"}}
"#;
        assert_eq!(findings(yaml), []);
    }

    #[test]
    fn a_populations_queries_are_examined_too() {
        let yaml = r#"
name: x
variables: {zone: {}}
population: {instance: pod, version: version, queries: {prometheus: "build_info{s=\"${scope}\", z=\"${zone}\", a=\"${zne}\"}"}}
"#;
        assert_eq!(findings(yaml), [(Severity::Error, "/population/queries/prometheus".to_owned())]);
    }

    #[test]
    fn a_misspelt_variable_is_recognised() {
        let known = || ["scope", "namespace"].into_iter();
        assert_eq!(suggestion("namespce", known()), "did you mean `${namespace}`?");
        assert!(suggestion("region", known()).starts_with("declare it"));
    }
}
