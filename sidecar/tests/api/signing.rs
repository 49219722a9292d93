//! Keys of the two kinds, as their owner asks for them and others see them.
//!
//! Invariant: what verifies is public, what signs is shown to its owner alone.

use axum::http::StatusCode;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::desk::Desk;

fn hook(more: &Value) -> Value {
    let mut hook = json!({"url": "http://example.com/a", "event_type": "people.created"});
    hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    hook
}

async fn published(desk: &Desk) -> Vec<Value> {
    let answer = desk.get("/.well-known/sidehook-keys").await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (StatusCode::OK, "public, max-age=300")
    );
    let keys = answer.body["keys"].as_array().unwrap().clone();
    assert!(keys.iter().all(|key| {
        key["kty"] == "OKP"
            && key["crv"] == "Ed25519"
            && key["alg"] == "EdDSA"
            && key["use"] == "sig"
    }));
    keys
}

#[tokio::test]
async fn a_public_key_is_shown_and_published_and_its_secret_is_not() {
    let desk = Desk::open().await;
    desk.post("/subscriptions/", hook(&json!({"url": "http://example.com/b"}))).await;
    assert_eq!(published(&desk).await, [Value::Null; 0], "whsec_ has none");
    let made = desk.post("/subscriptions/", hook(&json!({"signature": "v1a"}))).await;
    assert_eq!((made.status, made.text("/signature")), (StatusCode::CREATED, "v1a"));
    assert!(made.text("/secret").starts_with("whsk_"));
    assert!(made.text("/public_key").starts_with("whpk_"));
    let place = format!("/subscriptions/{}", made.text("/id"));
    let shown = desk.get(&place).await;
    assert_eq!(shown.text("/public_key"), made.text("/public_key"));
    assert_eq!(shown.body.get("secret"), None);
    let secret = desk.get(&format!("{place}/secret")).await;
    assert_eq!(secret.text("/public_key"), made.text("/public_key"));
    assert_eq!(secret.text("/secret"), made.text("/secret"));
    let keys = published(&desk).await;
    assert_eq!(keys.len(), 1);
    assert_eq!((&keys[0]["kid"], &shown.body["key_id"]), (&made.body["key_id"], &keys[0]["kid"]));
    assert_eq!(keys[0].as_object().unwrap().len(), 6);
}

#[tokio::test]
async fn a_key_that_is_exchanged_is_published_as_long_as_it_signs() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook(&json!({"signature": "v1a"}))).await;
    let place = format!("/subscriptions/{}", made.text("/id"));
    let before = published(&desk).await;
    let rotated = desk.post(&format!("{place}/rotate-secret"), json!({})).await;
    assert!(rotated.text("/secret").starts_with("whsk_"));
    assert_ne!(rotated.text("/public_key"), made.text("/public_key"));
    let both = published(&desk).await;
    assert!(both.len() == 2 && both.contains(&before[0]));
    desk.post(&format!("{place}/rotate-secret"), json!({"overlap": "0s"})).await;
    assert_eq!(published(&desk).await.len(), 2, "the one before is gone at once, not the first");

    let back = desk.patch(&place, json!({"signature": "v1"})).await;
    assert!(back.text("/secret").starts_with("whsec_"));
    assert_eq!(back.body.get("public_key"), None);
    assert_eq!(published(&desk).await.len(), 2, "it signs on for a day");
    desk.delete(&place).await;
    assert_eq!(published(&desk).await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_key_is_gone_as_soon_as_its_overlap_is_over() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook(&json!({"signature": "v1a"}))).await;
    let place = format!("/subscriptions/{}/rotate-secret", made.text("/id"));
    // The clock of the desk goes a second ahead whenever it is read.
    desk.post(&place, json!({"overlap": "5s"})).await;
    assert_eq!(published(&desk).await.len(), 2);
    for _ in 0..5 {
        published(&desk).await;
    }
    assert_eq!(published(&desk).await.len(), 1, "nothing changed but the time");
}

#[tokio::test]
async fn to_ask_again_for_another_signature_exchanges_the_secret() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook(&json!({}))).await;
    let again = async |more: Value| desk.post("/subscriptions/", hook(&more)).await;
    let exchanged = again(json!({"signature": "v1a"})).await;
    assert_eq!((exchanged.status, exchanged.text("/id")), (StatusCode::OK, made.text("/id")));
    assert_eq!(exchanged.text("/signature"), "v1a");
    assert!(exchanged.text("/secret").starts_with("whsk_"), "{exchanged:?}");
    let secret = desk.get(&format!("/subscriptions/{}/secret", made.text("/id"))).await;
    assert_eq!(secret.text("/secret"), exchanged.text("/secret"));
    assert_eq!(secret.text("/previous/0/secret"), made.text("/secret"), "it signs on");

    for more in [json!({"signature": "v1a"}), json!({})] {
        let same = again(more).await;
        assert_eq!(same.text("/key_id"), exchanged.text("/key_id"));
        assert_eq!(same.body.get("secret"), None);
    }
}

/// RFC 8032 over what Standard Webhooks has signed.
#[tokio::test]
async fn what_is_sent_is_verified_by_the_published_key_that_the_subscription_names() {
    let desk = Desk::open_to_loopback().await;
    // Nobody listens there: what would have been delivered is shown all the same.
    let asked = hook(&json!({"url": "http://127.0.0.1:9/", "signature": "v1a"}));
    let made = desk.post("/subscriptions/", asked).await;
    desk.post("/subscriptions/", hook(&json!({"signature": "v1a"}))).await;
    let keys = published(&desk).await;
    assert_eq!(keys.len(), 2);
    let key = keys.iter().find(|key| key["kid"] == made.text("/key_id")).unwrap();
    let key = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();

    let tried = desk.post(&format!("/subscriptions/{}/test", made.text("/id")), json!({})).await;
    let header = |name: &str| tried.text(&format!("/request/headers/webhook-{name}"));
    let signature = header("signature").strip_prefix("v1a,").unwrap();
    let signature = Signature::from_slice(&STANDARD.decode(signature).unwrap()).unwrap();
    let signed = |body: &str| format!("{}.{}.{body}", header("id"), header("timestamp"));
    let body = tried.text("/request/body");
    assert!(!body.is_empty(), "{tried:?}");
    key.verify_strict(signed(body).as_bytes(), &signature).unwrap();
    assert!(key.verify_strict(signed("{}").as_bytes(), &signature).is_err());
}

#[tokio::test]
async fn a_secret_of_the_other_kind_is_refused() {
    let desk = Desk::open().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let refused = hook(&json!({"signature": "v1a", "secret": secret}));
    assert_eq!(desk.post("/subscriptions/", refused).await.wrong_fields(), ["secret"]);
}
