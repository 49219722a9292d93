//! What is accepted as a subscription, and what is refused for which reason.
//!
//! Invariant: every field has a good and a bad value here.

use serde_json::json;
use sidehook_event::TypeId as _;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The least that can be asked for, with one member more.
fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"url": "https://example.com/webhook", "event_type": "people.created"});
    body.as_object_mut().unwrap().insert(member.to_owned(), value);
    body
}

fn made(body: Value) -> Subscription {
    let fresh = |_| SECRET.parse().unwrap();
    let requested = Requested::try_from(body).unwrap();
    let id = SubscriptionId::from_bits(1);
    requested.into_subscription(id, fresh, &Defaults::default(), UnixMicros::EPOCH)
}

fn flaws(body: Value) -> Vec<String> {
    Requested::try_from(body).unwrap_err().told()
}

#[test]
fn url_and_event_type_are_enough() {
    let made = made(json!({
        "url": "http://example.com/webhook-endpoint", "event_type": "created",
        "custom_headers": null, "custom_payload": null
    }));
    assert_eq!(made.url.as_str(), "http://example.com/webhook-endpoint");
    assert_eq!(made.pattern, Pattern::Action("created".to_owned()));
    assert_eq!(made.retry, Retry::default());
    assert_eq!(made.timeout, Duration::from_secs(15));
    assert!(made.enabled && made.custom_headers.iter().next().is_none());
}

#[test]
fn everything_can_be_said() {
    let made = made(json!({
        "url": "https://example.com/webhook",
        "event_type": "people.*",
        "custom_headers": {"Authorization": "Bearer abc"},
        "custom_payload": {"team": ["a", null], "nested": {"type": 1}},
        "format": "cloudevents",
        "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "enabled": false,
        "retry": {"schedule": ["0s", "1m 30s"], "jitter": 0.5},
        "timeout": "30s",
        "rate_limit": "600/m",
        "max_in_flight": 1000,
        "ordering": "subject",
        "description": "the mailing list",
        "metadata": {"team": "a"}
    }));
    assert_eq!(made.format, Format::CloudEvents);
    assert_eq!(made.signing.current.reveal(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    assert_eq!(*made.retry.schedule, [Duration::ZERO, Duration::from_secs(90)]);
    assert_eq!(made.timeout, Duration::from_secs(30));
    assert!(!made.enabled);
    insta::assert_json_snapshot!(super::super::shape::Shown::of(&made));
}

#[test]
fn half_a_retry_leaves_the_other_half_at_its_default() {
    let retry = made(with("retry", json!({"jitter": 0}))).retry;
    assert_eq!(retry.schedule, Retry::default().schedule);
    assert!(retry.jitter.abs() < f64::EPSILON);
}

#[test]
fn what_is_missing_or_wrong_is_named_all_at_once() {
    assert_eq!(
        flaws(json!({"url": "ftp://example.com", "enabled": "yes", "format": "xml", "color": 1})),
        [
            "url must begin with https:// or http://",
            "event_type is required",
            "format must be one of standard, cloudevents, cloudevents-binary, raw",
            "enabled must be true or false",
            "color is unknown; there are url, event_type, filter, script, custom_headers, \
             custom_payload, format, secret, signature, enabled, retry, timeout, tls, rate_limit, max_in_flight, ordering, description, metadata",
        ]
    );
}

#[test]
fn each_field_is_checked() {
    let long = "x".repeat(1025);
    let waits = |n: usize| json!({"schedule": vec!["1s"; n]});
    for (member, value, flaw) in [
        ("url", json!(1), "url must be a string"),
        ("url", json!("/hook"), "url must be an absolute URL such as https://example.com/webhook"),
        ("event_type", json!(["a"]), "event_type must be a string"),
        (
            "event_type",
            json!("People"),
            "event_type may have lower-case letters, digits, '_' and '-' between its dots, \
             nothing else",
        ),
        ("custom_headers", json!({"X-A": 1}), "custom_headers.x-a must be a string"),
        (
            "custom_headers",
            json!({"Host": "a"}),
            "custom_headers.host is set by Sidehook or by HTTP itself",
        ),
        ("custom_payload", json!([]), "custom_payload must be an object"),
        ("secret", json!("hunter2"), "secret must begin with whsec_ (v1) or whsk_ (v1a)"),
        ("retry", json!("never"), "retry must be a JSON object"),
        ("retry", json!({"schedule": "5s"}), "retry.schedule must be an array of durations"),
        ("retry", waits(0), "retry.schedule must have 1 to 50 durations"),
        ("retry", waits(51), "retry.schedule must have 1 to 50 durations"),
        (
            "retry",
            json!({"schedule": ["0s", 5]}),
            "retry.schedule[1] must be a duration such as \"5s\" or \"10m\"",
        ),
        ("retry", json!({"schedule": ["8days"]}), "retry.schedule[0] must be from 0s to 168h"),
        ("retry", json!({"jitter": 2}), "retry.jitter must be a number from 0 to 1"),
        (
            "retry",
            json!({"max": 2}),
            "retry.max is unknown; there are schedule, exponential, jitter, horizon",
        ),
        ("signature", json!("v2"), "signature must be one of v1, v1a"),
        ("timeout", json!("31s"), "timeout must be from 100ms to 30s"),
        ("timeout", json!("0s"), "timeout must be from 100ms to 30s"),
        (
            "rate_limit",
            json!("50"),
            "rate_limit must be a number of deliveries in a second, minute or hour, such as 50/s, \
             600/m or 10/h",
        ),
        ("rate_limit", json!("0/s"), "rate_limit must be 1 to 10000 in a second, minute or hour"),
        ("ordering", json!("strict"), "ordering must be one of none, subject"),
        ("max_in_flight", json!(0), "max_in_flight must be a whole number from 1 to 1000"),
        ("max_in_flight", json!(1001), "max_in_flight must be a whole number from 1 to 1000"),
        ("max_in_flight", json!("3"), "max_in_flight must be a whole number from 1 to 1000"),
        ("description", json!(long), "description must not be longer than 1024 characters"),
        ("metadata", json!({"a": 1}), "metadata.a must be a string"),
        ("metadata", json!({"": "1"}), "metadata must have names of 1 to 64 characters"),
        ("metadata", json!({"a": long}), "metadata.a must not be longer than 512 characters"),
    ] {
        assert_eq!(flaws(with(member, value)), [flaw]);
    }
    let many: Map<_, _> = (0..33).map(|n| (n.to_string(), json!(""))).collect();
    assert_eq!(
        flaws(with("metadata", Value::Object(many))),
        ["metadata must not have more than 32 labels"]
    );
}

#[test]
fn the_keys_of_the_payload_itself_are_refused() {
    for key in ["type", "timestamp", "data", "truncated"] {
        assert_eq!(
            flaws(with("custom_payload", json!({key: 1}))),
            [format!(
                "custom_payload.{key} is a key of the payload itself, which tells what happened; \
                 choose another name"
            )]
        );
    }
    let mut body = with("custom_payload", json!({"id": 1}));
    assert!(Requested::try_from(body.clone()).is_ok());
    body["format"] = json!("cloudevents");
    assert_eq!(
        flaws(body),
        ["custom_payload.id is an attribute of the CloudEvent itself; choose another name"]
    );
}

#[test]
fn only_an_object_is_a_subscription() {
    for body in [json!(null), json!([]), json!("subscription"), json!(1)] {
        assert_eq!(flaws(body), [" must be a JSON object"]);
    }
}

#[test]
fn a_flaw_never_repeats_a_secret() {
    let canary = "whsec_Canary";
    for member in ["secret", "timeout", "custom_headers", "enabled", "event_type", "url"] {
        let told = flaws(with(member, json!(canary))).concat();
        assert!(!told.contains("Canary"), "{told}");
    }
}
