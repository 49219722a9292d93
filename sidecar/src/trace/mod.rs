//! Tells an OpenTelemetry collector what became of a write: `store` ▸ `dispatch` ▸ `script`,
//! `attempt`.
//!
//! A span's id is made from the ids of what it is about, so that any process knows the parent of
//! what it does, at once or a day later, without anything being stored for it.
//!
//! Invariant: whoever is traced never waits for it. What cannot be told in time is counted and
//! left out.

mod export;
mod ids;
mod metrics;
mod span;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use sidehook_event::{Event, EventId, TypeId as _, UnixMicros};
use tokio::sync::mpsc;

pub use export::{Exporter, InvalidCollector};
pub use metrics::Metrics;
use span::{Time, told};

use crate::{
    clock::Clock,
    model::{
        Attempt, DueDelivery, Outcome, ScriptVersion, State, Subscription, Successor, TRACEPARENT,
        TraceContext,
    },
};

/// Tells of what was done; without a collector it tells nobody, which costs a look.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Telling>>);

#[derive(Debug)]
struct Telling {
    spans: mpsc::Sender<SpanData>,
    /// The share of traces that begin here and are told.
    sample: f64,
    metrics: Metrics,
}

/// What a script came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptOutcome {
    /// Something to send.
    Made,
    /// Nothing is to be sent.
    Dropped,
    /// An error, or a limit of the sandbox.
    Failed,
}

impl ScriptOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// The place in a trace that an event has.
#[derive(Debug, Clone, Copy)]
struct Place {
    trace_id: u128,
    /// The span of the request, if it told of one.
    request: Option<u64>,
    event_id: EventId,
}

impl Tracer {
    /// Tells nobody.
    pub fn off() -> Self {
        Self(None)
    }

    /// These events are stored now, which began then.
    pub fn stored(&self, events: &[Arc<Event>], from: UnixMicros, clock: &dyn Clock) {
        let Some(telling) = &self.0 else { return };
        let until = clock.now();
        for event in events {
            let Some(place) = telling.place_of(event) else { continue };
            let mut span = told("store", SpanKind::Producer, Time { from, until });
            let exchange = &event.exchange;
            span.about_event(event)
                .text("cloudevents.event_source", event.source.clone())
                .text("http.request.method", exchange.method.clone())
                .number("http.response.status_code", exchange.status.into());
            telling.tell(span.at(place.trace_id, place.stored(), place.request));
        }
    }

    /// This event is dispatched now, to so many subscriptions, which began then.
    pub fn dispatched(&self, event: &Event, to: usize, from: UnixMicros, clock: &dyn Clock) {
        let Some((telling, place)) = self.of(event) else { return };
        let until = clock.now();
        let mut span = told("dispatch", SpanKind::Consumer, Time { from, until });
        span.about_event(event)
            .number("sidehook.deliveries", i64::try_from(to).unwrap_or(i64::MAX));
        telling.tell(span.at(place.trace_id, place.dispatched(), Some(place.stored())));
    }

    /// A script took so long on this event, until now, and came to that: what it says of it may
    /// hold some of the payload, and is not told.
    pub fn ran(
        &self,
        event: &Event,
        script: ScriptVersion,
        took: Duration,
        outcome: ScriptOutcome,
        clock: &dyn Clock,
    ) {
        let Some((telling, place)) = self.of(event) else { return };
        let until = clock.now();
        let mut span = told("script", SpanKind::Internal, Time::until(until, took));
        span.about_event(event)
            .text("sidehook.script.version", script.to_string())
            .text("sidehook.script.outcome", outcome.name());
        if outcome == ScriptOutcome::Failed {
            span.failed(outcome.name(), "");
        }
        let id = ids::of_script(event.id, script, until);
        telling.tell(span.at(place.trace_id, id, Some(place.dispatched())));
    }

    /// This attempt was made, and that follows.
    pub fn attempted(
        &self,
        due: &DueDelivery,
        subscription: &Subscription,
        attempt: &Attempt,
        successor: &Successor,
    ) {
        let Some((telling, place)) = self.of_delivery(due) else { return };
        let from = attempt.started_at;
        let time = Time { from, until: from.after(attempt.duration) };
        let mut span = told("attempt", SpanKind::Client, time);
        span.text("cloudevents.event_id", due.event_id.to_string())
            .text("sidehook.delivery.id", due.id.to_string())
            .text("sidehook.delivery.state", state(successor).name())
            .text("sidehook.subscription.id", subscription.id.to_string())
            .text("sidehook.attempt.outcome", attempt.outcome.name())
            .text("http.request.method", "POST")
            .number("http.request.resend_count", i64::from(attempt.number.saturating_sub(1)))
            .server(subscription.url.url());
        if let Some(status) = attempt.status_code {
            span.number("http.response.status_code", status.into());
        }
        if attempt.outcome != Outcome::Success {
            let kind = attempt
                .status_code
                .map_or_else(|| attempt.outcome.name().to_owned(), |status| status.to_string());
            span.failed(kind, attempt.error.as_deref().unwrap_or_default());
        }
        if let Some(earlier) = attempt.number.checked_sub(1).filter(|number| *number > 0) {
            span.linked(place.trace_id, ids::of_attempt(due.id, earlier));
        }
        let id = ids::of_attempt(due.id, attempt.number);
        telling.tell(span.at(place.trace_id, id, Some(place.dispatched())));
    }

    /// The `traceparent` of an attempt at this delivery: what the receiver does belongs to it.
    /// `None` if nobody is told; then the receiver gets that of the request.
    pub fn traceparent(&self, due: &DueDelivery) -> Option<HeaderValue> {
        let (_, place) = self.of_delivery(due)?;
        let span_id = ids::of_attempt(due.id, due.attempt);
        let context = TraceContext { trace_id: place.trace_id, span_id, is_sampled: true };
        HeaderValue::try_from(context.to_string()).ok()
    }

    fn of(&self, event: &Event) -> Option<(&Telling, Place)> {
        let telling = self.0.as_deref()?;
        Some((telling, telling.place_of(event)?))
    }

    fn of_delivery(&self, due: &DueDelivery) -> Option<(&Telling, Place)> {
        let telling = self.0.as_deref()?;
        let mut headers = due.payload.headers.iter();
        let parent = headers.find(|(name, _)| name == TRACEPARENT).map(|(_, value)| value.as_str());
        Some((telling, telling.place(due.event_id, parent)?))
    }
}

impl Telling {
    fn place_of(&self, event: &Event) -> Option<Place> {
        self.place(event.id, event.exchange.traceparent.as_deref())
    }

    /// `None` if it is not to be told. Whoever began the trace decides that; of those that begin
    /// here, with the id of the event as theirs, a share is told.
    fn place(&self, event_id: EventId, traceparent: Option<&str>) -> Option<Place> {
        if let Some(request) = traceparent.and_then(TraceContext::parse) {
            let TraceContext { trace_id, span_id, is_sampled } = request;
            return is_sampled.then_some(Place { trace_id, request: Some(span_id), event_id });
        }
        let trace_id = event_id.bits();
        let is_told = trace_id != 0 && ids::share(trace_id) < self.sample;
        is_told.then_some(Place { trace_id, request: None, event_id })
    }

    fn tell(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.dropped(1);
        }
    }
}

impl Place {
    fn stored(self) -> u64 {
        ids::of_event("store", self.event_id)
    }

    fn dispatched(self) -> u64 {
        ids::of_event("dispatch", self.event_id)
    }
}

fn state(successor: &Successor) -> State {
    match successor {
        Successor::Delivered => State::Delivered,
        Successor::Retry(_) => State::Pending,
        Successor::Dead(_) => State::Dead,
        Successor::Filtered(_) => State::Filtered,
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use prometheus_client::registry::Registry;

    use super::*;
    use crate::{clock::SystemClock, model::testing::event};

    const WRITTEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn telling(sample: f64) -> (Tracer, mpsc::Receiver<SpanData>) {
        let (spans, told) = mpsc::channel(1);
        let metrics = Metrics::register(&mut Registry::default());
        (Tracer(Some(Arc::new(Telling { spans, sample, metrics }))), told)
    }

    #[test]
    fn what_is_switched_off_costs_a_look() {
        let (clock, event, tracer) =
            (SystemClock::start(), event("people.created", b"", b""), Tracer::off());
        let mut rounds: Vec<_> = (0..9)
            .map(|_| {
                let started = clock.monotonic();
                for _ in 0..10_000 {
                    black_box(&tracer).dispatched(black_box(&event), 1, UnixMicros::EPOCH, &clock);
                }
                clock.monotonic().saturating_sub(started) / 10_000
            })
            .collect();
        rounds.sort_unstable();
        // Anything that is made of an event costs more, in a build for tests above all.
        assert!(rounds[4] < Duration::from_nanos(200), "{rounds:?}");
    }

    #[test]
    fn of_what_begins_here_a_share_is_told_and_of_the_rest_what_was_sampled() {
        let sampled = Some(WRITTEN.to_owned());
        let unsampled = Some(WRITTEN.replace("-01", "-00"));
        for (sample, traceparent, is_told) in [
            (1.0, None, true),
            (0.0, None, false),
            (0.0, sampled.clone(), true),
            (1.0, unsampled, false),
            // What cannot be read is none.
            (1.0, Some("nonsense".to_owned()), true),
        ] {
            let (tracer, mut told) = telling(sample);
            let mut event = event("people.created", b"", b"");
            event.exchange.traceparent.clone_from(&traceparent);
            tracer.dispatched(&event, 1, UnixMicros::EPOCH, &SystemClock::start());
            let span = told.try_recv().ok();
            assert_eq!(span.is_some(), is_told, "{traceparent:?} {sample}");
            let trace_id = span.map(|span| span.span_context.trace_id().to_string());
            let expected = if traceparent == sampled {
                &WRITTEN[3..35]
            } else {
                "0000000000000000000000000000002a"
            };
            assert!(trace_id.is_none_or(|trace_id| trace_id == expected));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let (tracer, mut told) = telling(1.0);
        let event = event("people.created", b"", b"");
        for _ in 0..3 {
            tracer.dispatched(&event, 1, UnixMicros::EPOCH, &SystemClock::start());
        }
        assert!(told.try_recv().is_ok() && told.try_recv().is_err());
    }
}
