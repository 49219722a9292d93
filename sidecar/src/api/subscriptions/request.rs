//! What a request says a subscription shall be.
//!
//! Invariant: whatever passes can be stored and delivered to, but for the egress rule.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde_json::{Map, Value, json};
use sidehook_event::UnixMicros;

use super::super::{
    Defaults, Flaws,
    flaw::all,
    form::{Form, Reader},
    named::{filter, pattern, rate_limit, secret},
    read::{boolean, duration, object, one_of, text, text_up_to, whole},
    scripts::choice,
};
use super::{
    headers::headers,
    retry::{RequestedRetry, retry},
    tls::tls,
};
use crate::model::{
    Filter, Format, Headers, MAX_TIMEOUT, Order, Pacing, Pattern, Retry, Scheme, ScriptChoice,
    Secret, Subscription, SubscriptionId, Target, Tls,
};

/// No receiver answers faster across a network that fails now and then.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_DESCRIPTION: usize = 1024;
const MOST_LABELS: usize = 32;
const LONGEST_LABEL: usize = 64;
const LONGEST_LABEL_VALUE: usize = 512;

const EVENT_TYPE: &str = "A type (people.created), an action of any resource (created, *.created), all of a resource \
     (people.*) or everything (*).";
const FILTER: &str =
    "Which of these events it wants, by what is in them: `{\"data.role\": \"admin\"}`.";
const SCRIPT: &str =
    "What makes the body of each delivery: a script in Rhai, or @name for one of the library.";
const CUSTOM_HEADERS: &str = "Added to each delivery. Those that HTTP or Sidehook set are refused.";
const CUSTOM_PAYLOAD: &str = "Added to the top level of each payload. Its own keys are refused.";
const SECRET: &str = "For v1 whsec_ and the base64 of 24 to 64 bytes, for v1a whsk_ and the base64 of an ed25519 seed \
     and its public key; made if none is given.";
const TLS: &str = "How its receiver is known by TLS, where the URL begins with https://.";
const RATE_LIMIT: &str =
    "At most so many attempts in a second, minute or hour: 50/s, 600/m, 10/h, up to 10000.";
const ORDERING: &str =
    "subject: of the events about one subject one at a time is delivered, in their order.";

/// Keys that a payload has of its own in every format but `raw`.
const PAYLOAD_KEYS: [&str; 4] = ["type", "timestamp", "data", "truncated"];
/// Keys that a cloud event has of its own besides: its context attributes.
const CLOUDEVENT_KEYS: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "subject",
    "sequence",
    "time",
    "datacontenttype",
    "traceparent",
    "tracestate",
];

/// A subscription as it is asked for; `None` where nothing is said and the default applies.
#[derive(Debug)]
pub(super) struct Requested {
    /// Where its deliveries go.
    pub(super) url: Target,
    /// What it asks for.
    pub(super) pattern: Pattern,
    /// The secret that its owner chose.
    pub(super) secret: Option<Secret>,
    /// How its deliveries are signed, by name or by the secret.
    pub(super) scheme: Option<Scheme>,
    filter: Option<Filter>,
    /// Makes what is sent.
    pub(super) script: Option<ScriptChoice>,
    custom_headers: Headers,
    custom_payload: Map<String, Value>,
    format: Format,
    enabled: bool,
    retry: RequestedRetry,
    timeout: Option<Duration>,
    tls: Tls,
    pacing: Pacing,
    ordering: Order,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl TryFrom<Value> for Requested {
    type Error = Flaws;

    fn try_from(body: Value) -> Result<Self, Flaws> {
        Form::whole(body, Self::read)
    }
}

impl Requested {
    /// Reads all that can be said of a subscription.
    pub(super) fn read(form: &mut Form) -> Option<Self> {
        let url = form.require("url", target());
        let pattern = form.require("event_type", pattern().about(EVENT_TYPE));
        let filter = form.read("filter", filter().about(FILTER));
        let script = form.read("script", choice().about(SCRIPT));
        let custom_headers = form.read("custom_headers", headers().about(CUSTOM_HEADERS));
        let custom_payload = form.read("custom_payload", object().about(CUSTOM_PAYLOAD));
        let custom_payload = custom_payload.unwrap_or_default();
        let format = one_of(&Format::NAMES).about("How the body is laid out.");
        let format = form.read("format", format.or(Format::default().name())).unwrap_or_default();
        let secret = form.read("secret", secret().about(SECRET));
        let scheme = one_of(&Scheme::NAMES).about("v1: HMAC-SHA256. v1a: ed25519.");
        let scheme = form.read("signature", scheme.or(Scheme::default().name()));
        if let (Some(secret), Some(scheme)) = (&secret, scheme)
            && secret.scheme() != scheme
        {
            let (prefix, name) = (scheme.prefix(), scheme.name());
            let said = format!("must begin with {prefix} where signature is {name}");
            form.note(Flaws::at("secret", said));
        }
        let enabled = boolean().about("While it is false, nothing is sent to it.").or(true);
        let enabled = form.read("enabled", enabled).unwrap_or(true);
        let retry = form.read("retry", retry().about("When attempts are made."));
        let timeout = duration(SHORTEST_TIMEOUT, MAX_TIMEOUT).about("Of an attempt as a whole.");
        let timeout = form.read("timeout", timeout);
        let tls = form.read("tls", tls().about(TLS)).unwrap_or_default();
        if tls != Tls::default() && url.as_ref().is_some_and(|url| !url.is_https()) {
            form.note(Flaws::at("tls", "must stand beside a url that begins with https://"));
        }
        let pacing = Pacing {
            rate_limit: form.read("rate_limit", rate_limit().about(RATE_LIMIT)),
            max_in_flight: form.read("max_in_flight", max_in_flight()),
        };
        let ordering = one_of(&Order::NAMES).about(ORDERING).or(Order::default().name());
        let ordering = form.read("ordering", ordering).unwrap_or_default();
        let description = text_up_to(LONGEST_DESCRIPTION).about("The owner's own words.");
        let description = form.read("description", description);
        let metadata = form.read("metadata", metadata()).unwrap_or_default();
        if let Err(flaws) = check_keys(&custom_payload, format) {
            form.note(flaws.within("custom_payload"));
        }
        Some(Self {
            url: url?,
            pattern: pattern?,
            scheme: scheme.or(secret.as_ref().map(Secret::scheme)),
            secret,
            filter,
            script,
            custom_headers: custom_headers.unwrap_or_default(),
            custom_payload,
            format,
            enabled,
            retry: retry.unwrap_or_default(),
            timeout,
            tls,
            pacing,
            ordering,
            description,
            metadata,
        })
    }

    /// The subscription that was asked for, as if it were made at `now`. `fresh` makes
    /// its secret if its owner chose none.
    pub(super) fn into_subscription(
        self,
        id: SubscriptionId,
        fresh: impl FnOnce(Scheme) -> Secret,
        defaults: &Defaults,
        now: UnixMicros,
    ) -> Subscription {
        let Defaults { retry, timeout } = defaults;
        Subscription {
            id,
            url: self.url,
            pattern: self.pattern,
            filter: self.filter,
            script: self.script,
            custom_headers: self.custom_headers,
            custom_payload: self.custom_payload,
            format: self.format,
            signing: self.secret.unwrap_or_else(|| fresh(self.scheme.unwrap_or_default())).into(),
            enabled: self.enabled,
            disabled_reason: None,
            retry: Retry {
                schedule: self.retry.schedule.unwrap_or_else(|| retry.schedule.clone()),
                jitter: self.retry.jitter.unwrap_or(retry.jitter),
                horizon: self.retry.horizon.or(retry.horizon),
            },
            timeout: self.timeout.unwrap_or(*timeout),
            tls: self.tls,
            pacing: self.pacing,
            ordering: self.ordering,
            description: self.description,
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
        }
    }
}

fn target() -> Reader<Target> {
    text().then(|text| Target::parse(&text)).with(|| {
        json!({
            "format": "uri",
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/]",
            "maxLength": Target::MAX_LENGTH,
            "description": "Where its deliveries go: http or https, without user name and fragment.",
        })
    })
}

fn max_in_flight() -> Reader<NonZeroU32> {
    let number = whole(1, Pacing::MOST_IN_FLIGHT.into())
        .then(|number| u32::try_from(number).and_then(NonZeroU32::try_from));
    number.about("At most so many attempts at a time, of each sidecar.")
}

fn check_keys(payload: &Map<String, Value>, format: Format) -> Result<(), Flaws> {
    let message = |key: &str| {
        if PAYLOAD_KEYS.contains(&key) {
            Some("is a key of the payload itself, which tells what happened; choose another name")
        } else if format == Format::CloudEvents && CLOUDEVENT_KEYS.contains(&key) {
            Some("is an attribute of the CloudEvent itself; choose another name")
        } else {
            None
        }
    };
    all(payload.keys().map(|key| match message(key) {
        Some(message) => Err(Flaws::at(key, message)),
        None => Ok(()),
    }))
}

fn metadata() -> Reader<BTreeMap<String, String>> {
    let read = text_up_to(LONGEST_LABEL_VALUE);
    let labels = move |labels: Map<String, Value>| {
        if labels.len() > MOST_LABELS {
            return Err(Flaws::here(format!("must not have more than {MOST_LABELS} labels")));
        }
        all(labels.into_iter().map(|(name, value)| {
            if !(1..=LONGEST_LABEL).contains(&name.chars().count()) {
                let message = format!("must have names of 1 to {LONGEST_LABEL} characters");
                return Err(Flaws::here(message));
            }
            match read.read(value) {
                Ok(value) => Ok((name, value)),
                Err(flaws) => Err(flaws.within(&name)),
            }
        }))
    };
    object().and_then(labels).with(|| {
        json!({
            "maxProperties": MOST_LABELS,
            "propertyNames": {"minLength": 1, "maxLength": LONGEST_LABEL},
            "additionalProperties": text_up_to(LONGEST_LABEL_VALUE).schema(),
            "description": "The owner's own labels.",
        })
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
