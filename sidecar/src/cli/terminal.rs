//! Text from outside, made fit for a terminal, and colours of our own where it is one.
//!
//! Invariant: what was escaped holds no character that moves the cursor, changes the terminal or
//! reverses the reading direction.

use std::{
    env,
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

/// A colour of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// It went wrong.
    Red,
    /// It went well.
    Green,
    /// It is worth a look.
    Yellow,
}

/// Whether standard output takes colours: a terminal, unless it is asked not to (no-color.org).
pub(super) fn has_colours() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|asked| asked.is_empty())
}

/// `text`, which is harmless, in this colour.
pub(super) fn coloured(text: &str, colour: Option<Colour>) -> String {
    let code = match colour {
        None => return text.to_owned(),
        Some(Colour::Red) => 31,
        Some(Colour::Green) => 32,
        Some(Colour::Yellow) => 33,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Of an instant, what people look at.
pub(super) fn to_the_second(instant: &str) -> &str {
    instant.split('.').next().unwrap_or(instant)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        let hostile = "a\x1b[2J\r\u{9b}1m\u{202e}b\nc\u{e0041}";
        assert_eq!(escaped(hostile), "a\\u001b[2J\\u000d\\u009b1m\\u202eb\nc\\udb40\\udc41");
    }
}
