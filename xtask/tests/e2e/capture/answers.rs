//! One ordinary write, and answers of many kinds.
//!
//! Invariant: an answer is what an API may really send.

use serde_json::{Value, json};

use super::case::{Case, Request, ada, answer, empty};

/// More than the 64 KiB that a route captures.
const LARGE: usize = 100_000;

fn post() -> Request {
    Request::json("POST", "/people", r#"{"name":"Ada"}"#)
}

fn case(name: &'static str, answer: impl Into<Vec<u8>>) -> Case {
    Case::new(name, post(), answer)
}

fn created(case: Case, holds: impl IntoIterator<Item = (&'static str, Value)>) -> Case {
    case.becomes("people.created", "people/7", holds)
}

pub(super) fn answers() -> Vec<Case> {
    let id = r#"{"id":7}"#;
    let status = |status: u16| [("/exchange/status", json!(status))];
    let sent = || [("/data/name", json!("Ada"))];
    let batch = || Request::json("POST", "/batches", r#"[{"n":1},{"n":2}]"#);
    vec![
        created(case("200", answer("200 OK", id)), status(200)),
        created(case("201", answer("201 Created", id)), status(201)),
        created(case("202", answer("202 Accepted", id)), status(202))
            .note("accepted is accepted: what came of it is not known"),
        case("204", empty("204 No Content", ""))
            .becomes("people.created", None, sent())
            .note("`data` is what was sent"),
        created(case("207", answer("207 Multi-Status", id)), status(207))
            .note("one event, although parts of it may have failed"),
        created(case("a 2xx that nobody has defined", answer("299 Why Not", id)), status(299)),
        created(
            case(
                "201 with nothing but a `Location`",
                empty("201 Created", "location: https://api/people/7?x=1\r\n"),
            ),
            sent(),
        )
        .note("the id is its last segment"),
        case(
            "201 with a `Location` that is the collection",
            empty("201 Created", "location: /people\r\n"),
        )
        .becomes("people.created", None, sent()),
        case("200 with a `Location`", empty("200 OK", "location: /people/7\r\n"))
            .becomes("people.created", None, sent())
            .note("only with 201 is it the new resource's"),
        created(
            case(
                "early hints before it",
                [
                    &b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"[..],
                    &answer("201 Created", id),
                ]
                .concat(),
            ),
            status(201),
        ),
        case("302", empty("302 Found", "location: /people/7\r\n")).counted("not_accepted"),
        case("304", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n").counted("not_accepted"),
        case("400", answer("400 Bad Request", "{}")).counted("not_accepted"),
        case("404", answer("404 Not Found", "{}")).counted("not_accepted"),
        case("500", answer("500 Internal Server Error", "{}")).counted("not_accepted"),
        case(
            "gRPC's media type",
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n",
        )
        .counted("grpc"),
        case("what is no HTTP", "no HTTP\r\n\r\n")
            .counted("not_accepted")
            .note("the gateway answers 502"),
        case(
            "it breaks off in the middle",
            "HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{",
        )
        .becomes("people.created", None, [("/exchange/response/incomplete", json!(true))])
        .note("the API did accept it, although the client saw an error"),
        Case::new(
            "a list, where the route says `bulk`",
            batch(),
            answer("201 Created", r#"[{"id":"a"},{"id":"b"}]"#),
        )
        .becomes("batch.created", "batches/a", [("/data", json!({"id": "a"}))])
        .becomes("batch.created", "batches/b", [("/data", json!({"id": "b"}))])
        .note("one for each element, with what was sent of it"),
        Case::new(
            "a list with 207, where the route says `bulk`",
            batch(),
            answer("207 Multi-Status", r#"[{"id":"a"},{"error":1}]"#),
        )
        .becomes("batch.created", None, [("/data/0/id", json!("a"))])
        .note("one: which of them succeeded is said in the API's own way"),
        Case::new(
            "no list, where the route says `bulk`",
            batch(),
            answer("201 Created", r#"{"id":"a"}"#),
        )
        .becomes("batch.created", "batches/a", []),
        created(
            case(
                "a list, where the route says nothing of it",
                answer("201 Created", r#"[{"id":7}]"#),
            ),
            [],
        )
        .nothing_known()
        .note("one, with the list"),
    ]
}

pub(super) fn bodies() -> Vec<Case> {
    let large = format!(r#"{{"id":7,"text":"{}"}}"#, "x".repeat(LARGE));
    let response = |pointer, value: Value| [(pointer, value)];
    let gone = || empty("204 No Content", "");
    let png =
        b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\n\x89P\x00\xff"
            .to_vec();
    let base64 = json!({"id": "7", "content_type": "image/png", "content_encoding": null, "base64": "iVAA/w=="});
    vec![
        created(case("chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"i\r\n5\r\nd\":7}\r\n0\r\n\r\n"), [("/data/id", json!(7))]),
        created(case("trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n8\r\n{\"id\":7}\r\n0\r\nx-sum: 1\r\n\r\n"), [("/data/id", json!(7))]).note("trailers are not kept"),
        created(case("up to the end of the connection", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"id\":7}"), [("/data/id", json!(7))]),
        Case::new("a pointer that leads nowhere", post(), answer("200 OK", r#"{"uid":7}"#)).becomes("people.created", None, [("/data/uid", json!(7))]).note("the id is looked for at `/id`, or where the route says"),
        Case::new("an id that is a text", post(), answer("200 OK", r#"{"id":"a/b"}"#)).becomes("people.created", "people/a%2Fb", []).note("it stays one segment"),
        created(Case::new("an id only in what was sent", Request::json("POST", "/people", r#"{"id":7}"#), gone()), []),
        Case::new("longer than the route captures", Request::json("PUT", "/people/7", "{}"), answer("200 OK", &large))
            .becomes("people.updated", "people/7", [("/exchange/response/truncated", json!(true)), ("/data", json!({"id": "7"}))])
            .note("a thin event: `truncated`, and the id for `data`; the client gets all of it"),
        Case::new("a request longer than the route captures", Request::json("PUT", "/people/7", &large), ada())
            .becomes("people.updated", "people/7", [("/exchange/request/truncated", json!(true)), ("/data/name", json!("Ada"))]),
        Case::new("longer, in chunks", Request::json("PUT", "/people/7", "{}"), chunked(&large))
            .becomes("people.updated", "people/7", response("/exchange/response/truncated", json!(true))),
        Case::new("gzip", Request::json("POST", "/orders", "{}"), gzip())
            .becomes(
                "order.created",
                "orders/7",
                [
                    ("/data", json!({"id": 7})),
                    ("/exchange/response/content_encoding", json!("gzip")),
                ],
            )
            .note("decoded in the sidecar, which finds the id: gzip, deflate, br, zstd, up to 4 MiB"),
        Case::new("gzip, with something to redact", Request::json("POST", "/people", "{}"), gzip())
            .becomes("people.created", None, response("/exchange/response/truncated", json!(true)))
            .note("the body does not leave the gateway; see above"),
        Case::new("an encoding that is none", Request::json("PUT", "/orders/7", "{}"), encoded("x-odd", "xx"))
            .becomes("order.updated", "orders/7", [("/data", json!({}))])
            .note("`data` is what was sent, if that can be read"),
        Case::new("no JSON", Request::plain("PUT", "/orders/7"), png)
            .becomes("order.updated", "orders/7", response("/data", base64))
            .note("in base64, with its type"),
        Case::new("JSON that is cut off", Request::plain("PUT", "/orders/7"), answer("200 OK", "{\"id\""))
            .becomes("order.updated", "orders/7", response("/data/base64", json!("eyJpZCI=")))
            .note("in base64"),
        Case::new("events without an end", Request::json("PUT", "/orders/7", "{}"), "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: a\n\r\n0\r\n\r\n")
            .becomes("order.updated", "orders/7", response("/exchange/response/incomplete", json!(true)))
            .note("`text/event-stream` is not waited for"),
    ]
}

impl Case {
    /// The same, but the event does not say what it is about.
    fn nothing_known(mut self) -> Self {
        if let super::case::Becomes::Events(events) = &mut self.becomes {
            for made in events {
                made.subject = None;
            }
        }
        self
    }
}

fn chunked(body: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(30_000) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend([chunk, b"\r\n"].concat());
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

fn encoded(encoding: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// `{"id":7}`, in gzip.
const GZIP: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0xca, 0x4c, 0x51, 0xb2,
    0x32, 0xaf, 0x05, 0x00, 0x43, 0x5f, 0x07, 0x12, 0x08, 0x00, 0x00, 0x00,
];

fn gzip() -> Vec<u8> {
    let length = GZIP.len();
    let head = format!(
        "HTTP/1.1 201 Created\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), &GZIP].concat()
}
