//! How a webhook that came is shown: for people, or one JSON object per line. Pure.
//!
//! Invariant: nothing in a webhook can act on the terminal, and a line of JSON is one line.

use axum::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    pretty::{compact, indented},
    receiver::Report,
};
use crate::cli::terminal::escaped;

/// Headers that every HTTP client sends, or that are shown elsewhere.
const USUAL: [&str; 14] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-forwarded-for",
];

/// For people: a headline, the headers of its own, the body.
pub(super) fn for_people(report: &Report) -> String {
    let verdict = report
        .refusal
        .as_ref()
        .map_or_else(|| "✓ verified".to_owned(), |reason| format!("✗ {reason}"));
    let kind = kind(report).unwrap_or_else(|| "(no type)".to_owned());
    let id = header(&report.headers, "webhook-id").unwrap_or_else(|| "(no id)".to_owned());
    let mut lines = vec![
        format!("{}  {verdict}  {kind}  {id}", report.time),
        format!("  POST {} → {}", report.path, report.status.as_u16()),
    ];
    for (name, value) in own_headers::<String>(report) {
        lines.push(format!("  {name}: {value}"));
    }
    lines.extend(body(report).lines().map(|line| format!("  {line}")));
    // Line feeds of the webhook's own can only be in the body, which has been split at them.
    let lines = lines.iter().map(|line| escaped(&line.replace('\n', "\\n")));
    lines.collect::<Vec<_>>().join("\n") + "\n\n"
}

/// For programs: one JSON object on one line.
pub(super) fn for_programs(report: &Report) -> serde_json::Result<String> {
    let json = str::from_utf8(&report.body).ok().and_then(compact);
    let body = match json {
        Some(json) => Some(RawValue::from_string(json)?),
        None => None,
    };
    let not_json = body.is_none() && !report.body.is_empty();
    let line = serde_json::to_string(&Line {
        time: report.time.to_string(),
        verified: report.refusal.is_none(),
        reason: report.refusal.as_deref(),
        status: report.status.as_u16(),
        r#type: kind(report),
        id: header(&report.headers, "webhook-id"),
        path: &report.path,
        headers: own_headers(report).into_iter().collect(),
        body,
        body_base64: not_json.then(|| STANDARD.encode(&report.body)),
    })?;
    Ok(escaped(&line) + "\n")
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    verified: bool,
    reason: Option<&'a str>,
    status: u16,
    r#type: Option<String>,
    id: Option<String>,
    path: &'a str,
    headers: serde_json::Map<String, serde_json::Value>,
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The event type: the body's member `type`, else the header of a binary `CloudEvent`.
fn kind(report: &Report) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let typed = serde_json::from_slice::<Typed>(&report.body).ok();
    typed.map(|typed| typed.r#type).or_else(|| header(&report.headers, "ce-type"))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn own_headers<T: From<String>>(report: &Report) -> Vec<(String, T)> {
    let own = report.headers.iter().filter(|(name, _)| !USUAL.contains(&name.as_str()));
    own.map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
    })
    .collect()
}

fn body(report: &Report) -> String {
    str::from_utf8(&report.body).map_or_else(
        |_| report.body.escape_ascii().to_string(),
        |text| indented(text).unwrap_or_else(|| text.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};
    use sidehook_event::UnixMicros;

    use super::*;

    fn report(headers: &[(&'static str, &[u8])], body: &'static [u8]) -> Report {
        let value = |bytes| HeaderValue::from_bytes(bytes).unwrap();
        Report {
            time: UnixMicros::new(1_763_890_200_000_042),
            path: "/hook?x=1".to_owned(),
            headers: headers.iter().map(|(n, v)| (n.parse().unwrap(), value(v))).collect(),
            body: body.into(),
            refusal: None,
            status: StatusCode::OK,
        }
    }

    fn ada() -> Report {
        report(
            &[
                ("host", b"localhost:5001"),
                ("content-type", b"application/json"),
                ("webhook-id", b"evt_1"),
                ("x-tenant", b"acme"),
            ],
            br#"{"type":"people.created","data":{"id":42,"tags":[]}}"#,
        )
    }

    #[test]
    fn people_see_what_matters() {
        insta::assert_snapshot!(for_people(&ada()), @r#"
        2025-11-23T09:30:00.000042Z  ✓ verified  people.created  evt_1
          POST /hook?x=1 → 200
          x-tenant: acme
          {
            "type": "people.created",
            "data": {
              "id": 42,
              "tags": []
            }
          }
        "#);
    }

    #[test]
    fn people_see_why_it_was_refused() {
        let refused = Report {
            refusal: Some("the signature does not match".to_owned()),
            status: StatusCode::UNAUTHORIZED,
            ..report(&[], b"a=1\nb=2")
        };
        insta::assert_snapshot!(for_people(&refused), @r"
        2025-11-23T09:30:00.000042Z  ✗ the signature does not match  (no type)  (no id)
          POST /hook?x=1 → 401
          a=1
          b=2
        ");
    }

    #[test]
    fn a_terminal_obeys_no_webhook() {
        for hostile in [
            report(&[("webhook-id", b"\x9b2J"), ("x-a", b"\xc2\x9b2J")], b"\x1b[2J\r\xc2\x9b1m"),
            report(&[], b"{\"type\":\"\\u001b[2J\\nverified\",\"a\":\"\xc2\x9b\"}"),
            report(&[], b"\xff\x1b[2J"),
        ] {
            let lines = [for_people(&hostile), for_programs(&hostile).unwrap()];
            for c in lines.iter().flat_map(|text| text.chars()) {
                assert!(c == '\n' || !c.is_control(), "{c:?} in {lines:?}");
            }
        }
        let forged = report(&[], br#"{"type":"a\nb"}"#);
        assert!(
            for_people(&forged).starts_with("2025-11-23T09:30:00.000042Z  ✓ verified  a\\nb  ")
        );
    }

    #[test]
    fn programs_get_one_line() {
        insta::assert_snapshot!(for_programs(&ada()).unwrap(), @r#"{"time":"2025-11-23T09:30:00.000042Z","verified":true,"reason":null,"status":200,"type":"people.created","id":"evt_1","path":"/hook?x=1","headers":{"x-tenant":"acme"},"body":{"type":"people.created","data":{"id":42,"tags":[]}}}"#);
        let spread = for_programs(&report(&[("ce-type", b"a.b")], b"{ \"a\":\n[1,\n2] }")).unwrap();
        assert_eq!(spread.lines().count(), 1);
        assert!(spread.contains(r#""type":"a.b""#) && spread.contains(r#""body":{"a":[1,2]}"#));
        let binary = for_programs(&report(&[], b"\xff\n")).unwrap();
        assert!(binary.contains(r#""body":null,"body_base64":"/wo=""#), "{binary}");
    }
}
