//! The canary configs on offer in Kayenta's format: those of the config folder, which are there always, and a store for others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde_json::Value;

use crate::archive::Archive;
use crate::kayenta::reading::model::CanaryConfig;
use crate::kayenta::reading::native::{Surface, choose_judge};
use crate::kayenta::wire::refusal::shown as shown_text;
use crate::settings::{ConfigStore, InvalidSettings};

/// The configs on offer.
#[derive(Debug)]
pub(crate) struct Configs {
    /// Those of the folder, by id, as they were read last.
    fixed: RwLock<Arc<FolderConfigs>>,
    pub(crate) store: Option<Archive>,
}

/// The configs of the folder, by id.
pub(crate) type FolderConfigs = BTreeMap<String, FolderConfig>;

#[derive(Debug)]
pub(crate) struct FolderConfig {
    pub(crate) document: Value,
    pub(crate) updated: Timestamp,
    path: PathBuf,
}

/// What keeps a config from being run, as far as that shows without a request. It is on offer all the same: Kayenta has it too, and one
/// config that nobody uses is no reason not to start.
fn troubles(config: &CanaryConfig, kinds: &BTreeSet<&str>) -> Vec<String> {
    let mut troubles: Vec<String> = [config.check_for_storage().err(), choose_judge(config, Surface::Canary).err()]
        .into_iter()
        .flatten()
        .map(|refusal| refusal.message())
        .collect();
    let asked: BTreeSet<&str> = config.metrics.iter().map(|metric| metric.query.kind.as_str()).collect();
    troubles.extend(asked.difference(kinds).map(|kind| format!("its metrics ask a store of type `{kind}`, and no source is one")));
    troubles
}

/// Reads what the config folder holds in Kayenta's format. `kinds` are the types of the metric stores there are.
fn folder_configs(configs: &ConfigStore, kinds: &BTreeSet<&str>) -> Result<Arc<FolderConfigs>, InvalidSettings> {
    let mut fixed = BTreeMap::new();
    for file in configs.kayentas() {
        let config =
            CanaryConfig::from_value(file.document.clone()).map_err(|refusal| InvalidSettings::of_config(&file.path, refusal.message()))?;
        for trouble in troubles(&config, kinds) {
            tracing::warn!(file = %file.path.display(), trouble, "something is wrong with a canary config in Kayenta's format");
        }
        let id = if config.id.is_empty() { config.name.clone() } else { config.id.clone() };
        let mut document = file.document.clone();
        document["id"] = id.clone().into();
        let updated = config.updated_timestamp.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(file.modified);
        if let Some(other) = fixed.insert(id.clone(), FolderConfig { document, updated, path: file.path.clone() }) {
            let message = format!("/id: `{}` is the id of two configs; {} has it too", shown_text(&id), other.path.display());
            return Err(InvalidSettings::of_config(&file.path, message));
        }
    }
    Ok(Arc::new(fixed))
}

impl Configs {
    /// The configs of the folder, and those of a store.
    ///
    /// # Errors
    /// [`InvalidSettings`] for a config in Kayenta's format that cannot be used.
    pub(crate) fn new(configs: &ConfigStore, store: Option<Archive>, kinds: &BTreeSet<&str>) -> Result<Self, InvalidSettings> {
        Ok(Self { fixed: RwLock::new(folder_configs(configs, kinds)?), store })
    }

    /// Takes the configs of the folder as they are now; where one cannot be used, those from before stay.
    ///
    /// # Errors
    /// Those of [`Configs::new`].
    pub(crate) fn reload(&self, configs: &ConfigStore, kinds: &BTreeSet<&str>) -> Result<(), InvalidSettings> {
        let fixed = folder_configs(configs, kinds)?;
        *self.fixed.write().unwrap_or_else(PoisonError::into_inner) = fixed;
        Ok(())
    }

    /// The configs of the folder.
    pub(crate) fn fixed(&self) -> Arc<FolderConfigs> {
        Arc::clone(&self.fixed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The store, if there is one.
    pub(crate) fn store(&self) -> Option<&Archive> {
        self.store.as_ref()
    }
}
