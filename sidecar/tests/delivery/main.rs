//! From a stored event to its receivers: routing, attempts, retries, the sweep.
//!
//! Invariant: the store is a real file, the receiver a real server; every wait is for a state and
//! has a limit.

mod again;
mod ending;
mod isolation;
#[path = "../scripts/opened.rs"]
mod opened;
mod ordering;
mod stage;

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use sidehook::model::{Cause, Delivery, Outcome, State, Subscription};

use stage::{Stage, event};

#[tokio::test]
async fn an_event_reaches_everyone_who_asked_for_it() {
    let stage = Stage::new().await;
    stage.subscribe("created").await;
    stage.subscribe("people.*").await;
    stage.subscribe("deleted").await;
    stage.store([event(1, "people.created"), event(2, "orders.created")]).await;
    stage.receiver_got(3).await;
    let delivered = stage.settled(3).await;
    assert!(delivered.iter().all(|delivery| delivery.state == State::Delivered), "{delivered:?}");
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_with_the_same_id_and_bytes() {
    let stage = Stage::new().await;
    stage.receiver_answers([503, 302, 200]);
    stage.subscribe("created").await;
    stage.store([event(1, "people.created")]).await;
    let got = stage.receiver_got(3).await;
    assert!(got.windows(2).all(|pair| pair[0].id == pair[1].id && pair[0].body == pair[1].body));
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, delivery.attempts), (State::Delivered, 3));
    let log = stage.attempts(delivery.id).await;
    let statuses: Vec<_> = log.iter().map(|attempt| attempt.status_code.unwrap()).collect();
    assert_eq!(statuses, [503, 302, 200]);
    let numbers: Vec<_> = log.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(
        log.windows(2)
            .all(|pair| { pair[1].started_at.since(pair[0].started_at) >= stage.schedule[1] })
    );
}

#[tokio::test]
async fn after_the_last_attempt_it_is_dead_of_exhaustion() {
    let stage = Stage::new().await;
    stage.receiver_answers([500; 10]);
    stage.subscribe("created").await;
    stage.store([event(1, "people.created")]).await;
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, cause(delivery)), (State::Dead, Some(Cause::Exhausted)));
    assert_eq!(delivery.last_outcome, Some(Outcome::Status));
    assert_eq!(stage.attempts(delivery.id).await.len(), stage.schedule.len());
    stage.receiver_got(stage.schedule.len()).await;
}

#[tokio::test]
async fn one_that_may_not_be_sent_to_is_dead_of_the_egress_rule() {
    let stage = Stage::new().await;
    stage.subscribe_url("http://10.255.255.1/webhook", "created").await;
    stage.store([event(1, "people.created")]).await;
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, cause(delivery)), (State::Dead, Some(Cause::Egress)));
}

#[tokio::test]
async fn one_that_is_not_enabled_gets_nothing_until_it_is_again() {
    let stage = Stage::new().await;
    stage.receiver_answers([500]);
    let subscription = stage.subscribe("created").await;
    stage.store([event(1, "people.created")]).await;
    stage.receiver_got(1).await;
    stage.change(Subscription { enabled: false, ..subscription.clone() }).await;
    let resting =
        stage.one_pending_until(|due, now| due > now.after(Duration::from_secs(10))).await;
    assert_eq!(resting.attempts, 1);
    stage.receiver_got(1).await;
}

#[tokio::test]
async fn whoever_unsubscribed_gets_nothing_more() {
    let stage = Stage::new().await;
    stage.receiver_answers([500; 10]);
    let subscription = stage.subscribe("created").await;
    stage.store([event(1, "people.created")]).await;
    stage.receiver_got(1).await;
    stage.unsubscribe(subscription.id).await;
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, cause(delivery)), (State::Dead, Some(Cause::Unsubscribed)));
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_found_by_the_sweep() {
    const EVENTS: u128 = 300;
    let stage = Stage::with_queue_of(1).await;
    stage.subscribe("*").await;
    stage.store((0..EVENTS).map(|id| event(id, "people.created"))).await;
    let got = stage.receiver_got(300).await;
    let mut ids: Vec<_> = got.into_iter().map(|webhook| webhook.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 300);
}

#[tokio::test]
async fn an_event_that_comes_twice_is_delivered_once() {
    let stage = Stage::new().await;
    stage.subscribe("created").await;
    stage.store([event(1, "people.created"), event(1, "people.created")]).await;
    stage.store([event(1, "people.created"), event(2, "people.created")]).await;
    let delivered = stage.settled(2).await;
    assert_eq!(delivered.len(), 2);
    assert_eq!(stage.receiver_got(2).await.len(), 2);
}

#[tokio::test]
async fn what_a_process_that_was_killed_had_in_hand_is_delivered_by_the_next() {
    let stage = Stage::new().await;
    stage.subscribe("created").await;
    stage.receiver_hangs();
    stage.store([event(1, "people.created")]).await;
    stage.receiver_got(1).await;
    let stage = stage.killed_and_started().await;
    stage.receiver_answers([200]);
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!(delivery.state, State::Delivered);
    assert_eq!(stage.receiver_got(2).await.len(), 2);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let stage = Stage::new().await;
    stage.receiver_answers([410]);
    let subscription = stage.subscribe("created").await;
    stage.store([event(1, "people.created")]).await;
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, cause(delivery)), (State::Dead, Some(Cause::Refused)));
    assert_eq!(delivery.death.as_ref().unwrap().error, "answered 410");
    let disabled = stage.stored(subscription.id).await;
    assert!(!disabled.enabled);
    assert_eq!(disabled.disabled_reason.as_deref(), Some("the receiver answered 410 (Gone)"));
}

#[tokio::test]
async fn a_receiver_that_does_nothing_but_fail_for_days_is_not_asked_again() {
    for (hours, is_hopeless) in [(5 * 24, true), (5 * 24 - 1, false)] {
        let stage = Stage::new().await;
        stage.receiver_answers([500; 100]);
        let subscription = stage.subscribe("created").await;
        stage.failed_for(subscription.id, Duration::from_hours(hours)).await;
        stage.store((1..=8).map(|id| event(id, "people.created"))).await;
        stage.attempted(8).await;
        let stored = stage.stored(subscription.id).await;
        assert_eq!(stored.enabled, !is_hopeless);
        let expected = "the receiver did nothing but fail for 5 days";
        assert_eq!(stored.disabled_reason.as_deref(), is_hopeless.then_some(expected));
    }
}

#[tokio::test]
async fn that_a_delivery_died_and_a_subscription_was_disabled_is_told_to_who_asks() {
    let stage = Stage::new().await;
    let everything = stage.subscribe("*").await;
    let gone = stage.subscribe("created").await;
    stage.subscribe("sidehook.*").await;
    // Of the two deliveries of the event one is answered 410; both told of are delivered.
    stage.receiver_answers([410]);
    stage.store([event(1, "people.created")]).await;
    let got = stage.receiver_got(4).await;
    let deliveries = stage.settled(4).await;
    let dead: Vec<_> = deliveries.iter().filter(|one| one.state == State::Dead).collect();
    let [dead] = dead[..] else { panic!("{deliveries:?}") };
    assert!([everything.id, gone.id].contains(&dead.subscription_id));
    let told = got.iter().filter_map(|webhook| {
        let body: serde_json::Value = serde_json::from_slice(&webhook.body).unwrap();
        let name = body["type"].as_str()?.to_owned();
        name.starts_with("sidehook.").then(|| (name, body["data"].clone()))
    });
    let told: BTreeMap<_, _> = told.collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let death = &told["sidehook.delivery.dead"];
    assert_eq!(death["id"], dead.id.to_string());
    assert_eq!((&death["cause"], &death["error"]), (&json!("refused"), &json!("answered 410")));
    let disabling = &told["sidehook.subscription.disabled"];
    assert_eq!(disabling["id"], dead.subscription_id.to_string());
    assert_eq!(disabling["reason"], "the receiver answered 410 (Gone)");
}

#[tokio::test]
async fn a_dead_letter_that_is_redriven_is_delivered_under_its_old_id() {
    let stage = Stage::new().await;
    stage.receiver_answers([500, 500, 500, 500, 200]);
    stage.subscribe("created").await;
    stage.store([event(1, "people.created")]).await;
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!(cause(delivery), Some(Cause::Exhausted));
    stage.redrive(delivery.id).await;
    let got = stage.receiver_got(5).await;
    assert!(got.iter().all(|webhook| webhook.id == got[0].id && webhook.body == got[0].body));
    let [delivery] = &stage.settled(1).await[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, delivery.attempts), (State::Delivered, 5));
}

fn cause(delivery: &Delivery) -> Option<Cause> {
    delivery.death.as_ref().map(|death| death.cause)
}
