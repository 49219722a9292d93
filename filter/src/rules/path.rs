//! Reads the path of a request the way an API is likely to. Pure.
//!
//! Invariant: any path gives segments, none of them empty or a dot segment.

/// The segments of `path`: without query, percent-encoding undone where that is safe, without
/// empty and dot segments.
pub(super) fn segments(path: &str) -> Vec<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = Vec::new();
    for part in path.split('/') {
        let part = decode(part);
        match part.as_str() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(part),
        }
    }
    segments
}

/// The segments of `path` as the most forgiving API could take them: encoded slashes are
/// slashes, case doesn't count, and nothing after a semicolon does.
pub(super) fn loosely(path: &str) -> Vec<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if path.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_')) {
        return segments(path);
    }
    let path = unescape(path).unwrap_or_else(|| path.to_owned());
    let path = path.replace('\\', "/").to_lowercase();
    let parts = path.split('/').map(|part| part.split(';').next());
    segments(&parts.flatten().collect::<Vec<_>>().join("/"))
}

/// The last segment of a URL reference, such as `Location` has, if it has more than one.
pub fn last_segment(reference: &str) -> Option<String> {
    let path = match reference.split_once("://") {
        Some((_, after)) => after.split_once('/')?.1,
        None => reference,
    };
    segments(path).pop()
}

/// `segment` without percent-encoding, or as it is when what is encoded would no longer be one
/// segment of text.
fn decode(segment: &str) -> String {
    let plain = unescape(segment);
    let plain = plain.filter(|text| !text.contains(|c: char| c == '/' || c.is_control()));
    plain.unwrap_or_else(|| segment.to_owned())
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
