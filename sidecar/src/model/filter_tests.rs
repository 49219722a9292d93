//! What filters let through, and what is no filter.
//!
//! Invariant: a filter is asked of one and the same event.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn filter(written: Value) -> Filter {
    let Value::Object(written) = written else { panic!("an object") };
    Filter::parse(written).unwrap()
}

fn flaw_of(written: Value) -> String {
    let Value::Object(written) = written else { panic!("an object") };
    Filter::parse(written).unwrap_err().to_string()
}

fn event() -> Value {
    json!({"type": "people.created", "time": "2026-03-01T12:00:00Z", "data": {
        "role": "admin", "age": 18, "score": 1.5, "tags": ["a", "b"], "nothing": null,
        "address": {"city": "Paris"}, "any": 1, "list": [{"id": 7}],
    }})
}

#[test]
fn what_is_asked_must_be_so() {
    let wanted = [
        json!({}),
        json!({"data.role": "admin"}),
        json!({"data.role": "admin", "data.age": {"gte": 18}}),
        json!({"data.age": {"gt": 17.5, "lt": 19, "lte": 18}}),
        json!({"data.age": 18.0}),
        json!({"data.age": {"in": [1, 18]}}),
        json!({"data.role": {"ne": "user"}}),
        json!({"data.missing": {"ne": "user"}}),
        json!({"data.missing": {"exists": false}, "data.nothing": {"exists": true}}),
        json!({"data.nothing": null}),
        json!({"data.address.city": {"prefix": "Pa", "suffix": "is"}}),
        json!({"data.tags": {"contains": "b"}, "data.role": {"contains": "dmi"}}),
        json!({"data.list[0].id": 7, "/data/list/0/id": 7}),
        json!({"time": {"gte": "2026-03-01", "lt": "2026-04-01"}}),
        json!({"data.tags": {"eq": ["a", "b"]}}),
        json!({"any": [{"data.role": "user"}, {"data.age": 18}]}),
        json!({"all": [{"data.role": "admin"}, {"not": {"data.age": 17}}]}),
        json!({"data.role": {"any": ["user", {"prefix": "adm"}]}}),
        json!({"data.age": {"all": [{"gt": 1}, {"not": {"gt": 18}}]}}),
        json!({"/data/any": 1}),
    ];
    for written in wanted {
        assert!(filter(written.clone()).matches(&event()), "{written}");
    }
    let unwanted = [
        json!({"data.role": "user"}),
        json!({"data.role": "admin", "data.age": {"gte": 19}}),
        json!({"data.missing": null}),
        json!({"data.missing": {"lt": 5}}),
        json!({"data.role": {"gt": 5}}),
        json!({"data.age": "18"}),
        json!({"data.nothing": {"exists": false}}),
        json!({"not": {"data.role": "admin"}}),
        json!({"any": [{"data.role": "user"}, {"data.age": 17}]}),
        json!({"data.tags": {"contains": "c"}}),
        json!({"data.tags[2]": "c"}),
    ];
    for written in unwanted {
        assert!(!filter(written.clone()).matches(&event()), "{written}");
    }
}

#[test]
fn what_is_no_filter_is_told_with_its_place() {
    let cases = [
        (
            json!({"data.a": ["x"]}),
            "[\"data.a\"] must be a value, or {\"in\": […]} for one of several",
        ),
        (json!({"data.a": {"gte": true}}), "[\"data.a\"][\"gte\"] must be a number or a string"),
        (
            json!({"data..a": 1}),
            "[\"data..a\"] must be a path such as data.role, or all, any or not",
        ),
        (json!({"any": {"data.a": 1}}), "[\"any\"] must be a list"),
        (json!({"any": []}), "[\"any\"] must not be empty"),
        (json!({"any": [{"data.a": 1}, 2]}), "[\"any\"][1] must be a filter, an object"),
        (json!({"data.a": {}}), "[\"data.a\"] must not be empty"),
        (json!({"data.a": {"exists": 1}}), "[\"data.a\"][\"exists\"] must be true or false"),
        (json!({"data.a": {"prefix": 1}}), "[\"data.a\"][\"prefix\"] must be a string"),
    ];
    for (written, said) in cases {
        assert_eq!(flaw_of(written), said);
    }
    assert!(flaw_of(json!({"data.a": {"$gt": 1}})).contains("is no operator: eq, ne, in"));
    let many: Map<_, _> = (0..101).map(|n| (format!("data.a{n}"), n.into())).collect();
    assert!(flaw_of(Value::Object(many)).ends_with("must not have more than 100 conditions"));
    let deep = (0..20).fold(json!({"data.a": 1}), |inner, _| json!({"not": inner}));
    assert!(flaw_of(deep).ends_with("must not be nested more than 8 deep"));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c.\\[\\]/]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = "all|any|not|in|eq|gt|exists|prefix|contains|[a-c](\\.[a-c])?|/a";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name, inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn every_text_is_a_filter_or_told_to_be_none(written in any_value(), event in any_value()) {
        let Value::Object(written) = written else { return Ok(()) };
        if let Ok(filter) = Filter::parse(written.clone()) {
            prop_assert_eq!(filter.written(), &written);
            let opposite = json!({"not": written});
            let Value::Object(opposite) = opposite else { return Ok(()) };
            if let Ok(opposite) = Filter::parse(opposite) {
                prop_assert_ne!(filter.matches(&event), opposite.matches(&event));
            }
        }
    }
}
