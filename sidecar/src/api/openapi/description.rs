//! What is told of one operation: its name, what it reads, what it answers.
//!
//! Invariant: what can be sent is told by the function that reads it, and what is answered by the
//! type that is written. What follows from the route (its scope, the names in its path, the
//! problems) is not told here but by the document.

use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::super::form::Form;

/// The media type of most bodies.
const JSON: &str = "application/json";

/// What is told of one operation.
#[derive(Debug)]
pub(in crate::api) struct Description {
    id: &'static str,
    /// As the document has it, without what follows from the route.
    pub(super) operation: Map<String, Value>,
    /// Of the shapes that it names.
    pub(super) schemas: Map<String, Value>,
    /// When it clashes with something else, if it can.
    pub(super) conflict: Option<&'static str>,
}

impl Description {
    /// An operation that clients call `id`, and what it is for.
    pub(in crate::api) fn of(id: &'static str, summary: &'static str) -> Self {
        let operation = [("operationId", id), ("summary", summary)];
        let operation = operation.map(|(name, value)| (name.to_owned(), value.into()));
        let operation = operation.into_iter().collect();
        Self { id, operation, schemas: Map::new(), conflict: None }
    }

    /// More about it.
    pub(in crate::api) fn about(mut self, about: &'static str) -> Self {
        self.operation.insert("description".to_owned(), about.into());
        self
    }

    /// The query that `fields` reads.
    pub(in crate::api) fn query<T>(mut self, fields: fn(&mut Form) -> Option<T>) -> Self {
        let parameters = Form::fields(fields).into_iter().map(|mut field| {
            let about = field.schema.as_object_mut().and_then(|told| told.remove("description"));
            let mut parameter = json!({
                "in": "query",
                "name": field.name,
                "required": field.is_required,
                "schema": field.schema,
            });
            if let Some(about) = about {
                parameter["description"] = about;
            }
            parameter
        });
        self.operation.insert("parameters".to_owned(), parameters.collect());
        self
    }

    /// A body of JSON that `fields` reads.
    pub(in crate::api) fn reads<T>(self, fields: fn(&mut Form) -> Option<T>) -> Self {
        self.takes(JSON, Form::schema(fields))
    }

    /// The same, which may be missing.
    pub(in crate::api) fn may_read<T>(self, fields: fn(&mut Form) -> Option<T>) -> Self {
        let mut told = self.reads(fields);
        if let Some(body) = told.operation.get_mut("requestBody") {
            body["required"] = false.into();
        }
        told
    }

    /// A JSON Merge Patch of what `fields` reads: nothing is required, and null in a map deletes.
    pub(in crate::api) fn patches<T>(self, fields: fn(&mut Form) -> Option<T>) -> Self {
        let mut schema = Form::schema(fields);
        if let Some(told) = schema.as_object_mut() {
            told.remove("required");
        }
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            for property in properties.values_mut() {
                if let Some(each) = property.get_mut("additionalProperties")
                    && each["type"] == "string"
                {
                    each["type"] = json!(["string", "null"]);
                }
            }
        }
        let told = self.takes(JSON, schema.clone());
        told.takes("application/merge-patch+json", schema)
    }

    /// A body of this type, besides others.
    pub(in crate::api) fn takes(mut self, media_type: &str, schema: Value) -> Self {
        let name = named(self.id, if media_type.contains("-batch") { "Batch" } else { "Body" });
        let reference = reference(&name);
        self.schemas.insert(name, schema);
        let body = self.operation.entry("requestBody").or_insert(json!({"required": true}));
        body["content"][media_type] = json!({ "schema": reference });
        self
    }

    /// Answers with this, as JSON.
    pub(in crate::api) fn shows<T: ToSchema>(mut self, status: StatusCode, what: &str) -> Self {
        let schema = self.shape::<T>();
        self.writes(status, what, JSON, schema)
    }

    /// Answers with one or the other.
    pub(in crate::api) fn shows_either<T: ToSchema, U: ToSchema>(
        mut self,
        status: StatusCode,
        what: &str,
    ) -> Self {
        let schema = json!({"anyOf": [self.shape::<T>(), self.shape::<U>()]});
        self.writes(status, what, JSON, schema)
    }

    /// Answers with a page of these.
    pub(in crate::api) fn lists<T: ToSchema>(mut self, what: &str) -> Self {
        let schema = json!({
            "type": "object",
            "required": ["data", "next"],
            "properties": {
                "data": {"type": "array", "items": self.shape::<T>()},
                "next": {
                    "type": ["string", "null"],
                    "description": "The cursor of the next page; null on the last.",
                },
            },
        });
        self.writes(StatusCode::OK, what, JSON, schema)
    }

    /// Answers without a body.
    pub(in crate::api) fn answers(mut self, status: StatusCode, what: &str) -> Self {
        self.response(status, what);
        self
    }

    /// Answers with a body of this type.
    #[expect(clippy::needless_pass_by_value, reason = "a reader is made for one field")]
    pub(in crate::api) fn writes(
        mut self,
        status: StatusCode,
        what: &str,
        media_type: &str,
        schema: Value,
    ) -> Self {
        self.response(status, what)["content"][media_type] = json!({ "schema": schema });
        self
    }

    /// The answer of this status, which was told of, has this header.
    pub(in crate::api) fn with(mut self, status: StatusCode, header: &str, what: &str) -> Self {
        let told = json!({"description": what, "required": true, "schema": {"type": "string"}});
        let responses = self.operation.entry("responses").or_insert(json!({}));
        responses[status.as_str()]["headers"][header] = told;
        self
    }

    /// It can clash with something else.
    pub(in crate::api) fn conflicts(self, when: &'static str) -> Self {
        Self { conflict: Some(when), ..self }
    }

    fn response(&mut self, status: StatusCode, what: &str) -> &mut Value {
        let responses = self.operation.entry("responses").or_insert(json!({}));
        responses[status.as_str()]["description"] = what.into();
        &mut responses[status.as_str()]
    }

    /// A reference to the schema of a shape, which is noted with all that it names.
    fn shape<T: ToSchema>(&mut self) -> Value {
        let mut named = Vec::new();
        T::schemas(&mut named);
        named.push((T::name().into_owned(), T::schema()));
        let written = named.into_iter().map(|(name, schema)| (name, json!(schema)));
        self.schemas.extend(written);
        reference(&T::name())
    }
}

/// A reference to the schema of this name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// `createToken` and `Body` are `CreateTokenBody`.
fn named(operation: &str, what: &str) -> String {
    let mut letters = operation.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(what.chars()).collect()
}
