//! Settings of access: tokens, TLS, the names and pages that the service answers to.

use std::path::{Path, PathBuf};

use clap::Args;
use haldane_judges::Period;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::InvalidSettings;
use crate::access::AccessSettings;
use crate::server::TlsSettings;

/// Flags of access.
#[derive(Debug, Clone, Default, Args)]
pub struct AccessArgs {
    /// File of tokens (YAML) of which each request needs one; `haldane token new` prints a line of it. It is read again when it changes.
    /// Without it everybody may ask everything.
    #[arg(long, env = "HALDANE_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Host name by which the service may be asked, such as `haldane.example`, `haldane.example:8443` or `*.svc.cluster.local`; may be
    /// given several times, or `*` for any [default: those of its own machine where it listens on a loopback address, and else any].
    #[arg(long = "allowed-host", env = "HALDANE_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Origin whose pages may ask from a browser, such as `https://deck.example`; may be given several times [default: none].
    #[arg(long = "cors-origin", env = "HALDANE_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// PEM file of the certificate that is shown to callers, followed by those that lead to its authority. Then nothing but TLS is spoken. It
    /// is read again when it changes.
    #[arg(long, env = "HALDANE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, env = "HALDANE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// PEM file of the authorities whose certificates callers must show.
    #[arg(long, env = "HALDANE_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// How long a signed link to a judgement holds [default: 7d].
    #[arg(long, env = "HALDANE_LINK_LIFETIME", value_name = "TIME")]
    pub link_lifetime: Option<Period>,
}

/// The access part of the settings file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccessSection {
    /// File of tokens of which each request needs one, relative to the settings file.
    tokens_file: Option<PathBuf>,
    /// Host names by which the service may be asked; `*` for any.
    allowed_hosts: Vec<String>,
    /// Origins whose pages may ask from a browser.
    cors_origins: Vec<String>,
    /// PEM file of the certificate that is shown to callers, relative to the settings file.
    tls_cert: Option<PathBuf>,
    /// PEM file of its private key, relative to the settings file.
    tls_key: Option<PathBuf>,
    /// PEM file of the authorities whose certificates callers must show, relative to the settings file.
    tls_client_ca: Option<PathBuf>,
    /// How long a signed link to a judgement holds, such as `7d`.
    link_lifetime: Option<Period>,
}

fn either<T>(flag: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flag.is_empty() { file } else { flag }
}

/// What flags and file come to; paths of the file are below `base`.
pub(super) fn read(args: AccessArgs, file: AccessSection, base: &Path) -> Result<(AccessSettings, Option<TlsSettings>), InvalidSettings> {
    let beside = |path: PathBuf| base.join(path);
    let default = AccessSettings::default();
    let link_lifetime = args.link_lifetime.or(file.link_lifetime).map_or(default.link_lifetime, Period::duration);
    if link_lifetime.is_zero() {
        return Err(InvalidSettings::at("link_lifetime", "0s is over at once; give at least 1m"));
    }
    let access = AccessSettings {
        tokens_file: args.tokens_file.or(file.tokens_file.map(beside)),
        allowed_hosts: either(args.allowed_hosts, file.allowed_hosts),
        cors_origins: either(args.cors_origins, file.cors_origins),
        link_lifetime,
    };
    let client_ca = args.tls_client_ca.or(file.tls_client_ca.map(beside));
    let tls = match (args.tls_cert.or(file.tls_cert.map(beside)), args.tls_key.or(file.tls_key.map(beside))) {
        (Some(cert), Some(key)) => Some(TlsSettings { cert, key, client_ca }),
        (None, None) if client_ca.is_none() => None,
        (None, _) => return Err(InvalidSettings::at("tls_cert", "is missing; TLS needs a certificate and its key")),
        (Some(_), None) => return Err(InvalidSettings::at("tls_key", "is missing; TLS needs a certificate and its key")),
    };
    Ok((access, tls))
}
