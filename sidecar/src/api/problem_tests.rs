//! What problems look like on the wire.
//!
//! Invariant: a `type` or a status that changed fails a test.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;

async fn answered(problem: Problem) -> Value {
    let response = problem.into_response();
    let header = |name| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
    let (challenge, wait) = (header("www-authenticate"), header("retry-after"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    json!({"body": body, "www-authenticate": challenge, "retry-after": wait})
}

#[tokio::test]
async fn each_kind_has_its_type_status_and_headers() {
    let unavailable = || store::Error::Unavailable("disk full".into());
    let problems = [
        Problem::Malformed("the body is empty".to_owned()),
        Problem::NoToken,
        Problem::WrongToken("the bearer token has expired"),
        Problem::Forbidden(Scope::EventsRead),
        Problem::ForeignPage,
        Problem::NotFound("there is no such event"),
        Problem::MethodNotAllowed,
        Problem::TooSlow,
        Problem::Conflict("another subscription has the same url".to_owned()),
        Problem::TooLarge(1024),
        Problem::UnsupportedMediaType("application/json"),
        Problem::Invalid(Flaws::at("url", "is required").and(Flaws::at("x", "is unknown"))),
        Problem::Unavailable("shutting down".to_owned()),
        Problem::Store(unavailable()),
        Problem::Store(store::Error::Corrupt("subscriptions.url".to_owned())),
        Problem::Internal("a worker broke down".into()),
    ];
    let mut shown = Vec::new();
    for problem in problems {
        shown.push(answered(problem).await);
    }
    insta::assert_json_snapshot!(shown);
}

#[tokio::test]
async fn what_failed_inside_is_not_shown() {
    for problem in [
        Problem::Store(store::Error::Unavailable("canary".into())),
        Problem::Store(store::Error::Corrupt("canary".to_owned())),
        Problem::Internal("canary".into()),
    ] {
        let shown = answered(problem).await.to_string();
        assert!(!shown.contains("canary"), "{shown}");
    }
}
