//! `/stream`: who may listen, to what, and what becomes of those who are slow. That it tells what
//! happens is shown at a sidecar that runs.
//!
//! Invariant: every reading has a limit.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::json;
use sidehook::{
    live::{Happening, LAG, LISTENERS, What},
    model::SubscriptionId,
};
use sidehook_event::{EventId, TypeId as _, UnixMicros};

use crate::desk::Desk;

fn event(number: u128) -> Happening {
    let what = What::Event {
        id: EventId::from_bits(number),
        event_type: "people.created".parse().unwrap(),
        source: "edge".to_owned(),
    };
    Happening { at: UnixMicros::EPOCH, what }
}

async fn listen(desk: &Desk, path: &str) -> (StatusCode, Body) {
    let (parts, body) = desk.begin(Request::get(path).body(Body::empty()).unwrap()).await;
    (parts.status, body)
}

/// Reads until it holds this.
async fn until(body: &mut Body, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.contains(wanted) {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert!(read.is_ok(), "no {wanted} in {text}");
    text
}

#[tokio::test]
async fn who_listens_hears_what_it_asked_for_and_nothing_else() {
    let desk = Desk::open().await;
    let (status, mut body) = listen(&desk, "/stream?kind=circuit").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(until(&mut body, "\n\n").await, ": listening\n\n");
    let id = SubscriptionId::from_bits(1);
    desk.live.tell(|| [event(1), Happening::circuit(id, true, UnixMicros::EPOCH)]);
    let told = until(&mut body, "event:").await;
    let told = told.replace(": still here\n\n", "");
    let expected = format!(
        "event: circuit\ndata: {{\"at\":\"1970-01-01T00:00:00.000000Z\",\"host\":null,\
         \"kind\":\"circuit\",\"state\":\"open\",\"subscription_id\":\"{id}\"}}\n\n"
    );
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_how_many_it_missed() {
    let desk = Desk::open().await;
    let (_, mut body) = listen(&desk, "/stream").await;
    until(&mut body, ": listening").await;
    // Nobody waits for it.
    desk.live.tell(|| (0..LAG as u128 + 7).map(event));
    let told = until(&mut body, "event: event").await;
    let missed = "event: missed\ndata: {\"count\":7,\"kind\":\"missed\"}\n\nevent: event\n";
    assert!(told.contains(missed), "{}", told.get(..500).unwrap_or(&told));
}

#[tokio::test]
async fn no_more_listen_than_may_until_one_leaves() {
    let desk = Desk::open().await;
    let mut all = Vec::new();
    for _ in 0..LISTENERS {
        let (status, body) = listen(&desk, "/stream").await;
        assert_eq!(status, StatusCode::OK);
        all.push(body);
    }
    let answer = desk.get("/stream").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text("/type"), "/problems/unavailable");
    assert_eq!(answer.text("/detail"), "32 listen already, and that is the most");
    assert_eq!(answer.header("retry-after"), "5");
    all.pop();
    assert_eq!(listen(&desk, "/stream").await.0, StatusCode::OK);
}

#[tokio::test]
async fn at_the_end_the_stream_ends_and_nobody_is_let_in() {
    let desk = Desk::open().await;
    let (_, body) = listen(&desk, "/stream").await;
    desk.live.end();
    let whole = tokio::time::timeout(Duration::from_secs(20), body.collect()).await;
    assert!(whole.is_ok(), "the stream goes on");
    let answer = desk.get("/stream").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text("/detail"), "shutting down");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named_and_nobody_listens() {
    let desk = Desk::open().await;
    let answer =
        desk.get("/stream?kind=all&event_type=*.*&subscription_id=1&outcome=bad&x=1").await;
    let fields = ["kind", "event_type", "subscription_id", "outcome", "x"];
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.wrong_fields(), fields);
    assert!(!desk.live.is_heard());
}

#[tokio::test]
async fn a_page_from_elsewhere_does_not_hear_anything() {
    let desk = Desk::open().await;
    for (name, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        let request = Request::get("/stream").header(name, value).body(Body::empty()).unwrap();
        let answer = desk.send(request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        assert_eq!(answer.text("/type"), "/problems/foreign-page");
    }
}

#[tokio::test]
async fn who_may_no_longer_listen_is_let_go() {
    let desk = Desk::open().await;
    let (status, body) = listen(&desk, "/stream").await;
    assert_eq!(status, StatusCode::OK);
    // From now on a token is asked for.
    let made = desk.post("/tokens", json!({"name": "me", "scopes": ["admin"]})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let whole = tokio::time::timeout(Duration::from_secs(20), body.collect()).await;
    assert!(whole.is_ok(), "it still hears");
    assert_eq!(desk.get("/stream").await.status, StatusCode::UNAUTHORIZED);
}
