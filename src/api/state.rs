//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::Metrics;
use crate::access::Access;
use crate::analysis::Analyst;
use crate::judgements::Judgements;
use crate::server::ConnectionCounts;
use crate::settings::{BodyLimits, InvalidSettings, LiveConfigs, Settings};

/// What the handlers share; one for each process.
#[derive(Debug)]
pub struct AppState {
    pub(crate) executions: Judgements,
    pub(crate) configs: LiveConfigs,
    pub(crate) bodies: BodyLimits,
    pub(crate) metrics: Metrics,
    pub(crate) connections: ConnectionCounts,
    pub(crate) access: Arc<Access>,
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
        let analyst = Arc::new(Analyst::new(settings.open_sources()?, settings.limits));
        let access = Access::open(&settings.access, settings.listen, &settings.id_key);
        let access = access.map_err(|(setting, error)| InvalidSettings::of_setting(setting, error))?;
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
            configs: LiveConfigs::new(settings.configs),
            bodies: settings.bodies,
            metrics,
            connections: ConnectionCounts::default(),
            access: Arc::new(access),
            stopping: AtomicBool::new(false),
        }))
    }

    /// The executions, for whoever has to wait for their end.
    #[must_use]
    pub fn executions(&self) -> &Judgements {
        &self.executions
    }

    /// What is counted of the connections of callers.
    #[must_use]
    pub fn connections(&self) -> &ConnectionCounts {
        &self.connections
    }

    /// Who may ask what.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The configs on offer, which may be read anew.
    #[must_use]
    pub fn configs(&self) -> &LiveConfigs {
        &self.configs
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
