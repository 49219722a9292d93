//! What clients and the API see of the filter, and what becomes of their exchanges.
//!
//! Invariant: an answer that waits for its event is let go once, after the commit or when its
//! time is up, and never when its client is gone.

mod gateway;

use gateway::{Gateway, ROOT};
use sidehook_filter::host::{Action, Level, Side};

#[test]
fn a_read_is_let_go_after_a_look_at_its_method() {
    let mut gateway = Gateway::new();
    gateway.host.asked.borrow_mut().clear();
    for method in ["GET", "HEAD", "OPTIONS", "CONNECT", "TRACE"] {
        let context = gateway.request(method, "/people", "");
        assert_eq!(gateway.answers(context, 200, false), Action::Continue);
        assert_eq!(gateway.chunk(context, Side::Response, "[]", true), Action::Continue);
        gateway.ends(context);
    }
    let asked = gateway.host.asked.borrow();
    assert_eq!(asked.iter().collect::<Vec<_>>(), [(&"header", &5)]);
    assert_eq!(gateway.calls(), 0);
}

#[test]
fn a_write_is_held_until_its_event_is_committed() {
    let mut gateway = Gateway::new();
    let context = gateway.post("/people?a=1");
    assert_eq!(gateway.answers(context, 201, false), Action::Stop);
    assert_eq!(gateway.chunk(context, Side::Response, "{\"id\":", false), Action::KeepBody);
    assert_eq!(gateway.calls(), 0);
    assert_eq!(gateway.chunk(context, Side::Response, "42}", true), Action::KeepBody);
    assert_eq!(gateway.resumed(), []);

    gateway.sidecar(1, "202");
    assert_eq!(gateway.resumed(), [context]);
    assert_eq!(gateway.chunk(context, Side::Response, "", true), Action::Continue);

    let [event] = gateway.events().try_into().unwrap();
    assert_eq!(event.event_type.as_str(), "people.created");
    assert_eq!(event.subject.as_deref(), Some("people/42"));
    assert_eq!(event.source, "edge");
    assert_eq!(event.exchange.path, "/people?a=1");
    assert_eq!(event.exchange.request.content, "{\"name\":\"Ada\"}");
    assert_eq!(event.exchange.response.content, "{\"id\":42}");
    assert_eq!(gateway.counted("events.resource.people.action.created.total"), 1);
    assert_eq!(gateway.counted("committed"), 1);
}

#[test]
fn a_call_belongs_to_the_root_and_carries_the_token() {
    let mut gateway = Gateway::new();
    gateway.exchange("/people");
    let sent = gateway.host.sent.borrow()[0].clone();
    assert_eq!(sent.context, Some(ROOT));
    assert_eq!(sent.cluster, "sidehook");
    let header = |name: &str| {
        let mut fields = sent.headers.iter().filter(|(key, _)| key == name);
        fields.next().map(|(_, value)| value.as_str())
    };
    assert_eq!(header(":method"), Some("POST"));
    assert_eq!(header(":path"), Some("/ingest"));
    assert_eq!(header(":authority"), Some("sidehook"));
    assert_eq!(header("content-type"), Some(sidehook_event::wire::CONTENT_TYPE));
    assert_eq!(header("authorization"), Some("Bearer t"));
}

#[test]
fn the_end_of_an_answer_is_seen_in_each_of_its_shapes() {
    let mut gateway = Gateway::new();
    let empty = gateway.request("DELETE", "/people/1", "");
    assert_eq!(gateway.answers(empty, 204, true), Action::StopAll);
    assert_eq!(gateway.calls(), 1);
    gateway.sidecar(1, "202");

    let with_trailers = gateway.post("/people");
    assert_eq!(gateway.answers(with_trailers, 201, false), Action::Stop);
    assert_eq!(gateway.chunk(with_trailers, Side::Response, "{\"id\":3}", false), Action::KeepBody);
    assert_eq!(gateway.calls(), 1);
    assert_eq!(gateway.trailers(with_trailers, Side::Response), Action::Stop);
    gateway.sidecar(2, "202");
    assert_eq!(gateway.resumed(), [empty, with_trailers]);
    assert_eq!(gateway.events()[1].subject.as_deref(), Some("people/3"));
}

#[test]
fn an_answer_over_the_limit_is_emitted_at_once_and_held_on() {
    let mut gateway = Gateway::new();
    let context = gateway.post("/people");
    assert_eq!(gateway.answers(context, 201, false), Action::Stop);
    let chunk = "x".repeat(65);
    assert_eq!(gateway.chunk(context, Side::Response, &chunk, false), Action::KeepBody);
    assert_eq!(gateway.calls(), 1);
    assert_eq!(gateway.chunk(context, Side::Response, &chunk, true), Action::KeepBody);
    assert_eq!(gateway.trailers(context, Side::Response), Action::Stop);
    assert_eq!(gateway.calls(), 1);
    gateway.sidecar(1, "202");
    assert_eq!(gateway.resumed(), [context]);
    let response = &gateway.events()[0].exchange.response;
    assert!(response.truncated && response.content.is_empty());

    let known = gateway.post("/people");
    let fields = [(":status", "200"), ("content-length", "65")];
    assert_eq!(gateway.answers_with(known, &fields, "via_upstream", false), Action::StopAll);
    assert!(gateway.events()[1].exchange.response.truncated);
}

#[test]
fn without_the_answer_s_body_the_head_alone_is_held() {
    let mut gateway = Gateway::new();
    let context = gateway.post("/thin");
    assert_eq!(gateway.answers(context, 200, false), Action::StopAll);
    gateway.sidecar(1, "200");
    assert_eq!(gateway.resumed(), [context]);
    assert_eq!(gateway.chunk(context, Side::Response, "{\"id\":1}", true), Action::Continue);
    assert!(gateway.events()[0].exchange.response.content.is_empty());
}

#[test]
fn events_that_happen_during_a_call_share_the_next_one() {
    let mut gateway = Gateway::new();
    let held: Vec<_> = (0..5).map(|_| gateway.exchange("/people").0).collect();
    assert_eq!(gateway.calls(), 1);
    gateway.sidecar(1, "202");
    assert_eq!(gateway.calls(), 2);
    assert_eq!(gateway.resumed(), held[..1]);
    gateway.sidecar(2, "202");
    assert_eq!(gateway.resumed(), held);
    assert_eq!(gateway.counted("batches"), 2);
}

#[test]
fn what_the_api_did_not_accept_is_no_event() {
    let mut gateway = Gateway::new();
    for (status, details, kind, reason) in [
        ("400", "via_upstream", "", "not_accepted"),
        ("302", "via_upstream", "", "not_accepted"),
        ("101", "via_upstream", "", "not_accepted"),
        ("503", "upstream_reset_before_response_started", "", "not_accepted"),
        ("201", "direct_response", "", "local_reply"),
        ("201", "lua_response", "", "local_reply"),
        ("200", "via_upstream", "application/grpc", "grpc"),
    ] {
        let before = gateway.counted(&format!("missed.reason.{reason}.total"));
        let context = gateway.post("/people");
        let fields = [(":status", status), ("content-type", kind)];
        assert_eq!(gateway.answers_with(context, &fields, details, false), Action::Continue);
        assert_eq!(gateway.chunk(context, Side::Response, "{\"id\":1}", true), Action::Continue);
        gateway.ends(context);
        assert_eq!(gateway.counted(&format!("missed.reason.{reason}.total")), before + 1);
    }
    assert_eq!(gateway.calls(), 0);
}

#[test]
fn every_status_of_success_is_one() {
    let mut gateway = Gateway::new();
    for (call, status) in (1..).zip([200, 201, 202, 204, 207]) {
        let context = gateway.post("/people");
        assert_eq!(gateway.answers(context, status, true), Action::StopAll);
        gateway.sidecar(call, "202");
        assert_eq!(gateway.events().last().unwrap().exchange.status, status);
    }
}

#[test]
fn the_method_on_the_wire_counts_and_no_override() {
    let mut gateway = Gateway::new();
    let fields = [(":method", "POST"), (":path", "/people"), ("x-http-method-override", "DELETE")];
    let (context, _) = gateway.begins(ROOT, &fields);
    gateway.answers(context, 200, true);
    assert_eq!(gateway.events()[0].event_type.as_str(), "people.created");
}

#[test]
fn a_hole_is_counted_when_the_api_accepted_the_write() {
    let mut gateway = Gateway::new();
    for status in [404, 200] {
        let context = gateway.request("DELETE", "/people", "");
        assert_eq!(gateway.answers(context, status, true), Action::Continue);
        gateway.ends(context);
    }
    let elsewhere = gateway.post("/other");
    gateway.answers(elsewhere, 200, true);
    assert_eq!(gateway.counted("missed.reason.unmatched.total"), 1);
    assert_eq!(gateway.calls(), 0);
}

#[test]
fn a_client_that_is_gone_is_not_let_go() {
    let mut gateway = Gateway::new();
    let (gone, _) = gateway.exchange("/people");
    let (there, _) = gateway.exchange("/people");
    gateway.ends(gone);
    gateway.sidecar(1, "202");
    gateway.sidecar(2, "202");
    assert_eq!(gateway.resumed(), [there]);
    assert_eq!(gateway.counted("committed"), 2);

    let (gone, _) = gateway.exchange("/people");
    gateway.ends(gone);
    gateway.waits(3_000);
    assert_eq!(gateway.resumed(), [there]);
    assert_eq!(gateway.counted("at_risk"), 0);
}

#[test]
fn an_accepted_write_is_an_event_although_its_answer_broke_off() {
    for path in ["/people", "/soft"] {
        let mut gateway = Gateway::new();
        let context = gateway.post(path);
        gateway.answers(context, 201, false);
        gateway.chunk(context, Side::Response, "{\"id\":", false);
        gateway.ends(context);
        let [event] = gateway.events().try_into().unwrap();
        assert!(event.exchange.response.incomplete);
        gateway.sidecar(1, "202");
        assert_eq!(gateway.resumed(), []);
    }
    let mut gateway = Gateway::new();
    let context = gateway.post("/people");
    gateway.ends(context);
    assert_eq!((gateway.calls(), gateway.counted("missed.reason.no_answer.total")), (0, 1));
}

#[test]
fn an_answer_before_the_end_of_the_request_is_said_to_be_so() {
    let mut gateway = Gateway::new();
    let fields = [(":method", "POST"), (":path", "/people"), ("content-length", "9")];
    let (context, _) = gateway.begins(ROOT, &fields);
    gateway.chunk(context, Side::Request, "{\"a\"", false);
    gateway.answers(context, 201, true);
    let request = &gateway.events()[0].exchange.request;
    assert!(request.incomplete && !request.is_whole());
    assert_eq!(request.size, 4);
}

#[test]
fn a_body_that_is_slow_to_end_is_not_waited_for_for_ever() {
    let mut gateway = Gateway::new();
    let context = gateway.post("/people");
    assert_eq!(gateway.answers(context, 201, false), Action::Stop);
    gateway.chunk(context, Side::Response, "{", false);
    gateway.waits(1_100);
    assert_eq!(gateway.calls(), 1);
    gateway.sidecar(1, "202");
    assert_eq!(gateway.resumed(), [context]);
    assert!(gateway.events()[0].exchange.response.incomplete);
    assert!(gateway.host.logs.borrow().is_empty());

    let endless = gateway.post("/people");
    let fields = [(":status", "200"), ("content-type", "text/event-stream")];
    assert_eq!(gateway.answers_with(endless, &fields, "via_upstream", false), Action::StopAll);
}

#[test]
fn a_gateway_that_shows_no_bodies_is_noticed_and_lived_with() {
    let mut gateway = Gateway::new();
    for call in 1..=3 {
        let context = gateway.post("/people");
        assert_eq!(gateway.answers(context, 201, false), Action::Stop);
        gateway.waits(1_000);
        gateway.sidecar(call, "202");
        assert_eq!(gateway.resumed().last(), Some(&context));
        gateway.ends(context);
    }
    let logs = gateway.host.logs.borrow().clone();
    let [(Level::Error, text)] = &logs[..] else { panic!("{logs:?}") };
    assert!(text.contains("allow_on_headers_stop_iteration"));
    let context = gateway.post("/people");
    assert_eq!(gateway.answers(context, 201, false), Action::StopAll);
    gateway.sidecar(4, "202");
    assert_eq!(gateway.resumed().last(), Some(&context));
}

#[test]
fn an_answer_about_a_list_is_held_until_all_its_events_are_committed() {
    let mut config = gateway::config();
    config["routes"][0]["bulk"] = serde_json::json!(true);
    let mut gateway = Gateway::with(&config);
    let context = gateway.post("/people");
    gateway.answers(context, 201, false);
    let answer = format!("[{}{{\"id\":3}}]", "{\"id\":1},".repeat(2));
    assert_eq!(gateway.chunk(context, Side::Response, &answer, true), Action::KeepBody);
    assert_eq!(gateway.events().len(), 3);
    assert_eq!(gateway.counted("events.resource.people.action.created.total"), 3);
    gateway.sidecar(1, "204");
    assert_eq!(gateway.resumed(), [context]);
    assert_eq!(gateway.counted("committed"), 3);
}

#[test]
fn an_answer_about_a_long_list_waits_for_the_last_batch() {
    let mut config = gateway::config();
    config["routes"][0] =
        serde_json::json!({"resource": "people", "path": "/people", "bulk": true});
    let mut gateway = Gateway::with(&config);
    let context = gateway.post("/people");
    gateway.answers(context, 201, false);
    let answer = format!("[{}0]", "0,".repeat(299));
    gateway.chunk(context, Side::Response, &answer, true);
    gateway.sidecar(1, "204");
    assert_eq!((gateway.calls(), gateway.resumed().len()), (2, 0));
    gateway.sidecar(2, "204");
    assert_eq!((gateway.events().len(), gateway.resumed()), (300, vec![context]));
}

#[test]
fn a_post_stands_for_the_method_that_it_names_only_where_it_is_nothing_else() {
    let mut gateway = Gateway::new();
    let mut ask = |path: &str, field: &str, method: &str| {
        let fields = [(":method", "POST"), (":path", path), (field, method)];
        let (context, action) = gateway.begins(ROOT, &fields);
        assert_eq!(action, Action::Continue);
        let before = gateway.events().len();
        gateway.answers(context, 204, true);
        gateway.sidecar(gateway.calls(), "204");
        gateway.events().get(before).map(|event| {
            (event.event_type.to_string(), event.subject.clone(), event.exchange.method.clone())
        })
    };
    let event = |name: &str, subject: Option<&str>| {
        Some((name.to_owned(), subject.map(str::to_owned), "POST".to_owned()))
    };
    let person = Some("people/7");
    assert_eq!(
        ask("/people/7", "x-http-method-override", "DELETE"),
        event("people.deleted", person)
    );
    assert_eq!(ask("/people/7", "x-method-override", " patch"), event("people.updated", person));
    assert_eq!(ask("/people/7", "x-http-method", "PUT"), event("people.updated", person));
    assert_eq!(ask("/people/7", "x-http-method-override", "GET"), None);
    assert_eq!(ask("/people/7", "x-other", "DELETE"), None);
    assert_eq!(ask("/people", "x-http-method-override", "DELETE"), event("people.created", None));
    assert_eq!(gateway.counted("missed.reason.unmatched.total"), 2);
    assert_eq!(gateway.counted("seen"), 6);
}
