//! JSON from outside, laid out for people or on one line. Pure.
//!
//! Invariant: it keeps its numbers, its order and its meaning, and a terminal obeys none of it.

use serde::de::IgnoredAny;

use crate::cli::terminal::escaped;

/// One line per member, two spaces per level. `None` if `text` is not JSON.
pub(super) fn indented(text: &str) -> Option<String> {
    laid_out(text, true)
}

/// All on one line. `None` if `text` is not JSON.
pub(super) fn compact(text: &str) -> Option<String> {
    laid_out(text, false)
}

/// Moves the white space between the tokens and touches nothing else.
fn laid_out(text: &str, indent: bool) -> Option<String> {
    // What follows relies on the text being JSON.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut in_string, mut after_backslash) = (0_usize, false, false);
    let mut last = ' ';
    for c in text.chars() {
        if in_string {
            out.push(c);
            in_string = after_backslash || c != '"';
            after_backslash = c == '\\' && !after_backslash;
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        depth = if closes { depth.saturating_sub(1) } else { depth };
        let opened = matches!(last, '{' | '[');
        // An empty object or array stays on its line.
        if indent && (opened != closes || last == ',') {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
        out.push(c);
        match c {
            '{' | '[' => depth += 1,
            '"' => in_string = true,
            ':' if indent => out.push(' '),
            _ => {}
        }
        last = c;
    }
    Some(escaped(&out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_gets_a_line_per_member_and_keeps_its_words() {
        let text = r#"{"b":1e400,"a":[1.10,{}, [ ] ,{"x":"\"{,: \\"}],"c":null}"#;
        insta::assert_snapshot!(indented(text).unwrap(), @r#"
        {
          "b": 1e400,
          "a": [
            1.10,
            {},
            [],
            {
              "x": "\"{,: \\"
            }
          ],
          "c": null
        }
        "#);
        assert_eq!(compact("{ \"a\" : [ 1 ,\n2 ] }").as_deref(), Some(r#"{"a":[1,2]}"#));
    }

    #[test]
    fn what_is_not_json_is_not_laid_out() {
        for text in ["", "{", "{'a':1}", "a=1", &"[".repeat(1000)] {
            assert_eq!(indented(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_json() {
        assert_eq!(compact("\"\u{9b}\u{e0041}\"").as_deref(), Some(r#""\u009b\udb40\udc41""#));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_meaning_stays(value in json()) {
            let indented = indented(&value.to_string()).unwrap();
            prop_assert_eq!(&indented, &self::indented(&indented).unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(&indented).unwrap(), value);
            prop_assert!(!indented.chars().any(|c| c != '\n' && c.is_control()));
        }
    }
}
