//! The module itself, as it is loaded by a gateway: what it imports and exports, that a write
//! comes out of it as an event, and what an exchange costs.
//!
//! Fuel counts instructions and is the same in every run of one build; it grows by a few per
//! cent with another compiler. A host call costs more than hundreds of instructions, so they are
//! counted on their own.
//!
//! Invariant: a read costs one question, and a write's cost stays within its budget.

mod machine;

use std::collections::BTreeSet;

use machine::{MODULE, Machine};
use wasmtime::ExternType;

const CONFIG: &str = r#"{"gateway":"edge","sidecar":{"cluster":"sidehook"},
    "routes":[{"resource":"people","path":"/people","redact":["/password"]}]}"#;

#[test]
fn a_write_comes_out_as_an_event_and_its_answer_is_let_go_after_the_commit() {
    let (mut machine, accepted) = Machine::configured(CONFIG);
    assert_eq!(accepted, 1, "{:?}", machine.store.data().logs);
    assert_eq!(machine.exchange(7, "POST", "/people?x"), 2);
    let [event] = machine.events().try_into().unwrap();
    assert_eq!(event.event_type.as_str(), "people.created");
    assert_eq!(event.subject.as_deref(), Some("people/42"));
    let request = String::from_utf8(event.exchange.request.content.to_vec()).unwrap();
    assert!(request.ends_with(r#""password":"[redacted]"}"#), "{request}");
    assert_eq!(machine.store.data().resumed, [0; 0]);
    machine.answered(1);
    assert_eq!(machine.store.data().resumed, [7]);
    machine.ends(7);
}

#[test]
fn a_wrong_configuration_is_refused_with_the_key_s_path() {
    let (machine, accepted) = Machine::configured(&CONFIG.replace("/people", "people"));
    assert_eq!(accepted, 0);
    let logs = &machine.store.data().logs;
    assert!(logs.iter().any(|line| line.contains("routes[0].path: ")), "{logs:?}");
}

#[test]
fn a_read_costs_one_question() {
    let (mut machine, _) = Machine::configured(CONFIG);
    machine.exchange(5, "GET", "/people/42");
    machine.ends(5);
    let (fuel, asked) = machine.cost(|machine| {
        machine.exchange(6, "GET", "/people/42");
        machine.ends(6);
    });
    assert_eq!(asked, ["header"]);
    assert!(fuel < 1_800, "{fuel} instructions");
}

#[test]
fn a_write_that_is_not_watched_costs_one_question() {
    let (mut machine, _) = Machine::configured(CONFIG);
    let (fuel, asked) = machine.cost(|machine| {
        machine.exchange(6, "POST", "/orders");
        machine.ends(6);
    });
    assert_eq!(asked, ["headers"]);
    assert!(fuel < 6_000, "{fuel} instructions");
}

#[test]
fn a_captured_write_stays_within_its_budget() {
    let (mut machine, _) = Machine::configured(CONFIG);
    for context in [5, 6] {
        machine.exchange(context, "POST", "/people");
    }
    // The usual case: a call is under way, and the event waits for the next one.
    let (fuel, asked) = machine.cost(|machine| {
        assert_eq!(machine.exchange(7, "POST", "/people"), 2);
    });
    assert!(fuel < 41_000, "{fuel} instructions");
    assert!(asked.len() <= 6, "{asked:?}");

    let (fuel, asked) = machine.cost(|machine| {
        machine.answered(1);
        machine.ends(5);
    });
    assert!(fuel < 12_000, "{fuel} instructions");
    assert!(asked.len() <= 14, "{asked:?}");
    assert_eq!(machine.store.data().calls.len(), 2);
}

#[test]
fn the_module_wants_and_offers_what_a_gateway_of_this_abi_has() {
    let modules: BTreeSet<_> = MODULE.imports().map(|import| import.module().to_owned()).collect();
    assert_eq!(modules.into_iter().collect::<Vec<_>>(), ["env", "wasi_snapshot_preview1"]);
    let exports = MODULE.exports();
    let functions = exports.filter(|export| matches!(export.ty(), ExternType::Func(_)));
    let functions: BTreeSet<_> = functions.map(|export| export.name().to_owned()).collect();
    let wanted = [
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_done",
        "proxy_on_http_call_response",
        "proxy_on_memory_allocate",
        "proxy_on_request_body",
        "proxy_on_request_headers",
        "proxy_on_request_trailers",
        "proxy_on_response_body",
        "proxy_on_response_headers",
        "proxy_on_response_trailers",
        "proxy_on_tick",
        "proxy_on_vm_start",
    ];
    assert_eq!(functions.into_iter().collect::<Vec<_>>(), wanted);
}
