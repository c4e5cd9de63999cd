//! Files that a running service reads again: configs at a signal, tokens and certificates also when they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use crate::api::SharedState;
use crate::kayenta::SharedEdge;
use crate::server::TlsIdentity;
use crate::server::signals::Signals;
use crate::settings::ConfigStore;

/// Time between two looks at whether files of tokens and certificates have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is read again when the service is told to.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    pub(super) state: SharedState,
    pub(super) edge: SharedEdge,
    pub(super) configs_folder: Option<PathBuf>,
    pub(super) tls: Option<Arc<TlsIdentity>>,
    /// The files of tokens and certificates, and how they were before they were read first.
    pub(super) files: Vec<PathBuf>,
    pub(super) known: Vec<FileStamp>,
}

/// When a file was changed last, and how long it is; `None` while it is not there.
pub(super) type FileStamp = Option<(SystemTime, u64)>;

/// How files are now.
pub(super) fn stamps(files: &[PathBuf]) -> Vec<FileStamp> {
    files.iter().map(|file| std::fs::metadata(file).and_then(|file| Ok((file.modified()?, file.len()))).ok()).collect()
}

impl Reload {
    /// Reads everything again at each signal, and tokens and certificates when their files change.
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
                let now = stamps(&this.files);
                if told {
                    this.configs();
                }
                if told || now != before {
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
        let Some(folder) = &self.configs_folder else {
            info!("told to read files again, and no folder of configs is given");
            return;
        };
        let read = ConfigStore::with_directory(folder).and_then(|configs| self.edge.reload(&configs).map(|()| configs));
        match read {
            Ok(configs) => {
                info!(configs = configs.list().count(), kayenta_configs = configs.kayentas().len(), "the configs were read again");
                self.state.configs().replace(configs);
            }
            Err(error) => warn!(%error, "the configs were not taken; those from before stay in use"),
        }
    }
}
