//! The document as a contract: whatever the tests of the API are answered must be told there.
//!
//! Invariant: a status, a type of body, a header or a member that is not told of fails the test
//! that met it; so does a body that was taken although the document refuses it.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use axum::http::{HeaderMap, Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};
use sidehook::api;

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| api::document(&[]));

/// Validators by the place of their schema: to make one costs more than to ask it.
static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static Validator>>> =
    LazyLock::new(Mutex::default);

/// A request that was answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) sent: (Option<&'a str>, Option<&'a Value>),
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) answer: &'a Value,
}

impl Answered<'_> {
    /// Fails if the document does not tell of it.
    pub(crate) fn assert_told(&self) {
        // Of what there is no operation for the document tells once and for all.
        let Some(path) = route(self.method, self.path) else { return };
        let method = self.method.as_str().to_ascii_lowercase();
        let operation = format!("/paths/{}/{method}", escaped(path));
        let place = format!("{operation}/responses/{}", self.status.as_str());
        let what = format!("{} {} {}", self.method, self.path, self.status);
        assert!(DOCUMENT.pointer(&place).is_some(), "{what} is not told of");
        let told = DOCUMENT.pointer(&place).unwrap();
        let (place, told) = match told["$ref"].as_str() {
            Some(to) => (to[1..].to_owned(), DOCUMENT.pointer(&to[1..]).unwrap()),
            None => (place, told),
        };
        for (name, header) in told["headers"].as_object().into_iter().flatten() {
            let is_there = self.headers.contains_key(name) || header["required"] != true;
            assert!(is_there, "{what} has no {name}");
        }
        if self.answer.is_null() {
            assert!(told.get("content").is_none(), "{what} has no body");
        } else {
            let media_type = essence(self.headers["content-type"].to_str().unwrap());
            let place = format!("{place}/content/{}/schema", escaped(media_type));
            assert_valid(&place, self.answer, &what);
        }
        if let (media_type, Some(body)) = self.sent
            && self.status.is_success()
            && DOCUMENT.pointer(&format!("{operation}/requestBody")).is_some()
        {
            let media_type = escaped(essence(media_type.unwrap_or("application/json")));
            let place = format!("{operation}/requestBody/content/{media_type}/schema");
            assert_valid(&place, body, &format!("what was sent with {what}"));
        }
    }
}

/// The path of the route that this one leads to.
pub(crate) fn route(method: &Method, path: &str) -> Option<&'static str> {
    let asked = path.split('?').next()?;
    let without_slash = asked.strip_suffix('/').unwrap_or(asked);
    let asked: Vec<_> = without_slash.split('/').collect();
    let fits = |told: &&str| {
        let told: Vec<_> = told.split('/').collect();
        let mut parts = told.iter().zip(&asked);
        told.len() == asked.len()
            && parts.all(|(told, asked)| told == asked || told.starts_with('{'))
    };
    let routes = api::every_route().into_iter().filter(|route| route.method == *method);
    let found = routes.filter(|route| fits(&route.path));
    found.min_by_key(|route| route.path.matches('{').count()).map(|route| route.told_at)
}

/// Fails unless `value` is valid by the schema at this place of the document.
pub(crate) fn assert_valid(place: &str, value: &Value, what: &str) {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = *validators.entry(place.to_owned()).or_insert_with(|| {
        assert!(DOCUMENT.pointer(place).is_some(), "{what}: there is no {place}");
        let pointer = percent_encoding::utf8_percent_encode(place, FRAGMENT).to_string();
        let schema = json!({"$ref": format!("#{pointer}"), "components": DOCUMENT["components"],
                   "paths": DOCUMENT["paths"], "webhooks": DOCUMENT["webhooks"]});
        let options = jsonschema::options().should_validate_formats(true);
        Box::leak(Box::new(options.build(&schema).unwrap()))
    });
    drop(validators);
    let flaws: Vec<_> = validator
        .iter_errors(value)
        .map(|flaw| format!("{flaw} at {}", flaw.instance_path()))
        .collect();
    assert!(flaws.is_empty(), "{what} is not as told: {flaws:#?}\n{value:#}");
}

/// What cannot stand in the fragment of a reference.
const FRAGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b'{').add(b'}').add(b'%').add(b' ').add(b'+');

pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

pub(crate) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap().trim()
}
