//! The servers that Sidehook can use, started for tests.
//!
//! Invariant: a server that is started here shares nothing with one that the machine runs
//! already: neither port, nor data, nor configuration.

pub mod rabbitmq;
