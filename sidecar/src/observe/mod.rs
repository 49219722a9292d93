//! What is said about the running process: its log and its metrics.
//!
//! Invariant: nothing here holds a body, a secret or a signature.

mod log;

use std::{fmt, sync::Arc};

pub use log::{Format, InvalidFilter, install};
use prometheus_client::{encoding::text, registry::Registry};

/// The metrics of all modules. Each registers its own.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// A registry in which every name begins with `sidehook_`.
    pub fn new() -> Self {
        Self(Registry::with_prefix("sidehook"))
    }

    /// Where a module registers its own.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.0
    }

    /// Closes the registry: from now on it is only read.
    pub fn expose(self) -> Exposition {
        Exposition(Arc::new(self.0))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The metrics, to be shown.
#[derive(Debug, Clone)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics as OpenMetrics text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}
