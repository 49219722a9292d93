//! How the messages of the cases are written.
//!
//! Invariant: what is written is what HTTP/1.1 allows (RFC 9112), however odd.

/// A request without a body.
pub(super) fn bare(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: api\r\nuser-agent: test\r\n\r\n")
}

/// A request with a body of which the length is known.
pub(super) fn with_body(method: &str, path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    with_fields(method, path, b"content-type: application/json\r\n", body)
}

/// A POST with header lines of its own.
pub(super) fn post(path: &str, fields: impl AsRef<[u8]>) -> Vec<u8> {
    with_fields("POST", path, fields, "{\"name\":\"Ada\"}")
}

fn with_fields(
    method: &str,
    path: &str,
    fields: impl AsRef<[u8]>,
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let (fields, body) = (fields.as_ref(), body.as_ref());
    let start = format!("{method} {path} HTTP/1.1\r\nhost: api\r\n");
    let length = format!("content-length: {}\r\n\r\n", body.len());
    [start.as_bytes(), fields, length.as_bytes(), body].concat()
}

/// A POST whose body comes in chunks, with trailer lines behind it.
pub(super) fn post_in_chunks(path: &str, parts: &[&[u8]], trailers: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: api\r\ntransfer-encoding: chunked\r\n\r\n");
    [head.as_bytes(), &in_chunks(parts, trailers)].concat()
}

/// An answer without a body.
pub(super) fn empty(status: u16, fields: &str) -> Vec<u8> {
    let length = if matches!(status, 204 | 304) { "" } else { "content-length: 0\r\n" };
    format!("HTTP/1.1 {status} Said\r\n{fields}{length}\r\n").into_bytes()
}

/// An answer with a body of which the length is known.
pub(super) fn answer(status: u16, fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let (fields, body) = (fields.as_ref(), body.as_ref());
    let start = format!("HTTP/1.1 {status} Said\r\n");
    let length = format!("content-length: {}\r\n\r\n", body.len());
    [start.as_bytes(), fields, length.as_bytes(), body].concat()
}

/// What an API says to a write that it accepts.
pub(super) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer(200, "content-type: application/json\r\n", body)
}

/// An answer in chunks, with trailer lines behind it.
pub(super) fn answer_in_chunks(status: u16, parts: &[&[u8]], trailers: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Said\r\ntransfer-encoding: chunked\r\n\r\n");
    [head.as_bytes(), &in_chunks(parts, trailers)].concat()
}

/// An answer whose body ends with the connection.
pub(super) fn until_the_end(body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", body.as_ref()].concat()
}

/// The head of an answer alone, as it is sent to HEAD.
pub(super) fn head_only(answer: &[u8]) -> Vec<u8> {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").map_or(0, |at| at + 4);
    answer.split_at(end).0.to_owned()
}

fn in_chunks(parts: &[&[u8]], trailers: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend(format!("{:x}\r\n", part.len()).bytes());
        body.extend(*part);
        body.extend(b"\r\n");
    }
    body.extend(format!("0\r\n{trailers}\r\n").bytes());
    body
}

/// Nearly as many header lines as Envoy lets pass.
pub(super) fn many_fields() -> String {
    (0..70).map(|at| format!("x-{at}: {at}\r\n")).collect::<Vec<_>>().concat()
}

/// A text of this length that is JSON, if it has room for that.
pub(super) fn json_of(length: usize) -> Vec<u8> {
    match length.checked_sub(2) {
        None => b"7".repeat(length),
        Some(inner) => [b"\"".as_slice(), &b"x".repeat(inner), b"\""].concat(),
    }
}

/// `{}` in gzip (RFC 1952), in one stored block.
pub(super) fn gzip() -> Vec<u8> {
    let mut coded = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    coded.extend([1, 2, 0, 0xfd, 0xff, b'{', b'}']);
    // The sum of RFC 1952 over `{}`; nobody on the way looks at it.
    coded.extend(0x7b_7d_u32.to_le_bytes());
    coded.extend(2_u32.to_le_bytes());
    coded
}
