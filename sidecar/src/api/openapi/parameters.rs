//! What stands for the names in paths.
//!
//! Invariant: every name in a path of ours is here; a test finds one that isn't.

use serde_json::{Value, json};
use sidehook_event::EventId;

use super::super::form::{Reader, named};
use crate::model::{DeliveryId, SubscriptionId, TokenId};

/// The parameters of a path, in its order.
pub(super) fn parameters(path: &str) -> Vec<Value> {
    let face = path.split('/').nth(1).unwrap_or_default();
    let names = path.split(['{', '}']).skip(1).step_by(2);
    names.filter_map(|name| parameter(face, name)).collect()
}

fn parameter(face: &str, name: &str) -> Option<Value> {
    let (about, schema) = match (face, name) {
        ("subscriptions", "id") => ("Of a subscription.", schema(&named::id::<SubscriptionId>())),
        ("events", "id") => ("Of an event.", schema(&named::id::<EventId>())),
        ("deliveries" | "dead-letters", "id") => {
            ("Of a delivery.", schema(&named::id::<DeliveryId>()))
        }
        ("tokens", "id") => ("Of a token.", schema(&named::id::<TokenId>())),
        ("subscriptions", "url") => {
            let about = "Where it delivers to, with ~ for each /: http:~~example.com~webhook.";
            (about, json!({"type": "string", "pattern": "^[^/]+$"}))
        }
        ("subscriptions", "event_type") => {
            ("What it asks for, as it was written.", schema(&named::pattern()))
        }
        ("scripts", "key") => {
            let about = "@ and the name of one of the library, or a version: 16 digits.";
            (about, json!({"type": "string", "pattern": "^(@[^/]+|[0-9a-f]{16})$"}))
        }
        _ => return None,
    };
    Some(json!({
        "in": "path",
        "name": name,
        "required": true,
        "description": about,
        "schema": schema,
    }))
}

fn schema<T: 'static>(reader: &Reader<T>) -> Value {
    reader.schema()
}
