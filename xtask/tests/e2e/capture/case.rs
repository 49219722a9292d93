//! The language of the cases: a request, what the API answers, and what becomes of it.
//!
//! Invariant: a case says everything that its row of the guide says.

use serde_json::Value;

use super::{Protocol, answers, requests};

/// One kind of exchange.
pub(super) struct Case {
    /// What is special about it, in the words of the guide.
    pub(super) name: &'static str,
    pub(super) request: Request,
    /// What the API answers, byte for byte.
    pub(super) answer: Vec<u8>,
    pub(super) becomes: Becomes,
    /// What there is to be said about it.
    pub(super) note: &'static str,
}

/// A request.
pub(super) enum Request {
    /// As any protocol can say it.
    Plain {
        method: &'static str,
        path: &'static str,
        fields: Vec<(&'static str, Vec<u8>)>,
        body: Option<Vec<u8>>,
        trailers: bool,
    },
    /// As HTTP/1.1 alone can say it.
    Bytes(Vec<u8>),
}

/// What becomes of an exchange.
pub(super) enum Becomes {
    /// These events, in this order.
    Events(Vec<Made>),
    /// Nothing.
    Nothing,
    /// Nothing, and it is counted for this reason.
    Counted(&'static str),
}

/// An event.
pub(super) struct Made {
    pub(super) event: &'static str,
    pub(super) subject: Option<&'static str>,
    /// Pointers into the event as the API shows it, and what is there.
    pub(super) holds: Vec<(&'static str, Value)>,
}

/// A chapter of the guide's table.
pub(super) struct Chapter {
    pub(super) name: &'static str,
    pub(super) cases: Vec<Case>,
}

pub(super) fn chapters() -> Vec<Chapter> {
    vec![
        Chapter { name: "Paths", cases: requests::paths() },
        Chapter { name: "Methods", cases: requests::methods() },
        Chapter { name: "Requests", cases: requests::shapes() },
        Chapter { name: "Answers", cases: answers::answers() },
        Chapter { name: "Bodies", cases: answers::bodies() },
        Chapter { name: "What HTTP/1.1 alone can say", cases: requests::bytes() },
    ]
}

pub(super) fn all() -> impl Iterator<Item = Case> {
    chapters().into_iter().flat_map(|chapter| chapter.cases)
}

impl Case {
    pub(super) fn new(name: &'static str, request: Request, answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self { name, request, answer, becomes: Becomes::Nothing, note: "" }
    }

    /// It becomes one event.
    pub(super) fn becomes(
        self,
        event: &'static str,
        subject: impl Into<Option<&'static str>>,
        holds: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let subject = subject.into();
        let mut events = match self.becomes {
            Becomes::Events(events) => events,
            Becomes::Nothing | Becomes::Counted(_) => Vec::new(),
        };
        events.push(Made { event, subject, holds: holds.into_iter().collect() });
        Self { becomes: Becomes::Events(events), ..self }
    }

    /// It becomes nothing, and is counted for this reason.
    pub(super) fn counted(self, reason: &'static str) -> Self {
        Self { becomes: Becomes::Counted(reason), ..self }
    }

    pub(super) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    pub(super) fn is_for(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Http1 || matches!(self.request, Request::Plain { .. })
    }

    /// The counter of Envoy that goes up by one.
    pub(super) fn counter(&self) -> Option<String> {
        match &self.becomes {
            Becomes::Counted(reason) => Some(format!("missed.reason.{reason}.total")),
            Becomes::Events(_) | Becomes::Nothing => None,
        }
    }
}

impl Becomes {
    pub(super) fn events(&self) -> &[Made] {
        match self {
            Self::Events(events) => events,
            Self::Nothing | Self::Counted(_) => &[],
        }
    }
}

impl Request {
    pub(super) fn plain(method: &'static str, path: &'static str) -> Self {
        Self::Plain { method, path, fields: Vec::new(), body: None, trailers: false }
    }

    /// A write with a body of JSON.
    pub(super) fn json(method: &'static str, path: &'static str, body: &str) -> Self {
        Self::plain(method, path).with("content-type", "application/json").body(body)
    }

    pub(super) fn with(self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        match self {
            Self::Plain { method, path, mut fields, body, trailers } => {
                fields.push((name, value.into()));
                Self::Plain { method, path, fields, body, trailers }
            }
            Self::Bytes(bytes) => Self::Bytes(bytes),
        }
    }

    pub(super) fn body(self, content: impl Into<Vec<u8>>) -> Self {
        match self {
            Self::Plain { method, path, fields, trailers, .. } => {
                Self::Plain { method, path, fields, body: Some(content.into()), trailers }
            }
            Self::Bytes(bytes) => Self::Bytes(bytes),
        }
    }

    pub(super) fn with_trailers(self) -> Self {
        match self {
            Self::Plain { method, path, fields, body, .. } => {
                Self::Plain { method, path, fields, body, trailers: true }
            }
            Self::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

/// An answer with a body of JSON.
pub(super) fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// An answer without a body.
pub(super) fn empty(status: &str, fields: &str) -> Vec<u8> {
    let length = if status.starts_with("204") { "" } else { "content-length: 0\r\n" };
    format!("HTTP/1.1 {status}\r\n{fields}{length}\r\n").into_bytes()
}

/// The one that most cases get.
pub(super) fn ada() -> Vec<u8> {
    answer("200 OK", r#"{"id":7,"name":"Ada"}"#)
}
