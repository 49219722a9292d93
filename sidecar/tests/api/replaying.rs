//! Events delivered again, as who asks for it sees it.
//!
//! Invariant: nobody is sent what they do not ask for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::desk::Desk;

async fn subscribed(desk: &Desk, url: &str, pattern: &str) -> String {
    let hook = json!({"url": url, "event_type": pattern});
    desk.post("/subscriptions/", hook).await.text("/id").to_owned()
}

/// The events delivered to this subscription, the latest delivery first.
async fn events_of(desk: &Desk, subscription: &str) -> Vec<String> {
    let answer = desk.get(&format!("/deliveries?subscription_id={subscription}&limit=200")).await;
    let data = answer.body["data"].as_array().unwrap();
    data.iter().map(|delivery| delivery["event_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_event_is_replayed_to_whoever_asks_for_it_or_to_one_of_them() {
    let desk = Desk::open().await;
    let event = desk.dispatched(1, "people.created", "42").await.to_string();
    let wants = subscribed(&desk, "http://example.com/a", "people.*").await;
    let wants_too = subscribed(&desk, "http://example.com/b", "created").await;
    let other = subscribed(&desk, "http://example.com/c", "deleted").await;
    let replay = format!("/events/{event}/replay");
    let done = desk.post(&replay, json!({})).await;
    assert_eq!((done.status, &done.body), (StatusCode::OK, &json!({"count": 2, "dry_run": false})));
    let done = desk.post(&replay, json!({"subscription_id": wants})).await;
    assert_eq!(done.body["count"], 1);
    assert_eq!(events_of(&desk, &wants).await, [event.clone(), event.clone()]);
    assert_eq!(events_of(&desk, &wants_too).await, [event]);

    let refused = desk.post(&replay, json!({"subscription_id": other})).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.text("/detail"), "the subscription does not ask for people.created");
    let unknown = desk.post(&replay, json!({"subscription_id": event_like(&wants), "to": 1})).await;
    assert_eq!(unknown.wrong_fields(), ["to"]);
    desk.post(&format!("/subscriptions/{wants}/disable"), json!({})).await;
    let refused = desk.post(&replay, json!({"subscription_id": wants})).await;
    assert_eq!(refused.text("/detail"), "the subscription is not enabled");
    let none = desk.post("/events/evt_00000000000000000000000009/replay", json!({})).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

/// The same with another last digit.
fn event_like(id: &str) -> String {
    let (rest, last) = id.split_at(id.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn an_event_that_waits_to_be_dispatched_is_delivered_anyway() {
    let desk = Desk::open().await;
    let event = desk.happened(1, "people.created", "42").await;
    let wants = subscribed(&desk, "http://example.com/a", "people.*").await;
    let refused = desk.post(&format!("/events/{event}/replay"), json!({})).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(events_of(&desk, &wants).await, [""; 0]);
}

#[tokio::test]
async fn a_new_subscriber_gets_what_happened_since_some_time_the_oldest_first() {
    const MANY: u128 = 450;
    let desk = Desk::open().await;
    let mut expected = Vec::new();
    for id in 0..MANY {
        let event_type = if id % 3 == 0 { "people.created" } else { "orders.created" };
        let event = desk.dispatched(id, event_type, &(id % 2).to_string()).await;
        if id % 3 == 0 {
            expected.insert(0, event.to_string());
        }
    }
    let new = subscribed(&desk, "http://example.com/a", "people.*").await;
    let replay = format!("/subscriptions/{new}/replay");
    let ask = async |body: Value| desk.post(&replay, body).await.body["count"].clone();
    let since = "2020-01-01T00:00:00Z";
    assert_eq!(ask(json!({"since": since, "dry_run": true})).await, 150);
    assert_eq!(ask(json!({"since": since, "until": "2020-01-02T00:00:00Z"})).await, 0);
    assert_eq!(ask(json!({"since": since, "event_type": "orders.created"})).await, 0);
    assert_eq!(ask(json!({"since": since, "subject": "1", "dry_run": true})).await, 75);
    assert_eq!(events_of(&desk, &new).await, [""; 0]);

    assert_eq!(ask(json!({"since": since, "missing_only": true})).await, 150);
    assert_eq!(events_of(&desk, &new).await, expected);
    assert_eq!(ask(json!({"since": since, "missing_only": true})).await, 0);
    assert_eq!(ask(json!({"since": since})).await, 150);
    assert_eq!(ask(json!({"since": "2100-01-01T00:00:00Z"})).await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_replay_is_named_by_its_fields() {
    let desk = Desk::open().await;
    let new = subscribed(&desk, "http://example.com/a", "people.*").await;
    let replay = format!("/subscriptions/{new}/replay");
    let answer = desk.post(&replay, json!({"until": "noon", "dry": true})).await;
    assert_eq!(answer.wrong_fields(), ["since", "until", "dry"]);
    let missing = format!("/subscriptions/{}/replay", event_like(&new));
    let missing = desk.post(&missing, json!({"since": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}
