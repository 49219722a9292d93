//! The REST face: subscriptions to change, events and deliveries to look at.
//!
//! Invariant: an answer of 2xx to a change is given only when the store has it and the routing
//! table has read it, so that every event from then on sees it. Every other answer is a problem
//! (RFC 9457).

mod auth;
mod body;
mod deliveries;
mod events;
mod flaw;
mod form;
mod health;
mod ingest;
mod listing;
mod path;
mod problem;
mod read;
mod shape;
mod subscriptions;

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::MethodRouter};
use secrecy::SecretString;

pub use auth::guarded;
pub use flaw::{Flaw, Flaws};
pub use health::{health, metrics};
pub use ingest::ingest;
pub use problem::Problem;

use crate::{clock::Clock, deliver::egress::Rule, model::Retry, route::Table, store::Store};

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Holds what is shown and changed.
    pub store: Arc<dyn Store>,
    /// Dates changes, and draws ids and secrets.
    pub clock: Arc<dyn Clock>,
    /// Told of each change before it is answered.
    pub routes: Arc<Table>,
    /// Which addresses a subscription may name.
    pub egress: Rule,
    /// What a subscription is given that does not say otherwise.
    pub defaults: Defaults,
    /// The bearer token that every request must carry; without one, none is asked for.
    pub token: Option<SecretString>,
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

/// The routes of this face.
pub fn router(context: Context) -> Router {
    let token = context.token.clone();
    let routes = Router::new()
        .merge(subscriptions::routes())
        .merge(events::routes())
        .merge(deliveries::routes())
        .with_state(Arc::new(context));
    guarded(routes, token.as_ref())
}

/// The routes, with problems for unknown paths and methods.
pub fn with_problems(routes: Router) -> Router {
    routes.method_not_allowed_fallback(method_not_allowed).fallback(no_such_route)
}

/// Answers a path that is known with a method that is not.
pub async fn method_not_allowed() -> Problem {
    Problem::MethodNotAllowed
}

async fn no_such_route() -> Problem {
    Problem::NotFound("there is nothing at this path")
}

/// A path, with and without a slash at its end.
fn at(path: &str, methods: MethodRouter<Arc<Context>>) -> Router<Arc<Context>> {
    Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods)
}
