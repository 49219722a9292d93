//! Developer automation: builds, starts and tests the whole of Sidehook on a fresh machine.
//!
//! Invariant: nothing that was running or installed before is touched; everything made here lives
//! under `target/`, on ports of its own.
#![forbid(unsafe_code)]

pub mod bench;
pub mod conform;
pub mod dashboards;
pub mod demo;
pub mod sample;
pub mod test;
pub mod up;

pub mod backend;
pub mod change;
pub mod options;
pub mod people;
pub mod receiver;
pub mod services;
pub mod stack;
pub mod tools;

pub mod child;
pub mod clock;
pub mod command;
pub mod http;
pub mod ports;
pub mod say;
pub mod serving;
pub mod stop;
pub mod workspace;
