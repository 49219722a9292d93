//! The life of a token: made, used, revoked here and elsewhere.
//!
//! Invariant: what is seen of a token after it was made is never the token.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, Request, StatusCode};
use serde_json::Value;
use sidehook::{
    clock::SystemClock,
    model::{Scope, Scopes},
};

use crate::house::{API_TOKEN, Answer, House, Made};

async fn post(house: &House, token: Option<&str>, body: &'static str) -> Answer {
    let mut request = Request::post("/tokens").header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    house.send(request, body).await
}

#[tokio::test]
async fn a_token_works_as_soon_as_it_was_answered_and_until_it_is_revoked() {
    let house = House::closed().await;
    let body = r#"{"name": "grafana", "scopes": ["events:read"], "expires_in": "90d"}"#;
    let made = post(&house, Some(API_TOKEN), body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.header("cache-control"), "no-store");
    let token = made.member("token");
    let read = house.ask(&Method::GET, "/events", Some(&token)).await;
    assert_eq!(read.status, StatusCode::OK);

    let path = format!("/tokens/{}", made.member("id"));
    let by_itself = house.ask(&Method::DELETE, &path, Some(&token)).await;
    assert_eq!(by_itself.status, StatusCode::FORBIDDEN);
    for _ in 0..2 {
        let revoked = house.ask(&Method::DELETE, &path, Some(API_TOKEN)).await;
        assert_eq!(revoked.status, StatusCode::NO_CONTENT);
        let read = house.ask(&Method::GET, "/events", Some(&token)).await;
        assert_eq!((read.status, read.member("detail")), refusal("the bearer token was revoked"));
    }
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let house = House::closed().await;
    let made = post(&house, Some(API_TOKEN), r#"{"name": "ci", "scopes": ["admin"]}"#).await;
    let token = made.member("token");
    let list = house.ask(&Method::GET, "/tokens", Some(&token)).await;
    let shown: Value = serde_json::from_str(&list.text).unwrap();
    assert_eq!(shown["data"][0]["id"], made.member("id"));
    assert_eq!(shown["data"][0]["scopes"], serde_json::json!(["admin"]));
    assert_eq!(shown["data"][0]["token"], Value::Null);
    // Not even a part of it but the id, which both begin with.
    assert!(!list.text.contains(&token[40..60]), "{}", list.text);
    let stored = format!("{:?}", house.store.all_tokens().await.unwrap());
    assert!(!stored.contains(&token[40..60]), "{stored}");
}

#[tokio::test]
async fn the_first_token_must_be_able_to_make_others() {
    let house = House::open().await;
    let refused = post(&house, None, r#"{"name": "ci", "scopes": ["events:read"]}"#).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.member("detail").contains("scopes must hold admin"), "{refused:?}");
    // A gateway's token asks nothing of the API.
    let gateway = post(&house, None, r#"{"name": "edge", "scopes": ["events:write"]}"#).await;
    assert_eq!(gateway.status, StatusCode::CREATED);
    let ingest = house.ask(&Method::POST, "/ingest", None).await;
    assert_eq!(ingest.status, StatusCode::UNAUTHORIZED);

    let admin = post(&house, None, r#"{"name": "me", "scopes": ["admin"]}"#).await;
    let admin = admin.member("token");
    let now_closed = post(&house, None, r#"{"name": "ci", "scopes": ["events:read"]}"#).await;
    assert_eq!(now_closed.status, StatusCode::UNAUTHORIZED);
    let by_admin = post(&house, Some(&admin), r#"{"name": "ci", "scopes": ["events:read"]}"#).await;
    assert_eq!(by_admin.status, StatusCode::CREATED);
}

#[tokio::test]
async fn with_its_last_token_revoked_the_api_stays_shut() {
    let house = House::open().await;
    let admin = post(&house, None, r#"{"name": "me", "scopes": ["admin"]}"#).await;
    let (id, admin) = (admin.member("id"), admin.member("token"));
    let gone = house.ask(&Method::DELETE, &format!("/tokens/{id}"), Some(&admin)).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for token in [None, Some(&*admin)] {
        let shut = house.ask(&Method::GET, "/events", token).await;
        assert_eq!(shut.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_token_that_another_process_revokes_stops_working_within_moments() {
    let house = House::closed().await;
    let Made { id, token } = house.token(Scopes::only(Scope::Admin), None).await;
    let (access, store) = (Arc::clone(&house.access), Arc::clone(&house.store));
    let watching = tokio::spawn(async move {
        access.watch(&*store, &SystemClock::start()).await;
    });
    assert_eq!(house.ask(&Method::GET, "/tokens", Some(&token)).await.status, StatusCode::OK);
    // Past the routes of this process, as another would.
    house.store.revoke_token(id, house.clock.now()).await.unwrap();
    let took = house.until_refused(&token).await;
    // A second, and as much again for a busy machine.
    assert!(took < Duration::from_secs(2), "{took:?}");
    watching.abort();
}

#[tokio::test]
async fn a_page_from_elsewhere_is_not_served_where_no_token_is_asked_for() {
    let house = House::open().await;
    let body = r#"{"name": "evil", "scopes": ["admin"]}"#;
    for (name, value) in [("origin", "http://evil.example"), ("host", "evil.example:5000")] {
        // Without a content type, as a page may send it without being allowed to.
        let answer = house.send(Request::post("/tokens").header(name, value), body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        assert_eq!(answer.member("type"), "/problems/foreign-page");
        assert!(!answer.body_was_read);
    }
    assert_eq!(house.store.all_tokens().await.unwrap(), []);
    let ours = Request::post("/tokens")
        .header("host", "localhost:5000")
        .header("origin", "http://localhost:5000");
    assert_eq!(house.send(ours, body).await.status, StatusCode::CREATED);
}

fn refusal(detail: &str) -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, detail.to_owned())
}
