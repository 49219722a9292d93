//! How one value is read, together with what may be written there, as JSON Schema.
//!
//! Invariant: what the schema refuses the reader refuses too. The reader may refuse more, where a
//! rule cannot be told in a schema.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::{Flaws, Form, flaw::all};

/// Reads a value, and tells what can be read.
pub(crate) struct Reader<T> {
    read: Box<dyn Fn(Value) -> Result<T, Flaws>>,
    schema: Box<dyn Fn() -> Value>,
}

impl<T: 'static> Reader<T> {
    /// `schema` is an object, and only made when somebody asks.
    pub(crate) fn new(
        read: impl Fn(Value) -> Result<T, Flaws> + 'static,
        schema: impl Fn() -> Value + 'static,
    ) -> Self {
        Self { read: Box::new(read), schema: Box::new(schema) }
    }

    /// Reads further what was read.
    pub(crate) fn then<U: 'static, E: Display>(
        self,
        further: impl Fn(T) -> Result<U, E> + 'static,
    ) -> Reader<U> {
        self.and_then(move |read| further(read).map_err(Flaws::here))
    }

    /// The same, where what is wrong may be wrong with a member.
    pub(crate) fn and_then<U: 'static>(
        self,
        further: impl Fn(T) -> Result<U, Flaws> + 'static,
    ) -> Reader<U> {
        let Self { read, schema } = self;
        Reader { read: Box::new(move |value| further(read(value)?)), schema }
    }

    /// The same, of which more is told: these members of the schema are added or replaced.
    pub(crate) fn with(self, more: impl Fn() -> Value + 'static) -> Self {
        let Self { read, schema } = self;
        let schema = move || {
            let mut told = schema();
            if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more()) {
                told.extend(more);
            }
            told
        };
        Self { read, schema: Box::new(schema) }
    }

    /// What it is for, in words.
    pub(crate) fn about(self, about: &'static str) -> Self {
        self.with(move || json!({ "description": about }))
    }

    /// What it is if nothing is said.
    pub(crate) fn or(self, default: impl Into<Value>) -> Self {
        let default = default.into();
        self.with(move || json!({ "default": default.clone() }))
    }

    /// An array of 1 to `most` of them; `called` says what they are.
    pub(crate) fn list(self, called: &'static str, most: usize) -> Reader<Vec<T>> {
        let Self { read, schema } = self;
        let read = move |value| {
            let Value::Array(values) = value else {
                return Err(Flaws::here(format!("must be an array of {called}")));
            };
            if !(1..=most).contains(&values.len()) {
                return Err(Flaws::here(format!("must have 1 to {most} {called}")));
            }
            all(values.into_iter().enumerate().map(|(place, value)| {
                read(value).map_err(|flaws| flaws.within(&format!("[{place}]")))
            }))
        };
        let schema =
            move || json!({"type": "array", "items": schema(), "minItems": 1, "maxItems": most});
        Reader { read: Box::new(read), schema: Box::new(schema) }
    }

    /// Reads the value.
    pub(crate) fn read(&self, value: Value) -> Result<T, Flaws> {
        (self.read)(value)
    }

    /// What can be read.
    pub(crate) fn schema(&self) -> Value {
        (self.schema)()
    }
}

/// An object with these fields.
pub(crate) fn nested<T: 'static>(fields: fn(&mut Form) -> Option<T>) -> Reader<T> {
    Reader::new(move |value| Form::whole(value, fields), move || Form::schema(fields))
}

/// The schema, with null besides: what is null counts as absent.
pub(super) fn or_null(mut schema: Value) -> Value {
    let Some(told) = schema.as_object_mut() else { return schema };
    if let Some(Value::Array(choices)) = told.get_mut("enum") {
        choices.push(Value::Null);
    }
    if let Some(kind @ Value::String(_)) = told.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}

/// An object that has these properties and no others.
#[expect(clippy::indexing_slicing, reason = "a member of a JSON object that is not there is made")]
pub(super) fn closed_object(fields: Vec<super::Field>) -> Value {
    let required = fields.iter().filter(|field| field.is_required).map(|field| field.name);
    let required: Vec<_> = required.collect();
    let properties = fields.into_iter().map(|super::Field { name, is_required, schema }| {
        (name.to_owned(), if is_required { schema } else { or_null(schema) })
    });
    let properties: Map<_, _> = properties.collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}
