//! Events that passed no gateway, as CloudEvents.
//!
//! Invariant: what was answered with 2xx can be read back; what was refused left nothing.

use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk};

const ONE: &str = "application/cloudevents+json";
const MANY: &str = "application/cloudevents-batch+json; charset=utf-8";

async fn publish(desk: &Desk, content_type: &str, body: impl Into<String>) -> Answer {
    let request = Request::builder().method(Method::POST).uri("/events");
    let request = request.header("content-type", content_type);
    desk.send(request.body(body.into().into()).unwrap()).await
}

fn event(members: &Value) -> Value {
    let mut all = json!({
        "specversion": "1.0", "id": "import-1", "source": "/importer", "type": "people.created",
        "time": "2025-11-23T09:29:00Z", "subject": "people/7", "data": {"id": 7, "name": "Ada"},
    });
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

#[tokio::test]
async fn an_event_is_stored_once_however_often_it_is_sent() {
    let desk = Desk::open().await;
    let body = r#"{"specversion": "1.0", "id": "import-1", "source": "/importer",
        "type": "people.created", "time": "2025-11-23T09:29:00Z", "subject": "people/7",
        "myextension": true, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": {"id": 7, "n": 1.10}}"#;
    let first = publish(&desk, ONE, body).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let again = publish(&desk, ONE, body).await;
    assert_eq!(again.body, first.body);
    let listed = desk.get("/events").await;
    let events = listed.body["data"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{listed:?}");
    let stored = &events[0];
    assert_eq!(stored["id"], first.body["ids"][0]);
    assert_eq!((&stored["source"], &stored["subject"]), (&json!("/importer"), &json!("people/7")));
    assert_eq!(stored["time"], "2025-11-23T09:29:00.000000Z");
    assert_eq!(stored["data"].to_string(), r#"{"id":7,"n":1.1}"#);
    assert!(stored["exchange"]["traceparent"].is_string());
    let other = event(&json!({"source": "/another"}));
    publish(&desk, ONE, other.to_string()).await;
    assert_eq!(desk.get("/events").await.body["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_batch_is_stored_as_a_whole_or_not_at_all() {
    let desk = Desk::open().await;
    let (one, two) = (event(&json!({"id": "1"})), event(&json!({"id": "2"})));
    let stored = publish(&desk, MANY, json!([one, two]).to_string()).await;
    assert_eq!(stored.body["ids"].as_array().map(Vec::len), Some(2), "{stored:?}");
    let bad = event(&json!({"id": "3", "type": "People"}));
    let refused = publish(&desk, MANY, json!([event(&json!({"id": "4"})), bad]).to_string()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.text("/errors/0/field"), "[1].type");
    assert_eq!(desk.get("/events").await.body["data"].as_array().unwrap().len(), 2);
    let empty = publish(&desk, MANY, "[]").await;
    assert!(empty.text("/detail").contains("must hold 1 to 1000 events"), "{empty:?}");
}

#[tokio::test]
async fn data_may_be_text_or_bytes() {
    let desk = Desk::open().await;
    let text = json!({"id": "1", "datacontenttype": "text/plain", "data": "héllo"});
    publish(&desk, ONE, event(&text).to_string()).await;
    let mut bytes =
        event(&json!({"id": "2", "datacontenttype": "image/png", "data_base64": "AP8="}));
    bytes.as_object_mut().unwrap().remove("data");
    publish(&desk, ONE, bytes.to_string()).await;
    let mut none = event(&json!({"id": "3", "type": "people.deleted"}));
    none.as_object_mut().unwrap().remove("data");
    publish(&desk, ONE, none.to_string()).await;
    let listed = desk.get("/events").await;
    let data: Vec<_> = listed.body["data"].as_array().unwrap().iter().map(|e| &e["data"]).collect();
    let has = |wanted: Value| data.iter().any(|data| **data == wanted);
    assert!(has(json!({"id": "7"})), "{data:?}");
    assert!(data.iter().any(|data| data["base64"] == "AP8="), "{data:?}");
    assert!(data.iter().any(|data| data["base64"] == "aMOpbGxv"), "{data:?}");
}

#[tokio::test]
async fn all_that_is_wrong_is_named() {
    let desk = Desk::open().await;
    let wrong = json!({
        "specversion": "0.3", "id": "", "type": "sidehook.delivery.dead", "time": "2099-01-01T00:00:00Z",
        "Not-a-name": 1, "data": 1, "data_base64": "!", "subject": 7,
    });
    let refused = publish(&desk, ONE, wrong.to_string()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    let errors = refused.body["errors"].as_array().unwrap();
    for field in ["specversion", "id", "source", "type", "time", "subject", "data", "Not-a-name"] {
        assert!(errors.iter().any(|error| error["field"] == field), "{field}: {errors:?}");
    }
    let mut untimed = event(&json!({}));
    untimed.as_object_mut().unwrap().remove("time");
    let refused = publish(&desk, ONE, untimed.to_string()).await;
    assert_eq!(refused.text("/errors/0/field"), "time");
    let plain = publish(&desk, "application/json", event(&json!({})).to_string()).await;
    assert_eq!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let broken = publish(&desk, ONE, "{").await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(desk.get("/events").await.body["data"], json!([]));
}
