//! Files that a running service reads again, at a signal and when they change: configs, tokens and certificates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use crate::api::SharedState;
use crate::kayenta::SharedEdge;
use crate::server::TlsIdentity;
use crate::server::signals::Signals;
use crate::settings::ConfigStore;

/// Time between two looks at whether files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is read again when the service is told to.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    pub(super) state: SharedState,
    pub(super) edge: SharedEdge,
    pub(super) tls: Option<Arc<TlsIdentity>>,
    pub(super) watched: WatchedFiles,
    /// How the files were before they were read first.
    pub(super) known: FileStamps,
}

/// What is looked at.
#[derive(Debug, Clone)]
pub(super) struct WatchedFiles {
    /// Files of tokens and certificates.
    pub(super) credentials: Vec<PathBuf>,
    /// The folder of configs.
    pub(super) configs: Option<PathBuf>,
}

/// How files are at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileStamps {
    credentials: Vec<FileStamp>,
    configs: BTreeMap<PathBuf, FileStamp>,
}

/// When a file was changed last, and how long it is; `None` while it is not there.
type FileStamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> FileStamp {
    std::fs::metadata(file).and_then(|file| Ok((file.modified()?, file.len()))).ok()
}

impl WatchedFiles {
    /// How the files are now.
    pub(super) fn stamps(&self) -> FileStamps {
        // Of a mounted ConfigMap the files are links, by way of one that is replaced when they all change.
        let entries = self.configs.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let configs = entries.map(|entry| entry.path()).map(|path| (path.clone(), stamp(&path))).collect();
        FileStamps { credentials: self.credentials.iter().map(|file| stamp(file)).collect(), configs }
    }
}

impl Reload {
    /// Reads everything again at each signal, and what has changed when it does.
    pub(super) async fn whenever(self, mut signals: Signals) {
        let mut known = self.known.clone();
        let this = Arc::new(self);
        loop {
            let told = tokio::select! {
                () = signals.reload() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let (this, before) = (Arc::clone(&this), known.clone());
            // Files are read on a thread for that, and looked at before they are: what changes meanwhile is seen the next time.
            let read = tokio::task::spawn_blocking(move || {
                let now = this.watched.stamps();
                if told || now.configs != before.configs {
                    this.configs();
                }
                if told || now.credentials != before.credentials {
                    this.credentials();
                }
                now
            });
            match read.await {
                Ok(now) => known = now,
                Err(error) => warn!(%error, "reading files again broke off"),
            }
        }
    }

    /// Tokens and certificates as they are now; where one cannot be used, those from before stay.
    fn credentials(&self) {
        self.state.access().reload();
        if let Some(tls) = &self.tls {
            self.state.access().note("tls_cert", tls.reload());
        }
    }

    /// The configs as they are now; where one cannot be used, all from before stay.
    fn configs(&self) {
        let Some(folder) = &self.watched.configs else {
            info!("told to read files again, and no folder of configs is given");
            return;
        };
        let read = ConfigStore::with_directory(folder).and_then(|configs| self.edge.reload(&configs).map(|()| configs));
        let taken = read.map(|configs| {
            info!(configs = configs.list().count(), kayenta_configs = configs.kayentas().len(), "the configs were read again");
            self.state.configs().replace(configs);
        });
        self.state.access().note("configs", taken.map_err(|error| error.to_string()));
    }
}
