//! How a happening is written on the stream: its kind as the name of the event, all of it as JSON on
//! one line.
//!
//! Invariant: of a receiver's URL nothing is shown but the host and the port.

use serde_json::{Map, Value, json};
use url::Position;

use crate::{
    live::{About, Happening, What},
    model::SubscriptionId,
    route::Table,
};

/// What happened, with the hosts that `table` knows.
pub(super) fn happening(happening: &Happening, table: &Table) -> String {
    let kind = happening.what.kind().name();
    let common = json!({ "kind": kind, "at": happening.at.to_string() });
    let (about, own) = parts(&happening.what, table);
    let about = about.map(|about| delivery(about, table)).unwrap_or_default();
    let data: Map<_, _> = [common, about, own].into_iter().flat_map(members).collect();
    frame(kind, &data.into())
}

/// So many happened that could not be told.
pub(super) fn missed(count: u64) -> String {
    frame("missed", &json!({ "kind": "missed", "count": count }))
}

fn frame(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn members(part: Value) -> Map<String, Value> {
    match part {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The delivery that it is about, if it is about one, and what it says besides.
fn parts<'a>(what: &'a What, table: &Table) -> (Option<&'a About>, Value) {
    match what {
        What::Event { id, event_type, source } => {
            let (id, event_type) = (id.to_string(), event_type.as_str());
            (None, json!({ "event_id": id, "event_type": event_type, "source": source }))
        }
        What::Delivery { about, state, reason } => {
            (Some(about), json!({ "state": state.name(), "reason": reason }))
        }
        What::Attempt {
            about,
            number,
            outcome,
            status_code,
            duration_ms,
            error,
            next_attempt_at,
        } => {
            let attempt = json!({
                "number": number,
                "outcome": outcome.name(),
                "status_code": status_code,
                "duration_ms": duration_ms,
                "error": error,
                "next_attempt_at": next_attempt_at.map(|at| at.to_string()),
            });
            (Some(about), attempt)
        }
        What::DeadLetter { about, cause, error } => {
            (Some(about), json!({ "cause": cause.name(), "error": error }))
        }
        What::Circuit { subscription_id, is_open } => {
            let circuit = json!({
                "subscription_id": subscription_id.to_string(),
                "host": host(*subscription_id, table),
                "state": if *is_open { "open" } else { "closed" },
            });
            (None, circuit)
        }
    }
}

fn delivery(about: &About, table: &Table) -> Value {
    json!({
        "delivery_id": about.delivery_id.to_string(),
        "event_id": about.event_id.to_string(),
        "event_type": about.event_type.as_str(),
        "subscription_id": about.subscription_id.to_string(),
        "host": host(about.subscription_id, table),
    })
}

/// Null once the subscription is gone.
fn host(id: SubscriptionId, table: &Table) -> Option<String> {
    let subscription = table.subscription(id)?;
    Some(subscription.url.url()[Position::BeforeHost..Position::AfterPort].to_owned())
}

#[cfg(test)]
mod tests {
    use sidehook_event::{EventId, TypeId as _, UnixMicros};

    use super::*;
    use crate::model::{
        Cause, DeliveryId, Outcome, State, Subscription, Target, testing::subscription,
    };

    #[test]
    fn each_kind_is_one_event_and_of_a_url_the_host_alone_is_shown() {
        let table = Table::default();
        let url = Target::parse("http://example.com:8080/a-secret-path?and=more").unwrap();
        let known = Subscription { url, ..subscription(3, "*") };
        let subscription_id = known.id;
        table.put(known);
        let about = |subscription_id| About {
            delivery_id: DeliveryId::from_bits(1),
            event_id: EventId::from_bits(2),
            event_type: "people.created".parse().unwrap(),
            subscription_id,
        };
        let known = || about(subscription_id);
        let at = UnixMicros::new(1_763_890_200_000_000);
        let (id, event_type) = (EventId::from_bits(2), known().event_type);
        let error = || "answered 503".to_owned();
        let all = [
            What::Event { id, event_type, source: "edge\nor so".to_owned() },
            What::Delivery { about: known(), state: State::Pending, reason: None },
            What::Attempt {
                about: known(),
                number: 1,
                outcome: Outcome::Status,
                status_code: Some(503),
                duration_ms: 7,
                error: Some(error()),
                next_attempt_at: Some(at),
            },
            What::DeadLetter { about: known(), cause: Cause::Exhausted, error: error() },
            What::Circuit { subscription_id, is_open: true },
            // Of a subscription that is gone.
            What::Circuit { subscription_id: SubscriptionId::from_bits(9), is_open: false },
        ];
        let told = all.map(|what| happening(&Happening { at, what }, &table)).concat();
        insta::assert_snapshot!(format!("{told}{}", missed(7)));
    }
}
