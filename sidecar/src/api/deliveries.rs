//! `/deliveries`: what became of the events.
//!
//! Invariant: read only; nothing of a payload is shown, and of an answer only what was kept.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::StatusCode;
use serde::Serialize;
use sidehook_event::{EventId, EventType, UnixMicros};
use utoipa::ToSchema;

use super::{
    Context, Problem,
    form::Form,
    listing::{Listing, listing, page},
    named,
    openapi::Description,
    path::{Keys, id},
    read::one_of,
    routes::{Routes, get},
    shape,
};
use crate::{
    model::{
        Attempt, Delivery, DeliveryId, Outcome, PageRequest, Scope, State as DeliveryState,
        SubscriptionId,
    },
    store::DeliveryFilter,
};

const MISSING: &str = "there is no such delivery";

pub(super) fn routes() -> Routes<Arc<Context>> {
    let scope = Scope::DeliveriesRead;
    let listed = || {
        Description::of("listDeliveries", "List deliveries")
            .query(asked)
            .lists::<Shown>("The newest come first.")
    };
    let shown = || {
        Description::of("showDelivery", "Show a delivery and its attempts")
            .shows::<Shown>(StatusCode::OK, "With its `attempt_log`.")
    };
    Routes::new()
        .at("/deliveries", [get(scope, list, listed)])
        .at("/deliveries/{id}", [get(scope, one, shown)])
}

async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Shown>>, Problem> {
    let (filter, page) = Form::whole_query(query.as_deref(), asked)?;
    let deliveries = context.store.deliveries(&filter, page).await?;
    Ok(listing(&deliveries, |delivery| Shown::of(delivery, None)))
}

async fn one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Json<Shown>, Problem> {
    let found = context.store.delivery(id(&key, MISSING)?).await?;
    let (delivery, attempts) = found.ok_or(Problem::NotFound(MISSING))?;
    Ok(Json(Shown::of(&delivery, Some(attempts))))
}

#[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
fn asked(form: &mut Form) -> Option<(DeliveryFilter, PageRequest<DeliveryId>)> {
    let filter = DeliveryFilter {
        state: form.read("state", one_of(&DeliveryState::NAMES)),
        subscription_id: form.read("subscription_id", named::id()),
        event_id: form.read("event_id", named::id()),
    };
    Some((filter, page(form)))
}

/// A delivery, as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct Shown {
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::DeliveryId)]
    id: DeliveryId,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::EventId)]
    event_id: EventId,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::SubscriptionId)]
    subscription_id: SubscriptionId,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::EventType)]
    event_type: EventType,
    #[schema(value_type = shape::DeliveryState)]
    state: &'static str,
    attempts: u32,
    #[schema(required, value_type = Option<shape::Instant>)]
    next_attempt_at: Option<String>,
    #[schema(required, value_type = Option<shape::Outcome>)]
    last_outcome: Option<&'static str>,
    #[schema(required, value_type = Option<shape::Cause>)]
    cause: Option<&'static str>,
    #[schema(required)]
    error: Option<String>,
    /// Why it was filtered.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_version: Option<String>,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    created_at: UnixMicros,
    #[schema(required, value_type = Option<shape::Instant>)]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_log: Option<Vec<ShownAttempt>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct ShownAttempt {
    number: u32,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    started_at: UnixMicros,
    duration_ms: u64,
    #[schema(value_type = shape::Outcome)]
    outcome: &'static str,
    #[schema(required)]
    status_code: Option<u16>,
    #[schema(required)]
    response_excerpt: Option<String>,
    #[schema(required)]
    error: Option<String>,
}

impl Shown {
    /// Of it, with its attempts if they are to be seen.
    pub(super) fn of(delivery: &Delivery, attempts: Option<Vec<Attempt>>) -> Self {
        Self {
            id: delivery.id,
            event_id: delivery.event_id,
            subscription_id: delivery.subscription_id,
            event_type: delivery.event_type.clone(),
            state: delivery.state.name(),
            attempts: delivery.attempts,
            next_attempt_at: instant(delivery.next_attempt_at),
            last_outcome: delivery.last_outcome.map(Outcome::name),
            cause: delivery.death.as_ref().map(|death| death.cause.name()),
            error: delivery.death.as_ref().map(|death| death.error.clone()),
            reason: delivery.reason.clone(),
            script_version: delivery.script.map(|version| version.to_string()),
            created_at: delivery.created_at,
            finished_at: instant(delivery.finished_at),
            attempt_log: attempts.map(|log| log.into_iter().map(ShownAttempt::of).collect()),
        }
    }
}

impl ShownAttempt {
    fn of(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.name(),
            status_code: attempt.status_code,
            response_excerpt: attempt.response_excerpt,
            error: attempt.error,
        }
    }
}

fn instant(instant: Option<UnixMicros>) -> Option<String> {
    instant.map(|instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::Flaws, *};

    fn read(query: &str) -> Result<(DeliveryFilter, PageRequest<DeliveryId>), Flaws> {
        Form::whole_query(Some(query), asked)
    }

    #[test]
    fn deliveries_are_asked_for_by_state_subscription_and_event() {
        let (filter, _) = read(
            "state=dead&subscription_id=sub_01h2xcejqtf2nbrexx3vqjhp41\
             &event_id=evt_01h2xcejqtf2nbrexx3vqjhp41",
        )
        .unwrap();
        assert_eq!(filter.state, Some(DeliveryState::Dead));
        assert_eq!(filter.subscription_id, "sub_01h2xcejqtf2nbrexx3vqjhp41".parse().ok());
        assert_eq!(filter.event_id, "evt_01h2xcejqtf2nbrexx3vqjhp41".parse().ok());
    }

    #[test]
    fn every_parameter_that_is_wrong_is_named() {
        let flaws = read("state=lost&subscription_id=1&event_id=1&type=a.b");
        let flaws = flaws.unwrap_err().into_list();
        let fields: Vec<_> = flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        assert_eq!(fields, ["state", "subscription_id", "event_id", "type"]);
        assert_eq!(flaws[0].message, "must be one of pending, delivered, filtered, dead");
    }
}
