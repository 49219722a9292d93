//! How a subscription looks in JSON.
//!
//! Invariant: the secret is shown only where the caller says so; what can be written is shown
//! under the name by which it is written.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sidehook_event::UnixMicros;
use utoipa::ToSchema;

use super::super::shape;
use crate::model::{
    Filter, Headers, Outgoing, Pattern, ScriptChoice, Secret, Signing, Subscription,
    SubscriptionId, Tls,
};

/// A subscription, as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(super) struct Shown<'a> {
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::SubscriptionId)]
    id: SubscriptionId,
    url: &'a str,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Pattern)]
    event_type: &'a Pattern,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    filter: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    /// Of its own script.
    #[serde(skip_serializing_if = "Option::is_none")]
    script_version: Option<String>,
    #[serde(serialize_with = "headers")]
    #[schema(value_type = BTreeMap<String, String>)]
    custom_headers: &'a Headers,
    #[schema(value_type = Object)]
    custom_payload: &'a Map<String, Value>,
    #[schema(value_type = shape::Format)]
    format: &'static str,
    #[schema(value_type = shape::Scheme)]
    signature: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// Names it among those that are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    enabled: bool,
    #[schema(required)]
    disabled_reason: Option<&'a str>,
    retry: ShownRetry<'a>,
    #[serde(serialize_with = "shape::duration")]
    #[schema(value_type = shape::Duration)]
    timeout: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ShownTls<'a>>,
    #[schema(required)]
    rate_limit: Option<String>,
    #[schema(required, value_type = Option<u32>, minimum = 1)]
    max_in_flight: Option<NonZeroU32>,
    #[schema(value_type = shape::Ordering)]
    ordering: &'static str,
    #[schema(required)]
    description: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    created_at: UnixMicros,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    updated_at: UnixMicros,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
struct ShownRetry<'a> {
    #[serde(serialize_with = "shape::durations")]
    #[schema(value_type = Vec<shape::Duration>)]
    schedule: &'a [Duration],
    jitter: f64,
    #[schema(required, value_type = Option<shape::Duration>)]
    horizon: Option<String>,
}

/// Without the private key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tls)]
struct ShownTls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<&'a str>,
}

impl<'a> ShownTls<'a> {
    fn of(tls: &'a Tls) -> Option<Self> {
        let client_certificate = tls.client.as_ref().map(|client| client.certificate.as_str());
        (*tls != Tls::default()).then_some(Self { ca: tls.ca.as_deref(), client_certificate })
    }
}

impl<'a> Shown<'a> {
    /// The subscription without its secret.
    pub(super) fn of(subscription: &'a Subscription) -> Self {
        Self {
            id: subscription.id,
            url: subscription.url.as_str(),
            event_type: &subscription.pattern,
            filter: subscription.filter.as_ref().map(Filter::written),
            script: subscription.script.as_ref().map(ToString::to_string),
            script_version: subscription.script.as_ref().and_then(version),
            custom_headers: &subscription.custom_headers,
            custom_payload: &subscription.custom_payload,
            format: subscription.format.name(),
            signature: subscription.signing.current.scheme().name(),
            public_key: public_key(&subscription.signing.current),
            key_id: subscription.signing.current.public_key().map(|key| key.thumbprint()),
            enabled: subscription.enabled,
            disabled_reason: subscription.disabled_reason.as_deref(),
            retry: ShownRetry {
                schedule: &subscription.retry.schedule,
                jitter: subscription.retry.jitter,
                horizon: subscription.retry.horizon.map(shape::written),
            },
            timeout: subscription.timeout,
            tls: ShownTls::of(&subscription.tls),
            rate_limit: subscription.pacing.rate_limit.map(|rate| rate.to_string()),
            max_in_flight: subscription.pacing.max_in_flight,
            ordering: subscription.ordering.name(),
            description: subscription.description.as_deref(),
            metadata: &subscription.metadata,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            secret: None,
        }
    }

    /// The subscription with its secret.
    pub(super) fn with_secret(subscription: &'a Subscription) -> Self {
        Self { secret: Some(subscription.signing.current.reveal()), ..Self::of(subscription) }
    }
}

/// What signs, alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Secret)]
pub(super) struct ShownSecret {
    secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    previous: Vec<ShownOutgoing>,
}

/// A secret that was replaced.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutgoingSecret)]
struct ShownOutgoing {
    secret: String,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    until: UnixMicros,
}

impl ShownSecret {
    /// What signs at `now`.
    pub(super) fn of(signing: &Signing, now: UnixMicros) -> Self {
        let outgoing = signing.previous.iter().filter(|outgoing| now < outgoing.until);
        let shown = |Outgoing { secret, until }: &Outgoing| ShownOutgoing {
            secret: secret.reveal(),
            until: *until,
        };
        Self {
            secret: signing.current.reveal(),
            public_key: public_key(&signing.current),
            previous: outgoing.map(shown).collect(),
        }
    }
}

/// The members that a request can set, with their values.
pub(super) fn writable(subscription: &Subscription) -> Map<String, Value> {
    const READ_ONLY: [&str; 7] = [
        "id",
        "script_version",
        "public_key",
        "key_id",
        "disabled_reason",
        "created_at",
        "updated_at",
    ];
    let Ok(Value::Object(mut members)) = serde_json::to_value(Shown::with_secret(subscription))
    else {
        return Map::new();
    };
    members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    if let (Some(Value::Object(tls)), Some(client)) =
        (members.get_mut("tls"), &subscription.tls.client)
    {
        tls.insert("client_key".to_owned(), client.key.reveal().into());
    }
    members
}

fn version(choice: &ScriptChoice) -> Option<String> {
    match choice {
        ScriptChoice::Own(script) => Some(script.version.to_string()),
        ScriptChoice::Library(_) => None,
    }
}

fn public_key(secret: &Secret) -> Option<String> {
    secret.public_key().map(|key| key.to_string())
}

fn headers<S: Serializer>(headers: &Headers, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str(), value)
    }))
}
