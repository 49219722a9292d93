//! `POST /scripts/run`: a dry run.
//!
//! Invariant: a script that fails is an answer, not a problem.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sidehook_event::EventId;

use super::{
    super::{
        Context, Flaws, Problem,
        body::JsonBody,
        events,
        form::Form,
        read::{object, parsed},
    },
    choice,
};
use crate::{
    model::{Scope, ScriptChoice, SubscriptionId},
    transform::{DryRun, Renderer, visible},
};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    run: DryRun,
    duration_us: u64,
}

/// What is run on what.
#[derive(Debug)]
struct Asked {
    script: ScriptChoice,
    event: Option<Map<String, Value>>,
    event_id: Option<EventId>,
    subscription: Option<Map<String, Value>>,
    subscription_id: Option<SubscriptionId>,
}

impl TryFrom<Value> for Asked {
    type Error = Flaws;

    fn try_from(body: Value) -> Result<Self, Flaws> {
        let mut form = Form::of(body)?;
        let script = form.require("script", choice);
        let event = form.read("event", object);
        let event_id = form.read("event_id", parsed);
        let subscription = form.read("subscription", object);
        let subscription_id = form.read("subscription_id", parsed);
        if event.is_some() == event_id.is_some() {
            form.note(Flaws::at("event", "or event_id must be given, and not both"));
        }
        if subscription.is_some() && subscription_id.is_some() {
            form.note(Flaws::at("subscription", "or subscription_id may be given, not both"));
        }
        form.finish()?;
        let script = script.ok_or_else(|| Flaws::at("script", "is required"))?;
        Ok(Self { script, event, event_id, subscription, subscription_id })
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
