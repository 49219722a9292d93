//! The root of either filter, and the one that does nothing.
//!
//! Invariant: an exchange of the empty filter asks the gateway nothing.

use std::time::Duration;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};

use crate::crash::{Crashing, Fuse};

/// How often the crashing filter looks whether it is to crash in a tick.
const TICK: Duration = Duration::from_millis(10);

/// The root of either filter.
#[derive(Default)]
pub(crate) struct Root {
    fuse: Option<Fuse>,
}

/// An exchange that nobody looks at.
struct Empty;

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _length: usize) -> bool {
        if self.get_plugin_configuration().as_deref() == Some(b"crash") {
            self.fuse = Some(Fuse::default());
            self.set_tick_period(TICK);
        }
        true
    }

    fn on_tick(&mut self) {
        if let Some(fuse) = &self.fuse {
            fuse.burns_down_in("tick");
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.fuse {
            Some(fuse) => Box::new(Crashing::with(fuse)),
            None => Box::new(Empty),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Empty {}

impl HttpContext for Empty {}
