//! What Sidehook tells of itself: that a delivery died, that a subscription was disabled. Events
//! like any other, for those who subscribe to `sidehook.*`. Pure.
//!
//! Invariant: the same thing that happened is always told under the same id, so that it is told
//! once however often it is written down; and nothing is told of a delivery that itself told of
//! such a thing, so that no event makes another of itself for ever.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidehook_event::{Body, Event, EventId, EventType, Exchange, TypeId, UnixMicros};

use super::{Cause, Death, Delivery, Outcome, Subscription};

/// The `CloudEvents` source of these events.
pub const SOURCE: &str = "sidehook";
/// The type of what is told of a delivery that died.
pub const DELIVERY_DEAD: &str = "sidehook.delivery.dead";
/// The type of what is told of a subscription that was disabled by Sidehook.
pub const SUBSCRIPTION_DISABLED: &str = "sidehook.subscription.disabled";

/// What is told of a delivery that has just died: nothing if it is not dead, if whoever deleted
/// its subscription wanted it so, or if it told of such a thing itself.
pub fn of_death(delivery: &Delivery) -> Option<Event> {
    let Death { cause, error } = delivery.death.as_ref()?;
    if *cause == Cause::Unsubscribed || delivery.event_type.is_operational() {
        return None;
    }
    let at = delivery.finished_at.unwrap_or(delivery.created_at);
    let data = json!({
        "id": delivery.id.to_string(),
        "event_id": delivery.event_id.to_string(),
        "subscription_id": delivery.subscription_id.to_string(),
        "event_type": delivery.event_type.as_str(),
        "attempts": delivery.attempts,
        "last_outcome": delivery.last_outcome.map(Outcome::name),
        "cause": cause.name(),
        "fault": cause.fault().name(),
        "error": error,
        "created_at": delivery.created_at.to_string(),
        "finished_at": at.to_string(),
    });
    event(DELIVERY_DEAD, ("deliveries", &delivery.id.to_string()), at, &data)
}

/// What is told of a subscription that was disabled, for the reason that it holds.
pub fn of_disabling(disabled: &Subscription) -> Option<Event> {
    let at = disabled.updated_at;
    let id = disabled.id.to_string();
    let data = json!({
        "id": id,
        "event_type": disabled.pattern.to_string(),
        "reason": disabled.disabled_reason,
        "description": disabled.description,
        "metadata": disabled.metadata,
        "disabled_at": at.to_string(),
    });
    event(SUBSCRIPTION_DISABLED, ("subscriptions", &id), at, &data)
}

/// Whether an event tells of a death.
pub fn is_death(event: &Event) -> bool {
    event.event_type.as_str() == DELIVERY_DEAD
}

/// Whose fault the death was of which an event tells, and its cause: `receiver.exhausted`.
pub fn blame(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct Told<'a> {
        fault: &'a str,
        cause: &'a str,
    }
    let Told { fault, cause } = serde_json::from_slice(&event.exchange.response.content).ok()?;
    is_death(event).then(|| format!("{fault}.{cause}"))
}

/// `None` never, for the names are types.
fn event(name: &str, (kind, id): (&str, &str), at: UnixMicros, data: &Value) -> Option<Event> {
    let event_type: EventType = name.parse().ok()?;
    let content = data.to_string();
    Some(Event {
        id: id_of(name, id, at),
        event_type,
        source: SOURCE.to_owned(),
        subject: Some(format!("{kind}/{id}")),
        parents: Vec::new(),
        sequence: None,
        time: at,
        exchange: Exchange {
            // A batch holds what an API accepted: there is no other way to say so.
            status: 200,
            response: Body {
                size: u64::try_from(content.len()).unwrap_or(u64::MAX),
                content: content.into(),
                content_type: Some("application/json".to_owned()),
                ..Body::default()
            },
            ..Exchange::default()
        },
    })
}

/// A `UUIDv7` with the hash of what happened for its random part.
fn id_of(name: &str, id: &str, at: UnixMicros) -> EventId {
    let hash = Sha256::digest(format!("{name} {id} {}", at.micros()));
    let random = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let nanos = u64::try_from(at.micros()).unwrap_or(0).saturating_mul(1_000);
    EventId::mint(nanos, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, State, SubscriptionId, testing::subscription};

    fn dead(event_type: &str, cause: Cause) -> Delivery {
        Delivery {
            id: DeliveryId::from_bits(1),
            event_id: EventId::from_bits(2),
            subscription_id: SubscriptionId::from_bits(3),
            event_type: event_type.parse().unwrap(),
            state: State::Dead,
            attempts: 10,
            next_attempt_at: None,
            last_outcome: Some(Outcome::Status),
            death: Some(Death { cause, error: "answered 500".to_owned() }),
            reason: None,
            script: None,
            created_at: UnixMicros::new(1_763_890_200_000_000),
            finished_at: Some(UnixMicros::new(1_763_890_201_000_000)),
        }
    }

    #[test]
    fn a_death_is_told_with_its_cause_and_whose_fault_it_was() {
        let event = of_death(&dead("people.created", Cause::Exhausted)).unwrap();
        assert_eq!(event.event_type.as_str(), DELIVERY_DEAD);
        assert_eq!(event.subject.as_deref(), Some("deliveries/dlv_00000000000000000000000001"));
        let data: Value = serde_json::from_slice(&event.exchange.response.content).unwrap();
        assert_eq!((&data["cause"], &data["fault"]), (&json!("exhausted"), &json!("receiver")));
        assert_eq!((&data["error"], &data["attempts"]), (&json!("answered 500"), &json!(10)));
        assert_eq!(blame(&event).as_deref(), Some("receiver.exhausted"));
    }

    #[test]
    fn the_same_death_is_told_under_the_same_id_and_another_one_under_another() {
        let first = dead("people.created", Cause::Exhausted);
        let again =
            Delivery { finished_at: Some(UnixMicros::new(1_763_890_202_000_000)), ..first.clone() };
        let id = |delivery: &Delivery| of_death(delivery).unwrap().id;
        assert_eq!(id(&first), id(&first));
        assert_ne!(id(&first), id(&again));
    }

    #[test]
    fn nothing_is_told_that_was_wanted_or_that_would_tell_of_itself() {
        assert_eq!(of_death(&dead("people.created", Cause::Unsubscribed)), None);
        assert_eq!(of_death(&dead(DELIVERY_DEAD, Cause::Exhausted)), None);
        let pending = Delivery { death: None, ..dead("people.created", Cause::Egress) };
        assert_eq!(of_death(&pending), None);
    }

    #[test]
    fn a_disabling_is_told_with_its_reason_and_the_owners_labels() {
        let subscription = Subscription {
            metadata: [("team".to_owned(), "billing".to_owned())].into(),
            ..subscription(1, "people.*")
        };
        let disabled = subscription.disabled("gone", UnixMicros::new(5));
        let event = of_disabling(&disabled).unwrap();
        let data: Value = serde_json::from_slice(&event.exchange.response.content).unwrap();
        assert_eq!((&data["reason"], &data["event_type"]), (&json!("gone"), &json!("people.*")));
        assert_eq!(data["metadata"]["team"], "billing");
    }
}
