//! The event as filters and scripts see it: JSON, with the exchange that it came from.
//!
//! Invariant: nothing is in it that the gateway did not capture, and `data` is what a payload has.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue, value::to_raw_value};
use sidehook_event::{Body, Event};

use super::{
    data::{Source, is_thin},
    decode,
};
use crate::model::Subscription;

/// An event as JSON.
#[derive(Debug)]
pub(super) struct Document {
    json: String,
    /// Which body of the exchange is its `data`: it stands there once.
    same: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    resource: &'a str,
    action: &'a str,
    source: &'a str,
    subject: Option<&'a str>,
    parents: BTreeMap<&'a str, &'a str>,
    sequence: Option<u64>,
    time: String,
    truncated: bool,
    data: &'a RawValue,
    request: Request<'a>,
    response: Response<'a>,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    status: u16,
    #[serde(flatten)]
    content: Content<'a>,
}

/// A body: as JSON, else as text, else in base64.
#[derive(Debug, Serialize, Default)]
struct Content<'a> {
    #[serde(rename = "content_type")]
    media_type: Option<&'a str>,
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownSubscription<'a> {
    id: String,
    event_type: String,
    format: &'static str,
    description: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    custom_payload: &'a Map<String, Value>,
}

/// A subscription as scripts see it: without its address and its secrets.
pub fn visible(subscription: &Subscription) -> Value {
    serde_json::to_value(ShownSubscription::of(subscription)).unwrap_or_default()
}

impl<'a> ShownSubscription<'a> {
    fn of(subscription: &'a Subscription) -> Self {
        Self {
            id: subscription.id.to_string(),
            event_type: subscription.pattern.to_string(),
            format: subscription.format.name(),
            description: subscription.description.as_deref(),
            metadata: &subscription.metadata,
            custom_payload: &subscription.custom_payload,
        }
    }
}

impl Document {
    pub(super) fn of(event: &Event, data: &RawValue, source: Source) -> Self {
        let exchange = &event.exchange;
        let (same, request, response) = match source {
            Source::Request => (Some("request"), None, Some(&exchange.response)),
            Source::Response => (Some("response"), Some(&exchange.request), None),
            Source::Made => (None, Some(&exchange.request), Some(&exchange.response)),
        };
        let headers = exchange.headers.iter().map(|(name, value)| (&**name, &**value));
        let shown = Shown {
            id: event.id.to_string(),
            event_type: event.event_type.as_str(),
            resource: event.event_type.resource(),
            action: event.event_type.action(),
            source: &event.source,
            subject: event.subject.as_deref(),
            parents: event.parents.iter().map(|(name, id)| (&**name, &**id)).collect(),
            sequence: event.sequence,
            time: event.time.to_string(),
            truncated: is_thin(event),
            data,
            request: Request {
                method: &exchange.method,
                path: &exchange.path,
                headers: headers.collect(),
                content: Content::of(&exchange.request, request),
            },
            response: Response {
                status: exchange.status,
                content: Content::of(&exchange.response, response),
            },
        };
        // Texts, numbers and JSON can always be written.
        Self { json: serde_json::to_string(&shown).unwrap_or_default(), same }
    }

    /// What a script is handed.
    pub(super) fn input(&self, subscription: Option<&Subscription>) -> Vec<u8> {
        let shown = subscription.map(ShownSubscription::of);
        let shown = serde_json::to_string(&shown).unwrap_or_default();
        let same = self.same.map_or(String::new(), |same| format!("\"{same}\""));
        format!(r#"{{"event":{},"same":[{same}],"subscription":{shown}}}"#, self.json).into_bytes()
    }

    /// What a filter is asked about.
    pub(super) fn value(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.json).unwrap_or_default();
        if let Some(same) = self.same {
            let data = value.get("data").cloned().unwrap_or_default();
            if let Some(body) = value.get_mut(same).and_then(|side| side.get_mut("body")) {
                *body = data;
            }
        }
        value
    }
}

impl<'a> Content<'a> {
    /// `shown` is `None` if what is in it is shown elsewhere.
    fn of(body: &'a Body, shown: Option<&Body>) -> Self {
        let media_type = body.content_type.as_deref();
        let Some(shown) = shown.filter(|body| body.is_whole()) else {
            return Self { media_type, ..Self::default() };
        };
        let decoded = decode::content(shown);
        let text = decoded.as_deref().and_then(|content| std::str::from_utf8(content).ok());
        if let Some(text) = text {
            let json = serde_json::from_str::<&RawValue>(text).map(ToOwned::to_owned);
            let body = json.or_else(|_| to_raw_value(text)).ok();
            return Self { media_type, body, base64: None };
        }
        let base64 = STANDARD.encode(decoded.as_deref().unwrap_or(&shown.content));
        Self { media_type, body: None, base64: Some(base64) }
    }
}
