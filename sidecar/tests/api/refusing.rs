//! What is refused, and how it is said.
//!
//! Invariant: every refusal is `application/problem+json` with a stable `type`.

use axum::http::{Method, Request, StatusCode};
use serde_json::json;

use crate::desk::{Answer, Desk};

fn assert_problem(answer: &Answer, status: StatusCode, kind: &str) {
    assert_eq!((answer.status, answer.text("/type")), (status, kind), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.body["status"], status.as_u16());
    assert!(!answer.text("/title").is_empty() && !answer.text("/detail").is_empty());
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let desk = Desk::open().await;
    for body in ["", "{", "url=http://example.com", "{\"url\": 1,}", "[[[[", "\u{feff}{}"] {
        let answer = desk.ask(Method::POST, "/subscriptions/", body).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/malformed");
    }
    let deep = "[".repeat(100_000);
    let answer = desk.ask(Method::POST, "/subscriptions/", deep).await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/malformed");
}

#[tokio::test]
async fn what_is_json_but_no_subscription_is_invalid() {
    let desk = Desk::open().await;
    for (body, fields) in [
        (json!(null), &[""][..]),
        (json!([]), &[""]),
        (json!({}), &["url", "event_type"]),
        (json!({"url": "http://93.184.215.14/", "event_type": ""}), &["event_type"]),
        (
            json!({"url": 1, "event_type": "created", "custom_headers": {"X-N": 3}, "x": null}),
            &["url", "custom_headers.x-n", "x"],
        ),
        (
            json!({"url": "http://93.184.215.14/", "event_type": "created",
                   "custom_payload": {"type": "mine", "data": {}}}),
            &["custom_payload.data", "custom_payload.type"],
        ),
    ] {
        let answer = desk.post("/subscriptions/", body).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid");
        assert_eq!(answer.wrong_fields(), fields);
    }
    assert!(desk.listeners("people.created").is_empty());
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let desk = Desk::open().await;
    let request = Request::post("/subscriptions/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("{}".into())
        .unwrap();
    let answer = desk.send(request).await;
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    assert_problem(&answer, status, "/problems/unsupported-media-type");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let desk = Desk::open().await;
    let body = json!({"description": "x".repeat(256 * 1024)});
    let answer = desk.post("/subscriptions/", body).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let desk = Desk::open().await;
    for path in ["/", "/subscription", "/subscriptions//", "/subscriptions/a/b/c", "/events/a/b"] {
        let answer = desk.get(path).await;
        assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/not-found");
    }
    for (method, path, allow) in [
        (Method::PUT, "/subscriptions/", "POST,GET,HEAD"),
        (Method::PUT, "/subscriptions/sub_1", "GET,HEAD,PATCH,DELETE"),
        (Method::PUT, "/subscriptions/sub_1/secret", "GET,HEAD,DELETE"),
        (Method::DELETE, "/events", "GET,HEAD,POST"),
        (Method::PATCH, "/deliveries/dlv_1/", "GET,HEAD"),
    ] {
        let answer = desk.ask(method, path, "").await;
        assert_problem(&answer, StatusCode::METHOD_NOT_ALLOWED, "/problems/method-not-allowed");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_done() {
    let desk = Desk::open_with_token(Some("open sesame")).await;
    let ask = async |authorization: Option<&str>, method: Method, path: &str| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        desk.send(request.body("{".into()).unwrap()).await
    };
    for (method, path) in [
        (Method::GET, "/subscriptions"),
        (Method::POST, "/subscriptions/"),
        (Method::DELETE, "/subscriptions/http:~~example.com/created"),
        (Method::GET, "/events"),
        (Method::GET, "/deliveries/"),
    ] {
        for authorization in [None, Some("Bearer open"), Some("Basic open sesame"), Some("Bearer ")]
        {
            let answer = ask(authorization, method.clone(), path).await;
            assert_problem(&answer, StatusCode::UNAUTHORIZED, "/problems/unauthorized");
            assert!(answer.header("www-authenticate").starts_with("Bearer realm="));
        }
    }
    let answer = ask(Some("Bearer open sesame"), Method::GET, "/subscriptions").await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = ask(Some("bearer open sesame"), Method::POST, "/subscriptions").await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/malformed");
}

#[tokio::test]
async fn while_the_store_is_away_one_may_try_again() {
    let desk = Desk::open().await;
    desk.lose_the_store().await;
    let body = json!({"url": "http://93.184.215.14/", "event_type": "created"});
    let known = "/subscriptions/sub_01h2xcejqtf2nbrexx3vqjhp41";
    for answer in [
        desk.post("/subscriptions/", body).await,
        desk.get("/subscriptions/").await,
        desk.patch(known, json!({})).await,
        desk.delete(known).await,
        desk.get("/events").await,
        desk.get("/deliveries/dlv_01h2xcejqtf2nbrexx3vqjhp41").await,
    ] {
        assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable");
        assert_eq!(answer.header("retry-after"), "5");
    }
}
