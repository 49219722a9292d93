//! From an event to what a subscription is sent. Pure.
//!
//! Invariant: a payload is a function of the event and the subscription, and always valid JSON.

mod data;
mod payload;
pub mod sandbox;

pub use data::data;
pub use payload::Renderer;
