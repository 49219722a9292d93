//! The examples of the document: what was asked once, and what was answered.
//!
//! Invariant: none of them is written by hand. `sidecar/tests/api/describing.rs` asks each of them
//! again, and fails if the answer is another one.

use std::sync::LazyLock;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What was recorded.
static RECORDED: LazyLock<Vec<Example>> = LazyLock::new(|| {
    // That it can be read is tested: it is part of the program.
    serde_json::from_str(include_str!("examples.json")).unwrap_or_default()
});

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// GET, POST …
    pub method: String,
    /// The path of the route, with `{…}` for what varies.
    pub path: String,
    /// What was asked for: the path and the query.
    pub asked: String,
    /// The type of what was sent, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What was sent, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The status of the answer.
    pub status: u16,
    /// The type of the answer, if it had a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_type: Option<String>,
    /// The body of the answer, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

/// All that were recorded.
pub(super) fn recorded() -> &'static [Example] {
    &RECORDED
}

impl Example {
    pub(super) fn is_of(&self, method: &Method, path: &str) -> bool {
        self.method == method.as_str() && self.path == path
    }

    /// Shows what was sent and what was answered where the operation tells of them. Of what was
    /// refused only the answer is shown.
    pub(super) fn put_into(
        &self,
        operation: &mut serde_json::Map<String, Value>,
        parameters: &mut [Value],
    ) {
        if (200..300).contains(&self.status) {
            for parameter in parameters {
                self.put_into_parameter(parameter);
            }
            let content = operation.get_mut("requestBody").and_then(|body| {
                body["content"].get_mut(self.content_type.as_deref().unwrap_or("application/json"))
            });
            if let (Some(content), Some(body)) = (content, &self.body) {
                self.show(content, body);
            }
        }
        let status = self.status.to_string();
        let answer = operation.get_mut("responses").and_then(|told| told.get_mut(&status));
        if let Some(answer) = answer {
            self.put_into_answer(answer);
        }
    }

    pub(super) fn put_into_answer(&self, told: &mut Value) {
        let media_type = self.answer_type.as_deref().unwrap_or_default();
        let content = told.get_mut("content").and_then(|content| content.get_mut(media_type));
        if let (Some(content), Some(answer)) = (content, &self.answer) {
            self.show(content, answer);
        }
    }

    /// Under a name of its own: what was asked for and how often that was before.
    fn show(&self, content: &mut Value, value: &Value) {
        let examples = &mut content["examples"];
        let number = examples.as_object().map_or(0, serde_json::Map::len) + 1;
        let summary = format!("{} {}", self.method, self.asked);
        examples[format!("example-{number}")] = json!({"summary": summary, "value": value});
    }

    fn put_into_parameter(&self, parameter: &mut Value) {
        let name = parameter["name"].as_str().unwrap_or_default();
        let (path, query) = self.asked.split_once('?').unwrap_or((&self.asked, ""));
        let found = if parameter["in"] == "path" {
            let slot = format!("{{{name}}}");
            let mut parts = self.path.split('/').zip(path.split('/'));
            parts.find(|(told, _)| *told == slot).map(|(_, asked)| asked.to_owned())
        } else {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let Some(found) = found else { return };
        let is_number = parameter["schema"]["type"] == "integer";
        let number = is_number.then(|| found.parse::<u64>().ok()).flatten();
        parameter["example"] = number.map_or_else(|| found.into(), Value::from);
    }
}
