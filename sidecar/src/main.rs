//! The `sidehook` command.
//!
//! Invariant: the process ends with a code other than zero exactly when it failed.
#![forbid(unsafe_code)]
fn main() {}
