//! Reads a body of JSON.
//!
//! Invariant: no body is held that is longer than the limit, none is waited for longer than the
//! time-out, and none is parsed that is nested deeper than the parser may recurse.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use super::Problem;
use crate::ingest::cloudevents::essence;

/// The longest body, in bytes.
pub(super) const LIMIT: usize = 256 * 1024;
/// The deepest nesting of arrays and objects.
const DEPTH: usize = 64;
/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A body of JSON. A missing `content-type` is taken for JSON, another one is refused.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Value);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType("application/json"));
        }
        parse(&arrived(request.into_body(), LIMIT, TIMEOUT).await?).map(Self)
    }
}

/// A body of JSON that may be missing.
#[derive(Debug)]
pub(super) struct MaybeJsonBody(pub(super) Option<Value>);

impl<S: Sync> FromRequest<S> for MaybeJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let named = is_json(request.headers());
        let body = arrived(request.into_body(), LIMIT, TIMEOUT).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        if !named {
            return Err(Problem::UnsupportedMediaType("application/json"));
        }
        parse(&body).map(Some).map(Self)
    }
}

/// All of a body, if it is not too long and comes in time.
pub(super) async fn arrived(body: Body, limit: usize, within: Duration) -> Result<Bytes, Problem> {
    let body = Limited::new(body, limit).collect();
    match tokio::time::timeout(within, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::TooLarge(limit)),
        Ok(Err(_)) => Err(Problem::Malformed("the body broke off".to_owned())),
        Err(_) => Err(Problem::TooSlow),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_none_or(|essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// What the body is said to be, without parameters and in lower case; empty if that cannot be
/// read.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    Some(essence(headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default()))
}

fn parse(body: &Bytes) -> Result<Value, Problem> {
    let malformed = |detail: String| Err(Problem::Malformed(detail));
    if body.is_empty() {
        return malformed("the body is empty".to_owned());
    }
    if depth(body) > DEPTH {
        return malformed(format!("the body is nested deeper than {DEPTH} levels"));
    }
    serde_json::from_slice(body)
        .or_else(|error| malformed(format!("the body is not JSON: {error}")))
}

/// How deep brackets are nested outside of strings. Exact for JSON; for anything else it does
/// not matter.
fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    async fn read(content_type: Option<&str>, body: impl Into<Body>) -> Result<Value, Problem> {
        let mut request = Request::post("/");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(body.into()).unwrap();
        JsonBody::from_request(request, &()).await.map(|body| body.0)
    }

    async fn refusal(body: impl Into<Body>) -> String {
        match read(None, body).await.unwrap_err() {
            Problem::Malformed(detail) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn json_goes_by_several_names_or_none() {
        for name in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/merge-patch+json"),
        ] {
            assert!(read(name, "{}").await.is_ok(), "{name:?}");
        }
        for name in ["text/plain", "application/x-www-form-urlencoded", "", "json"] {
            let refused = read(Some(name), "{}").await;
            assert!(matches!(refused, Err(Problem::UnsupportedMediaType(_))), "{name:?}");
        }
    }

    #[tokio::test]
    async fn says_where_the_json_ends() {
        assert_eq!(refusal("").await, "the body is empty");
        assert_eq!(
            refusal("{\n  \"url\": }").await,
            "the body is not JSON: expected value at line 2 column 10"
        );
        assert_eq!(
            refusal("{} {}").await,
            "the body is not JSON: trailing characters at line 1 column 4"
        );
        assert!(refusal(&b"\"\xff\""[..]).await.starts_with("the body is not JSON"));
    }

    #[tokio::test]
    async fn as_deep_as_allowed_and_no_deeper() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(None, nested(DEPTH)).await.is_ok());
        for depth in [DEPTH + 1, 100_000] {
            assert_eq!(refusal(nested(depth)).await, "the body is nested deeper than 64 levels");
        }
    }

    #[tokio::test]
    async fn as_long_as_allowed_and_no_longer() {
        let long = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
        assert!(read(None, long(LIMIT)).await.is_ok());
        let refused = read(None, long(LIMIT + 1)).await;
        assert!(matches!(refused, Err(Problem::TooLarge(LIMIT))));
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_not_waited_for() {
        let endless = stream::pending::<Result<Bytes, std::io::Error>>();
        let refused = arrived(Body::from_stream(endless), LIMIT, Duration::from_millis(1)).await;
        assert!(matches!(refused, Err(Problem::TooSlow)));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = stream::iter([Ok("{"), Err(std::io::Error::other("reset"))]);
        assert_eq!(refusal(Body::from_stream(broken)).await, "the body broke off");
    }

    proptest! {
        #[test]
        fn brackets_in_strings_do_not_count(text: String) {
            let json = serde_json::to_vec(&[[text]]).unwrap();
            prop_assert_eq!(depth(&json), 2);
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let _ = parse(&Bytes::from(bytes));
        }
    }
}
