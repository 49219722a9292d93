//! Reads the members of a JSON object, or the parameters of a query, one by one.
//!
//! Invariant: every flaw is noted, not the first alone; a member that nobody asked for is one.

pub(crate) mod flaw;
pub(crate) mod read;

use serde_json::{Map, Value};
use url::form_urlencoded;

pub use self::flaw::{Flaw, Flaws, Place};
use self::flaw::{all, note};

/// The members that are still to be read, and what was wrong with those that were.
#[derive(Debug)]
pub(crate) struct Form {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    flaws: Option<Flaws>,
}

impl Form {
    /// The members of an object.
    pub(crate) fn of(value: Value) -> Result<Self, Flaws> {
        match value {
            Value::Object(members) => Ok(Self { members, known: Vec::new(), flaws: None }),
            _ => Err(Flaws::here("must be a JSON object")),
        }
    }

    /// The parameters of a query, all of them strings.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        let mut form = Self { members: Map::new(), known: Vec::new(), flaws: None };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = Value::String(value.into_owned());
            if form.members.insert(name.to_string(), value).is_some() {
                form.note(Flaws::at(&name, "must not be given twice"));
            }
        }
        form
    }

    /// Reads a member. `None` if it is absent, null, or wrong.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, Flaws>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.members.remove(name).filter(|value| !value.is_null())?;
        read(value).map_err(|flaws| self.note(flaws.within(name))).ok()
    }

    /// Reads a member that must be there. `None` if it is absent, null, or wrong.
    pub(crate) fn require<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, Flaws>,
    ) -> Option<T> {
        if self.members.get(name).is_none_or(Value::is_null) {
            self.note(Flaws::at(name, "is required"));
        }
        self.read(name, read)
    }

    /// Notes something that only two members together show.
    pub(crate) fn note(&mut self, flaws: Flaws) {
        note(&mut self.flaws, flaws);
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
    use crate::form::read::text;

    #[test]
    fn notes_whatever_is_wrong_at_once() {
        let mut form = Form::of(json!({"b": 1, "c": "c", "x": 1, "y": null})).unwrap();
        assert_eq!(form.require("a", text), None);
        assert_eq!(form.read("b", text), None);
        assert_eq!(form.read("c", text), Some("c".to_owned()));
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
        assert_eq!(form.read("a", text), None);
        assert_eq!(form.require("b", text), None);
        assert_eq!(form.finish(), Err(Flaws::at("b", "is required")));
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
        assert_eq!(form.read("a", text), Some("people/1 2".to_owned()));
        assert_eq!(form.read("b", text), Some("2".to_owned()));
        assert_eq!(form.finish(), Err(Flaws::at("b", "must not be given twice")));
        assert_eq!(Form::of_query(None).finish(), Ok(()));
    }
}
