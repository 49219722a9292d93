//! Dead letters, as their owner sees them, delivers them again and forgets them.
//!
//! Invariant: nothing but what is dead is found under `/dead-letters`.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sidehook::model::{Cause, SubscriptionId};

use crate::desk::{Answer, Desk};

async fn subscribed(desk: &Desk, url: &str) -> SubscriptionId {
    let hook = json!({"url": url, "event_type": "people.created"});
    desk.post("/subscriptions/", hook).await.text("/id").parse().unwrap()
}

fn ids(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let data = answer.body["data"].as_array().unwrap();
    data.iter().map(|letter| letter["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_its_cause_its_error_and_its_attempts() {
    let desk = Desk::open().await;
    let subscription = subscribed(&desk, "http://example.com/a").await;
    let (dead, pending) = (
        desk.died(1, subscription, Cause::Exhausted).await.to_string(),
        desk.failed(2, subscription).await,
    );
    let listed = desk.get("/dead-letters").await;
    assert_eq!(ids(&listed), [dead.as_str()]);
    assert_eq!(listed.body["data"][0]["error"], "answered 503");
    let shown = desk.get(&format!("/dead-letters/{dead}")).await;
    assert_eq!((shown.text("/state"), shown.text("/cause")), ("dead", "exhausted"));
    assert_eq!(shown.body["attempt_log"].as_array().unwrap().len(), 1);
    let alive = desk.get(&format!("/dead-letters/{pending}")).await;
    assert_eq!(alive.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_is_redriven_or_forgotten() {
    let desk = Desk::open().await;
    let subscription = subscribed(&desk, "http://example.com/a").await;
    let first = desk.died(1, subscription, Cause::Exhausted).await;
    let second = desk.died(2, subscription, Cause::Egress).await;
    let redriven = desk.ask(Method::POST, &format!("/dead-letters/{first}/redrive"), "").await;
    assert_eq!((redriven.status, redriven.text("/state")), (StatusCode::OK, "pending"));
    assert_eq!((&redriven.body["cause"], &redriven.body["attempts"]), (&Value::Null, &json!(1)));
    let again = desk.ask(Method::POST, &format!("/dead-letters/{first}/redrive"), "").await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let gone = desk.ask(Method::DELETE, &format!("/dead-letters/{second}"), "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(desk.get(&format!("/deliveries/{second}")).await.status, StatusCode::NOT_FOUND);
    let alive = desk.ask(Method::DELETE, &format!("/dead-letters/{first}"), "").await;
    assert_eq!(alive.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_whose_subscription_is_gone_has_nobody_to_go_to() {
    let desk = Desk::open().await;
    let subscription = subscribed(&desk, "http://example.com/a").await;
    let dead = desk.died(1, subscription, Cause::Exhausted).await;
    desk.ask(Method::DELETE, &format!("/subscriptions/{subscription}"), "").await;
    let refused = desk.ask(Method::POST, &format!("/dead-letters/{dead}/redrive"), "").await;
    assert_eq!(
        (refused.status, refused.text("/type")),
        (StatusCode::CONFLICT, "/problems/conflict")
    );
}

#[tokio::test]
async fn many_are_redriven_by_a_filter_that_can_be_tried_before() {
    const MANY: u128 = 450;
    let desk = Desk::open().await;
    let subscription = subscribed(&desk, "http://example.com/a").await;
    let other = subscribed(&desk, "http://example.com/b").await;
    for id in 0..MANY {
        desk.died(id, subscription, Cause::Exhausted).await;
    }
    desk.died(MANY, subscription, Cause::Egress).await;
    desk.died(MANY + 1, other, Cause::Exhausted).await;

    let filter = json!({"cause": "exhausted", "subscription_id": subscription.to_string()});
    let ask = async |filter: &Value, dry_run: bool| {
        let body = json!({"filter": filter, "dry_run": dry_run});
        desk.post("/dead-letters/redrive", body).await.body
    };
    assert_eq!(ask(&filter, true).await, json!({"count": MANY, "dry_run": true}));
    let before = json!({"until": "2020-01-01T00:00:00Z"});
    assert_eq!(ask(&before, false).await, json!({"count": 0, "dry_run": false}));
    assert_eq!(ask(&filter, false).await, json!({"count": MANY, "dry_run": false}));
    assert_eq!(ask(&filter, true).await, json!({"count": 0, "dry_run": true}));
    assert_eq!(ids(&desk.get("/dead-letters").await).len(), 2);
    assert_eq!(ids(&desk.get("/dead-letters?cause=egress").await).len(), 1);
    assert_eq!(ids(&desk.get("/dead-letters?event_type=people.deleted").await).len(), 0);
    assert_eq!(ids(&desk.get("/dead-letters?until=2020-01-01T00:00:00Z").await).len(), 0);

    let discarded = desk.post("/dead-letters/discard", json!({"filter": {}})).await;
    assert_eq!(discarded.body, json!({"count": 2, "dry_run": false}));
    assert!(ids(&desk.get("/dead-letters").await).is_empty());
}

#[tokio::test]
async fn a_filtered_list_shows_each_once_page_by_page() {
    let desk = Desk::open().await;
    let subscription = subscribed(&desk, "http://example.com/a").await;
    let mut expected = Vec::new();
    for id in 0..60 {
        let cause = if id % 3 == 0 { Cause::Egress } else { Cause::Exhausted };
        let dead = desk.died(id, subscription, cause).await.to_string();
        if cause == Cause::Egress {
            expected.insert(0, dead);
        }
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = desk.get(&format!("/dead-letters?cause=egress&limit=7{next}")).await;
        let shown = ids(&page);
        assert!(shown.len() <= 7);
        seen.extend(shown.into_iter().map(str::to_owned));
        match page.text("/next") {
            "" => break,
            cursor => next = format!("&cursor={cursor}"),
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_filter_that_is_wrong_is_named_by_its_fields() {
    let desk = Desk::open().await;
    let body = json!({"filter": {"cause": "bad luck", "state": "dead"}, "dry": true});
    let answer = desk.post("/dead-letters/redrive", body).await;
    assert_eq!(answer.wrong_fields(), ["filter.cause", "filter.state", "dry"]);
    let answer = desk.get("/dead-letters?cause=bad&since=noon&state=dead").await;
    assert_eq!(answer.wrong_fields(), ["cause", "since", "state"]);
}
