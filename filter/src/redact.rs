//! Takes secrets out of bodies before they leave the gateway. Pure.
//!
//! Invariant: with something to redact, a body leaves either without the values pointed at or
//! not at all; every other byte of it stays as it was.

use bytes::Bytes;
use sidehook_event::Body;

use crate::pointer::{Arrays, Pointer, find};

/// What stands in place of a redacted value.
pub const MASK: &str = "\"[redacted]\"";

/// Masks the values that `pointers` point at. A name that meets an array means every element
/// of it, so that a list of people hides what one person would. A body that cannot be read as
/// JSON, because it is something else, or encoded, or only a part, is emptied and marked as
/// truncated.
pub fn redact(body: &mut Body, pointers: &[Pointer]) {
    if pointers.is_empty() || body.content.is_empty() {
        return;
    }
    if let Some(content) = masked(body, pointers) {
        body.content = content;
    } else {
        body.content = Bytes::new();
        body.truncated = true;
    }
}

fn masked(body: &Body, pointers: &[Pointer]) -> Option<Bytes> {
    if body.content_encoding.is_some() {
        return None;
    }
    let values = find(&body.content, pointers, Arrays::Every).ok()?;
    if values.is_empty() {
        return Some(body.content.clone());
    }
    let start = body.content.as_ptr().addr();
    let mut content = Vec::with_capacity(body.content.len());
    let mut copied = 0;
    for value in values {
        let at = value.as_ptr().addr().checked_sub(start)?;
        content.extend(body.content.get(copied..at)?);
        content.extend(MASK.as_bytes());
        copied = at.checked_add(value.len())?;
    }
    content.extend(body.content.get(copied..)?);
    Some(content.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn pointers(texts: &[&str]) -> Vec<Pointer> {
        let parse = |text: &&str| Pointer::try_from((*text).to_owned()).unwrap();
        texts.iter().map(parse).collect()
    }

    fn redacted(content: &str, paths: &[&str]) -> Body {
        let mut body =
            Body { content: Bytes::copy_from_slice(content.as_bytes()), ..Body::default() };
        redact(&mut body, &pointers(paths));
        body
    }

    #[test]
    fn masks_what_is_pointed_at_and_keeps_every_other_byte() {
        let body = redacted(
            "{\n \"name\": \"Ada\", \"password\": \"x\",  \"card\": {\"number\":4111, \"year\" : 2030}, \"n\": 1.00 }",
            &["/password", "/card/number"],
        );
        assert_eq!(
            body.content,
            "{\n \"name\": \"Ada\", \"password\": \"[redacted]\",  \"card\": {\"number\":\"[redacted]\", \"year\" : 2030}, \"n\": 1.00 }"
        );
        assert!(!body.truncated);
    }

    #[test]
    fn masks_whole_objects_repeated_names_and_elements_of_lists() {
        let body = redacted(r#"[{"card":{"n":[1]}},{"card":1,"\u0063ard":2}]"#, &["/card"]);
        let mask = MASK;
        let expected = format!(r#"[{{"card":{mask}}},{{"card":{mask},"\u0063ard":{mask}}}]"#);
        assert_eq!(body.content, expected);
    }

    #[test]
    fn a_body_that_cannot_be_read_does_not_leave() {
        for content in ["password=x", "{\"password\":\"x\"", "{} {}", "\u{feff}{}"] {
            let body = redacted(content, &["/password"]);
            assert!(body.content.is_empty() && body.truncated, "{content}");
        }
        let mut encoded = Body {
            content: Bytes::from_static(b"{}"),
            content_encoding: Some("gzip".into()),
            ..Body::default()
        };
        redact(&mut encoded, &pointers(&["/password"]));
        assert!(encoded.content.is_empty() && encoded.truncated);
    }

    #[test]
    fn without_pointers_any_body_leaves_as_it_is() {
        let body = redacted("password=x", &[]);
        assert_eq!(body.content, "password=x");
        assert!(!body.truncated);
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "SECRET|[a-z\"\\\\é]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same rule said another way: on a parsed document, value by value.
    fn mask_value(value: &mut Value, path: &[&str]) {
        match (value, path) {
            (value, []) => *value = "[redacted]".into(),
            (Value::Object(members), [name, rest @ ..]) => {
                if let Some(value) = members.get_mut(*name) {
                    mask_value(value, rest);
                }
            }
            (Value::Array(elements), path) => {
                for element in elements {
                    mask_value(element, path);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn agrees_with_masking_the_parsed_document(document in documents(), path in "[abc](/[abc]){0,2}") {
            let body = redacted(&document.to_string(), &[&format!("/{path}")]);
            let mut expected = document;
            mask_value(&mut expected, &path.split('/').collect::<Vec<_>>());
            prop_assert_eq!(serde_json::from_slice::<Value>(&body.content).unwrap(), expected);
        }

        #[test]
        fn any_bytes_end_masked_or_emptied(content: Vec<u8>) {
            let mut body = Body { content: content.into(), ..Body::default() };
            redact(&mut body, &pointers(&["/a/b"]));
            let parses = serde_json::from_slice::<Value>(&body.content).is_ok();
            prop_assert!(parses || body.content.is_empty());
        }
    }
}
