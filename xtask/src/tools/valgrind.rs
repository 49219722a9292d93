//! Valgrind, which runs a program and counts its instructions.
//!
//! Invariant: a count is of one function and what it calls, and of nothing that came before.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::apt;
use crate::command::Program;

const VALGRIND: &str = "valgrind";

/// What a program said, and how many instructions each call of a function took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What it wrote to standard output.
    pub said: String,
    /// The instructions of each call, in the order of the calls.
    pub calls: Vec<u64>,
}

/// Runs a program and counts the instructions of each call of `function`, which is named with its
/// whole path. The figures are kept in `folder`, which is emptied first.
pub async fn count(program: &Path, function: &str, folder: &Path) -> Result<Counted> {
    ensure_installed().await?;
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let file = folder.join("counts");
    let valgrind = Program::new(VALGRIND)
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .args([format!("--toggle-collect={function}"), format!("--dump-after={function}")])
        .args([format!("--callgrind-out-file={}", file.display())])
        .args([program]);
    let said = valgrind.output().await?;
    let mut calls = Vec::new();
    // What comes after the last call is in a file without a number.
    while let Ok(part) = std::fs::read_to_string(folder.join(format!("counts.{}", calls.len() + 1)))
    {
        calls.push(total(&part).context("valgrind wrote a file without a sum")?);
    }
    ensure!(!calls.is_empty(), "valgrind saw no call of {function}");
    Ok(Counted { said, calls })
}

/// The sum in a file of callgrind's: `summary: 12345`, of the one event that is counted, `Ir`.
fn total(part: &str) -> Option<u64> {
    let sum = |name| part.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    sum("summary:").or_else(|| sum("totals:"))
}

async fn ensure_installed() -> Result<()> {
    if Program::new(VALGRIND).args(["--version"]).output().await.is_ok() {
        return Ok(());
    }
    apt::install(&["valgrind"], "to count instructions").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found_whatever_callgrind_calls_it() {
        assert_eq!(total("events: Ir\nfn=(1) a\n16 400\n\ntotals: 400\n"), Some(400));
        assert_eq!(total("events: Ir\nsummary: 12345\n\nfn=(1) a\n"), Some(12_345));
        assert_eq!(total("events: Ir\nfn=(1) a\n"), None);
    }
}
