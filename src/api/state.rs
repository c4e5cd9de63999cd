//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::Metrics;
use crate::analysis::{Analyst, JudgementObserver};
use crate::judgements::Judgements;
use crate::replay::Recorder;
use crate::settings::{BodyLimits, ConfigStore, InvalidSettings, Settings};

/// What the handlers share; one for each process.
#[derive(Debug)]
pub struct AppState {
    pub(crate) executions: Judgements,
    pub(crate) configs: ConfigStore,
    pub(crate) bodies: BodyLimits,
    pub(crate) metrics: Metrics,
    /// What records every judgement, where that is wanted.
    pub(crate) recorder: Option<Arc<Recorder>>,
    stopping: AtomicBool,
}

/// The handlers' share in it.
pub type SharedState = Arc<AppState>;

impl AppState {
    /// Makes the metric stores ready and puts everything together. Nothing is asked of a store yet.
    ///
    /// # Errors
    /// [`InvalidSettings`] when a store's settings do not work.
    pub fn new(settings: Settings) -> Result<SharedState, InvalidSettings> {
        let recorder = settings.start_recorder()?;
        let observing = recorder.clone().map(|recorder| recorder as Arc<dyn JudgementObserver>);
        let analyst = Arc::new(Analyst::new(settings.open_sources()?, settings.limits).observed_by(observing));
        let metrics = Metrics::default();
        let observer = metrics.clone();
        let executions = Judgements::new(
            analyst,
            settings.id_key,
            settings.store,
            settings.executions,
            Box::new(move |ending| observer.judged(ending.as_deref())),
        );
        Ok(Arc::new(Self {
            executions,
            configs: settings.configs,
            bodies: settings.bodies,
            metrics,
            recorder,
            stopping: AtomicBool::new(false),
        }))
    }

    /// The executions, for whoever has to wait for their end.
    #[must_use]
    pub fn executions(&self) -> &Judgements {
        &self.executions
    }

    /// Says that the service is about to stop: from now on `/health/ready` answers 503.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the service is about to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
