//! What receivers are sent, in the words of OpenAPI: a webhook for each thing that happens.
//!
//! Invariant: whatever is delivered is valid by what is told here, unless a script made it.

use serde_json::{Map, Value, json};

use super::super::{form::named, shape};
use crate::model::{
    Cause, Fault, Outcome, TRACEPARENT, TRACESTATE,
    operational::{DELIVERY_DEAD, SUBSCRIPTION_DISABLED},
};
use utoipa::PartialSchema as _;

/// The attributes of a `CloudEvent` that are headers in binary mode; what a nested resource belongs
/// to has further ones.
const ATTRIBUTES: [&str; 9] =
    ["specversion", "id", "source", "type", "subject", "time", "sequence", TRACEPARENT, TRACESTATE];

/// Each webhook by its name.
pub(super) fn webhooks() -> Value {
    let about = "The resource as the API returned it; if it returned none, as it was sent. What is \
                 not JSON comes as `{\"id\", \"content_type\", \"content_encoding\", \"base64\"}`.";
    let resource = json!({ "description": about });
    let id = json!({
        "type": "object",
        "description": "What was deleted.",
        "required": ["id"],
        "properties": {"id": {"type": ["string", "null"]}},
    });
    let each = [
        ("created", "Something was created: `people.created`", resource.clone()),
        ("updated", "Something was changed: `people.updated`", resource),
        ("deleted", "Something was deleted: `people.deleted`", id),
        (DELIVERY_DEAD, "A delivery was given up", dead()),
        (SUBSCRIPTION_DISABLED, "Sidehook disabled a subscription", disabled()),
    ];
    each.into_iter()
        .map(|(name, what, data)| (name.to_owned(), webhook(name, what, &data)))
        .collect()
}

fn webhook(name: &str, what: &str, data: &Value) -> Value {
    let about = "Made again until it is answered 2xx or given up, under the same `webhook-id`. The \
                 `custom_headers` of the subscription are added to the headers, its \
                 `custom_payload` to the body; a script may make the body instead.";
    let anything = "Any 2xx acknowledges it; 410 disables the subscription; all else is a failure.";
    json!({
        "post": {
            "operationId": name,
            "summary": what,
            "description": about,
            "parameters": headers(),
            "requestBody": {
                "required": true,
                "content": {
                    "application/json": {"schema": {"anyOf": [standard(data), data]}},
                    "application/cloudevents+json": {"schema": cloud_event(data)},
                },
            },
            "responses": {"2XX": {"description": anything}},
        },
    })
}

/// Those of Standard Webhooks, and those of a cloud event in binary mode.
fn headers() -> Vec<Value> {
    let header = |name: &str, is_required: bool, about: &str, schema: Value| {
        json!({
            "in": "header",
            "name": name,
            "required": is_required,
            "description": about,
            "schema": schema,
        })
    };
    let text = || json!({"type": "string"});
    let binary = "The attribute of the CloudEvent, where `format` is `cloudevents-binary`.";
    let attributes = ATTRIBUTES.map(|name| header(&format!("ce-{name}"), false, binary, text()));
    let trace = "The trace of the write, if it has one (W3C Trace Context). It is not signed.";
    let id = "The event's id, the same on every attempt and for every subscription.";
    let timestamp = "When this attempt was made, in seconds since 1970.";
    let signature = "One or more signatures, separated by spaces: `v1,` or `v1a,` and base64, over \
                     `{webhook-id}.{webhook-timestamp}.{body}`.";
    let one = "v1a?,[A-Za-z0-9+/]+={0,2}";
    let mut all = vec![
        header("webhook-id", true, id, json!(shape::EventId::schema())),
        header(
            "webhook-timestamp",
            true,
            timestamp,
            json!({"type": "string", "pattern": "^[0-9]+$"}),
        ),
        header(
            "webhook-signature",
            true,
            signature,
            json!({"type": "string", "pattern": format!("^{one}( {one})*$")}),
        ),
    ];
    all.extend([TRACEPARENT, TRACESTATE].map(|name| header(name, false, trace, text())));
    all.extend(attributes);
    all
}

/// `format: standard`.
fn standard(data: &Value) -> Value {
    json!({
        "title": "standard",
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": named::event_type().schema(),
            "timestamp": instant(),
            "data": data,
            "truncated": truncated(),
        },
    })
}

/// `format: cloudevents`.
fn cloud_event(data: &Value) -> Value {
    json!({
        "title": "cloudevents",
        "type": "object",
        "description": "What a nested resource belongs to is an attribute for each parameter of its path.",
        "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": shape::EventId::schema(),
            "source": {"type": "string", "description": "The gateway, or `sidehook`."},
            "type": named::event_type().schema(),
            "subject": {"type": "string"},
            TRACEPARENT: {"type": "string", "description": "Of the request that wrote."},
            TRACESTATE: {"type": "string"},
            "sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
            "time": instant(),
            "datacontenttype": {"const": "application/json"},
            "data": data,
            "truncated": truncated(),
        },
    })
}

fn instant() -> Value {
    json!(shape::Instant::schema())
}

fn truncated() -> Value {
    let about = "The resource was too large to be carried: `data` is its id alone.";
    json!({"const": true, "description": about})
}

fn dead() -> Value {
    let faults = [Fault::Receiver, Fault::Pipeline].map(Fault::name);
    let outcomes = Outcome::NAMES.iter().map(|(name, _)| Value::from(*name)).chain([Value::Null]);
    closed([
        ("id", json!(shape::DeliveryId::schema())),
        ("event_id", json!(shape::EventId::schema())),
        ("subscription_id", json!(shape::SubscriptionId::schema())),
        ("event_type", named::event_type().schema()),
        ("attempts", json!({"type": "integer"})),
        ("last_outcome", json!({"enum": outcomes.collect::<Vec<_>>()})),
        ("cause", json!({"enum": Cause::NAMES.map(|(name, _)| name)})),
        ("fault", json!({"enum": faults})),
        ("error", json!({"type": "string"})),
        ("created_at", instant()),
        ("finished_at", instant()),
    ])
}

fn disabled() -> Value {
    closed([
        ("id", json!(shape::SubscriptionId::schema())),
        ("event_type", named::pattern().schema()),
        ("reason", json!({"type": ["string", "null"]})),
        ("description", json!({"type": ["string", "null"]})),
        ("metadata", json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ("disabled_at", instant()),
    ])
}

/// All of these, always.
fn closed<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required = members.clone().map(|(name, _)| name).to_vec();
    let properties: Map<_, _> =
        members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

#[cfg(test)]
mod tests {
    use sidehook_event::{EventId, TypeId as _, UnixMicros};

    use super::*;
    use crate::{
        model::{
            Death, Delivery, DeliveryId, Format, State, Subscription, SubscriptionId, operational,
            testing::{event, subscription},
        },
        transform::Renderer,
    };

    fn assert_told(data: &Value, schema: &Value) {
        let told = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
        let flaws: Vec<_> = told.iter_errors(data).map(|flaw| flaw.to_string()).collect();
        assert!(flaws.is_empty(), "{flaws:?}");
        let known = schema["properties"].as_object().unwrap();
        let all = data.as_object().unwrap().keys().all(|name| known.contains_key(name));
        assert!(all && known.len() == data.as_object().unwrap().len(), "{data}");
    }

    fn data(event: &sidehook_event::Event) -> Value {
        serde_json::from_slice(&event.exchange.response.content).unwrap()
    }

    #[test]
    fn what_is_delivered_is_as_it_is_described_in_each_format() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let told = webhooks();
        for (name, sent, answered) in [
            ("created", &b"{\"name\":\"Ada\"}"[..], &b"{\"id\":42,\"name\":\"Ada\"}"[..]),
            ("updated", b"{\"name\":\"Ada\"}", b"\xff"),
            ("deleted", b"", b""),
        ] {
            let mut event = event(&format!("people.{name}"), sent, answered);
            event.sequence = Some(7);
            event.exchange.traceparent = Some(trace.to_owned());
            event.exchange.tracestate = Some("a=b".to_owned());
            let told = &told[name]["post"];
            for (_, format) in Format::NAMES {
                let subscription = Subscription { format, ..subscription(1, "*") };
                let payload = Renderer::new(&event).render_later(&subscription).payload;
                let schema = &told["requestBody"]["content"][&*payload.content_type]["schema"];
                // What is sent raw is anything, and told beside it.
                let schema = if format == Format::Standard { &schema["anyOf"][0] } else { schema };
                let data: Value = serde_json::from_slice(&payload.body).unwrap();
                let validator = jsonschema::options().should_validate_formats(true);
                let validator = validator.build(schema).unwrap();
                assert!(schema.is_object() && validator.is_valid(&data), "{name}: {data}");
                for (header, _) in &*payload.headers {
                    let headers = told["parameters"].as_array().unwrap();
                    let is_told = headers.iter().any(|told| told["name"] == header.as_str());
                    assert!(is_told, "{name}: {header}");
                }
            }
        }
    }

    #[test]
    fn what_sidehook_tells_of_itself_is_as_it_is_described() {
        let dead_one = Delivery {
            id: DeliveryId::from_bits(1),
            event_id: EventId::from_bits(2),
            subscription_id: SubscriptionId::from_bits(3),
            event_type: "people.created".parse().unwrap(),
            state: State::Dead,
            attempts: 10,
            next_attempt_at: None,
            last_outcome: None,
            death: Some(Death { cause: Cause::Exhausted, error: "answered 500".to_owned() }),
            reason: None,
            script: None,
            created_at: UnixMicros::new(1_763_890_200_000_000),
            finished_at: Some(UnixMicros::new(1_763_890_201_000_000)),
        };
        assert_told(&data(&operational::of_death(&dead_one).unwrap()), &dead());
        let disabled_one = subscription(1, "people.*").disabled("answered 410", UnixMicros::new(1));
        assert_told(&data(&operational::of_disabling(&disabled_one).unwrap()), &disabled());
    }
}
