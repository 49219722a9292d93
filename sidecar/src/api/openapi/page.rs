//! Shows the document to people.
//!
//! Invariant: the page needs nothing from anywhere else, and runs no script; its policy allows its
//! own style and nothing besides.

use std::sync::LazyLock;

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::outline::{Row, outline};

const STYLE: &str = include_str!("../../../templates/docs.css");

/// What a browser may do with the page.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// The page about this document.
pub(super) fn page(document: &Value) -> askama::Result<String> {
    let mut groups: Vec<_> = list(&document["tags"]).iter().map(Group::of).collect();
    for (path, operations) in members(&document["paths"]) {
        for (method, operation) in members(operations) {
            let tag = text(&operation["tags"][0]);
            if let Some(group) = groups.iter_mut().find(|group| group.name == tag) {
                group.operations.push(Operation::of(document, method, path, operation));
            }
        }
    }
    let webhooks = members(&document["webhooks"]).map(|(name, webhook)| {
        let told = Operation::of(document, "post", name, &webhook["post"]);
        Operation { method: "event".to_owned(), class: "event".to_owned(), ..told }
    });
    groups.push(Group {
        name: "Webhooks".to_owned(),
        about: "What receivers are sent.".to_owned(),
        operations: webhooks.collect(),
    });
    let about = text(&document["info"]["description"]);
    let bearer = &document["components"]["securitySchemes"]["token"]["description"];
    let about = about.split("\n\n").chain([bearer.as_str().unwrap_or_default()]);
    Page {
        title: text(&document["info"]["title"]),
        version: text(&document["info"]["version"]),
        style: STYLE,
        about: about.map(str::to_owned).collect(),
        groups,
    }
    .render()
}

/// What stands between backticks is code.
pub(crate) fn words(text: &str) -> Vec<(bool, &str)> {
    text.split('`').enumerate().map(|(place, part)| (place % 2 == 1, part)).collect()
}

#[derive(Debug, Template)]
#[template(path = "docs.html")]
struct Page {
    title: String,
    version: String,
    style: &'static str,
    about: Vec<String>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    about: String,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    id: String,
    method: String,
    class: String,
    path: String,
    summary: String,
    about: String,
    scope: Option<String>,
    parameters: Vec<Row>,
    body: Vec<Content>,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Answer {
    status: String,
    about: String,
    content: Vec<Content>,
}

/// A body of one type.
#[derive(Debug)]
struct Content {
    media_type: String,
    rows: Vec<Row>,
    examples: Vec<Example>,
}

#[derive(Debug)]
struct Example {
    summary: String,
    value: String,
}

impl Group {
    fn of(tag: &Value) -> Self {
        let (name, about) = (text(&tag["name"]), text(&tag["description"]));
        Self { name, about, operations: Vec::new() }
    }
}

impl Operation {
    fn of(document: &Value, method: &str, path: &str, operation: &Value) -> Self {
        let answers = members(&operation["responses"]).map(|(status, answer)| {
            let reference = answer["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
            let answer = reference.and_then(|to| document.pointer(to)).unwrap_or(answer);
            let content = contents(document, &answer["content"]);
            Answer { status: status.clone(), about: text(&answer["description"]), content }
        });
        let parameters = list(&operation["parameters"]).iter().map(|told| {
            let is_required = told["required"] == true;
            let row = Row::of(document, &text(&told["name"]), &told["schema"], is_required);
            let about = text(&told["description"]);
            if about.is_empty() { row } else { Row { about, ..row } }
        });
        Self {
            id: text(&operation["operationId"]),
            method: method.to_ascii_uppercase(),
            class: method.to_owned(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            about: text(&operation["description"]),
            scope: operation.pointer("/security/0/token/0").map(text),
            parameters: parameters.collect(),
            body: contents(document, &operation["requestBody"]["content"]),
            answers: answers.collect(),
        }
    }
}

fn contents(document: &Value, content: &Value) -> Vec<Content> {
    let each = members(content).map(|(media_type, told)| {
        let examples = members(&told["examples"]).map(|(_, example)| Example {
            summary: text(&example["summary"]),
            value: format!("{:#}", example["value"]),
        });
        Content {
            media_type: media_type.clone(),
            rows: outline(document, &told["schema"]),
            examples: examples.collect(),
        }
    });
    each.collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
