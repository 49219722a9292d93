//! Signatures against known vectors, and against an implementation that is not ours.
//!
//! Invariant: no bit of a signed webhook can change without being noticed.

use proptest::prelude::*;
use standardwebhooks::Webhook;

use super::*;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const NOW: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

fn headers<'a>(id: &'a str, timestamp: &'a str, signatures: &'a str) -> Signature<'a> {
    Signature {
        id: Some(id.as_bytes()),
        timestamp: Some(timestamp.as_bytes()),
        signatures: Some(signatures.as_bytes()),
    }
}

fn verdict(signatures: &str, body: &[u8], now: i64) -> Result<(), Unverified> {
    verify(headers(ID, "1614265330", signatures), body, [&secret(KEY)], now)
}

#[test]
fn known_vectors_are_verified() {
    assert_eq!(verdict(SIGNED, BODY, NOW), Ok(()));
    let bytes = "v1,YTZoYpJiNQ+cGij1xARAxn+Ta9NpVs46rKY6lfpfTnk=";
    assert_eq!(verdict(bytes, b"\x00\xff\xfe\x80", NOW), Ok(()));
    let signature = headers(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "1649367553",
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    );
    let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    assert_eq!(verify(signature, body, [&secret(OTHER_KEY)], 1_649_367_553), Ok(()));
}

#[test]
fn a_signature_by_ed25519_is_verified() {
    let (key, signed) = (
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    );
    let verdict = |body: &[u8], key: &str| {
        verify(headers(ID, "1614265330", &format!("{SIGNED} {signed}")), body, [&secret(key)], NOW)
    };
    assert_eq!(verdict(BODY, key), Ok(()));
    assert_eq!(verdict(b"{}", key), Err(Unverified::Mismatch));
    let hmac_as_ed25519 = signed.replace("v1a,", "v1,");
    let signature = headers(ID, "1614265330", &hmac_as_ed25519);
    assert_eq!(verify(signature, BODY, [&secret(key)], NOW), Err(Unverified::Mismatch));
}

#[test]
fn one_of_several_signatures_is_enough() {
    let several = format!("v1a,AAAA v1,AAAA nonsense {SIGNED}");
    assert_eq!(verdict(&several, BODY, NOW), Ok(()));
}

#[test]
fn one_of_several_secrets_is_enough() {
    let signature = headers(ID, "1614265330", SIGNED);
    let secrets = [secret(OTHER_KEY), secret(KEY)];
    assert_eq!(verify(signature, BODY, &secrets, NOW), Ok(()));
    assert_eq!(verify(signature, BODY, &secrets[..1], NOW), Err(Unverified::Mismatch));
    assert_eq!(verify(signature, BODY, &[], NOW), Err(Unverified::NoSecret));
}

#[test]
fn the_time_of_signing_must_be_near() {
    assert_eq!(verdict(SIGNED, BODY, NOW + TOLERANCE_SECONDS), Ok(()));
    assert_eq!(verdict(SIGNED, BODY, NOW - TOLERANCE_SECONDS), Ok(()));
    assert_eq!(verdict(SIGNED, BODY, NOW + 301), Err(Unverified::TooOld(301)));
    assert_eq!(verdict(SIGNED, BODY, NOW - 301), Err(Unverified::TooNew(301)));
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    use Unverified::{Missing, Timestamp, Version};
    let whole = headers(ID, "1614265330", SIGNED);
    let check = |signature| verify(signature, BODY, [&secret(KEY)], NOW).unwrap_err();
    assert_eq!(check(Signature { id: None, ..whole }), Missing("webhook-id"));
    assert_eq!(check(Signature { timestamp: None, ..whole }), Missing("webhook-timestamp"));
    assert_eq!(check(Signature { signatures: None, ..whole }), Missing("webhook-signature"));
    for timestamp in ["", "soon", "+1614265330", "-1", "1614265330.5", "99999999999999999999"] {
        assert_eq!(check(headers(ID, timestamp, SIGNED)), Timestamp, "{timestamp}");
    }
    for signatures in ["", "v1", "v1,", "v1,%", "v2,AAAA"] {
        let refused = check(headers(ID, "1614265330", signatures));
        assert!(matches!(refused, Version | Unverified::Mismatch), "{signatures}: {refused}");
    }
}

proptest! {
    #[test]
    fn an_independent_signature_is_verified(
        key in proptest::collection::vec(any::<u8>(), 24..=64),
        id in "[a-zA-Z0-9_]{1,40}",
        body in ".{0,200}",
    ) {
        let text = format!("whsec_{}", STANDARD.encode(&key));
        let signed = Webhook::new(&text).unwrap().sign(&id, NOW, body.as_bytes()).unwrap();
        let timestamp = NOW.to_string();
        let signature = headers(&id, &timestamp, &signed);
        prop_assert_eq!(verify(signature, body.as_bytes(), [&secret(&text)], NOW), Ok(()));
    }

    #[test]
    fn a_changed_byte_is_noticed(at: prop::sample::Index, change in 1_u8..) {
        let mut body = BODY.to_vec();
        let at = at.index(body.len());
        body[at] ^= change;
        prop_assert_eq!(verdict(SIGNED, &body, NOW), Err(Unverified::Mismatch));
    }
}
