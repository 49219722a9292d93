//! What the configuration means and what it refuses.
//!
//! Invariant: every refusal is checked together with the path of the key it names.

use serde_json::{Value, json};

use super::*;
use crate::rules::{Found, Method};

fn full() -> Value {
    json!({
        "gateway": "edge",
        "sidecar": {"cluster": "sidehook", "path": "/in", "timeout": "500ms", "token": "t0p-s3cret"},
        "capture": "best_effort",
        "hold_timeout": "1.5s",
        "buffer": {"max_events": 10000.0, "max_bytes": "16MiB"},
        "routes": [
            {
                "resource": "people", "path": "/people", "id": "/data/id", "capture": "strict",
                "body": {"request": true, "response": false, "max_bytes": 65536.0},
                "redact": ["/password", "/card/number"], "headers": ["X-Actor"],
            },
            {"resource": "invoice", "path": "/invoices/{id}/pay", "method": "POST", "event": "invoice.paid"},
            {"resource": "member", "path": "/members", "bulk": "/data", "id": "/data/key", "idempotency_key": true},
        ],
    })
}

fn small() -> Value {
    json!({
        "gateway": "edge",
        "sidecar": {"cluster": "sidehook"},
        "routes": [{"resource": "people", "path": "/people"}],
    })
}

fn parse(json: &Value) -> Result<Config, Invalid> {
    Config::parse(json.to_string().as_bytes())
}

#[test]
fn every_key_has_its_meaning() {
    let config = parse(&full()).unwrap();
    assert_eq!(config.gateway, "edge");
    assert_eq!(
        (config.sidecar.cluster.as_str(), config.sidecar.path.as_str()),
        ("sidehook", "/in")
    );
    assert_eq!(config.sidecar.timeout, Duration::from_millis(500));
    assert_eq!(config.sidecar.authorization.as_ref().unwrap().reveal(), "Bearer t0p-s3cret");
    assert_eq!(config.hold_timeout, Duration::from_millis(1500));
    assert_eq!((config.buffer.max_events, config.buffer.max_bytes), (10_000, 16 << 20));

    let member = &config.routes[2];
    let bulk = member.bulk.as_ref().unwrap();
    assert_eq!((bulk.at.as_ref(), &bulk.id), (Some(&Pointer::to("data")), &Pointer::to("key")));
    assert!(member.idempotency_key);

    let people = &config.routes[0];
    assert!(people.bulk.is_none() && !people.idempotency_key);
    assert_eq!(people.capture, Capture::Strict);
    assert_eq!((people.request_body, people.response_body, people.max_body), (true, false, 65_536));
    assert_eq!(people.redact.len(), 2);
    assert_eq!(people.headers, ["x-actor"]);
    let names: Vec<_> = people.names.all().into_iter().map(EventType::as_str).collect();
    assert_eq!(names, ["people.created", "people.updated", "people.deleted"]);

    let invoice = &config.routes[1];
    assert_eq!(invoice.capture, Capture::BestEffort);
    assert_eq!(invoice.names.of(Change::Named, 200).as_str(), "invoice.paid");
    let found = config.rules.find(Method::Post, "/invoices/4/pay");
    assert!(matches!(found, Found::Rule { index: 1, .. }));
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = parse(&small()).unwrap();
    assert_eq!(config.sidecar.path, "/ingest");
    assert_eq!(config.sidecar.timeout, Duration::from_secs(1));
    assert!(config.sidecar.authorization.is_none());
    assert_eq!(config.hold_timeout, Duration::from_secs(2));
    assert_eq!((config.buffer.max_events, config.buffer.max_bytes), (10_000, 16 << 20));
    let people = &config.routes[0];
    assert_eq!(people.capture, Capture::Durable);
    assert_eq!((people.request_body, people.response_body, people.max_body), (true, true, 65_536));
    assert_eq!(people.id, Pointer::to("id"));
}

#[test]
fn a_put_that_creates_is_a_creation() {
    let names = &parse(&small()).unwrap().routes[0].names;
    assert_eq!(names.of(Change::Replaced, 201).action(), "created");
    assert_eq!(names.of(Change::Replaced, 200).action(), "updated");
    assert_eq!(names.of(Change::Updated, 201).action(), "updated");
    assert_eq!(names.of(Change::Created, 200).action(), "created");
    assert_eq!(names.of(Change::Deleted, 204).action(), "deleted");
}

#[test]
fn a_refusal_names_the_key() {
    for (key, value, path) in [
        ("/gateway", json!(""), "gateway"),
        ("/gateway", json!(1), "gateway"),
        ("/sidecar/cluster", json!("a b"), "sidecar.cluster"),
        ("/sidecar/path", json!("ingest"), "sidecar.path"),
        ("/sidecar/timeout", json!("2"), "sidecar.timeout"),
        ("/sidecar/timeout", json!(2), "sidecar.timeout"),
        ("/sidecar/timeout", json!("0s"), "sidecar.timeout"),
        ("/sidecar/token", json!("a\nb"), "sidecar.token"),
        ("/capture", json!("guaranteed"), "capture"),
        ("/hold_timeout", json!("1h"), "hold_timeout"),
        ("/buffer/max_events", json!(0), "buffer.max_events"),
        ("/buffer/max_bytes", json!("2GiB"), "buffer.max_bytes"),
        ("/routes", json!([]), "routes"),
        ("/routes/0/resource", json!("People"), "routes[0].resource"),
        ("/routes/0/resource", json!("sidehook.people"), "routes[0].resource"),
        ("/routes/0/path", json!("people"), "routes[0].path"),
        ("/routes/1/path", json!("/invoices/{id"), "routes[1].path"),
        ("/routes/1/method", json!("GET"), "routes[1].method"),
        ("/routes/1/event", json!("paid"), "routes[1].event"),
        ("/routes/1/event", json!("bill.paid"), "routes[1].event"),
        ("/routes/0/id", json!("id"), "routes[0].id"),
        ("/routes/0/capture", json!("none"), "routes[0].capture"),
        ("/routes/2/bulk", json!("data"), "routes[2].bulk"),
        ("/routes/2/bulk", json!("/other"), "routes[2].id"),
        ("/routes/2/bulk", json!("/data/key"), "routes[2].id"),
        ("/routes/2/bulk", json!(1), "routes[2].bulk"),
        ("/routes/2/idempotency_key", json!("key"), "routes[2].idempotency_key"),
        ("/routes/0/body/max_bytes", json!("1MiB"), "routes[0].body.max_bytes"),
        ("/routes/0/redact/1", json!("card"), "routes[0].redact[1]"),
        ("/routes/0/redact/1", json!("/data"), "routes[0].redact"),
        ("/routes/0/headers/0", json!("Cookie"), "routes[0].headers[0]"),
        ("/routes/0/headers/0", json!("authorization"), "routes[0].headers[0]"),
        ("/routes/0/headers/0", json!("set-cookie"), "routes[0].headers[0]"),
        ("/routes/0/headers/0", json!(":path"), "routes[0].headers[0]"),
    ] {
        let mut json = full();
        *json.pointer_mut(key).unwrap() = value.clone();
        let refusal = parse(&json).err().map(|invalid| invalid.path);
        assert_eq!(refusal.as_deref(), Some(path), "{key} = {value}");
    }
}

#[test]
fn an_unknown_key_is_refused_wherever_it_is() {
    for (parent, path) in [
        ("", "capturee"),
        ("/sidecar", "sidecar.capturee"),
        ("/buffer", "buffer.capturee"),
        ("/routes/1", "routes[1].capturee"),
        ("/routes/0/body", "routes[0].body.capturee"),
    ] {
        let mut json = full();
        json.pointer_mut(parent).unwrap()["capturee"] = json!(1);
        assert_eq!(parse(&json).unwrap_err().path, path);
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let json = small().to_string().replace("{\"gateway\"", "{\"gateway\":\"a\",\"gateway\"");
    let invalid = Config::parse(json.as_bytes()).unwrap_err();
    assert!(invalid.to_string().contains("gateway"), "{invalid}");
}

#[test]
fn a_missing_key_is_named() {
    for key in ["gateway", "sidecar", "routes"] {
        let mut json = small();
        json.as_object_mut().unwrap().remove(key);
        let invalid = parse(&json).unwrap_err();
        assert!(invalid.to_string().contains(key), "{invalid}");
    }
}

#[test]
fn routes_that_take_the_same_writes_are_refused() {
    let mut json = full();
    json["routes"][1]["path"] = json!("/people");
    assert_eq!(
        parse(&json).unwrap_err().to_string(),
        "routes[1].path: takes the same writes as routes[0]"
    );
}

#[test]
fn a_list_is_looked_for_in_an_answer_that_is_captured() {
    let mut json = full();
    json["routes"][0]["bulk"] = json!(true);
    let refusal = parse(&json).unwrap_err();
    let text = "routes[0].bulk: needs the answer's body: body.response must not be false";
    assert_eq!(refusal.to_string(), text);
    json["routes"][0]["bulk"] = json!(false);
    assert!(parse(&json).unwrap().routes[0].bulk.is_none());

    // What is not said of the id follows from where the list is.
    let mut json = small();
    json["routes"][0]["bulk"] = json!("/data");
    let route = parse(&json).unwrap().routes[0].clone();
    assert_eq!(
        (&route.id, &route.bulk.as_ref().unwrap().id),
        (&Pointer::to("data").then("id"), &Pointer::to("id"))
    );
}

#[test]
fn a_method_and_an_event_need_each_other() {
    for (key, path) in [("event", "routes[1].method"), ("method", "routes[1].event")] {
        let mut json = full();
        json["routes"][1].as_object_mut().unwrap().remove(key);
        assert_eq!(parse(&json).unwrap_err().path, path);
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for json in [&b""[..], b"[]", b"{", b"\xff", b"null"] {
        assert!(Config::parse(json).is_err());
    }
    let twice = format!("{} {}", small(), small());
    assert!(Config::parse(twice.as_bytes()).is_err());
}

#[test]
fn the_token_is_not_shown() {
    let shown = format!("{:?}", parse(&full()).unwrap());
    assert!(!shown.contains("s3cret"));
}
