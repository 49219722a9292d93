//! What the commands say to the person who runs them.
//!
//! Invariant: standard output carries what was asked for, standard error what happens meanwhile.

use std::fmt::Display;

/// Says a line that belongs to the result.
#[expect(clippy::print_stdout, reason = "a developer command answers on the terminal")]
pub fn line(text: impl Display) {
    println!("{text}");
}

/// Says what is being done, for one who waits.
#[expect(clippy::print_stderr, reason = "a developer command tells its progress on the terminal")]
pub fn progress(text: impl Display) {
    eprintln!("  {text}");
}

/// Says why nothing came of it.
#[expect(clippy::print_stderr, reason = "a developer command fails on the terminal")]
pub fn failure(text: impl Display) {
    eprintln!("error: {text}");
}
