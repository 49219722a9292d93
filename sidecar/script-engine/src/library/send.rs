//! Ends a script: `send` and `drop`.
//!
//! Invariant: whatever stands behind them is not run, wherever they are called.

use rhai::{Dynamic, Engine, EvalAltResult, Map, Position};

use super::{Fallible, wrong};
use crate::engine::{Message, Verdict};

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("drop", |reason: &str| end(Verdict::Drop(reason.to_owned())))
        .register_fn("send", |body: Dynamic| {
            end(Verdict::Send(Box::new(Message { body, ..Message::default() })))
        })
        .register_fn("send", |body: Dynamic, options: Map| {
            end(Verdict::Send(Box::new(message(body, options)?)))
        });
}

fn end(verdict: Verdict) -> Fallible<()> {
    Err(Box::new(EvalAltResult::Exit(Dynamic::from(verdict), Position::NONE)))
}

fn message(body: Dynamic, options: Map) -> Fallible<Message> {
    let mut message = Message { body, ..Message::default() };
    for (name, value) in options {
        match name.as_str() {
            "content_type" => message.content_type = Some(text("content_type", &value)?),
            "headers" => {
                let headers = value.try_cast::<Map>();
                let headers = headers.ok_or_else(|| wrong("send: headers must be a map"))?;
                let headers = headers.into_iter();
                let headers = headers.map(|(name, value)| {
                    let value = text(&format!("headers.{name}"), &value)?;
                    Ok((name.to_string(), value))
                });
                message.headers = headers.collect::<Fallible<_>>()?;
            }
            other => {
                let said = format!("send: there is no option {other}: headers or content_type");
                return Err(wrong(said));
            }
        }
    }
    Ok(message)
}

/// A text, or a number or boolean as one.
fn text(name: &str, value: &Dynamic) -> Fallible<String> {
    if value.is_string() || value.is_int() || value.is_float() || value.is_bool() {
        return Ok(value.to_string());
    }
    Err(wrong(format!("send: {name} must be a text")))
}
