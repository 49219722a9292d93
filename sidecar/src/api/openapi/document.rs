//! Puts the OpenAPI document together: every route with its description, and what follows from it.
//!
//! Invariant: nothing is told of a route that the route itself decides otherwise; its scope, the
//! names in its path and the problems that it may answer are taken from it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    super::{
        problem::Kind,
        routes::{Route, Told},
    },
    description::reference,
    examples::Example,
    parameters::parameters,
    webhooks::webhooks,
};
use crate::model::Scope;

const ABOUT: &str = "Who wants which events, what happened, and what became of it. Bodies are JSON; instants are \
     RFC 3339 in UTC, durations are text such as `5s`, `90m` or `500ms`. A path may end with a slash \
     or without; HEAD is answered like GET, without the body. A field that is null counts as absent; \
     one that is not told of here is an error.\n\nWhatever is not done is answered with a problem \
     (RFC 9457), whose `type` tells the kind. A path that exists is answered 405 for other methods.";
const BEARER: &str = "A token that `POST /tokens` or `sidehook token create` made, or one of the configuration. Each \
     operation names the scope that it asks for. As long as there is no token the API is open to \
     programs on the same machine.";
/// What faces are called, by the first part of their paths.
const TAGS: [(&str, &str, &str); 9] = [
    ("subscriptions", "Subscriptions", "Who wants which events, where they go and how."),
    ("events", "Events", "What happened."),
    ("deliveries", "Deliveries", "What became of it: one event on its way to one subscription."),
    ("dead-letters", "Dead letters", "Deliveries that were given up."),
    ("scripts", "Scripts", "What makes payloads, and trying it."),
    ("tokens", "Tokens", "Who else may do what."),
    (".well-known", "Keys", "What verifies signatures."),
    ("ingest", "Gateways", "What gateways ask for."),
    ("", "The process", "Whether it lives, what it counted, and this description."),
];

/// The document about these routes, with these examples.
pub(super) fn document(routes: Vec<(Route, Told)>, examples: &[Example]) -> Value {
    let mut paths = BTreeMap::<_, Map<_, _>>::new();
    let mut schemas = Map::from_iter([("Problem".to_owned(), problem())]);
    for (route, told) in routes {
        if route.told_at != route.path {
            continue;
        }
        let of_route = |example: &&Example| example.is_of(&route.method, route.path);
        let examples: Vec<_> = examples.iter().filter(of_route).collect();
        let operation = operation(&route, told(), &examples, &mut schemas);
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation);
    }
    let tags = TAGS.map(|(_, name, about)| json!({"name": name, "description": about}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sidehook",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Every write your API accepts becomes a webhook, and no line of the API changes.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": schemas,
            "responses": problems(examples),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": BEARER},
            },
        },
    })
}

fn operation(
    route: &Route,
    told: super::Description,
    examples: &[&Example],
    schemas: &mut Map<String, Value>,
) -> Value {
    schemas.extend(told.schemas);
    let mut operation = told.operation;
    let mut given = parameters(route.path);
    if let Some(Value::Array(query)) = operation.remove("parameters") {
        given.extend(query);
    }
    let kinds = kinds(route, operation.contains_key("requestBody"), !given.is_empty());
    let responses = operation.entry("responses").or_insert(json!({}));
    for kind in kinds {
        let name = name_of(kind.status());
        responses[kind.status().as_str()] =
            json!({ "$ref": format!("#/components/responses/{name}") });
    }
    if let Some(when) = told.conflict {
        responses["409"] = answer(StatusCode::CONFLICT);
        responses["409"]["description"] = when.into();
    }
    for example in examples {
        example.put_into(&mut operation, &mut given);
    }
    operation.insert("tags".to_owned(), json!([tag(route.path)]));
    operation.insert("parameters".to_owned(), given.into());
    let security = match route.scope {
        Some(scope) => json!([{ "token": [scope.name()] }]),
        None => json!([]),
    };
    operation.insert("security".to_owned(), security);
    Value::Object(operation)
}

/// What may go wrong with any operation of this kind. Without its store the process can tell how it
/// is, and nothing else.
fn kinds(route: &Route, has_body: bool, has_parameters: bool) -> Vec<Kind> {
    let is_named = route.path.contains('{');
    let is_asked = route.scope.is_some();
    let is_metrics = route.scope == Some(Scope::MetricsRead);
    let may = |kind: &Kind| match kind {
        Kind::Malformed | Kind::TooSlow | Kind::TooLarge | Kind::UnsupportedMediaType => has_body,
        Kind::Unauthorized | Kind::Forbidden | Kind::ForeignPage | Kind::Internal => is_asked,
        Kind::NotFound => is_named,
        Kind::Invalid => is_asked && (has_body || (has_parameters && !is_named)),
        Kind::Unavailable => (is_asked && !is_metrics) || route.path == "/readyz",
        // Told by the operation itself, and by the document as a whole.
        Kind::Conflict | Kind::MethodNotAllowed => false,
    };
    Kind::ALL.into_iter().filter(may).collect()
}

fn tag(path: &str) -> &'static str {
    let face = path.split('/').nth(1).unwrap_or_default();
    let known = TAGS.iter().find(|(known, ..)| *known == face || known.is_empty());
    known.map_or("", |(_, name, _)| *name)
}

/// The problems, each once, by the name of its status.
fn problems(examples: &[Example]) -> Value {
    let mut responses = Map::new();
    for kind in Kind::ALL {
        let status = kind.status();
        let mut answer = answer(status);
        let of_status = |example: &&Example| example.status == status.as_u16();
        for example in examples.iter().filter(of_status) {
            example.put_into_answer(&mut answer);
        }
        responses.insert(name_of(status), answer);
    }
    responses.into()
}

fn name_of(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or_default().replace(' ', "")
}

/// The answer of this status: a problem of one of the kinds that have it.
fn answer(status: StatusCode) -> Value {
    let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.status() == status).collect();
    let titles: Vec<_> = kinds.iter().map(|kind| kind.title()).collect();
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let text = |about| json!({"description": about, "schema": {"type": "string"}});
    let mut answer = json!({
        "description": format!("{}.", titles.join(", or: ")),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        reference("Problem"),
                        {"properties": {
                            "type": {"enum": names},
                            "status": {"const": status.as_u16()},
                        }},
                    ],
                },
            },
        },
    });
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            answer["headers"]["www-authenticate"] = text("What is asked for (RFC 6750).");
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            answer["headers"]["retry-after"] = text("When to try again, in seconds.");
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            answer["headers"]["allow"] = text("The methods of this path.");
        }
        _ => {}
    }
    answer
}

/// A problem of RFC 9457, as all of them are written.
fn problem() -> Value {
    let flaw = json!({
        "type": "object",
        "required": ["field", "message"],
        "properties": {
            "field": {"type": "string", "description": "Its path; empty for the whole."},
            "message": {"type": "string", "description": "What is wrong with it."},
            "line": {"type": "integer", "description": "Where in a script, from 1."},
            "column": {"type": "integer", "description": "From 1, in characters."},
            "text": {"type": "string", "description": "The line itself."},
            "hint": {"type": "string", "description": "What may help."},
        },
    });
    json!({
        "type": "object",
        "description": "Why something was not done (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri-reference",
                "description": "The kind, which never changes.",
                "enum": Kind::ALL.map(Kind::name),
            },
            "title": {"type": "string", "description": "The kind, for people."},
            "status": {"type": "integer", "description": "The status of the answer."},
            "detail": {"type": "string", "description": "What it is this time, for people."},
            "errors": {
                "type": "array",
                "items": flaw,
                "description": "Everything that is wrong with the request, field by field.",
            },
        },
    })
}
