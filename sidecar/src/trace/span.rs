//! A span as it is told, in the words of OpenTelemetry's semantic conventions.
//!
//! Invariant: no body, no secret and no query of a URL is put into one.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sidehook_event::{Event, UnixMicros};
use url::Url;

/// From when to when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    pub(super) from: UnixMicros,
    pub(super) until: UnixMicros,
}

impl Time {
    /// So long, until then.
    pub(super) fn until(until: UnixMicros, took: Duration) -> Self {
        let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        Self { from: UnixMicros::new(until.micros().saturating_sub(took)), until }
    }
}

/// What is told of one step, before it has its place.
#[derive(Debug)]
pub(super) struct Span {
    name: &'static str,
    kind: SpanKind,
    time: Time,
    attributes: Vec<KeyValue>,
    links: Vec<(u128, u64)>,
    status: Status,
}

/// A step of this name.
pub(super) fn told(name: &'static str, kind: SpanKind, time: Time) -> Span {
    Span {
        name,
        kind,
        time,
        attributes: Vec::with_capacity(10),
        links: Vec::new(),
        status: Status::Unset,
    }
}

impl Span {
    pub(super) fn text(
        &mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> &mut Self {
        self.attributes.push(KeyValue::new(name, value.into()));
        self
    }

    pub(super) fn number(&mut self, name: &'static str, value: i64) -> &mut Self {
        self.attributes.push(KeyValue::new(name, value));
        self
    }

    /// Which event it is about.
    pub(super) fn about_event(&mut self, event: &Event) -> &mut Self {
        self.text("cloudevents.event_id", event.id.to_string())
            .text("cloudevents.event_type", event.event_type.to_string());
        if let Some(subject) = &event.subject {
            self.text("cloudevents.event_subject", subject.clone());
        }
        self
    }

    /// Who was asked. Path and query may hold what only the two of them know.
    pub(super) fn server(&mut self, url: &Url) -> &mut Self {
        if let Some(host) = url.host_str() {
            self.text("server.address", host.to_owned());
        }
        if let Some(port) = url.port_or_known_default() {
            self.number("server.port", port.into());
        }
        self
    }

    /// That it failed, in one word and in many.
    pub(super) fn failed(&mut self, kind: impl Into<Cow<'static, str>>, reason: &str) {
        self.text("error.type", kind);
        self.status = Status::error(reason.to_owned());
    }

    /// That it has to do with this one too.
    pub(super) fn linked(&mut self, trace_id: u128, span_id: u64) {
        self.links.push((trace_id, span_id));
    }

    /// With its place: its trace, its own id, and the id of what it is a part of.
    pub(super) fn at(self, trace_id: u128, span_id: u64, parent: Option<u64>) -> SpanData {
        let mut links = SpanLinks::default();
        let linked = self.links.into_iter();
        links.links =
            linked.map(|(trace, span)| Link::with_context(context(trace, span))).collect();
        SpanData {
            span_context: context(trace_id, span_id),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: false,
            span_kind: self.kind,
            name: self.name.into(),
            start_time: instant(self.time.from),
            end_time: instant(self.time.until.max(self.time.from)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.status,
            instrumentation_scope: InstrumentationScope::builder("sidehook")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

fn context(trace_id: u128, span_id: u64) -> SpanContext {
    let (trace_id, span_id) = (TraceId::from(trace_id), SpanId::from(span_id));
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn instant(at: UnixMicros) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}
