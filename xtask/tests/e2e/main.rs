//! Sidehook end to end: the real Envoy with the real filter, the real sidecar, real TCP.
//!
//! Invariant: each test has a stack of its own on ports of its own, and every wait has a limit.

mod support;

mod access;
mod backends;
mod broker;
mod capture;
mod configuration;
mod crash;
mod degradation;
mod delivery;
mod developer;
mod disconnects;
mod gateways;
mod inbound;
mod load;
mod logs;
mod many;
mod memory;
mod metrics;
mod monitoring;
mod promise;
mod python;
mod reload;
mod scripts;
mod silence;
mod traces;
mod transparency;
