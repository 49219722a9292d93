//! Sidehook end to end: the real Envoy with the real filter, the real sidecar, real TCP.
//!
//! Invariant: each test has a stack of its own on ports of its own, and every wait has a limit.

mod support;

mod access;
mod backends;
mod broker;
mod configuration;
mod crash;
mod degradation;
mod delivery;
mod developer;
mod disconnects;
mod inbound;
mod gateways;
mod load;
mod many;
mod memory;
mod python;
mod scripts;
mod silence;
mod transparency;
