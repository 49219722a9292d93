//! A key under which the secrets in the store are encrypted: the base64 of 32 bytes.
//!
//! Invariant: it is shown by [`SealingKey::reveal`] alone, and wiped from memory with its last
//! copy. Its id tells nothing about it.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A key under which the secrets in the store are encrypted.
#[derive(Debug, Clone)]
pub struct SealingKey {
    id: KeyId,
    bytes: Arc<SecretBox<[u8; 32]>>,
}

/// Names a key, in what it sealed and before people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

/// Text that is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be the base64 of 32 bytes, as `sidehook secrets generate-key` prints it")]
pub struct InvalidKey;

impl SealingKey {
    /// A key drawn by `dice`, which must be a cryptographic generator.
    pub fn generate(mut dice: impl FnMut() -> u64) -> Self {
        Self::new(SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            for piece in bytes.chunks_exact_mut(8) {
                piece.copy_from_slice(&dice().to_le_bytes());
            }
        }))
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8; 32] {
        self.bytes.expose_secret()
    }

    /// The key as the operator writes it.
    pub fn reveal(&self) -> SecretString {
        STANDARD.encode(self.bytes()).into()
    }

    fn new(bytes: SecretBox<[u8; 32]>) -> Self {
        Self { id: KeyId::of(bytes.expose_secret()), bytes: Arc::new(bytes) }
    }
}

impl FromStr for SealingKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let mut decoded = Ok(0);
        let bytes = SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            // The decoder wants to know beforehand that everything fits, by threes.
            let mut roomy = secrecy::SecretBox::new(Box::new([0_u8; 33]));
            let roomy = secrecy::ExposeSecretMut::expose_secret_mut(&mut roomy);
            decoded = STANDARD.decode_slice(text, roomy).map_err(|_| InvalidKey);
            if let Some(whole) = roomy.first_chunk() {
                *bytes = *whole;
            }
        });
        if decoded? == 32 { Ok(Self::new(bytes)) } else { Err(InvalidKey) }
    }
}

impl KeyId {
    /// Its length where it is stored.
    pub const LENGTH: usize = 8;

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The id as it is stored.
    pub fn bytes(self) -> [u8; Self::LENGTH] {
        self.0
    }

    /// The first bytes of a hash. The label keeps it apart from whatever else may once be
    /// derived from a key.
    fn of(key: &[u8; 32]) -> Self {
        let hash = Sha256::new().chain_update(b"sidehook: id of a sealing key\0").chain_update(key);
        let mut id = [0; Self::LENGTH];
        for (slot, byte) in id.iter_mut().zip(hash.finalize()) {
            *slot = byte;
        }
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn is_read_and_written_as_its_owner_writes_it() {
        let key: SealingKey = TEXT.parse().unwrap();
        assert_eq!(key.bytes()[..3], [0, 1, 2]);
        assert_eq!(key.bytes()[31], 31);
        assert_eq!(key.reveal().expose_secret(), TEXT);
    }

    #[test]
    fn is_never_shown() {
        let key: SealingKey = TEXT.parse().unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains("AAEC") && !shown.contains("1, 2"), "{shown}");
    }

    /// The beginning of the SHA-256 of the label and the key, as `sha256sum` computes it.
    #[test]
    fn its_id_stays_what_it_is() {
        let key: SealingKey = TEXT.parse().unwrap();
        assert_eq!(key.id().to_string(), "7f01feeb2a7e81d5");
    }

    #[test]
    fn a_generated_one_is_drawn_whole() {
        let mut seed = 0;
        let key = SealingKey::generate(|| {
            seed += 0x0101_0101_0101_0101;
            seed
        });
        assert_eq!(key.bytes()[..], [[1; 8], [2; 8], [3; 8], [4; 8]].concat());
    }

    #[test]
    fn refuses_what_is_not_one() {
        for text in ["", "key", "AAEC", &TEXT[4..], &format!("AAAA{TEXT}"), &TEXT.replace('A', "…")]
        {
            assert_eq!(text.parse::<SealingKey>().unwrap_err(), InvalidKey, "{text}");
        }
    }
}
