//! Writes on strict routes: whether they go on to the API is known before they do.
//!
//! Invariant: each request ends up forwarded or refused, once, and never both.

mod gateway;

use gateway::{Gateway, ROOT, config};
use serde_json::json;
use sidehook_filter::host::{Action, ContextId, Side};

const WRITE: [(&str, &str); 2] = [(":method", "POST"), (":path", "/hard")];

fn write(gateway: &mut Gateway) -> (ContextId, Action) {
    gateway.begins(ROOT, &WRITE)
}

fn forwarded(gateway: &Gateway) -> Vec<ContextId> {
    gateway.host.forwarded.borrow().clone()
}

#[test]
fn a_write_waits_until_the_sidecar_says_that_it_stores_events() {
    let mut gateway = Gateway::new();
    let (context, action) = write(&mut gateway);
    assert_eq!((action, gateway.calls()), (Action::StopAll, 1));
    let question = gateway.host.sent.borrow()[0].clone();
    assert_eq!(question.context, Some(ROOT));
    assert!(question.body.is_empty());
    for field in [(":method", "GET"), (":path", "/ingest"), ("authorization", "Bearer t")] {
        let field = (field.0.to_owned(), field.1.to_owned());
        assert!(question.headers.contains(&field), "{field:?}");
    }
    gateway.sidecar(1, "204");
    assert_eq!(forwarded(&gateway), [context]);
    assert_eq!(gateway.answers(context, 204, true), Action::StopAll);
    gateway.sidecar(2, "204");
    assert_eq!(gateway.resumed(), [context]);
}

#[test]
fn what_the_sidecar_said_a_moment_ago_is_good_enough() {
    let mut gateway = Gateway::new();
    let context = gateway.post("/hard");
    assert_eq!(gateway.calls(), 1);
    gateway.waits(500);
    assert_eq!(write(&mut gateway).1, Action::Continue);
    gateway.waits(100);
    assert_eq!(write(&mut gateway).1, Action::StopAll);
    assert_eq!(gateway.calls(), 2);

    // A stored event says the same.
    assert_eq!(gateway.answers(context, 204, true), Action::StopAll);
    gateway.sidecar(3, "204");
    assert_eq!(write(&mut gateway).1, Action::Continue);
}

#[test]
fn other_modes_ask_nothing() {
    let mut gateway = Gateway::new();
    for path in ["/people", "/soft", "/seen", "/thin"] {
        gateway.post(path);
    }
    assert_eq!(gateway.calls(), 0);
}

#[test]
fn a_bad_word_refuses_who_waited_and_who_comes_next() {
    let mut gateway = Gateway::new();
    let (first, _) = write(&mut gateway);
    let (second, action) = write(&mut gateway);
    assert_eq!((action, gateway.calls()), (Action::StopAll, 1));
    gateway.sidecar(1, "503");
    assert_eq!(gateway.replies(), [(first, 503), (second, 503)]);
    let (third, action) = write(&mut gateway);
    assert_eq!(action, Action::Stop);
    assert_eq!(gateway.replies()[2], (third, 503));
    assert_eq!(forwarded(&gateway), []);
    assert_eq!(gateway.counted("rejected.reason.not_forwarded.total"), 3);

    // Nobody waits for the next answer, and the first good one opens the way.
    gateway.waits(200);
    assert_eq!(write(&mut gateway).1, Action::Stop);
    assert_eq!(gateway.calls(), 2);
    gateway.sidecar(2, "204");
    assert_eq!(write(&mut gateway).1, Action::Continue);
}

#[test]
fn a_question_that_is_not_answered_is_a_bad_word() {
    let mut gateway = Gateway::new();
    let (context, _) = write(&mut gateway);
    gateway.waits(2_000);
    assert_eq!(gateway.replies(), []);
    gateway.waits(200);
    assert_eq!(gateway.replies(), [(context, 503)]);
    // An answer that comes later is none of anybody's.
    gateway.sidecar(1, "204");
    assert_eq!((forwarded(&gateway).len(), gateway.replies().len()), (0, 1));
}

#[test]
fn a_question_that_cannot_be_sent_is_a_bad_word() {
    let mut gateway = Gateway::new();
    gateway.host.refuses.borrow_mut().insert("call");
    let (context, action) = write(&mut gateway);
    assert_eq!((action, gateway.replies()), (Action::Stop, vec![(context, 503)]));
}

#[test]
fn a_client_that_is_gone_is_neither_forwarded_nor_refused() {
    let mut gateway = Gateway::new();
    let (gone, _) = write(&mut gateway);
    let (here, _) = write(&mut gateway);
    gateway.ends(gone);
    gateway.sidecar(1, "204");
    assert_eq!(forwarded(&gateway), [here]);
    assert_eq!(gateway.counted("missed.reason.no_answer.total"), 1);
}

#[test]
fn those_who_waited_are_let_go_a_few_hundred_at_a_time() {
    let mut gateway = Gateway::new();
    let waiting: Vec<_> = (0..600).map(|_| write(&mut gateway).0).collect();
    gateway.sidecar(1, "204");
    assert_eq!(forwarded(&gateway), waiting[..256]);
    gateway.waits(100);
    assert_eq!(forwarded(&gateway), waiting[..512]);
    gateway.waits(100);
    assert_eq!(forwarded(&gateway), waiting);
}

#[test]
fn a_full_buffer_refuses_what_would_not_fit() {
    let mut config = config();
    config["buffer"] = json!({"max_events": 1});
    let mut gateway = Gateway::with(&config);
    gateway.post("/hard");
    gateway.exchange("/soft");
    let (context, action) = write(&mut gateway);
    assert_eq!((action, gateway.replies()), (Action::Stop, vec![(context, 503)]));
}

#[test]
fn a_body_that_comes_while_the_request_waits_is_kept() {
    let mut gateway = Gateway::new();
    let fields = [WRITE[0], WRITE[1], ("content-length", "2")];
    let (context, action) = gateway.begins(ROOT, &fields);
    assert_eq!(action, Action::StopAll);
    assert_eq!(gateway.chunk(context, Side::Request, "{}", true), Action::KeepBody);
    gateway.sidecar(1, "204");
    assert_eq!(gateway.chunk(context, Side::Request, "{}", true), Action::Continue);
    assert_eq!(gateway.answers(context, 204, true), Action::StopAll);
    assert_eq!(gateway.events()[0].exchange.request.content, "{}");
}
