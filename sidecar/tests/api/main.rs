//! The REST API, over a real store: what is asked and what is answered.
//!
//! Invariant: every shape that a client sees is pinned, here or in the documentation, whose
//! examples are tried.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

mod burying;
mod contract;
mod describing;
mod desk;
mod guide;
mod health;
mod listing;
#[path = "../scripts/opened.rs"]
mod opened;
mod publishing;
mod refusing;
mod replaying;
mod scripting;
mod signing;
mod streaming;
mod subscribing;
mod trying;
