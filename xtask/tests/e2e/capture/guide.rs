//! The tables of `docs/capture.md`.
//!
//! Invariant: a row is there for each case, and each row is a case.

use anyhow::{Result, ensure};
use xtask::workspace;

use super::case::{Becomes, Case, chapters};

fn row(case: &Case) -> String {
    let becomes = match &case.becomes {
        Becomes::Events(events) => {
            let names = events.iter().map(|made| match made.subject {
                Some(subject) => format!("`{}` of `{subject}`", made.event),
                None => format!("`{}`, of nothing that is known", made.event),
            });
            names.collect::<Vec<_>>().join(", ")
        }
        Becomes::Nothing => "–".to_owned(),
        Becomes::Counted(reason) => format!("–, counted as `{reason}`"),
    };
    format!("| {} | {becomes} | {} |\n", case.name, case.note)
}

#[test]
fn the_tables_of_the_guide_are_the_cases() -> Result<()> {
    let guide = std::fs::read_to_string(workspace::root().join("docs/capture.md"))?;
    let mut missing = String::new();
    for chapter in chapters() {
        let rows: String = chapter.cases.iter().map(row).collect();
        let table = format!(
            "### {}\n\n| exchange | event | what it holds |\n|---|---|---|\n{rows}\n",
            chapter.name
        );
        if !guide.contains(&table) {
            missing.push_str(&table);
        }
    }
    ensure!(missing.is_empty(), "docs/capture.md should have\n\n{missing}");
    let rows = guide.lines().filter(|line| line.starts_with("| ")).count();
    let cases: usize = chapters().iter().map(|chapter| chapter.cases.len() + 1).sum();
    ensure!(rows >= cases, "{rows} rows");
    Ok(())
}
