//! A place in a parsed Envoy configuration, which knows its path.
//!
//! Invariant: a field is found under either of the spellings that Envoy reads, `snake_case` and
//! `lowerCamelCase`.

use serde_json::Value;

/// A value and where it is.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    /// The value, null where there is none.
    pub(super) value: &'a Value,
    /// Its path from the root: `static_resources.clusters[0].name`.
    pub(super) path: String,
}

impl<'a> Node<'a> {
    /// The whole.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// The field at a dotted path, null if there is none.
    pub(super) fn at(&self, fields: &str) -> Self {
        fields.split('.').fold(self.clone(), |node, name| node.field(name))
    }

    /// The field of this very name, dots or not.
    pub(super) fn field(&self, name: &str) -> Self {
        let found = self.value.get(name).or_else(|| self.value.get(camel_case(name)));
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { value: found.unwrap_or(&Value::Null), path: format!("{}{dot}{name}", self.path) }
    }

    /// The elements of a list, none if it is no list.
    pub(super) fn elements(&self) -> Vec<Self> {
        let elements = self.value.as_array().into_iter().flatten().enumerate();
        elements
            .map(|(index, value)| Self { value, path: format!("{}[{index}]", self.path) })
            .collect()
    }

    /// The members of an object, none if it is no object.
    pub(super) fn members(&self) -> Vec<Self> {
        let names = self.value.as_object().into_iter().flat_map(|object| object.keys());
        names.map(|name| self.field(name)).collect()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn exists(&self) -> bool {
        !self.value.is_null()
    }

    pub(super) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// Whether this is a message of the type whose full name ends so.
    pub(super) fn is_a(&self, name: &str) -> bool {
        self.field("@type").text().is_some_and(|full| full.ends_with(name))
    }

    /// A duration as Envoy writes it, `"0.5s"`, in seconds.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.text()?.strip_suffix('s')?.parse().ok()
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_knows_its_path() {
        let value = json!({"a": {"some_list": [{"name": "x"}]}});
        let list = Node::root(&value).at("a.some_list");
        let name = list.elements()[0].field("name");
        assert_eq!((name.text(), name.path.as_str()), (Some("x"), "a.some_list[0].name"));
    }

    #[test]
    fn both_spellings_are_found_and_absence_is_null() {
        let value = json!({"failurePolicy": "FAIL_RELOAD"});
        let root = Node::root(&value);
        assert_eq!(root.field("failure_policy").text(), Some("FAIL_RELOAD"));
        assert!(!root.at("no.such.field").exists());
    }
}
