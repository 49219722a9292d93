//! Stores the events of a gateway and delivers them as signed webhooks.
//!
//! The modules stand in the order in which an event travels; read top to bottom they are the
//! product. Verbs move an event, nouns hold it, faces show it.
//!
//! Invariant: the store is the truth and the queue a hint. What was answered is committed, and
//! whatever is committed is delivered or ends as a dead letter.

// The nouns, and what was written of them.
pub mod model;
pub mod form;

// The seams.
pub mod clock;
pub mod store;
pub mod queue;

// What is told of it as it happens.
pub mod live;

// The verbs, as an event meets them.
pub mod ingest;
pub mod route;
pub mod transform;
pub mod dispatch;
pub mod deliver;
pub mod sweep;
pub mod expire;
pub mod measure;

// The faces, and who may use them.
pub mod access;
pub mod api;
pub mod cli;

// The process around them.
pub mod config;
pub mod observe;
pub mod trace;
pub mod lifecycle;
pub mod neighbours;
pub mod app;
