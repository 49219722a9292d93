//! JSON pointers (RFC 6901), and where in a document they point. Pure.
//!
//! Invariant: what is found is a part of the document's own text, every time it occurs, and any
//! text at all ends in an answer.

use std::fmt;

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess},
};
use serde_json::value::RawValue;
use thiserror::Error;

/// A pointer to a value inside a document, never to the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pointer(Vec<String>);

/// The text is not one JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a JSON document")]
pub struct NotJson;

/// What a name means where the document has an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrays {
    /// Nothing: only an index points into an array.
    ByIndex,
    /// That name in every element, however deep the arrays are nested.
    Every,
}

impl Pointer {
    /// The pointer to the member `name` of the document.
    pub fn to(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// Whether `other` points at the same value or into it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The pointer to the same value from where `base` points. `None` if it is not inside there.
    pub fn from(&self, base: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(base.0.as_slice())?;
        (!rest.is_empty()).then(|| Self(rest.to_vec()))
    }

    /// The pointer that leads on from here to the member `name`.
    #[must_use]
    pub fn then(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(name.to_owned());
        Self(steps)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

/// The texts of all values in `document` that `pointers` point at, in the order of the document.
pub fn find<'d>(
    document: &'d [u8],
    pointers: &[Pointer],
    arrays: Arrays,
) -> Result<Vec<&'d str>, NotJson> {
    // Skipped strings are not checked to be UTF-8 by the parser, so all of it is checked here.
    let text = std::str::from_utf8(document).map_err(|_| NotJson)?;
    let mut found = Vec::new();
    let paths = pointers.iter().map(|pointer| pointer.0.as_slice()).collect();
    let mut parser = serde_json::Deserializer::from_str(text);
    let walk = Walk { paths, arrays, found: &mut found };
    walk.deserialize(&mut parser).map_err(|_| NotJson)?;
    parser.end().map_err(|_| NotJson)?;
    Ok(found)
}

/// The texts of the elements of an array: of the one that `at` points at, or of the document
/// itself. `None` if there is none.
pub fn elements<'d>(document: &'d [u8], at: Option<&Pointer>) -> Option<Vec<&'d str>> {
    let array = match at {
        None => std::str::from_utf8(document).ok()?,
        // Of a name that is there twice, parsers take the last.
        Some(at) => find(document, std::slice::from_ref(at), Arrays::ByIndex).ok()?.pop()?,
    };
    let elements = serde_json::from_str::<Vec<&RawValue>>(array).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let steps = text.strip_prefix('/').ok_or("must be a JSON pointer such as \"/id\"")?;
        steps.split('/').map(unescape).collect::<Result<_, _>>().map(Self)
    }
}

fn unescape(step: &str) -> Result<String, &'static str> {
    let mut parts = step.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tail, sign) = match part.split_at_checked(1) {
            Some(("0", tail)) => (tail, '~'),
            Some(("1", tail)) => (tail, '/'),
            _ => return Err("may have '~' only as \"~0\" (a tilde) or \"~1\" (a slash)"),
        };
        name.push(sign);
        name.push_str(tail);
    }
    Ok(name)
}

/// What is left of a pointer on the way down.
type Path<'p> = &'p [String];

/// One value on the way down, and the paths that lead on from it.
struct Walk<'p, 'd, 'f> {
    paths: Vec<Path<'p>>,
    arrays: Arrays,
    found: &'f mut Vec<&'d str>,
}

impl<'d> DeserializeSeed<'d> for Walk<'_, 'd, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, value: D) -> Result<(), D::Error> {
        if self.paths.iter().any(|path| path.is_empty()) {
            self.found.push(<&'d RawValue>::deserialize(value)?.get());
            return Ok(());
        }
        value.deserialize_any(self)
    }
}

impl<'d> de::Visitor<'d> for Walk<'_, 'd, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(paths) = members.next_key_seed(Key(&self.paths))? {
            if paths.is_empty() {
                members.next_value::<IgnoredAny>()?;
            } else {
                members.next_value_seed(Walk { paths, arrays: self.arrays, found: self.found })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut elements: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let paths = self.paths.iter();
            let paths = paths.filter_map(|path| into_element(path, index, self.arrays));
            let walk = Walk { paths: paths.collect(), arrays: self.arrays, found: self.found };
            if elements.next_element_seed(walk)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

fn into_element(path: Path<'_>, index: usize, arrays: Arrays) -> Option<Path<'_>> {
    let (step, rest) = path.split_first()?;
    match step.parse::<usize>() {
        Ok(wanted) => (wanted == index).then_some(rest),
        Err(_) => (arrays == Arrays::Every).then_some(path),
    }
}

/// The name of a member; its value is what is left of the paths that go through it.
struct Key<'p, 'w>(&'w [Path<'p>]);

impl<'d, 'p> DeserializeSeed<'d> for Key<'p, '_> {
    type Value = Vec<Path<'p>>;

    fn deserialize<D: Deserializer<'d>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'p> de::Visitor<'_> for Key<'p, '_> {
    type Value = Vec<Path<'p>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let onward = self.0.iter().filter_map(|path| match path.split_first() {
            Some((step, rest)) if step == name => Some(rest),
            _ => None,
        });
        Ok(onward.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::try_from(text.to_owned()).unwrap()
    }

    fn found<'d>(document: &'d str, path: &str, arrays: Arrays) -> Vec<&'d str> {
        find(document.as_bytes(), &[pointer(path)], arrays).unwrap()
    }

    /// The document and the pointers of RFC 6901, section 5.
    #[test]
    fn agrees_with_the_examples_of_the_rfc() {
        let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (path, value) in [
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", "\"bar\""),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(found(document, path, Arrays::ByIndex), [value], "{path}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["", "id", "/a~", "/a~2b"] {
            assert!(Pointer::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn every_occurrence_is_found_however_it_is_written() {
        let document = r#"{"a":1,"\u0061":2,"b":{"a":3},"a":[4]}"#;
        assert_eq!(found(document, "/a", Arrays::ByIndex), ["1", "2", "[4]"]);
    }

    #[test]
    fn an_array_is_taken_apart_and_nothing_else_is() {
        let at = pointer("/data");
        assert_eq!(
            elements(b" [1, {\"a\": [2]},\"x\"]", None).unwrap(),
            ["1", "{\"a\": [2]}", "\"x\""]
        );
        assert_eq!(elements(b"{\"data\":[1],\"data\":[2, 3]}", Some(&at)).unwrap(), ["2", "3"]);
        assert_eq!(elements(b"[]", None).unwrap(), [""; 0]);
        for document in ["", "{}", "[1", "[1] 2", "\"[1]\""] {
            assert_eq!(elements(document.as_bytes(), None), None, "{document}");
            assert_eq!(elements(document.as_bytes(), Some(&at)), None, "{document}");
        }
    }

    #[test]
    fn a_pointer_is_told_from_another_place() {
        let id = pointer("/data/id");
        assert_eq!(id.from(&pointer("/data")), Some(pointer("/id")));
        assert_eq!(id.from(&id), None);
        assert_eq!(id.from(&pointer("/other")), None);
        assert_eq!(pointer("/data").then("id"), id);
        for text in ["/id", "/a~1b/m~0n//"] {
            assert_eq!(pointer(text).to_string(), text);
        }
    }

    #[test]
    fn a_name_reaches_into_arrays_only_if_asked_to() {
        let document = r#"[{"a":{"b":1}},[{"a":[{"b":2},{"c":3}]}],4]"#;
        assert!(found(document, "/a/b", Arrays::ByIndex).is_empty());
        assert_eq!(found(document, "/a/b", Arrays::Every), ["1", "2"]);
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        let deep = "[".repeat(100_000);
        let broken: &[&[u8]] =
            &[b"", b"{", b"{} {}", b"{'a':1}", b"\xff", b"{\"b\":\"\xff\"}", deep.as_bytes()];
        for document in broken {
            assert_eq!(find(document, &[pointer("/a")], Arrays::Every), Err(NotJson));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(document: Vec<u8>, path in "(/[a-z0-9]{0,2}){1,3}") {
            let _ = find(&document, &[pointer(&path)], Arrays::Every);
        }
    }
}
