//! What scripts can call besides Rhai's own functions: what payloads are made with.
//!
//! Invariant: every function is a function of its arguments alone. Every one is described, with an
//! example that is run by a test, in `docs/scripts.md`.

mod digest;
mod encoding;
pub(crate) mod json;
mod objects;
mod redact;
mod send;
mod template;
mod time;

use rhai::{Engine, EvalAltResult, FLOAT, INT, Position};

/// Adds all of them.
pub(crate) fn register(engine: &mut Engine) {
    send::register(engine);
    json::register(engine);
    objects::register(engine);
    encoding::register(engine);
    digest::register(engine);
    time::register(engine);
    redact::register(engine);
    template::register(engine);
    // Rhai's own one: there is nothing here that could wait.
    engine
        .register_fn("sleep", |_: INT| -> Fallible<()> { Err(wrong(NO_SLEEP)) })
        .register_fn("sleep", |_: FLOAT| -> Fallible<()> { Err(wrong(NO_SLEEP)) });
}

const NO_SLEEP: &str = "a script cannot sleep";

pub(crate) type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// An error at the place of the call.
#[expect(clippy::unnecessary_box_returns, reason = "Rhai has its errors boxed")]
fn wrong(message: impl Into<String>) -> Box<EvalAltResult> {
    let message: String = message.into();
    Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE))
}
