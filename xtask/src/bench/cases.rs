//! What is measured: which requests go through which gateway.
//!
//! Invariant: each case has one that it is compared with, by the same requests and no filter.

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    /// What is sent.
    pub(super) call: Call,
    /// Through which gateway.
    pub(super) way: Way,
}

/// A request of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// GET of one person.
    Read,
    /// POST of one person, some 200 bytes of JSON.
    Write,
}

/// What stands in the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// No filter.
    Without,
    /// One that does nothing, on every route.
    Empty,
    /// Ours, on every route.
    Everywhere,
    /// A Lua filter, on the routes of the writes.
    Lua,
    /// A processor outside of Envoy, told of what happens on the routes of the writes.
    ExtProc,
    /// Ours as it is shipped, on the routes of the writes, in a capture mode.
    Shipped(&'static str),
}

/// All cases, those that are compared with each other together.
pub(super) const ALL: [Case; 11] = [
    Case { call: Call::Read, way: Way::Without },
    Case { call: Call::Read, way: Way::Shipped("durable") },
    Case { call: Call::Read, way: Way::Empty },
    Case { call: Call::Read, way: Way::Everywhere },
    Case { call: Call::Write, way: Way::Without },
    Case { call: Call::Write, way: Way::Empty },
    Case { call: Call::Write, way: Way::Shipped("best_effort") },
    Case { call: Call::Write, way: Way::Shipped("durable") },
    Case { call: Call::Write, way: Way::Shipped("strict") },
    Case { call: Call::Write, way: Way::Lua },
    Case { call: Call::Write, way: Way::ExtProc },
];

impl Case {
    /// The case that this one is compared with.
    pub(super) fn reference(self) -> Self {
        Self { way: Way::Without, ..self }
    }

    /// Whether each of its requests becomes an event.
    pub(super) fn captures(self) -> bool {
        self.call == Call::Write && !matches!(self.way, Way::Without | Way::Empty)
    }

    /// What it is called.
    pub(super) fn name(self) -> String {
        let way = match (self.call, self.way) {
            (_, Way::Without) => "no filter",
            (_, Way::Empty) => "empty filter",
            (_, Way::Everywhere) => "ours, on every route",
            (_, Way::Lua) => "Lua, a call for each",
            (_, Way::ExtProc) => "ext_proc, looking on",
            (Call::Read, Way::Shipped(_)) => "ours, as shipped",
            (Call::Write, Way::Shipped(capture)) => capture,
        };
        format!("{} {way}", self.call.method())
    }
}

impl Call {
    fn method(self) -> Method {
        match self {
            Self::Read => Method::GET,
            Self::Write => Method::POST,
        }
    }

    /// The request, with the headers that a usual client and a usual proxy before us send.
    pub(super) fn request(self) -> Result<Request<Full<Bytes>>> {
        let (path, body) = match self {
            Self::Read => ("/people/42", Bytes::new()),
            Self::Write => ("/people", Bytes::from_static(PERSON.as_bytes())),
        };
        let request = Request::builder()
            .method(self.method())
            .uri(format!("http://api.example{path}"))
            .header(header::USER_AGENT, "sidehook-bench/1.0")
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, "Bearer 0123456789abcdef0123456789abcdef")
            .header("x-request-id", "7d0b1e3c-52d5-4b7e-9c57-0c4e2c4f5a10")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let request = match self {
            Self::Read => request,
            Self::Write => request.header(header::CONTENT_TYPE, "application/json"),
        };
        Ok(request.body(Full::new(body))?)
    }
}

const PERSON: &str = concat!(
    r#"{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0000","#,
    r#""address":{"street":"12 St James's Square","city":"London","country":"GB"},"#,
    r#""note":"Enchantress of Number","tags":["a","b"]}"#,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_reference_among_them_and_a_name_of_its_own() {
        for case in ALL {
            assert!(ALL.contains(&case.reference()), "{}", case.name());
            assert_eq!(ALL.iter().filter(|other| other.name() == case.name()).count(), 1);
        }
    }
}
