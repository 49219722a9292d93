//! A script, and how a subscription names one.
//!
//! Invariant: two scripts have the same version if their texts are the same.

use std::{fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

/// The longest script, in bytes.
pub const LONGEST_SCRIPT: usize = 64 * 1024;

/// What a subscription says about its script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptChoice {
    /// Its own text.
    Own(Script),
    /// The one of the library with this name, whatever it says at the time; written `@name`.
    Library(String),
}

/// The text of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Which text it is.
    pub version: ScriptVersion,
    /// The text.
    pub source: Arc<str>,
}

/// Tells texts of scripts apart: the beginning of their SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScriptVersion(u64);

impl ScriptChoice {
    /// Reads what a subscription says: `@name`, or else a script.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some(name) => Self::Library(name.to_owned()),
            None => Self::Own(Script::new(text)),
        }
    }
}

/// As it is written in a subscription.
impl fmt::Display for ScriptChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(script) => f.write_str(&script.source),
            Self::Library(name) => write!(f, "@{name}"),
        }
    }
}

impl Script {
    /// The script with this text.
    pub fn new(source: &str) -> Self {
        let digest = Sha256::digest(source);
        let version = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let version = ScriptVersion(version);
        Self { version, source: source.into() }
    }
}

impl ScriptVersion {
    /// The version with these digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_written_so = text.len() == 16
            && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        if is_written_so { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for ScriptVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_beginning_of_the_digest() {
        // printf 'event.data' | sha256sum
        let version = Script::new("event.data").version;
        assert_eq!(ScriptVersion::parse(&version.to_string()), Some(version));
        assert_ne!(version, Script::new("event.data ").version);
        for flawed in ["", "0", "00000000000000000", "+000000000000000", "ABCDEFABCDEFABCD"] {
            assert_eq!(ScriptVersion::parse(flawed), None, "{flawed}");
        }
    }

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        for text in ["@slack", "event.data", ""] {
            assert_eq!(ScriptChoice::parse(text).to_string(), text);
        }
    }
}
