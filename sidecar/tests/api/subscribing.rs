//! Subscriptions are made, shown, changed and deleted.
//!
//! Invariant: what was answered is what the routing table has.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use futures::{FutureExt as _, future::join_all};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk};

const LIMIT: Duration = Duration::from_secs(10);

fn hook(event_type: &str) -> Value {
    json!({"url": "https://93.184.215.14/webhook", "event_type": event_type})
}

fn without(answer: &Answer, member: &str) -> Value {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove(member);
    body
}

#[tokio::test]
async fn a_subscription_is_made_with_a_secret_and_shown_without() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("people.created")).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let place = format!("/subscriptions/{}", made.text("/id"));
    assert_eq!(made.header("location"), place);
    assert!(made.text("/secret").starts_with("whsec_"));

    let shown = desk.get(&place).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.body, without(&made, "secret"));

    let secret = desk.get(&format!("{place}/secret")).await;
    assert_eq!(secret.body, json!({"secret": made.text("/secret"), "previous": []}));
}

#[tokio::test]
async fn the_same_event_type_and_url_is_the_same_subscription() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("people.created")).await;
    let mut again = hook("people.created");
    again["custom_payload"] = json!({"team": "a"});
    let updated = desk.post("/subscriptions", again.clone()).await;
    assert_eq!(updated.status, StatusCode::OK);
    assert_eq!(updated.text("/id"), made.text("/id"));
    assert_eq!(updated.text("/created_at"), made.text("/created_at"));
    assert_ne!(updated.text("/updated_at"), made.text("/updated_at"));
    assert_eq!(updated.body["custom_payload"], json!({"team": "a"}));
    assert_eq!(updated.text("/secret"), "", "it was neither made nor set");

    again["secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let updated = desk.post("/subscriptions/", again).await;
    assert_eq!(updated.text("/secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    assert_eq!(desk.listeners("people.created").len(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_makes_it() {
    let desk = Desk::open().await;
    let answers = join_all((0..10).map(|_| desk.post("/subscriptions/", hook("created")))).await;
    let made = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(made, 1);
    assert!(answers.iter().all(|answer| answer.text("/id") == answers[0].text("/id")));
    assert_eq!(desk.listeners("people.created"), [answers[0].text("/id")]);
}

#[tokio::test]
async fn an_event_sees_a_change_that_was_answered() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("people.*")).await;
    let place = made.header("location").to_owned();
    assert_eq!(desk.listeners("people.created"), [made.text("/id")]);

    desk.patch(&place, json!({"event_type": "orders.*"})).await;
    assert!(desk.listeners("people.created").is_empty());
    assert_eq!(desk.listeners("orders.created"), [made.text("/id")]);

    desk.patch(&place, json!({"enabled": false})).await;
    assert!(desk.listeners("orders.created").is_empty());

    desk.patch(&place, json!({"enabled": null})).await;
    assert_eq!(desk.listeners("orders.created").len(), 1);

    assert_eq!(desk.delete(&place).await.status, StatusCode::NO_CONTENT);
    assert!(desk.listeners("orders.created").is_empty());
}

#[tokio::test]
async fn a_change_whose_client_goes_away_is_carried_through() {
    let desk = Desk::open().await;
    let left = desk.post("/subscriptions/", hook("created")).now_or_never();
    assert!(left.is_none(), "the client left before the answer");
    let routed = async {
        while desk.listeners("people.created").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, routed).await.is_ok(), "it was never routed");
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let desk = Desk::open().await;
    let mut body = hook("people.created");
    body["custom_headers"] = json!({"X-Team": "a", "X-Region": "eu"});
    let made = desk.post("/subscriptions/", body).await;
    let place = made.header("location").to_owned();
    let patch = json!({"custom_headers": {"X-Team": null}, "timeout": "5s", "description": "new"});
    let patched = desk.patch(&place, patch).await;
    assert_eq!(patched.status, StatusCode::OK);
    let mut expected = without(&made, "secret");
    expected["custom_headers"] = json!({"x-region": "eu"});
    expected["timeout"] = json!("5s");
    expected["description"] = json!("new");
    expected["updated_at"] = patched.body["updated_at"].clone();
    assert_eq!(patched.body, expected);
    assert_eq!(desk.get(&place).await.body, expected);
    assert_eq!(desk.patch(&place, json!({"timeout": null})).await.text("/timeout"), "15s");
}

#[tokio::test]
async fn a_patched_secret_is_shown_once() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("created")).await;
    let place = made.header("location").to_owned();
    let fresh = desk.patch(&place, json!({"secret": null})).await;
    assert!(fresh.text("/secret").starts_with("whsec_"));
    assert_ne!(fresh.text("/secret"), made.text("/secret"));
    assert_eq!(desk.patch(&place, json!({"enabled": true})).await.text("/secret"), "");
    let kept = desk.get(&format!("{place}/secret")).await;
    assert_eq!(kept.text("/secret"), fresh.text("/secret"));
}

#[tokio::test]
async fn two_subscriptions_cannot_become_one() {
    let desk = Desk::open().await;
    desk.post("/subscriptions/", hook("created")).await;
    let other = desk.post("/subscriptions/", hook("deleted")).await;
    let place = other.header("location").to_owned();
    let clash = desk.patch(&place, json!({"event_type": "created"})).await;
    assert_eq!(clash.status, StatusCode::CONFLICT);
    assert_eq!(clash.text("/type"), "/problems/conflict");
    assert_eq!(desk.get(&place).await.text("/event_type"), "deleted");
    assert_eq!(desk.listeners("people.deleted").len(), 1);
}

#[tokio::test]
async fn one_is_deleted_by_its_url_and_event_type() {
    let desk = Desk::open().await;
    for (url, path) in [
        ("http://93.184.215.14/webhook", "/subscriptions/http:~~93.184.215.14~webhook/created"),
        ("http://93.184.215.14/webhook", "/subscriptions/http:~~93.184.215.14~webhook/created/"),
        // A URL without a path has the path `/`.
        ("http://93.184.215.14", "/subscriptions/http:~~93.184.215.14/created"),
        ("http://93.184.215.14/a?b=c", "/subscriptions/http:~~93.184.215.14~a%3Fb=c/created"),
        ("http://93.184.215.14/a", "/subscriptions/http:%2F%2F93.184.215.14%2Fa/created"),
    ] {
        let body = json!({"url": url, "event_type": "created"});
        assert_eq!(desk.post("/subscriptions/", body).await.status, StatusCode::CREATED, "{url}");
        assert_eq!(desk.delete(path).await.status, StatusCode::NO_CONTENT, "{path}");
        assert!(desk.listeners("people.created").is_empty());
        assert_eq!(desk.delete(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn one_for_secret_events_is_deleted_like_any_other() {
    let desk = Desk::open().await;
    desk.post("/subscriptions/", hook("secret")).await;
    let gone = desk.delete("/subscriptions/https:~~93.184.215.14~webhook/secret").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_shown_changed_or_deleted() {
    let desk = Desk::open().await;
    for key in ["sub_01h2xcejqtf2nbrexx3vqjhp41", "evt_01h2xcejqtf2nbrexx3vqjhp41", "1", "%FF"] {
        let path = format!("/subscriptions/{key}");
        for (method, path) in [
            (Method::GET, path.clone()),
            (Method::PATCH, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::GET, format!("{path}/secret")),
            (Method::DELETE, format!("{path}/created")),
        ] {
            let answer = desk.ask(method.clone(), &path, "{}").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
            assert_eq!(answer.text("/type"), "/problems/not-found");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_denied_cannot_be_subscribed() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("created")).await;
    let place = made.header("location").to_owned();
    for url in
        ["http://127.0.0.1:9/", "http://2130706433/", "http://[::1]/", "http://169.254.169.254/"]
    {
        let body = json!({"url": url, "event_type": "created"});
        let answer = desk.post("/subscriptions/", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        assert_eq!(answer.wrong_fields(), ["url"]);
        let answer = desk.patch(&place, json!({"url": url})).await;
        assert_eq!(answer.wrong_fields(), ["url"]);
    }
    let told = desk.patch(&place, json!({"url": "http://10.1.2.3/"})).await;
    let told = told.text("/errors/0/message");
    assert_eq!(
        told,
        "10.1.2.3 is a private address (10.0.0.0/8), which the egress rule does not allow"
    );
}

#[tokio::test]
async fn a_secret_that_is_rotated_signs_on_beside_the_new_one() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("people.created")).await;
    let place = format!("/subscriptions/{}", made.text("/id"));
    let rotated = desk.ask(Method::POST, &format!("{place}/rotate-secret"), "").await;
    assert_eq!(rotated.status, StatusCode::OK, "{rotated:?}");
    assert_ne!(rotated.text("/secret"), made.text("/secret"));
    let shown = desk.get(&format!("{place}/secret")).await;
    assert_eq!(shown.text("/secret"), rotated.text("/secret"));
    assert_eq!(shown.text("/previous/0/secret"), made.text("/secret"));
    assert!(!shown.text("/previous/0/until").is_empty());
    assert_eq!(desk.get(&place).await.body, without(&rotated, "secret"));

    let kept = desk.ask(Method::PATCH, &place, r#"{"description": "kept"}"#).await;
    assert_eq!(kept.status, StatusCode::OK);
    assert_eq!(desk.get(&format!("{place}/secret")).await.body, shown.body);

    let body = json!({"overlap": "0s", "secret": made.text("/secret")});
    let back = desk.post(&format!("{place}/rotate-secret"), body).await;
    assert_eq!(back.text("/secret"), made.text("/secret"));
    let shown = desk.get(&format!("{place}/secret")).await;
    assert_eq!(shown.body, json!({"secret": made.text("/secret"), "previous": []}));
}

#[tokio::test]
async fn a_subscription_is_disabled_and_enabled() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("people.created")).await;
    let place = format!("/subscriptions/{}", made.text("/id"));
    let disabled = desk.ask(Method::POST, &format!("{place}/disable"), "").await;
    assert_eq!((disabled.status, &disabled.body["enabled"]), (StatusCode::OK, &json!(false)));
    assert_eq!(disabled.text("/secret"), "");
    assert!(desk.listeners("people.created").is_empty());
    let enabled = desk.ask(Method::POST, &format!("{place}/enable"), "").await;
    assert_eq!((enabled.status, &enabled.body["enabled"]), (StatusCode::OK, &json!(true)));
    assert_eq!(desk.listeners("people.created").len(), 1);
    let other = desk.ask(Method::POST, &format!("{place}/explode"), "").await;
    assert_eq!(other.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_waits_follows_a_schedule_that_is_changed() {
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("people.created")).await;
    let id = made.text("/id").to_owned();
    let waits = desk.failed(1, id.parse().unwrap()).await;
    let due = async || {
        let shown = desk.get(&format!("/deliveries/{waits}")).await;
        shown.text("/next_attempt_at").to_owned()
    };
    let before = due().await;
    let place = format!("/subscriptions/{id}");
    desk.patch(&place, json!({"description": "another"})).await;
    assert_eq!(due().await, before);
    desk.patch(&place, json!({"retry": {"schedule": ["0s", "48h"], "jitter": 0}})).await;
    let later = due().await;
    assert!(later.starts_with("2025-11-25T09:30"), "{before} {later}");
    // Asked for anew with the defaults.
    desk.post("/subscriptions/", hook("people.created")).await;
    assert!(due().await < later);
}

#[tokio::test]
async fn a_client_key_is_kept_and_shown_nowhere() {
    let identity = rcgen::generate_simple_self_signed(vec!["sidehook".to_owned()]).unwrap();
    let (certificate, key) = (identity.cert.pem(), identity.signing_key.serialize_pem());
    let tls = json!({"ca": certificate, "client_certificate": certificate, "client_key": key});
    let desk = Desk::open().await;
    let mut asked = hook("people.created");
    asked["tls"] = tls;
    let made = desk.post("/subscriptions/", asked.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let shown = json!({"ca": certificate, "client_certificate": certificate});
    let place = format!("/subscriptions/{}", made.text("/id"));
    let patched = desk.patch(&place, json!({"description": "it stays"})).await;
    for answer in [&made, &patched, &desk.get(&place).await] {
        assert_eq!(answer.body["tls"], shown);
        assert!(!answer.body.to_string().contains("PRIVATE"));
    }
    let half = desk.patch(&place, json!({"tls": {"client_key": null}})).await;
    assert_eq!(half.wrong_fields(), ["tls.client_key"], "the certificate alone is of no use");
    let none = desk.patch(&place, json!({"tls": null})).await;
    assert_eq!((none.status, none.body.get("tls")), (StatusCode::OK, None));

    asked["url"] = json!("http://93.184.215.14/webhook");
    assert_eq!(desk.post("/subscriptions/", asked.clone()).await.wrong_fields(), ["tls"]);
    asked["url"] = json!("https://93.184.215.14/webhook");
    asked["tls"]["client_key"] = json!("-----BEGIN PRIVATE KEY-----");
    let refused = desk.post("/subscriptions/", asked).await;
    assert_eq!(refused.wrong_fields(), ["tls.client_key"]);
    assert!(!refused.body.to_string().contains("BEGIN"));
}

#[tokio::test]
async fn an_action_that_is_called_like_a_part_of_a_subscription_can_be_unsubscribed_from() {
    let desk = Desk::open().await;
    for action in ["secret", "rotate-secret", "test", "enable", "disable", "replay"] {
        let hook = json!({"url": "http://93.184.215.14/hook", "event_type": action});
        assert_eq!(desk.post("/subscriptions/", hook).await.status, StatusCode::CREATED);
        let place = format!("/subscriptions/http:~~93.184.215.14~hook/{action}");
        assert_eq!(desk.delete(&place).await.status, StatusCode::NO_CONTENT, "{action}");
        assert_eq!(desk.delete(&place).await.status, StatusCode::NOT_FOUND, "{action}");
    }
}
