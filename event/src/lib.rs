//! The contract between the gateway and the sidecar: what an event is and how a batch of them
//! travels.
//!
//! Invariant: this crate imports nothing else of the project, does no I/O, and builds for
//! `wasm32-unknown-unknown`; whatever it parsed once never has to be checked again.

#![forbid(unsafe_code)]

pub mod cloudevents;
pub mod event;
pub mod event_type;
pub mod id;
pub mod time;
pub mod wire;

pub use event::{Body, Event, Exchange, IdWithin};
pub use event_type::{EventType, InvalidEventType};
pub use id::{EventId, InvalidId, TypeId};
pub use time::UnixMicros;
