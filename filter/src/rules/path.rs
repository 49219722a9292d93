//! Reads the path of a request the way an API is likely to. Pure.
//!
//! Invariant: any path gives segments, none of them empty or a dot segment.

use std::borrow::Cow;

use smallvec::SmallVec;

/// The segments of a path. Those of a usual path take no memory of their own.
pub(super) type Segments<'p> = SmallVec<[Cow<'p, str>; 8]>;

/// The segments of `path`: without query, percent-encoding undone where that is safe, without
/// empty and dot segments.
pub(super) fn segments(path: &str) -> Segments<'_> {
    let mut segments = Segments::new();
    let mut rest = without_query(path);
    while !rest.is_empty() {
        let (part, after) = cut(rest, |byte| byte == b'/');
        rest = after.get(1..).unwrap_or_default();
        let part = decode(part);
        match part.as_ref() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(part),
        }
    }
    segments
}

fn without_query(path: &str) -> &str {
    cut(path, |byte| matches!(byte, b'?' | b'#')).0
}

/// What is before the first such byte, of ASCII, and what begins with it. Paths are short, and
/// this is done to every write: looking at one byte after the other beats a search that prepares.
fn cut(text: &str, at: impl Fn(u8) -> bool) -> (&str, &str) {
    let length = text.bytes().position(at).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, ""))
}

/// The segments of `path` as the most forgiving API could take them: encoded slashes are
/// slashes, case doesn't count, and nothing after a semicolon does.
pub(super) fn loosely(path: &str) -> Segments<'_> {
    let path = without_query(path);
    if path.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_')) {
        return segments(path);
    }
    let path = unescape(path).unwrap_or_else(|| path.to_owned());
    let path = path.replace('\\', "/").to_lowercase();
    let parts = path.split('/').map(|part| part.split(';').next());
    let joined = parts.flatten().collect::<Vec<_>>().join("/");
    segments(&joined).into_iter().map(|segment| segment.into_owned().into()).collect()
}

/// The last segment of a URL reference, such as `Location` has, if it has more than one.
pub fn last_segment(reference: &str) -> Option<String> {
    let path = match reference.split_once("://") {
        Some((_, after)) => after.split_once('/')?.1,
        None => reference,
    };
    segments(path).pop().map(Cow::into_owned)
}

/// `segment` without percent-encoding, or as it is when what is encoded would no longer be one
/// segment of text.
fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.bytes().any(|byte| byte == b'%') {
        return segment.into();
    }
    let plain = unescape(segment);
    let plain = plain.filter(|text| !text.contains(|c: char| c == '/' || c.is_control()));
    plain.map_or(segment.into(), Cow::from)
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
