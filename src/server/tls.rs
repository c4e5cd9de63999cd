//! The certificate that the service shows to its callers, read again where its files change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::files::read_secret_file;
use crate::tls::install_provider;

/// Longest PEM file.
const MAX_PEM_BYTES: usize = 1 << 20;

/// Where the certificate lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the certificate, followed by those that lead to its authority.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// PEM file of the authorities whose certificates callers must show; `None` where they need none.
    pub client_ca: Option<PathBuf>,
}

impl TlsSettings {
    /// The files that are read.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// The certificate in use.
pub struct TlsIdentity {
    settings: TlsSettings,
    current: RwLock<Arc<rustls::ServerConfig>>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(settings: TlsSettings) -> Result<Self, String> {
        let current = RwLock::new(Arc::new(server_config(&settings)?));
        Ok(Self { settings, current })
    }

    /// Reads the files again, for connections from now on; where they cannot be used, those that were read before stay.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn reload(&self) -> Result<(), String> {
        let config = Arc::new(server_config(&self.settings)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn server_config(settings: &TlsSettings) -> Result<rustls::ServerConfig, String> {
    install_provider();
    let certificates = certificates(&settings.cert)?;
    let shown = settings.key.display();
    let pem = read_secret_file(&settings.key, MAX_PEM_BYTES).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| format!("`{shown}` holds no unencrypted private key in PEM"))?;
    let builder = rustls::ServerConfig::builder();
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(path)? {
                roots.add(certificate).map_err(|error| format!("`{}` holds no authority's certificate: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| format!("`{}` cannot be used: {error}", path.display()))?)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| format!("`{}` and `{shown}` do not go together: {error}", settings.cert.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let pem = read_secret_file(path, MAX_PEM_BYTES).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("`{shown}` holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
    }
}
