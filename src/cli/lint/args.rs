//! What `haldane lint` is asked for.

use std::path::PathBuf;

use clap::ValueEnum;
use haldane_judges::Period;
use jiff::Timestamp;

use crate::cli::judge::variable;
use crate::cli::store::StoreArgs;

/// Arguments of `haldane lint`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0, or with 2 where there is an error (with --strict, or a warning), or with 4 where no query could be asked."
)]
pub(in crate::cli) struct LintArgs {
    /// Canary configs, YAML or JSON.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Take warnings for errors.
    #[arg(long)]
    pub(super) strict: bool,
    /// How the findings are written.
    #[arg(long, short, value_enum, default_value_t = LintFormat::Text)]
    pub(super) output: LintFormat,
    #[command(flatten, next_help_heading = "Trying the queries")]
    pub(super) store: StoreArgs,
    /// Value of ${scope} for the baseline.
    #[arg(long, value_name = "SCOPE")]
    pub(super) baseline: Option<String>,
    /// Value of ${scope} for the canary.
    #[arg(long, value_name = "SCOPE")]
    pub(super) canary: Option<String>,
    /// Value of ${location} for both arms.
    #[arg(long)]
    pub(super) location: Option<String>,
    /// A template variable of both arms; repeat it for more.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) variables: Vec<(String, String)>,
    /// Length of the window that is asked for, up to its end.
    #[arg(long, value_name = "PERIOD", default_value = "30m")]
    pub(super) last: Period,
    /// The window's end. Default: now, less the time after which the metric store's samples have arrived (its `settle`).
    #[arg(long, value_name = "TIME")]
    pub(super) end: Option<Timestamp>,
}

/// A rendering of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LintFormat {
    /// For people on a terminal.
    Text,
    /// For pipelines.
    Json,
}
