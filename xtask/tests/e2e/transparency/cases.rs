//! Exchanges of many shapes.
//!
//! Invariant: an answer is what an API may really send; a request what a client may.

use hyper::Method;

/// A request and what the API answers, byte for byte.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Vec<u8>,
    pub(super) answer: Vec<u8>,
    /// No event, although it may look like an accepted write.
    pub(super) silent: bool,
}

/// A request over HTTP/2, and what the API answers over HTTP/1.1.
pub(super) struct H2Case {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) body: Option<Vec<u8>>,
    pub(super) trailers: bool,
    pub(super) answer: Vec<u8>,
    pub(super) accepted_write: bool,
}

/// More than any buffer on the way: 4 MB.
const LARGE: usize = 4 << 20;

const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

impl Case {
    fn new(name: &str, request: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) -> Self {
        let (request, answer) = (request.into(), answer.into());
        Self { name: name.to_owned(), request, answer, silent: false }
    }

    pub(super) fn method(&self) -> &str {
        let line = self.request.split(|byte| *byte == b' ').next().unwrap_or_default();
        str::from_utf8(line).unwrap_or_default()
    }

    /// Whether the API accepts it and it is of a kind that becomes an event.
    pub(super) fn is_accepted_write(&self) -> bool {
        let head = self.answer.split_at(self.answer.len().min(100)).0;
        let accepted = head.windows(10).any(|part| part == b"HTTP/1.1 2");
        WRITES.contains(&self.method()) && accepted && !self.silent
    }
}

/// All that are sent over HTTP/1.1.
pub(super) fn all() -> Vec<Case> {
    let mut cases = methods();
    cases.extend(answers());
    cases.extend(requests());
    cases
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"] {
        let path =
            if matches!(method, "PUT" | "PATCH" | "DELETE") { "/people/7" } else { "/people" };
        for (kind, answer) in [("200", ok("{\"id\":7}")), ("204", NO_CONTENT.to_owned())] {
            // The answer to HEAD has the header fields of the one to GET, and no body.
            let answer = if method == "HEAD" { head_only(&answer) } else { answer };
            cases.push(Case::new(&format!("{method} {kind}"), bare(method, path), answer));
        }
        if matches!(method, "POST" | "PUT" | "PATCH") {
            let request = with_body(method, path, "{\"name\":\"Ada\"}");
            cases.push(Case::new(&format!("{method} with a body"), request, ok("{\"id\":7}")));
        }
    }
    cases
}

/// One ordinary write, many answers.
fn answers() -> Vec<Case> {
    let large = "x".repeat(LARGE);
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("201 with a Location alone", "HTTP/1.1 201 Created\r\nlocation: /people/7\r\ncontent-length: 0\r\n\r\n".into()),
        ("202", "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".into()),
        ("207", "HTTP/1.1 207 Multi-Status\r\ncontent-length: 2\r\n\r\n[]".into()),
        ("302", "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".into()),
        ("304", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".into()),
        ("400", "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}".into()),
        ("422 in chunks", "HTTP/1.1 422 Unprocessable\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".into()),
        ("500", "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noh\r\n".into()),
        ("a reason of its own", "HTTP/1.1 299 Why Not\r\ncontent-length: 0\r\n\r\n".into()),
        ("chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"i\r\n5\r\nd\":7}\r\n0\r\n\r\n".into()),
        ("no chunk but the last", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        ("trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n".into()),
        ("a body up to the end of the connection", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"id\":7}".into()),
        ("gzip", gzip()),
        ("4 MB", ok(&large).into()),
        ("4 MB in chunks", chunked(&large)),
        ("early hints", [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", ok("{}").as_bytes()].concat()),
        ("values that are not UTF-8", b"HTTP/1.1 200 OK\r\nx-odd: \xff\xfe\r\ncontent-type: \xe9\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        ("cookies and an empty value", "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-empty:\r\ncontent-length: 0\r\n\r\n".into()),
        ("a body that is not JSON", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n{\"i".into()),
        ("gRPC", "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n".into()),
        ("events without an end", "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: a\n\r\n0\r\n\r\n".into()),
    ];
    let request = with_body("POST", "/people", "{\"name\":\"Ada\"}");
    let named = answers.into_iter();
    let case = |(name, answer): (&str, Vec<u8>)| Case {
        // The outcome of a call is in its trailers, which nobody here reads.
        silent: name == "gRPC",
        ..Case::new(&format!("answer: {name}"), request.clone(), answer)
    };
    named.map(case).collect()
}

/// Many writes, one ordinary answer.
fn requests() -> Vec<Case> {
    let large = "y".repeat(LARGE);
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("no body and no length", bare("POST", "/people").into()),
        ("an empty body", with_body("POST", "/people", "").into()),
        ("4 MB", with_body("POST", "/people", &large).into()),
        ("chunks", "POST /people HTTP/1.1\r\nhost: api\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"i\r\n5\r\nd\":7}\r\n0\r\n\r\n".into()),
        ("trailers", "POST /people HTTP/1.1\r\nhost: api\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n".into()),
        ("a query", with_body("POST", "/people?a=1&b=%20", "{}").into()),
        ("a trailing slash and a dot", with_body("POST", "/./people", "{}").into()),
        ("an expectation", "POST /people HTTP/1.1\r\nhost: api\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}".into()),
        ("values that are not UTF-8", b"POST /people HTTP/1.1\r\nhost: api\r\nx-odd: \xff\xfe\r\ncontent-type: \xe9\r\ntraceparent: \xff\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        ("the same header twice", "POST /people HTTP/1.1\r\nhost: api\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 2\r\n\r\n{}".into()),
        ("a cookie and a token", "POST /people HTTP/1.1\r\nhost: api\r\ncookie: a=1; b=2\r\nauthorization: Bearer t\r\ncontent-length: 2\r\n\r\n{}".into()),
        ("binary", [b"POST /people HTTP/1.1\r\nhost: api\r\ncontent-length: 256\r\n\r\n".as_slice(), &(0..=255).collect::<Vec<u8>>()].concat()),
        ("trace context", "POST /people HTTP/1.1\r\nhost: api\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\ncontent-length: 2\r\n\r\n{}".into()),
    ];
    let answer = "HTTP/1.1 201 Created\r\ncontent-length: 8\r\n\r\n{\"id\":7}";
    let named = requests.into_iter();
    let mut cases: Vec<_> = named
        .map(|(name, request)| Case::new(&format!("request: {name}"), request, answer))
        .collect();
    let escaped_slash = with_body("POST", "/people%2F7", "{}");
    cases.push(Case { silent: true, ..Case::new("an escaped slash", escaped_slash, answer) });
    cases
}

/// All that are sent over HTTP/2.
pub(super) fn for_http_2() -> Vec<H2Case> {
    let large = vec![b'z'; LARGE];
    let bodies = [
        ("no body", None, false),
        ("a body", Some(b"{\"name\":\"Ada\"}".to_vec()), false),
        ("trailers", Some(b"{}".to_vec()), true),
        ("4 MB", Some(large), false),
    ];
    let answers = [
        ("201", Vec::from("HTTP/1.1 201 Created\r\ncontent-length: 8\r\n\r\n{\"id\":7}"), true),
        ("204", NO_CONTENT.into(), true),
        ("400", "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}".into(), false),
        ("4 MB in chunks", chunked(&"x".repeat(LARGE)), true),
        (
            "trailers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n"
                .into(),
            true,
        ),
    ];
    let mut cases = Vec::new();
    for (sent, body, trailers) in &bodies {
        for (answered, answer, accepted) in &answers {
            for method in [Method::GET, Method::POST] {
                cases.push(H2Case {
                    name: format!("{method} with {sent}, answer {answered}"),
                    accepted_write: *accepted && method == Method::POST,
                    method,
                    body: body.clone(),
                    trailers: *trailers,
                    answer: answer.clone(),
                });
            }
        }
    }
    cases
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nx-was: here\r\n\r\n";

fn bare(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: api\r\nuser-agent: test\r\n\r\n")
}

fn with_body(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: api\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn head_only(answer: &str) -> String {
    let end = answer.find("\r\n\r\n").map_or(answer.len(), |at| at + 4);
    answer.split_at(end).0.to_owned()
}

fn chunked(body: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(60_000) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

/// `{}` in gzip (RFC 1952), in one stored block.
fn gzip() -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
        content-encoding: gzip\r\ncontent-length: 25\r\n\r\n"
        .to_vec();
    answer.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    answer.extend([1, 2, 0, 0xfd, 0xff, b'{', b'}']);
    answer.extend(0x7b_7d_u32.to_le_bytes());
    answer.extend(2_u32.to_le_bytes());
    answer
}
