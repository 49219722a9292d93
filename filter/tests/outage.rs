//! What happens to events and answers when the sidecar fails, refuses or is slow, and when the
//! plugin itself is replaced.
//!
//! Invariant: each capture mode keeps its promise, and whatever is not kept is counted.

mod gateway;

use gateway::{Gateway, ROOT, config};
use serde_json::json;
use sidehook_filter::host::{Action, ContextId, Level, Side};

#[test]
fn best_effort_never_holds() {
    let mut gateway = Gateway::new();
    gateway.host.refuses.borrow_mut().insert("call");
    let context = gateway.post("/soft");
    assert_eq!(gateway.answers(context, 201, false), Action::Continue);
    assert_eq!(gateway.chunk(context, Side::Response, "{\"id\"", false), Action::Continue);
    assert_eq!(gateway.chunk(context, Side::Response, ":5}", true), Action::Continue);
    gateway.ends(context);
    gateway.waits(5_000);
    assert_eq!(gateway.resumed(), []);
    gateway.host.refuses.borrow_mut().clear();
    gateway.waits(1_100);
    assert_eq!(gateway.events()[0].subject.as_deref(), Some("soft/5"));
    assert_eq!(gateway.counted("at_risk"), 0);
}

#[test]
fn what_is_only_observed_is_counted_and_never_sent_or_held() {
    let mut gateway = Gateway::new();
    for _ in 0..3 {
        let context = gateway.post("/seen?secret=1");
        assert_eq!(gateway.answers(context, 201, false), Action::Continue);
        assert_eq!(gateway.chunk(context, Side::Response, "{\"id\":5}", true), Action::Continue);
        gateway.ends(context);
    }
    gateway.waits(5_000);
    assert_eq!((gateway.calls(), gateway.resumed().len(), gateway.replies().len()), (0, 0, 0));
    assert_eq!(gateway.counted("observed.resource.seen.action.created.total"), 3);
    assert_eq!(gateway.counted("dropped"), 0);
    let logs = gateway.host.logs.borrow();
    let told = logs.iter().filter(|(_, text)| text.starts_with("would capture "));
    let told: Vec<_> = told.map(|(_, text)| text.as_str()).collect();
    assert_eq!(told.len(), 1, "now and then is enough: {told:?}");
    let expected = "would capture seen.created about seen/5: POST /seen answered 201, bodies of ";
    assert!(told[0].starts_with(expected), "{told:?}");
}

#[test]
fn a_durable_answer_goes_out_in_time_and_its_event_is_sent_again_under_the_same_id() {
    let mut gateway = Gateway::new();
    let (context, _) = gateway.exchange("/people");
    gateway.sidecar(1, "503");
    gateway.waits(1_900);
    assert_eq!(gateway.resumed(), []);
    gateway.waits(200);
    assert_eq!(gateway.resumed(), [context]);
    assert_eq!(gateway.counted("at_risk"), 1);
    let calls = gateway.calls();
    gateway.sidecar(calls, "202");
    assert_eq!(gateway.resumed(), [context]);
    assert_eq!(gateway.counted("committed"), 1);
    let ids: Vec<_> = gateway.events().into_iter().map(|event| event.id).collect();
    assert!(ids.len() > 1 && ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn a_strict_answer_becomes_a_503_and_new_writes_are_refused_until_the_sidecar_is_back() {
    let mut gateway = Gateway::new();
    let (context, action) = gateway.exchange("/hard");
    assert_eq!(action, Action::KeepBody);
    gateway.sidecar(2, "503");

    let fields = [(":method", "POST"), (":path", "/hard")];
    let (refused, action) = gateway.begins(ROOT, &fields);
    assert_eq!((action, gateway.replies()), (Action::Stop, vec![(refused, 503)]));
    assert_eq!(gateway.answers_with(refused, &[(":status", "503")], "", false), Action::Continue);
    gateway.waits(2_100);
    assert_eq!(gateway.replies(), [(refused, 503), (context, 503)]);
    assert_eq!(gateway.resumed(), []);
    assert_eq!(gateway.counted("rejected.reason.not_forwarded.total"), 1);
    assert_eq!(gateway.counted("rejected.reason.not_recorded.total"), 1);

    let calls = gateway.calls();
    gateway.sidecar(calls, "202");
    let (_, action) = gateway.begins(ROOT, &fields);
    assert_eq!(action, Action::Continue);
    assert_eq!(gateway.replies().len(), 2);
}

#[test]
fn a_full_buffer_drops_what_is_new_as_each_mode_promises() {
    let mut config = config();
    config["buffer"] = json!({"max_events": 1});
    let mut gateway = Gateway::with(&config);
    let strict = gateway.post("/hard");
    gateway.exchange("/soft");
    let (_, action) = gateway.exchange("/soft");
    assert_eq!((action, gateway.counted("dropped")), (Action::Continue, 1));
    assert_eq!(gateway.counted("at_risk"), 0);

    let (_, action) = gateway.exchange("/people");
    assert_eq!((action, gateway.counted("dropped")), (Action::Continue, 2));
    assert_eq!(gateway.counted("at_risk"), 1);

    assert_eq!(gateway.answers(strict, 200, true), Action::StopAll);
    assert_eq!(gateway.replies(), [(strict, 503)]);
    assert_eq!(gateway.counted("dropped"), 3);
    assert_eq!(gateway.events().len(), 1);
}

#[test]
fn a_full_buffer_holds_no_answer_whose_body_is_slow_to_end() {
    let mut config = config();
    config["buffer"] = json!({"max_events": 1});
    let mut gateway = Gateway::with(&config);
    let (durable, strict) = (gateway.post("/people"), gateway.post("/hard"));
    gateway.exchange("/soft");
    for context in [durable, strict] {
        assert_eq!(gateway.answers(context, 201, false), Action::Stop);
    }
    gateway.waits(5_000);
    assert_eq!(gateway.resumed(), [durable]);
    assert_eq!(gateway.replies(), [(strict, 503)]);
}

#[test]
fn bodies_that_pass_by_count_against_the_buffer() {
    let mut config = config();
    config["buffer"] = json!({"max_bytes": "64KiB"});
    config["routes"][0]["body"] = json!({"max_bytes": "48KiB"});
    let mut gateway = Gateway::with(&config);
    let body = "x".repeat(40 << 10);
    let first = gateway.request("POST", "/people", &body);
    let second = gateway.request("POST", "/people", &body);
    gateway.ends(first);
    let third = gateway.request("POST", "/people", &body);
    gateway.answers(second, 201, true);
    gateway.answers(third, 201, true);
    gateway.sidecar(1, "202");
    let truncated: Vec<_> = gateway.events().iter().map(|e| e.exchange.request.truncated).collect();
    assert_eq!(truncated, [true, false]);
}

#[test]
fn a_call_without_an_answer_is_given_up_and_its_events_sent_again() {
    let mut gateway = Gateway::new();
    gateway.exchange("/soft");
    gateway.waits(1_900);
    assert_eq!(gateway.calls(), 1);
    gateway.waits(400);
    assert_eq!((gateway.calls(), gateway.counted("failures")), (2, 1));
    gateway.sidecar(1, "202");
    assert_eq!(gateway.counted("committed"), 0);
    gateway.sidecar(2, "202");
    assert_eq!(gateway.counted("committed"), 1);
}

#[test]
fn a_refused_event_is_counted_and_the_others_of_its_batch_come_through() {
    let mut gateway = Gateway::new();
    gateway.exchange("/people");
    let held: Vec<_> = (0..2).map(|_| gateway.exchange("/people").0).collect();
    gateway.sidecar(1, "202");
    gateway.sidecar(2, "400");
    gateway.sidecar(3, "400");
    gateway.sidecar(4, "202");
    assert_eq!((gateway.counted("refused"), gateway.counted("committed")), (1, 2));
    assert_eq!((gateway.counted("at_risk"), gateway.counted("retries")), (1, 2));
    assert_eq!(gateway.resumed()[1..], held);
}

#[test]
fn a_token_that_is_not_accepted_is_an_outage_that_is_said_once() {
    let mut gateway = Gateway::new();
    gateway.exchange("/soft");
    for call in 1..=4 {
        gateway.sidecar(call, "401");
        gateway.waits(1_100);
    }
    let logs = gateway.host.logs.borrow().clone();
    let [(Level::Error, text)] = &logs[..] else { panic!("{logs:?}") };
    assert!(text.contains("sidecar.token"));
    gateway.sidecar(5, "202");
    assert_eq!(gateway.counted("committed"), 1);
}

#[test]
fn two_plugins_in_one_machine_do_not_meet() {
    let mut gateway = Gateway::new();
    let second = ContextId(2);
    let mut config = config();
    config["gateway"] = json!("other");
    config["routes"] = json!([{"resource": "things", "path": "/things"}]);
    assert!(gateway.configure(second, &config));
    let things = [(":method", "POST"), (":path", "/things")];
    let (foreign, _) = gateway.begins(ROOT, &things);
    assert_eq!(gateway.answers(foreign, 201, true), Action::Continue);
    gateway.exchange("/people");
    let (own, _) = gateway.begins(second, &things);
    assert_eq!(gateway.answers(own, 201, true), Action::StopAll);
    let sources: Vec<_> = gateway.events().into_iter().map(|event| event.source).collect();
    assert_eq!(sources, ["edge", "other"]);
    assert_eq!(gateway.host.sent.borrow()[1].context, Some(second));

    gateway.sidecar(2, "202");
    assert_eq!(gateway.resumed(), [], "an answer to a call of another plugin");
}

#[test]
fn a_replaced_plugin_sends_all_it_has_at_once_and_says_when_it_is_done() {
    let mut gateway = Gateway::new();
    for _ in 0..3 {
        gateway.exchange("/soft");
    }
    assert_eq!(gateway.calls(), 1);
    assert!(!gateway.filter.end(&gateway.host, ROOT));
    assert_eq!(gateway.calls(), 2);
    gateway.sidecar(1, "202");
    assert_eq!(gateway.host.finished.get(), 0);
    gateway.sidecar(2, "202");
    assert_eq!(gateway.host.finished.get(), 1);
    assert_eq!(gateway.counted("buffered_events"), 0);

    let mut idle = Gateway::new();
    assert!(idle.filter.end(&idle.host, ROOT));
}

#[test]
fn a_replaced_plugin_does_not_wait_for_ever() {
    let mut gateway = Gateway::new();
    gateway.exchange("/soft");
    assert!(!gateway.filter.end(&gateway.host, ROOT));
    gateway.waits(9_900);
    assert_eq!(gateway.host.finished.get(), 0);
    gateway.waits(300);
    assert_eq!((gateway.host.finished.get(), gateway.counted("dropped")), (1, 1));
}

#[test]
fn a_plugin_that_ends_in_a_pause_tries_once_more_and_tells_what_is_at_risk() {
    let mut gateway = Gateway::new();
    gateway.exchange("/soft");
    gateway.sidecar(1, "503");
    gateway.exchange("/soft");
    assert_eq!(gateway.calls(), 1);
    assert!(!gateway.filter.end(&gateway.host, ROOT));
    assert_eq!((gateway.calls(), gateway.told("at_risk")), (2, 2));
    assert_eq!(gateway.told("buffered_events"), 0, "nobody may be there to set it later");
    let told = |text: &str| text == "the plugin ends with 2 events that are not stored yet";
    let logs = gateway.host.logs.borrow().clone();
    assert!(logs.iter().any(|(level, text)| *level == Level::Warn && told(text)), "{logs:?}");

    // Where the gateway does wait, it goes on.
    gateway.sidecar(2, "503");
    gateway.waits(200);
    assert_eq!((gateway.calls(), gateway.counted("buffered_events")), (3, 2));
    gateway.sidecar(3, "202");
    assert_eq!((gateway.host.finished.get(), gateway.counted("dropped")), (1, 0));
}
