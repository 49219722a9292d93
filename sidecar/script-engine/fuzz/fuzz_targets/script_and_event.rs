//! Whatever script on whatever event: what comes first, up to a zero byte, is the script.
//!
//! Invariant: the engine ends with a report that can be read, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sidehook_script_engine::{Machine, Mode, Outcome, Report};

const EVENT: &[u8] = br#"{"event":{"id":"evt_1","type":"people.created","subject":"people/42",
    "time":"2026-03-01T12:00:00Z","data":{"id":42,"name":"Ada","tags":["a",1.5,null]}},
    "same":["response"],"subscription":{"id":"sub_1","metadata":{"team":"blue"}}}"#;

fuzz_target!(|bytes: &[u8]| {
    let (source, input) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, EVENT),
    };
    let Ok(source) = std::str::from_utf8(source) else { return };
    let mut machine = Machine::new(Mode { watched: true, unlimited: false });
    let report = match machine.compile(source) {
        Outcome::Ready => machine.run(input),
        other => other.into(),
    };
    let again = Report::decode(&report.encode()).expect("what is written can be read");
    assert_eq!(again.body, report.body);
});
