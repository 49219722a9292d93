//! Exchanges that a client begins over HTTP/2.
//!
//! Invariant: as over HTTP/1.1; the API sees that, and answers in it.

use hyper::Method;

use super::{
    LARGE, Mode, SIZES, is_accepted,
    written::{answer, answer_in_chunks, empty, gzip, json_of, ok, until_the_end},
};

/// A request over HTTP/2, and what the API answers over HTTP/1.1.
pub(in super::super) struct H2Case {
    pub(in super::super) name: String,
    pub(in super::super) method: Method,
    pub(in super::super) path: String,
    pub(in super::super) fields: Fields,
    /// The data frames of the body; without one the headers end the request.
    pub(in super::super) body: Vec<Vec<u8>>,
    pub(in super::super) trailers: bool,
    pub(in super::super) answer: Vec<u8>,
    pub(in super::super) accepted_write: bool,
}

/// Header fields, in their order.
type Fields = Vec<(String, Vec<u8>)>;

/// What is sent behind the headers.
struct Sent {
    name: String,
    body: Vec<Vec<u8>>,
    trailers: bool,
}

/// All that are sent over HTTP/2 to the resource of one capture mode.
pub(in super::super) fn for_http_2(mode: Mode) -> Vec<H2Case> {
    let mut cases = Vec::new();
    for sent in sent() {
        for (answered, answer) in answers() {
            for (method, path) in
                [(Method::GET, mode.path.to_owned()), (Method::POST, mode.path.to_owned())]
            {
                let name = format!("{method} with {}, answer {answered}", sent.name);
                cases.push(case(name, method, path, &sent, &answer));
            }
        }
    }
    let ordinary = Sent { name: String::new(), body: vec![b"{}".to_vec()], trailers: false };
    let accepted = ok("{\"id\":7}");
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let path = format!("{}/7", mode.path);
        cases.push(case(format!("{method}"), method, path, &ordinary, &accepted));
    }
    for (name, fields) in fields() {
        let path = format!("{}?a=%20&b", mode.path);
        let plain = case(format!("with {name}"), Method::POST, path, &ordinary, &accepted);
        cases.push(H2Case { fields, ..plain });
    }
    for size in SIZES {
        let sent = Sent { name: String::new(), body: vec![json_of(size)], trailers: false };
        let path = mode.path.to_owned();
        let name = format!("{size} bytes both ways");
        cases.push(case(name, Method::POST, path, &sent, &ok(json_of(size))));
    }
    cases
}

fn case(name: String, method: Method, path: String, sent: &Sent, answer: &[u8]) -> H2Case {
    H2Case {
        name,
        accepted_write: is_accepted(answer) && method != Method::GET,
        method,
        path,
        fields: Vec::new(),
        body: sent.body.clone(),
        trailers: sent.trailers,
        answer: answer.to_owned(),
    }
}

fn sent() -> Vec<Sent> {
    let single = b"{\"name\":\"Ada\"}".chunks(1).map(<[u8]>::to_vec).collect();
    let all = [
        ("no body", vec![], false),
        ("a body", vec![b"{\"name\":\"Ada\"}".to_vec()], false),
        ("a frame for each byte", single, false),
        ("a frame with nothing", vec![vec![], b"{}".to_vec(), vec![]], false),
        ("trailers", vec![b"{}".to_vec()], true),
        ("4 MB", vec![vec![b'z'; LARGE]], false),
    ];
    let named = all.into_iter();
    named.map(|(name, body, trailers)| Sent { name: name.to_owned(), body, trailers }).collect()
}

fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let large = json_of(LARGE);
    let parts: Vec<_> = large.chunks(60_000).collect();
    vec![
        ("201", answer(201, "", "{\"id\":7}")),
        ("204", empty(204, "x-was: here\r\n")),
        ("302", empty(302, "location: /elsewhere\r\n")),
        ("400", answer(400, "", "{}")),
        ("503 in chunks", answer_in_chunks(503, &[b"{", b"}"], "")),
        ("4 MB in chunks", answer_in_chunks(200, &parts, "")),
        ("trailers", answer_in_chunks(200, &[b"{}"], "x-sum: 1\r\n")),
        ("a body up to the end of the connection", until_the_end("{\"id\":7}")),
        ("gzip", answer(200, "content-encoding: gzip\r\n", gzip())),
    ]
}

fn fields() -> Vec<(&'static str, Fields)> {
    let one = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    vec![
        ("many fields", (0..70).map(|at| one(&format!("x-{at}"), b"a")).collect()),
        ("a long value", vec![one("x-long", &b"v".repeat(16 << 10))]),
        ("the same field twice", vec![one("x-a", b"1"), one("x-b", b"0"), one("x-a", b"2")]),
        ("an empty value", vec![one("x-empty", b"")]),
        ("cookies in pieces", vec![one("cookie", b"a=1"), one("cookie", b"b=2")]),
        ("values that are not UTF-8", vec![one("x-odd", b"\xff\xfe"), one("traceparent", b"\xff")]),
        (
            "a token and a key",
            vec![one("authorization", b"Bearer t"), one("idempotency-key", b"k")],
        ),
    ]
}
