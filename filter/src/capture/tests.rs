//! What becomes of what was seen.
//!
//! Invariant: each test names one kind of answer or body and says what the event holds of it.

use super::*;
use crate::config::Config;

const GZIPPED: Described<'_> = Described { content_type: None, content_encoding: Some(b"gzip") };

fn fields(pairs: &[(&str, &[u8])]) -> Fields {
    Fields::of(pairs)
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

fn passed(chunks: &[&[u8]], described: Described<'_>) -> Passing {
    let mut passing = Passing::new(true, 64, described);
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
        fields: Fields::default(),
        request: passed(&[request], Described::default()),
        response: passed(&[response], Described::default()),
        answer: Some(Answer { status: 201, unix_nanos: 1_763_890_200_000_042_000, location: None }),
    }
}

fn made(seen: Seen) -> Event {
    let [event] = events(seen, "edge", 7).try_into().unwrap();
    event
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
    assert_eq!(events(seen, "edge", 7), []);
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
    gzipped.response = passed(&[b"{\"id\":1}"], GZIPPED);
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
    let of = |status: &[u8], kind: &[u8], details: &[u8]| {
        let described = Described { content_type: Some(kind), ..Described::default() };
        accepted(Some(status), described, details)
    };
    let json = b"application/json";
    for status in [200, 201, 202, 204, 207, 299] {
        assert_eq!(of(status.to_string().as_bytes(), json, b"via_upstream"), Ok(status));
    }
    for status in [&b"101"[..], b"302", b"400", b"503", b"", b"\xff", b"99999"] {
        assert_eq!(of(status, json, b"via_upstream"), Err(Reason::NotAccepted));
    }
    for details in [&b""[..], b"direct_response", b"lua_response", b"VIA_UPSTREAM"] {
        assert_eq!(of(b"200", json, details), Err(Reason::LocalReply));
    }
    for kind in [&b"application/grpc"[..], b"Application/GRPC+proto", b"application/grpc-web"] {
        assert_eq!(of(b"200", kind, b"via_upstream"), Err(Reason::Grpc));
    }
    assert_eq!(accepted(None, Described::default(), b"via_upstream"), Err(Reason::NotAccepted));
}

#[test]
fn a_body_over_the_limit_is_emptied_and_counted_on() {
    let long = passed(&[&[b'a'; 60], &[b'b'; 5], &[b'c'; 3]], Described::default()).body();
    assert!(long.content.is_empty() && long.truncated && !long.incomplete);
    assert_eq!(long.size, 68);
    let exact = passed(&[&[b'a'; 60], &[b'b'; 4]], Described::default()).body();
    assert!(exact.is_whole());
    assert_eq!((exact.content.len(), exact.size), (64, 64));
}

#[test]
fn a_body_for_which_there_is_no_room_is_emptied() {
    let mut body = Passing::new(true, 64, Described::default());
    assert_eq!(body.appetite(10, 9), 0);
    body.pass(10, vec![]);
    body.end();
    assert!(body.body().truncated);
}

#[test]
fn a_body_of_which_the_gateway_shows_too_little_is_not_taken_for_whole() {
    let mut body = Passing::new(true, 64, Described::default());
    body.pass(10, b"12345".to_vec());
    body.end();
    assert!(body.body().truncated);
}

#[test]
fn a_body_without_its_end_is_incomplete() {
    let mut body = Passing::new(true, 64, Described::default());
    body.pass(3, b"{\"i".to_vec());
    let body = body.body();
    assert!(body.incomplete && !body.is_whole());
}

#[test]
fn a_body_nobody_asked_for_is_only_counted() {
    let mut body = Passing::new(false, 64, Described::default());
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

fn bulk(sent: &[u8], answered: &[u8], status: u16, route_of: &serde_json::Value) -> Vec<Event> {
    let mut seen = seen(sent, answered);
    seen.route = route(route_of);
    seen.answer = Some(Answer { status, unix_nanos: 1_763_890_200_000_042_000, location: None });
    events(seen, "edge", 7)
}

#[test]
fn a_list_becomes_one_event_for_each_of_its_elements() {
    let asked = serde_json::json!({"bulk": true, "redact": ["/card"]});
    let made = bulk(
        b"[{\"n\":1,\"card\":4111}, {\"n\":2}]",
        b"[{\"id\":\"a\"}, {\"id\":7, \"card\":1}]",
        201,
        &asked,
    );
    let [first, second] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((first.subject.as_deref(), second.subject.as_deref()), (Some("a"), Some("7")));
    assert_eq!(first.exchange.response.content, "{\"id\":\"a\"}");
    assert_eq!(first.exchange.request.content, "{\"n\":1,\"card\":\"[redacted]\"}");
    assert_eq!(second.exchange.response.content, "{\"id\":7, \"card\":\"[redacted]\"}");
    assert_eq!(second.exchange.request.content, "{\"n\":2}");
    assert_eq!(second.exchange.request.size, 7);
    assert!(first.id < second.id);
    assert!(!first.exchange.request.truncated);
}

#[test]
fn a_list_inside_the_body_is_found_by_its_pointer() {
    let made = bulk(
        b"{\"data\":[1,2]}",
        b"{\"data\":[{\"key\":\"a\"},{\"key\":\"b\"}],\"count\":2}",
        200,
        &serde_json::json!({"bulk": "/data", "id": "/data/key"}),
    );
    let subjects: Vec<_> = made.iter().filter_map(|event| event.subject.as_deref()).collect();
    assert_eq!(subjects, ["a", "b"]);
    assert_eq!(made[1].exchange.request.content, "2");
    let single = bulk(
        b"",
        b"{\"data\":{\"key\":\"c\"}}",
        201,
        &serde_json::json!({"bulk": "/data", "id": "/data/key"}),
    );
    assert_eq!(single.len(), 1);
    assert_eq!(single[0].subject.as_deref(), Some("c"));
}

#[test]
fn a_request_that_is_no_such_list_is_left_out_of_the_events_of_its_elements() {
    let asked = serde_json::json!({"bulk": true});
    for sent in [&b"{\"count\":2}"[..], b"[1]", b"not JSON"] {
        let made = bulk(sent, b"[{\"id\":1},{\"id\":2}]", 201, &asked);
        assert_eq!(made.len(), 2);
        let request = &made[0].exchange.request;
        assert!(request.content.is_empty() && request.truncated, "{request:?}");
    }
    let request = bulk(b"", b"[{\"id\":1}]", 201, &asked)[0].exchange.request.clone();
    assert!(request.content.is_empty() && !request.truncated, "{request:?}");
}

#[test]
fn what_is_no_list_of_resources_stays_one_event() {
    let asked = serde_json::json!({"bulk": true});
    let long = format!("[{}1]", "1,".repeat(bulk::MOST));
    for (answered, status) in [
        (&b"{\"id\":1}"[..], 201),
        (b"[]", 200),
        (b"[1,2", 200),
        // Which of them succeeded is said in a way of the API's own.
        (b"[{\"status\":201},{\"status\":409}]", 207),
        (long.as_bytes(), 200),
    ] {
        let mut seen = seen(b"", answered);
        seen.response =
            Passing { limit: 1 << 20, ..Passing::new(true, 1 << 20, Described::default()) };
        seen.response.pass(answered.len(), answered.to_vec());
        seen.response.end();
        seen.route = route(&asked);
        seen.answer = Some(Answer { status, unix_nanos: 0, location: None });
        let made = events(seen, "edge", 7);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].exchange.response.content, answered);
    }
    let unasked = bulk(b"", b"[{\"id\":1}]", 201, &serde_json::json!({}));
    assert_eq!(unasked[0].exchange.response.content, "[{\"id\":1}]");
}

/// The mark of an exchange with these request headers.
fn mark(extra: &[(&str, &[u8])], change: impl FnOnce(&mut Seen)) -> Option<[u8; 16]> {
    let mut seen = seen(b"{\"n\":1}", b"{\"id\":42}");
    seen.route = route(&serde_json::json!({"idempotency_key": true}));
    seen.fields = fields(extra);
    change(&mut seen);
    made(seen).exchange.idempotency
}

#[test]
fn a_repeated_request_has_the_mark_of_the_first() {
    let key: [(&str, &[u8]); 2] = [("idempotency-key", b"k1"), ("authorization", b"Bearer a")];
    let first = mark(&key, |_| ());
    assert!(first.is_some());
    let later = mark(&key, |seen| {
        seen.answer.as_mut().unwrap().unix_nanos += 1_000_000_000;
        seen.fields = fields(&[key[0], ("x-request-id", b"other"), key[1]]);
    });
    assert_eq!(first, later);
    assert_eq!(mark(&[], |_| ()), None);
    assert_eq!(mark(&[("idempotency-key", b"")], |_| ()), None);
    let unasked = mark(&key, |seen| seen.route = route(&serde_json::json!({})));
    assert_eq!(unasked, None);
}

#[test]
fn another_write_has_another_mark_even_with_the_same_key() {
    let key: [(&str, &[u8]); 2] = [("idempotency-key", b"k1"), ("authorization", b"Bearer a")];
    let first = mark(&key, |_| ());
    let other_key = mark(&[("idempotency-key", b"k2"), key[1]], |_| ());
    let other_client = mark(&[key[0], ("authorization", b"Bearer b")], |_| ());
    let other_body =
        mark(&key, |seen| seen.request = passed(&[b"{\"n\":2}"], Described::default()));
    let done_again =
        mark(&key, |seen| seen.response = passed(&[b"{\"id\":43}"], Described::default()));
    let other_path = mark(&key, |seen| seen.path = "/people".into());
    let other_method = mark(&key, |seen| seen.method = Method::Put);
    let other_type = mark(&key, |seen| seen.change = Change::Updated);
    let marks = [
        first,
        other_key,
        other_client,
        other_body,
        done_again,
        other_path,
        other_method,
        other_type,
    ];
    let distinct: std::collections::BTreeSet<_> = marks.iter().collect();
    assert_eq!(distinct.len(), marks.len());
}

#[test]
fn each_element_of_a_list_has_a_mark_of_its_own() {
    let mut seen = seen(b"", b"[{\"id\":1},{\"id\":1},{}]");
    seen.route = route(&serde_json::json!({"idempotency_key": true, "bulk": true}));
    seen.fields = fields(&[("idempotency-key", b"k1")]);
    let made = events(seen, "edge", 7);
    let marks: std::collections::BTreeSet<_> =
        made.iter().map(|event| event.exchange.idempotency).collect();
    assert_eq!(marks.len(), 3);
}

#[test]
fn where_the_id_is_in_a_body_that_is_compressed_is_said() {
    let answered = |extra: &serde_json::Value, location: Option<&str>| {
        let mut seen = seen(b"", b"");
        seen.route = route(extra);
        seen.response = passed(&[b"\x1f\x8b"], GZIPPED);
        seen.answer.as_mut().unwrap().location = location.map(str::to_owned);
        made(seen)
    };
    let event = answered(&serde_json::json!({"id": "/data/a~1b"}), None);
    assert_eq!(event.subject, None);
    assert_eq!(event.exchange.id_within.unwrap().pointer, "/data/a~1b");
    let known = answered(&serde_json::json!({}), Some("/people/42"));
    assert_eq!((known.subject.as_deref(), known.exchange.id_within), (Some("42"), None));
    // What does not leave can't be looked into.
    let redacted = answered(&serde_json::json!({"redact": ["/password"]}), None);
    assert_eq!(redacted.exchange.id_within, None);
}
