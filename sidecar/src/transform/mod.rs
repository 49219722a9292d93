//! From an event to what a subscription is sent.
//!
//! Invariant: a payload is a function of the event, the subscription and the text of its script;
//! one that no script made is always valid JSON.

mod aside;
mod backtest;
mod data;
mod decode;
mod document;
mod dry_run;
pub mod library;
mod metrics;
mod payload;
mod render;
pub mod sandbox;
pub mod scripts;
mod subject;

pub use aside::aside;
pub use backtest::{Change, Compared, differences};
pub use data::data;
pub use document::visible;
pub use dry_run::{DryRun, Output, ShownFault};
pub use library::Library;
pub use metrics::Metrics;
pub use render::{Haste, Rendered, Renderer, version_of};
pub use sandbox::Sandbox;
pub use scripts::{Scripts, Transformed};
pub use subject::complete;
