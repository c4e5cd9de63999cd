//! The program itself.

use std::process::Command;

/// Held by tests that keep the whole machine busy, or that would fail where another does.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A command that runs it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    // Whatever the person who runs the tests has set for their own Haldane.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HALDANE_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command
}

/// A client, which wants a provider although nothing here speaks TLS.
pub(crate) fn client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
