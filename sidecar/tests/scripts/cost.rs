//! What a run in the sandbox costs, beside the same engine compiled for this machine.
//!
//! Invariant: both run the same script on the same event, in turns.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is how a test fails, and shows what it measured"
)]

use std::time::Duration;

use sidehook::{
    clock::{Clock, SystemClock},
    model::Script,
    transform::sandbox::{Ran, TIME},
};
use sidehook_script_engine::{Machine, Mode};

use crate::opened::scripts;

/// Ten fields read, a map of seven made, two templates filled; JSON comes in and goes out.
const TYPICAL: &str = r#"
let person = event.data;
let name = `${person.first_name} ${person.last_name}`;
#{
    text: `${name} <${person.email}> signed up for ${person.plan}`,
    kind: event.type,
    at: event.time,
    person: #{ id: person.id, age: person.age, city: person.address.city },
    role: if person.admin { "admin" } else { "user" },
    tags: person.tags,
    reference: event.id,
}"#;

const INPUT: &[u8] = br#"{"event":{"id":"evt_01kar0rze0e008000000000007","type":"people.created",
"resource":"people","action":"created","source":"edge","subject":"people/42","sequence":7,
"time":"2026-03-01T12:00:00.000000Z","truncated":false,"data":{"id":42,"first_name":"Ada",
"last_name":"Lovelace","email":"ada@example.com","plan":"team","age":36,"admin":true,
"address":{"street":"1 Main St","city":"London","country":"GB"},"tags":["math","poetry"]},
"request":{"method":"POST","path":"/people","headers":{},"content_type":"application/json",
"body":null},"response":{"status":201,"content_type":"application/json","body":null}},
"same":["response"],"subscription":{"id":"sub_1","event_type":"people.*","format":"standard",
"description":null,"metadata":{},"custom_payload":{}}}"#;

const RUNS: u32 = 400;
const ROUNDS: usize = 9;

#[test]
fn a_run_in_the_sandbox_costs_hardly_more_than_one_outside() {
    let clock = SystemClock::start();
    let scripts = scripts();
    let sandbox = scripts.sandbox().unwrap();
    let script = Script::new(TYPICAL);
    let mut native = Machine::new(Mode::default());
    native.compile(TYPICAL);
    let made = native.run(INPUT).body;
    let Ran::Ended(report) = sandbox.run(&script, INPUT, TIME).unwrap() else { unreachable!() };
    assert_eq!(report.body, made, "both make the same");

    let each = |mut run: Box<dyn FnMut() + '_>| {
        let started = clock.monotonic();
        for _ in 0..RUNS {
            run();
        }
        clock.monotonic().saturating_sub(started) / RUNS
    };
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        outside.push(each(Box::new(|| drop(native.run(INPUT)))));
        inside.push(each(Box::new(|| drop(sandbox.run(&script, INPUT, TIME).unwrap()))));
    }
    let (inside, outside) = (median(inside), median(outside));
    let ratio = inside.as_secs_f64() / outside.as_secs_f64();
    println!("a typical script: {inside:?} in the sandbox, {outside:?} native, {ratio:.2}x");
    assert!(ratio <= 2.0, "{inside:?} in the sandbox, {outside:?} native");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    *times.get(times.len() / 2).unwrap()
}
