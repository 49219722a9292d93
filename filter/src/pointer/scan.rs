//! Reads a JSON document (RFC 8259) from its first to its last byte, and remembers where pointers
//! point. Pure.
//!
//! This is a reader of our own because it stands in the way of every write: what is not asked for
//! is not made into anything, and inside of texts, where documents have most of their bytes, it
//! takes eight of them at a time. What it takes for a document is what `serde_json` does; a test
//! holds it to that.
//!
//! Invariant: every byte is looked at, so that what is found was found in a document; however deep
//! that is nested, the stack is not.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::Arrays;

/// What is left of a pointer on the way down.
type Path<'p> = &'p [String];

/// Those that lead on from here: one at most, as a rule, and most often none.
type Onward<'p> = SmallVec<[Path<'p>; 4]>;

/// So deep are values looked into on the way to what is asked for. Beyond it a document is refused.
const DEEPEST: usize = 128;

/// A document, as far as it has been read.
pub(super) struct Scan<'d> {
    text: &'d str,
    at: usize,
    arrays: Arrays,
    found: Vec<&'d str>,
}

impl<'d> Scan<'d> {
    /// Of a document nothing has been read of.
    pub(super) fn of(text: &'d str, arrays: Arrays) -> Self {
        Self { text, at: 0, arrays, found: Vec::new() }
    }

    /// Reads all of it. The values that `paths` lead to; `None` if it is no document.
    pub(super) fn document(mut self, paths: &[Path<'_>]) -> Option<Vec<&'d str>> {
        self.space();
        self.value(paths, 0)?;
        self.space();
        (self.at == self.text.len()).then_some(self.found)
    }

    /// A value that some paths lead to, or on from.
    fn value(&mut self, paths: &[Path<'_>], depth: usize) -> Option<()> {
        if paths.iter().any(|path| path.is_empty()) {
            let start = self.at;
            self.skip()?;
            self.found.push(self.text.get(start..self.at)?);
            return Some(());
        }
        match self.peek()? {
            b'{' if !paths.is_empty() => self.object(paths, depth),
            b'[' if !paths.is_empty() => self.array(paths, depth),
            _ => self.skip(),
        }
    }

    fn object(&mut self, paths: &[Path<'_>], depth: usize) -> Option<()> {
        if depth >= DEEPEST {
            return None;
        }
        self.at += 1;
        self.space();
        if self.takes(b'}') {
            return Some(());
        }
        loop {
            let start = self.at;
            let is_plain = self.string()?;
            let name = if is_plain {
                Cow::from(self.text.get(start + 1..self.at.checked_sub(1)?)?)
            } else {
                serde_json::from_str(self.text.get(start..self.at)?).ok()?
            };
            let onward = paths.iter().filter_map(|path| match path.split_first() {
                Some((step, rest)) if *step == name => Some(rest),
                _ => None,
            });
            let onward: Onward<'_> = onward.collect();
            self.space();
            self.expect(b':')?;
            self.space();
            self.value(&onward, depth + 1)?;
            self.space();
            if self.takes(b'}') {
                return Some(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    fn array(&mut self, paths: &[Path<'_>], depth: usize) -> Option<()> {
        if depth >= DEEPEST {
            return None;
        }
        self.at += 1;
        self.space();
        if self.takes(b']') {
            return Some(());
        }
        for index in 0_usize.. {
            let onward = paths.iter().filter_map(|path| into_element(path, index, self.arrays));
            let onward: Onward<'_> = onward.collect();
            self.value(&onward, depth + 1)?;
            self.space();
            if self.takes(b']') {
                break;
            }
            self.expect(b',')?;
            self.space();
        }
        Some(())
    }

    /// A value that nothing is looked for in.
    fn skip(&mut self) -> Option<()> {
        // What has been opened; most values have nothing in them to be opened.
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    if !self.takes(closing(first)) {
                        open.push(first);
                        self.name(first)?;
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            // Behind a value: the end of what it stands in, and of what that stands in, or more.
            loop {
                let Some(around) = open.last() else { return Some(()) };
                self.space();
                if !self.takes(closing(*around)) {
                    self.expect(b',')?;
                    self.space();
                    self.name(*around)?;
                    break;
                }
                open.pop();
            }
        }
    }

    /// The name of a member, if it is an object that was opened.
    fn name(&mut self, opened: u8) -> Option<()> {
        if opened == b'{' {
            self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
        }
        Some(())
    }

    /// A text. Whether it is written between its quotes as it is.
    fn string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let mut is_plain = true;
        loop {
            self.at += plain(self.rest());
            match self.next()? {
                b'"' => return Some(is_plain),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let digits = self.rest().get(..4)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        self.at += 4;
                    }
                    _ => return None,
                },
                _ => return None,
            }
            is_plain = false;
        }
    }

    fn number(&mut self) -> Option<()> {
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// One digit at least.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'d [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

fn into_element(path: Path<'_>, index: usize, arrays: Arrays) -> Option<Path<'_>> {
    let (step, rest) = path.split_first()?;
    match step.parse::<usize>() {
        Ok(wanted) => (wanted == index).then_some(rest),
        Err(_) => (arrays == Arrays::Every).then_some(path),
    }
}

fn closing(opened: u8) -> u8 {
    if opened == b'{' { b'}' } else { b']' }
}

/// How many bytes at the beginning of `bytes` mean nothing inside a text but themselves.
fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return length + (marks.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let is_plain = |byte: &&u8| **byte >= b' ' && **byte != b'"' && **byte != b'\\';
    length + rest.iter().take_while(is_plain).count()
}

/// The upper bit of the first of eight bytes that is a quote, a backslash or a control character;
/// bits above it mean nothing.
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (is(b'"') | is(b'\\') | below(word, b' ')) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_plain_is_seen_eight_at_a_time_as_one_by_one(bytes in "[ -~é\u{0}-\u{1f}]{0,40}") {
            let special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
            let expected = bytes.as_bytes().iter().position(special).unwrap_or(bytes.len());
            prop_assert_eq!(plain(bytes.as_bytes()), expected);
        }
    }
}
