//! `/stream`: what happens in this process, as it happens, as server-sent events (WHATWG HTML,
//! section 9.2).
//!
//! Nothing is repeated: what has happened is at `/events`, `/deliveries` and `/dead-letters`.
//!
//! Invariant: a client that reads too slowly is told how many it missed, and holds up nobody; whose
//! token no longer lets it in hears no more within [`PULSE`].

mod shape;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use futures::{FutureExt as _, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::json;

use super::{
    Context, Flaws, Problem,
    form::{Form, Reader},
    named,
    openapi::Description,
    read::{one_of, text},
    routes::{Routes, get},
};
use crate::{
    live::{Heard, Kind, Listener, OfOutcome, Refused, Wanted},
    model::Scope,
};

/// What the token must allow.
const SCOPE: Scope = Scope::DeliveriesRead;
/// From one sign of life to the next.
const PULSE: Duration = Duration::from_secs(15);
/// The most bytes that are put together before they are sent, give or take one happening.
const CHUNK: usize = 16 * 1024;
const MEDIA_TYPE: &str = "text/event-stream";

pub(super) fn routes() -> Routes<Arc<Context>> {
    let told = || {
        Description::of("streamHappenings", "Listen to what happens")
            .about(
                "Server-sent events: `event`, `delivery`, `attempt`, `dead_letter` and `circuit` as \
                 they happen in the process that is asked, and `missed` with the number of those \
                 that came too fast. Nothing is repeated. With 503 there are listeners enough.",
            )
            .query(asked)
            .writes(StatusCode::OK, "Does not end by itself.", MEDIA_TYPE, json!({}))
    };
    Routes::new().at("/stream", [get(SCOPE, listen, told)])
}

async fn listen(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Form::whole_query(query.as_deref(), asked)?;
    let listener = context.live.listen()?;
    let pulse_at = context.clock.monotonic() + PULSE;
    let listening = Listening { context, listener, wanted, headers, pulse_at };
    // Sent at once, so that the client knows from when on it hears everything.
    let greeting = stream::once(async { Ok::<_, std::convert::Infallible>(comment("listening")) });
    let rest = stream::unfold(listening, |listening| async {
        let (chunk, listening) = listening.next().await?;
        Some((Ok(chunk), listening))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(stream::StreamExt::chain(greeting, rest))).into_response())
}

#[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
fn asked(form: &mut Form) -> Option<Wanted> {
    let wanted = Wanted {
        kinds: form.read("kind", kinds()).unwrap_or_default(),
        event_type: form.read("event_type", named::pattern()),
        subscription_id: form.read("subscription_id", named::id()),
        outcome: form.read("outcome", one_of(&OfOutcome::NAMES)),
    };
    if wanted.outcome.is_some() && !wanted.is_for(Kind::Attempt) {
        form.note(Flaws::at("outcome", "is an attempt's, and kind leaves attempts out"));
    }
    Some(wanted)
}

/// Kinds with commas between.
fn kinds() -> Reader<Vec<Kind>> {
    let one = one_of(&Kind::NAMES);
    let names = Kind::NAMES.map(|(name, _)| name).join("|");
    let read = move |text: String| text.split(',').map(|name| one.read(name.into())).collect();
    text().and_then(read).with(move || json!({"pattern": format!("^({names})(,({names}))*$")}))
}

/// One who listens.
struct Listening {
    context: Arc<Context>,
    listener: Listener,
    wanted: Wanted,
    /// With the token that let it in.
    headers: HeaderMap,
    /// When the next sign of life is due, by the monotonic clock.
    pulse_at: Duration,
}

impl Listening {
    /// What is sent next; `None` at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let clock = Arc::clone(&self.context.clock);
        let silence = self.pulse_at.saturating_sub(clock.monotonic());
        let heard = tokio::select! {
            heard = self.hear() => heard?,
            () = clock.sleep(silence) => {
                self.context.gate.allows(&self.headers, SCOPE).ok()?;
                self.pulse_at = clock.monotonic() + PULSE;
                comment("still here")
            }
        };
        Some((heard, self))
    }

    /// Waits for something that is wanted, and takes with it what else is there already.
    async fn hear(&mut self) -> Option<Bytes> {
        let mut chunk = String::new();
        loop {
            let heard = if chunk.is_empty() {
                self.listener.next().await
            } else {
                match self.listener.next().now_or_never() {
                    Some(Heard::End) | None => return Some(chunk.into()),
                    Some(heard) => heard,
                }
            };
            match heard {
                Heard::Happening(happening) if self.wanted.includes(&happening) => {
                    chunk.push_str(&shape::happening(&happening, &self.context.routes));
                }
                Heard::Happening(_) => {}
                Heard::Missed(count) => chunk.push_str(&shape::missed(count)),
                Heard::End => return None,
            }
            if chunk.len() >= CHUNK {
                return Some(chunk.into());
            }
        }
    }
}

/// A line that clients pass over.
fn comment(text: &str) -> Bytes {
    format!(": {text}\n\n").into()
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Unavailable(refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, Flaws> {
        Form::whole_query(Some(query), asked)
    }

    #[test]
    fn what_is_wanted_is_said_by_parameters() {
        let wanted = read(
            "kind=attempt,dead_letter&event_type=people.*&outcome=failed\
             &subscription_id=sub_01h2xcejqtf2nbrexx3vqjhp41",
        );
        let wanted = wanted.unwrap();
        assert_eq!(wanted.kinds, [Kind::Attempt, Kind::DeadLetter]);
        assert_eq!(wanted.event_type, "people.*".parse().ok());
        assert_eq!(wanted.subscription_id, "sub_01h2xcejqtf2nbrexx3vqjhp41".parse().ok());
        assert_eq!(wanted.outcome, Some(OfOutcome::Failed));
        assert!(Form::whole_query(None, asked).unwrap().kinds.is_empty());
    }

    #[test]
    fn every_parameter_that_is_wrong_is_named() {
        let query = "kind=attempt,x&event_type=A&subscription_id=1&outcome=bad&since=1";
        let told = read(query).unwrap_err().told();
        insta::assert_snapshot!(told.join("\n"), @r"
        kind must be one of event, delivery, attempt, dead_letter, circuit
        event_type may have lower-case letters, digits, '_' and '-' between its dots, nothing else
        subscription_id not an id of the form sub_ followed by 26 characters of base32
        outcome must be one of failed, success, status, timeout, dns, connection, tls, egress, malformed, proxy
        since is unknown; there are kind, event_type, subscription_id, outcome
        ");
        let told = read("kind=event&outcome=failed").unwrap_err().told();
        assert_eq!(told, ["outcome is an attempt's, and kind leaves attempts out"]);
    }
}
