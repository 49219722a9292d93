//! JSON and text from outside, made fit for a terminal. Pure.
//!
//! Invariant: what comes out holds no character that moves the cursor, changes the terminal or
//! reverses the reading direction; JSON keeps its numbers, its order and its meaning.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// One line per member, two spaces per level. `None` if `text` is not JSON.
pub(super) fn indented(text: &str) -> Option<String> {
    laid_out(text, true)
}

/// All on one line. `None` if `text` is not JSON.
pub(super) fn compact(text: &str) -> Option<String> {
    laid_out(text, false)
}

/// Writes what a terminal would obey as `\uXXXX`, except the line feeds. Within the strings of
/// JSON that means the same.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_obeyed(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Marks, embeddings, overrides and isolates that reorder what stands around them
            // (Unicode Annex 9), line separators, the byte order mark, invisible tags.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
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
    fn a_terminal_obeys_nothing_of_it() {
        assert_eq!(
            escaped("a\x1b[2J\r\u{9b}1m\u{202e}b\nc"),
            "a\\u001b[2J\\u000d\\u009b1m\\u202eb\nc"
        );
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
