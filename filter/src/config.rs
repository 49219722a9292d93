//! The plugin's configuration: what was written becomes what is meant, or is refused with the
//! path of the key that is wrong.
//!
//! Invariant: a [`Config`] has been checked whole; nothing in it has to be checked again.

mod structure;
mod written;

use std::{fmt, rc::Rc, time::Duration};

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use sidehook_event::EventType;
use thiserror::Error;

use crate::{
    pointer::Pointer,
    rules::{Change, Rules},
};

/// What the plugin is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// The source of all events.
    pub gateway: String,
    /// Where events go.
    pub sidecar: Sidecar,
    /// How long an answer is held at most.
    pub hold_timeout: Duration,
    /// What is kept while the sidecar does not take it.
    pub buffer: Limits,
    /// Which route a write falls under, by its position in `routes`.
    pub rules: Rules,
    /// All routes.
    pub routes: Vec<Rc<Route>>,
}

/// Where events go.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// The cluster of the gateway, which is also the authority of the calls.
    pub cluster: String,
    /// The path of the ingest endpoint.
    pub path: String,
    /// After this an answer is no longer waited for.
    pub timeout: Duration,
    /// The value of the `authorization` header.
    pub authorization: Option<Secret>,
}

/// A text that must not be shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is kept at most, in each worker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events, in flight or not.
    pub max_events: usize,
    /// Bytes of encoded events, and of bodies that are still passing by.
    pub max_bytes: usize,
}

/// What the client is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// Nothing is sent and nothing is held: what would be captured is counted, and now and then
    /// logged.
    Observe,
    /// Nothing is held; what can't be kept is dropped and counted.
    BestEffort,
    /// The answer is held until the event is committed, or until `hold_timeout`.
    #[default]
    Durable,
    /// The answer is held until the event is committed, or becomes a 503 at `hold_timeout`; new
    /// writes are refused while the sidecar takes no events.
    Strict,
}

impl Capture {
    /// Whether answers wait for the commit.
    pub fn holds(self) -> bool {
        matches!(self, Self::Durable | Self::Strict)
    }
}

/// What is captured of the writes on one path.
#[derive(Debug, Clone)]
pub struct Route {
    /// What the events are called.
    pub names: Names,
    /// Where the id is in a body.
    pub id: Pointer,
    /// Where a list may be that is one event for each of its elements.
    pub bulk: Option<Bulk>,
    /// Whether requests with the same `Idempotency-Key` are one write.
    pub idempotency_key: bool,
    /// What the client is promised.
    pub capture: Capture,
    /// Whether to capture the request's body.
    pub request_body: bool,
    /// Whether to capture the answer's body.
    pub response_body: bool,
    /// The longest body captured, in bytes.
    pub max_body: usize,
    /// What to mask in bodies.
    pub redact: Vec<Pointer>,
    /// The request headers to copy, in lower case.
    pub headers: Vec<String>,
}

/// Where a body has a list of resources.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// Where the list is; `None` if it is the whole body.
    pub at: Option<Pointer>,
    /// Where the id is in an element of it.
    pub id: Pointer,
}

/// The types of a route's events.
#[derive(Debug, Clone)]
pub enum Names {
    /// A resource is created, updated, deleted.
    Resource {
        /// `people.created`
        created: EventType,
        /// `people.updated`
        updated: EventType,
        /// `people.deleted`
        deleted: EventType,
    },
    /// Whatever happens has this name.
    Named(EventType),
}

impl Names {
    /// The name of `change` when the API answered `status`.
    pub fn of(&self, change: Change, status: u16) -> &EventType {
        match (self, change) {
            (Self::Named(name), _) => name,
            (Self::Resource { created, .. }, Change::Created) => created,
            (Self::Resource { created, .. }, Change::Replaced) if status == 201 => created,
            (Self::Resource { deleted, .. }, Change::Deleted) => deleted,
            (Self::Resource { updated, .. }, _) => updated,
        }
    }

    /// All names there are.
    pub fn all(&self) -> Vec<&EventType> {
        match self {
            Self::Named(name) => vec![name],
            Self::Resource { created, updated, deleted } => vec![created, updated, deleted],
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {reason}")]
pub struct Invalid {
    /// The path of the key: `routes[1].path`; `.` is the whole.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Config {
    /// Reads the configuration, from JSON or from the bytes of a `google.protobuf.Struct`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let config = match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => written(&mut serde_json::Deserializer::from_slice(bytes)),
            // A Struct begins with a line feed, which JSON skips; it is never valid JSON though.
            Err(error) => match structure::read(bytes) {
                Some(value) => written(value),
                None => Err(Invalid {
                    path: ".".into(),
                    reason: format!("neither JSON nor a google.protobuf.Struct: {error}"),
                }),
            },
        };
        config?.mean()
    }
}

fn written<'de, D>(from: D) -> Result<written::Config, Invalid>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(from).map_err(|error| Invalid {
        path: error.path().to_string(),
        reason: error.into_inner().to_string(),
    })
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
