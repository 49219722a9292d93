//! Lets in only who carries the token (RFC 6750).
//!
//! Invariant: neither the content nor the length of the token can be told from how long the
//! comparison takes; nothing of a request is read before it has passed.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Problem;

/// Asks for `token` on every route of `router`; without one, `router` as it is.
///
/// A request without the token is answered 401 with `www-authenticate: Bearer`.
pub fn guarded(router: Router, token: Option<&SecretString>) -> Router {
    let Some(token) = token else {
        return router;
    };
    let expected = Arc::new(Expected::of(token));
    router.route_layer(middleware::from_fn_with_state(expected, let_in))
}

/// What is kept of the token for comparing: all digests are of one length.
#[derive(Debug)]
struct Expected([u8; 32]);

impl Expected {
    fn of(token: &SecretString) -> Self {
        Self(digest(token.expose_secret()))
    }

    fn is(&self, token: &str) -> bool {
        self.0.ct_eq(&digest(token)).into()
    }
}

async fn let_in(
    State(expected): State<Arc<Expected>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match bearer(request.headers()) {
        Some(token) if expected.is(token) => Ok(next.run(request).await),
        Some(_) => Err(Problem::WrongToken),
        None => Err(Problem::NoToken),
    }
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

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
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

    #[test]
    fn only_the_very_token_is_it() {
        let expected = Expected::of(&SecretString::from("open sesame"));
        assert!(expected.is("open sesame"));
        for other in ["", "open", "open sesamE", "open sesame "] {
            assert!(!expected.is(other), "{other:?}");
        }
    }
}
