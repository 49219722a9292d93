//! In which mode a message holds its events, and the events. Pure.
//!
//! Invariant: what is said of a flaw holds nothing of the payload.

use serde_json::{Value, error::Category};
use sidehook_event::{Event, UnixMicros};
use thiserror::Error;

use crate::{
    form::Flaws,
    ingest::cloudevents::{self, LIMIT, MANY, ONE, Unread, essence},
    queue::inbound::{Header, Message},
};

/// What stands before the names of attributes: <https://github.com/cloudevents/spec>,
/// `amqp-protocol-binding.md`, section 3.1.3.1.
const PREFIXES: [&str; 2] = ["cloudEvents:", "cloudEvents_"];
/// The attribute that is a property of the message.
const CONTENT_TYPE: &str = "datacontenttype";
/// Whatever begins so is an event, in a form that is known or not.
const EVENT: &str = "application/cloudevents";
/// What some clients write who encode nothing.
const NO_ENCODINGS: [&str; 4] = ["", "identity", "utf-8", "utf8"];

/// Why a message is no event.
#[derive(Debug, Error)]
pub(super) enum Flaw {
    #[error("the body must not be longer than {LIMIT} bytes, and has {0}")]
    TooLong(usize),
    #[error("content_encoding must be absent, identity or utf-8: nothing is decompressed")]
    Encoded,
    #[error(
        "content_type must be {ONE} or {MANY}, unless headers cloudEvents:id, cloudEvents:type … \
         hold the attributes"
    )]
    Unknown,
    #[error("the body {problem}, at line {line} column {column}")]
    Json { problem: &'static str, line: usize, column: usize },
    #[error("{0}")]
    Invalid(Flaws),
}

impl Flaw {
    /// Tells kinds apart.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too_long",
            Self::Encoded => "encoded",
            Self::Unknown => "unknown",
            Self::Json { .. } => "json",
            Self::Invalid(_) => "invalid",
        }
    }
}

impl From<Unread> for Flaw {
    fn from(unread: Unread) -> Self {
        match unread {
            // Its own words may quote what was sent.
            Unread::Json(error) => Self::Json {
                problem: match error.classify() {
                    Category::Io | Category::Syntax => "is not JSON",
                    Category::Eof => "ends in the midst of its JSON",
                    Category::Data => "must be a JSON object, or in a batch an array of them",
                },
                line: error.line(),
                column: error.column(),
            },
            Unread::Invalid(flaws) => Self::Invalid(flaws),
        }
    }
}

/// The events of a message.
pub(super) fn events(message: Message, now: UnixMicros) -> Result<Vec<Event>, Flaw> {
    let Message { content_type, content_encoding, headers, body } = message;
    if body.len() > LIMIT {
        return Err(Flaw::TooLong(body.len()));
    }
    let encoding = content_encoding.unwrap_or_default().to_ascii_lowercase();
    if !NO_ENCODINGS.contains(&encoding.as_str()) {
        return Err(Flaw::Encoded);
    }
    let media_type = content_type.as_deref().map(essence).unwrap_or_default();
    match media_type.as_str() {
        ONE => Ok(vec![cloudevents::one(&body, now)?]),
        MANY => Ok(cloudevents::batch(&body, now)?),
        other if other.starts_with(EVENT) => Err(Flaw::Unknown),
        _ => {
            let mut attributes = attributes(headers);
            if attributes.is_empty() {
                return Err(Flaw::Unknown);
            }
            let content_type = content_type.filter(|content_type| !content_type.is_empty());
            attributes.extend(content_type.map(|text| (CONTENT_TYPE.to_owned(), text.into())));
            Ok(vec![cloudevents::binary(attributes, body, now)?])
        }
    }
}

/// The attributes among the headers. What is no text cannot be one that means something here.
fn attributes(headers: Vec<(String, Header)>) -> Vec<(String, Value)> {
    let attributes = headers.into_iter().filter_map(|(name, header)| {
        let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
        let value = match header {
            Header::Text(text) => Value::String(text),
            Header::Other => Value::Bool(false),
        };
        Some((name.to_owned(), value))
    });
    attributes.collect()
}

#[cfg(test)]
#[path = "mode_tests.rs"]
mod tests;
