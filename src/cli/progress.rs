//! What a person sees while samples are fetched: on standard error, and only on a terminal.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::analysis::FetchProgress;

/// A line that is drawn over and over, and gone when it is dropped.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// Starts to draw. Indicatif draws nothing where standard error is no terminal; nor is one to be sent sequences that it does not want.
    pub(super) fn start(message: impl Into<Cow<'static, str>>) -> Self {
        let target = if output::takes_escapes() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// Shows how many metrics have arrived.
    pub(super) fn fetched(&self, progress: FetchProgress) {
        // Where every sample came with the request there is nothing to fetch.
        if progress.total == 0 {
            return;
        }
        if self.0.length().is_none() {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:24}] {pos} of {len} metrics") {
                self.0.set_style(style);
            }
            self.0.set_message("fetching");
            self.0.set_length(progress.total as u64);
        }
        self.0.set_position(progress.done as u64);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
