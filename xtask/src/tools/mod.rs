//! What the developer commands need beyond cargo: found if it is there, fetched if it is not.
//!
//! Invariant: having everything already costs no more than looking; whatever cannot be had is
//! answered with the command that would get it.

pub(crate) mod apt;
pub mod cargo;
pub mod chromium;
pub mod collector;
pub mod envoy;
pub mod prometheus;
pub mod python;
pub mod valgrind;
pub mod wasm;
