//! The REST face: subscriptions to change, events and deliveries to look at.
//!
//! Invariant: an answer of 2xx to a change is given only when the store has it and the routing
//! table has read it, so that every event from then on sees it. Every other answer is a problem
//! (RFC 9457).

mod auth;
mod body;
mod dead_letters;
mod deliveries;
mod events;
mod health;
mod ingest;
mod keys;
mod listing;
mod openapi;
mod path;
mod problem;
mod publish;
mod replay;
mod routes;
mod scripts;
pub mod server;
mod shape;
mod stream;
mod subscriptions;
mod tokens;

use std::{sync::Arc, time::Duration};

use axum::Router;

pub use crate::form::{Flaw, Flaws, Place};
pub use auth::Gate;
pub use health::{health, metrics};
pub use ingest::ingest;
pub use openapi::{Example, document};
pub use problem::Problem;
pub use routes::{Route, nothing_else};

use self::routes::{Routes, Told};
use crate::{
    clock::Clock,
    deliver::Client,
    form::{self, flaw, named, read},
    ingest::Ingest,
    live::Live,
    model::Retry,
    route::Table,
    store::Store,
    transform::Scripts,
};

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Holds what is shown and changed.
    pub store: Arc<dyn Store>,
    /// Dates changes, and draws ids and secrets.
    pub clock: Arc<dyn Clock>,
    /// Told of each change before it is answered.
    pub routes: Arc<Table>,
    /// Knows which addresses a subscription may name, and sends what it is asked to try.
    pub client: Client,
    /// What a subscription is given that does not say otherwise.
    pub defaults: Defaults,
    /// Runs scripts.
    pub scripts: Arc<Scripts>,
    /// Where events are handed over, if this process takes any.
    pub ingest: Option<Ingest>,
    /// Where it is told what happens.
    pub live: Live,
    /// Who may do what.
    pub gate: Gate,
}

/// What a subscription is given that does not say otherwise.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// When attempts are made.
    pub retry: Retry,
    /// How long an attempt may take as a whole.
    pub timeout: Duration,
}

impl Default for Defaults {
    /// The schedule and, of the 15 to 30 seconds, the shorter time-out that Standard Webhooks
    /// recommends.
    fn default() -> Self {
        Self { retry: Retry::default(), timeout: Duration::from_secs(15) }
    }
}

/// The routes of this face. Other routers may be merged with it; [`nothing_else`] then answers
/// whatever none of them has a path for.
pub fn router(context: Context) -> Router {
    let gate = context.gate.clone();
    rest().behind(&gate, Arc::new(context))
}

/// Every route that the process may serve, with what each asks for.
pub fn every_route() -> Vec<Route> {
    every_route_told().into_iter().map(|(route, _)| route).collect()
}

fn every_route_told() -> Vec<(Route, Told)> {
    let faces = [
        rest().list(),
        ingest::routes().list(),
        health::routes().list(),
        health::metrics_routes().list(),
    ];
    faces.concat()
}

fn rest() -> Routes<Arc<Context>> {
    subscriptions::routes()
        .and(events::routes())
        .and(deliveries::routes())
        .and(dead_letters::routes())
        .and(replay::routes())
        .and(keys::routes())
        .and(scripts::routes())
        .and(tokens::routes())
        .and(stream::routes())
        .and(openapi::routes())
}
