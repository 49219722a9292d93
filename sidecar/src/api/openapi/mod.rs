//! `/openapi.json` and `/docs`: what this API is, for programs and for people.
//!
//! Invariant: a route cannot exist without its description, and what is told of requests and
//! answers comes from the functions that read them and the types that are written.
#![expect(clippy::indexing_slicing, reason = "a member of a JSON object that is not there is made")]

mod description;
mod document;
mod examples;
mod outline;
mod page;
mod parameters;
mod webhooks;

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse};
use bytes::Bytes;
use http::{
    StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use serde_json::{Value, json};

pub(super) use self::description::Description;
pub use self::examples::Example;
use super::{
    Problem,
    routes::{Routes, open},
};

/// The document, as it is served.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(examples::recorded()));
static WRITTEN: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());
static PAGE: LazyLock<Result<Bytes, String>> =
    LazyLock::new(|| page::page(&DOCUMENT).map(Bytes::from).map_err(|error| error.to_string()));

/// The document about every route of the process, with these examples.
pub fn document(examples: &[Example]) -> Value {
    document::document(super::every_route_told(), examples)
}

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    let told = || {
        Description::of("showDocument", "This document")
            .about(
                "OpenAPI 3.1, made from the code that reads the requests and writes the answers.",
            )
            .writes(StatusCode::OK, "The document.", "application/json", json!({"type": "object"}))
    };
    let read = || {
        let html = json!({"type": "string"});
        Description::of("readDocument", "This document, for people").writes(
            StatusCode::OK,
            "A page that needs nothing else.",
            "text/html",
            html,
        )
    };
    Routes::new()
        .at("/openapi.json", [open(async || written(), told)])
        .at("/docs", [open(async || readable(), read)])
}

fn written() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], WRITTEN.clone())
}

fn readable() -> Result<impl IntoResponse, Problem> {
    let page = PAGE.as_ref().map_err(|error| Problem::Internal(error.as_str().into()))?;
    Ok(([(CONTENT_SECURITY_POLICY, page::POLICY.as_str())], Html(page.clone())))
}
