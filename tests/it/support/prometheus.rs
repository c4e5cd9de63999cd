//! A real Prometheus over blocks made from OpenMetrics text.

use std::path::Path;
use std::process::Command;

use super::process::Server;

/// A Prometheus that holds given samples. Its folder goes when it does.
#[derive(Debug)]
pub(crate) struct Prometheus {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Makes blocks of `openmetrics` and starts a Prometheus over them, which scrapes nothing.
    pub(crate) fn over(openmetrics: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("samples.txt"), openmetrics).expect("the samples are written");
        std::fs::write(path("prometheus.yml"), "global: {}\n").expect("the configuration is written");
        let (samples, data) = (path("samples.txt"), path("data"));
        let made = Command::new("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).args([&samples, &data]).output();
        let made = made.unwrap_or_else(|e| panic!("promtool cannot be started ({e}); `make tools` installs it"));
        assert!(made.status.success(), "promtool made no blocks: {}", String::from_utf8_lossy(&made.stderr));
        let server = Server::start(&path("log"), "/-/ready", |address| {
            let mut command = Command::new("prometheus");
            let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
            command
                .arg(flag("config.file", &path("prometheus.yml")))
                .arg(flag("storage.tsdb.path", &data))
                .arg(format!("--web.listen-address={address}"))
                // The samples are as old as they are; none is to be thrown away for it.
                .arg("--storage.tsdb.retention.time=100y")
                .arg("--log.level=warn");
            command
        });
        Self { server, _folder: folder }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }
}
