//! Plays every hot path, and says before how often, and its name: `cargo xtask bench instructions`
//! counts.
//!
//! Invariant: the names come in the order in which the cases are played.

#![expect(clippy::print_stdout, reason = "who counts reads the names from here")]

use sidehook_bench::{TIMES, cases};

fn main() {
    for case in cases() {
        println!("{TIMES} {}", case.name);
        case.play();
    }
}
