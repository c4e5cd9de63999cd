//! The one provider of cryptography that every TLS connection of the process uses.

use std::sync::Once;

/// Makes ring the provider of rustls, once. Whatever opens a connection comes through here first: a client without one panics.
pub(crate) fn install_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that somebody installed one already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
