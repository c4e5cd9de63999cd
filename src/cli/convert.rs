//! `haldane convert`: a canary config of Kayenta's as a native one.

use std::path::PathBuf;

use super::{Failure, output};
use crate::kayenta::convert::{Converted, convert};
use crate::report::format::clean;

/// Arguments of `haldane convert`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: haldane convert checkout.json --output checkout.yaml\n\nKayenta's API takes Kayenta's configs as they are; convert one to go on with it natively. The notes are comments at the head of the YAML, and go to standard error too. Check the result with `haldane lint`."
)]
pub(super) struct Args {
    /// The config: Kayenta's JSON, or a request that holds one as `canaryConfig`.
    file: PathBuf,
    /// Write the YAML to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Converts a file and prints what it became.
///
/// # Errors
/// [`Failure::Usage`] for a file that cannot be read or written, or is no config of Kayenta's.
pub(super) fn command(args: &Args) -> Result<(), Failure> {
    let shown = clean(&args.file.display().to_string());
    let text = std::fs::read(&args.file).map_err(|error| Failure::usage(format!("cannot read `{shown}`: {error}")))?;
    let converted = convert(&text).map_err(|refusal| {
        let problems = if refusal.errors.is_empty() { refusal.message } else { refusal.errors.join("; ") };
        Failure::usage(format!("{shown}: {problems}"))
    })?;
    let Converted { yaml, notes, .. } = converted;
    output::write(args.output.as_deref(), &yaml)?;
    for note in notes {
        output::say(&format!("{shown}: note: {}", clean(&note)));
    }
    Ok(())
}
