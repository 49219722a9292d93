//! What a client sends, when all it gets is one ordinary answer.
//!
//! Invariant: each is a write on a path that the filter watches, but those that are said to be
//! silent.

use super::{
    LARGE, SIZES,
    written::{bare, gzip, json_of, many_fields, post, post_in_chunks, with_body},
};

/// Each with its name.
pub(super) fn all(path: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for size in SIZES {
        let body = json_of(size);
        all.push((format!("{size} bytes"), with_body("POST", path, &body)));
        let parts: Vec<_> = body.chunks(16_384).collect();
        all.push((format!("{size} bytes in chunks"), post_in_chunks(path, &parts, "")));
    }
    all.extend(bodies(path).into_iter().map(|(name, request)| (name.to_owned(), request)));
    all.extend(heads(path).into_iter().map(|(name, request)| (name.to_owned(), request)));
    all
}

/// What looks like a write, and is none of the watched resource.
pub(super) fn silent(path: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an escaped slash", with_body("POST", &format!("{path}%2F7"), "{}")),
        ("a path beside it", with_body("POST", &format!("{path}-beside"), "{}")),
        ("a path below it", with_body("POST", &format!("{path}/7/parts/8"), "{}")),
        ("a read that has a body", with_body("GET", path, "{}")),
        ("a method that nobody knows", with_body("PROPFIND", path, "<a/>")),
    ]
}

fn bodies(path: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (large, small) = (json_of(LARGE), b"{\"id\":7,\"name\":\"Ada\"}");
    let single: Vec<_> = small.chunks(1).collect();
    let parts: Vec<_> = large.chunks(60_000).collect();
    let coded = |coding: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "PUT {path}/7 HTTP/1.1\r\nhost: api\r\ncontent-encoding: {coding}\r\n\
             content-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let form = "a=1&b=%20+&a=2";
    vec![
        ("no body and no length", bare("POST", path).into()),
        ("no chunk but the last", post_in_chunks(path, &[], "")),
        ("a chunk for each byte", post_in_chunks(path, &single, "")),
        ("trailers", post_in_chunks(path, &[b"{}"], "x-sum: 1\r\n")),
        ("trailers and no body", post_in_chunks(path, &[], "x-sum: 1\r\n")),
        ("4 MB", with_body("POST", path, &large)),
        ("4 MB in chunks", post_in_chunks(path, &parts, "")),
        ("binary", with_body("PATCH", &format!("{path}/7"), &all_bytes)),
        ("a form", with_body("POST", path, form)),
        ("not JSON", with_body("POST", path, "{\"id\":")),
        ("gzip", coded("gzip", &gzip())),
        ("a coding of its own", coded("x-own", &all_bytes)),
        ("a DELETE with a body", with_body("DELETE", &format!("{path}/7"), "{}")),
    ]
}

fn heads(path: &str) -> Vec<(&'static str, Vec<u8>)> {
    let many = many_fields();
    let long = format!("x-long: {}\r\n", "v".repeat(16 << 10));
    let query = "q".repeat(4 << 10);
    let at = |rest: &str| with_body("POST", &format!("{path}{rest}"), "{}");
    vec![
        ("a query", at("?a=1&b=%20")),
        ("a long query", at(&format!("?{query}"))),
        ("a query that is none", at("??&=;/../")),
        ("a dot on the way", with_body("POST", &format!("/.{path}"), "{}")),
        ("slashes on the way", with_body("POST", &format!("/{path}"), "{}")),
        ("an id in escapes", with_body("PUT", &format!("{path}/%41%C3%A9"), "{}")),
        ("an absolute target", with_body("POST", &format!("http://api{path}"), "{}")),
        ("an expectation", post(path, "expect: 100-continue\r\n")),
        (
            "values that are not UTF-8",
            post(path, b"x-odd: \xff\xfe\r\ncontent-type: \xe9\r\ntraceparent: \xff\r\n"),
        ),
        ("the same field three times", post(path, "x-a: 1\r\nx-b: 0\r\nx-a: 2\r\nX-A: 3\r\n")),
        ("cookies and a token", post(path, "cookie: a=1; b=2\r\nauthorization: Bearer t\r\n")),
        ("an empty value", post(path, "x-empty:\r\nx-blank:   \r\n")),
        ("odd cases", post(path, "X-ODD-Case: a\r\nCONTENT-TYPE: Application/JSON\r\n")),
        ("many fields", post(path, many)),
        ("a long value", post(path, long)),
        (
            "trace context",
            post(
                path,
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n",
            ),
        ),
        ("a key for one write", post(path, "idempotency-key: \"a-key\"\r\n")),
        (
            "conditions",
            post(
                path,
                "if-match: \"a\", W/\"b\"\r\nif-unmodified-since: Sat, 28 Nov 2026 00:00:00 GMT\r\n",
            ),
        ),
        ("another method asked for", post(path, "x-http-method-override: PUT\r\n")),
        (
            "what is accepted",
            post(path, "accept: */*;q=0.1\r\naccept-encoding: gzip, br\r\nte: trailers\r\n"),
        ),
        ("a connection that ends", post(path, "connection: close\r\n")),
        (
            "addresses on the way",
            post(path, "forwarded: for=192.0.2.1\r\nx-forwarded-for: 192.0.2.1\r\nvia: 1.1 a\r\n"),
        ),
        ("a name with an underscore", post(path, "x_actor: a\r\n")),
    ]
}
