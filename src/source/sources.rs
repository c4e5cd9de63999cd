//! The configured metric stores, which callers choose by name.

use std::collections::BTreeMap;

use super::cache::{ReplyCache, Source};
use super::{InvalidSource, MetricStore, SourceSettings};

/// The configured metric stores, by name.
#[derive(Debug, Default)]
pub struct Sources {
    sources: BTreeMap<String, Source>,
    cache: ReplyCache,
}

/// A name that no source has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", unknown(name.as_deref(), known))]
pub struct UnknownSource {
    /// The name asked for, if any.
    pub name: Option<String>,
    /// The names there are.
    pub known: Vec<String>,
}

fn unknown(name: Option<&str>, known: &[String]) -> String {
    let known = if known.is_empty() { "none is configured".to_owned() } else { format!("configured: {}", known.join(", ")) };
    match name {
        Some(name) => format!("unknown source `{}`; {known}", name.chars().take(60).collect::<String>()),
        None => format!("the request names no source, and there is not exactly one to choose; {known}"),
    }
}

impl Sources {
    /// Makes every store ready, behind one cache.
    ///
    /// # Errors
    /// [`InvalidSource`] for the first whose settings do not work.
    pub fn open(settings: &BTreeMap<String, SourceSettings>, cache: ReplyCache) -> Result<Self, InvalidSource> {
        let sources = settings
            .iter()
            .map(|(name, settings)| Ok((name.clone(), Source::new(name, MetricStore::open(name, settings)?, &cache))))
            .collect::<Result<_, _>>()?;
        Ok(Self { sources, cache })
    }

    /// The source a request means: the one it names, or the only one there is.
    ///
    /// # Errors
    /// [`UnknownSource`] when there is no such source, or several and none is named.
    pub fn choose(&self, name: Option<&str>) -> Result<&Source, UnknownSource> {
        match name {
            Some(name) => self.sources.get(name),
            None if self.sources.len() == 1 => self.sources.values().next(),
            None => None,
        }
        .ok_or_else(|| UnknownSource { name: name.map(str::to_owned), known: self.sources.keys().cloned().collect() })
    }

    /// The sources, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// The replies that are kept.
    #[must_use]
    pub fn cache(&self) -> &ReplyCache {
        &self.cache
    }
}
