//! The outside of the module: what a host calls, and where it writes and reads.
//!
//! A host asks for room with [`reserve`], writes there, and calls [`compile`] or [`run`] with the
//! number of bytes it wrote. Either answers where a report lies (`outcome.rs`): its address in
//! the upper half, its length in the lower one. It lies there until the next call.
//!
//! Invariant: nothing is imported. An instance whose call trapped is never called again.

#![expect(unsafe_code, reason = "an export without a mangled name is called unsafe")]

use std::cell::RefCell;

use crate::{
    engine::{Machine, Mode},
    outcome::{Fault, Outcome, Report},
};

#[derive(Default)]
struct Instance {
    machine: Option<Machine>,
    mode: Mode,
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// From now on runs are watched: their steps are counted, and what they print is kept.
#[unsafe(no_mangle)]
extern "C" fn watch() {
    INSTANCE.with_borrow_mut(|instance| instance.change(|mode| mode.watched = true));
}

/// From now on Rhai limits nothing by itself.
#[unsafe(no_mangle)]
extern "C" fn lift_limits() {
    INSTANCE.with_borrow_mut(|instance| instance.change(|mode| mode.unlimited = true));
}

/// Makes room for so many bytes of input and tells where.
#[unsafe(no_mangle)]
extern "C" fn reserve(length: usize) -> usize {
    INSTANCE.with_borrow_mut(|instance| {
        instance.output = Vec::new();
        instance.input.clear();
        instance.input.resize(length, 0);
        instance.input.as_ptr().addr()
    })
}

/// Compiles the script that was written, in place of an earlier one.
#[unsafe(no_mangle)]
extern "C" fn compile() -> u64 {
    answer(|machine, input| match std::str::from_utf8(input) {
        Ok(source) => machine.compile(source).into(),
        Err(_) => Outcome::Failed(Fault::new("is not UTF-8")).into(),
    })
}

/// Runs the script on the event that was written.
#[unsafe(no_mangle)]
extern "C" fn run() -> u64 {
    answer(Machine::run)
}

fn answer(call: impl FnOnce(&mut Machine, &[u8]) -> Report) -> u64 {
    INSTANCE.with_borrow_mut(|instance| {
        let machine = instance.machine.get_or_insert_default();
        instance.output = call(machine, &instance.input).encode();
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        wide(instance.output.as_ptr().addr()) << 32 | wide(instance.output.len())
    })
}

impl Instance {
    fn change(&mut self, change: impl FnOnce(&mut Mode)) {
        change(&mut self.mode);
        self.machine = Some(Machine::new(self.mode));
    }
}
