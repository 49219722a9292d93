//! What becomes of a delivery by its subscription's script and filter.
//!
//! Invariant: the store, the workers and the receiver are real; whatever a script does, the
//! delivery ends in a state that says so.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use sidehook::{
    clock::{Clock, SystemClock},
    deliver::making,
    model::{Cause, Filter, Script, ScriptChoice, State, Subscription},
    trace::Tracer,
    transform::{Haste, Library, Renderer, Scripts},
};

use crate::{
    opened::scripts,
    stage::{Stage, event, subscription},
};

async fn scripted(stage: &Stage, source: &str) -> Subscription {
    let subscription = stage.subscribe("created").await;
    let script = Some(ScriptChoice::parse(source));
    let subscription = Subscription { script, ..subscription };
    stage.change(subscription.clone()).await;
    subscription
}

fn filter(written: Value) -> Filter {
    let Value::Object(written) = written else { unreachable!("an object") };
    Filter::parse(written).unwrap()
}

#[tokio::test]
async fn what_a_script_makes_is_sent_and_its_version_recorded() {
    let stage = Stage::new().await;
    let source = "send(`number ${event.data.id}`, #{ content_type: \"text/plain\" })";
    scripted(&stage, source).await;
    stage.store([event(7, "people.created")]).await;
    let got = stage.receiver_got(1).await;
    assert_eq!(&got[0].body[..], b"number 7");
    let delivery = &stage.settled(1).await[0];
    assert_eq!(delivery.state, State::Delivered);
    assert_eq!(delivery.script, Some(Script::new(source).version));
}

#[tokio::test]
async fn what_a_script_drops_is_filtered_with_its_reason() {
    let stage = Stage::new().await;
    let source = "if event.data.id % 2 == 1 { drop(`${event.data.id} is odd`) } event.data";
    scripted(&stage, source).await;
    stage.store((1..=2).map(|id| event(id, "people.created"))).await;
    let got = stage.receiver_got(1).await;
    assert_eq!(&got[0].body[..], br#"{"id":2}"#);
    let deliveries = stage.settled(2).await;
    let filtered = deliveries.iter().find(|delivery| delivery.state == State::Filtered).unwrap();
    assert_eq!(filtered.reason.as_deref(), Some("1 is odd"));
    assert_eq!((filtered.attempts, &filtered.death), (0, &None));
    assert_eq!(filtered.script, Some(Script::new(source).version));
}

#[tokio::test]
async fn what_a_filter_holds_back_is_no_delivery_at_all() {
    let stage = Stage::new().await;
    let subscription = stage.subscribe("created").await;
    let filter = Some(filter(json!({"data.id": {"gte": 3}, "type": {"prefix": "people."}})));
    stage.change(Subscription { filter, ..subscription }).await;
    stage.store((1..=4).map(|id| event(id, "people.created"))).await;
    stage.receiver_got(2).await;
    assert_eq!(stage.settled(2).await.len(), 2);
}

#[tokio::test]
async fn a_script_that_fails_is_a_dead_letter_until_it_changes() {
    let stage = Stage::new().await;
    let subscription = scripted(&stage, "let x = 1;\nevent.data.id.no_such_function()").await;
    stage.store([event(5, "people.created")]).await;
    let delivery = stage.settled(1).await.remove(0);
    let death = delivery.death.clone().unwrap();
    assert_eq!((delivery.state, death.cause), (State::Dead, Cause::Script));
    assert!(death.error.starts_with("line 2, column 15: "), "{}", death.error);
    assert!(death.error.contains("no_such_function"), "{}", death.error);
    assert_eq!(delivery.attempts, 0);

    let script = Some(ScriptChoice::parse("#{ mended: event.data.id }"));
    stage.change(Subscription { script, ..subscription.clone() }).await;
    let store = &*stage.running.store;
    let now = stage.running.clock.now();
    assert_eq!(making::redrive(store, subscription.id, now).await.unwrap(), 1);
    let got = stage.receiver_got(1).await;
    assert_eq!(&got[0].body[..], br#"{"mended":5}"#);
    assert_eq!(stage.settled(1).await[0].state, State::Delivered);
}

#[tokio::test]
async fn a_retry_sends_the_same_bytes_whatever_became_of_the_script() {
    let stage = Stage::new().await;
    let subscription = scripted(&stage, "\"earlier\"").await;
    stage.receiver_answers([500]);
    stage.store([event(1, "people.created")]).await;
    stage.receiver_got(1).await;
    let script = Some(ScriptChoice::parse("\"later\""));
    stage.change(Subscription { script, ..subscription }).await;
    let got = stage.receiver_got(2).await;
    assert_eq!(got[0].body, got[1].body);
    assert_eq!(&got[1].body[..], b"\"earlier\"");
}

/// Takes some tens of milliseconds, and few steps.
const SLOW: &str = "let s = \"x\"; while s.len < 300000 { s += s; } for i in 0..15 { sha256(s); }";

#[tokio::test]
async fn a_slow_script_is_run_in_its_own_time_and_one_that_never_ends_is_a_dead_letter() {
    let stage = Stage::new().await;
    scripted(&stage, &format!("{SLOW} #{{ id: event.data.id }}")).await;
    let url = "http://127.0.0.1:9/";
    let endless = stage.subscribe_url(url, "created").await;
    let script = Some(ScriptChoice::parse(&format!("{SLOW} loop {{ sha256(s); }}")));
    stage.change(Subscription { script, ..endless.clone() }).await;
    let before = scripts().metrics().runs("deferred");
    stage.store([event(1, "people.created")]).await;
    let got = stage.receiver_got(1).await;
    assert_eq!(&got[0].body[..], br#"{"id":1}"#);
    let deliveries = stage.settled(2).await;
    assert!(scripts().metrics().runs("deferred") > before, "one was broken off");
    let dead = deliveries.iter().find(|one| one.subscription_id == endless.id).unwrap();
    let death = dead.death.as_ref().unwrap();
    assert_eq!((death.cause, &*death.error), (Cause::Script, "ran for more than 100 ms"));
}

#[test]
fn a_script_runs_once_for_all_subscriptions_that_it_cannot_tell_apart() {
    let opened = scripts();
    let scripts = Scripts::new(opened.sandbox().cloned(), Arc::new(Library::new(None)));
    let (clock, tracer) = (SystemClock::start(), Tracer::off());
    let event = event(1, "people.created");
    let id = |number| sidehook_event::TypeId::from_bits(number);
    let render = |source: &str| {
        let mut haste = Haste::new(&scripts, &clock, &tracer);
        let mut renderer = Renderer::new(&event);
        let bodies = (0..50).map(|number| {
            let subscription = Subscription {
                script: Some(ScriptChoice::parse(source)),
                ..subscription(id(number), "http://127.0.0.1:9/", "created")
            };
            renderer.render(&subscription, &mut haste).payload.body
        });
        bodies.collect::<Vec<_>>()
    };
    let bodies = render("event.data");
    assert_eq!(scripts.metrics().runs("sent"), 1);
    assert!(bodies.iter().all(|body| &body[..] == br#"{"id":1}"#), "{bodies:?}");
    let bodies = render("subscription.id");
    assert_eq!(scripts.metrics().runs("sent"), 51);
    assert!(bodies[0] != bodies[1], "{bodies:?}");
}

#[test]
fn scripts_together_take_no_more_than_their_share_of_the_others_time() {
    let opened = scripts();
    let scripts = Scripts::new(opened.sandbox().cloned(), Arc::new(Library::new(None)));
    let (clock, tracer) = (SystemClock::start(), Tracer::off());
    let event = event(1, "people.created");
    let mut haste = Haste::new(&scripts, &clock, &tracer);
    let mut renderer = Renderer::new(&event);
    let started = clock.monotonic();
    for number in 0..100 {
        let subscription = Subscription {
            script: Some(ScriptChoice::parse(&format!("{SLOW} {number}"))),
            ..subscription(sidehook_event::TypeId::from_bits(number), "http://a.test/", "created")
        };
        let made = renderer.render(&subscription, &mut haste);
        assert!(made.end.is_none() && made.payload.is_unmade(), "{made:?}");
    }
    let took = clock.monotonic().saturating_sub(started);
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert!(scripts.metrics().runs("deferred") < 10, "most were not even begun");
}
