//! Whatever callbacks a gateway makes, in whatever order, with whatever in them.
//!
//! Invariant: the filter keeps its promises, which [`promises`] has one by one, and never panics.

#![no_main]

#[path = "../../../tests/gateway/mod.rs"]
mod gateway;
mod content;
mod play;
mod promises;
mod script;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: script::Script| {
    let mut play = play::Play::new(&script.plugins);
    for callback in &script.callbacks {
        play.goes_on(callback);
    }
    play.ends();
});
