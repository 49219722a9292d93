//! What the sidecar does with an event, between its store, its queue and its receivers.
//!
//! Invariant: no case waits, reads a clock or speaks to anybody.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use sidehook::{
    clock::SystemClock,
    deliver::{schedule, sign::sign},
    model::{Format, Retry, Series, Signing, Subscription},
    route::Index,
    trace::Tracer,
    transform::{Haste, Renderer, Scripts},
};
use sidehook_event::{Event, EventType, wire};

use crate::{
    Case,
    samples::{self, NOW, PERSON},
};

const BATCH: u128 = 50;
const SUBSCRIPTIONS: u128 = 1_000;

pub(crate) fn cases() -> Vec<Case> {
    let mut custom = samples::subscription(1, "*");
    custom.custom_payload = Map::from_iter([("team".to_owned(), Value::from("growth"))]);
    let standard = samples::subscription(1, "*");
    let cloudevents = Subscription { format: Format::CloudEvents, ..standard.clone() };
    vec![
        Case::new("decoding: a batch of 50 events of 350 B", batch, wire::decode),
        matching(),
        filtering(),
        rendering("rendering: standard, 350 B", standard.clone(), PERSON),
        rendering("rendering: standard, 10 KB", standard, &samples::person_of(10_000)),
        rendering("rendering: a CloudEvent, 350 B", cloudevents, PERSON),
        rendering("rendering: with keys of the subscription, 350 B", custom, PERSON),
        signing("signing: HMAC, 350 B", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", PERSON),
        signing(
            "signing: HMAC, 10 KB",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &samples::person_of(10_000),
        ),
        signing(
            "signing: ed25519, 350 B",
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            PERSON,
        ),
        scheduling(),
    ]
}

fn batch() -> Bytes {
    let frames = (0..BATCH).map(|number| wire::frame(&samples::event(number, PERSON)));
    let frames: Vec<_> = std::iter::once(wire::prologue("edge")).chain(frames).collect();
    frames.concat().into()
}

/// Of a thousand subscriptions some thirty ask for the type.
fn matching() -> Case {
    let pattern = |number: u128| match number % 100 {
        0 => "*".to_owned(),
        1 => "created".to_owned(),
        2 => "people.created".to_owned(),
        other => format!("resource{other}.created"),
    };
    let made = (0..SUBSCRIPTIONS).map(|number| samples::subscription(number, &pattern(number)));
    let index: Index = made.map(Arc::new).collect();
    let event_type: EventType = "people.created".parse().unwrap();
    assert_eq!(index.listeners(&event_type).len(), 30, "those who asked for it");
    Case::new("matching: 30 of 1,000 subscriptions", || (), move |()| index.listeners(&event_type))
}

/// The first subscription of an event that has a filter has the event taken apart for it.
fn filtering() -> Case {
    let event = samples::event(1, PERSON);
    let subscription =
        Subscription { filter: Some(samples::filter()), ..samples::subscription(1, "*") };
    assert!(Renderer::new(&event).is_wanted(&subscription), "the filter holds");
    Case::new(
        "filtering: five conditions on 350 B",
        || (),
        move |()| Renderer::new(&event).is_wanted(&subscription),
    )
}

fn rendering(name: &'static str, subscription: Subscription, body: &[u8]) -> Case {
    let event = samples::event(1, body);
    let (scripts, clock, tracer) = (Scripts::none(), SystemClock::start(), Tracer::off());
    let render = move |event: &Event| {
        let mut haste = Haste::new(&scripts, &clock, &tracer);
        Renderer::new(event).render(&subscription, &mut haste)
    };
    Case::new(name, || (), move |()| render(&event))
}

fn signing(name: &'static str, secret: &str, body: &[u8]) -> Case {
    let signing: Signing = samples::secret(secret).into();
    let body = body.to_vec();
    let id = "evt_01kar0rze0e008000000000007";
    Case::new(name, || (), move |()| sign(&signing, id, NOW, &body))
}

fn scheduling() -> Case {
    let retry = Retry { horizon: Some(Duration::from_hours(24)), ..Retry::default() };
    let series = Series { began_at: NOW, earlier: 0 };
    let due = move |()| -> usize {
        let attempts = (1..=8).map(|number| schedule::due(&retry, series, number, NOW, 1 << 40));
        attempts.flatten().count()
    };
    Case::new("scheduling: eight attempts", || (), due)
}
