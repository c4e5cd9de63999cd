//! The canary configs on offer: those that ship with Haldane, and those of one folder, read once at the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use haldane_judges::config::MAX_CONFIG_BYTES;
use haldane_judges::text::nearest;
use haldane_judges::{CheckedConfig, ConfigProblem, catalog};
use serde::Serialize;

use super::error::InvalidSettings;
use super::file::read_bounded;

/// How deep below the folder configs are looked for.
const MAX_DEPTH: usize = 4;

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
pub struct ConfigStore(BTreeMap<String, Arc<ConfigEntry>>, Vec<KayentaFile>);

/// The configs on offer now: those that were read last.
#[derive(Debug)]
pub struct LiveConfigs(RwLock<Arc<ConfigStore>>);

impl LiveConfigs {
    /// These, until others are read.
    #[must_use]
    pub fn new(configs: ConfigStore) -> Self {
        Self(RwLock::new(Arc::new(configs)))
    }

    /// Those that are on offer now.
    #[must_use]
    pub fn current(&self) -> Arc<ConfigStore> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Others, from now on.
    pub fn replace(&self, configs: ConfigStore) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configs);
    }
}

/// A config in Kayenta's format, which its API alone reads.
#[derive(Debug, Clone, PartialEq)]
pub struct KayentaFile {
    /// The file it was read from.
    pub path: PathBuf,
    /// What it says.
    pub document: serde_json::Value,
    /// When it was last changed.
    pub modified: jiff::Timestamp,
}

fn kayenta_file(path: PathBuf, document: serde_json::Value) -> Result<KayentaFile, InvalidSettings> {
    let modified = std::fs::metadata(&path)
        .and_then(|file| file.modified())
        .map_err(|error| InvalidSettings::of_config(&path, format!("cannot be read: {error}")))?;
    Ok(KayentaFile { path, document, modified: jiff::Timestamp::try_from(modified).unwrap_or_default() })
}

/// Whether a file or folder is none of the user's, such as what Kubernetes puts beside a mounted volume's files.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Whether a document is a canary config as Kayenta writes them: it has fields that ours do not.
pub(crate) fn is_kayentas(document: &serde_json::Value) -> bool {
    let has = |value: &serde_json::Value, fields: &[&str]| fields.iter().any(|field| value.get(field).is_some());
    has(document, &["applications", "configVersion", "classifier", "templates"])
        || document["metrics"]
            .as_array()
            .is_some_and(|metrics| metrics.iter().any(|metric| has(metric, &["query", "analysisConfigurations", "scopeName"])))
}

impl ConfigStore {
    /// The configs that ship with Haldane.
    #[must_use]
    pub fn shipped() -> Self {
        let entry = |shipped: &catalog::ShippedConfig| {
            let config = catalog::shipped(shipped.name)?;
            let entry = ConfigEntry { origin: Origin::Shipped, config, text: shipped.yaml.to_owned(), file: None };
            Some((shipped.name.to_owned(), Arc::new(entry)))
        };
        Self(catalog::SHIPPED.iter().filter_map(entry).collect(), Vec::new())
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
        let entries = |folder: &Path| {
            let entries = std::fs::read_dir(folder)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
            entries.map_err(|error| unreadable(folder, error))
        };
        let mut files = entries(folder)?;
        let ending = |path: &Path| path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
        let below = files.iter().filter(|path| path.is_dir() && !is_hidden(path)).cloned().collect::<Vec<_>>();
        files.retain(|path| path.is_file() && matches!(ending(path).as_str(), "yaml" | "yml" | "json"));
        // As Kayenta lays its bucket out: a folder for each config, some folders down. Whatever else lies there is not ours.
        let mut nested = Vec::new();
        let mut folders: Vec<(PathBuf, usize)> = below.into_iter().map(|folder| (folder, 1)).collect();
        while let Some((folder, depth)) = folders.pop() {
            for path in entries(&folder)?.into_iter().filter(|path| !is_hidden(path)) {
                if path.is_dir() && depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                } else if path.is_file() && ending(&path) == "json" {
                    nested.push(path);
                }
            }
        }
        // The order of a folder is no order.
        files.sort();
        nested.sort();

        let mut store = Self::shipped();
        for path in files {
            let length = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?.len();
            let invalid = |problem| InvalidSettings { place: format!("config {}", path.display()), problem };
            if length > MAX_CONFIG_BYTES as u64 {
                let message = format!("{length} bytes is longer than a config may be ({MAX_CONFIG_BYTES}); split it");
                return Err(invalid(ConfigProblem::new("", message)));
            }
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            if path.extension().is_some_and(|extension| extension == "json")
                && let Ok(document) = serde_json::from_slice::<serde_json::Value>(crate::json::without_mark(text.as_bytes()))
                && is_kayentas(&document)
            {
                store.1.push(kayenta_file(path, document)?);
                continue;
            }
            let config = CheckedConfig::from_yaml(&text).map_err(|error| invalid(ConfigProblem::new("", error.to_string())))?;
            let name = config.name.clone();
            if let Some(ConfigEntry { origin: Origin::Directory, file: Some(other), .. }) = store.get(&name).map(Arc::as_ref) {
                let message = format!("`{name}` is the name of {} too; rename one of them", other.display());
                return Err(invalid(ConfigProblem::new("/name", message)));
            }
            store.0.insert(name, Arc::new(ConfigEntry { origin: Origin::Directory, config, text, file: Some(path) }));
        }
        for path in nested {
            let Ok(text) = read_bounded(&path) else { continue };
            if let Ok(document) = serde_json::from_slice::<serde_json::Value>(crate::json::without_mark(text.as_bytes()))
                && is_kayentas(&document)
            {
                store.1.push(kayenta_file(path, document)?);
            }
        }
        Ok(store)
    }

    /// The configs of the folder in Kayenta's format.
    #[must_use]
    pub fn kayentas(&self) -> &[KayentaFile] {
        &self.1
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
        let hint = match nearest(&shown, self.0.keys().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
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
    fn kayentas_configs_are_found_also_as_its_bucket_has_them_and_nothing_else_there() {
        let folder = tempfile::tempdir().unwrap();
        let kayentas = r#"{"name":"search","applications":["shop"],"metrics":[]}"#;
        let bucket = folder.path().join("kayenta/canary_config/0b1c");
        std::fs::create_dir_all(&bucket).unwrap();
        std::fs::create_dir_all(folder.path().join("..data")).unwrap();
        std::fs::create_dir_all(folder.path().join("kayenta/metrics")).unwrap();
        std::fs::write(folder.path().join("mine.json"), kayentas.replace("search", "mine")).unwrap();
        std::fs::write(folder.path().join("..data/mine.json"), kayentas).unwrap();
        std::fs::write(bucket.join("canary_config.json"), kayentas).unwrap();
        std::fs::write(folder.path().join("kayenta/metrics/list.json"), "[1, 2]").unwrap();
        let store = ConfigStore::with_directory(folder.path()).unwrap();
        let names: Vec<&str> = store.kayentas().iter().filter_map(|file| file.document["name"].as_str()).collect();
        assert_eq!(names, ["mine", "search"]);
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
