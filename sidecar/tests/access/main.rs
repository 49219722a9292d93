//! Who is let in: every route with every kind of token, and what is refused before anybody asks
//! for one.
//!
//! Invariant: the routes are the process's own, over a real store.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

mod house;
mod limits;
mod matrix;
#[path = "../scripts/opened.rs"]
mod opened;
mod places;
mod tls;
mod tokens;
