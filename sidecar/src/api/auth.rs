//! Lets in only who may do what they ask for (RFC 6750).
//!
//! Invariant: of a request that is refused here nothing but its head has been read, and nothing of
//! that was parsed but `authorization`, `host` and `origin`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    uri::Authority,
};

use super::Problem;
use crate::{
    access::{Access, Refusal},
    clock::Clock,
    model::{Face, Scope},
};

/// What stands before every route. Clones stand for the same.
#[derive(Debug, Clone)]
pub struct Gate {
    access: Arc<Access>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// A gate at which the tokens of `access` count.
    pub fn new(access: Arc<Access>, clock: Arc<dyn Clock>) -> Self {
        Self { access, clock }
    }

    /// The tokens that count.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Whether the request may know what there is at this face.
    pub(super) fn authenticate(&self, request: &Request, face: Face) -> Result<(), Problem> {
        self.check(request, face, None)
    }

    fn check(&self, request: &Request, face: Face, scope: Option<Scope>) -> Result<(), Problem> {
        let headers = request.headers();
        if self.access.is_open(face) {
            let local = is_local(headers, request.uri(), face);
            return if local { Ok(()) } else { Err(Problem::ForeignPage) };
        }
        self.check_bearer(headers, scope)
    }

    /// Whether a request that was let in may do this besides.
    pub(super) fn allows(&self, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
        if self.access.is_open(scope.face()) {
            return Ok(());
        }
        self.check_bearer(headers, Some(scope))
    }

    fn check_bearer(&self, headers: &HeaderMap, scope: Option<Scope>) -> Result<(), Problem> {
        let bearer = self.access.bearer(bearer(headers), || self.clock.now())?;
        scope.map_or(Ok(()), |scope| Ok(bearer.check(scope)?))
    }
}

/// A layer before the handler of one route.
pub(super) async fn let_in(
    State((gate, face, scope)): State<(Gate, Face, Scope)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    gate.check(&request, face, Some(scope))?;
    Ok(next.run(request).await)
}

/// The token of the one `authorization` header, whose scheme is written in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Whether a request without a token is one of this machine's own programs, or of a page that
/// came from here.
///
/// Every page that a browser shows may send requests to this machine, wherever the page came from.
/// It says so in `origin` when it posts something. A page whose name was made to resolve to this
/// machine after it was loaded (DNS rebinding) is of the same origin, but uses that name as `host`.
/// Gateways name their cluster there, so at their face it does not count.
fn is_local(headers: &HeaderMap, uri: &Uri, face: Face) -> bool {
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
    let host = host.or_else(|| uri.authority().map(Authority::as_str));
    let named_here = face == Face::Ingest || host.is_none_or(is_own_name);
    let mut origins = headers.get_all(ORIGIN).iter();
    named_here
        && origins.all(|origin| {
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, origin)| Some(origin) == host)
        })
}

/// A name that no DNS server can give to this machine: an address, or one of `localhost`'s
/// (RFC 6761, section 6.3).
fn is_own_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::NoToken,
            Refusal::Unknown => Self::WrongToken("the bearer token is not one that was given out"),
            Refusal::Expired => Self::WrongToken("the bearer token has expired"),
            Refusal::Revoked => Self::WrongToken("the bearer token was revoked"),
            Refusal::Lacking(scope) => Self::Forbidden(scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token_of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn the_token_stands_behind_its_scheme() {
        for (values, token) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer  abc "], Some("abc")),
            (&["Bearer"], None),
            (&["Basic abc"], None),
            (&["abc"], None),
            (&[], None),
            (&["Bearer abc", "Bearer abc"], None),
        ] {
            assert_eq!(token_of(values).as_deref(), token, "{values:?}");
        }
    }

    fn local(face: Face, host: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        let mut insert = |name, value: Option<&str>| {
            value.map(|value| headers.insert(name, HeaderValue::from_str(value).unwrap()))
        };
        insert(HOST, host);
        insert(ORIGIN, origin);
        is_local(&headers, &Uri::from_static("/events"), face)
    }

    #[test]
    fn programs_of_this_machine_are_local() {
        for host in [
            None,
            Some("127.0.0.1:5000"),
            Some("[::1]:5000"),
            Some("localhost"),
            Some("LocalHost:5000"),
            Some("sidehook.localhost:5000"),
        ] {
            assert!(local(Face::Api, host, None), "{host:?}");
        }
        let http2 = Uri::from_static("http://127.0.0.1:5000/events");
        assert!(is_local(&HeaderMap::new(), &http2, Face::Api));
    }

    #[test]
    fn a_page_of_ours_is_local_and_one_from_elsewhere_is_not() {
        let here = Some("localhost:5000");
        assert!(local(Face::Api, here, Some("http://localhost:5000")));
        for origin in ["null", "http://localhost:3000", "https://evil.example", ""] {
            for face in [Face::Api, Face::Ingest] {
                assert!(!local(face, here, Some(origin)), "{origin:?}");
            }
        }
    }

    #[test]
    fn a_name_that_was_made_to_mean_this_machine_is_not_local() {
        for host in ["evil.example:5000", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!local(Face::Api, Some(host), None), "{host}");
        }
        let http2 = Uri::from_static("http://evil.example/events");
        assert!(!is_local(&HeaderMap::new(), &http2, Face::Api));
        // Gateways name whatever they call the sidecar.
        assert!(local(Face::Ingest, Some("sidehook"), None));
    }
}
