//! Names that resolve to another address each time.
//!
//! Invariant: the connection goes to an address that was judged, and the name is resolved once for
//! it.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::json;
use sidehook::{
    deliver::{egress::Rule, resolve::Resolve},
    model::{Cause, State},
};

use crate::{
    canary::Canary,
    desk::Desk,
    hook,
    stage::{Stage, event},
};

/// Answers so, one after the other; the last answer stays.
#[derive(Debug, Default)]
struct Changing {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<usize>,
}

impl Changing {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = answers
            .iter()
            .map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>());
        Arc::new(Self { answers: Mutex::new(parsed.collect()), asked: Mutex::new(0) })
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

#[async_trait]
impl Resolve for Changing {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(next.unwrap_or_default())
    }
}

#[tokio::test]
async fn a_name_that_is_public_when_it_is_written_and_local_afterwards_is_denied() {
    let canary = Canary::start().await;
    let url = canary.url("rebinding.test");
    let resolver = Changing::new(&[&["93.184.215.14"], &["127.0.0.1"]]);
    let rule = Rule::default().resolving_by(resolver.clone());
    let desk = Desk::open_with(None, rule).await;
    let made = desk.post("/subscriptions/", hook(&url)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let tried = desk.post(&format!("/subscriptions/{}/test", made.text("/id")), json!({})).await;
    assert_eq!(tried.text("/outcome"), "egress");
    assert_eq!(resolver.asked(), 2);

    let rule = Rule::default().resolving_by(Changing::new(&[&["127.0.0.1"]]));
    let stage = Stage::with(1000, rule).await;
    stage.subscribe_url(&url, "people.created").await;
    stage.store([event(1, "people.created")]).await;
    let settled = stage.settled(1).await;
    assert_eq!(settled[0].death.as_ref().map(|death| death.cause), Some(Cause::Egress));
    assert_eq!(canary.sung(), 0);
}

#[tokio::test]
async fn one_denied_address_among_public_ones_denies_the_name() {
    let canary = Canary::start().await;
    let resolver = Changing::new(&[&["93.184.215.14", "::1"]]);
    let desk = Desk::open_with(None, Rule::default().resolving_by(resolver)).await;
    let refused = desk.post("/subscriptions/", hook(&canary.url("mixed.test"))).await;
    assert_eq!(refused.wrong_fields(), ["url"]);
    assert_eq!(canary.sung(), 0);
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_judged() {
    let canary = Canary::start().await;
    // Whoever resolved it a second time would connect to another address, where nobody listens.
    let resolver = Changing::new(&[&["127.0.0.1"], &["127.0.0.9"]]);
    let rule = Rule::allowing(["127.0.0.1".parse().unwrap()]).resolving_by(resolver.clone());
    let stage = Stage::with(1000, rule).await;
    stage.subscribe_url(&canary.url("changing.test"), "people.created").await;
    stage.store([event(1, "people.created")]).await;
    assert_eq!(stage.settled(1).await[0].state, State::Delivered);
    assert_eq!((canary.sung(), resolver.asked()), (1, 1));
}

#[tokio::test]
async fn a_name_that_is_allowed_gets_at_no_credentials() {
    let resolver = Changing::new(&[&["169.254.169.254"]]);
    let rule = Rule::allowing(["inside.test".parse().unwrap()]).resolving_by(resolver);
    let desk = Desk::open_with(None, rule).await;
    let refused = desk.post("/subscriptions/", hook("http://inside.test/hook")).await;
    assert_eq!(refused.wrong_fields(), ["url"]);
}

#[tokio::test]
async fn a_name_of_very_many_addresses_is_not_guessed_at() {
    let canary = Canary::start().await;
    let many: Vec<String> = (1..=17).map(|last| format!("93.184.215.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rule = Rule::default().resolving_by(Changing::new(&[&many]));
    let desk = Desk::open_with(None, rule).await;
    // It may be another time: as one that cannot be resolved.
    let made = desk.post("/subscriptions/", hook(&canary.url("many.test"))).await;
    let tried = desk.post(&format!("/subscriptions/{}/test", made.text("/id")), json!({})).await;
    assert_eq!(tried.text("/outcome"), "dns");
    assert!(tried.text("/error").contains("17 addresses, more than 16"), "{tried:?}");
}
