//! The canary configs on offer: those that ship with Haldane, and those of one folder, read once at the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haldane_judges::config::MAX_CONFIG_BYTES;
use haldane_judges::{CheckedConfig, ConfigProblem, catalog};
use serde::Serialize;

use super::InvalidSettings;

/// Where a config comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It ships with Haldane.
    Shipped,
    /// It was read from the folder given by `--configs`.
    Directory,
}

/// A config on offer.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigEntry {
    /// Where it comes from.
    pub origin: Origin,
    /// The config.
    pub config: CheckedConfig,
    /// Its text as it was written, comments included.
    pub text: String,
    /// The file it was read from.
    pub file: Option<PathBuf>,
}

/// The configs on offer, by name.
#[derive(Debug, Clone)]
pub struct ConfigStore(BTreeMap<String, Arc<ConfigEntry>>);

impl ConfigStore {
    /// The configs that ship with Haldane.
    #[must_use]
    pub fn shipped() -> Self {
        let entry = |shipped: &catalog::Shipped| {
            let config = catalog::shipped(shipped.name)?;
            let entry = ConfigEntry { origin: Origin::Shipped, config, text: shipped.yaml.to_owned(), file: None };
            Some((shipped.name.to_owned(), Arc::new(entry)))
        };
        Self(catalog::SHIPPED.iter().filter_map(entry).collect())
    }

    /// The shipped configs and those of a folder, which replace shipped ones of the same name.
    ///
    /// # Errors
    /// [`InvalidSettings`] for a folder or file that cannot be read, a config that cannot be used, and two files with one name.
    pub fn with_directory(folder: &Path) -> Result<Self, InvalidSettings> {
        let unreadable = |path: &Path, error: std::io::Error| InvalidSettings {
            place: format!("configs {}", path.display()),
            problem: ConfigProblem::new("", format!("cannot be read: {error}")),
        };
        let mut files = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>())
            .map_err(|error| unreadable(folder, error))?;
        files.retain(|path| path.is_file() && matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json")));
        // The order of a folder is no order.
        files.sort();

        let mut store = Self::shipped();
        for path in files {
            let length = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?.len();
            let invalid = |problem| InvalidSettings { place: format!("config {}", path.display()), problem };
            if length > MAX_CONFIG_BYTES as u64 {
                let message = format!("{length} bytes is longer than a config may be ({MAX_CONFIG_BYTES}); split it");
                return Err(invalid(ConfigProblem::new("", message)));
            }
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            let config = CheckedConfig::from_yaml(&text).map_err(|error| invalid(ConfigProblem::new("", error.to_string())))?;
            let name = config.name.clone();
            if let Some(ConfigEntry { origin: Origin::Directory, file: Some(other), .. }) = store.get(&name).map(Arc::as_ref) {
                let message = format!("`{name}` is the name of {} too; rename one of them", other.display());
                return Err(invalid(ConfigProblem::new("/name", message)));
            }
            store.0.insert(name, Arc::new(ConfigEntry { origin: Origin::Directory, config, text, file: Some(path) }));
        }
        Ok(store)
    }

    /// The config of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<ConfigEntry>> {
        self.0.get(name)
    }

    /// Every config, by name.
    pub fn list(&self) -> impl Iterator<Item = (&str, &Arc<ConfigEntry>)> {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The configs of the folder that took the place of a shipped one.
    pub fn replaced(&self) -> impl Iterator<Item = &Arc<ConfigEntry>> {
        self.0
            .values()
            .filter(|entry| entry.origin == Origin::Directory && catalog::SHIPPED.iter().any(|shipped| shipped.name == entry.config.name))
    }

    /// What to say when there is no config of that name.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        let shown: String = name.chars().take(60).collect();
        let nearest = self
            .0
            .keys()
            .map(|known| (strsim::damerau_levenshtein(&shown, known), known))
            .min()
            .filter(|(distance, known)| *distance <= 1 + known.len() / 3);
        let hint = match nearest {
            Some((_, known)) => format!("did you mean `{known}`?"),
            None if self.0.is_empty() => "there is none on offer; give one inline".to_owned(),
            None => format!("on offer: {}", self.0.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        format!("unknown config `{shown}`; {hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> String {
        format!("# why\nname: {name}\nmetrics:\n  - name: latency\n")
    }

    #[test]
    fn a_folder_is_read_and_a_near_name_suggested() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), config("checkout")).unwrap();
        std::fs::write(folder.path().join("b.json"), r#"{"name":"search","metrics":[{"name":"latency"}]}"#).unwrap();
        std::fs::write(folder.path().join("README.md"), "not a config").unwrap();
        let store = ConfigStore::with_directory(folder.path()).unwrap();
        let entry = store.get("checkout").unwrap();
        assert_eq!((entry.origin, entry.text.starts_with("# why")), (Origin::Directory, true));
        assert!(store.get("search").is_some());
        assert_eq!(store.unknown("chekcout"), "unknown config `chekcout`; did you mean `checkout`?");
    }

    #[test]
    fn one_name_in_two_files_and_a_bad_config_are_refused_by_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), config("checkout")).unwrap();
        std::fs::write(folder.path().join("b.yml"), config("checkout")).unwrap();
        let error = ConfigStore::with_directory(folder.path()).unwrap_err().to_string();
        assert!(error.contains("b.yml") && error.contains("a.yaml") && error.contains("/name"), "{error}");
        std::fs::write(folder.path().join("b.yml"), "name: x\nmetrics: []\n").unwrap();
        let error = ConfigStore::with_directory(folder.path()).unwrap_err().to_string();
        assert!(error.contains("b.yml") && error.contains("/metrics"), "{error}");
        assert!(ConfigStore::with_directory(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_file_replaces_a_shipped_config_of_its_name() {
        for shipped in catalog::SHIPPED {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("mine.yaml"), config(shipped.name)).unwrap();
            let store = ConfigStore::with_directory(folder.path()).unwrap();
            assert_eq!(store.replaced().map(|entry| entry.config.name.as_str()).collect::<Vec<_>>(), [shipped.name]);
        }
    }
}
