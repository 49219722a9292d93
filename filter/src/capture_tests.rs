//! What becomes of what was seen.
//!
//! Invariant: each test names one kind of answer or body and says what the event holds of it.

use super::*;
use crate::config::Config;

fn fields(pairs: &[(&str, &[u8])]) -> Fields {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
}

fn route(extra: &serde_json::Value) -> Rc<Route> {
    let mut json = serde_json::json!({
        "gateway": "edge",
        "sidecar": {"cluster": "sidehook"},
        "routes": [{"resource": "people", "path": "/people"}],
    });
    let route = json["routes"][0].as_object_mut().unwrap();
    route.extend(extra.as_object().unwrap().clone());
    let config = Config::parse(json.to_string().as_bytes()).unwrap();
    Rc::clone(&config.routes[0])
}

fn passed(chunks: &[&[u8]], fields: &Fields) -> Passing {
    let mut passing = Passing::new(true, 64, fields);
    for chunk in chunks {
        let appetite = passing.appetite(chunk.len(), 1000);
        passing.pass(chunk.len(), chunk[..appetite].to_vec());
    }
    passing.end();
    passing
}

fn seen(request: &[u8], response: &[u8]) -> Seen {
    Seen {
        route: route(&serde_json::json!({})),
        change: Change::Created,
        place: Place::default(),
        method: Method::Post,
        path: "/people?x=1".into(),
        fields: Fields::new(),
        request: passed(&[request], &Fields::new()),
        response: passed(&[response], &Fields::new()),
        answer: Some(Answer { status: 201, unix_nanos: 1_763_890_200_000_042_000, location: None }),
    }
}

fn made(seen: Seen) -> Event {
    event(seen, "edge", 7).unwrap()
}

fn subject(request: &[u8], response: &[u8]) -> Option<String> {
    made(seen(request, response)).subject
}

#[test]
fn an_exchange_becomes_an_event_with_all_that_was_asked_for() {
    let mut seen = seen(b"{\"name\":\"Ada\"}", b"{\"id\":42}");
    seen.route = route(&serde_json::json!({"headers": ["X-Actor"]}));
    seen.fields = fields(&[
        (":path", b"/people"),
        ("x-actor", b"ada"),
        ("x-other", b"no"),
        ("traceparent", b"00-1-2-01"),
        ("tracestate", b"a=b"),
        ("x-actor", b"\xffeve"),
    ]);
    let event = made(seen);
    assert_eq!(event.id, EventId::mint(1_763_890_200_000_042_000, 7));
    assert_eq!(event.time.to_string(), "2025-11-23T09:30:00.000042Z");
    assert_eq!(event.event_type.as_str(), "people.created");
    assert_eq!(event.source, "edge");
    assert_eq!(event.subject.as_deref(), Some("42"));
    let exchange = event.exchange;
    assert_eq!((exchange.method.as_str(), exchange.status), ("POST", 201));
    assert_eq!(exchange.path, "/people?x=1");
    assert_eq!(exchange.request.content, "{\"name\":\"Ada\"}");
    assert_eq!(exchange.response.content, "{\"id\":42}");
    let actor = |value: &str| ("x-actor".to_owned(), value.to_owned());
    assert_eq!(exchange.headers, [actor("ada"), actor("\u{fffd}eve")]);
    assert_eq!(exchange.traceparent.as_deref(), Some("00-1-2-01"));
    assert_eq!(exchange.tracestate.as_deref(), Some("a=b"));
}

#[test]
fn without_an_answer_there_is_no_event() {
    let mut seen = seen(b"", b"");
    seen.answer = None;
    assert_eq!(event(seen, "edge", 7), None);
}

#[test]
fn the_id_is_taken_from_the_answer_then_from_the_request() {
    let id = |text: &str| Some(text.to_owned());
    assert_eq!(subject(b"{\"id\":1}", b"{\"id\":2}"), id("2"));
    assert_eq!(subject(b"{\"id\":1}", b"{\"ok\":true}"), id("1"));
    assert_eq!(subject(b"{\"id\":1}", b""), id("1"));
    assert_eq!(subject(b"", b"{\"id\":\"a\\u0062\"}"), id("ab"));
    assert_eq!(subject(b"", b"{\"id\":12345678901234567890123}"), id("12345678901234567890123"));
}

#[test]
fn what_is_no_id_is_not_taken_for_one() {
    for body in [
        "[{\"id\":1},{\"id\":2}]",
        "{\"id\":null}",
        "{\"id\":{}}",
        "{\"id\":\"\"}",
        "id=1",
        "{\"id\":1",
    ] {
        assert_eq!(subject(b"", body.as_bytes()), None, "{body}");
    }
    let mut gzipped = seen(b"", b"{\"id\":1}");
    let encoding = fields(&[("content-encoding", b"gzip")]);
    gzipped.response = passed(&[b"{\"id\":1}"], &encoding);
    let event = made(gzipped);
    assert_eq!(event.subject, None);
    assert_eq!(event.exchange.response.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(event.exchange.response.content, "{\"id\":1}");
}

#[test]
fn a_location_has_the_id_only_of_something_created_elsewhere() {
    let subject = |status, location: &str| {
        let mut seen = seen(b"", b"");
        seen.answer = Some(Answer { status, unix_nanos: 0, location: Some(location.to_owned()) });
        made(seen).subject
    };
    assert_eq!(subject(201, "/people/77").as_deref(), Some("77"));
    assert_eq!(subject(201, "https://api.test/people/77?a").as_deref(), Some("77"));
    assert_eq!(subject(201, "/people"), None);
    assert_eq!(subject(202, "/jobs/5"), None);
}

#[test]
fn only_the_api_s_own_2xx_is_an_acceptance() {
    let head = |status: &'static [u8], kind: &'static [u8]| {
        fields(&[(":status", status), ("content-type", kind)])
    };
    let json = b"application/json";
    for status in [200, 201, 202, 204, 207, 299] {
        let text: &'static [u8] = status.to_string().into_bytes().leak();
        assert_eq!(accepted(&head(text, json), b"via_upstream"), Ok(status));
    }
    for status in [&b"101"[..], b"302", b"400", b"503", b"", b"\xff", b"99999"] {
        assert_eq!(accepted(&head(status, json), b"via_upstream"), Err(Reason::NotAccepted));
    }
    for details in [&b""[..], b"direct_response", b"lua_response", b"VIA_UPSTREAM"] {
        assert_eq!(accepted(&head(b"200", json), details), Err(Reason::LocalReply));
    }
    for kind in [&b"application/grpc"[..], b"Application/GRPC+proto", b"application/grpc-web"] {
        assert_eq!(accepted(&head(b"200", kind), b"via_upstream"), Err(Reason::Grpc));
    }
    assert_eq!(accepted(&Fields::new(), b"via_upstream"), Err(Reason::NotAccepted));
}

#[test]
fn a_body_over_the_limit_is_emptied_and_counted_on() {
    let long = passed(&[&[b'a'; 60], &[b'b'; 5], &[b'c'; 3]], &Fields::new()).body();
    assert!(long.content.is_empty() && long.truncated && !long.incomplete);
    assert_eq!(long.size, 68);
    let exact = passed(&[&[b'a'; 60], &[b'b'; 4]], &Fields::new()).body();
    assert!(exact.is_whole());
    assert_eq!((exact.content.len(), exact.size), (64, 64));
}

#[test]
fn a_body_for_which_there_is_no_room_is_emptied() {
    let mut body = Passing::new(true, 64, &Fields::new());
    assert_eq!(body.appetite(10, 9), 0);
    body.pass(10, vec![]);
    body.end();
    assert!(body.body().truncated);
}

#[test]
fn a_body_of_which_the_gateway_shows_too_little_is_not_taken_for_whole() {
    let mut body = Passing::new(true, 64, &Fields::new());
    body.pass(10, b"12345".to_vec());
    body.end();
    assert!(body.body().truncated);
}

#[test]
fn a_body_without_its_end_is_incomplete() {
    let mut body = Passing::new(true, 64, &Fields::new());
    body.pass(3, b"{\"i".to_vec());
    let body = body.body();
    assert!(body.incomplete && !body.is_whole());
}

#[test]
fn a_body_nobody_asked_for_is_only_counted() {
    let mut body = Passing::new(false, 64, &Fields::new());
    assert_eq!(body.appetite(10, 1000), 0);
    body.pass(10, vec![]);
    let body = body.body();
    assert!(body.content.is_empty() && !body.truncated && !body.incomplete);
    assert_eq!(body.size, 10);
}

#[test]
fn both_bodies_are_redacted_after_the_id_was_found() {
    let mut seen = seen(b"{\"password\":1}", b"{\"id\":3,\"password\":2}");
    seen.route = route(&serde_json::json!({"redact": ["/password"]}));
    let event = made(seen);
    assert_eq!(event.exchange.request.content, "{\"password\":\"[redacted]\"}");
    assert_eq!(event.exchange.response.content, "{\"id\":3,\"password\":\"[redacted]\"}");
    assert_eq!(event.subject.as_deref(), Some("3"));
}
