//! Reads the members of a JSON object, or the parameters of a query, one by one.
//!
//! Invariant: every flaw is noted, not the first alone; a member that nobody asked for is one. What
//! can be written is told by the very function that reads it, handed a blank form.

pub(crate) mod flaw;
pub(crate) mod named;
pub(crate) mod read;
mod reader;

use serde_json::{Map, Value};
use url::form_urlencoded;

pub use self::flaw::{Flaw, Flaws, Place};
pub(crate) use self::reader::{Reader, nested};
use self::{
    flaw::{all, note},
    reader::closed_object,
};

/// The members that are still to be read, and what was wrong with those that were.
#[derive(Debug, Default)]
pub(crate) struct Form {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    flaws: Option<Flaws>,
    /// What is asked for, if nothing is written in it: then nothing is read either.
    blank: Option<Vec<Field>>,
}

/// What may be written in one place of a form.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    pub(crate) schema: Value,
}

impl Form {
    /// Reads a whole object by `fields`, which gives nothing if anything that is required is not
    /// there or wrong.
    pub(crate) fn whole<T>(
        value: Value,
        fields: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Flaws> {
        Self::of(value)?.read_by(fields)
    }

    /// Reads a whole query.
    pub(crate) fn whole_query<T>(
        query: Option<&str>,
        fields: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Flaws> {
        Self::of_query(query).read_by(fields)
    }

    /// What `fields` reads, as the schema of an object.
    pub(crate) fn schema<T>(fields: impl FnOnce(&mut Self) -> Option<T>) -> Value {
        closed_object(Self::fields(fields))
    }

    /// What `fields` reads, one by one.
    pub(crate) fn fields<T>(fields: impl FnOnce(&mut Self) -> Option<T>) -> Vec<Field> {
        let mut form = Self { blank: Some(Vec::new()), ..Self::default() };
        fields(&mut form);
        form.blank.unwrap_or_default()
    }

    /// The members of an object.
    pub(crate) fn of(value: Value) -> Result<Self, Flaws> {
        match value {
            Value::Object(members) => Ok(Self { members, ..Self::default() }),
            _ => Err(Flaws::here("must be a JSON object")),
        }
    }

    /// The parameters of a query, all of them strings.
    fn of_query(query: Option<&str>) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = Value::String(value.into_owned());
            if form.members.insert(name.to_string(), value).is_some() {
                form.note(Flaws::at(&name, "must not be given twice"));
            }
        }
        form
    }

    /// Reads a member. `None` if it is absent, null, or wrong.
    #[expect(clippy::needless_pass_by_value, reason = "a reader is made for one field")]
    pub(crate) fn read<T: 'static>(&mut self, name: &'static str, reader: Reader<T>) -> Option<T> {
        self.take(name, false, &reader)
    }

    /// Reads a member that must be there. `None` if it is absent, null, or wrong.
    #[expect(clippy::needless_pass_by_value, reason = "a reader is made for one field")]
    pub(crate) fn require<T: 'static>(
        &mut self,
        name: &'static str,
        reader: Reader<T>,
    ) -> Option<T> {
        if self.blank.is_none() && self.members.get(name).is_none_or(Value::is_null) {
            self.note(Flaws::at(name, "is required"));
        }
        self.take(name, true, &reader)
    }

    fn take<T: 'static>(
        &mut self,
        name: &'static str,
        is_required: bool,
        reader: &Reader<T>,
    ) -> Option<T> {
        if let Some(blank) = &mut self.blank {
            blank.push(Field { name, is_required, schema: reader.schema() });
            return None;
        }
        self.known.push(name);
        let value = self.members.remove(name).filter(|value| !value.is_null())?;
        reader.read(value).map_err(|flaws| self.note(flaws.within(name))).ok()
    }

    /// Notes something that only two members together show.
    pub(crate) fn note(&mut self, flaws: Flaws) {
        note(&mut self.flaws, flaws);
    }

    fn read_by<T>(mut self, fields: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, Flaws> {
        let read = fields(&mut self);
        self.finish()?;
        read.ok_or_else(|| Flaws::here("lacks something that is required"))
    }

    /// Whether nothing was wrong, and no member is left.
    pub(crate) fn finish(mut self) -> Result<(), Flaws> {
        let known = self.known.join(", ");
        let unknown = self.members.keys().map(|name| {
            let message = format!("is unknown; there are {known}");
            Err::<(), _>(Flaws::at(name, message))
        });
        if let Err(flaws) = all::<_, ()>(unknown) {
            note(&mut self.flaws, flaws);
        }
        self.flaws.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::form::read::{one_of, text};

    #[test]
    fn notes_whatever_is_wrong_at_once() {
        let mut form = Form::of(json!({"b": 1, "c": "c", "x": 1, "y": null})).unwrap();
        assert_eq!(form.require("a", text()), None);
        assert_eq!(form.read("b", text()), None);
        assert_eq!(form.read("c", text()), Some("c".to_owned()));
        let flaws = form.finish().unwrap_err().into_list();
        let flaws: Vec<_> =
            flaws.iter().map(|flaw| format!("{} {}", flaw.field, flaw.message)).collect();
        assert_eq!(
            flaws,
            [
                "a is required",
                "b must be a string",
                "x is unknown; there are a, b, c",
                "y is unknown; there are a, b, c",
            ]
        );
    }

    #[test]
    fn null_is_as_if_it_were_absent() {
        let mut form = Form::of(json!({"a": null, "b": null})).unwrap();
        assert_eq!(form.read("a", text()), None);
        assert_eq!(form.require("b", text()), None);
        assert_eq!(form.finish(), Err(Flaws::at("b", "is required")));
    }

    #[test]
    fn a_blank_form_tells_what_can_be_written() {
        let fields = |form: &mut Form| {
            let a = form.require("a", text().about("The first."));
            form.read("b", one_of(&[("yes", true), ("no", false)]).or("no"));
            a
        };
        assert_eq!(
            Form::schema(fields),
            json!({
                "type": "object",
                "required": ["a"],
                "additionalProperties": false,
                "properties": {
                    "a": {"type": "string", "description": "The first."},
                    "b": {"type": ["string", "null"], "enum": ["yes", "no", null], "default": "no"},
                },
            })
        );
    }

    #[test]
    fn only_an_object_has_members() {
        for value in [json!(null), json!([]), json!("a"), json!(1)] {
            assert_eq!(Form::of(value).err(), Some(Flaws::here("must be a JSON object")));
        }
    }

    #[test]
    fn a_query_is_decoded_and_has_each_parameter_once() {
        let mut form = Form::of_query(Some("a=people%2F1+2&b=1&b=2"));
        assert_eq!(form.read("a", text()), Some("people/1 2".to_owned()));
        assert_eq!(form.read("b", text()), Some("2".to_owned()));
        assert_eq!(form.finish(), Err(Flaws::at("b", "must not be given twice")));
        assert_eq!(Form::of_query(None).finish(), Ok(()));
    }
}
