//! A subscription as every store keeps it: what it is found by, its settings as JSON, and its
//! secrets as JSON that is sealed. Pure but for the nonces of the seals.
//!
//! Invariant: what is read is what was written, or an error that names the column. Nothing that
//! is secret stands outside of `secrets`, and no text of an error holds any of it.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use sidehook_event::UnixMicros;

use super::seal::{Keyring, Place};
use crate::model::{
    ClientIdentity, Filter, Format, Headers, InvalidRate, Order, Outgoing, Pacing, Retry,
    ScriptChoice, Secret, Signing, Subscription, SubscriptionId, Target, Tls,
};

/// The column of the settings.
pub const SETTINGS: &str = "settings";
/// The column that is sealed.
pub const SECRETS: &str = "secrets";

/// A subscription as columns; its id is another.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns<Text, Bytes> {
    /// Unique together with `url`.
    pub pattern: Text,
    /// In its normal form.
    pub url: Text,
    /// JSON.
    pub settings: Text,
    /// JSON, sealed (`store/seal.rs`).
    pub secrets: Bytes,
}

/// Why a subscription cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The column that it is about.
    pub column: &'static str,
    /// In words.
    pub reason: String,
}

/// Whatever is no secret and nothing is looked for by. Durations and instants are microseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    filter: Option<Map<String, Value>>,
    script: Option<String>,
    custom_payload: Map<String, Value>,
    format: String,
    enabled: bool,
    disabled_reason: Option<String>,
    schedule: Vec<u64>,
    jitter: f64,
    horizon: Option<u64>,
    timeout: u64,
    ca: Option<String>,
    client_certificate: Option<String>,
    rate_limit: Option<String>,
    max_in_flight: Option<NonZeroU32>,
    ordering: String,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secrets {
    secret: String,
    previous: Vec<(String, i64)>,
    custom_headers: Vec<(String, String)>,
    client_key: Option<String>,
}

/// The columns of a subscription.
pub fn write(
    keyring: &Keyring,
    subscription: &Subscription,
) -> Result<Columns<String, Vec<u8>>, Flaw> {
    let Subscription {
        id,
        url,
        pattern,
        filter,
        script,
        custom_headers,
        custom_payload,
        format,
        signing,
        enabled,
        disabled_reason,
        retry: Retry { schedule, jitter, horizon },
        timeout,
        tls: Tls { ca, client },
        pacing: Pacing { rate_limit, max_in_flight },
        ordering,
        description,
        metadata,
        created_at,
        updated_at,
    } = subscription;
    let settings = Settings {
        filter: filter.as_ref().map(|filter| filter.written().clone()),
        script: script.as_ref().map(ToString::to_string),
        custom_payload: custom_payload.clone(),
        format: format.name().to_owned(),
        enabled: *enabled,
        disabled_reason: disabled_reason.clone(),
        schedule: schedule.iter().copied().map(micros).collect(),
        jitter: *jitter,
        horizon: horizon.map(micros),
        timeout: micros(*timeout),
        ca: ca.clone(),
        client_certificate: client.as_ref().map(|client| client.certificate.clone()),
        rate_limit: rate_limit.map(|rate| rate.to_string()),
        max_in_flight: *max_in_flight,
        ordering: ordering.name().to_owned(),
        description: description.clone(),
        metadata: metadata.clone(),
        created_at: created_at.micros(),
        updated_at: updated_at.micros(),
    };
    let previous = signing.previous.iter();
    let secrets = Secrets {
        secret: signing.current.reveal(),
        previous: previous.map(|old| (old.secret.reveal(), old.until.micros())).collect(),
        custom_headers: pairs(custom_headers)?,
        client_key: client.as_ref().map(|client| client.key.reveal().to_owned()),
    };
    let clear = json(SECRETS, &secrets)?;
    let place = Place { subscription: *id, column: SECRETS };
    Ok(Columns {
        pattern: pattern.to_string(),
        url: url.as_str().to_owned(),
        settings: json(SETTINGS, &settings)?,
        secrets: keyring.seal(place, clear.as_bytes()).map_err(flaw(SECRETS))?,
    })
}

/// The subscription of these columns.
pub fn read(
    keyring: &Keyring,
    id: SubscriptionId,
    columns: &Columns<&str, &[u8]>,
) -> Result<Subscription, Flaw> {
    let settings: Settings = parsed(SETTINGS, columns.settings.as_bytes())?;
    let place = Place { subscription: id, column: SECRETS };
    let clear = keyring.open(place, columns.secrets).map_err(flaw(SECRETS))?;
    // The reason could quote what stands there.
    let secrets: Secrets = serde_json::from_slice(&clear)
        .map_err(|_| flaw(SECRETS)("holds something else than secrets"))?;
    let named = Format::NAMES.iter().find(|(name, _)| *name == settings.format);
    let (_, format) = named.ok_or_else(|| flaw(SETTINGS)("no such format"))?;
    let named = Order::NAMES.iter().find(|(name, _)| *name == settings.ordering);
    let (_, ordering) = named.ok_or_else(|| flaw(SETTINGS)("no such ordering"))?;
    let headers = secrets.custom_headers.iter().map(|(name, value)| (&**name, &**value));
    let headers = Headers::parse(headers).map_err(|(name, what)| format!("{name} {what}"));
    let rate_limit = settings.rate_limit.map(|text| text.parse()).transpose();
    let rate_limit = rate_limit.map_err(|flawed: InvalidRate| flaw(SETTINGS)(flawed))?;
    let filter = settings.filter.map(Filter::parse).transpose();
    let client = match (settings.client_certificate, secrets.client_key.clone()) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key: key.into() }),
        (Some(_), None) => return Err(flaw(SECRETS)("holds no client_key")),
        (None, Some(_)) => return Err(flaw(SETTINGS)("holds no client_certificate")),
    };
    Ok(Subscription {
        id,
        url: Target::parse(columns.url).map_err(flaw("url"))?,
        pattern: columns.pattern.parse().map_err(flaw("pattern"))?,
        filter: filter.map_err(flaw(SETTINGS))?,
        script: settings.script.as_deref().map(ScriptChoice::parse),
        custom_headers: headers.map_err(flaw(SECRETS))?,
        custom_payload: settings.custom_payload,
        format: *format,
        signing: signing(&secrets)?,
        enabled: settings.enabled,
        disabled_reason: settings.disabled_reason,
        retry: Retry {
            schedule: settings.schedule.into_iter().map(Duration::from_micros).collect(),
            jitter: settings.jitter,
            horizon: settings.horizon.map(Duration::from_micros),
        },
        timeout: Duration::from_micros(settings.timeout),
        tls: Tls { ca: settings.ca, client },
        pacing: Pacing { rate_limit, max_in_flight: settings.max_in_flight },
        ordering: *ordering,
        description: settings.description,
        metadata: settings.metadata,
        created_at: UnixMicros::new(settings.created_at),
        updated_at: UnixMicros::new(settings.updated_at),
    })
}

fn signing(secrets: &Secrets) -> Result<Signing, Flaw> {
    let secret = |text: &str| text.parse::<Secret>().map_err(flaw(SECRETS));
    let previous = secrets.previous.iter().map(|(text, until)| {
        Ok(Outgoing { secret: secret(text)?, until: UnixMicros::new(*until) })
    });
    Ok(Signing { current: secret(&secrets.secret)?, previous: previous.collect::<Result<_, _>>()? })
}

fn pairs(headers: &Headers) -> Result<Vec<(String, String)>, Flaw> {
    let pairs = headers.iter().map(|(name, value)| {
        let value = value.to_str().map_err(flaw(SECRETS))?;
        Ok((name.as_str().to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn json(column: &'static str, value: &impl Serialize) -> Result<String, Flaw> {
    serde_json::to_string(value).map_err(flaw(column))
}

fn parsed<T: DeserializeOwned>(column: &'static str, text: &[u8]) -> Result<T, Flaw> {
    serde_json::from_slice(text).map_err(flaw(column))
}

fn flaw<E: ToString>(column: &'static str) -> impl FnOnce(E) -> Flaw {
    move |reason| Flaw { column, reason: reason.to_string() }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
