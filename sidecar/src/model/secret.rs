//! A signing secret (Standard Webhooks, *Signature scheme*): `whsec_` and the base64 of 24 to 64 bytes
//! for HMAC-SHA256, or `whsk_` and the base64 of an ed25519 seed and its public key.
//!
//! Invariant: it is never written by `Debug`; only [`Secret::reveal`] shows it.

use std::{fmt, str::FromStr};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The key with which the deliveries of a subscription are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Hmac(Vec<u8>),
    Ed25519(Box<SigningKey>),
}

/// How it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// HMAC-SHA256: whoever verifies must know the secret.
    #[default]
    V1,
    /// ed25519: whoever verifies needs the public key alone.
    V1a,
}

impl Scheme {
    /// Both, with the names by which they are asked for.
    pub const NAMES: [(&'static str, Self); 2] = [("v1", Self::V1), ("v1a", Self::V1a)];

    /// The name by which it is asked for, and that stands before a signature.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }

    /// What its secrets begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::V1 => "whsec_",
            Self::V1a => "whsk_",
        }
    }
}

/// The key itself.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// Of [`Scheme::V1`].
    Hmac(&'a [u8]),
    /// Of [`Scheme::V1a`].
    Ed25519(&'a SigningKey),
}

/// Text that is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSecret {
    /// The prefix is missing.
    #[error("must begin with whsec_ (v1) or whsk_ (v1a)")]
    Prefix,
    /// What follows the prefix is not base64.
    #[error("must be base64 after its prefix")]
    Base64,
    /// Too short to be safe, or longer than the specification allows.
    #[error("must hold 24 to 64 bytes")]
    Length,
    /// Not a seed and a public key.
    #[error("must hold 64 bytes after whsk_: the seed and its public key")]
    Seed,
    /// The public key is another seed's.
    #[error("must hold the public key that belongs to its seed")]
    PublicKey,
}

impl Secret {
    /// A secret drawn by `dice`, which must be a cryptographic generator.
    pub fn generate(scheme: Scheme, mut dice: impl FnMut() -> u64) -> Self {
        let mut seed = [0; 32];
        for piece in seed.chunks_exact_mut(8) {
            piece.copy_from_slice(&dice().to_le_bytes());
        }
        Self(match scheme {
            Scheme::V1 => Kind::Hmac(seed.to_vec()),
            Scheme::V1a => Kind::Ed25519(Box::new(SigningKey::from_bytes(&seed))),
        })
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        match self.0 {
            Kind::Hmac(_) => Scheme::V1,
            Kind::Ed25519(_) => Scheme::V1a,
        }
    }

    /// The key itself, for signing.
    pub fn key(&self) -> Key<'_> {
        match &self.0 {
            Kind::Hmac(key) => Key::Hmac(key),
            Kind::Ed25519(key) => Key::Ed25519(key),
        }
    }

    /// What verifies its signatures, if that is no secret.
    pub fn public_key(&self) -> Option<PublicKey> {
        match &self.0 {
            Kind::Hmac(_) => None,
            Kind::Ed25519(key) => Some(PublicKey(key.verifying_key().to_bytes())),
        }
    }

    /// The secret as its owner writes it, `whsec_…` or `whsk_…`.
    pub fn reveal(&self) -> String {
        let encoded = match &self.0 {
            Kind::Hmac(key) => STANDARD.encode(key),
            Kind::Ed25519(key) => STANDARD.encode(key.to_keypair_bytes()),
        };
        format!("{}{encoded}", self.scheme().prefix())
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Scheme::NAMES.iter().find_map(|(_, scheme)| {
            text.strip_prefix(scheme.prefix()).map(|encoded| (*scheme, encoded))
        });
        let (scheme, encoded) = named.ok_or(InvalidSecret::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?;
        Ok(Self(match scheme {
            Scheme::V1 if (24..=64).contains(&key.len()) => Kind::Hmac(key),
            Scheme::V1 => return Err(InvalidSecret::Length),
            Scheme::V1a => {
                let pair: [u8; 64] = key.try_into().map_err(|_| InvalidSecret::Seed)?;
                let key = SigningKey::from_keypair_bytes(&pair);
                Kind::Ed25519(Box::new(key.map_err(|_| InvalidSecret::PublicKey)?))
            }
        }))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What verifies signatures of [`Scheme::V1a`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key as base64url, as a JSON Web Key holds it (RFC 8037, section 2).
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The thumbprint that names it (RFC 7638; RFC 8037, appendix A.3).
    pub fn thumbprint(&self) -> String {
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
    }
}

/// `whpk_…`, as Standard Webhooks writes it.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whpk_{}", STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HMAC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ED25519: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

    #[test]
    fn is_read_and_written_as_its_owner_writes_it() {
        for (text, scheme) in [(HMAC, Scheme::V1), (ED25519, Scheme::V1a)] {
            let secret: Secret = text.parse().unwrap();
            assert_eq!((secret.reveal(), secret.scheme()), (text.to_owned(), scheme));
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
    }

    #[test]
    fn a_generated_one_is_read_back() {
        for (_, scheme) in Scheme::NAMES {
            let mut seed = 0;
            let secret = Secret::generate(scheme, || {
                seed += 1;
                seed
            });
            assert_eq!((seed, secret.scheme()), (4, scheme));
            assert_eq!(secret.reveal().parse(), Ok(secret));
        }
    }

    #[test]
    fn only_what_verifies_by_a_public_key_has_one() {
        assert_eq!(HMAC.parse::<Secret>().unwrap().public_key(), None);
        let public = ED25519.parse::<Secret>().unwrap().public_key().unwrap();
        assert_eq!(public.to_string(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
    }

    /// RFC 8037, appendix A.1 to A.3.
    #[test]
    fn a_public_key_has_the_thumbprint_of_the_standard() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let public = PublicKey(URL_SAFE_NO_PAD.decode(x).unwrap().try_into().unwrap());
        assert_eq!(public.x(), x);
        assert_eq!(public.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn refuses_what_is_not_one() {
        let swapped = format!("whsk_{}", STANDARD.encode([7; 64]));
        for (text, reason) in [
            ("", InvalidSecret::Prefix),
            ("secret", InvalidSecret::Prefix),
            ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", InvalidSecret::Prefix),
            ("whsec_…", InvalidSecret::Base64),
            ("whsec_c2hvcnQ=", InvalidSecret::Length),
            ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", InvalidSecret::Seed),
            (&swapped, InvalidSecret::PublicKey),
        ] {
            assert_eq!(text.parse::<Secret>(), Err(reason), "{text}");
        }
    }
}
