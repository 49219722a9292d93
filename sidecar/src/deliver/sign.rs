//! Signs a delivery (Standard Webhooks 1.0, *Signature scheme*; `v1`: HMAC-SHA256, `v1a`: ed25519).
//! Pure.
//!
//! Invariant: what is signed is `{webhook-id}.{unix seconds}.{body}`, over the very bytes sent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use sidehook_event::UnixMicros;

use crate::model::{Key, Secret, Signing};

/// The value of `webhook-signature`: the signatures of all secrets that sign at `now`, with spaces
/// between, that of the current one first.
pub fn sign(signing: &Signing, webhook_id: &str, now: UnixMicros, body: &[u8]) -> String {
    let signatures =
        signing.at(now).map(|secret| signature(secret, webhook_id, now.seconds(), body));
    signatures.collect::<Vec<_>>().join(" ")
}

/// The scheme, a comma, and the signature in base64.
fn signature(secret: &Secret, webhook_id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let head = format!("{webhook_id}.{unix_seconds}.");
    let signature = match secret.key() {
        Key::Hmac(key) => {
            // HMAC takes a key of any length (RFC 2104, section 3); there is no error to report.
            let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
            let mac = mac.chain_update(head).chain_update(body);
            STANDARD.encode(mac.finalize().into_bytes())
        }
        Key::Ed25519(key) => {
            STANDARD.encode(key.sign(&[head.as_bytes(), body].concat()).to_bytes())
        }
    };
    format!("{},{signature}", secret.scheme().name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, SystemClock},
        model::Outgoing,
    };

    /// The examples of the specification and of its reference implementations.
    #[test]
    fn agrees_with_the_published_vectors() {
        let vectors: [(&str, &str, i64, &[u8], &str); 4] = [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                br#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                b"\x00\xff\xfe\x80",
                "v1,YTZoYpJiNQ+cGij1xARAxn+Ta9NpVs46rKY6lfpfTnk=",
            ),
            (
                "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#,
                "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
            ),
        ];
        for (secret, id, seconds, body, expected) in vectors {
            assert_eq!(signature(&secret.parse().unwrap(), id, seconds, body), expected);
        }
    }

    #[test]
    fn is_accepted_by_the_reference_implementation() {
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let verifier = standardwebhooks::Webhook::new(&secret.reveal()).unwrap();
        let seconds = SystemClock::start().now().seconds();
        let body = br#"{"type":"people.created"}"#;
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", "evt_1".parse().unwrap());
        headers.insert("webhook-timestamp", seconds.into());
        let signature = signature(&secret, "evt_1", seconds, body);
        headers.insert("webhook-signature", signature.parse().unwrap());
        verifier.verify(body, &headers).unwrap();
        assert!(verifier.verify(b"{}", &headers).is_err());
    }

    #[test]
    fn a_secret_that_was_replaced_signs_too_until_its_time_is_up() {
        let secret = |text: &str| text.parse::<Secret>().unwrap();
        let (new, old) = (
            secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
            secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        );
        let until = UnixMicros::new(10_000_000);
        let previous = vec![Outgoing { secret: old.clone(), until }];
        let signing = Signing { current: new.clone(), previous };
        let before = UnixMicros::new(9_999_999);
        let both = [&new, &old].map(|secret| signature(secret, "evt_1", 9, b"{}")).join(" ");
        assert_eq!(sign(&signing, "evt_1", before, b"{}"), both);
        assert_eq!(sign(&signing, "evt_1", until, b"{}"), signature(&new, "evt_1", 10, b"{}"));
    }
}
