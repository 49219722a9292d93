//! Events delivered again: one, or all that a subscription would have got since some time.
//!
//! Invariant: a replay makes deliveries of their own, under the `webhook-id` of old, as the
//! subscription wants them now. Only a subscription that asks for an event gets it.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};
use sidehook_event::{Event, EventId, EventType, UnixMicros};

use super::{
    Context, Flaws, Problem,
    body::{JsonBody, MaybeJsonBody},
    events,
    form::Form,
    named::{event_type, id as id_of, instant},
    openapi::Description,
    path::{Keys, id},
    read::{boolean, text},
    routes::{Routes, post},
    shape::Done,
    subscriptions,
};
use crate::{
    clock::mint,
    model::{Page, PageRequest, Scope, Subscription, SubscriptionId},
    store::{Dispatched, Due, EventFilter, NewDelivery},
    transform::{Rendered, Renderer},
};

pub(super) fn routes() -> Routes<Arc<Context>> {
    let scope = Scope::DeliveriesRedrive;
    Routes::new().at("/events/{id}/replay", [post(scope, one, one_replayed)]).at(
        "/subscriptions/{id}/replay",
        [post(scope, many, replayed), subscriptions::case("replay")],
    )
}

fn one_replayed() -> Description {
    Description::of("replayEvent", "Deliver an event once more")
        .about("To every enabled subscription that asks for it, or to one.")
        .may_read(To::read)
        .shows::<Done>(StatusCode::OK, "How many deliveries that makes.")
        .conflicts("It still waits to be dispatched, or the subscription does not want it.")
}

fn replayed() -> Description {
    Description::of("replaySubscription", "Deliver to it what it would have got since some time")
        .about("The oldest first, in new deliveries under the `webhook-id` of old.")
        .reads(Asked::read)
        .shows::<Done>(StatusCode::OK, "How many deliveries that makes.")
        .conflicts("The subscription is not enabled.")
}

/// `POST /events/{id}/replay`.
async fn one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
    MaybeJsonBody(body): MaybeJsonBody,
) -> Result<Json<Done>, Problem> {
    let To(to) = Form::whole(body.unwrap_or_else(|| json!({})), To::read)?;
    let event = context.store.event(id(&key, events::MISSING)?).await?;
    let event = event.ok_or(Problem::NotFound(events::MISSING))?;
    let listeners = match to {
        None => context.routes.listeners(&event.event_type),
        Some(id) => {
            let subscription = context.named(id).await?;
            enabled(&subscription)?;
            if !subscription.pattern.matches(&event.event_type) {
                let said = format!("the subscription does not ask for {}", event.event_type);
                return Err(Problem::Conflict(said));
            }
            if !is_wanted(&event, &subscription) {
                let said = "the subscription's filter does not let the event through";
                return Err(Problem::Conflict(said.to_owned()));
            }
            vec![Arc::new(subscription)]
        }
    };
    let replayed = context.made_of(event, &listeners);
    let has_any = !replayed.deliveries.is_empty();
    let count = context.store.replay(vec![replayed], false, context.clock.now()).await?;
    if count == 0 && has_any {
        let said = "the event is not dispatched yet, and will be delivered anyway";
        return Err(Problem::Conflict(said.to_owned()));
    }
    Ok(Json(Done { count, dry_run: false }))
}

/// `POST /subscriptions/{id}/replay`.
async fn many(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Done>, Problem> {
    let asked = Asked::try_from(body)?;
    let subscription = context.store.subscription(id(&key, subscriptions::MISSING)?).await?;
    let subscription = subscription.ok_or(Problem::NotFound(subscriptions::MISSING))?;
    enabled(&subscription)?;
    context.replay(asked, Arc::new(subscription)).await
}

/// Whether the subscription gets such an event when it happens.
pub(super) fn is_wanted(event: &Event, subscription: &Subscription) -> bool {
    subscription.pattern.matches(&event.event_type) && Renderer::new(event).is_wanted(subscription)
}

fn enabled(subscription: &Subscription) -> Result<(), Problem> {
    if subscription.enabled {
        Ok(())
    } else {
        Err(Problem::Conflict("the subscription is not enabled".to_owned()))
    }
}

/// To whom, if not to all.
#[derive(Debug)]
struct To(Option<SubscriptionId>);

impl To {
    #[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
    fn read(form: &mut Form) -> Option<Self> {
        let to = id_of().about("To this one alone; to all that ask for it, without one.");
        Some(Self(form.read("subscription_id", to)))
    }
}

/// Which events, and whether it is only asked how many there are.
#[derive(Debug)]
struct Asked {
    since: UnixMicros,
    until: Option<UnixMicros>,
    event_type: Option<EventType>,
    subject: Option<String>,
    /// Only those of which the subscription has no delivery at all.
    missing_only: bool,
    dry_run: bool,
}

impl TryFrom<Value> for Asked {
    type Error = Flaws;

    fn try_from(body: Value) -> Result<Self, Flaws> {
        Form::whole(body, Self::read)
    }
}

impl Asked {
    fn read(form: &mut Form) -> Option<Self> {
        let since = form.require("since", instant().about("Happened at this time or later."));
        let until = form.read("until", instant().about("Happened before; now, if absent."));
        let event_type = form.read("event_type", event_type().about("Only of this type."));
        let subject = form.read("subject", text().about("Only about this subject."));
        let missing_only = boolean().about("Leave out what the subscription has a delivery of.");
        let missing_only = form.read("missing_only", missing_only.or(false)).unwrap_or(false);
        let dry_run = form.read("dry_run", boolean().about("Only count.").or(false));
        if since.zip(until).is_some_and(|(since, until)| until <= since) {
            form.note(Flaws::at("until", "must be later than since"));
        }
        let dry_run = dry_run.unwrap_or(false);
        Some(Self { since: since?, until, event_type, subject, missing_only, dry_run })
    }
}

impl Context {
    /// Goes through the events page by page, the newest first, and back again to replay the
    /// oldest first. Those that happen meanwhile are not among them.
    async fn replay(
        &self,
        asked: Asked,
        subscription: Arc<Subscription>,
    ) -> Result<Json<Done>, Problem> {
        let Asked { since, until, event_type, subject, missing_only, dry_run } = asked;
        let now = self.clock.now();
        let until = until.map_or(now, |until| until.min(now));
        let event_type = event_type.map(|event_type| event_type.to_string());
        let filter = EventFilter { event_type, subject, since: Some(since) };
        let wanted = |event: &Event| event.time < until && is_wanted(event, &subscription);

        let (mut count, mut after, mut pages) = (0, None, Vec::new());
        loop {
            let Page { data, next } = self.page(&filter, after).await?;
            let here = data.iter().filter(|event| wanted(event)).count();
            if here > 0 {
                pages.push(after);
            }
            count += u64::try_from(here).unwrap_or(u64::MAX);
            after = next;
            if after.is_none() {
                break;
            }
        }
        if dry_run {
            return Ok(Json(Done { count, dry_run }));
        }
        let listeners = [subscription.clone()];
        let mut count = 0;
        for after in pages.into_iter().rev() {
            let events = self.page(&filter, after).await?.data.into_iter().rev();
            let replayed = events.filter(wanted).map(|event| self.made_of(event, &listeners));
            let replayed = replayed.collect();
            count += self.store.replay(replayed, missing_only, self.clock.now()).await?;
        }
        Ok(Json(Done { count, dry_run }))
    }

    /// A page of them, as long as pages may be.
    pub(super) async fn page(
        &self,
        filter: &EventFilter,
        after: Option<EventId>,
    ) -> Result<Page<Event, EventId>, Problem> {
        let limit = PageRequest::<EventId>::MAX_LIMIT;
        Ok(self.store.events(filter, PageRequest { after, limit }).await?)
    }

    /// A delivery of the event to each of them, due at once.
    fn made_of(&self, event: Event, listeners: &[Arc<Subscription>]) -> Dispatched {
        let now = self.clock.now();
        let mut renderer = Renderer::new(&event);
        let mut deliveries = Vec::new();
        for subscription in listeners {
            if !renderer.is_wanted(subscription) {
                continue;
            }
            let Rendered { payload, script, end: _ } = renderer.render_later(subscription);
            deliveries.push(NewDelivery {
                id: mint(&*self.clock),
                subscription_id: subscription.id,
                payload,
                script,
                due: Due::At(now),
                // Its time in the order is over.
                is_ordered: false,
            });
        }
        drop(renderer);
        Dispatched { event: Arc::new(event), deliveries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaws(body: Value) -> Vec<String> {
        Asked::try_from(body).unwrap_err().told()
    }

    #[test]
    fn from_when_on_must_be_said() {
        assert_eq!(flaws(json!({})), ["since is required"]);
        let asked = Asked::try_from(json!({"since": "2025-11-23T09:30:00Z"})).unwrap();
        assert!(!asked.dry_run && !asked.missing_only && asked.until.is_none());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let body = json!({
            "since": "2025-11-23T09:30:00Z", "until": "2025-11-23T09:30:00Z",
            "event_type": "people.*", "missing_only": 1, "state": "dead",
        });
        let flaws = flaws(body);
        assert_eq!(flaws.len(), 4, "{flaws:?}");
        for (flaw, field) in flaws.iter().zip(["event_type", "missing_only", "until", "state"]) {
            assert!(flaw.starts_with(field), "{flaw}");
        }
    }
}
