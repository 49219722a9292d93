//! `/dead-letters`: what was given up, with its cause; delivered again, or forgotten.
//!
//! Invariant: a dead letter that is redriven keeps its `webhook-id` and its bytes. What many are
//! asked for by a filter is done in pieces: each is done whole, and asking again does the rest.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::StatusCode;
use serde_json::Value;
use sidehook_event::{EventType, UnixMicros};

use super::{
    Context, Flaws, Problem,
    body::JsonBody,
    deliveries::Shown,
    form::{Form, nested},
    listing::{Listing, listing, page},
    named::{event_type, id as id_of, instant},
    openapi::Description,
    path::{Keys, id},
    read::{boolean, one_of},
    routes::{Routes, delete, get, post},
    shape::Done,
};
use crate::{
    model::{
        Attempt, Cause, Delivery, DeliveryId, Page, PageRequest, Scope, State as DeliveryState,
        SubscriptionId,
    },
    store::DeliveryFilter,
};

/// How many pages of the store are looked at for one of a list.
const MOST_LOOKS: usize = 50;
const MISSING: &str = "there is no such dead letter";

pub(super) fn routes() -> Routes<Arc<Context>> {
    let (read, redrive) = (Scope::DeliveriesRead, Scope::DeliveriesRedrive);
    Routes::new()
        .at("/dead-letters", [get(read, list, told::listed)])
        .at("/dead-letters/redrive", [post(redrive, redrive_many, told::many_redriven)])
        .at("/dead-letters/discard", [post(redrive, discard_many, told::many_discarded)])
        .at(
            "/dead-letters/{id}",
            [get(read, one, told::shown), delete(redrive, discard_one, told::discarded)],
        )
        .at("/dead-letters/{id}/redrive", [post(redrive, redrive_one, told::redriven)])
}

/// What is told of each.
mod told {
    use http::StatusCode;

    use super::{Asked, Description, Done, Shown, asked};

    pub(super) fn listed() -> Description {
        Description::of("listDeadLetters", "List what was given up")
            .query(asked)
            .lists::<Shown>("Deliveries that are dead, the newest first.")
    }

    pub(super) fn many_redriven() -> Description {
        Description::of("redriveDeadLetters", "Deliver many dead letters again")
            .about("What dies while this goes on is not touched.")
            .reads(Asked::read)
            .shows::<Done>(StatusCode::OK, "How many.")
    }

    pub(super) fn many_discarded() -> Description {
        Description::of("discardDeadLetters", "Forget many dead letters")
            .reads(Asked::read)
            .shows::<Done>(StatusCode::OK, "How many.")
    }

    pub(super) fn shown() -> Description {
        Description::of("showDeadLetter", "Show a dead letter and its attempts")
            .shows::<Shown>(StatusCode::OK, "With its `attempt_log`.")
    }

    pub(super) fn discarded() -> Description {
        Description::of("discardDeadLetter", "Forget a dead letter")
            .answers(StatusCode::NO_CONTENT, "It is forgotten.")
    }

    pub(super) fn redriven() -> Description {
        Description::of("redriveDeadLetter", "Deliver a dead letter again")
            .about("At once, under the same `webhook-id`, with the same bytes.")
            .shows::<Shown>(StatusCode::OK, "As the delivery is now.")
            .conflicts("Its subscription was deleted.")
    }
}

/// `GET /dead-letters`.
async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Shown>>, Problem> {
    let (filter, page) = Form::whole_query(query.as_deref(), asked)?;
    let dead = context.page_of(&filter, page).await?;
    Ok(listing(&dead, |delivery| Shown::of(delivery, None)))
}

/// `GET /dead-letters/{id}`.
async fn one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Json<Shown>, Problem> {
    let (delivery, attempts) = context.dead_letter(&key).await?;
    Ok(Json(Shown::of(&delivery, Some(attempts))))
}

/// `POST /dead-letters/{id}/redrive`.
async fn redrive_one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Json<Shown>, Problem> {
    let (delivery, _) = context.dead_letter(&key).await?;
    let redriven = context.store.redrive(&[delivery.id], context.clock.now()).await?;
    let found = context.store.delivery(delivery.id).await?;
    let (later, attempts) = found.ok_or(Problem::NotFound(MISSING))?;
    if redriven == 0 && later.state == DeliveryState::Dead {
        return Err(Problem::Conflict("its subscription was deleted".to_owned()));
    }
    Ok(Json(Shown::of(&later, Some(attempts))))
}

/// `DELETE /dead-letters/{id}`.
async fn discard_one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<StatusCode, Problem> {
    match context.store.discard(&[id(&key, MISSING)?]).await? {
        0 => Err(Problem::NotFound(MISSING)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// `POST /dead-letters/redrive`.
async fn redrive_many(
    State(context): State<Arc<Context>>,
    JsonBody(body): JsonBody,
) -> Result<Json<Done>, Problem> {
    context.each(Asked::try_from(body)?, Act::Redrive).await
}

/// `POST /dead-letters/discard`.
async fn discard_many(
    State(context): State<Arc<Context>>,
    JsonBody(body): JsonBody,
) -> Result<Json<Done>, Problem> {
    context.each(Asked::try_from(body)?, Act::Discard).await
}

/// Which of them a list shows.
fn asked(form: &mut Form) -> Option<(Filter, PageRequest<DeliveryId>)> {
    Some((Filter::read(form)?, page(form)))
}

/// What is done to many.
#[derive(Debug, Clone, Copy)]
enum Act {
    Redrive,
    Discard,
}

/// Which, and whether it is only asked how many there are.
#[derive(Debug)]
struct Asked {
    filter: Filter,
    dry_run: bool,
}

/// Which of the dead letters.
#[derive(Debug, Default)]
struct Filter {
    subscription_id: Option<SubscriptionId>,
    cause: Option<Cause>,
    event_type: Option<EventType>,
    /// That were given up at this time or later.
    since: Option<UnixMicros>,
    /// That were given up before this time.
    until: Option<UnixMicros>,
}

impl TryFrom<Value> for Asked {
    type Error = Flaws;

    /// A filter must be written down, if only as `{}`: all is not meant by a slip of the pen.
    fn try_from(body: Value) -> Result<Self, Flaws> {
        Form::whole(body, Self::read)
    }
}

impl Asked {
    fn read(form: &mut Form) -> Option<Self> {
        let filter = nested(Filter::read).about("Which of them; all, if nothing is in it.");
        let filter = form.require("filter", filter);
        let dry_run = form.read("dry_run", boolean().about("Only count.").or(false));
        Some(Self { filter: filter?, dry_run: dry_run.unwrap_or(false) })
    }
}

impl Filter {
    #[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
    fn read(form: &mut Form) -> Option<Self> {
        let since = instant().about("Given up at this time or later.");
        Some(Self {
            event_type: form.read("event_type", event_type()),
            subscription_id: form.read("subscription_id", id_of()),
            cause: form.read("cause", one_of(&Cause::NAMES)),
            since: form.read("since", since),
            until: form.read("until", instant().about("Given up before.")),
        })
    }

    /// What the store can look for.
    fn stored(&self) -> DeliveryFilter {
        let state = Some(DeliveryState::Dead);
        DeliveryFilter { state, subscription_id: self.subscription_id, event_id: None }
    }

    /// The rest.
    fn admits(&self, delivery: &Delivery) -> bool {
        let cause = delivery.death.as_ref().map(|death| death.cause);
        let died_at = delivery.finished_at;
        self.cause.is_none_or(|wanted| cause == Some(wanted))
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == delivery.event_type)
            && self.since.is_none_or(|since| died_at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| died_at.is_some_and(|at| at < until))
    }
}

impl Context {
    async fn dead_letter(&self, key: &str) -> Result<(Delivery, Vec<Attempt>), Problem> {
        let found = self.store.delivery(id(key, MISSING)?).await?;
        let dead = found.filter(|(delivery, _)| delivery.state == DeliveryState::Dead);
        dead.ok_or(Problem::NotFound(MISSING))
    }

    /// A page of those that the filter admits. It is looked at so many at most, and the page may hold
    /// fewer than could follow.
    async fn page_of(
        &self,
        filter: &Filter,
        page: PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>, Problem> {
        let mut found = Page { data: Vec::new(), next: page.after };
        for _ in 0..MOST_LOOKS {
            let asked = PageRequest { after: found.next, limit: page.limit };
            let Page { data, next } = self.store.deliveries(&filter.stored(), asked).await?;
            let room = usize::try_from(page.limit).unwrap_or(usize::MAX) - found.data.len();
            let mut admitted = data.into_iter().filter(|delivery| filter.admits(delivery));
            found.data.extend(admitted.by_ref().take(room));
            found.next = next;
            let full = found.data.len() >= usize::try_from(page.limit).unwrap_or(usize::MAX);
            if full && admitted.next().is_some() {
                // The next page begins after the last one shown, not after the last one seen.
                found.next = found.data.last().map(|delivery| delivery.id);
            }
            if full || found.next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Goes through all that died until now, page by page: what dies meanwhile, as what was redriven
    /// may, is not among them.
    async fn each(&self, asked: Asked, act: Act) -> Result<Json<Done>, Problem> {
        let Asked { mut filter, dry_run } = asked;
        let now = self.clock.now();
        filter.until = Some(filter.until.map_or(now, |until| until.min(now)));
        let mut count = 0;
        let mut page = PageRequest { after: None, limit: PageRequest::<DeliveryId>::MAX_LIMIT };
        loop {
            let Page { data, next } = self.store.deliveries(&filter.stored(), page).await?;
            let admitted = data.iter().filter(|delivery| filter.admits(delivery));
            let ids: Vec<_> = admitted.map(|delivery| delivery.id).collect();
            count += match act {
                _ if dry_run => u64::try_from(ids.len()).unwrap_or(u64::MAX),
                Act::Redrive => self.store.redrive(&ids, now).await?,
                Act::Discard => self.store.discard(&ids).await?,
            };
            page.after = next;
            if page.after.is_none() {
                return Ok(Json(Done { count, dry_run }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flaws(body: Value) -> Vec<String> {
        Asked::try_from(body).unwrap_err().told()
    }

    #[test]
    fn many_are_asked_for_by_a_filter_that_is_written_down() {
        assert_eq!(flaws(json!({})), ["filter is required"]);
        let asked = Asked::try_from(json!({"filter": {}})).unwrap();
        assert!(!asked.dry_run && asked.filter.cause.is_none());
        let filter = json!({"cause": "egress", "since": "2025-11-23T09:30:00Z"});
        let asked = Asked::try_from(json!({"filter": filter, "dry_run": true})).unwrap();
        assert_eq!(asked.filter.cause, Some(Cause::Egress));
        assert!(asked.dry_run && asked.filter.since.is_some());
    }

    #[test]
    fn what_is_wrong_with_a_filter_is_named_with_its_path() {
        let filter = json!({"cause": "bad luck", "until": "noon", "state": "pending"});
        assert_eq!(
            flaws(json!({"filter": filter, "dry_run": 1})),
            [
                "filter.cause must be one of exhausted, refused, egress, malformed, unsubscribed, script",
                "filter.until must be an instant such as 2026-11-23T09:30:00Z, with %2B for a plus sign",
                "filter.state is unknown; there are event_type, subscription_id, cause, since, until",
                "dry_run must be true or false",
            ]
        );
    }
}
