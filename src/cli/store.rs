//! The metric stores of a command that runs in this process.

use std::path::PathBuf;

use super::CommandFailure;
use crate::settings::{ConfigStore, ServeArgs, Settings};
use crate::source::sources::Sources;

/// Which metric stores there are.
#[derive(Debug, Default, clap::Args)]
pub(super) struct StoreArgs {
    /// Read from this Prometheus, or anything that speaks its API, in this process.
    #[arg(long, value_name = "URL", conflicts_with = "settings")]
    pub(super) prometheus: Option<String>,
    /// Read from the metric stores of this settings file, the one that `haldane serve` takes, in this process.
    #[arg(long, value_name = "FILE")]
    pub(super) settings: Option<PathBuf>,
    /// The metric store to read from, by its name in the settings. Not needed where there is one.
    #[arg(long, value_name = "SOURCE")]
    pub(super) source: Option<String>,
}

impl StoreArgs {
    /// Whether a metric store is named at all.
    pub(super) fn is_given(&self) -> bool {
        self.prometheus.is_some() || self.settings.is_some()
    }
}

/// The stores, and the configs that the settings file offers beside the shipped ones.
///
/// # Errors
/// [`CommandFailure::Usage`] for settings that do not work.
pub(super) fn open(args: &StoreArgs) -> Result<(Sources, ConfigStore), CommandFailure> {
    let args = ServeArgs { settings: args.settings.clone(), prometheus: args.prometheus.clone(), ..ServeArgs::default() };
    let invalid = |error: crate::settings::InvalidSettings| CommandFailure::usage(error.to_string());
    let settings = Settings::load(args).map_err(invalid)?;
    let sources = settings.open_sources().map_err(invalid)?;
    Ok((sources, settings.configs))
}
