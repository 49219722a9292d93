//! Whom connections trust: the certificates of the platform.
//!
//! Invariant: nothing is read from outside after the start.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore};

use super::connect::HTTP2;

/// Protocols in the order in which they are preferred.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// The certificates that the platform trusts.
pub(super) fn platform_roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some platforms keep a few that nobody can parse.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.into_iter().next();
        let reason = reason.map_or_else(|| "there are none".to_owned(), |error| error.to_string());
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    Ok(roots)
}

/// TLS with whoever shows a certificate that `roots` vouch for.
pub(super) fn trusting(roots: RootCertStore) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}
