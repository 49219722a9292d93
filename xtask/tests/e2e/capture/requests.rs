//! Requests of many kinds, and one ordinary answer.
//!
//! Invariant: the answer is always a 2xx of the API, so that whatever becomes no event does so
//! because of the request, or was refused by the gateway.

use serde_json::json;

use super::case::{Case, Request, ada, answer, empty};

pub(super) fn paths() -> Vec<Case> {
    let post = |name, path| Case::new(name, Request::json("POST", path, "{}"), ada());
    let put = |name, path| Case::new(name, Request::json("PUT", path, "{}"), ada());
    let path = |path: &str| [("/exchange/path", json!(path))];
    let member = answer("201 Created", r#"{"id":"m9"}"#);
    vec![
        post("POST to the collection", "/people").becomes(
            "people.created",
            "people/7",
            [("/data/name", json!("Ada"))],
        ),
        put("PUT to a resource", "/people/7").becomes("people.updated", "people/7", []),
        post("a slash at the end", "/people/").becomes(
            "people.created",
            "people/7",
            path("/people/"),
        ),
        put("a slash at the end of a resource", "/people/7/").becomes(
            "people.updated",
            "people/7",
            [],
        ),
        post("a query", "/people?notify=1&a=%2F")
            .becomes("people.created", "people/7", path("/people?notify=1&a=%2F"))
            .note("the path with its query"),
        put("percent-encoding that need not be", "/%70eople/%37")
            .becomes("people.updated", "people/7", path("/people/7"))
            .note("the path as the API got it, decoded by the gateway"),
        put("percent-encoding that has to be", "/people/a%20b").becomes(
            "people.updated",
            "people/a b",
            path("/people/a%20b"),
        ),
        put("an escape that is none", "/people/%zz")
            .becomes("people.updated", "people/%zz", [])
            .note("passed on as it is"),
        put("a dot segment", "/people/./7").becomes(
            "people.updated",
            "people/7",
            path("/people/7"),
        ),
        put("two dots", "/other/../people/7").becomes(
            "people.updated",
            "people/7",
            path("/people/7"),
        ),
        put("escaped dots", "/other/%2e%2e/people/7").becomes(
            "people.updated",
            "people/7",
            path("/people/7"),
        ),
        put("dots that lead away", "/people/../other/7").note("the API got `/other/7`"),
        put("dots behind a semicolon", "/people/..;/other")
            .note("the gateway takes it for `/other`"),
        put("doubled slashes", "//people//7").becomes(
            "people.updated",
            "people/7",
            path("/people/7"),
        ),
        put("an escaped slash", "/people%2F7").note("refused by the gateway with 400"),
        put("an escaped backslash", "/people%5C7").note("refused by the gateway with 400"),
        put("an escaped NUL", "/people/1%00").note("refused by the gateway with 400"),
        put("capital letters", "/PEOPLE/7")
            .counted("unmatched")
            .note("some APIs take it for the same"),
        put("parameters of a segment", "/people/7;v=1")
            .becomes("people.updated", "people/7;v=1", [])
            .note("a part of the id"),
        post("parameters of the collection", "/people;v=1").counted("unmatched"),
        post("below a resource", "/people/7/notes")
            .counted("unmatched")
            .note("a rule of its own makes it an event"),
        put("a collection as a whole", "/people").counted("unmatched").note("the same"),
        put("another path", "/animals/7").note("the filter is not asked"),
        Case::new(
            "a nested collection",
            Request::json("POST", "/orgs/7/members", "{}"),
            member.clone(),
        )
        .becomes("member.created", "orgs/7/members/m9", [("/parents", json!({"org": "7"}))])
        .note("`parents` has what the path's parameters stand for: `org` is `7`"),
        Case::new(
            "a nested resource",
            Request::plain("DELETE", "/orgs/a%20b/members/42"),
            empty("204 No Content", ""),
        )
        .becomes(
            "member.deleted",
            "orgs/a b/members/42",
            [("/parents", json!({"org": "a b"}))],
        ),
        Case::new(
            "an action with a rule of its own",
            Request::plain("POST", "/invoices/4/pay"),
            empty("204 No Content", ""),
        )
        .becomes("invoice.paid", "invoices/4", []),
    ]
}

pub(super) fn methods() -> Vec<Case> {
    let ask = |name, method, path| Case::new(name, Request::plain(method, path), ada());
    let override_by = |field, method| Request::json("POST", "/people/7", "{}").with(field, method);
    vec![
        ask("GET", "GET", "/people"),
        Case::new("GET with a body", Request::json("GET", "/people", "{}"), ada()),
        Case::new("HEAD", Request::plain("HEAD", "/people"), empty("200 OK", "")),
        ask("OPTIONS", "OPTIONS", "/people"),
        ask("TRACE", "TRACE", "/people"),
        ask("PATCH", "PATCH", "/people/7").becomes("people.updated", "people/7", [("/exchange/method", json!("PATCH"))]),
        ask("DELETE", "DELETE", "/people/7").becomes("people.deleted", "people/7", [("/data", json!({"id": "7"}))]).note("`data` is the id, whatever the API answered"),
        Case::new("PUT that creates", Request::json("PUT", "/people/8", "{}"), answer("201 Created", r#"{"id":8}"#))
            .becomes("people.created", "people/8", []),
        Case::new("POST that stands for DELETE", override_by("x-http-method-override", "DELETE"), ada())
            .becomes("people.deleted", "people/7", [("/exchange/method", json!("POST"))])
            .note("by `X-HTTP-Method-Override`, `X-Method-Override` or `X-HTTP-Method`, where no rule has a POST"),
        Case::new("POST that stands for PATCH", override_by("x-method-override", "patch"), ada())
            .becomes("people.updated", "people/7", []),
        Case::new("POST that stands for GET", override_by("x-http-method", "GET"), ada()).counted("unmatched"),
        Case::new(
            "POST with a rule, that stands for another method",
            Request::json("POST", "/people", "{}").with("x-http-method-override", "GET"),
            ada(),
        )
        .becomes("people.created", "people/7", [])
        .note("a header can't hide what a POST does"),
    ]
}

pub(super) fn shapes() -> Vec<Case> {
    let post = || Request::json("POST", "/people", r#"{"name":"Ada"}"#);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let gone = || empty("204 No Content", "");
    let order = || Request::json("POST", "/orders", r#"{"n":1}"#).with("idempotency-key", "k-1");
    vec![
        Case::new("no body", Request::plain("POST", "/people"), gone())
            .becomes("people.created", None, [("/data", json!({"id": null}))])
            .note("nothing but that it happened, when the answer has no body either"),
        Case::new("a body in chunks, with trailers", post().with_trailers(), gone())
            .becomes("people.created", None, [("/data/name", json!("Ada"))])
            .note("`data` is what was sent, when the API returned nothing; trailers are not kept"),
        Case::new(
            "headers that the route names",
            post().with("x-actor", "grace").with("x-other", "no"),
            ada(),
        )
        .becomes(
            "people.created",
            "people/7",
            [("/exchange/headers", json!([{"name": "x-actor", "value": "grace"}]))],
        )
        .note("those, and no others"),
        Case::new(
            "header values that are not UTF-8",
            post().with("x-actor", b"\xffx".to_vec()).with("x-odd", b"\xfe".to_vec()),
            ada(),
        )
        .becomes("people.created", "people/7", [("/exchange/headers/0/value", json!("\u{fffd}x"))])
        .note("what is no UTF-8 is replaced by U+FFFD"),
        Case::new("a trace", post().with("traceparent", trace).with("tracestate", "a=b"), ada())
            .becomes(
                "people.created",
                "people/7",
                [("/exchange/traceparent", json!(trace)), ("/exchange/tracestate", json!("a=b"))],
            ),
        Case::new(
            "a secret that the route redacts",
            Request::json("POST", "/people", r#"{"password":"x","n":1.0}"#),
            gone(),
        )
        .becomes("people.created", None, [("/data/password", json!("[redacted]"))])
        .note("masked in the gateway; every other byte as it was"),
        Case::new(
            "something to redact in what is no JSON",
            post().with("content-type", "text/plain").body("password=x"),
            gone(),
        )
        .becomes("people.created", None, [("/exchange/request/truncated", json!(true))])
        .note("the body does not leave the gateway"),
        Case::new(
            "gRPC",
            Request::plain("POST", "/people")
                .with("content-type", "application/grpc+proto")
                .body("x"),
            ada(),
        )
        .counted("grpc")
        .note("its outcome is in trailers"),
        Case::new(
            "an `Idempotency-Key`, the first time",
            order(),
            answer("201 Created", r#"{"id":"o1"}"#),
        )
        .becomes("order.created", "orders/o1", [])
        .note("where the route says `idempotency_key: true`"),
        Case::new("the same again", order(), answer("201 Created", r#"{"id":"o1"}"#))
            .note("the API gave its answer again, so it is the same write"),
        Case::new(
            "the same key, but the API did it once more",
            order(),
            answer("201 Created", r#"{"id":"o2"}"#),
        )
        .becomes("order.created", "orders/o2", []),
    ]
}

pub(super) fn bytes() -> Vec<Case> {
    let case = |name, bytes: &[u8]| Case::new(name, Request::Bytes(bytes.to_vec()), ada());
    let refused = |name, bytes: &[u8]| case(name, bytes).note("refused by the gateway");
    let created = |case: Case| case.becomes("people.created", "people/7", []);
    let large = format!(
        "POST /people HTTP/1.1\r\nhost: api\r\nx-a: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        "a".repeat(70_000)
    );
    let many = format!(
        "POST /people HTTP/1.1\r\nhost: api\r\n{}content-length: 2\r\n\r\n{{}}",
        "x-a: 1\r\n".repeat(120)
    );
    vec![
        created(case("the absolute form", b"POST http://api/people HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\n\r\n{}")),
        created(case("an upgrade to HTTP/2 that is not taken", b"POST /people HTTP/1.1\r\nhost: api\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\ncontent-length: 2\r\n\r\n{}")),
        created(created(case("two requests behind each other", b"POST /people HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\n\r\n{}POST /people HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\n\r\n{}"))),
        created(case("`Expect: 100-continue`", b"POST /people HTTP/1.1\r\nhost: api\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}")),
        created(case("a folded header", b"POST /people HTTP/1.1\r\nhost: api\r\nx-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\n{}")),
        created(case(
            "two `Host` headers",
            b"POST /people HTTP/1.1\r\nhost: api\r\nhost: other\r\ncontent-length: 2\r\n\r\n{}",
        )),
        created(case(
            "lines that end with LF alone",
            b"POST /people HTTP/1.1\nhost: api\ncontent-length: 2\n\n{}",
        )),
        refused("HTTP/0.9", b"GET /people\r\n"),
        refused("HTTP/1.0", b"POST /people HTTP/1.0\r\nhost: api\r\ncontent-length: 2\r\n\r\n{}").note("refused by the gateway with 426"),
        refused("two lengths", b"POST /people HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x"),
        refused("a length and chunks", b"POST /people HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        refused("chunks that are none", b"POST /people HTTP/1.1\r\nhost: api\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        refused("a method in small letters", b"post /people HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\n\r\n{}"),
        refused("a NUL in a header", b"POST /people HTTP/1.1\r\nhost: api\r\nx-a: \0\r\ncontent-length: 2\r\n\r\n{}"),
        refused("headers of more than 60 KiB", large.as_bytes()).note("refused by the gateway with 431"),
        refused("more than 100 headers", many.as_bytes()).note("refused by the gateway with 431"),
        refused("CONNECT", b"CONNECT /people HTTP/1.1\r\nhost: api\r\n\r\n"),
        case("a WebSocket", b"GET /people HTTP/1.1\r\nhost: api\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"),
    ]
}
