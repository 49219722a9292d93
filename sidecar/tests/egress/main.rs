//! The egress rule at the three places where it holds: when a subscription is written, when it is
//! tried, and at each attempt.
//!
//! Invariant: on every address of this machine a canary listens, and none of what is denied reaches
//! it; the same with the address allowed does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is how a test fails")]

mod canary;
#[path = "../api/contract.rs"]
mod contract;
#[expect(dead_code, reason = "it serves the tests of the API too")]
#[path = "../api/desk.rs"]
mod desk;
mod names;
#[path = "../scripts/opened.rs"]
mod opened;
#[expect(dead_code, reason = "it serves the delivery tests too")]
#[path = "../delivery/stage.rs"]
mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sidehook::{
    deliver::egress::Rule,
    model::{Cause, Outcome, State, Target},
};

use canary::Canary;
use desk::Desk;
use stage::{Stage, event};

/// Every denied range, in every form that a resolver or a URL parser takes for an address. Those
/// of loopback would reach the canary.
const DENIED: [&str; 61] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "0.0.0.1",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "127.0.0.1.",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "any.localhost",
    "%6c%6fcalhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.2",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "255.255.255.255",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[3fff::1]",
    "[5f00::1]",
    "[fd00::2]",
    "[fd00:ec2::254]",
    "[fe80::1]",
];

/// Forms that are no URL of a receiver at all.
const MALFORMED: [&str; 12] = [
    "http://user@127.0.0.1/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\\@example.com/",
    "http://127.0.0.1 /",
    "http://[::1%25eth0]/",
    "http:///hook",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "http://127.0.0.256/",
    "http://0x100000000/",
];

fn hook(url: &str) -> Value {
    json!({"url": url, "event_type": "people.created"})
}

#[tokio::test]
async fn what_is_denied_is_refused_when_it_is_written() {
    let canary = Canary::start().await;
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("http://93.184.215.14/hook")).await;
    assert_eq!(made.status, StatusCode::CREATED, "a public one");
    let place = format!("/subscriptions/{}", made.text("/id"));
    let malformed = MALFORMED.iter().map(|url| (*url).to_owned());
    for url in DENIED.iter().map(|host| canary.url(host)).chain(malformed) {
        for answer in [
            desk.post("/subscriptions/", hook(&url)).await,
            desk.patch(&place, json!({"url": url})).await,
        ] {
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {answer:?}");
            assert_eq!(answer.wrong_fields(), ["url"], "{url}");
        }
    }
    assert_eq!(desk.get("/subscriptions").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(canary.sung(), 0);
}

#[tokio::test]
async fn what_is_denied_is_not_tried() {
    let canary = Canary::start().await;
    let desk = Desk::open().await;
    let made = desk.post("/subscriptions/", hook("http://93.184.215.14/hook")).await;
    let place = format!("/subscriptions/{}/test", made.text("/id"));
    for url in DENIED.iter().map(|host| canary.url(host)) {
        desk.smuggle(made.text("/id").parse().unwrap(), &url).await;
        let tried = desk.post(&place, json!({})).await;
        assert_eq!((tried.status, tried.text("/outcome")), (StatusCode::OK, "egress"), "{url}");
        assert!(tried.text("/error").contains("which the egress rule does not allow"), "{url}");
    }
    assert_eq!(canary.sung(), 0);
}

#[tokio::test]
async fn what_is_denied_is_not_attempted_and_becomes_a_dead_letter() {
    let canary = Canary::start().await;
    let stage = Stage::with(1000, Rule::default()).await;
    for host in DENIED {
        // Past every check, straight into the store.
        stage.subscribe_url(&canary.url(host), "people.created").await;
    }
    // Several forms are one URL.
    let targets = DENIED.map(|host| Target::parse(&canary.url(host)).unwrap().as_str().to_owned());
    let mut targets = targets.to_vec();
    targets.sort_unstable();
    targets.dedup();
    stage.store([event(1, "people.created")]).await;
    for delivery in stage.settled(targets.len()).await {
        let cause = delivery.death.as_ref().map(|death| death.cause);
        assert_eq!((delivery.state, cause), (State::Dead, Some(Cause::Egress)), "{delivery:?}");
        assert_eq!(delivery.last_outcome, Some(Outcome::Egress));
    }
    assert_eq!(canary.sung(), 0);
}

#[tokio::test]
async fn what_is_allowed_is_written_tried_and_delivered() {
    let canary = Canary::start().await;
    let allowed = || Rule::allowing(["127.0.0.1".parse().unwrap()]);
    let desk = Desk::open_with(None, allowed()).await;
    let stage = Stage::with(1000, allowed()).await;
    let forms = ["127.0.0.1", "127.1", "0x7f.1", "[::ffff:127.0.0.1]"];
    for (number, host) in forms.into_iter().enumerate() {
        let url = canary.url(host);
        let made = desk.post("/subscriptions/", hook(&url)).await;
        assert!(made.status.is_success(), "{url}: {made:?}");
        let place = format!("/subscriptions/{}/test", made.text("/id"));
        assert_eq!(desk.post(&place, json!({})).await.text("/outcome"), "success", "{url}");
        assert_eq!(canary.sung(), number + 1);
    }
    stage.subscribe_url(&canary.url("127.0.0.1"), "people.created").await;
    stage.store([event(1, "people.created")]).await;
    assert_eq!(stage.settled(1).await[0].state, State::Delivered);
    assert_eq!(canary.sung(), forms.len() + 1);
    let beside = desk.post("/subscriptions/", hook(&canary.url("127.0.0.2"))).await;
    assert_eq!(beside.wrong_fields(), ["url"], "and nothing beside it");
}

#[tokio::test]
async fn where_only_https_is_allowed_nothing_goes_out_in_clear() {
    let canary = Canary::start().await;
    let rule = || Rule::allowing(["127.0.0.1".parse().unwrap()]).https_only(true);
    let desk = Desk::open_with(None, rule()).await;
    let refused = desk.post("/subscriptions/", hook(&canary.url("127.0.0.1"))).await;
    assert_eq!(refused.wrong_fields(), ["url"]);
    assert!(refused.text("/detail").contains("must begin with https://"), "{refused:?}");
    let stage = Stage::with(1000, rule()).await;
    stage.subscribe_url(&canary.url("127.0.0.1"), "people.created").await;
    stage.store([event(1, "people.created")]).await;
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!(delivery.death.as_ref().map(|death| death.cause), Some(Cause::Egress));
    assert_eq!(canary.sung(), 0);
}
