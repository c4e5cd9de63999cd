//! What the handlers of this edge share.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRef;
use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::Semaphore;

use super::configs::Configs;
use super::interval::IntervalExecution;
use super::payload::RequestOrigin;
use super::reply::ErrorReply;
use crate::archive::Archive;
use crate::intake::Intake;
use crate::judgements::{Identity, Judgements, Key};
use crate::server::body::BodyReader;
use crate::settings::{BodyLimits, ConfigStore, InvalidSettings, KayentaSettings};
use crate::source::cache::Source;
use crate::source::sources::Sources;

/// Judgements that are remembered for the list.
const REMEMBERED: usize = 1_000;
/// Bytes of the judgements of analyses that are remembered.
const INTERVAL_BYTES: u64 = 64 << 20;
/// Cancellations of analyses that are remembered, and how long; judgements of analyses as long after they were asked for last.
const CANCELLED: u64 = 10_000;
const CANCELLED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Configs of a store whose lines in the list are remembered.
const CONFIG_LINES: u64 = 10_000;
/// Lists of executions and of configs that are put together at the same time: each holds every result on its page.
const LISTS: usize = 4;
/// How long the names of metrics are remembered.
const NAMES_FOR: Duration = Duration::from_secs(60);

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The edge's share of a process.
pub struct Edge {
    pub(crate) executions: Judgements,
    pub(crate) configs: Configs,
    pub(crate) storage_accounts: Vec<String>,
    pub(crate) bodies: BodyLimits,
    reader: BodyReader,
    pub(crate) clock: Clock,
    pub(crate) stopping: Box<dyn Fn() -> bool + Send + Sync>,
    recent: Mutex<VecDeque<RecentExecution>>,
    pub(crate) cancelled: Cache<Key, Timestamp>,
    /// One permit for each list of executions or configs that is put together.
    pub(crate) lists: Semaphore,
    /// The judgements of analyses that have ended, by the analysis and their place in it.
    pub(crate) intervals: Cache<(Key, u32), IntervalExecution>,
    /// The lines of the store's configs in their list, by their ids, each with the time of the document that it is of.
    pub(crate) config_lines: Cache<String, (Timestamp, serde_json::Value)>,
    /// The names of each account's metrics.
    pub(crate) metric_names: Cache<String, Vec<String>>,
}

/// The handlers' share in it.
pub type SharedEdge = Arc<Edge>;

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("executions", &self.executions).finish_non_exhaustive()
    }
}

impl FromRef<SharedEdge> for BodyLimits {
    fn from_ref(edge: &SharedEdge) -> Self {
        edge.bodies
    }
}

impl FromRef<SharedEdge> for BodyReader {
    fn from_ref(edge: &SharedEdge) -> Self {
        edge.reader.clone()
    }
}

/// An execution that was started here.
#[derive(Debug, Clone)]
pub(crate) struct RecentExecution {
    pub(crate) application: String,
    pub(crate) identity: Identity,
}

impl Edge {
    /// The edge over a process' executions. `stopping` tells whether the process is about to end.
    ///
    /// # Errors
    /// [`InvalidSettings`] for a config in Kayenta's format that cannot be used.
    pub fn new(
        executions: Judgements,
        configs: &ConfigStore,
        settings: KayentaSettings,
        bodies: BodyLimits,
        intake: Intake,
        store: Option<Archive>,
        stopping: Box<dyn Fn() -> bool + Send + Sync>,
    ) -> Result<Self, InvalidSettings> {
        let kinds = executions.analyst().sources().iter().map(|account| account.kind()).collect();
        let configs = Configs::new(configs, store, &kinds)?;
        Ok(Self {
            executions,
            configs,
            storage_accounts: settings.storage_accounts,
            bodies,
            reader: BodyReader { limit: bodies.bytes, pace: bodies.pace, intake },
            clock: Arc::new(Timestamp::now),
            stopping,
            recent: Mutex::default(),
            lists: Semaphore::new(LISTS),
            intervals: Cache::builder()
                .max_capacity(INTERVAL_BYTES)
                .weigher(|_: &(Key, u32), judgement: &IntervalExecution| judgement.weight())
                .time_to_idle(CANCELLED_FOR)
                .build(),
            config_lines: Cache::builder().max_capacity(CONFIG_LINES).build(),
            metric_names: Cache::builder().max_capacity(100).time_to_live(NAMES_FOR).build(),
            cancelled: Cache::builder().max_capacity(CANCELLED).time_to_live(CANCELLED_FOR).build(),
        })
    }

    /// Takes the configs of the folder as they are now.
    ///
    /// # Errors
    /// [`InvalidSettings`] for a config in Kayenta's format that cannot be used; those from before stay then.
    pub fn reload(&self, configs: &ConfigStore) -> Result<(), InvalidSettings> {
        let kinds = self.accounts().iter().map(|account| account.kind()).collect();
        self.configs.reload(configs, &kinds)
    }

    /// The same edge by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// What the process takes on.
    pub(crate) fn intake(&self) -> &Intake {
        &self.reader.intake
    }

    /// The store, if there is one.
    pub(crate) fn store(&self) -> Option<&Archive> {
        self.configs.store()
    }

    /// The store, or how to have one.
    pub(crate) fn store_or_refuse(&self, what: &str) -> Result<&Archive, ErrorReply> {
        self.store().ok_or_else(|| ErrorReply::bad_request(format!("{what}, for lack of a store; start the service with `--store URL`")))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Until when one question to a metric store is waited for.
    pub(crate) fn store_deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.executions.default_deadline()
    }

    pub(crate) fn accounts(&self) -> &Sources {
        self.executions.analyst().sources()
    }

    /// The account a request names to read metrics from, or the first that speaks one of `kinds`.
    pub(crate) fn metrics_account(&self, name: Option<&str>, kind: Option<&str>) -> Result<&Source, ErrorReply> {
        if let Some(name) = name {
            return self.accounts().iter().find(|account| account.name() == name).ok_or_else(|| self.unknown_account(name));
        }
        let speaks = |account: &&Source| kind.is_none_or(|kind| account.kind() == kind);
        self.accounts().iter().find(speaks).ok_or_else(|| {
            let what = kind
                .map_or_else(|| "no metrics account is configured".to_owned(), |kind| format!("no account of type `{kind}` is configured"));
            ErrorReply::bad_request(format!("{what}; add one under `sources` in the settings, or name another in `metricsAccountName`"))
        })
    }

    /// The account a request names to store things in, or the first there is. Any known name will do: Argo Rollouts sends one account's
    /// name in the place of another's.
    pub(crate) fn other_account(&self, name: Option<&str>) -> Result<Option<String>, ErrorReply> {
        match name {
            None => Ok(self.storage_accounts.first().cloned()),
            Some(name) => {
                let known =
                    self.storage_accounts.iter().any(|known| known == name) || self.accounts().iter().any(|account| account.name() == name);
                if known { Ok(Some(name.to_owned())) } else { Err(self.unknown_account(name)) }
            }
        }
    }

    fn unknown_account(&self, name: &str) -> ErrorReply {
        let shown: String = name.chars().take(60).collect();
        let known: Vec<&str> =
            self.accounts().iter().map(|account| account.name()).chain(self.storage_accounts.iter().map(String::as_str)).collect();
        ErrorReply::bad_request(format!(
            "unknown account `{shown}`; configured: {}; metric stores go under `sources` in the settings, and names of storage accounts \
             under `kayenta.storage_accounts`",
            known.join(", ")
        ))
    }

    /// Puts an execution on the list of those that were started, once.
    pub(crate) async fn remember(&self, origin: &RequestOrigin, identity: &Identity, created: Timestamp) {
        if let Some(store) = self.store() {
            // The execution itself is not lost by this.
            if let Err(error) = store.file_under(&origin.application, created, &identity.id).await {
                tracing::error!(%error, id = identity.id, "an execution is missing in the list of its application");
            }
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.iter().any(|one| one.identity.key == identity.key) {
            return;
        }
        recent.push_front(RecentExecution { application: origin.application.clone(), identity: identity.clone() });
        recent.truncate(REMEMBERED);
    }

    /// The executions that were started here, newest first.
    pub(crate) fn recent(&self, application: &str) -> Vec<RecentExecution> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().filter(|one| one.application == application).cloned().collect()
    }
}
