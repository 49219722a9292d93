//! Developer automation: builds, starts and tests the whole of Sidehook on a fresh machine.
//!
//! Invariant: nothing that was running or installed before is touched; everything made here lives
//! under `target/`, on ports of its own.
#![forbid(unsafe_code)]

pub mod tools;

pub mod command;
pub mod say;
pub mod workspace;
