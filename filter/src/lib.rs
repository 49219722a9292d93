//! A proxy-wasm filter that turns the writes an API accepted into events.
//!
//! The modules, in the order a write travels: [`contexts`] routes the gateway's callbacks to the
//! [`root`] of their plugin, which lets an [`exchange`] look at one request and its answer,
//! matched by the [`rules`] of the [`config`]. What was seen becomes an event in [`capture`],
//! after [`redact`]; the [`outbox`] holds it until [`emit`] has handed it to the sidecar, of whose
//! [`health`] a write on a strict route is told before it goes on. All of that speaks to the gateway through the trait in [`host`] alone; `abi` is that trait for Envoy.
//!
//! Invariant: no callback ever panics, and no call of a client fails because of this filter
//! unless its capture mode says so.

pub mod capture;
pub mod config;
pub mod contexts;
pub mod dice;
pub mod emit;
pub mod exchange;
pub mod health;
pub mod host;
pub mod metrics;
pub mod outbox;
pub mod pairs;
pub mod pointer;
pub mod quantity;
pub mod redact;
pub mod register;
pub mod root;
pub mod rules;

// Elsewhere there is no gateway to link with; clippy looks at it on every machine.
#[cfg(any(target_arch = "wasm32", clippy))]
mod abi;
