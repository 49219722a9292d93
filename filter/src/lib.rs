//! A proxy-wasm filter that turns the writes an API accepted into events.
//!
//! Invariant: no callback ever panics, and no call of a client fails because of this filter
//! unless its capture mode says so.
