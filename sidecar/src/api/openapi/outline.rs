//! Outlines a schema for people: a row for each member, those of members below them.
//!
//! Invariant: it ends, for a schema that names itself is followed no deeper than [`DEEPEST`].

use serde_json::Value;

const DEEPEST: usize = 4;

/// One member.
#[derive(Debug)]
pub(super) struct Row {
    /// How deep it stands.
    pub(super) depth: usize,
    /// What it is called.
    pub(super) name: String,
    /// What may stand there, in few words.
    pub(super) kind: String,
    pub(super) is_required: bool,
    /// What it is for.
    pub(super) about: String,
}

/// The members of what is described.
pub(super) fn outline(document: &Value, schema: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    add_members(document, schema, 0, &mut rows);
    rows
}

impl Row {
    pub(super) fn of(document: &Value, name: &str, schema: &Value, is_required: bool) -> Self {
        let told = resolved(document, schema);
        let about = [schema, told].into_iter().find_map(|told| told["description"].as_str());
        let about = about.or(told["title"].as_str()).unwrap_or_default().to_owned();
        let kind = kind(document, schema);
        Self { depth: 0, name: name.to_owned(), kind, is_required, about }
    }
}

fn add_members(document: &Value, schema: &Value, depth: usize, rows: &mut Vec<Row>) {
    let schema = resolved(document, schema);
    if depth > DEEPEST {
        return;
    }
    for part in parts(schema) {
        add_members(document, part, depth, rows);
    }
    if let Some(each) = schema.get("items") {
        add_members(document, each, depth, rows);
    }
    let required = schema["required"].as_array();
    let is_required = |name: &str| {
        required.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)))
    };
    let mut members: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    members.sort_by_key(|(name, _)| !is_required(name));
    for (name, member) in members {
        if rows.iter().any(|row| row.depth == depth && row.name == *name && depth == 0) {
            continue;
        }
        rows.push(Row { depth, ..Row::of(document, name, member, is_required(name)) });
        add_members(document, member, depth + 1, rows);
    }
}

/// What the schema is put together from.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|how| schema[how].as_array()).flatten()
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let to = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    to.and_then(|to| document.pointer(to)).unwrap_or(schema)
}

fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["enum"].as_array() {
        let choices = choices.iter().map(|choice| choice.as_str().unwrap_or("null"));
        return choices.collect::<Vec<_>>().join(" | ");
    }
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    let mut kinds: Vec<_> = match &schema["type"] {
        Value::String(kind) => vec![kind.clone()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => parts(schema).map(|part| kind(document, part)).collect(),
    };
    if let (Some(first), Some(each)) = (kinds.first_mut(), schema.get("items")) {
        *first = format!("array of {}", kind(document, each));
    }
    kinds.dedup();
    let bounds = match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, Value::Null) => String::new(),
        (least, Value::Null) => format!(", from {least}"),
        (Value::Null, most) => format!(", to {most}"),
        (least, most) => format!(", {least} to {most}"),
    };
    let length = schema["maxLength"].as_u64().map(|most| format!(", up to {most} characters"));
    let default = schema.get("default").map(|default| format!("; {default} if absent"));
    let more = [Some(bounds), length, default].into_iter().flatten();
    let more: String = more.collect();
    kinds.join(" | ") + more.as_str()
}
