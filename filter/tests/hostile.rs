//! A gateway that refuses, lies and calls in any order.
//!
//! Invariant: there is no sequence of callbacks and refusals under which the filter panics, lets
//! an answer go twice, or answers a client twice.

mod gateway;

use gateway::{Gateway, ROOT, config, questions::QUESTIONS};
use proptest::prelude::*;
use sidehook_filter::{
    contexts::Contexts,
    host::{Action, ContextId, Level, Side, Token},
    pairs::Fields,
};

#[test]
fn callbacks_for_contexts_nobody_knows_let_everything_pass() {
    let mut gateway = Gateway::new();
    let unknown = ContextId(77);
    assert_eq!(gateway.answers(unknown, 201, false), Action::Continue);
    for side in [Side::Request, Side::Response] {
        assert_eq!(gateway.chunk(unknown, side, "{}", true), Action::Continue);
        assert_eq!(gateway.trailers(unknown, side), Action::Continue);
    }
    gateway.filter.answered(&gateway.host, unknown, Token(1));
    gateway.filter.tick(&gateway.host, unknown);
    assert!(gateway.filter.end(&gateway.host, unknown));
    assert!(!gateway.filter.configure(&gateway.host, unknown, 10));
    assert!(!Contexts::new().configure(&gateway.host, ROOT, 10));
}

#[test]
fn callbacks_after_the_end_let_everything_pass() {
    let mut gateway = Gateway::new();
    let (context, _) = gateway.exchange("/people");
    gateway.ends(context);
    assert_eq!(gateway.chunk(context, Side::Response, "x", true), Action::Continue);
    assert!(!gateway.filter.end(&gateway.host, ROOT));
    gateway.sidecar(1, "202");
    let (orphan, action) = gateway.begins(ROOT, &[(":method", "POST"), (":path", "/people")]);
    assert_eq!(action, Action::Continue);
    assert_eq!(gateway.answers(orphan, 201, true), Action::Continue);
    gateway.sidecar(1, "202");
    assert_eq!(gateway.resumed(), []);
    assert!(gateway.filter.end(&gateway.host, ROOT));
}

#[test]
fn a_configuration_that_is_refused_or_wrong_stops_the_start_and_says_where() {
    let mut wrong = config();
    wrong["routes"][1]["path"] = "thin".into();
    let mut gateway = Gateway::new();
    assert!(!gateway.configure(ContextId(2), &wrong));
    let logs = gateway.host.logs.borrow().clone();
    let [(Level::Error, text)] = &logs[..] else { panic!("{logs:?}") };
    let said = "invalid configuration: routes[1].path: must start with '/'";
    assert!(text.starts_with(said), "{text}");
    let (_, action) = gateway.begins(ContextId(2), &[(":method", "POST"), (":path", "/people")]);
    assert_eq!(action, Action::Continue);

    gateway.host.refuses.borrow_mut().insert("configuration");
    assert!(!gateway.configure(ContextId(3), &config()));
}

#[test]
fn a_gateway_that_refuses_everything_is_only_ever_let_on() {
    let mut gateway = Gateway::new();
    gateway.host.refuses.borrow_mut().extend(QUESTIONS);
    let (context, action) = gateway.exchange("/people");
    assert_eq!(action, Action::Continue);
    gateway.waits(5_000);
    gateway.ends(context);
    assert_eq!(gateway.calls(), 0);
}

#[test]
fn an_answer_is_let_go_in_time_although_no_call_can_be_made() {
    let mut gateway = Gateway::new();
    gateway.host.refuses.borrow_mut().insert("call");
    let (context, action) = gateway.exchange("/people");
    assert_eq!(action, Action::KeepBody);
    gateway.waits(2_100);
    assert_eq!(gateway.resumed(), [context]);
}

#[test]
fn a_request_under_a_number_in_use_is_the_end_of_the_one_before() {
    let mut gateway = Gateway::new();
    let context = gateway.post("/hard");
    gateway.host.refuses.borrow_mut().insert("call");
    assert_eq!(gateway.answers(context, 204, true), Action::StopAll);
    let Gateway { host, filter, .. } = &mut gateway;
    host.context.set(Some(context));
    host.phase.set(Some(Side::Request));
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    *host.fields.borrow_mut() = Fields::of(&[field(":method", "POST"), field(":path", "/hard")]);
    assert_eq!(filter.request_headers(host, context, true), Action::Stop);
    gateway.waits(5_000);
    assert_eq!(gateway.replies(), [(context, 503)]);
    assert_eq!(gateway.resumed(), []);
}

#[test]
fn a_number_in_use_stays_with_its_plugin() {
    let mut gateway = Gateway::new();
    assert!(gateway.configure(ContextId(2), &config()));
    let (context, action) = gateway.exchange("/hard");
    assert_eq!(action, Action::KeepBody);
    gateway.filter.create(context, Some(ContextId(2)));
    gateway.ends(context);
    gateway.waits(5_000);
    assert_eq!((gateway.resumed(), gateway.replies()), (vec![], vec![]), "the dead are left alone");
}

#[test]
fn a_strict_answer_that_cannot_be_replaced_is_let_go() {
    let mut gateway = Gateway::new();
    let (context, _) = gateway.exchange("/hard");
    gateway.host.refuses.borrow_mut().insert("reply");
    gateway.waits(5_000);
    assert_eq!(gateway.resumed(), [context]);
}

#[test]
fn a_request_that_waits_for_the_sidecar_waits_with_its_trailers() {
    let mut gateway = Gateway::new();
    let post = [(":method", "POST"), (":path", "/hard"), ("content-length", "2")];
    let (context, action) = gateway.begins(ROOT, &post);
    assert_eq!(action, Action::StopAll);
    assert_eq!(gateway.trailers(context, Side::Request), Action::Stop);
    gateway.sidecar(1, "204");
    assert_eq!(gateway.host.forwarded.borrow()[..], [context]);
}

#[derive(Debug, Clone)]
enum Callback {
    Create(u32),
    Request { context: u32, path: usize, method: usize, ended: bool },
    Body { context: u32, request: bool, bytes: Vec<u8>, shown: usize, ended: bool },
    Trailers { context: u32, request: bool },
    Response { context: u32, status: Vec<u8>, local: bool, ended: bool },
    Answered { token: u32, status: Option<Vec<u8>> },
    Wait(u64),
    Delete(u32),
    Refuse(usize),
    Relent,
    Configure(bool),
    End,
}

fn callbacks() -> impl Strategy<Value = Vec<Callback>> {
    let context = 100..106_u32;
    let ctx = || context.clone();
    let status = prop_oneof![
        6 => Just(b"201".to_vec()),
        1 => Just(b"500".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let one = prop_oneof![
        3 => ctx().prop_map(Callback::Create),
        4 => (ctx(), 0..6_usize, 0..5_usize, any::<bool>())
            .prop_map(|(context, path, method, ended)| Callback::Request { context, path, method, ended }),
        4 => (ctx(), any::<bool>(), bytes, 0..200_usize, any::<bool>()).prop_map(
            |(context, request, bytes, shown, ended)| Callback::Body { context, request, bytes, shown, ended }),
        1 => (ctx(), any::<bool>()).prop_map(|(context, request)| Callback::Trailers { context, request }),
        4 => (ctx(), status.clone(), prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(context, status, local, ended)| Callback::Response { context, status, local, ended }),
        3 => (1..30_u32, prop::option::weighted(0.9, status))
            .prop_map(|(token, status)| Callback::Answered { token, status }),
        2 => (100..3_000_u64).prop_map(Callback::Wait),
        2 => ctx().prop_map(Callback::Delete),
        1 => (0..QUESTIONS.len()).prop_map(Callback::Refuse),
        2 => Just(Callback::Relent),
        1 => any::<bool>().prop_map(Callback::Configure),
        1 => Just(Callback::End),
    ];
    prop::collection::vec(one, 0..120)
}

/// The part of a run in which a context number stands for one exchange.
#[derive(Default)]
struct Lives(std::collections::BTreeMap<u32, usize>);

impl Lives {
    fn of(&self, context: u32) -> (u32, usize) {
        (context, self.0.get(&context).copied().unwrap_or(0))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_callbacks_lets_anyone_go_twice(callbacks in callbacks()) {
        let mut gateway = Gateway::new();
        let mut lives = Lives::default();
        let mut settled = std::collections::BTreeSet::new();
        let side = |request| if request { Side::Request } else { Side::Response };
        for callback in callbacks {
            let Gateway { host, filter, .. } = &mut gateway;
            let enter = |context| host.context.set(Some(ContextId(context)));
            match callback {
                Callback::Create(context) => filter.create(ContextId(context), Some(ROOT)),
                Callback::Request { context, path, method, ended } => {
                    enter(context);
                    *lives.0.entry(context).or_default() += 1;
                    host.phase.set(Some(Side::Request));
                    let path = ["/people", "/hard/1", "/soft", "/thin/\u{fffd}", "/people/x/y", ""][path];
                    let method = ["POST", "PUT", "DELETE", "PATCH", "GET"][method];
                    let field = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
                    *host.fields.borrow_mut() = Fields::of(&[
                        field(":method", method.as_bytes()),
                        field(":path", &[path.as_bytes(), b"?\xff"].concat()),
                        field("traceparent", b"\xff\xfe"),
                        (vec![0xff], vec![0xff]),
                    ]);
                    filter.request_headers(host, ContextId(context), ended);
                }
                Callback::Body { context, request, bytes, shown, ended } => {
                    enter(context);
                    *host.chunk.borrow_mut() = bytes;
                    filter.body(host, ContextId(context), side(request), shown, ended);
                }
                Callback::Trailers { context, request } => {
                    enter(context);
                    filter.trailers(host, ContextId(context), side(request));
                }
                Callback::Response { context, status, local, ended } => {
                    enter(context);
                    host.phase.set(Some(Side::Response));
                    *host.fields.borrow_mut() = Fields::of(&[(":status", status)]);
                    *host.details.borrow_mut() = if local { vec![] } else { b"via_upstream".to_vec() };
                    filter.response_headers(host, ContextId(context), ended);
                }
                Callback::Answered { token, status } => {
                    enter(ROOT.0);
                    *host.status.borrow_mut() = status;
                    filter.answered(host, ROOT, Token(token));
                }
                Callback::Wait(millis) => gateway.waits(millis),
                Callback::Delete(context) => {
                    enter(context);
                    prop_assert!(filter.end(host, ContextId(context)));
                }
                Callback::Refuse(which) => drop(host.refuses.borrow_mut().insert(QUESTIONS[which])),
                Callback::Relent => host.refuses.borrow_mut().clear(),
                Callback::Configure(right) => {
                    enter(ROOT.0);
                    *host.config.borrow_mut() = if right { config().to_string().into_bytes() } else { b"{".to_vec() };
                    let length = host.config.borrow().len();
                    prop_assert!(!filter.configure(host, ROOT, length) || right);
                }
                Callback::End => {
                    enter(ROOT.0);
                    filter.end(host, ROOT);
                }
            }
            let host = &gateway.host;
            let resumed = host.resumed.take().into_iter().map(|context| context.0);
            let replied = host.replies.take().into_iter().map(|(context, _)| context.0);
            for context in resumed.chain(replied) {
                prop_assert!(context != ROOT.0, "the root is no exchange");
                prop_assert!(settled.insert(lives.of(context)), "{context} was settled twice");
            }
        }
    }
}
