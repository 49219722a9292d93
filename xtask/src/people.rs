//! A sample API: people, kept in memory. An ordinary small REST service.
//!
//! Invariant: it knows nothing of Sidehook; whatever is delivered about its people was seen from
//! outside.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};

/// The API's routes, with nobody in it yet.
pub fn api() -> Router {
    let collection = get(list).post(create);
    let person = get(show).put(replace).patch(amend).delete(remove);
    Router::new()
        .route("/people", collection.clone())
        .route("/people/", collection)
        .route("/people/{id}", person)
        .with_state(People::default())
}

#[derive(Clone, Default)]
struct People {
    register: Arc<Mutex<Register>>,
}

#[derive(Default)]
struct Register {
    people: BTreeMap<u64, Person>,
    last_id: u64,
}

type Person = Map<String, Value>;
type Sent = Result<Json<Value>, JsonRejection>;

/// Why a request is refused.
enum Refusal {
    /// Nobody has this id.
    Unknown,
    /// What was sent is not a person.
    Invalid(String),
}

impl People {
    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn list(State(people): State<People>) -> Json<Value> {
    Json(people.lock().people.values().cloned().map(Value::Object).collect())
}

async fn create(State(people): State<People>, sent: Sent) -> Result<Response, Refusal> {
    let person = whole(fields(sent)?)?;
    let mut register = people.lock();
    register.last_id += 1;
    let id = register.last_id;
    Ok(created(id, register.keep(id, person)))
}

async fn show(State(people): State<People>, Path(id): Path<u64>) -> Result<Json<Person>, Refusal> {
    people.lock().people.get(&id).cloned().map(Json).ok_or(Refusal::Unknown)
}

async fn replace(
    State(people): State<People>,
    Path(id): Path<u64>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let person = whole(fields(sent)?)?;
    let mut register = people.lock();
    let known = register.people.contains_key(&id);
    register.last_id = register.last_id.max(id);
    let person = register.keep(id, person);
    Ok(if known { Json(person).into_response() } else { created(id, person) })
}

async fn amend(
    State(people): State<People>,
    Path(id): Path<u64>,
    sent: Sent,
) -> Result<Json<Person>, Refusal> {
    let changes = fields(sent)?;
    let mut register = people.lock();
    let mut person = register.people.get(&id).cloned().ok_or(Refusal::Unknown)?;
    person.extend(changes);
    Ok(Json(register.keep(id, whole(person)?)))
}

async fn remove(State(people): State<People>, Path(id): Path<u64>) -> Result<StatusCode, Refusal> {
    let known = people.lock().people.remove(&id);
    known.map(|_| StatusCode::NO_CONTENT).ok_or(Refusal::Unknown)
}

impl Register {
    fn keep(&mut self, id: u64, mut person: Person) -> Person {
        person.insert("id".to_owned(), id.into());
        self.people.insert(id, person.clone());
        person
    }
}

fn created(id: u64, person: Person) -> Response {
    let mut answer = (StatusCode::CREATED, Json(person)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/people/{id}")) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

fn fields(sent: Sent) -> Result<Person, Refusal> {
    match sent {
        Ok(Json(Value::Object(fields))) => Ok(fields),
        Ok(_) => Err(Refusal::Invalid("a person is a JSON object".to_owned())),
        Err(rejection) => Err(Refusal::Invalid(rejection.body_text())),
    }
}

/// A person has a name, and an email address that could be one.
fn whole(person: Person) -> Result<Person, Refusal> {
    let text = |field: &str| person.get(field).and_then(Value::as_str);
    if text("name").is_none_or(|name| name.trim().is_empty()) {
        return Err(Refusal::Invalid("name is required".to_owned()));
    }
    if person.contains_key("email") && !text("email").is_some_and(|email| email.contains('@')) {
        return Err(Refusal::Invalid("email is not an address".to_owned()));
    }
    Ok(person)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "nobody has this id".to_owned()),
            Self::Invalid(error) => (StatusCode::BAD_REQUEST, error),
        };
        (status, Json(json!({ "error": error }))).into_response()
    }
}
