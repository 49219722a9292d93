//! What a run is made of: the configuration of two plugins, and callbacks.
//!
//! Invariant: every sequence of bytes is a script, and a short one of each kind is near.

use arbitrary::Arbitrary;
use serde_json::{Value, json};
use sidehook_filter::host::Side;

use crate::content::{Content, Field};

/// A run.
#[derive(Debug, Arbitrary)]
pub(crate) struct Script {
    pub(crate) plugins: [Plugin; 2],
    pub(crate) callbacks: Vec<Callback>,
}

/// One of a few numbers under which exchanges come and go.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Slot(pub(crate) u8);

/// What the gateway, or the sidecar behind it, does next.
#[derive(Debug, Arbitrary)]
pub(crate) enum Callback {
    /// An exchange from its beginning to its end, as an ordinary gateway shows it.
    Exchange(Slot, Request, Vec<Chunk>, Answer, Vec<Chunk>),
    Request(Slot, Request),
    Body(Slot, Half, Chunk),
    Trailers(Slot, Half),
    Answer(Slot, Answer),
    /// An answer of the sidecar to one of the last calls, or to one that nobody made.
    Sidecar {
        back: u8,
        forged: bool,
        other: bool,
        status: Status,
    },
    Tick(u16),
    Jump(u32),
    End(Slot),
    Refuse(u8),
    Relent,
    Configure {
        other: bool,
        plugin: Plugin,
    },
    ConfigureWith {
        other: bool,
        text: Vec<u8>,
    },
    EndPlugin {
        other: bool,
    },
}

/// Which half of an exchange.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Half {
    Request,
    Response,
}

impl Half {
    pub(crate) fn side(self) -> Side {
        match self {
            Self::Request => Side::Request,
            Self::Response => Side::Response,
        }
    }
}

/// The head of a request.
#[derive(Debug, Arbitrary)]
pub(crate) struct Request {
    /// Under a number that was there before, whose end the gateway did not report.
    pub(crate) reused: bool,
    pub(crate) other: bool,
    method: Method,
    path: u8,
    tail: u8,
    rest: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    pub(crate) ended: bool,
}

#[derive(Debug, Arbitrary)]
enum Method {
    Post,
    Put,
    Patch,
    Delete,
    Get,
    Any(Vec<u8>),
}

/// The head of an answer.
#[derive(Debug, Arbitrary)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) details: Details,
    pub(crate) fields: Vec<Field>,
    pub(crate) ended: bool,
}

/// How the gateway came by an answer.
#[derive(Debug, Arbitrary)]
pub(crate) enum Details {
    Upstream,
    Local,
    Any(Vec<u8>),
}

/// A status, or what is there instead.
#[derive(Debug, Arbitrary)]
pub(crate) enum Status {
    Created,
    NoContent,
    Number(u16),
    Any(Vec<u8>),
    Missing,
}

impl Status {
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        match self {
            Self::Created => Some(b"201".to_vec()),
            Self::NoContent => Some(b"204".to_vec()),
            Self::Number(number) => Some(number.to_string().into_bytes()),
            Self::Any(bytes) => Some(bytes.clone()),
            Self::Missing => None,
        }
    }
}

/// A part of a body, and what the gateway says of it.
#[derive(Debug, Arbitrary)]
pub(crate) struct Chunk {
    pub(crate) content: Content,
    lie: Lie,
    pub(crate) ended: bool,
}

#[derive(Debug, Arbitrary)]
enum Lie {
    None,
    Less(u8),
    More(u16),
    Any(usize),
}

impl Chunk {
    /// The size that the gateway says, of content that has this one.
    pub(crate) fn shown(&self, size: usize) -> usize {
        match self.lie {
            Lie::None => size,
            Lie::Less(by) => size.saturating_sub(by.into()),
            Lie::More(by) => size.saturating_add(by.into()),
            Lie::Any(size) => size,
        }
    }
}

const PATHS: [&str; 5] = ["/people", "/orgs/{org}/people", "/v1/{a}/{b}", "/a/b/c", "/people/7/x"];

const TAILS: [&str; 8] = ["", "/7", "/", "/%41%zz", "//x", "/../y", "/7;v=1", "?q#"];

impl Request {
    pub(crate) fn method(&self) -> Vec<u8> {
        match &self.method {
            Method::Post => b"POST".to_vec(),
            Method::Put => b"PUT".to_vec(),
            Method::Patch => b"PATCH".to_vec(),
            Method::Delete => b"DELETE".to_vec(),
            Method::Get => b"GET".to_vec(),
            Method::Any(bytes) => bytes.clone(),
        }
    }

    /// With the number of the exchange in its query, by which its events are known.
    pub(crate) fn path(&self, number: usize) -> Vec<u8> {
        let path = one_of(&PATHS, self.path);
        let tail = one_of(&TAILS, self.tail).as_bytes();
        [path.as_bytes(), tail, &self.rest, format!("?n={number}").as_bytes()].concat()
    }
}

/// The configuration of a plugin.
#[derive(Debug, Arbitrary)]
pub(crate) struct Plugin {
    capture: Mode,
    hold: u16,
    timeout: u16,
    max_events: u8,
    token: bool,
    routes: [Route; 5],
}

#[derive(Debug, Arbitrary)]
enum Mode {
    Durable,
    Strict,
    BestEffort,
    Observe,
}

#[derive(Debug, Arbitrary)]
struct Route {
    capture: Option<Mode>,
    named: Option<u8>,
    id: Option<u8>,
    bulk: Option<u8>,
    idempotency_key: bool,
    without_request: bool,
    without_response: bool,
    max_bytes: u16,
    redact: Vec<u8>,
    headers: bool,
}

const POINTERS: [&str; 9] =
    ["/id", "/data/id", "/data", "/secret", "/data/secret", "/data/0/id", "/a~1b", "", "/id/id"];

impl Mode {
    fn name(&self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Strict => "strict",
            Self::BestEffort => "best_effort",
            Self::Observe => "observe",
        }
    }
}

impl Plugin {
    /// As it is written. It may be refused, but most are not.
    pub(crate) fn written(&self) -> Value {
        let routes = self.routes.iter().zip(PATHS).enumerate();
        let routes: Vec<_> = routes.map(|(at, (route, path))| route.written(at, path)).collect();
        let mut written = json!({
            "gateway": "edge",
            "capture": self.capture.name(),
            "hold_timeout": format!("{}ms", 10 + self.hold % 59_990),
            "buffer": {"max_events": 1 + self.max_events % 16, "max_bytes": "64KiB"},
            "sidecar": {
                "cluster": "sidehook",
                "timeout": format!("{}ms", 10 + self.timeout % 59_990),
            },
            "routes": routes,
        });
        if self.token {
            written["sidecar"]["token"] = "t".into();
        }
        written
    }
}

impl Route {
    fn written(&self, at: usize, path: &str) -> Value {
        let resource = format!("kind{at}");
        let pointer = |which: u8| Value::from(*one_of(&POINTERS, which));
        let mut written = json!({
            "path": path,
            "idempotency_key": self.idempotency_key,
            "redact": self.redact.iter().map(|which| pointer(*which)).collect::<Vec<_>>(),
            "body": {
                "request": !self.without_request,
                "response": !self.without_response,
                "max_bytes": 1 + u32::from(self.max_bytes),
            },
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                written[key] = value;
            }
        };
        set("capture", self.capture.as_ref().map(|mode| mode.name().into()));
        set("id", self.id.map(pointer));
        set("bulk", self.bulk.map(|which| if which < 128 { true.into() } else { pointer(which) }));
        set("headers", self.headers.then(|| json!(["x-tag", "content-type"])));
        if let Some(which) = self.named {
            set("method", Some((*one_of(&["POST", "PUT", "PATCH", "DELETE"], which)).into()));
            set("event", Some(format!("{resource}.done").into()));
        }
        set("resource", Some(resource.into()));
        written
    }
}

/// The choice that a byte stands for.
pub(crate) fn one_of<T>(all: &[T], which: u8) -> &T {
    &all[usize::from(which) % all.len()]
}
