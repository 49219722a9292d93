//! Heads of answers that no server should send, and some that look odd but are answers.
//!
//! Invariant: what is not HTTP/1 is no answer; what is, counts by its status.

use std::time::Duration;

use sidehook::model::Outcome;

use crate::{
    ground::Receiver,
    table::{Case, Expected, case},
};

const BROKEN: Expected = Expected::Failed(Outcome::Connection);
const SILENT: Expected = Expected::Failed(Outcome::Timeout);
const OK: Expected = Expected::Status(200);

/// Heads that are said in one go, after the request was heard.
const SAID: [(&str, Expected, &str); 26] = [
    ("talks garbage", BROKEN, "\x00\x01\x02\x03\r\n\r\n"),
    ("talks SSH", BROKEN, "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("talks HTTP/0.9", BROKEN, "<html>hello</html>\r\n"),
    ("talks RTSP", BROKEN, "RTSP/1.0 200 OK\r\n\r\n"),
    ("talks HTTP/3", BROKEN, "HTTP/3.0 200 OK\r\n\r\n"),
    ("talks HTTP/2 unasked", BROKEN, "\0\0\u{c}\u{4}\0\0\0\0\0\0\u{3}\0\0\0\u{64}\0\u{4}\0\0\0\0"),
    (
        "switches protocols",
        Expected::Status(101),
        "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ),
    ("has no status", BROKEN, "HTTP/1.1 \r\n\r\n"),
    ("has the status 0", BROKEN, "HTTP/1.1 000 None\r\n\r\n"),
    ("has a status of four digits", BROKEN, "HTTP/1.1 2000 OK\r\n\r\n"),
    ("has a header without a colon", BROKEN, "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    ("has a NUL in a header", BROKEN, "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"),
    ("has a negative length", BROKEN, "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
    (
        "has an immense length",
        BROKEN,
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ),
    (
        "has two lengths",
        BROKEN,
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    ),
    (
        "says to go on and then answers",
        OK,
        "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    ("gives no reason", OK, "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"),
    ("ends lines with LF alone", OK, "HTTP/1.1 200 OK\ncontent-length: 0\n\n"),
    ("talks HTTP/1.0", OK, "HTTP/1.0 200 OK\r\n\r\ndone"),
    ("has not changed", Expected::Status(304), "HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\n"),
    ("is gone", Expected::Status(410), "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"),
    (
        "is asked too much",
        Expected::Status(429),
        "HTTP/1.1 429 Slow\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n",
    ),
    ("has the status 599", Expected::Status(599), "HTTP/1.1 599 Away\r\ncontent-length: 0\r\n\r\n"),
    ("has the status 999", Expected::Status(999), "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"),
    (
        "redirects to nowhere",
        Expected::Status(302),
        "HTTP/1.1 302 Away\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "redirects to itself",
        Expected::Status(307),
        "HTTP/1.1 307 Again\r\nlocation: /hook\r\ncontent-length: 0\r\n\r\n",
    ),
];

pub(crate) fn cases() -> Vec<Case> {
    let said = SAID.iter().map(|(name, expected, head)| {
        case(name, *expected, move |mut c| async move { c.answer(head).await })
    });
    let mut cases: Vec<Case> = said.collect();
    cases.extend([
        case("has 100 headers", OK, |mut c| async move {
            let headers = "x-header: x\r\n".repeat(99);
            c.answer(format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n")).await
        }),
        case("has 10,000 headers", BROKEN, |mut c| async move {
            let headers = "x: x\r\n".repeat(10_000);
            c.answer(format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).await
        }),
        case("has a header of a megabyte", BROKEN, |mut c| async move {
            let value = "x".repeat(1024 * 1024);
            c.answer(format!("HTTP/1.1 200 OK\r\nx: {value}\r\n\r\n")).await
        }),
        case("never ends a header", BROKEN, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\nx: ").await?;
            c.repeat("x".repeat(4096), Duration::ZERO).await
        }),
        case("never ends its headers", BROKEN, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\n").await?;
            c.repeat("x: x\r\n".repeat(100), Duration::ZERO).await
        }),
        case("says to go on without end", BROKEN, |mut c| async move {
            c.hear().await?;
            c.repeat("HTTP/1.1 103 Hints\r\nlink: </x>\r\n\r\n", Duration::ZERO).await
        }),
        case("says now and then to go on", SILENT, |mut c| async move {
            c.hear().await?;
            c.repeat("HTTP/1.1 103 Hints\r\n\r\n", Duration::from_millis(100)).await
        }),
    ]);
    cases
}

/// Redirects of each kind to `canary`.
pub(crate) fn redirects(canary: &Receiver) -> Vec<Case> {
    let kinds = [
        ("redirects (301)", 301),
        ("redirects (302)", 302),
        ("redirects (303)", 303),
        ("redirects (307)", 307),
        ("redirects (308)", 308),
    ];
    let url = canary.url();
    let redirect = |(name, status): (&'static str, u16)| {
        let head = format!(
            "HTTP/1.1 {status} Away\r\nlocation: {url}\r\nrefresh: 0; url={url}\r\ncontent-length: 0\r\n\r\n"
        );
        case(name, Expected::Status(status), move |mut c| {
            let head = head.clone();
            async move { c.answer(head).await }
        })
    };
    kinds.map(redirect).into()
}
