//! A Rust file as far as its paths matter: without comments and strings, with its `use` trees
//! spread out.
//!
//! Invariant: what stands in a comment, a string or a test module is never taken for code.

use std::path::PathBuf;

/// A file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the working copy.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
    /// Its tokens, without comments, strings and test modules.
    code: Vec<String>,
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: PathBuf::from(path),
            text: text.to_owned(),
            code: without_tests(&tokens(text)),
        }
    }

    /// Its words and signs, `::` as one.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.code.iter().map(String::as_str)
    }

    /// Every path that begins with one of `roots`, the root included: `use crate::{a::B, c}` gives
    /// `crate::a::B` and `crate::c`.
    pub(crate) fn paths_from(&self, roots: &[&str]) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        let mut rest = self.code.as_slice();
        while let [first, tail @ ..] = rest {
            let starts = roots.contains(&first.as_str()) && tail.first().is_some_and(|t| t == "::");
            rest = if starts { tree(rest, &[], &mut paths) } else { tail };
            if !starts && tail.first().is_some_and(|t| t == "::") {
                // `std::crate_like::…`: the words after another root are not roots.
                rest = tail.split_at(tail.len().min(2)).1;
            }
        }
        paths
    }
}

/// Reads a path or a tree of them from the front of `code`; returns what follows.
fn tree<'a>(
    mut code: &'a [String],
    parent: &[String],
    paths: &mut Vec<Vec<String>>,
) -> &'a [String] {
    let mut path = parent.to_vec();
    loop {
        match code {
            [open, inner @ ..] if open == "{" => {
                code = inner;
                loop {
                    match code {
                        [close, rest @ ..] if close == "}" => return rest,
                        [comma, rest @ ..] if comma == "," => code = rest,
                        [_, ..] => code = tree(code, &path, paths),
                        [] => return code,
                    }
                }
            }
            [word, joint, rest @ ..] if joint == "::" => {
                path.push(word.clone());
                code = rest;
            }
            [word, r#as, _, rest @ ..] if r#as == "as" => {
                path.push(word.clone());
                paths.push(path);
                return rest;
            }
            [word, rest @ ..] => {
                path.push(word.clone());
                paths.push(path);
                return rest;
            }
            [] => return code,
        }
    }
}

/// Leaves out each `#[cfg(test)] mod … { … }`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut code = Vec::new();
    let mut rest = tokens;
    while let [first, tail @ ..] = rest {
        if rest.len() > mark.len() + 1
            && rest.iter().zip(mark).all(|(token, mark)| token == mark)
            && rest.get(mark.len() + 1).is_some_and(|open| open == "{")
        {
            let mut depth = 0_usize;
            let end = rest.iter().position(|token| {
                match token.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => return false,
                }
                depth == 0
            });
            rest = rest.split_at(end.map_or(rest.len(), |end| end + 1)).1;
        } else {
            code.push(first.clone());
            rest = tail;
        }
    }
    code
}

/// Cuts a text into words and signs, leaving out comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| string(rest)).or_else(|| character(rest));
        if let Some(length) = skipped {
            rest = &rest[length..];
        } else if is_word(first) {
            let end = rest.find(|next| !is_word(next)).unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            rest = &rest[2..];
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of the comment at the front.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match rest.get(at..at + 2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") if depth > 0 => (depth, at) = (depth - 1, at + 2),
            _ if depth == 0 => return None,
            _ if at >= rest.len() => return Some(rest.len()),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The length of the string at the front, raw and byte strings included.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| rest.starts_with(prefix));
    let prefix = prefix.unwrap_or_default();
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let content = body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = content.find(&end).map_or(content.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let content = body.strip_prefix('"')?;
    let mut escaped = false;
    let end = content.find(|next| {
        let ends = next == '"' && !escaped;
        escaped = next == '\\' && !escaped;
        ends
    });
    Some(prefix.len() + 1 + end.map_or(content.len(), |end| end + 1))
}

/// The length of the character literal at the front; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let content = rest.strip_prefix('\'')?;
    let first = content.chars().next()?;
    if first == '\\' {
        return Some(3 + content[2..].find('\'')?);
    }
    content[first.len_utf8()..].starts_with('\'').then_some(2 + first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let paths = Source::new("a.rs", text).paths_from(&["crate", "super"]);
        paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn trees_are_spread_out() {
        let text = "pub(crate) use crate::{a::{B, c::D as E}, f, g::*};\nuse super::h;";
        assert_eq!(
            paths(text),
            ["crate::a::B", "crate::a::c::D", "crate::f", "crate::g::*", "super::h"]
        );
    }

    #[test]
    fn paths_in_expressions_are_seen() {
        let text = "fn a(b: &crate::c::D) -> u8 { crate::e::f::<crate::g::H>(b) }";
        assert_eq!(paths(text), ["crate::c::D", "crate::e::f::<", "crate::g::H"]);
    }

    #[test]
    fn comments_literals_and_tests_are_not_code() {
        let text = concat!(
            "// crate::a::B\n/* crate::c /* crate::d */ crate::e */",
            r##"const A: &str = "\" crate::f"; const B: &str = r#"" crate::g"#;"##,
            "fn c<'a>(d: &'a str) -> char { '\"' } fn e() -> char { '\\'' } use crate::h;",
            "#[cfg(test)]\nmod tests { use crate::i; fn j() { { crate::k } } } use crate::l;",
        );
        assert_eq!(paths(text), ["crate::h", "crate::l"]);
    }
}
