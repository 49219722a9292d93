//! `cargo xtask`: the commands a developer needs, and nothing to install first but cargo.
//!
//! Invariant: a command that fails says what to do about it.
#![forbid(unsafe_code)]
fn main() {}
