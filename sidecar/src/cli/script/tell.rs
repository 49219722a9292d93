//! How faults and differences are told.
//!
//! Invariant: what comes from scripts and events cannot move the cursor.

use std::{fmt::Write as _, path::Path};

use serde_json::Value;

use super::super::terminal::escaped;
use crate::transform::ShownFault;

/// As much of a value as fits beside another one, in characters.
const LONGEST_VALUE: usize = 160;

/// A file's name; what comes in has none.
pub(super) fn path(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        escaped(&file.display().to_string()).replace('\n', " ")
    }
}

/// What is wrong with a script, with a mark below the line that it is about.
pub(super) fn fault(file: &Path, fault: &ShownFault) -> String {
    let ShownFault { message, line, column, text, hint } = fault;
    let mut told = path(file);
    let place = [*line, line.and(*column)].into_iter().flatten();
    for number in place {
        // Writing to a string cannot fail, here and below.
        let _ = write!(told, ":{number}");
    }
    let _ = writeln!(told, ": {}", escaped(message));
    if let (Some(line), Some(text)) = (line, text) {
        let margin = " ".repeat(line.to_string().len());
        let _ = writeln!(told, "  {line} | {}", escaped(text));
        if let Some(column) = column {
            let before = text.chars().take(usize::try_from(*column).unwrap_or(1).saturating_sub(1));
            let before: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let _ = writeln!(told, "  {margin} | {before}^");
        }
    }
    if let Some(hint) = hint {
        let _ = writeln!(told, "  hint: {}", escaped(hint));
    }
    told
}

/// One operation of a JSON Patch: `~ /body/text: "a" -> "b"`.
pub(super) fn difference(operation: &Value) -> String {
    let text = |name| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let path = escaped(text("path")).replace('\n', "\\n");
    match (text("op"), operation.get("old"), operation.get("value")) {
        ("add", _, Some(value)) => format!("+ {path}: {}", short(value)),
        ("remove", Some(old), _) => format!("- {path}: {}", short(old)),
        (_, Some(old), Some(value)) => format!("~ {path}: {} -> {}", short(old), short(value)),
        _ => format!("~ {path}: the same values in other bytes"),
    }
}

fn short(value: &Value) -> String {
    let text = escaped(&value.to_string()).replace('\n', "\\n");
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    let beginning: String = text.chars().take(LONGEST_VALUE).collect();
    format!("{beginning}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_is_shown_where_it_is() {
        let shown = ShownFault {
            message: "no\x1b[2J such function".to_owned(),
            line: Some(12),
            column: Some(4),
            text: Some("\tlet x".to_owned()),
            hint: Some("it is called y".to_owned()),
        };
        assert_eq!(
            fault(Path::new("a.rhai"), &shown),
            "a.rhai:12:4: no\\u001b[2J such function\n  12 | \\u0009let x\n     | \t  ^\n  hint: it is called y\n"
        );
        let nowhere = ShownFault { line: None, column: None, text: None, hint: None, ..shown };
        assert_eq!(fault(Path::new("-"), &nowhere), "standard input: no\\u001b[2J such function\n");
    }

    #[test]
    fn a_difference_is_a_line() {
        for (operation, line) in [
            (json!({"op": "add", "path": "/a", "value": [1]}), "+ /a: [1]"),
            (json!({"op": "remove", "path": "/a", "old": null}), "- /a: null"),
            (
                json!({"op": "replace", "path": "/a\nb", "old": "\u{1b}", "value": 2}),
                "~ /a\\nb: \"\\u001b\" -> 2",
            ),
            (json!({"op": "bytes", "path": "/body"}), "~ /body: the same values in other bytes"),
        ] {
            assert_eq!(difference(&operation), line);
        }
        assert_eq!(short(&json!("x".repeat(1000))).chars().count(), LONGEST_VALUE + 1);
    }
}
