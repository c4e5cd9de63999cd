//! What is known of access, and how it is read again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderValue;
use prometheus_client::registry::Registry;

use super::counts::AccessCounts;
use super::hosts::HostRule;
use super::origins::OriginRule;
use super::table::TokenTable;
use crate::judgements::{IdKey, LinkKey};

/// What settings say of access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// File of tokens; without one everybody may ask everything.
    pub tokens_file: Option<PathBuf>,
    /// Names by which the service may be asked for, beside those of its own machine.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may ask.
    pub cors_origins: Vec<String>,
    /// How long a signed link holds.
    pub link_lifetime: Duration,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self { tokens_file: None, allowed_hosts: Vec::new(), cors_origins: Vec::new(), link_lifetime: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Who may ask what.
#[derive(Debug)]
pub struct Access {
    tokens_file: Option<PathBuf>,
    /// `None` where there is no file of them.
    tokens: RwLock<Option<Arc<TokenTable>>>,
    pub(super) hosts: HostRule,
    pub(super) origins: OriginRule,
    pub(super) links: LinkKey,
    link_lifetime: Duration,
    pub(super) counts: AccessCounts,
    /// Why files that were changed are not in use, by what they are.
    troubles: Mutex<Vec<(&'static str, String)>>,
}

impl Access {
    /// Reads the file of tokens.
    ///
    /// # Errors
    /// The setting, and what is wrong with it.
    pub fn open(settings: &AccessSettings, listen: SocketAddr, key: &IdKey) -> Result<Self, (&'static str, String)> {
        let placed = |path: &Path, error| ("tokens_file", format!("`{}` {error}", path.display()));
        let tokens = settings.tokens_file.as_deref().map(|path| TokenTable::read(path, None).map_err(|error| placed(path, error)));
        let tokens = tokens.transpose()?;
        let counts = AccessCounts::default();
        counts.tokens(tokens.as_ref().map_or(0, TokenTable::len));
        Ok(Self {
            tokens_file: settings.tokens_file.clone(),
            tokens: RwLock::new(tokens.map(Arc::new)),
            hosts: HostRule::new(&settings.allowed_hosts, listen),
            origins: OriginRule::new(&settings.cors_origins).map_err(|error| ("cors_origin", error))?,
            links: LinkKey::of(key),
            link_lifetime: settings.link_lifetime,
            counts,
            troubles: Mutex::default(),
        })
    }

    pub(super) fn tokens(&self) -> Option<Arc<TokenTable>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether tokens are needed, and how many are known.
    #[must_use]
    pub fn known_tokens(&self) -> Option<usize> {
        self.tokens().map(|tokens| tokens.len())
    }

    /// Reads the file of tokens again; where it cannot be used, those from before stay.
    pub fn reload(&self) {
        let Some(path) = &self.tokens_file else { return };
        match TokenTable::read(path, self.tokens().as_deref()) {
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "the tokens were read again");
                self.counts.tokens(tokens.len());
                *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(tokens));
                self.note("tokens_file", Ok(()));
            }
            Err(error) => self.note("tokens_file", Err(format!("`{}` {error}", path.display()))),
        }
    }

    /// Notes whether a file that was read again is in use.
    pub fn note(&self, what: &'static str, outcome: Result<(), String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|(known, _)| *known != what);
        if let Err(error) = outcome {
            tracing::warn!(error, "{what} was not taken; what it said before stays in use");
            troubles.push((what, error));
        }
        self.counts.stale(!troubles.is_empty());
    }

    /// Why files that were changed are not in use.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().map(|(what, error)| format!("{what}: {error}; what it said before stays in use")).collect()
    }

    /// The origins whose pages may ask, as header values.
    #[must_use]
    pub fn cors_origins(&self) -> Vec<HeaderValue> {
        self.origins.values()
    }

    /// The path and query of a link to a judgement that needs no token, and when it ends.
    #[must_use]
    pub fn link(&self, id: &str) -> (String, jiff::Timestamp) {
        self.links.link(id, jiff::Timestamp::now(), self.link_lifetime)
    }

    /// The metrics of access.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.counts.registry()
    }
}
