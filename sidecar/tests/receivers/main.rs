//! What the client makes of receivers that misbehave: a table of them, each a raw TCP server.
//!
//! Invariant: whatever a receiver does, an attempt ends within its time limit, with the outcome
//! that the table names.

mod ground;
mod heads;
mod keeping;
mod proxy;
mod table;
mod tls;
