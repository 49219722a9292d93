//! Lists and what they show.
//!
//! Invariant: the pages of a list together are the list.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::desk::Desk;

/// The ids of all pages of two.
async fn pages(desk: &Desk, path: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = desk.get(&format!("{path}limit=2{cursor}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let data = answer.body["data"].as_array().unwrap();
        pages.push(data.iter().map(|shown| shown["id"].as_str().unwrap().to_owned()).collect());
        match &answer.body["next"] {
            Value::Null => return pages,
            next => cursor = format!("&cursor={}", next.as_str().unwrap()),
        }
    }
}

#[tokio::test]
async fn an_empty_list_has_no_next_page() {
    let desk = Desk::open().await;
    for path in ["/subscriptions", "/events", "/deliveries", "/events/", "/deliveries/"] {
        let answer = desk.get(path).await;
        assert_eq!(answer.body, json!({"data": [], "next": null}), "{path}");
    }
}

#[tokio::test]
async fn subscriptions_are_listed_newest_first_without_secrets() {
    let desk = Desk::open().await;
    let mut made = Vec::new();
    for action in ["created", "updated", "deleted"] {
        let body = json!({"url": "https://93.184.215.14/", "event_type": action});
        made.push(desk.post("/subscriptions/", body).await.text("/id").to_owned());
    }
    made.reverse();
    assert_eq!(pages(&desk, "/subscriptions?").await.concat(), made);
    let answer = desk.get("/subscriptions/").await;
    let shown = answer.body["data"].as_array().unwrap();
    assert!(shown.iter().all(|subscription| subscription.get("secret").is_none()));
}

#[tokio::test]
async fn events_are_listed_by_what_is_asked_for() {
    let desk = Desk::open().await;
    let first = desk.happened(1, "people.created", "1").await.to_string();
    let second = desk.happened(2, "people.deleted", "1").await.to_string();
    let third = desk.happened(3, "people.created", "2").await.to_string();
    assert_eq!(
        pages(&desk, "/events?").await,
        [vec![third.clone(), second.clone()], vec![first.clone()]]
    );
    assert_eq!(
        pages(&desk, "/events?type=people.created&").await,
        [[third.clone(), first.clone()]]
    );
    assert_eq!(pages(&desk, "/events?subject=1&").await, [[second, first.clone()]]);
    assert_eq!(pages(&desk, "/events?type=people.created&subject=1&").await, [[first]]);
    assert_eq!(pages(&desk, "/events?since=2025-11-23T09:30:00Z&").await.concat().len(), 3);
    let later = pages(&desk, "/events?since=2025-11-23T09:30:00.000001Z&").await;
    assert_eq!(later.concat(), Vec::<String>::new());
}

#[tokio::test]
async fn deliveries_are_listed_by_what_is_asked_for() {
    let desk = Desk::open().await;
    let body = json!({"url": "https://93.184.215.14/", "event_type": "created"});
    let id = desk.post("/subscriptions/", body).await.text("/id").to_owned();
    let first = desk.failed(1, id.parse().unwrap()).await.to_string();
    let second = desk.failed(2, id.parse().unwrap()).await.to_string();
    let both = [[second.clone(), first.clone()]];
    assert_eq!(pages(&desk, "/deliveries?").await, both);
    assert_eq!(pages(&desk, "/deliveries?state=pending&").await, both);
    assert_eq!(pages(&desk, &format!("/deliveries?subscription_id={id}&")).await, both);
    assert_eq!(pages(&desk, "/deliveries?state=dead&").await.concat().len(), 0);
    let event = first.replace("dlv_", "evt_");
    assert_eq!(pages(&desk, &format!("/deliveries?event_id={event}&")).await, [[first]]);
}

#[tokio::test]
async fn a_delivery_shows_its_attempts_only_by_itself() {
    let desk = Desk::open().await;
    let body = json!({"url": "https://93.184.215.14/", "event_type": "created"});
    let subscription = desk.post("/subscriptions/", body).await.text("/id").parse().unwrap();
    let id = desk.failed(1, subscription).await;
    let listed = desk.get("/deliveries").await;
    assert_eq!(listed.body["data"][0].get("attempt_log"), None);
    let shown = desk.get(&format!("/deliveries/{id}")).await;
    assert_eq!(shown.body["attempt_log"][0]["status_code"], 503);
}

#[tokio::test]
async fn what_is_not_there_is_not_shown() {
    let desk = Desk::open().await;
    for path in [
        "/events/evt_01h2xcejqtf2nbrexx3vqjhp41",
        "/events/1",
        "/deliveries/dlv_01h2xcejqtf2nbrexx3vqjhp41",
        "/deliveries/evt_01h2xcejqtf2nbrexx3vqjhp41",
    ] {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.text("/type"), "/problems/not-found");
    }
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named() {
    let desk = Desk::open().await;
    for (path, fields) in [
        ("/subscriptions?limit=0", &["limit"][..]),
        ("/subscriptions?limit=201&cursor=2", &["limit", "cursor"]),
        ("/subscriptions?event_type=created", &["event_type"]),
        ("/events?type=people&since=now", &["type", "since"]),
        ("/deliveries?state=lost&event_id=42", &["state", "event_id"]),
        ("/deliveries?limit=1&limit=2", &["limit"]),
    ] {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(answer.wrong_fields(), fields, "{path}");
    }
}
