//! The filter that crashes on purpose, in the callback that a request names.
//!
//! Invariant: it crashes when asked to and at no other time.

use std::{cell::RefCell, rc::Rc};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

/// The header that asks for a crash.
const HEADER: &str = "x-crash";

/// Where the next crash is to be, if anywhere.
#[derive(Clone, Default)]
pub(crate) struct Fuse(Rc<RefCell<Vec<u8>>>);

/// An exchange that may be the last one of its virtual machine.
pub(crate) struct Crashing {
    own: Fuse,
    root: Fuse,
}

impl Fuse {
    /// Ends the virtual machine if this is the callback that was asked for.
    pub(crate) fn burns_down_in(&self, callback: &str) {
        assert!(*self.0.borrow() != callback.as_bytes(), "crashing in {callback}, as asked");
    }
}

impl Crashing {
    /// An exchange of the root that has this fuse.
    pub(crate) fn with(root: &Fuse) -> Self {
        Self { own: Fuse::default(), root: root.clone() }
    }
}

impl Context for Crashing {}

impl HttpContext for Crashing {
    fn on_http_request_headers(&mut self, _fields: usize, _ended: bool) -> Action {
        if let Some(callback) = self.get_http_request_header_bytes(HEADER) {
            *self.own.0.borrow_mut() = callback;
        }
        self.own.burns_down_in("request-headers");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _fields: usize, _ended: bool) -> Action {
        self.own.burns_down_in("response-headers");
        Action::Continue
    }

    // A tick is the root's, and comes when it comes: not before this exchange is over.
    fn on_log(&mut self) {
        if *self.own.0.borrow() == b"tick" {
            *self.root.0.borrow_mut() = self.own.0.take();
        }
    }
}
