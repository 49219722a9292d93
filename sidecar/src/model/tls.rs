//! How a subscription's receiver is known by TLS beyond the platform's certificates: a further
//! authority, a certificate of our own. As PEM (RFC 7468), as their owner wrote them.
//!
//! Invariant: a private key is never written by `Debug`; only [`ClientKey::reveal`] shows it.
//! Whether what is written holds is checked where a connection would be made of it.

use std::fmt;

/// The settings; by default there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificates of authorities that are trusted besides the platform's.
    pub ca: Option<String>,
    /// Shown to receivers that ask who is there.
    pub client: Option<ClientIdentity>,
}

/// A certificate of our own and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, and those between it and its authority.
    pub certificate: String,
    /// Its private key.
    pub key: ClientKey,
}

/// A private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKey(String);

impl ClientKey {
    /// The key as its owner wrote it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for ClientKey {
    fn from(pem: String) -> Self {
        Self(pem)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(…)")
    }
}
