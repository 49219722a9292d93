//! What the rules make of paths.
//!
//! Invariant: each test names a kind of path and says what becomes of it.

use proptest::prelude::*;

use super::*;

fn template(text: &str) -> Template {
    Template::try_from(text.to_owned()).unwrap()
}

fn named(method: Method) -> Writes {
    Writes::Named { method, id_from_body: false }
}

fn rules() -> Rules {
    Rules::new(&[
        (template("/people"), Writes::Resource),
        (template("/orgs"), Writes::Resource),
        (template("/orgs/{org}/people"), Writes::Resource),
        (template("/invoices/{id}/pay"), named(Method::Post)),
        (template("/people/search"), named(Method::Put)),
        (template("/sessions"), named(Method::Post)),
        (template("/api/v1/a/{a}/b/{b}/run"), named(Method::Post)),
    ])
    .unwrap()
}

/// The rule, the change and the subject when the answer's body says that the id is `9`.
fn found(method: Method, path: &str) -> Option<(usize, Change, Option<String>)> {
    match rules().find(method, path) {
        Found::Rule { index, change, place } => {
            Some((index, change, place.subject(|| Some("9".into()))))
        }
        Found::Missed | Found::Unwatched => None,
    }
}

fn subject(method: Method, path: &str) -> String {
    found(method, path).and_then(|(.., subject)| subject).unwrap()
}

#[test]
fn the_parents_are_the_parameters_before_the_resource_s_own() {
    let parents = |method, path: &str| match rules().find(method, path) {
        Found::Rule { place, .. } => place.parents().to_vec(),
        other => panic!("{other:?}"),
    };
    let org = || vec![("org".to_owned(), "7".to_owned())];
    assert_eq!(parents(Method::Post, "/orgs/7/people"), org());
    assert_eq!(parents(Method::Patch, "/orgs/7/people/42"), org());
    assert_eq!(parents(Method::Patch, "/orgs/7"), []);
    assert_eq!(parents(Method::Post, "/people"), []);
    assert_eq!(parents(Method::Post, "/invoices/4/pay"), []);
}

#[test]
fn a_resource_is_created_on_its_path_and_changed_below_it() {
    let id = |text: &str| Some(format!("people/{text}"));
    assert_eq!(found(Method::Post, "/people"), Some((0, Change::Created, id("9"))));
    assert_eq!(found(Method::Put, "/people/42"), Some((0, Change::Replaced, id("42"))));
    assert_eq!(found(Method::Patch, "/people/42"), Some((0, Change::Updated, id("42"))));
    assert_eq!(found(Method::Delete, "/people/42"), Some((0, Change::Deleted, id("42"))));
}

#[test]
fn a_trailing_slash_and_a_query_change_nothing() {
    for path in ["/people/", "/people?a=/b", "/people/?a", "/people#x"] {
        assert_eq!(found(Method::Post, path).unwrap().0, 0, "{path}");
    }
    assert_eq!(subject(Method::Delete, "/people/42/?soft=1"), "people/42");
}

#[test]
fn a_path_is_read_as_an_api_that_normalises_would() {
    for path in [
        "//people//42",
        "/people/./42",
        "/orgs/../people/42",
        "/%70eople/42",
        "/people/%34%32",
        "/x/%2e%2e/people/42",
        "people/42",
    ] {
        assert_eq!(subject(Method::Patch, path), "people/42", "{path}");
    }
}

#[test]
fn an_id_is_decoded_unless_it_would_no_longer_be_one_segment_of_text() {
    assert_eq!(subject(Method::Patch, "/people/a%20b"), "people/a b");
    assert_eq!(subject(Method::Patch, "/people/%C3%A9"), "people/é");
    for id in ["a%2Fb", "a%00", "%ff", "%zz", "%", "%4", "%+1", "42;v=1"] {
        assert_eq!(subject(Method::Patch, &format!("/people/{id}")), format!("people/{id}"));
    }
}

#[test]
fn nested_resources_carry_their_parents() {
    assert_eq!(subject(Method::Post, "/orgs/7/people"), "orgs/7/people/9");
    assert_eq!(subject(Method::Patch, "/orgs/7/people/42"), "orgs/7/people/42");
    assert_eq!(found(Method::Patch, "/orgs/7/people/42").unwrap().0, 2);
    let Found::Rule { place, .. } = rules().find(Method::Post, "/people") else {
        panic!("no rule found");
    };
    assert_eq!(place.subject(|| Some("a/b".into())).unwrap(), "people/a%2Fb", "one segment");
    assert_eq!(subject(Method::Patch, "/orgs/7"), "orgs/7");
}

#[test]
fn a_named_event_is_about_the_last_parameter_of_its_path() {
    assert_eq!(subject(Method::Post, "/invoices/4/pay"), "invoices/4");
    assert_eq!(subject(Method::Post, "/api/v1/a/1/b/2/run"), "a/1/b/2");
    assert_eq!(subject(Method::Post, "/sessions"), "sessions/9");
    assert_eq!(found(Method::Put, "/invoices/4/pay"), None);
}

#[test]
fn an_id_pointer_of_its_own_goes_before_the_path_of_a_named_event() {
    let writes = Writes::Named { method: Method::Post, id_from_body: true };
    let rules = Rules::new(&[(template("/people/{id}/notes"), writes)]).unwrap();
    let Found::Rule { place, .. } = rules.find(Method::Post, "/people/4/notes") else {
        panic!("no rule found");
    };
    assert_eq!(place.subject(|| Some("9".into())).unwrap(), "people/4/notes/9");
    assert_eq!(place.subject(|| None).unwrap(), "people/4");
}

#[test]
fn a_literal_goes_before_a_parameter() {
    assert_eq!(found(Method::Put, "/people/search").unwrap().1, Change::Named);
    assert_eq!(found(Method::Put, "/people/other").unwrap().1, Change::Replaced);
    assert_eq!(found(Method::Patch, "/people/search").unwrap().1, Change::Updated);
}

#[test]
fn a_write_near_a_rule_that_fits_none_is_a_hole_made_visible() {
    for (method, path) in [
        (Method::Post, "/people/42"),
        (Method::Delete, "/people"),
        (Method::Post, "/PEOPLE"),
        (Method::Post, "/people;v=1"),
        (Method::Post, "/people%2f42"),
        (Method::Post, "/people%5c42"),
        (Method::Patch, "/people/42/address"),
        (Method::Post, "/invoices/4/cancel"),
    ] {
        assert_eq!(rules().find(method, path), Found::Missed, "{path}");
    }
    for path in ["/", "", "*", "/peoples", "/api/v2", "/other/people"] {
        assert_eq!(rules().find(Method::Post, path), Found::Unwatched, "{path}");
    }
}

#[test]
fn two_rules_for_the_same_write_are_a_conflict() {
    let conflict = |rules: &[(Template, Writes)]| Rules::new(rules).err();
    let (first, second) = (0, 1);
    for other in [
        (template("/people"), Writes::Resource),
        (template("/people/{who}"), named(Method::Delete)),
        (template("/people"), named(Method::Post)),
    ] {
        let rules = [(template("/people"), Writes::Resource), other];
        assert_eq!(conflict(&rules), Some(Conflict { first, second }));
    }
    let apart = [
        (template("/people"), Writes::Resource),
        (template("/people"), named(Method::Put)),
        (template("/people/{who}"), named(Method::Post)),
    ];
    assert_eq!(conflict(&apart), None);
}

#[test]
fn what_is_no_template_is_refused() {
    for text in [
        "",
        "people",
        "/",
        "//",
        "/{id}",
        "/a//b",
        "/a/../b",
        "/a/{b",
        "/a/b}",
        "/a/{b}c",
        "/a/{}",
        "/a?b",
        "/a/*",
        "/a/%20",
        "/a/{b}/{b}",
    ] {
        assert!(Template::try_from(text.to_owned()).is_err(), "{text}");
    }
}

#[test]
fn only_writing_methods_are_methods() {
    for name in [&b"GET"[..], b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"post", b"", b"\xff"] {
        assert_eq!(Method::parse(name), None);
    }
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete] {
        assert_eq!(Method::parse(method.as_str().as_bytes()), Some(method));
    }
}

#[test]
fn the_last_segment_of_a_location_is_an_id() {
    for (location, id) in [
        ("/people/42", Some("42")),
        ("https://api.test/people/42/?x", Some("42")),
        ("42", Some("42")),
        ("https://api.test", None),
        ("https://api.test/", None),
        ("", None),
    ] {
        assert_eq!(last_segment(location).as_deref(), id, "{location}");
    }
}

proptest! {
    #[test]
    fn any_path_gives_an_answer(path: String) {
        let _ = rules().find(Method::Post, &path);
    }

    #[test]
    fn an_id_survives_the_way_through_a_path(id in "[a-zA-Z0-9_~:@-][a-zA-Z0-9._~:@-]{0,12}") {
        let expected = format!("people/{id}");
        prop_assert_eq!(subject(Method::Delete, &format!("/people/{id}")), expected);
    }

    #[test]
    fn the_order_of_the_rules_does_not_matter(swap in 0_usize..6) {
        let mut list = vec![
            (template("/a/{x}/c"), named(Method::Post)),
            (template("/a/b/{y}"), named(Method::Post)),
            (template("/a/b/c"), named(Method::Post)),
        ];
        list.rotate_left(swap % 3);
        if swap > 2 {
            list.swap(0, 1);
        }
        let rules = Rules::new(&list).unwrap();
        for (path, best) in [("/a/b/c", "/a/b/c"), ("/a/b/d", "/a/b/{y}"), ("/a/d/c", "/a/{x}/c")] {
            let Found::Rule { index, .. } = rules.find(Method::Post, path) else {
                panic!("no rule for {path}");
            };
            prop_assert_eq!(&list[index].0, &template(best));
        }
    }
}
