//! The metric stores that are spoken, as one type, and the settings that choose among them.

use std::time::Duration;

use haldane_judges::{ConfigProblem, document};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

#[cfg(feature = "datasets")]
use super::dataset;
use super::{datadog, http, prometheus};

use super::advice::{Advice, BoundsQuery};
use super::error::SourceError;
use super::explore::ExploreTemplate;
use super::query::{Query, Reply, Template};
use super::reader::StoreReader;

/// Longest time that windows may be kept from ending now.
const LONGEST_SETTLE: Duration = Duration::from_secs(24 * 3600);

/// Settings of one source: which store it is, and how to reach it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceSettings {
    /// Prometheus, or anything that speaks its query API: Thanos, Mimir, Cortex, VictoriaMetrics, managed ones.
    Prometheus(prometheus::PrometheusSettings),
    /// Datadog.
    Datadog(datadog::DatadogSettings),
    /// Files of recorded series below one folder.
    #[cfg(feature = "datasets")]
    Dataset(dataset::DatasetSettings),
}

impl SourceSettings {
    /// Reads the settings of one source.
    ///
    /// # Errors
    /// [`ConfigProblem`] with the field; what derives from the enum alone knows none, for the `kind` comes before everything else.
    pub fn read(mut settings: serde_json::Value) -> Result<Self, ConfigProblem> {
        let kind = settings.as_object_mut().and_then(|fields| fields.remove("kind"));
        match kind.as_ref().and_then(serde_json::Value::as_str) {
            Some("prometheus") => document::read(settings).map(Self::Prometheus),
            Some("datadog") => document::read(settings).map(Self::Datadog),
            #[cfg(feature = "datasets")]
            Some("dataset") => document::read(settings).map(Self::Dataset),
            _ => {
                // The derived reader has the words for what is wrong with the kind.
                if let (Some(fields), Some(kind)) = (settings.as_object_mut(), kind) {
                    fields.insert("kind".to_owned(), kind);
                }
                document::read(settings)
            }
        }
    }
}

/// A metric store, ready to be asked.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each source, behind an `Arc`")]
pub enum MetricStore {
    /// Speaks Prometheus' query API.
    Prometheus(prometheus::Prometheus),
    /// Speaks Datadog's metrics APIs.
    Datadog(datadog::Datadog),
    /// Reads recorded series.
    #[cfg(feature = "datasets")]
    Dataset(dataset::Dataset),
}

/// Settings that do not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source `{name}`: {message}")]
pub struct InvalidSource {
    /// The source whose settings they are.
    pub name: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl MetricStore {
    /// Makes a store ready: reads its secrets and builds its client. Nothing is asked yet.
    ///
    /// # Errors
    /// [`InvalidSource`] for a bad URL, a secret that cannot be read, a CA file that is none.
    pub fn open(source: &str, settings: &SourceSettings) -> Result<Self, InvalidSource> {
        let invalid = |message: String| InvalidSource { name: source.to_owned(), message };
        let store = match settings {
            SourceSettings::Prometheus(settings) => prometheus::Prometheus::open(source, settings).map(Self::Prometheus).map_err(invalid),
            SourceSettings::Datadog(settings) => datadog::Datadog::open(source, settings).map(Self::Datadog).map_err(invalid),
            #[cfg(feature = "datasets")]
            SourceSettings::Dataset(settings) => dataset::Dataset::open(settings).map(Self::Dataset).map_err(invalid),
        }?;
        if store.settle() > LONGEST_SETTLE {
            let message =
                format!("settle: {} h are more than a day, by which every judgement would lie back", store.settle().as_secs() / 3600);
            return Err(invalid(message));
        }
        Ok(store)
    }

    /// The store's name, under which configs keep their queries for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "prometheus",
            Self::Datadog(_) => "datadog",
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => "dataset",
        }
    }

    /// Page that opens a query for people, where the settings name one.
    #[must_use]
    pub fn explore(&self) -> Option<&ExploreTemplate> {
        match self {
            Self::Prometheus(store) => store.explore(),
            Self::Datadog(store) => store.explore(),
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => None,
        }
    }

    /// How long after its end a window may still gain samples.
    #[must_use]
    pub fn settle(&self) -> Duration {
        match self {
            Self::Prometheus(store) => store.settle(),
            Self::Datadog(store) => store.settle(),
            // What is recorded is complete.
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => Duration::ZERO,
        }
    }

    /// How the requests to it went; `None` where it is not reached over a network.
    #[must_use]
    pub fn traffic(&self) -> Option<http::Traffic> {
        match self {
            Self::Prometheus(store) => Some(store.traffic()),
            Self::Datadog(store) => Some(store.traffic()),
            #[cfg(feature = "datasets")]
            Self::Dataset(_) => None,
        }
    }
}

impl StoreReader for MetricStore {
    fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        match self {
            Self::Prometheus(store) => store.resolve(template),
            Self::Datadog(store) => store.resolve(template),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.resolve(template),
        }
    }

    fn advise(&self, query: &Query) -> Vec<Advice> {
        match self {
            Self::Prometheus(store) => store.advise(query),
            Self::Datadog(store) => store.advise(query),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.advise(query),
        }
    }

    fn depends_on_range(&self, text: &str) -> bool {
        match self {
            Self::Prometheus(store) => store.depends_on_range(text),
            Self::Datadog(store) => store.depends_on_range(text),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.depends_on_range(text),
        }
    }

    fn is_pointwise(&self, text: &str) -> bool {
        match self {
            Self::Prometheus(store) => store.is_pointwise(text),
            Self::Datadog(store) => store.is_pointwise(text),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.is_pointwise(text),
        }
    }

    fn without_buckets(&self) -> Option<&'static str> {
        match self {
            Self::Prometheus(store) => store.without_buckets(),
            Self::Datadog(store) => store.without_buckets(),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.without_buckets(),
        }
    }

    fn buckets(&self, query: &Query) -> Option<BoundsQuery> {
        match self {
            Self::Prometheus(store) => store.buckets(query),
            Self::Datadog(store) => store.buckets(query),
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.buckets(query),
        }
    }

    async fn fetch(&self, query: &Query, deadline: Instant) -> Result<Reply, SourceError> {
        match self {
            Self::Prometheus(store) => store.fetch(query, deadline).await,
            Self::Datadog(store) => store.fetch(query, deadline).await,
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.fetch(query, deadline).await,
        }
    }

    async fn metric_names(&self, deadline: Instant) -> Result<Vec<String>, SourceError> {
        match self {
            Self::Prometheus(store) => store.metric_names(deadline).await,
            Self::Datadog(store) => store.metric_names(deadline).await,
            #[cfg(feature = "datasets")]
            Self::Dataset(store) => store.metric_names(deadline).await,
        }
    }
}
