//! The hot paths of the filter and the sidecar, each alone, with what it is handed in earnest.
//!
//! A case is played many times between [`counted`] and its end, and nothing else happens there:
//! `cargo xtask bench instructions` has valgrind count what that function takes.
//!
//! Invariant: what a case is handed is the same in every run, and is made before anything is counted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that cannot be set up has nothing to tell, and says why"
)]

mod captured;
mod delivered;
mod samples;

use std::hint::black_box;

/// How often a case is played, so that what happens by chance, as in a hash table, hardly shows.
pub const TIMES: u32 = 100;

/// A hot path.
pub struct Case {
    /// What it is called in the table.
    pub name: &'static str,
    play: Box<dyn FnOnce(u32)>,
}

/// All of them, in the order in which an event meets them.
pub fn cases() -> Vec<Case> {
    let mut cases = captured::cases();
    cases.extend(delivered::cases());
    cases
}

impl Case {
    /// Whatever `prepare` makes is used up by `work`, and that alone is counted.
    fn new<I: 'static, O: 'static>(
        name: &'static str,
        prepare: impl Fn() -> I + 'static,
        work: impl Fn(I) -> O + 'static,
    ) -> Self {
        let play = move |times: u32| {
            // What is made once, and what is allocated first, is no part of it.
            drop(black_box(work(prepare())));
            let mut inputs: Vec<_> = (0..times).map(|_| prepare()).collect();
            counted(&mut || {
                for input in inputs.drain(..) {
                    drop(black_box(work(black_box(input))));
                }
            });
        };
        Self { name, play: Box::new(play) }
    }

    /// Plays it [`TIMES`] times in one call of [`counted`].
    pub fn play(self) {
        (self.play)(TIMES);
    }
}

/// The one function whose instructions are counted, and those of all that it calls.
#[inline(never)]
pub fn counted(work: &mut dyn FnMut()) {
    work();
    // Not the last thing, so that the function is left only when the work is done.
    black_box(());
}
