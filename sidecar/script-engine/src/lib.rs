//! Runs Rhai scripts on events. Compiled to WebAssembly it is the inside of the sandbox that the
//! sidecar runs scripts in; compiled natively it is what that is tested and measured against.
//!
//! Invariant: what a script comes to follows from the script and the event alone: there is no
//! clock, no chance, no file and no network in here.

mod abi;
pub mod engine;
mod explain;
mod input;
pub mod library;
mod limits;
pub mod outcome;
pub mod path;

pub use engine::{Machine, Mode};
pub use outcome::{Fault, Outcome, Report};
