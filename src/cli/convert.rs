//! `haldane convert`: a canary config of Kayenta's as a native one.

use std::path::PathBuf;

use super::{CommandFailure, CommandOutcome, output};
use crate::kayenta::convert::{Conversion, convert_with};
use crate::report::format::clean;

/// Arguments of `haldane convert`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: haldane convert checkout.json --output checkout.yaml\n\nKayenta's API takes Kayenta's configs as they are; convert one to go on with it natively. The notes are comments at the head of the YAML, and go to standard error too. Check the result with `haldane lint`.\n\nExits with 0, or with 2 for a file that is no config of Kayenta's, or with 3 where the config was written and a critical metric has no query in it, so that no canary would pass."
)]
pub(super) struct ConvertArgs {
    /// The config: Kayenta's JSON, or YAML of the same fields, or a request that holds one as `canaryConfig`.
    file: PathBuf,
    /// Write the YAML to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Label whose value `${scope}` is, where queries have it for whole label matchers, such as `{job="shop",${scope}}`.
    #[arg(long, value_name = "LABEL", value_parser = label)]
    scope_label: Option<String>,
}

/// Longest file that is read; Kayenta's configs are a thousandth of it.
const MAX_FILE_BYTES: usize = 8 << 20;

fn label(text: &str) -> Result<String, String> {
    let is_label =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_label { Ok(text.to_owned()) } else { Err("a label's name is letters, digits and `_`, such as `app`".to_owned()) }
}

/// Converts a file and prints what it became.
///
/// # Errors
/// [`CommandFailure::Usage`] for a file that cannot be read or written, or is no config of Kayenta's.
pub(super) fn command(args: &ConvertArgs) -> Result<CommandOutcome, CommandFailure> {
    let shown = clean(&args.file.display().to_string());
    let text = crate::files::read_bounded_bytes(&args.file, MAX_FILE_BYTES)
        .map_err(|error| CommandFailure::usage(format!("cannot read `{shown}`: {error}")))?;
    let converted = convert_with(&text, args.scope_label.as_deref()).map_err(|refusal| {
        let problems = if refusal.errors().is_empty() { refusal.message() } else { refusal.errors().join("; ") };
        CommandFailure::usage(format!("{shown}: {problems}"))
    })?;
    let Conversion { yaml, notes, lost, .. } = converted;
    output::write(args.output.as_deref(), &yaml)?;
    for note in notes {
        output::say(&format!("{shown}: note: {}", clean(&note)));
    }
    for metric in &lost {
        let metric = clean(metric);
        output::say(&format!(
            "{shown}: `{metric}` is critical and has no query now, so that no canary passes; write one, or take the metric out"
        ));
    }
    Ok(if lost.is_empty() { CommandOutcome::Done } else { CommandOutcome::Marginal })
}
