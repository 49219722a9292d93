//! A subscription is tried: an example goes out at once, and all that was said is shown.
//!
//! Invariant: the receiver is a real server.

use std::sync::{Arc, Mutex};

use axum::http::{Method, StatusCode};
use axum::{Router, body::Bytes, http::HeaderMap};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk};

type Got = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver that answers so, where it is, and what it got.
async fn receiver(status: StatusCode) -> (String, Got) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got = Got::default();
    let heard = Arc::clone(&got);
    let router = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
        heard.lock().unwrap().push((headers, body));
        (status, [("x-receiver", "here")], "as you wish")
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

async fn made(desk: &Desk, hook: Value) -> Answer {
    let made = desk.post("/subscriptions/", hook).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made
}

#[tokio::test]
async fn an_example_is_sent_at_once_and_all_that_was_said_is_shown() {
    let desk = Desk::open_to_loopback().await;
    let (url, got) = receiver(StatusCode::IM_A_TEAPOT).await;
    let hook = json!({
        "url": url, "event_type": "people.*", "custom_headers": {"X-Team": "a"}, "enabled": false
    });
    let made = made(&desk, hook).await;
    let place = format!("/subscriptions/{}/test", made.text("/id"));
    let body = json!({"event_type": "people.updated", "data": {"id": 7}});
    let tried = desk.post(&place, body).await;
    assert_eq!(tried.status, StatusCode::OK, "{tried:?}");
    assert_eq!((tried.text("/outcome"), &tried.body["error"]), ("status", &Value::Null));
    assert_eq!(tried.body["response"]["status"], 418);
    assert_eq!(tried.text("/response/headers/x-receiver"), "here");
    assert_eq!(tried.text("/response/body"), "as you wish");

    let got = got.lock().unwrap().clone();
    let [(headers, body)] = &got[..] else { panic!("one request: {got:?}") };
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "x-team", "content-type"] {
        let shown = tried.text(&format!("/request/headers/{name}"));
        assert_eq!(shown, headers[name].to_str().unwrap(), "{name}");
    }
    assert_eq!((tried.text("/request/method"), tried.text("/request/url")), ("POST", url.as_str()));
    assert_eq!(tried.text("/request/body").as_bytes(), body);
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&body["type"], &body["data"]), (&json!("people.updated"), &json!({"id": 7})));
    assert_eq!(desk.get("/deliveries").await.body["data"], json!([]), "nothing is recorded");
    assert_eq!(desk.get("/events").await.body["data"], json!([]), "nothing is recorded");
}

#[tokio::test]
async fn without_a_wish_the_example_is_of_a_type_that_is_asked_for() {
    let desk = Desk::open_to_loopback().await;
    let (url, _) = receiver(StatusCode::NO_CONTENT).await;
    for (pattern, example) in [
        ("created", "example.created"),
        ("*.deleted", "example.deleted"),
        ("people.updated", "people.updated"),
        ("orgs.people.*", "orgs.people.created"),
        ("*", "example.created"),
    ] {
        let made = made(&desk, json!({"url": url, "event_type": pattern})).await;
        let place = format!("/subscriptions/{}/test", made.text("/id"));
        let tried = desk.ask(Method::POST, &place, "").await;
        assert_eq!(tried.text("/outcome"), "success", "{pattern}: {tried:?}");
        let sent: Value = serde_json::from_str(tried.text("/request/body")).unwrap();
        assert_eq!(sent["type"], example, "{pattern}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_or_not_allowed_is_told_from_one_that_answers() {
    let desk = Desk::open().await;
    let hook = json!({"url": "http://example.com/", "event_type": "created"});
    let made = made(&desk, hook).await;
    let id = made.text("/id");
    for url in [
        "http://127.0.0.1:9/",
        "http://169.254.169.254/",
        "http://[::ffff:10.0.0.1]/",
        "http://localhost:9/",
    ] {
        desk.smuggle(id.parse().unwrap(), url).await;
        let tried = desk.ask(Method::POST, &format!("/subscriptions/{id}/test"), "").await;
        assert_eq!((tried.status, tried.text("/outcome")), (StatusCode::OK, "egress"), "{url}");
        assert_eq!(tried.body["response"], Value::Null);
        assert!(tried.text("/error").contains("egress rule"), "{tried:?}");
    }
    let body = json!({"event_type": "people.deleted", "dat": 1});
    let wrong = desk.post(&format!("/subscriptions/{id}/test"), body).await;
    assert_eq!(wrong.wrong_fields(), ["event_type", "dat"]);
}
