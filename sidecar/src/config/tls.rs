//! The files by which `/ingest` shows over TLS who it is, and by which it knows gateways.
//!
//! Invariant: the paths are absolute, so that they do not depend on the folder in which the process
//! was started; a certificate has its key. What is in the files is read where they are used.

use std::path::PathBuf;

use super::{Error, Listen, wrong};

/// The key of the certificate.
pub const CERTIFICATE: &str = "ingest_tls_certificate";
/// The key of its private key.
pub const KEY: &str = "ingest_tls_key";
/// The key of the authority of gateways.
pub const CLIENT_CA: &str = "ingest_tls_client_ca";

/// Files in PEM (RFC 7468).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestTls {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority of gateways: one that cannot show a certificate of it is not let in.
    pub client_ca: Option<PathBuf>,
}

impl IngestTls {
    /// Reads the three keys, for what listens at `listen`.
    pub(super) fn read(
        certificate: Option<String>,
        key: Option<String>,
        client_ca: Option<String>,
        listen: Option<&Listen>,
    ) -> Result<Option<Self>, Error> {
        let certificate = path(CERTIFICATE, certificate)?;
        let key = path(KEY, key)?;
        let client_ca = path(CLIENT_CA, client_ca)?;
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(needed(KEY, CERTIFICATE)),
            (None, Some(_)) => return Err(needed(CERTIFICATE, KEY)),
            (None, None) if client_ca.is_some() => return Err(needed(CERTIFICATE, CLIENT_CA)),
            (None, None) => return Ok(None),
        };
        match listen {
            Some(Listen::Tcp(_)) => Ok(Some(Self { certificate, key, client_ca })),
            Some(Listen::Unix(_)) => {
                Err(wrong(CERTIFICATE, "has no use at a Unix socket, which no network reaches"))
            }
            None => Err(wrong(CERTIFICATE, "needs ingest_listen, a place for gateways alone")),
        }
    }
}

fn path(key: &'static str, text: Option<String>) -> Result<Option<PathBuf>, Error> {
    let Some(text) = text else { return Ok(None) };
    let path = PathBuf::from(&text);
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(wrong(key, format!("{text:?}: must be an absolute path")))
    }
}

fn needed(key: &str, because_of: &str) -> Error {
    wrong(key, format!("must be set, for {because_of} is"))
}
