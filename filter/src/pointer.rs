//! JSON pointers (RFC 6901), and where in a document they point. Pure.
//!
//! Invariant: what is found is a part of the document's own text, every time it occurs, and any
//! text at all ends in an answer.

mod scan;

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use scan::Scan;

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
    let text = std::str::from_utf8(document).map_err(|_| NotJson)?;
    let paths: Vec<&[String]> = pointers.iter().map(|pointer| pointer.0.as_slice()).collect();
    Scan::of(text, arrays).document(&paths).ok_or(NotJson)
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

    /// Texts that are JSON, or nearly: with spaces, escapes and names that are there twice, some of
    /// them cut off or with a character too many.
    fn documents() -> impl Strategy<Value = String> {
        let name = "(a|b|0|1|\\\\u0061|\\\\ud83d\\\\ude00|é|[ -!#-Z]{0,12})";
        let leaf = prop_oneof![
            "(null|true|false|nul|-?(0|[1-9][0-9]{0,3}|01)(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?)",
            "\"([a-z é\u{1f600}]|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-f]{3,4}|\u{1}){0,20}\"",
        ];
        let value = leaf.prop_recursive(6, 40, 4, move |inner| {
            let member = (name, "[ \n]{0,2}", inner.clone())
                .prop_map(|(name, space, value)| format!("\"{name}\"{space}:{space}{value}"));
            let join = |parts: Vec<String>| parts.join(" , ");
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(move |all| format!("[{}]", join(all))),
                prop::collection::vec(member, 0..4)
                    .prop_map(move |all| format!("{{{}}}", join(all))),
            ]
        });
        let flaw = prop_oneof![8 => Just(String::new()), 1 => "[\\[\\]{},:\" x0]".boxed()];
        (value, any::<prop::sample::Index>(), flaw).prop_map(|(mut text, at, flaw)| {
            let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            if !places.is_empty() {
                text.insert_str(places[at.index(places.len())], &flaw);
            }
            text
        })
    }

    /// All members `name` of the outermost object, in order, as `serde_json` reads them; `None` if
    /// that says it is no document.
    fn members(document: &str, name: &str) -> Option<Vec<String>> {
        struct All<'n>(&'n str);
        impl<'d> serde::de::Visitor<'d> for All<'_> {
            type Value = Vec<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'d>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value: &RawValue = map.next_value()?;
                    if key == self.0 {
                        found.push(value.get().to_owned());
                    }
                }
                Ok(found)
            }
        }
        let is_object = document.trim_start().starts_with('{');
        if !is_object {
            return serde_json::from_str::<serde::de::IgnoredAny>(document).ok().map(|_| vec![]);
        }
        let mut parser = serde_json::Deserializer::from_str(document);
        let found = serde::Deserializer::deserialize_map(&mut parser, All(name)).ok()?;
        parser.end().ok()?;
        Some(found)
    }

    #[test]
    fn a_document_may_be_nested_as_deep_as_it_likes_beside_the_way() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let document = format!("{{\"b\":{deep},\"a\":1}}");
        assert_eq!(found(&document, "/a", Arrays::ByIndex), ["1"]);
    }

    proptest! {
        #[test]
        fn a_parser_finds_the_same(document in documents(), name in "[ab01]") {
            let path = [pointer(&format!("/{name}"))];
            let ours = find(document.as_bytes(), &path, Arrays::ByIndex).ok();
            let ours = ours.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            // Into an array a name does not lead, and an index is not what the parser is asked.
            if !document.trim_start().starts_with('[') {
                prop_assert_eq!(ours, members(&document, &name));
            }
        }

        #[test]
        fn any_bytes_give_an_answer(document: Vec<u8>, path in "(/[a-z0-9]{0,2}){1,3}") {
            let _ = find(&document, &[pointer(&path)], Arrays::Every);
        }
    }
}
