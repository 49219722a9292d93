//! The configuration as it is written, key by key, with its defaults.
//!
//! Invariant: every key that exists is here and nowhere else; an unknown one is refused.

use std::{fmt, ops::RangeInclusive, rc::Rc, time::Duration};

use serde::{Deserialize, Deserializer, de};
use sidehook_event::{EventType, event_type::is_reserved};

use super::{Capture, Invalid, Limits, Names, Secret};
use crate::{
    pointer::Pointer,
    quantity::{Count, Size, Span},
    rules::{Conflict, Method, Rules, Template, Writes},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    gateway: String,
    sidecar: Sidecar,
    #[serde(default)]
    capture: Capture,
    #[serde(default = "two_seconds")]
    hold_timeout: Span,
    #[serde(default)]
    buffer: Buffer,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    cluster: String,
    #[serde(default = "ingest")]
    path: String,
    #[serde(default = "one_second")]
    timeout: Span,
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Buffer {
    max_events: Count,
    max_bytes: Size,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { max_events: Count(10_000), max_bytes: Size(16 << 20) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    resource: String,
    path: Template,
    method: Option<Method>,
    event: Option<String>,
    id: Option<Pointer>,
    bulk: Option<Bulk>,
    #[serde(default)]
    idempotency_key: bool,
    capture: Option<Capture>,
    #[serde(default)]
    body: Body,
    #[serde(default)]
    redact: Vec<Pointer>,
    #[serde(default)]
    headers: Vec<String>,
}

/// `true`: a body that is a list. A JSON pointer: the list is there.
#[derive(Clone)]
enum Bulk {
    No,
    Whole,
    At(Pointer),
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    request: bool,
    response: bool,
    max_bytes: Size,
}

impl Default for Body {
    fn default() -> Self {
        Self { request: true, response: true, max_bytes: Size(64 << 10) }
    }
}

impl<'de> Deserialize<'de> for Bulk {
    fn deserialize<D: Deserializer<'de>>(written: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = Bulk;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a JSON pointer such as \"/data\"")
            }

            fn visit_bool<E: de::Error>(self, is_list: bool) -> Result<Bulk, E> {
                Ok(if is_list { Bulk::Whole } else { Bulk::No })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bulk, E> {
                Pointer::try_from(text.to_owned()).map(Bulk::At).map_err(E::custom)
            }
        }
        written.deserialize_any(Either)
    }
}

fn ingest() -> String {
    "/ingest".into()
}

fn one_second() -> Span {
    Span(Duration::from_secs(1))
}

fn two_seconds() -> Span {
    Span(Duration::from_secs(2))
}

/// The longest body that can be captured. While an answer is held, as much of it piles up in the
/// gateway, whose buffers hold 1 MiB by default; and two bodies have to fit a batch of 1 MiB.
const MAX_BODY: u64 = 512 << 10;

/// Never copied into an event: they are credentials.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

impl Config {
    pub(super) fn mean(self) -> Result<super::Config, Invalid> {
        check(!self.gateway.is_empty(), "gateway", "must not be empty")?;
        check(!self.routes.is_empty(), "routes", "must have at least one route")?;
        let rules: Vec<_> = self.routes.iter().map(Route::rule).collect();
        let rules = Rules::new(&rules).map_err(|Conflict { first, second }| Invalid {
            path: format!("routes[{second}].path"),
            reason: format!("takes the same writes as routes[{first}]"),
        })?;
        let numbered = self.routes.into_iter().enumerate();
        let routes = numbered.map(|(index, route)| {
            let mut meant = route.mean(&format!("routes[{index}]"), self.capture)?;
            meant.headers.sort();
            meant.headers.dedup();
            Ok(Rc::new(meant))
        });
        Ok(super::Config {
            gateway: self.gateway,
            sidecar: self.sidecar.mean()?,
            hold_timeout: within(self.hold_timeout, "hold_timeout")?,
            buffer: self.buffer.mean()?,
            rules,
            routes: routes.collect::<Result<_, _>>()?,
        })
    }
}

impl Sidecar {
    fn mean(self) -> Result<super::Sidecar, Invalid> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        check(visible(&self.cluster), "sidecar.cluster", "must be the name of a cluster")?;
        check(
            visible(&self.path) && self.path.starts_with('/'),
            "sidecar.path",
            "must start with '/' and have no spaces",
        )?;
        if let Some(token) = &self.token {
            check(visible(token), "sidecar.token", "must be visible ASCII, and not empty")?;
        }
        Ok(super::Sidecar {
            cluster: self.cluster,
            path: self.path,
            timeout: within(self.timeout, "sidecar.timeout")?,
            authorization: self.token.map(|token| Secret(format!("Bearer {token}"))),
        })
    }
}

impl Buffer {
    fn mean(&self) -> Result<Limits, Invalid> {
        let Self { max_events: Count(events), max_bytes: Size(bytes) } = *self;
        Ok(Limits {
            max_events: number(events, 1..=1_000_000, "buffer.max_events")?,
            // The memory of a plugin ends at 1 GiB.
            max_bytes: number(bytes, 64 << 10..=256 << 20, "buffer.max_bytes")?,
        })
    }
}

impl Route {
    fn rule(&self) -> (Template, Writes) {
        let writes = self.method.map_or(Writes::Resource, |method| Writes::Named {
            method,
            id_from_body: self.id.is_some(),
        });
        (self.path.clone(), writes)
    }

    fn mean(self, at: &str, capture: Capture) -> Result<super::Route, Invalid> {
        let id = self.id.clone().unwrap_or_else(|| self.default_id());
        let bulk = self.bulk(&id, at)?;
        check(
            !self.redact.iter().any(|pointer| pointer.covers(&id)),
            &format!("{at}.redact"),
            "must not cover the id, which is part of every event",
        )?;
        let max_bytes =
            number(self.body.max_bytes.0, 1..=MAX_BODY, &format!("{at}.body.max_bytes"))?;
        let names = self.names(at)?;
        let numbered = self.headers.into_iter().enumerate();
        let headers =
            numbered.map(|(index, name)| header(&name, &format!("{at}.headers[{index}]")));
        Ok(super::Route {
            names,
            id,
            bulk,
            idempotency_key: self.idempotency_key,
            capture: self.capture.unwrap_or(capture),
            request_body: self.body.request,
            response_body: self.body.response,
            max_body: max_bytes,
            redact: self.redact,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    /// The member `id`: of the body, or of what the list has.
    fn default_id(&self) -> Pointer {
        match &self.bulk {
            Some(Bulk::At(list)) => list.then("id"),
            Some(Bulk::Whole | Bulk::No) | None => Pointer::to("id"),
        }
    }

    fn bulk(&self, id: &Pointer, at: &str) -> Result<Option<super::Bulk>, Invalid> {
        let (list, id) = match &self.bulk {
            None | Some(Bulk::No) => return Ok(None),
            Some(Bulk::Whole) => (None, Some(id.clone())),
            Some(Bulk::At(list)) => (Some(list.clone()), id.from(list)),
        };
        let invalid = |key: &str, reason: &str| Invalid {
            path: format!("{at}.{key}"),
            reason: reason.into(),
        };
        if !self.body.response {
            return Err(invalid(
                "bulk",
                "needs the answer's body: body.response must not be false",
            ));
        }
        let id = id.ok_or_else(|| invalid("id", "must point into what bulk points at"))?;
        Ok(Some(super::Bulk { at: list, id }))
    }

    fn names(&self, at: &str) -> Result<Names, Invalid> {
        let invalid = |key: &str, reason: String| Invalid { path: format!("{at}.{key}"), reason };
        check(
            !is_reserved(&self.resource),
            &format!("{at}.resource"),
            "must not be sidehook, of which Sidehook tells of itself",
        )?;
        let of = |action| {
            let name = EventType::of(&self.resource, action);
            name.map_err(|error| invalid("resource", error.to_string()))
        };
        let (created, updated, deleted) = (of("created")?, of("updated")?, of("deleted")?);
        match (&self.method, &self.event) {
            (None, None) => Ok(Names::Resource { created, updated, deleted }),
            (Some(_), Some(event)) => {
                let name: EventType =
                    event.parse().map_err(|error| invalid("event", format!("{error}")))?;
                let named = name.resource() == self.resource;
                check(
                    named,
                    &format!("{at}.event"),
                    "must be the route's resource and an action joined by a dot",
                )?;
                Ok(Names::Named(name))
            }
            (Some(_), None) => Err(invalid("method", "needs an event beside it".into())),
            (None, Some(_)) => Err(invalid("event", "needs a method beside it".into())),
        }
    }
}

fn header(name: &str, at: &str) -> Result<String, Invalid> {
    // The characters of a field name (RFC 9110, section 5.6.2).
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    check(!name.is_empty() && name.bytes().all(token), at, "must be the name of a header")?;
    let name = name.to_ascii_lowercase();
    check(
        !CREDENTIALS.contains(&name.as_str()),
        at,
        "must not be a header that carries credentials",
    )?;
    Ok(name)
}

fn within(span: Span, at: &str) -> Result<Duration, Invalid> {
    let range = Duration::from_millis(10)..=Duration::from_mins(1);
    check(range.contains(&span.0), at, "must be from 10ms to 60s")?;
    Ok(span.0)
}

fn number(number: u64, range: RangeInclusive<u64>, at: &str) -> Result<usize, Invalid> {
    let invalid = || Invalid {
        path: at.to_owned(),
        reason: format!("must be from {} to {}", range.start(), range.end()),
    };
    let inside = range.contains(&number).then_some(number);
    inside.and_then(|number| usize::try_from(number).ok()).ok_or_else(invalid)
}

fn check(holds: bool, path: &str, reason: &str) -> Result<(), Invalid> {
    let (path, reason) = (path.to_owned(), reason.to_owned());
    holds.then_some(()).ok_or(Invalid { path, reason })
}
