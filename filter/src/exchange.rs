//! One request and its answer: the gateway's callbacks in, steps out.
//!
//! Invariant: an exchange says [`Step::Emit`] at most once, at the end of the answer in whichever
//! of its three shapes it comes (headers, body, trailers), or as soon as no more of it is kept.

use std::rc::Rc;

use crate::{
    capture::{Answer, Described, Passing, Reason, Seen, accepted, text},
    config::{Capture, Config},
    host::{Host, Moment, Side},
    pairs::Fields,
    rules::{Found, Method},
};

/// How the type of an answer begins that may never end.
const STREAM: &[u8] = b"text/event-stream";

/// What is asked of an answer's head.
const ANSWER: [&str; 5] =
    [":status", "content-type", "content-encoding", "content-length", "location"];

/// A request that has just begun.
#[derive(Debug)]
pub enum Opening {
    /// Nothing to do with us.
    Ignored,
    /// No event will come of it, for this reason.
    Lost(Reason),
    /// A write on a watched path that no route fits.
    Unmatched,
    /// A write to be watched.
    Watched(Box<Watch>),
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Let it pass.
    Pass,
    /// Keep it until more has been seen.
    Keep,
    /// All has been seen that will be: make the event.
    Emit,
}

/// Whether the gateway shows bodies while their headers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shows {
    /// Nothing has been kept yet that would tell.
    #[default]
    Unknown,
    /// A body came while its headers were kept.
    Bodies,
    /// No body came: the plugin's configuration does not allow it.
    Nothing,
}

/// One watched exchange.
#[derive(Debug)]
pub struct Watch {
    /// What the client is promised.
    pub capture: Capture,
    /// When the answer began to be held.
    pub since: Moment,
    /// What has been seen.
    pub seen: Seen,
}

/// Looks at the head of a request, with a single question: what has a body is most likely a write,
/// of which more has to be known; of all else the method alone is asked for at first.
pub fn open(host: &dyn Host, config: &Config, ended: bool) -> Opening {
    if ended && !is_write(host) {
        return Opening::Ignored;
    }
    let fields = host.headers(Side::Request).unwrap_or_default();
    let [method, path, content_type, content_encoding] =
        fields.get_all([":method", ":path", "content-type", "content-encoding"]);
    let described = Described { content_type, content_encoding };
    let Some((method, path)) = method.and_then(Method::parse).zip(path) else {
        return Opening::Ignored;
    };
    let path = text(path);
    let found = match config.rules.find(method, &path) {
        Found::Missed => overridden(&fields, method).map(|method| config.rules.find(method, &path)),
        found => Some(found),
    };
    let (index, change, place) = match found {
        Some(Found::Rule { index, change, place }) => (index, change, place),
        Some(Found::Missed) | None => return Opening::Unmatched,
        Some(Found::Unwatched) => return Opening::Ignored,
    };
    let Some(route) = config.routes.get(index).map(Rc::clone) else {
        return Opening::Ignored;
    };
    if described.is_grpc() {
        return Opening::Lost(Reason::Grpc);
    }
    let mut request = Passing::new(route.request_body, route.max_body, described);
    let path = path.into_owned();
    if ended {
        request.end();
    }
    Opening::Watched(Box::new(Watch {
        capture: route.capture,
        since: Moment::default(),
        seen: Seen {
            response: Passing::default(),
            answer: None,
            route,
            change,
            place,
            method,
            path,
            fields,
            request,
        },
    }))
}

fn is_write(host: &dyn Host) -> bool {
    let method = host.header(Side::Request, ":method").ok().flatten();
    method.is_some_and(|name| Method::parse(&name).is_some())
}

/// The method that a POST stands for, by the header field that clients use which cannot send others.
/// Only a POST that is nothing else is asked, so that the field can't hide what a POST does.
fn overridden(fields: &Fields, method: Method) -> Option<Method> {
    const FIELDS: [&str; 3] = ["x-http-method-override", "x-method-override", "x-http-method"];
    let asked = (method == Method::Post).then_some(FIELDS)?;
    let said = asked.into_iter().find_map(|name| fields.get(name));
    Method::parse(said?.to_ascii_uppercase().trim_ascii())
}

/// Why a write that no route fits makes no event: because of that, if the API accepted it.
pub fn why_unmatched(host: &dyn Host) -> Reason {
    let fields = host.headers(Side::Response).unwrap_or_default();
    let [status, content_type] = fields.get_all([":status", "content-type"]);
    let described = Described { content_type, ..Described::default() };
    let accepted = accepted(status, described, &host.code_details().unwrap_or_default());
    accepted.err().unwrap_or(Reason::Unmatched)
}

impl Watch {
    /// A part of a body passes by, the last one if `ended`; `room` bytes are left for bodies.
    pub fn body(&mut self, host: &dyn Host, side: Side, length: usize, ended: bool, room: usize) {
        let passing = match side {
            Side::Request => &mut self.seen.request,
            Side::Response => &mut self.seen.response,
        };
        let appetite = passing.appetite(length, room);
        let read =
            if appetite == 0 { Vec::new() } else { host.body(side, appetite).unwrap_or_default() };
        passing.pass(length, read);
        if ended {
            passing.end();
        }
    }

    /// The trailers of the request pass by.
    pub fn request_trailers(&mut self) {
        self.seen.request.end();
    }

    /// The head of the answer has come, at that time, and nothing else will if `ended`.
    pub fn answer(
        &mut self,
        host: &dyn Host,
        ended: bool,
        shows: Shows,
        unix_nanos: u64,
    ) -> Result<Step, Reason> {
        let seen = &mut self.seen;
        let fields = host.headers(Side::Response).unwrap_or_default();
        let [status, content_type, content_encoding, length, location] = fields.get_all(ANSWER);
        let described = Described { content_type, content_encoding };
        let status = accepted(status, described, &host.code_details().unwrap_or_default())?;
        let location = location.map(|location| text(location).into_owned());
        seen.answer = Some(Answer { status, unix_nanos, location });
        let response = &mut seen.response;
        *response = Passing::new(seen.route.response_body, seen.route.max_body, described);
        if ended {
            response.end();
        }
        let length = length.and_then(|length| text(length).parse().ok());
        if response.is_open() && length.is_some_and(|length| response.overflows(length)) {
            response.truncate();
        }
        let kind = content_type.and_then(|kind| kind.get(..STREAM.len()));
        let endless = kind.is_some_and(|kind| kind.eq_ignore_ascii_case(STREAM));
        if !response.is_open() {
            return Ok(Step::Emit);
        }
        Ok(if !self.capture.holds() {
            Step::Pass
        } else if endless || shows == Shows::Nothing {
            Step::Emit
        } else {
            Step::Keep
        })
    }

    /// A part of the answer's body, or its trailers, have passed by; `ended` if that was all.
    pub fn answer_went_on(&mut self, ended: bool) -> Step {
        if ended {
            self.seen.response.end();
        }
        if self.is_accepted() && !self.seen.response.is_open() {
            Step::Emit
        } else if self.is_waiting() {
            Step::Keep
        } else {
            Step::Pass
        }
    }

    /// Whether the API accepted the write.
    pub fn is_accepted(&self) -> bool {
        self.seen.answer.is_some()
    }

    /// Whether the answer is kept although its end has not been seen.
    pub fn is_waiting(&self) -> bool {
        self.capture.holds() && self.is_accepted()
    }

    /// How many bytes of bodies are kept.
    pub fn kept(&self) -> usize {
        let Seen { request, response, .. } = &self.seen;
        request.kept().saturating_add(response.kept())
    }
}
