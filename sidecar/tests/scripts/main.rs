//! Scripts in their sandbox, and on their way into deliveries.
//!
//! Invariant: every script runs in the product's own sandbox, with the engine that is part of it.

mod cost;
mod library;
mod life;
mod opened;
mod sandbox;
#[expect(dead_code, reason = "it serves the delivery tests too")]
#[path = "../delivery/stage.rs"]
mod stage;
