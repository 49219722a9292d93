//! Whether a webhook is signed by one of the secrets, as Standard Webhooks 1.0 defines it. Pure:
//! the caller supplies the time.
//!
//! Invariant: what is called verified was signed, within the tolerance, over exactly these bytes;
//! signatures are compared in constant time.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use crate::model::Secret;

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
    /// No symmetric signature among those given.
    #[error("webhook-signature has no signature of version v1")]
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
    let given: Vec<Vec<u8>> = given.split(|byte| *byte == b' ').filter_map(decoded).collect();
    if given.is_empty() {
        return Err(Unverified::Version);
    }
    let mut reason = Unverified::NoSecret;
    for secret in secrets {
        // HMAC takes a key of any length (RFC 2104, section 3): there is always a code to compare.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.key()) else {
            continue;
        };
        let mac = mac.chain_update(id).chain_update(b".").chain_update(timestamp);
        let mac = mac.chain_update(b".").chain_update(body);
        // `verify_slice` compares in constant time.
        if given.iter().any(|tag| mac.clone().verify_slice(tag).is_ok()) {
            return Ok(());
        }
        reason = Unverified::Mismatch;
    }
    Err(reason)
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

fn decoded(signature: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(signature.strip_prefix(b"v1,")?).ok()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
