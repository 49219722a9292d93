//! What a script comes to, told by what it is sent as.
//!
//! Invariant: every script is run on one and the same event.

use proptest::prelude::*;

use super::*;

const EVENT: &str = r#"{"event": {"id": "evt_1", "type": "people.created", "subject": "people/42",
    "time": "2026-03-01T12:00:00Z", "data": {"id": 42, "name": "Ada", "tags": ["a", "b"]},
    "request": {"method": "POST"}, "response": {"status": 201}},
    "subscription": {"id": "sub_1", "metadata": {"team": "blue"}}, "same": ["response"]}"#;

fn run(source: &str) -> Report {
    let mut machine = Machine::new(Mode { watched: true, unlimited: false });
    match machine.compile(source) {
        Outcome::Ready => machine.run(EVENT.as_bytes()),
        other => other.into(),
    }
}

fn body(source: &str) -> String {
    let report = run(source);
    assert!(matches!(report.outcome, Outcome::Send { .. }), "{:?}", report.outcome);
    String::from_utf8(report.body).unwrap()
}

fn fault(source: &str) -> Fault {
    match run(source).outcome {
        Outcome::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn told(fault: &Fault) -> (&str, u32, u32) {
    (&fault.message, fault.line, fault.column)
}

#[test]
fn the_value_of_the_last_expression_is_sent_as_json() {
    assert_eq!(
        body("#{ text: `Hello ${event.data.name}`, n: 1.5 }"),
        r#"{"n":1.5,"text":"Hello Ada"}"#
    );
    assert_eq!(body("event.data.tags"), r#"["a","b"]"#);
    assert_eq!(body("\"Ada\""), "\"Ada\"");
    assert_eq!(
        body("event.data.name = \"Grace\"; event.data"),
        r#"{"id":42,"name":"Grace","tags":["a","b"]}"#
    );
}

#[test]
fn a_function_transform_is_called_with_the_event_and_the_subscription() {
    assert_eq!(body("fn transform(event) { #{ id: event.data.id } }"), r#"{"id":42}"#);
    assert_eq!(body("fn transform(e, s) { s.metadata.team }"), "\"blue\"");
    assert_eq!(
        body("const TEAM = \"red\"; fn helper(x) { x + 1 } fn transform(e) { helper(1) }"),
        "2"
    );
    let fault = fault("fn transform() { 1 }");
    assert!(fault.message.starts_with("transform must have one parameter"), "{}", fault.message);
}

#[test]
fn a_body_that_is_the_data_too_is_seen_in_both_places() {
    assert_eq!(body("event.response.body == event.data"), "true");
    assert_eq!(body("event.request.body == ()"), "true");
}

#[test]
fn drop_ends_the_script_wherever_it_is_called() {
    let dropped = Outcome::Dropped { reason: "not ours".to_owned() };
    assert_eq!(
        run("if event.data.id == 42 { drop(\"not ours\"); } throw \"late\"").outcome,
        dropped
    );
    assert_eq!(run("fn check(e) { drop(\"not ours\") } check(event); 1").outcome, dropped);
    assert_eq!(run("fn a(e) { drop(\"not ours\") } fn transform(e) { a(e); 1 }").outcome, dropped);
    assert_eq!(run("try { drop(\"not ours\") } catch { 1 }").outcome, dropped);
    assert_eq!(run("[1].for_each(|| drop(\"not ours\")); 1").outcome, dropped);
}

#[test]
fn send_says_what_the_body_is() {
    let report = run(r#"send("a,b", #{ content_type: "text/csv", headers: #{ "x-a": 1 } })"#);
    let headers = vec![("x-a".to_owned(), "1".to_owned())];
    assert_eq!(report.outcome, Outcome::Send { content_type: "text/csv".to_owned(), headers });
    assert_eq!(report.body, b"a,b");
    let report = run(r#"send(#{ a: 1 }, #{ content_type: "application/cloudevents+json" })"#);
    assert_eq!(report.body, br#"{"a":1}"#);
    let report = run("send(blob(2, 255))");
    assert_eq!(report.body, [255, 255]);
    assert_eq!(
        told(&fault("send(1, #{ header: 1 })")).0,
        "send: there is no option header: headers or content_type"
    );
    assert_eq!(
        told(&fault("send(1, #{ headers: #{ a: [] } })")).0,
        "send: headers.a must be a text"
    );
}

#[test]
fn what_has_no_value_or_none_in_json_is_refused() {
    assert!(fault("let x = 1;").message.starts_with("came to no value"));
    assert!(fault("|x| x").message.contains("JSON has nothing for a function"));
    assert!(fault("0.0 / 0.0").message.contains("JSON has nothing for the number NaN"));
    assert!(fault("let a = \"\"; a.pad(1000000, '\"'); a").message.contains("more than the 1 MiB"));
}

#[test]
fn an_error_is_told_with_its_place_and_what_may_help() {
    let error = fault("let a = 1;\nlet b = a === 2;\n");
    assert_eq!((error.line, error.hint.as_deref()), (2, Some("Rhai compares with == and !=")));
    let error = fault("let a = 1;\na.nothing(2)");
    assert_eq!(told(&error), ("Function not found: nothing (i64, i64)", 2, 3));
    let error = fault("fn a(x) {\n  throw \"no \" + x\n}\na(1)");
    assert_eq!(told(&error), ("no 1", 2, 3));
    let error = fault("nothing + 1");
    assert_eq!((error.line, error.column), (1, 1));
    assert!(error.message.contains("nothing"), "{}", error.message);
    let error = fault("event.data.missing + 1");
    assert!(error.hint.is_some_and(|hint| hint.contains("get(event")), "{}", error.message);
}

#[test]
fn nothing_but_computing_is_possible() {
    for source in ["eval(\"1\")", "import \"a\" as a; 1", "timestamp()", "sleep(1)", "rand()"] {
        assert!(matches!(run(source).outcome, Outcome::Failed(_)), "{source}");
    }
}

#[test]
fn rhais_own_limits_end_a_script_with_its_place() {
    let fault = fault("let i = 0;\nloop { i += 1; }");
    assert!(fault.message.starts_with("ran for too many steps"), "{}", fault.message);
    assert_eq!(fault.line, 2);
}

#[test]
fn what_is_printed_is_kept_where_somebody_watches() {
    let report = run("print(\"a\"); debug(1); 7");
    assert_eq!(report.log.first().map(String::as_str), Some("a"));
    assert!(report.operations.is_some_and(|operations| operations > 1), "{report:?}");
    let mut machine = Machine::default();
    machine.compile("print(\"a\"); 7");
    let report = machine.run(EVENT.as_bytes());
    assert_eq!((report.log.len(), report.operations), (0, None));
    let report = run("for i in 0..1000 { print(\"x\".repeat(1000)) } 1");
    assert!(report.log.len() <= 100 && report.log.iter().map(String::len).sum::<usize>() < 20_000);
}

#[test]
fn a_run_leaves_nothing_to_the_next() {
    let mut machine = Machine::default();
    machine.compile("event.data.name += \"!\"; event.data.name");
    for _ in 0..3 {
        assert_eq!(machine.run(EVENT.as_bytes()).body, b"\"Ada!\"");
    }
}

#[test]
fn it_is_said_whether_the_subscription_is_read() {
    assert!(!run("event.data").reads_subscription);
    assert!(run("subscription.id").reads_subscription);
    assert!(run("fn transform(a, b) { 1 }").reads_subscription);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(source in "[-+*/ (){}\\[\\];#:.,=<>|&!'\"`$a-c0-9\n]{0,60}") {
        run(&source);
    }

    #[test]
    fn numbers_and_texts_come_out_as_they_went_in(number in any::<i64>(), text in ".*") {
        let event = serde_json::json!({"event": {"data": {"n": number, "t": text}}});
        let mut machine = Machine::default();
        machine.compile("event.data");
        let report = machine.run(event.to_string().as_bytes());
        let sent: serde_json::Value = serde_json::from_slice(&report.body).unwrap();
        prop_assert_eq!(&sent, &event["event"]["data"]);
    }
}

#[test]
fn a_path_is_followed_whatever_it_begins_at() {
    assert_eq!(body("get(event, \"data.name\")"), "\"Ada\"");
    assert_eq!(body("event.get(\"data.tags.1\")"), "\"b\"");
    assert_eq!(body("get(event.data.tags, \"0\")"), "\"a\"");
    assert_eq!(body("get(event, \"data.none.at.all\", \"nothing\")"), "\"nothing\"");
    assert_eq!(body("type_of(get(event, \"data.none\"))"), "\"()\"");
}

#[test]
fn nobody_is_kept_waiting() {
    for source in ["sleep(1)", "sleep(0.5)", "Fn(\"sleep\").call(1)", "1.sleep()"] {
        assert!(fault(source).message.contains("cannot sleep"), "{source}");
    }
}
