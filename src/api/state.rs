//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haldane_judges::CheckedConfig;
use schemars::JsonSchema;
use serde::Serialize;

use super::limits::ServiceLimits;
use super::metrics::Metrics;
use super::record;
use crate::access::{Access, Requester};
use crate::analysis::{Analyst, JudgementObserver};
use crate::intake::Intake;
use crate::judgements::Judgements;
use crate::lint::{LintFinding, Severity, examine, merged};
use crate::replay::Recorder;
use crate::server::ConnectionCounts;
use crate::server::body::BodyReader;
use crate::settings::{BodyLimits, InvalidSettings, LiveConfigs, Settings};
use crate::source::cache::Source;

/// What the handlers share; one for each process.
#[derive(Debug)]
pub struct AppState {
    pub(crate) executions: Judgements,
    pub(crate) configs: LiveConfigs,
    pub(crate) bodies: BodyLimits,
    pub(crate) reader: BodyReader,
    pub(crate) limits: ServiceLimits,
    pub(crate) metrics: Metrics,
    /// What records every judgement, where that is wanted.
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) connections: ConnectionCounts,
    pub(crate) access: Arc<Access>,
    stopping: AtomicBool,
}

/// How a metric store is, as far as judgements have shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct SourceHealth {
    /// The name by which requests choose it.
    pub(super) name: String,
    /// Which store it is, such as `prometheus`.
    pub(super) kind: &'static str,
    /// Requests sent since the start, each try counted.
    pub(super) requests: u64,
    /// Those among them that were tries after the first.
    pub(super) retries: u64,
    /// Whether it answered the last request; `null` before the first.
    pub(super) answers: Option<bool>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
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
        let intake = Intake::new(settings.intake);
        let analyst = Analyst::new(settings.open_sources()?, settings.limits).observed_by(observing).within(intake.clone());
        let limits = ServiceLimits::of(&settings);
        let access = Access::open(&settings.access, settings.listen, &settings.id_key);
        let access = access.map_err(|(setting, error)| InvalidSettings::of_setting(setting, error))?;
        let metrics = Metrics::default();
        let observer = metrics.clone();
        let executions = Judgements::new(
            Arc::new(analyst),
            settings.id_key,
            settings.store.map(|store| store.within(intake.clone())),
            settings.executions,
            settings.links,
            Box::new(move |ending| {
                observer.judged(ending.as_deref());
                record::log(ending);
            }),
        );
        Ok(Arc::new(Self {
            executions,
            configs: LiveConfigs::new(settings.configs),
            bodies: settings.bodies,
            reader: BodyReader { limit: settings.bodies.bytes, pace: settings.bodies.pace, intake },
            limits,
            metrics,
            recorder,
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

    /// What is taken on, by every edge together.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.reader.intake
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

    /// What lint says of a config on offer without asking a store, gravest first; notes left out.
    pub(super) fn lint(&self, config: &CheckedConfig) -> Vec<LintFinding> {
        let mut findings = Vec::new();
        examine(config, None, &mut findings);
        let mut findings = merged(findings);
        findings.retain(|finding| finding.severity != Severity::Note);
        findings.sort_by_key(|finding| finding.severity);
        findings
    }

    /// How the metric stores are that the caller may read from, by name, as far as judgements have shown.
    pub(super) fn sources_of(&self, caller: &Requester) -> Vec<SourceHealth> {
        let health = |source: &Source| {
            let (traffic, last) = (source.traffic().unwrap_or_default(), source.health());
            SourceHealth {
                name: source.name().to_owned(),
                kind: source.kind(),
                requests: traffic.requests,
                retries: traffic.retries,
                answers: last.as_ref().map(Result::is_ok),
                error: last.and_then(Result::err).map(|error| error.to_string()),
            }
        };
        let sources = self.executions.analyst().sources().iter();
        sources.filter(|source| caller.may_use_source(source.name()).is_ok()).map(health).collect()
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
