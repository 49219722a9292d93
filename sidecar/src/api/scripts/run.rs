//! `POST /scripts/run`: a dry run.
//!
//! Invariant: a script that fails is an answer, not a problem.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sidehook_event::EventId;
use utoipa::ToSchema;

use super::{
    super::{
        Context, Flaws, Problem, body::JsonBody, events, form::Form, named::id,
        openapi::Description, read::object,
    },
    choice,
};
use crate::{
    model::{Scope, ScriptChoice, SubscriptionId},
    transform::{DryRun, Renderer, visible},
};

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct Shown {
    #[serde(flatten)]
    run: DryRun,
    duration_us: u64,
}

/// What is run on what.
#[derive(Debug)]
pub(super) struct Asked {
    script: ScriptChoice,
    event: Option<Map<String, Value>>,
    event_id: Option<EventId>,
    subscription: Option<Map<String, Value>>,
    subscription_id: Option<SubscriptionId>,
}

impl TryFrom<Value> for Asked {
    type Error = Flaws;

    fn try_from(body: Value) -> Result<Self, Flaws> {
        Form::whole(body, Self::read)
    }
}

impl Asked {
    /// Reads what is to be run on what.
    pub(super) fn read(form: &mut Form) -> Option<Self> {
        let script = form.require("script", choice());
        let event = form.read("event", object().about("An event, as scripts see it."));
        let event_id = form.read("event_id", id().about("One that happened, in its place."));
        let subscription = object().about("A subscription, as scripts see it.");
        let subscription = form.read("subscription", subscription);
        let subscription_id = id().about("One that there is, in its place.");
        let subscription_id = form.read("subscription_id", subscription_id);
        if event.is_some() == event_id.is_some() {
            form.note(Flaws::at("event", "or event_id must be given, and not both"));
        }
        if subscription.is_some() && subscription_id.is_some() {
            form.note(Flaws::at("subscription", "or subscription_id may be given, not both"));
        }
        let script = script?;
        Some(Self { script, event, event_id, subscription, subscription_id })
    }
}

/// `POST /scripts/run`.
pub(super) async fn run(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Json<Shown>, Problem> {
    let asked = Asked::try_from(body)?;
    // What it shows is theirs to see.
    if asked.event_id.is_some() {
        context.gate.allows(&headers, Scope::EventsRead)?;
    }
    let script = context.scripts.chosen(&asked.script);
    let script = script.map_err(|error| Flaws::at("script", error))?;
    let input = context.input(asked).await?;
    let (scripts, clock) = (Arc::clone(&context.scripts), Arc::clone(&context.clock));
    let trying = move || {
        let started = clock.monotonic();
        let run = DryRun::of(scripts.sandbox()?, &script.source, &input)?;
        let took = clock.monotonic().saturating_sub(started);
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Ok(Json(Shown { run, duration_us }))
    };
    context.aside(trying).await
}

/// What is told of it.
pub(super) fn told() -> Description {
    Description::of("runScript", "Try a script on an event")
        .about(
            "Nothing is sent. Either `event` or `event_id` is given (which asks for the scope \
             `events:read` too), and at most one of `subscription` and `subscription_id`.",
        )
        .reads(Asked::read)
        .shows::<Shown>(StatusCode::OK, "What came of it, a failure too.")
}

impl Context {
    /// What the script is handed.
    async fn input(&self, asked: Asked) -> Result<Vec<u8>, Problem> {
        let subscription = match asked.subscription_id {
            None => None,
            Some(id) => Some(self.named(id).await?),
        };
        if let Some(id) = asked.event_id {
            let event = self.store.event(id).await?;
            let event = event.ok_or_else(|| Flaws::at("event_id", events::MISSING))?;
            return Ok(Renderer::new(&event).input(subscription.as_ref()));
        }
        let shown = match (&subscription, asked.subscription) {
            (Some(subscription), _) => visible(subscription),
            (None, Some(written)) => Value::Object(written),
            (None, None) => json!({}),
        };
        Ok(json!({"event": asked.event, "subscription": shown}).to_string().into_bytes())
    }
}
