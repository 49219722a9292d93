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
    model::{Cause, Scope},
};

use crate::{
    contract::{DOCUMENT, assert_valid, escaped},
    desk::Desk,
    guide::{self, TOKEN},
};

const EVENT: &str = "evt_01kar0rze0e008000000000007";

/// What has no example, for what is answered is not the same each time, or not at this desk.
const WITHOUT: [&str; 4] = ["showHealth", "showReadiness", "showDocument", "testSubscription"];

/// Asks what the guide does not ask, after it.
async fn play_further(desk: &Desk, guide: &[Example]) -> Vec<Example> {
    let other = json!({"url": "https://example.org/hook", "event_type": "people.*"});
    let made = ask(desk, Method::POST, "/subscriptions/", &other).await;
    let id = made.answer.as_ref().unwrap()["id"].as_str().unwrap().to_owned();
    let subscription = id.parse().unwrap();
    let dead = [
        desk.died(8, subscription, Cause::Exhausted).await,
        desk.died(9, subscription, Cause::Exhausted).await,
    ];
    let [redriven, discarded] = dead.map(|id| format!("/dead-letters/{id}"));
    let tokens = guide.iter().filter(|example| example.path == "/tokens");
    let mut token = tokens.map(|made| made.answer.as_ref().unwrap()["id"].as_str().unwrap());
    let token = format!("/tokens/{}", token.next_back().unwrap());
    let hook = format!("/subscriptions/{id}");
    let nothing = Value::Null;
    let of_it = json!({"filter": {"subscription_id": id}});
    let mut played = vec![made];
    for (method, path, body) in [
        (Method::POST, "/subscriptions", &other),
        (Method::GET, &hook, &nothing),
        (Method::GET, &format!("{hook}/secret"), &nothing),
        (Method::POST, &format!("{hook}/rotate-secret"), &json!({"overlap": "1h"})),
        (Method::POST, &format!("{hook}/disable"), &nothing),
        (Method::POST, &format!("{hook}/enable"), &nothing),
        (Method::GET, "/events?limit=1", &nothing),
        (Method::GET, &format!("/events/{EVENT}"), &nothing),
        (Method::POST, &format!("/events/{EVENT}/replay"), &json!({"subscription_id": id})),
        (Method::GET, "/deliveries?state=dead", &nothing),
        (Method::GET, "/deliveries/dlv_01kar0rze0e008000000000099", &nothing),
        (Method::GET, "/dead-letters?cause=exhausted", &nothing),
        (Method::GET, &redriven, &nothing),
        (Method::POST, &format!("{redriven}/redrive"), &nothing),
        (Method::DELETE, &discarded, &nothing),
        (Method::POST, "/dead-letters/discard", &of_it),
        (Method::POST, &format!("{hook}/replay"), &json!({})),
        (Method::GET, "/scripts", &nothing),
        (Method::GET, "/scripts/@slack", &nothing),
        (Method::GET, "/tokens?limit=1", &nothing),
        (Method::DELETE, &token, &nothing),
        (Method::GET, "/.well-known/sidehook-keys", &nothing),
        (Method::DELETE, &hook, &nothing),
    ] {
        played.push(ask(desk, method, path, body).await);
    }
    played
}

async fn ask(desk: &Desk, method: Method, path: &str, body: &Value) -> Example {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    desk.recorded(request.body(body.into()).unwrap()).await
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
    played.extend(play_further(&desk, &played).await);
    let document = api::document(&played);
    for example in &played {
        assert_example(&document, example);
    }
    assert_shown(&document);
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

/// Whatever is answered in JSON is shown.
fn assert_shown(document: &Value) {
    let paths = document["paths"].as_object().unwrap().values();
    for operation in paths.flat_map(|path| path.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        let answers = operation["responses"].as_object().unwrap().iter();
        for (status, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
            let Some(json) = answer.pointer("/content/application~1json") else { continue };
            let is_shown = json.get("examples").is_some();
            assert_eq!(is_shown, !WITHOUT.contains(&id), "{id} {status}");
        }
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
