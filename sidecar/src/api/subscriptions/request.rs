//! What a request says a subscription shall be.
//!
//! Invariant: whatever passes can be stored and delivered to, but for the egress rule.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde_json::{Map, Value};
use sidehook_event::UnixMicros;

use super::super::{
    Defaults, Flaws,
    flaw::all,
    form::Form,
    read::{boolean, duration, filter, object, one_of, parsed, text, text_up_to, whole},
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
        let mut form = Form::of(body)?;
        let url = form.require("url", target);
        let pattern = form.require("event_type", parsed);
        let filter = form.read("filter", filter);
        let script = form.read("script", choice);
        let custom_headers = form.read("custom_headers", headers).unwrap_or_default();
        let custom_payload = form.read("custom_payload", object).unwrap_or_default();
        let format = form.read("format", one_of(&Format::NAMES)).unwrap_or_default();
        let secret = form.read("secret", parsed::<Secret>);
        let scheme = form.read("signature", one_of(&Scheme::NAMES));
        if let (Some(secret), Some(scheme)) = (&secret, scheme)
            && secret.scheme() != scheme
        {
            let (prefix, name) = (scheme.prefix(), scheme.name());
            let said = format!("must begin with {prefix} where signature is {name}");
            form.note(Flaws::at("secret", said));
        }
        let enabled = form.read("enabled", |value| boolean(&value)).unwrap_or(true);
        let retry = form.read("retry", retry).unwrap_or_default();
        let timeout = form.read("timeout", duration(SHORTEST_TIMEOUT, MAX_TIMEOUT));
        let tls = form.read("tls", tls).unwrap_or_default();
        if tls != Tls::default() && url.as_ref().is_some_and(|url| !url.is_https()) {
            form.note(Flaws::at("tls", "must stand beside a url that begins with https://"));
        }
        let rate_limit = form.read("rate_limit", parsed);
        let max_in_flight = form.read("max_in_flight", max_in_flight);
        let ordering = form.read("ordering", one_of(&Order::NAMES)).unwrap_or_default();
        let description = form.read("description", text_up_to(LONGEST_DESCRIPTION));
        let metadata = form.read("metadata", metadata).unwrap_or_default();
        if let Err(flaws) = check_keys(&custom_payload, format) {
            form.note(flaws.within("custom_payload"));
        }
        form.finish()?;
        let (Some(url), Some(pattern)) = (url, pattern) else {
            return Err(Flaws::here("must have url and event_type"));
        };
        Ok(Self {
            url,
            pattern,
            scheme: scheme.or(secret.as_ref().map(Secret::scheme)),
            secret,
            filter,
            script,
            custom_headers,
            custom_payload,
            format,
            enabled,
            retry,
            timeout,
            tls,
            pacing: Pacing { rate_limit, max_in_flight },
            ordering,
            description,
            metadata,
        })
    }
}

impl Requested {
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

fn target(value: Value) -> Result<Target, Flaws> {
    Target::parse(&text(value)?).map_err(Flaws::here)
}

fn max_in_flight(value: Value) -> Result<NonZeroU32, Flaws> {
    let number = whole(1, Pacing::MOST_IN_FLIGHT.into())(value)?;
    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
    number.ok_or_else(|| Flaws::here("must be a whole number"))
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

fn metadata(value: Value) -> Result<BTreeMap<String, String>, Flaws> {
    let labels = object(value)?;
    if labels.len() > MOST_LABELS {
        return Err(Flaws::here(format!("must not have more than {MOST_LABELS} labels")));
    }
    let read = text_up_to(LONGEST_LABEL_VALUE);
    all(labels.into_iter().map(|(name, value)| {
        if !(1..=LONGEST_LABEL).contains(&name.chars().count()) {
            let message = format!("must have names of 1 to {LONGEST_LABEL} characters");
            return Err(Flaws::here(message));
        }
        match read(value) {
            Ok(value) => Ok((name, value)),
            Err(flaws) => Err(flaws.within(&name)),
        }
    }))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
