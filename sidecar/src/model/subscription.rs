//! Who wants which events, where they go and how.
//!
//! Invariant: a subscription can be delivered to: its URL, headers and schedule were checked when
//! it was made. Whether its address may be reached is the egress rule's to say, at each attempt.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri, uri::InvalidUri};
use serde_json::{Map, Value};
use sidehook_event::UnixMicros;
use thiserror::Error;
use url::Url;

use super::{
    Filter, Order, Pacing, Pattern, ScriptChoice, Signing, SubscriptionId, TRACEPARENT, TRACESTATE,
    Tls,
};

/// The longest a whole attempt may take. A lease outlasts it, so that no other worker takes over
/// an attempt that is still under way.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// A subscription, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its name for good.
    pub id: SubscriptionId,
    /// Where its deliveries go. Together with `pattern` it is unique.
    pub url: Target,
    /// What it asks for.
    pub pattern: Pattern,
    /// Which of those it wants, by what is in them; all, without one.
    pub filter: Option<Filter>,
    /// Makes what is sent, or drops it.
    pub script: Option<ScriptChoice>,
    /// Headers added to each delivery.
    pub custom_headers: Headers,
    /// Keys merged into the top level of each payload. Never `type`, `timestamp` or `data`.
    pub custom_payload: Map<String, Value>,
    /// How the payload is laid out that no script makes.
    pub format: Format,
    /// Signs its deliveries.
    pub signing: Signing,
    /// Nothing is sent while this is false.
    pub enabled: bool,
    /// Why it is not enabled, when it was not its owner's wish.
    pub disabled_reason: Option<String>,
    /// When a failed attempt is followed by another.
    pub retry: Retry,
    /// How long an attempt may take as a whole, at most [`MAX_TIMEOUT`].
    pub timeout: Duration,
    /// How its receiver is known by TLS.
    pub tls: Tls,
    /// How fast its deliveries may come.
    pub pacing: Pacing,
    /// Whether its deliveries wait for each other.
    pub ordering: Order,
    /// The owner's own words.
    pub description: Option<String>,
    /// The owner's own labels.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it last changed.
    pub updated_at: UnixMicros,
}

impl Subscription {
    /// The same, disabled at `now` for this reason.
    #[must_use]
    pub fn disabled(&self, reason: &str, now: UnixMicros) -> Self {
        let disabled_reason = Some(reason.to_owned());
        Self { enabled: false, disabled_reason, updated_at: now, ..self.clone() }
    }
}

/// The layout of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// `{"type", "timestamp", "data"}`, as Standard Webhooks recommends.
    #[default]
    Standard,
    /// CloudEvents 1.0 in its structured JSON form.
    CloudEvents,
    /// CloudEvents 1.0 in the binary mode of HTTP: the resource alone, the rest in `ce-` headers.
    CloudEventsBinary,
    /// The resource alone, as the API returned it.
    Raw,
}

impl Format {
    /// All of them, with the names by which they are asked for.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("standard", Self::Standard),
        ("cloudevents", Self::CloudEvents),
        ("cloudevents-binary", Self::CloudEventsBinary),
        ("raw", Self::Raw),
    ];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::CloudEvents => "cloudevents",
            Self::CloudEventsBinary => "cloudevents-binary",
            Self::Raw => "raw",
        }
    }
}

/// When attempts are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The wait before each attempt, counted from the one before; the first from the event.
    /// There are as many attempts as waits, 1 to 50.
    pub schedule: Arc<[Duration]>,
    /// Each wait is lengthened by up to this share of itself, 0 to 1.
    pub jitter: f64,
    /// How long after the delivery was made the last attempt may begin, at most
    /// [`Retry::MAX_HORIZON`]; without one the schedule alone decides.
    pub horizon: Option<Duration>,
}

impl Retry {
    /// The most attempts a schedule may ask for.
    pub const MAX_ATTEMPTS: usize = 50;
    /// The longest wait of a schedule.
    pub const MAX_WAIT: Duration = Duration::from_hours(7 * 24);
    /// The longest horizon.
    pub const MAX_HORIZON: Duration = Duration::from_hours(30 * 24);
}

impl Default for Retry {
    /// The schedule that Standard Webhooks recommends, over some three days.
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let hours = |hours: u64| minutes(hours * 60);
        let schedule = [
            Duration::ZERO,
            Duration::from_secs(5),
            minutes(5),
            minutes(30),
            hours(2),
            hours(5),
            hours(10),
            hours(14),
            hours(20),
            hours(24),
        ];
        Self { schedule: schedule.into(), jitter: 0.1, horizon: None }
    }
}

/// The URL of a receiver, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    url: Url,
    /// The same as requests have it; there may be URLs that they cannot have.
    uri: Option<Uri>,
}

/// Why nothing can be delivered to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidUrl {
    /// Characters that parsers drop or read differently.
    #[error("must not contain control characters, spaces or backslashes")]
    Characters,
    /// Longer than [`Target::MAX_LENGTH`].
    #[error("must not be longer than 2048 characters")]
    TooLong,
    /// Not an absolute URL.
    #[error("must be an absolute URL such as https://example.com/webhook")]
    Malformed,
    /// Another scheme.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// A user name or a password.
    #[error("must not contain a user name or a password; use custom_headers")]
    UserInfo,
    /// A fragment, which is never sent.
    #[error("must not contain a fragment (#…)")]
    Fragment,
    /// Port 0.
    #[error("must not have port 0")]
    Port,
}

impl Target {
    /// The longest URL, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// Parses a URL by the WHATWG standard and refuses what cannot, or must not, be sent to.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidUrl::TooLong);
        }
        // The parser drops tabs and newlines and turns backslashes round: refused before it.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(InvalidUrl::Characters);
        }
        let url = Url::parse(text).map_err(|_| InvalidUrl::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidUrl::Scheme);
        }
        // The parser takes any number of slashes, and the next word for the host.
        let after = text.split_once("://").map(|(_, after)| after);
        if after.is_none_or(|after| after.is_empty() || after.starts_with('/')) {
            return Err(InvalidUrl::Malformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        if url.port() == Some(0) {
            return Err(InvalidUrl::Port);
        }
        url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidUrl::Malformed)?;
        // It grows where a character is written as the codes of its bytes.
        if url.as_str().len() > Self::MAX_LENGTH {
            return Err(InvalidUrl::TooLong);
        }
        let uri = url.as_str().parse().ok();
        Ok(Self { url, uri })
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The URL as requests have it.
    pub fn uri(&self) -> Result<Uri, InvalidUri> {
        self.uri.clone().map_or_else(|| self.as_str().parse(), Ok)
    }

    /// Whether it is reached by TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }
}

/// The headers that a subscription adds to its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// Why a header cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderFlaw {
    /// Not a token of RFC 9110.
    #[error("is not a header name")]
    Name,
    /// Sidehook or HTTP itself decides about this one.
    #[error("is set by Sidehook or by HTTP itself")]
    Reserved,
    /// Characters that cannot be sent.
    #[error("has a value that cannot be sent: only visible ASCII, spaces and tabs")]
    Value,
    /// More than [`Headers::MAX_COUNT`], or more than [`Headers::MAX_BYTES`].
    #[error("has too much in it: at most 32 headers and 8 KiB")]
    TooMuch,
}

impl Headers {
    /// The most headers of a subscription.
    pub const MAX_COUNT: usize = 32;
    /// The most bytes of all names and values together.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Checks each header; the error comes with the name of the header it is about, which is
    /// empty when it is about all of them.
    pub fn parse<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, (String, HeaderFlaw)> {
        let mut parsed = Vec::new();
        let mut bytes = 0;
        for (name, value) in headers {
            let flawed = |flaw| (name.to_owned(), flaw);
            let parsed_name = HeaderName::try_from(name).map_err(|_| flawed(HeaderFlaw::Name))?;
            if is_reserved(&parsed_name) {
                return Err(flawed(HeaderFlaw::Reserved));
            }
            // Bytes beyond ASCII could be sent, but every receiver reads them differently.
            let parsed_value = HeaderValue::from_str(value).ok().filter(|_| value.is_ascii());
            let parsed_value = parsed_value.ok_or_else(|| flawed(HeaderFlaw::Value))?;
            bytes += name.len() + value.len();
            parsed.push((parsed_name, parsed_value));
        }
        if parsed.len() > Self::MAX_COUNT || bytes > Self::MAX_BYTES {
            return Err((String::new(), HeaderFlaw::TooMuch));
        }
        Ok(Self(parsed))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// Headers that frame the message, carry the signature or the trace; RFC 9110, section 7.6.1,
/// Standard Webhooks, and W3C Trace Context.
fn is_reserved(name: &HeaderName) -> bool {
    const NAMES: [&str; 11] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        TRACEPARENT,
        TRACESTATE,
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    const PREFIXES: [&str; 3] = ["webhook-", "ce-", "proxy-"];
    NAMES.contains(&name.as_str())
        || PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
