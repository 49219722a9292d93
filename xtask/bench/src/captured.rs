//! What the filter does with a write, on this machine rather than in a virtual machine:
//! `filter/tests/cost.rs` counts whole exchanges there.
//!
//! Invariant: a request, its answer and the configuration are such as the gateway hands over.

use std::rc::Rc;

use sidehook_event::wire;
use sidehook_filter::{
    capture::{Answer, Described, Passing, Seen, events},
    config::Config,
    pairs::Fields,
    rules::{Found, Method},
};

use crate::{
    Case,
    samples::{self, NOW, PERSON},
};

const RESOURCES: usize = 20;
const PATH: &str = "/orgs/7/resource11s";

pub(crate) fn cases() -> Vec<Case> {
    let find = {
        let config = config("");
        move |path: &str| config.rules.find(Method::Post, path)
    };
    let redacting = r#","redact":["/email","/address/street"],"headers":["x-actor"]"#;
    vec![
        Case::new("rules: the one of 20 that fits", || PATH, find),
        capture("capture: a body of 350 B", "", PERSON.to_vec()),
        capture("capture: a body of 10 KB", "", samples::person_of(10_000)),
        capture("capture: 350 B, of which two fields are masked", redacting, PERSON.to_vec()),
        capture("capture: a list of 20 as an event each", r#","bulk":true"#, list(20)),
        Case::new(
            "encoding: an event of 350 B",
            || samples::event(1, PERSON),
            |event| wire::frame(&event),
        ),
    ]
}

/// Routes with names and paths that differ in little, all with these further keys.
fn config(further: &str) -> Config {
    let route = |number: usize| {
        format!(r#"{{"resource":"r{number}","path":"/orgs/{{org}}/resource{number}s"{further}}}"#)
    };
    let routes: Vec<_> = (0..RESOURCES).map(route).collect();
    let routes = routes.join(",");
    let written =
        format!(r#"{{"gateway":"edge","sidecar":{{"cluster":"sidehook"}},"routes":[{routes}]}}"#);
    Config::parse(written.as_bytes()).unwrap()
}

/// A list of so many people.
fn list(length: usize) -> Vec<u8> {
    let people = vec![PERSON; length];
    [b"[".as_slice(), &people.join(&b','), b"]"].concat()
}

/// An accepted write whose request and answer have this body.
fn capture(name: &'static str, further: &str, body: Vec<u8>) -> Case {
    let config = config(further);
    Case::new(name, move || seen(&config, &body), |seen| events(seen, "edge", 7))
}

fn seen(config: &Config, body: &[u8]) -> Seen {
    let Found::Rule { index, change, place } = config.rules.find(Method::Post, PATH) else {
        panic!("no rule fits {PATH}")
    };
    let route = Rc::clone(config.routes.get(index).unwrap());
    let fields = fields();
    let [content_type] = fields.get_all(["content-type"]);
    let described = Described { content_type, ..Described::default() };
    let passed = || {
        let mut passing = Passing::new(true, 1 << 20, described);
        passing.pass(body.len(), body.to_vec());
        passing.end();
        passing
    };
    let unix_nanos = u64::try_from(NOW.micros()).unwrap() * 1_000;
    Seen {
        change,
        place,
        method: Method::Post,
        path: PATH.to_owned(),
        request: passed(),
        response: passed(),
        answer: Some(Answer { status: 201, unix_nanos, location: Some(format!("{PATH}/42")) }),
        fields,
        route,
    }
}

/// The head of a request, as browsers and proxies make it.
fn fields() -> Fields {
    let fields = [
        (":method", "POST"),
        (":path", PATH),
        (":authority", "api.example.com"),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-request-id", "6f1f8e0c-4ef5-4d0e-9a53-3f7d8a4f5a11"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("x-actor", "grace"),
    ];
    Fields::of(&fields)
}
