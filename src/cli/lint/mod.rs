//! `haldane lint`: says what is wrong with a canary config before a release depends on it, and what its queries find.
//!
//! What can be said of the config alone is said by [`crate::lint`]. With a metric store `ask` asks it every query for both arms, `profile` says what a series is
//! like, `inspect` what a person should know of it, `histogram` what its buckets hold, and `text` draws all that.

use std::path::Path;
use std::time::Duration;

use haldane_judges::{CheckedConfig, Period};
use jiff::Timestamp;

use super::store;
use super::{CommandFailure, CommandOutcome, output};
use crate::analysis::AnalysisLimits;
use crate::lint::{LintFinding, Severity, examine, merged};
use crate::report::format::{clean, seconds};
use crate::source::Window;
use crate::source::cache::Source;
use args::LintFormat;
use inspect::Inspection;
use report::{FileReport, Report, StoreTrial};

pub(super) use args::LintArgs;

mod args;
mod ask;
mod histogram;
mod inspect;
mod profile;
mod report;
mod sparkline;
mod text;

/// Distance between points where the config names none.
const DEFAULT_STEP: Period = Period::from_seconds(60);

/// Checks the files and prints what was found.
///
/// # Errors
/// [`CommandFailure`] when a metric store is asked for that cannot be used, or none of its queries reached it.
pub(super) async fn command(args: LintArgs) -> Result<CommandOutcome, CommandFailure> {
    let sources = if args.store.is_given() { Some(store::open(&args.store)?.0) } else { None };
    let source = sources.as_ref().map(|sources| sources.choose(args.store.source.as_deref()));
    let source = source.transpose().map_err(|error| CommandFailure::usage(error.to_string()))?;
    if source.is_some() && (args.baseline.is_none() || args.canary.is_none()) {
        return Err(CommandFailure::usage("give --baseline and --canary, so that the queries can be tried for both arms"));
    }
    let mut files = Vec::new();
    for file in &args.files {
        files.push(check(&args, file, source).await?);
    }
    let count = |severity| files.iter().flat_map(|file| &file.findings).filter(|finding| finding.severity == severity).count();
    let report = Report { errors: count(Severity::Error), warnings: count(Severity::Warning), files };
    output::print(&match args.output {
        LintFormat::Text => text::render(&report, output::terminal()),
        LintFormat::Json => output::pretty(&report)?,
    })?;
    let tried = || report.files.iter().filter_map(|file| file.tried.as_ref());
    let queries: usize = tried().map(|tried| tried.queries).sum();
    if queries > 0 && tried().map(|tried| tried.unreachable).sum::<usize>() == queries {
        return Err(CommandFailure::unreachable("not one query reached the metric store; check its URL and that it runs"));
    }
    Ok(if report.errors > 0 || (args.strict && report.warnings > 0) { CommandOutcome::Usage } else { CommandOutcome::Done })
}

async fn check(args: &LintArgs, file: &Path, source: Option<&Source>) -> Result<FileReport, CommandFailure> {
    let shown = clean(&file.display().to_string());
    let text = std::fs::read_to_string(file).map_err(|error| CommandFailure::usage(format!("cannot read `{shown}`: {error}")))?;
    let (mut findings, mut tried) = (Vec::new(), None);
    match CheckedConfig::from_yaml(&text) {
        Err(invalid) => {
            findings
                .extend(invalid.problems.into_iter().map(|problem| LintFinding::new(Severity::Error, problem.pointer, problem.message)));
            let hint = super::judge::kayenta_hint(&text).trim_start();
            if !hint.is_empty() {
                findings.push(LintFinding::error("", hint));
            }
        }
        Ok(config) => {
            examine(&config, source.map(|source| source.kind()), &mut findings);
            if let Some(source) = source {
                tried = try_queries(args, &config, source, &mut findings).await;
            }
        }
    }
    let mut findings = merged(findings);
    findings.sort_by_key(|finding| finding.severity);
    Ok(FileReport { file: shown, findings, tried })
}

/// Asks the store every query for both arms, and looks at what came back.
async fn try_queries(args: &LintArgs, config: &CheckedConfig, source: &Source, findings: &mut Vec<LintFinding>) -> Option<StoreTrial> {
    let settle = source.settle();
    let now = Timestamp::now().as_second();
    let window = match window(config, args.last, args.end.map(Timestamp::as_second), now, settle) {
        Ok(window) => window,
        Err(message) => {
            findings.push(LintFinding::error("", message));
            return None;
        }
    };
    findings.extend(young(window, now, settle));
    let (baseline, canary) = (args.baseline.clone().unwrap_or_default(), args.canary.clone().unwrap_or_default());
    let mut asked = ask::ask(args, config, source, window, findings).await;
    ask::look_up_names(source, &mut asked).await;
    let inspection = Inspection { config, window, settle, ends_now: args.end.is_none(), scopes: (&baseline, &canary) };
    let metrics = inspection.all(&asked, findings);
    let (queries, unreachable) = (asked.len(), asked.iter().filter(|one| one.is_unreachable()).count());
    let (source, store) = (source.name(), source.kind());
    Some(StoreTrial {
        source: source.to_owned(),
        store,
        window,
        settle_seconds: settle.as_secs(),
        baseline,
        canary,
        queries,
        unreachable,
        metrics,
    })
}

/// The window on the step's grid that ends at `end`, or where the samples of `now` have settled.
fn window(config: &CheckedConfig, last: Period, end: Option<i64>, now: i64, settle: Duration) -> Result<Window, String> {
    let step = config.step.unwrap_or(DEFAULT_STEP);
    let step_seconds = u32::try_from(step.seconds()).map_err(|_| format!("the step {step} is too long"))?;
    let step = i64::from(step_seconds);
    let end = end.unwrap_or_else(|| now.saturating_sub(i64::try_from(settle.as_secs()).unwrap_or(i64::MAX)));
    let end = end.div_euclid(step) * step;
    let points = i64::try_from(last.seconds()).unwrap_or(i64::MAX) / step;
    if points == 0 {
        return Err(format!("--last {last} is shorter than one step of {step} s; give a longer one"));
    }
    let most = AnalysisLimits::default().max_points;
    if usize::try_from(points).is_ok_and(|points| points > most) {
        return Err(format!(
            "--last {last} has {points} points {step} s apart, more than the {most} that are asked for; give a shorter one"
        ));
    }
    Ok(Window { start: end - points * step, end, step_seconds })
}

/// A word on a window that may still gain samples.
fn young(window: Window, now: i64, settle: Duration) -> Option<LintFinding> {
    let age = now.saturating_sub(window.end);
    let settle = i64::try_from(settle.as_secs()).unwrap_or(i64::MAX);
    if age >= settle {
        return None;
    }
    let shown = |length: i64| seconds(length.unsigned_abs());
    let ended = if age < 0 { format!("ends in {}", shown(age)) } else { format!("ended {} ago", shown(age)) };
    let message = format!(
        "the window {ended}, and gains samples until {} after its end (`settle`); leave --end out, or give an earlier one",
        shown(settle)
    );
    Some(LintFinding::warning("", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_up_to_now_ends_where_its_samples_have_arrived() {
        let config = CheckedConfig::from_yaml("{name: x, step: 30s, metrics: [{name: a}]}").unwrap();
        let of = |last: &str, end, settle| window(&config, last.parse().unwrap(), end, 10_000, Duration::from_secs(settle));
        assert_eq!(of("5m", None, 60), Ok(Window { start: 9_630, end: 9_930, step_seconds: 30 }));
        assert_eq!(of("5m", Some(600), 60), Ok(Window { start: 300, end: 600, step_seconds: 30 }));
        assert!(of("29s", None, 0).unwrap_err().starts_with("--last 29s is shorter"));
        assert!(of("100h", None, 0).unwrap_err().contains("has 12000 points 30 s apart, more than the 11000"));
    }

    #[test]
    fn a_window_that_may_still_gain_samples_is_named() {
        let window = Window { start: 300, end: 600, step_seconds: 60 };
        let said = |now| young(window, now, Duration::from_secs(60)).map(|finding| finding.message);
        assert_eq!(said(660), None);
        assert!(said(620).unwrap().starts_with("the window ended 20s ago, and gains samples until 1m after its end"));
        assert!(said(500).unwrap().starts_with("the window ends in 1m40s"));
    }
}
