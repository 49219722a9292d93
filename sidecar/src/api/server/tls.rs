//! TLS at a place to listen: as whom it answers, and whom it lets in.
//!
//! The files are read again while it serves, so that a certificate is renewed without a restart.
//!
//! Invariant: what is in use was whole and fitted together when it was read; files of which this
//! is not true change nothing, and are complained of once.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::config::{IngestTls, tls};

/// Between two looks at the files.
const PAUSE: Duration = Duration::from_secs(2);

/// Protocols in the order in which they are preferred (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("configuration key {key}: {}: {reason}", .path.display())]
pub struct Unusable {
    key: &'static str,
    path: PathBuf,
    reason: String,
}

/// Certificates that are kept up to date with their files.
pub struct Certificates {
    files: IngestTls,
    current: RwLock<Arc<ServerConfig>>,
    /// What was found at the last look, whether it could be used or not.
    last: Mutex<Found>,
}

/// What tells one content of the files from another: its digest, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Content([u8; 32]),
    Nothing(Unusable),
}

/// What is in the files.
struct Content<'a> {
    files: &'a IngestTls,
    certificate: Vec<u8>,
    key: SecretSlice<u8>,
    client_ca: Option<(&'a Path, Vec<u8>)>,
}

impl Certificates {
    /// Reads the files for the first time.
    pub fn open(files: IngestTls) -> Result<Self, Unusable> {
        let content = Content::read(&files)?;
        let (current, last) = (content.settings()?, Found::Content(content.digest()));
        warn_of_readers(&files.key);
        let (current, last) = (RwLock::new(Arc::new(current)), Mutex::new(last));
        Ok(Self { files, current, last })
    }

    /// Looks at the files now and then, without end.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let this = Arc::clone(&self);
            // Files may be on a network.
            if let Err(error) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%error, "failed to look at the certificates");
            }
        }
    }

    /// Agrees on TLS with whoever is at the other end, in time.
    pub(super) async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        limit: Duration,
    ) -> io::Result<TlsStream<S>> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let agreeing = TlsAcceptor::from(current).accept(stream);
        timeout(limit, agreeing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Takes over what is in the files if it is new and can be used.
    fn look(&self) {
        let content = Content::read(&self.files);
        let found = match &content {
            Ok(content) => Found::Content(content.digest()),
            Err(unusable) => Found::Nothing(unusable.clone()),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == found {
            return;
        }
        *last = found;
        match content.and_then(|content| content.settings()) {
            Ok(settings) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
                tracing::info!(certificate = %self.files.certificate.display(), "took over changed certificates");
                warn_of_readers(&self.files.key);
            }
            Err(unusable) => {
                tracing::warn!(error = %unusable, "cannot use changed certificates, and keeps the earlier ones");
            }
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<'a> Content<'a> {
    fn read(files: &'a IngestTls) -> Result<Self, Unusable> {
        let read = |key, path: &Path| {
            fs::read(path).map_err(|error| unusable(key, path, error.to_string()))
        };
        Ok(Self {
            files,
            certificate: read(tls::CERTIFICATE, &files.certificate)?,
            key: read(tls::KEY, &files.key)?.into(),
            client_ca: match files.client_ca.as_deref() {
                Some(path) => Some((path, read(tls::CLIENT_CA, path)?)),
                None => None,
            },
        })
    }

    fn digest(&self) -> [u8; 32] {
        let client_ca = self.client_ca.as_ref().map(|(_, pem)| pem.as_slice());
        let parts = [&*self.certificate, self.key.expose_secret(), client_ca.unwrap_or_default()];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(Sha256::digest(part));
        }
        digest.finalize().into()
    }

    fn settings(&self) -> Result<ServerConfig, Unusable> {
        let wrong_key = |reason: &str| unusable(tls::KEY, &self.files.key, reason.to_owned());
        let chain = certificates(tls::CERTIFICATE, &self.files.certificate, &self.certificate)?;
        // What is wrong with a key is not quoted.
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret())
            .map_err(|_| wrong_key("must hold a private key as PEM"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong_key(&error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some((path, pem)) => builder.with_client_cert_verifier(verifier(path, pem, provider)?),
        };
        let mut settings = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                wrong_key("must be the key of ingest_tls_certificate")
            }
            rustls::Error::InvalidCertificate(_) => {
                let reason = "has no certificate that can be used".to_owned();
                unusable(tls::CERTIFICATE, &self.files.certificate, reason)
            }
            _ => wrong_key("must be of a kind that is known: RSA, ECDSA or Ed25519"),
        })?;
        settings.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // Every connection shows its certificate: none is let in for what an earlier one had.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        Ok(settings)
    }
}

/// Asks whoever comes for a certificate of the authorities in `pem`.
fn verifier(
    path: &Path,
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
    let no_authority = |error: &dyn fmt::Display| {
        unusable(tls::CLIENT_CA, path, format!("holds no authority: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(tls::CLIENT_CA, path, pem)? {
        roots.add(certificate).map_err(|error| no_authority(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().map_err(|error| no_authority(&error))
}

fn certificates(
    key: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(unusable(key, path, "must hold a certificate as PEM".to_owned())),
    }
}

fn unusable(key: &'static str, path: &Path, reason: String) -> Unusable {
    Unusable { key, path: path.to_owned(), reason }
}

fn warn_of_readers(key: &Path) {
    if fs::metadata(key).is_ok_and(|found| found.mode() & 0o007 != 0) {
        tracing::warn!(
            key = %key.display(),
            "everybody on this machine can read the key of ingest_tls_certificate (chmod o= it)"
        );
    }
}
