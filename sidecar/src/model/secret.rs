//! A signing secret: `whsec_` and the base64 of 24 to 64 bytes (Standard Webhooks, *Signature
//! scheme*).
//!
//! Invariant: it is never written by `Debug`; only [`Secret::reveal`] shows it.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use thiserror::Error;

/// The key with which the deliveries of a subscription are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Text that is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSecret {
    /// The prefix is missing.
    #[error("must begin with whsec_")]
    Prefix,
    /// What follows the prefix is not base64.
    #[error("must be base64 after whsec_")]
    Base64,
    /// Too short to be safe, or longer than the specification allows.
    #[error("must hold 24 to 64 bytes")]
    Length,
}

impl Secret {
    const PREFIX: &'static str = "whsec_";

    /// A secret of 32 bytes drawn by `dice`, which must be a cryptographic generator.
    pub fn generate(mut dice: impl FnMut() -> u64) -> Self {
        Self((0..4).flat_map(|_| dice().to_le_bytes()).collect())
    }

    /// The key itself, for signing.
    pub fn key(&self) -> &[u8] {
        &self.0
    }

    /// The secret as its owner writes it, `whsec_…`.
    pub fn reveal(&self) -> String {
        format!("{}{}", Self::PREFIX, STANDARD.encode(&self.0))
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(InvalidSecret::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?;
        if !(24..=64).contains(&key.len()) {
            return Err(InvalidSecret::Length);
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written_as_its_owner_writes_it() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret: Secret = text.parse().unwrap();
        assert_eq!(secret.reveal(), text);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_generated_one_holds_32_bytes() {
        let mut seed = 0;
        let secret = Secret::generate(|| {
            seed += 1;
            seed
        });
        assert_eq!(secret.key().len(), 32);
        assert_eq!(secret.reveal().parse(), Ok(secret));
    }

    #[test]
    fn refuses_what_is_not_one() {
        for (text, reason) in [
            ("", InvalidSecret::Prefix),
            ("secret", InvalidSecret::Prefix),
            ("whsec_…", InvalidSecret::Base64),
            ("whsec_c2hvcnQ=", InvalidSecret::Length),
        ] {
            assert_eq!(text.parse::<Secret>(), Err(reason), "{text}");
        }
    }
}
