//! The keys that seal the secrets in the store: as text, or in a file of their own.
//!
//! Invariant: no error holds a key, or a part of one.

use std::{fmt, fs};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::{Error, wrong};
use crate::model::SealingKey;

const KEY: &str = "secret_keys";

/// The keys as they are written: a list, or one text with commas between them.
#[derive(Default)]
pub(super) struct WrittenKeys(Vec<SecretString>);

impl fmt::Debug for WrittenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrittenKeys(…)")
    }
}

/// By hand, because what is derived repeats what it did not expect.
impl<'de> Deserialize<'de> for WrittenKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = WrittenKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of keys")
            }

            fn visit_str<E>(self, text: &str) -> Result<WrittenKeys, E> {
                let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
                Ok(WrittenKeys(keys.map(SecretString::from).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WrittenKeys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = list.next_element::<String>()? {
                    keys.push(key.into());
                }
                Ok(WrittenKeys(keys))
            }
        }

        deserializer.deserialize_any(Keys)
    }
}

impl WrittenKeys {
    /// Reads the keys, those in files too.
    pub(super) fn read(self) -> Result<Vec<SealingKey>, Error> {
        let mut keys: Vec<SealingKey> = Vec::new();
        for (number, written) in self.0.into_iter().enumerate() {
            let wrong = |reason: String| wrong(format!("{KEY}[{number}]"), reason);
            let key = one(written.expose_secret().trim()).map_err(wrong)?;
            if let Some(first) = keys.iter().position(|known| known.id() == key.id()) {
                return Err(wrong(format!("is the same key as {KEY}[{first}]")));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

/// A key as it stands there, or `file:PATH`.
fn one(written: &str) -> Result<SealingKey, String> {
    let Some(path) = written.strip_prefix("file:") else {
        let parsed = written.parse::<SealingKey>();
        return parsed.map_err(|error| format!("{error}, or file:PATH of a file with one"));
    };
    let content = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let content = SecretString::from(content);
    content.expose_secret().trim().parse().map_err(|error| format!("{path}: {error}"))
}
