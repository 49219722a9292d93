//! Exchanges of many shapes.
//!
//! Invariant: an answer is what an API may really send; a request what a client may.

mod answers;
mod http_2;
mod requests;
mod written;

pub(super) use http_2::{H2Case, for_http_2};

use written::{answer, bare, empty, head_only, ok, post, with_body};

/// A request and what the API answers, byte for byte.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Vec<u8>,
    pub(super) answer: Vec<u8>,
    /// No event, although it may look like an accepted write.
    pub(super) silent: bool,
}

/// A capture mode, and where the resource is that is captured in it.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
}

pub(super) const MODES: [Mode; 4] = [
    Mode { name: "durable", path: "/people" },
    Mode { name: "strict", path: "/orders" },
    Mode { name: "best_effort", path: "/visits" },
    Mode { name: "observe", path: "/drafts" },
];

/// More than any buffer on the way: 4 MB.
const LARGE: usize = 4 << 20;

/// Sizes of bodies around those of buffers and of what is captured at most.
const SIZES: [usize; 9] = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 1 << 20];

const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

impl Mode {
    /// Whether its events are sent.
    pub(super) fn sends(self) -> bool {
        self.name != "observe"
    }
}

impl Case {
    fn new(name: &str, request: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) -> Self {
        let (request, answer) = (request.into(), answer.into());
        Self { name: name.to_owned(), request, answer, silent: false }
    }

    pub(super) fn method(&self) -> &str {
        let line = self.request.split(|byte| *byte == b' ').next().unwrap_or_default();
        str::from_utf8(line).unwrap_or_default()
    }

    /// Whether the API accepts it and it is of a kind that becomes an event.
    pub(super) fn is_accepted_write(&self) -> bool {
        WRITES.contains(&self.method()) && is_accepted(&self.answer) && !self.silent
    }
}

/// Whether an answer, after interim ones, is 2xx.
fn is_accepted(answer: &[u8]) -> bool {
    let head = answer.split_at(answer.len().min(100)).0;
    head.windows(10).any(|part| part == b"HTTP/1.1 2")
}

/// All that are sent over HTTP/1.1 to the resource of one capture mode.
pub(super) fn all(mode: Mode) -> Vec<Case> {
    let mut cases = methods(mode.path);
    let request = post(mode.path, "content-type: application/json\r\n");
    cases.extend(answers::all().into_iter().map(|(name, answer)| Case {
        // The outcome of a call is in its trailers, which nobody here reads.
        silent: name == "gRPC",
        ..Case::new(&format!("answer: {name}"), request.clone(), answer)
    }));
    let created = answer(201, "", "{\"id\":7}");
    let requests = requests::all(mode.path).into_iter();
    cases.extend(
        requests.map(|(name, request)| {
            Case::new(&format!("request: {name}"), request, created.clone())
        }),
    );
    let silent = requests::silent(mode.path).into_iter();
    cases.extend(silent.map(|(name, request)| Case {
        silent: true,
        ..Case::new(&format!("request: {name}"), request, created.clone())
    }));
    cases
}

/// Every method with every kind of answer.
fn methods(path: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"] {
        let path = match method {
            "PUT" | "PATCH" | "DELETE" => format!("{path}/7"),
            _ => path.to_owned(),
        };
        for (kind, answer) in [
            ("200", ok("{\"id\":7}")),
            ("204", empty(204, "x-was: here\r\n")),
            ("409", answer(409, "", "{}")),
            ("503", empty(503, "")),
        ] {
            // The answer to HEAD has the header fields of the one to GET, and no body.
            let answer = if method == "HEAD" { head_only(&answer) } else { answer };
            cases.push(Case::new(&format!("{method} {kind}"), bare(method, &path), answer));
        }
        if matches!(method, "POST" | "PUT" | "PATCH") {
            let request = with_body(method, &path, "{\"name\":\"Ada\"}");
            cases.push(Case::new(&format!("{method} with a body"), request, ok("{\"id\":7}")));
        }
    }
    cases
}
