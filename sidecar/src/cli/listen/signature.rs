//! Whether a webhook is signed by one of the secrets, as Standard Webhooks 1.0 defines it. Pure:
//! the caller supplies the time.
//!
//! Invariant: what is called verified was signed, within the tolerance, over exactly these bytes;
//! signatures are compared in constant time.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use crate::model::{Key, Scheme, Secret};

/// How far the timestamp may be from now, in seconds, either way: what the specification's own
/// libraries allow.
pub(super) const TOLERANCE_SECONDS: i64 = 5 * 60;

/// The headers that sign a webhook, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signature<'a> {
    /// `webhook-id`
    pub id: Option<&'a [u8]>,
    /// `webhook-timestamp`
    pub timestamp: Option<&'a [u8]>,
    /// `webhook-signature`
    pub signatures: Option<&'a [u8]>,
}

/// Why a webhook is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Unverified {
    /// A header that every webhook has is not there.
    #[error("there is no header {0}")]
    Missing(&'static str),
    /// `webhook-timestamp` is not a number of seconds.
    #[error("webhook-timestamp is not a time in seconds")]
    Timestamp,
    /// Signed too long ago: perhaps a replay.
    #[error("signed {0} s ago, more than the 300 s allowed")]
    TooOld(i64),
    /// Signed in the future: one of the two clocks is wrong.
    #[error("signed {0} s in the future, more than the 300 s allowed")]
    TooNew(i64),
    /// No signature that could be compared among those given.
    #[error("webhook-signature has no signature of version v1 or v1a")]
    Version,
    /// There is nothing to compare with.
    #[error("no secret is known")]
    NoSecret,
    /// Signed with another secret, or altered on its way.
    #[error("the signature does not match")]
    Mismatch,
}

/// Whether one of `secrets` signed `body`. `now` is in Unix seconds.
pub(super) fn verify<'s>(
    signature: Signature<'_>,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'s Secret>,
    now: i64,
) -> Result<(), Unverified> {
    let id = signature.id.ok_or(Unverified::Missing("webhook-id"))?;
    let timestamp = signature.timestamp.ok_or(Unverified::Missing("webhook-timestamp"))?;
    let given = signature.signatures.ok_or(Unverified::Missing("webhook-signature"))?;
    check_age(timestamp, now)?;
    let given: Vec<(Scheme, Vec<u8>)> =
        given.split(|byte| *byte == b' ').filter_map(decoded).collect();
    if given.is_empty() {
        return Err(Unverified::Version);
    }
    let signed = [id, b".", timestamp, b".", body].concat();
    let mut reason = Unverified::NoSecret;
    for secret in secrets {
        let mut of_scheme = given.iter().filter(|(scheme, _)| *scheme == secret.scheme());
        if of_scheme.any(|(_, tag)| is_of(secret, &signed, tag)) {
            return Ok(());
        }
        reason = Unverified::Mismatch;
    }
    Err(reason)
}

/// Whether `tag` is the signature of `signed` by `secret`.
fn is_of(secret: &Secret, signed: &[u8], tag: &[u8]) -> bool {
    match secret.key() {
        // HMAC takes a key of any length (RFC 2104, section 3). `verify_slice` compares in
        // constant time.
        Key::Hmac(key) => Hmac::<Sha256>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(signed).verify_slice(tag).is_ok()),
        Key::Ed25519(key) => ed25519_dalek::Signature::from_slice(tag)
            .is_ok_and(|tag| key.verifying_key().verify_strict(signed, &tag).is_ok()),
    }
}

fn check_age(timestamp: &[u8], now: i64) -> Result<(), Unverified> {
    let seconds: i64 = str::from_utf8(timestamp)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Unverified::Timestamp)?;
    match now.saturating_sub(seconds) {
        age if age > TOLERANCE_SECONDS => Err(Unverified::TooOld(age)),
        age if age < -TOLERANCE_SECONDS => Err(Unverified::TooNew(age.saturating_neg())),
        _ => Ok(()),
    }
}

fn decoded(signature: &[u8]) -> Option<(Scheme, Vec<u8>)> {
    Scheme::NAMES.iter().find_map(|(name, scheme)| {
        let encoded = signature.strip_prefix(name.as_bytes())?.strip_prefix(b",")?;
        Some((*scheme, STANDARD.decode(encoded).ok()?))
    })
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
