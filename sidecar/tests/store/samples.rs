//! Events, deliveries, attempts and subscriptions to store.
//!
//! Invariant: the same number gives the same sample, and a greater one a younger.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use sidehook::{
    model::{
        Attempt, Cause, ClientIdentity, Death, DeliveryId, Filter, Format, Headers, Order, Outcome,
        Outgoing, Pacing, Payload, Retry, ScriptChoice, Secret, Signing, Subscription,
        SubscriptionId, Successor, Target, Tls, Verdict,
    },
    store::{Dispatched, Due, NewDelivery, Store},
};
use sidehook_event::{Body, Event, EventId, Exchange, TypeId, UnixMicros};

const BEGINNING: u64 = 1_763_890_200;

/// So many seconds after the beginning.
pub(crate) fn at(seconds: u64) -> UnixMicros {
    UnixMicros::from_nanos((BEGINNING + seconds) * 1_000_000_000)
}

pub(crate) fn minted<Id: TypeId>(number: u64) -> Id {
    Id::mint((BEGINNING + number) * 1_000_000_000, number)
}

/// An event that happened `number` seconds after the beginning.
pub(crate) fn event(number: u64) -> Event {
    Event {
        id: minted(number),
        event_type: "people.created".parse().unwrap(),
        source: "edge".to_owned(),
        subject: Some(number.to_string()),
        parents: Vec::new(),
        sequence: None,
        time: at(number),
        exchange: Exchange {
            method: "POST".to_owned(),
            path: "/people/".to_owned(),
            status: 201,
            response: Body {
                content: Bytes::from(format!("{{\"id\":{number}}}")),
                content_type: Some("application/json".to_owned()),
                size: 9,
                ..Body::default()
            },
            ..Exchange::default()
        },
    }
}

pub(crate) fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Arc<Event>> {
    numbers.into_iter().map(|number| Arc::new(event(number))).collect()
}

pub(crate) fn ids<'a>(events: impl IntoIterator<Item = &'a Arc<Event>>) -> Vec<EventId> {
    events.into_iter().map(|event| event.id).collect()
}

pub(crate) fn new_delivery(number: u64, subscription: u64, due: Due) -> NewDelivery {
    NewDelivery {
        id: minted(number),
        subscription_id: minted(subscription),
        payload: payload(number),
        due,
        is_ordered: false,
        script: None,
    }
}

pub(crate) fn payload(number: u64) -> Payload {
    Payload {
        content_type: "application/json".into(),
        headers: [("ce-id".to_owned(), format!("größe {number}"))].into(),
        body: Bytes::from(format!("{{\"delivery\":{number}}}")),
    }
}

/// As it was before it was stored.
pub(crate) fn unnumbered(event: Event) -> Event {
    assert!(event.sequence.is_some(), "what is stored has a sequence");
    Event { sequence: None, ..event }
}

/// As they were before they were stored.
pub(crate) fn all_unnumbered(events: Vec<Arc<Event>>) -> Vec<Arc<Event>> {
    events.into_iter().map(|event| Arc::new(unnumbered(Arc::unwrap_or_clone(event)))).collect()
}

/// Stores event `number` with one delivery of the same number to subscription 0, due at once.
pub(crate) async fn one_pending(store: &dyn Store, number: u64) -> DeliveryId {
    let due = Due::At(at(0));
    pending(store, number, vec![new_delivery(number, 0, due)]).await;
    minted(number)
}

/// Stores event `number` with these deliveries.
pub(crate) async fn pending(store: &dyn Store, number: u64, deliveries: Vec<NewDelivery>) {
    let event = Arc::new(event(number));
    let due = Due::Leased(at(1_000));
    let appended = store.append(std::slice::from_ref(&event), at(0), due).await;
    assert_eq!(appended.unwrap().len(), 1);
    let dispatched = Dispatched { event, deliveries };
    let done = store.dispatch(&[dispatched], at(0)).await.unwrap();
    assert_eq!(done.len(), 1);
}

pub(crate) fn attempt(number: u32, outcome: Outcome) -> Attempt {
    let failed = outcome != Outcome::Success;
    Attempt {
        number,
        started_at: at(u64::from(number)),
        duration: Duration::from_micros(1_234),
        outcome,
        status_code: Some(if failed { 500 } else { 204 }),
        response_excerpt: failed.then(|| "größer\0als erwartet".to_owned()),
        error: failed.then(|| "answered 500".to_owned()),
    }
}

pub(crate) fn dead(cause: Cause) -> Successor {
    Successor::Dead(Death { cause, error: "answered 500\0".to_owned() })
}

pub(crate) fn delivered(id: DeliveryId, number: u32) -> Verdict {
    Verdict {
        delivery_id: id,
        number,
        attempt: Some(attempt(number, Outcome::Success)),
        made: None,
        successor: Successor::Delivered,
        at: at(100 + u64::from(number)),
    }
}

pub(crate) fn failed(id: DeliveryId, number: u32, successor: Successor) -> Verdict {
    Verdict {
        delivery_id: id,
        number,
        attempt: Some(attempt(number, Outcome::Status)),
        made: None,
        successor,
        at: at(100 + u64::from(number)),
    }
}

pub(crate) fn unattempted(id: DeliveryId, number: u32, successor: Successor) -> Verdict {
    Verdict { delivery_id: id, number, attempt: None, made: None, successor, at: at(100) }
}

fn filter() -> Filter {
    let written = serde_json::json!({"data.age": {"gte": 18}, "any": [{"data.name": "größer"}]});
    Filter::parse(written.as_object().unwrap().clone()).unwrap()
}

fn secret(of: &str, times: usize) -> Secret {
    format!("whsec_{}", of.repeat(times)).parse().unwrap()
}

/// A plain subscription.
pub(crate) fn subscription(number: u64) -> Subscription {
    Subscription {
        id: minted::<SubscriptionId>(number),
        url: Target::parse(&format!("https://example.com/{number}")).unwrap(),
        pattern: "people.*".parse().unwrap(),
        filter: None,
        script: None,
        custom_headers: Headers::default(),
        custom_payload: serde_json::Map::new(),
        format: Format::Standard,
        signing: secret("QUJD", 8).into(),
        enabled: true,
        disabled_reason: None,
        retry: Retry::default(),
        timeout: Duration::from_secs(10),
        tls: Tls::default(),
        pacing: Pacing::default(),
        ordering: Order::None,
        description: None,
        metadata: BTreeMap::new(),
        created_at: at(number),
        updated_at: at(number),
    }
}

/// A subscription for whose target there may be another, and that differs in all the rest.
pub(crate) fn elaborate(number: u64, target: u64) -> Subscription {
    let serde_json::Value::Object(custom_payload) =
        json!({"tenant": "ä\u{0}\u{1F980}", "deep": [{"n": 1.5, "big": u64::MAX}, null]})
    else {
        unreachable!("an object is written there")
    };
    Subscription {
        id: minted::<SubscriptionId>(number),
        filter: Some(filter()),
        script: Some(ScriptChoice::parse("event.data // größer\0")),
        custom_headers: Headers::parse([("X-Two", "2\ttabbed"), ("authorization", "Bearer x")])
            .unwrap(),
        custom_payload,
        format: Format::CloudEvents,
        signing: Signing {
            current: secret("WFla", 9),
            previous: vec![
                Outgoing { secret: secret("QUJD", 8), until: at(7) },
                Outgoing { secret: secret("REVG", 9), until: at(5) },
            ],
        },
        enabled: false,
        disabled_reason: Some("answered 410 \u{1F44B}".to_owned()),
        retry: Retry {
            schedule: [Duration::ZERO, Duration::from_micros(1_500_001)].into(),
            jitter: 0.1 + 0.2,
            horizon: Some(Duration::from_hours(7)),
        },
        timeout: Duration::from_millis(2_500),
        tls: Tls {
            ca: Some("an authority\n".to_owned()),
            client: Some(ClientIdentity {
                certificate: "a certificate".to_owned(),
                key: "a private key".to_owned().into(),
            }),
        },
        pacing: Pacing {
            rate_limit: Some("90/m".parse().unwrap()),
            max_in_flight: NonZeroU32::new(3),
        },
        ordering: Order::Subject,
        description: Some("two\nlines \0".to_owned()),
        metadata: BTreeMap::from([("team\0".to_owned(), "größe".to_owned())]),
        created_at: at(number + 1),
        updated_at: at(number + 2),
        ..subscription(target)
    }
}
