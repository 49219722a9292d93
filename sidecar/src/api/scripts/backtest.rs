//! `POST /scripts/backtest`: what another script or filter would have made of the last events.
//!
//! Invariant: nothing is sent and nothing changes; it ends after [`PATIENCE`], having looked at
//! what there was time for, and says whether that was all.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use sidehook_event::{Event, EventId, EventType, UnixMicros};
use utoipa::ToSchema;

use super::{
    super::{
        Context, Flaws, Problem,
        body::JsonBody,
        form::Form,
        named::{filter, id, instant, pattern},
        openapi::Description,
        read::whole,
        shape, subscriptions,
    },
    choice,
};
use crate::{
    model::{Filter, Page, Pattern, Scope, ScriptChoice, Subscription, SubscriptionId},
    store::EventFilter,
    transform::{Change, Compared, version_of},
};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most events that are looked at.
const MOST: u64 = 1000;
const USUAL: u64 = 100;
/// The most examples of an outcome.
const EXAMPLES: usize = 20;

/// What is to replace what, and on which events that is tried.
#[derive(Debug)]
pub(super) struct Asked {
    script: Option<ScriptChoice>,
    filter: Option<Filter>,
    subscription_id: Option<SubscriptionId>,
    event_type: Option<Pattern>,
    against: Option<ScriptChoice>,
    since: Option<UnixMicros>,
    limit: u64,
}

impl TryFrom<Value> for Asked {
    type Error = Flaws;

    fn try_from(body: Value) -> Result<Self, Flaws> {
        Form::whole(body, Self::read)
    }
}

impl Asked {
    /// Reads what is to be tried.
    #[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
    pub(super) fn read(form: &mut Form) -> Option<Self> {
        let script = form.read("script", choice().about("What would make the bodies."));
        let filter = form.read("filter", filter().about("What would let events through."));
        let subscription_id = id().about("Whose present script and filter it is compared with.");
        let subscription_id = form.read("subscription_id", subscription_id);
        let event_type = pattern().about("Which events, if no subscription says so.");
        let event_type = form.read("event_type", event_type);
        let against = form.read("against", choice().about("The script to compare it with."));
        let since = form.read("since", instant().about("Events of this time or later."));
        let limit = whole(1, MOST).about("The most events that are looked at.").or(USUAL);
        let limit = form.read("limit", limit).unwrap_or(USUAL);
        if script.is_none() && filter.is_none() {
            form.note(Flaws::at("script", "or filter must be given"));
        }
        if subscription_id.is_some() == event_type.is_some() {
            form.note(Flaws::at("subscription_id", "or event_type must be given, and not both"));
        }
        Some(Self { script, filter, subscription_id, event_type, against, since, limit })
    }
}

/// What came of it.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Backtest)]
pub(super) struct Shown {
    #[schema(required)]
    script_version: Option<String>,
    #[schema(required)]
    against_version: Option<String>,
    events: u64,
    same: u64,
    changed: u64,
    filtered: u64,
    failed: u64,
    /// Of those that are sent now.
    newly_filtered: u64,
    newly_failed: u64,
    #[schema(required, value_type = Option<shape::Instant>)]
    newest: Option<String>,
    #[schema(required, value_type = Option<shape::Instant>)]
    oldest: Option<String>,
    /// Whether there was time for all of them.
    complete: bool,
    examples: Vec<Example>,
}

/// One of the events that are not the same.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BacktestExample)]
struct Example {
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::EventId)]
    event_id: EventId,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::EventType)]
    event_type: EventType,
    #[schema(required)]
    subject: Option<String>,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    time: UnixMicros,
    #[serde(flatten)]
    compared: Compared,
}

impl Shown {
    fn count(&mut self, event: &Event, compared: Compared) {
        self.events += 1;
        let newly = u64::from(compared.was == "sent");
        match compared.outcome {
            Change::Same => self.same += 1,
            Change::Changed => self.changed += 1,
            Change::Filtered => {
                self.filtered += 1;
                self.newly_filtered += newly;
            }
            Change::Failed => {
                self.failed += 1;
                self.newly_failed += newly;
            }
        }
        // They come newest first.
        self.newest.get_or_insert_with(|| event.time.to_string());
        self.oldest = Some(event.time.to_string());
        let alike = |example: &&Example| example.compared.outcome == compared.outcome;
        if compared.is_telling() && self.examples.iter().filter(alike).count() < EXAMPLES {
            self.examples.push(Example {
                event_id: event.id,
                event_type: event.event_type.clone(),
                subject: event.subject.clone(),
                time: event.time,
                compared,
            });
        }
    }
}

/// `POST /scripts/backtest`.
pub(super) async fn backtest(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Json<Shown>, Problem> {
    let asked = Asked::try_from(body)?;
    if asked.subscription_id.is_some() {
        context.gate.allows(&headers, Scope::SubscriptionsRead)?;
    }
    let (since, limit) = (asked.since, asked.limit);
    let (earlier, later) = context.sides(asked).await?;
    let version = |of: &Subscription| version_of(&context.scripts, of.script.as_ref());
    let shown = Shown {
        script_version: version(&later).map(|version| version.to_string()),
        against_version: version(&earlier).map(|version| version.to_string()),
        ..Shown::default()
    };
    context.compare(earlier, later, since, limit, shown).await.map(Json)
}

/// What is told of it.
pub(super) fn told() -> Description {
    Description::of("backtestScript", "Try a script or a filter on the last events")
        .about(
            "A `script`, a `filter` or both are given, and either `subscription_id` (which asks \
             for the scope `subscriptions:read` too) or `event_type`. It ends after 10 s.",
        )
        .reads(Asked::read)
        .shows::<Shown>(StatusCode::OK, "How what is sent would differ.")
}

impl Context {
    /// The subscription as it is, and as it would be.
    async fn sides(&self, asked: Asked) -> Result<(Subscription, Subscription), Problem> {
        let mut earlier = match (asked.subscription_id, asked.event_type) {
            (Some(id), _) => self.named(id).await?,
            // It only says which events are looked at.
            (None, pattern) => {
                let pattern = pattern.unwrap_or(Pattern::Everything);
                subscriptions::imagined(&pattern, &self.defaults, &*self.clock)?
            }
        };
        for (field, choice) in [("script", &asked.script), ("against", &asked.against)] {
            let Some(choice) = choice else { continue };
            let script = self.scripts.chosen(choice);
            let script = script.map_err(|error| Flaws::at(field, error))?;
            self.compile(&script).await?.map_err(|flaws| flaws.within(field))?;
        }
        earlier.script = asked.against.or(earlier.script);
        let mut later = earlier.clone();
        later.script = asked.script.or(later.script);
        later.filter = asked.filter.or(later.filter);
        Ok((earlier, later))
    }

    async fn compare(
        &self,
        earlier: Subscription,
        later: Subscription,
        since: Option<UnixMicros>,
        limit: u64,
        mut shown: Shown,
    ) -> Result<Shown, Problem> {
        let event_type = match &earlier.pattern {
            Pattern::Type(event_type) => Some(event_type.to_string()),
            _ => None,
        };
        let filter = EventFilter { event_type, subject: None, since };
        let sides = Arc::new((earlier, later));
        let until = self.clock.monotonic() + PATIENCE;
        let mut after = None;
        loop {
            let Page { data, next } = self.page(&filter, after).await?;
            let (sides, clock) = (Arc::clone(&sides), Arc::clone(&self.clock));
            let is_over = move || clock.monotonic() >= until;
            let has_time;
            (shown, has_time) = self.compare_all(data, sides, limit, shown, is_over).await?;
            shown.complete = shown.events >= limit || (has_time && next.is_none());
            after = next;
            if shown.complete || !has_time {
                return Ok(shown);
            }
        }
    }

    /// Compares those of a page that the subscription asks for, until there are enough or the
    /// time is over, and says whether there was time for all of them.
    async fn compare_all(
        &self,
        events: Vec<Event>,
        sides: Arc<(Subscription, Subscription)>,
        limit: u64,
        mut shown: Shown,
        is_over: impl Fn() -> bool + Send + 'static,
    ) -> Result<(Shown, bool), Problem> {
        let scripts = Arc::clone(&self.scripts);
        let compare = move || {
            let (earlier, later) = &*sides;
            for event in events.iter().filter(|event| earlier.pattern.matches(&event.event_type)) {
                if shown.events >= limit {
                    break;
                }
                if is_over() {
                    return Ok((shown, false));
                }
                let compared = Compared::of(event, earlier, later, &scripts)?;
                shown.count(event, compared);
            }
            Ok((shown, true))
        };
        self.aside(compare).await
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
    fn what_is_to_be_tried_on_what_must_be_said() {
        assert_eq!(
            flaws(json!({})),
            [
                "script or filter must be given",
                "subscription_id or event_type must be given, and not both"
            ]
        );
        let asked = Asked::try_from(json!({"script": "@slack", "event_type": "people.*"})).unwrap();
        assert_eq!(asked.limit, USUAL);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let body = json!({
            "script": "", "filter": {"data": []}, "subscription_id": "sub_1", "since": 1,
            "limit": 1001, "event_type": "People",
        });
        let flaws = flaws(body);
        for (flaw, field) in flaws.iter().zip(["script", "filter", "subscription_id", "event_type"])
        {
            assert!(flaw.starts_with(field), "{flaws:?}");
        }
        assert!(
            flaws.contains(&"limit must be a whole number from 1 to 1000".to_owned()),
            "{flaws:?}"
        );
    }
}
