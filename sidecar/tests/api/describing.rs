//! The document: every route is in it, its examples are real, and it is the one in `docs`.
//!
//! Invariant: with `SIDEHOOK_RECORD=1` the examples and the document are written anew; otherwise
//! whatever differs from what is recorded fails.

use std::{collections::BTreeSet, fs, path::Path};

use axum::http::{Method, Request};
use jsonschema::Validator;
use serde_json::{Value, json};
use sidehook::{
    api::{self, Example},
    model::Scope,
};

use crate::{
    contract::{DOCUMENT, assert_valid, escaped},
    desk::Desk,
    guide::{self, TOKEN},
};

const SUBSCRIPTION: &str = "sub_01kar0rze0e00a485875xhvkdf";
const EVENT: &str = "evt_01kar0rze0e008000000000007";

/// What is asked besides the examples of the guide, after them.
fn further() -> Vec<(Method, String, Value)> {
    let hook = format!("/subscriptions/{SUBSCRIPTION}");
    let other = json!({"url": "https://example.org/hook", "event_type": "people.*"});
    let get = |path: &str| (Method::GET, path.to_owned(), Value::Null);
    let post = |path: String, body: Value| (Method::POST, path, body);
    vec![
        post("/subscriptions/".to_owned(), other.clone()),
        post("/subscriptions".to_owned(), other),
        get("/events?limit=1"),
        get(&format!("/events/{EVENT}")),
        get("/deliveries?state=dead"),
        get("/scripts/@slack"),
        get("/tokens?limit=1"),
        get("/.well-known/sidehook-keys"),
        get("/deliveries/dlv_01kar0rze0e008000000000099"),
        post(format!("{hook}/replay"), json!({})),
    ]
}

#[test]
fn every_route_is_told_of_and_nothing_else_is() {
    let routes = api::every_route().into_iter();
    let routes: BTreeSet<_> =
        routes.map(|route| (route.told_at.to_owned(), route.method.to_string())).collect();
    let mut told = BTreeSet::new();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            told.insert((path.clone(), method.to_ascii_uppercase()));
            let given = operation["parameters"].as_array().unwrap();
            let given = given.iter().filter(|given| given["in"] == "path").count();
            assert_eq!(given, path.matches('{').count(), "the names in {path}");
        }
    }
    assert_eq!(told, routes);
}

#[test]
fn the_scope_of_each_operation_is_that_of_its_route() {
    for route in api::every_route() {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &DOCUMENT["paths"][route.told_at][&method];
        let told = operation.pointer("/security/0/token/0").and_then(Value::as_str);
        assert_eq!(told, route.scope.map(Scope::name), "{method} {}", route.path);
    }
}

#[test]
fn each_operation_has_a_name_of_its_own() {
    let paths = DOCUMENT["paths"].as_object().unwrap().values();
    let names = paths.flat_map(|path| path.as_object().unwrap().values());
    let names: Vec<_> = names.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

#[test]
fn every_schema_is_one_and_every_reference_leads_somewhere() {
    let schema =
        json!({"$ref": "#/components/schemas/Problem", "components": DOCUMENT["components"]});
    for name in DOCUMENT["components"]["schemas"].as_object().unwrap().keys() {
        let mut schema = schema.clone();
        schema["$ref"] = format!("#/components/schemas/{name}").into();
        assert!(Validator::new(&schema).is_ok(), "{name}");
    }
    let text = DOCUMENT.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let place = reference.split('"').next().unwrap();
        assert!(DOCUMENT.pointer(place).is_some(), "{place}");
    }
}

#[tokio::test]
async fn the_examples_are_real_and_the_document_is_the_one_in_docs() {
    let desk = Desk::open_with_token(Some(TOKEN)).await;
    let mut played = guide::play(&desk).await;
    for (method, path, body) in further() {
        let request = Request::builder().method(method).uri(&path);
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        played.push(desk.recorded(request.body(body.into()).unwrap()).await);
    }
    let document = api::document(&played);
    for example in &played {
        assert_example(&document, example);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    same(&folder.join("src/api/openapi/examples.json"), &json!(played));
    same(&folder.join("../docs/openapi.json"), &document);
}

#[tokio::test]
async fn the_document_and_its_page_are_open_to_all() {
    let desk = Desk::open_with_token(Some(TOKEN)).await;
    let document = desk.get("/openapi.json").await;
    let recorded = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json"));
    assert_eq!(document.body, serde_json::from_str::<Value>(&recorded.unwrap()).unwrap());

    let (headers, page) = desk.page("/docs").await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!page.contains("<script") && !page.contains("http-equiv") && !page.contains("src="));
    for path in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
            assert!(page.contains(&format!("<a href=\"#{id}\">")), "{id}");
        }
    }
    for name in DOCUMENT["webhooks"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("<article id=\"{name}\">")), "{name}");
    }
}

/// The answer is valid by the document that shows it.
fn assert_example(document: &Value, example: &Example) {
    let method = example.method.to_ascii_lowercase();
    let place = format!("/paths/{}/{method}/responses/{}", escaped(&example.path), example.status);
    let what = format!("{} {}", example.method, example.asked);
    assert!(document.pointer(&place).is_some(), "{what} is not told of");
    let told = document.pointer(&place).unwrap();
    let place = told["$ref"].as_str().map_or(place, |to| to[1..].to_owned());
    if let (Some(media_type), Some(answer)) = (&example.answer_type, &example.answer) {
        let place = format!("{place}/content/{}/schema", escaped(media_type));
        assert_valid(&place, answer, &what);
    }
}

/// What is recorded in this file is this.
fn same(file: &Path, value: &Value) {
    let text = format!("{value:#}\n");
    if std::env::var_os("SIDEHOOK_RECORD").is_some() {
        fs::write(file, &text).unwrap();
    }
    let recorded = fs::read_to_string(file).unwrap_or_default();
    let hint = "is another one; `SIDEHOOK_RECORD=1 cargo test --workspace --test api describing` records it";
    assert!(recorded == text, "{} {hint}", file.display());
}
