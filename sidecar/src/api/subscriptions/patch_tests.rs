//! What a patch changes, and what it leaves.
//!
//! Invariant: the rules of RFC 7396 are tried on each kind of member.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{Headers, testing::subscription};

fn earlier() -> Subscription {
    Subscription {
        custom_headers: Headers::parse([("x-a", "1"), ("x-b", "2")]).unwrap(),
        custom_payload: json!({"team": "a", "deep": {"x": 1, "y": 2}}).as_object().unwrap().clone(),
        enabled: false,
        disabled_reason: Some("the receiver answered 410".to_owned()),
        description: Some("the mailing list".to_owned()),
        signing: subscription(7, "*").signing.rotated(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx".parse().unwrap(),
            UnixMicros::EPOCH,
            UnixMicros::MAX,
        ),
        ..subscription(7, "people.created")
    }
}

const ED25519: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

fn fresh(scheme: Scheme) -> Secret {
    let text = match scheme {
        Scheme::V1 => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        Scheme::V1a => ED25519,
    };
    text.parse().unwrap()
}

fn apply(patch: Value) -> Result<Subscription, Flaws> {
    let now = UnixMicros::new(1_763_890_200_000_000);
    patched(&earlier(), patch, fresh, &Defaults::default(), now)
}

#[test]
fn an_empty_patch_changes_the_date_alone() {
    let updated_at = UnixMicros::new(1_763_890_200_000_000);
    assert_eq!(apply(json!({})), Ok(Subscription { updated_at, ..earlier() }));
}

#[test]
fn objects_are_merged_and_null_removes() {
    let later = apply(json!({
        "custom_headers": {"X-A": null, "X-C": "3"},
        "custom_payload": {"deep": {"x": null, "z": 3}},
        "description": null,
        "retry": {"jitter": 0.5}
    }))
    .unwrap();
    assert_eq!(later.custom_headers, Headers::parse([("x-b", "2"), ("x-c", "3")]).unwrap());
    assert_eq!(Value::Object(later.custom_payload), json!({"team": "a", "deep": {"y": 2, "z": 3}}));
    assert_eq!(later.description, None);
    assert_eq!(later.retry.schedule, earlier().retry.schedule);
    assert!((later.retry.jitter - 0.5).abs() < f64::EPSILON);
}

#[test]
fn whoever_decides_about_enabled_takes_the_reason_away() {
    assert_eq!(apply(json!({"enabled": true})).unwrap().disabled_reason, None);
    let untouched = apply(json!({"description": "new"})).unwrap();
    assert_eq!(untouched.disabled_reason, earlier().disabled_reason);
}

#[test]
fn a_secret_is_kept_replaced_or_made_anew() {
    let given = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(apply(json!({})).unwrap().signing, earlier().signing);
    assert_eq!(apply(json!({"secret": given})).unwrap().signing.current.reveal(), given);
    assert_eq!(apply(json!({"secret": null})).unwrap().signing, fresh(Scheme::V1).into());
}

#[test]
fn to_sign_in_another_way_exchanges_the_secret_and_the_old_one_signs_on() {
    let later = apply(json!({"signature": "v1a"})).unwrap();
    let old = earlier().signing;
    let day = Duration::from_hours(24);
    assert_eq!(
        later.signing,
        old.rotated(fresh(Scheme::V1a), later.updated_at, later.updated_at.after(day))
    );
    let back = |patch| patched(&later, patch, fresh, &Defaults::default(), later.updated_at);
    assert_eq!(back(json!({"signature": null})).unwrap().signing.current, fresh(Scheme::V1));
    assert_eq!(back(json!({"description": "new"})).unwrap().signing, later.signing);
}

#[test]
fn a_secret_says_by_itself_how_it_signs() {
    let later = apply(json!({"secret": ED25519})).unwrap();
    assert_eq!(later.signing, fresh(Scheme::V1a).into());
    let flaws = apply(json!({"secret": ED25519, "signature": "v1"})).unwrap_err().into_list();
    let [flaw] = &flaws[..] else { panic!("{flaws:?}") };
    assert_eq!(flaw.field, "secret");
    assert_eq!(flaw.message, "must begin with whsec_ where signature is v1");
}

#[test]
fn what_cannot_be_changed_is_named() {
    for (patch, field) in [
        (json!({"id": "sub_1"}), "id"),
        (json!({"created_at": null}), "created_at"),
        (json!({"color": null}), "color"),
        (json!({"url": null}), "url"),
        (json!({"retry": {"max": 1}}), "retry.max"),
        (json!({"custom_headers": {"x-a": 1}}), "custom_headers.x-a"),
        (json!({"custom_headers": {"x-c": "", "X-C": ""}}), "custom_headers.x-c"),
        (json!([]), ""),
    ] {
        let flaws = apply(patch).unwrap_err().into_list();
        let fields: Vec<_> = flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        assert_eq!(fields, [field]);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(null)), any::<i8>().prop_map(|n| json!(n))];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let members = prop::collection::btree_map("[a-c]", inner, 0..4);
        members.prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(target in any_json(), patch in any_json()) {
        let (Value::Object(mut once), Value::Object(patch)) = (target, patch) else {
            return Ok(());
        };
        merge(&mut once, patch.clone());
        let mut twice = once.clone();
        merge(&mut twice, patch);
        prop_assert_eq!(once, twice);
    }
}
