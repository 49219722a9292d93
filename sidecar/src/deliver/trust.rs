//! Whom connections trust and as whom they come: the certificates of the platform, and those of a
//! subscription.
//!
//! Invariant: nothing is read from outside after the start; no text of an error holds any of a key.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::connect::HTTP2;
use crate::model::{ClientIdentity, Tls};

/// Protocols in the order in which they are preferred.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// What is wrong with the settings of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFlaw {
    /// Which of them: `ca`, `client_certificate` or `client_key`.
    pub field: &'static str,
    /// In words.
    pub reason: String,
}

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

/// Whether connections can be made with these settings.
pub fn check(tls: &Tls) -> Result<(), TlsFlaw> {
    settings(&RootCertStore::empty(), tls).map(drop)
}

/// TLS with whoever shows a certificate that `roots` or the subscription's authorities vouch for.
pub(super) fn settings(roots: &RootCertStore, tls: &Tls) -> Result<Arc<ClientConfig>, TlsFlaw> {
    let mut roots = roots.clone();
    if let Some(ca) = &tls.ca {
        for certificate in certificates("ca", ca)? {
            let added = roots.add(certificate);
            added.map_err(|error| flaw("ca", format!("holds no authority: {error}")))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| flaw("ca", error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(ClientIdentity { certificate, key }) => {
            let chain = certificates("client_certificate", certificate)?;
            // What is wrong with a key is not quoted.
            let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
                .map_err(|_| flaw("client_key", "must be a private key as PEM"))?;
            let configured = builder.with_client_auth_cert(chain, key);
            configured.map_err(|error| flaw("client_key", said(&error)))?
        }
    };
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn said(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InconsistentKeys(_) => "must be the key of client_certificate",
        rustls::Error::InvalidCertificate(_) => "has no certificate that can be used",
        _ => "must be a private key of a kind that is known: RSA, ECDSA or Ed25519",
    }
}

fn certificates(field: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsFlaw> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|_| flaw(field, "must be certificates as PEM"))?;
    if found.is_empty() {
        return Err(flaw(field, "must hold a certificate as PEM"));
    }
    Ok(found)
}

fn flaw(field: &'static str, reason: impl Into<String>) -> TlsFlaw {
    TlsFlaw { field, reason: reason.into() }
}
