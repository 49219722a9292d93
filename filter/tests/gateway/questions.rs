//! What the filter asks of a gateway, by the names under which the fake one refuses it.
//!
//! Invariant: the tests and the fuzzer refuse the same, and each of it is asked in `Fake`.

/// What a gateway may refuse.
pub(crate) const QUESTIONS: [&str; 15] = [
    "unix_nanos",
    "moment",
    "random",
    "configuration",
    "header",
    "headers",
    "body",
    "code_details",
    "call_status",
    "act_for",
    "resume",
    "reply",
    "call",
    "tick_every",
    "add",
];
