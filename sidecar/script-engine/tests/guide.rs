//! The examples of `docs/scripts.md` are run, and must come to what it says.
//!
//! Invariant: every function that scripts can call besides Rhai's own has a row, and every row is
//! run: what a call gives is the body that is sent, or how it ended instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use sidehook_script_engine::{Machine, Mode, Outcome};

const GUIDE: &str = include_str!("../../../docs/scripts.md");

/// A section, up to the next heading of its level.
fn section(heading: &str) -> &'static str {
    let (_, after) = GUIDE.split_once(&format!("\n{heading}\n")).unwrap();
    after.split("\n## ").next().unwrap()
}

/// The cells of the rows of a section's table, but for its head. A bar within a cell is escaped.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{1}");
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('\u{1}', "|")).collect::<Vec<_>>()
    };
    lines.map(cells).collect()
}

/// What stands in a cell as code.
fn code(cell: &str) -> &str {
    let fence = if cell.starts_with("``") { "`` " } else { "`" };
    let code = cell.strip_prefix(fence).and_then(|rest| rest.strip_suffix(fence.trim()));
    let code = code.unwrap_or(cell);
    if fence.len() > 1 { code.trim_end() } else { code }
}

/// The event of the guide, as a script is handed it.
fn input() -> String {
    let json = section("## Functions").split("```json\n").nth(1).unwrap();
    let event: Value = serde_json::from_str(json.split("```").next().unwrap()).unwrap();
    format!(r#"{{"event":{event},"same":[],"subscription":{{}}}}"#)
}

fn gives(source: &str) -> String {
    let mut machine = Machine::new(Mode::default());
    let report = match machine.compile(source) {
        Outcome::Ready => machine.run(input().as_bytes()),
        other => other.into(),
    };
    match report.outcome {
        Outcome::Send { .. } => String::from_utf8(report.body).unwrap(),
        Outcome::Dropped { reason } => format!("filtered: {reason}"),
        Outcome::Failed(fault) => format!("error: {}", fault.message),
        Outcome::Ready => panic!("{source} was not run"),
    }
}

/// Runs the calls of a table and compares them with what they are said to give.
fn check(rows: &[Vec<String>], call: usize, least: usize) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows.iter().filter(|row| row.iter().any(|cell| cell.contains('`'))) {
        let (source, said) = (code(row.get(call).unwrap()), code(row.get(call + 1).unwrap()));
        let given = gives(source);
        count += 1;
        let agrees = match said.strip_prefix("error: ") {
            Some(_) => given.starts_with(said),
            None => given == said,
        };
        if !agrees {
            wrong.push(format!("{source}\n\t{given}"));
        }
    }
    assert!(wrong.is_empty(), "the guide says something else:\n{}", wrong.join("\n"));
    assert!(count >= least, "only {count} rows were found");
}

#[test]
fn every_call_gives_what_the_guide_says() {
    check(&rows(section("## Functions")), 0, 45);
}

#[test]
fn every_habit_of_javascript_has_its_like() {
    check(&rows(section("## From JavaScript to Rhai")), 1, 30);
}

#[test]
fn every_function_is_in_the_guide() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/library");
    let mut registered = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for rest in text.split("register_fn(\"").skip(1) {
            registered.insert(rest.split('"').next().unwrap().to_owned());
        }
        // Those that are registered in pairs.
        for rest in text.split("pair(engine, [").skip(1) {
            let names = rest.split(']').next().unwrap().split('"').skip(1).step_by(2);
            registered.extend(names.map(str::to_owned));
        }
    }
    assert!(registered.len() > 35, "{registered:?}");
    let rows = rows(section("## Functions"));
    let missing = registered.iter().filter(|name| {
        let call = format!("`{name}(");
        !rows.iter().any(|row| row.first().is_some_and(|cell| cell.starts_with(&call)))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "not in docs/scripts.md: {missing:?}");
}
