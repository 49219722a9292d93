//! What an API answers to one ordinary write.
//!
//! Invariant: whether a write was accepted can be read off the status, but for gRPC.

use super::{
    LARGE, SIZES,
    written::{answer, answer_in_chunks, empty, gzip, json_of, many_fields, ok, until_the_end},
};

const STATUSES: [u16; 33] = [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 299, 300, 301, 302, 303, 304, 307, 308, 400,
    401, 403, 404, 405, 409, 410, 412, 418, 422, 429, 500, 501, 503, 599,
];

/// Each with its name.
pub(super) fn all() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for status in STATUSES {
        all.push((format!("{status}"), empty(status, "x-was: here\r\n")));
    }
    for status in [201, 404, 422, 503] {
        all.push((format!("{status} with a body"), answer(status, "", "{\"id\":7}")));
        let chunks = answer_in_chunks(status, &[b"{\"id\"", b":7}"], "");
        all.push((format!("{status} in chunks"), chunks));
    }
    for size in SIZES {
        let body = json_of(size);
        all.push((format!("{size} bytes"), ok(&body)));
        let parts: Vec<_> = body.chunks(16_384).collect();
        all.push((format!("{size} bytes in chunks"), answer_in_chunks(200, &parts, "")));
    }
    all.extend(bodies().into_iter().map(|(name, answer)| (name.to_owned(), answer)));
    all.extend(heads().into_iter().map(|(name, answer)| (name.to_owned(), answer)));
    all
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let (large, small) = (json_of(LARGE), b"{\"id\":7,\"name\":\"Ada\"}");
    let single: Vec<_> = small.chunks(1).collect();
    let growing = json_of(64 << 10);
    let growing: Vec<_> = {
        let (mut rest, mut parts, mut size) = (growing.as_slice(), Vec::new(), 1);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(size.min(rest.len()));
            parts.push(part);
            (rest, size) = (after, size * 2);
        }
        parts
    };
    let coded = |coding: &str, body: &[u8]| {
        let fields = format!("content-type: application/json\r\ncontent-encoding: {coding}\r\n");
        answer(200, fields, body)
    };
    let whole = large.chunks(60_000).collect::<Vec<_>>();
    vec![
        ("no chunk but the last", answer_in_chunks(200, &[], "")),
        ("a chunk for each byte", answer_in_chunks(200, &single, "")),
        ("chunks that grow", answer_in_chunks(200, &growing, "")),
        ("a chunk with an extension", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0002;a=\"b\"\r\n{}\r\n000\r\n\r\n".to_vec()),
        ("trailers", answer_in_chunks(200, &[b"{}"], "x-sum: 1\r\nx-more: 2\r\n")),
        ("trailers and no body", answer_in_chunks(200, &[], "x-sum: 1\r\n")),
        ("trailers of a failure", answer_in_chunks(500, &[b"{}"], "x-sum: 1\r\n")),
        ("a body up to the end of the connection", until_the_end("{\"id\":7}")),
        ("no body up to the end of the connection", until_the_end("")),
        ("64 KiB up to the end of the connection", until_the_end(json_of(64 << 10))),
        ("4 MB", ok(&large)),
        ("4 MB in chunks", answer_in_chunks(200, &whole, "")),
        ("gzip", coded("gzip", &gzip())),
        ("gzip that is none", coded("gzip", small)),
        ("br", coded("br", b"\x0b\x00\x80{}\x03")),
        ("two codings", coded("gzip, br", b"\x00\xff\x1f")),
        ("a coding of its own", coded("x-own", &(0..=255).collect::<Vec<u8>>())),
        ("identity", coded("identity", small)),
        ("a body that is not JSON", ok("{\"i")),
        ("a body that is not UTF-8", ok(b"\"\xff\xfe\0\"")),
        ("a list", ok("[{\"id\":1},{\"id\":2}]")),
        ("a long list in chunks", answer_in_chunks(200, &[b"[", &b"7,".repeat(20_000), b"7]"], "")),
        ("events without an end", b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: a\n\r\n0\r\n\r\n".to_vec()),
        ("a part of a whole", answer(206, "content-range: bytes 0-1/9\r\n", "{}")),
        ("parts of different kinds", answer(200, "content-type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\n{}\r\n--b--\r\n")),
    ]
}

fn heads() -> Vec<(&'static str, Vec<u8>)> {
    let many = many_fields();
    let long = format!("x-long: {}\r\n", "v".repeat(16 << 10));
    let with = |fields: &str| answer(200, fields, "{\"id\":7}");
    vec![
        ("a Location alone", empty(201, "location: /people/7\r\n")),
        ("a Location elsewhere", empty(201, "location: https://other.example/a?b#c\r\n")),
        ("a redirect", empty(302, "location: /elsewhere\r\n")),
        ("an unchanged resource", empty(304, "etag: \"a\"\r\n")),
        ("a challenge", empty(401, "www-authenticate: Basic realm=\"a, b\"\r\n")),
        ("a pause", empty(429, "retry-after: 1\r\n")),
        ("a reason of its own", b"HTTP/1.1 299 Why Not\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("no reason", b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("early hints", [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", ok("{}").as_slice()].concat()),
        ("early hints twice, then a failure", [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n", empty(500, "").as_slice()].concat()),
        ("values that are not UTF-8", b"HTTP/1.1 200 OK\r\nx-odd: \xff\xfe\r\ncontent-type: \xe9\r\nlocation: \xff\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        ("cookies", with("set-cookie: a=1; Path=/\r\nset-cookie: b=2\r\nset-cookie: a=1; Path=/\r\n")),
        ("an empty value", with("x-empty:\r\nx-blank:   \r\n")),
        ("the same field three times", with("x-a: 1\r\nx-b: 0\r\nx-a: 2\r\nX-A: 3\r\n")),
        ("odd cases", with("X-ODD-Case: a\r\nCONTENT-TYPE: Application/JSON\r\neTaG: W/\"b\"\r\n")),
        ("spaces around values", with("x-a:    b  c  \r\nx-t:\td\t\r\n")),
        ("many fields", with(&many)),
        ("a long value", with(&long)),
        ("many fields and no body", empty(204, &many)),
        ("names with all the signs", with("x!#$%&'*+-.^`|~9: a\r\n")),
        ("caching", with("cache-control: no-store\r\nvary: accept, origin\r\nage: 9\r\n")),
        ("cross-origin", with("access-control-allow-origin: *\r\naccess-control-expose-headers: a\r\n")),
        ("a server and its path", with("server: api/1\r\nvia: 1.1 before\r\n")),
        ("Envoy's own names", with("x-envoy-decorator-operation: a\r\nx-sidehook: b\r\n")),
        ("gRPC", empty(200, "content-type: application/grpc\r\n")),
    ]
}
