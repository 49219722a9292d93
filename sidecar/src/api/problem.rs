//! An answer that is not a success: a problem of RFC 9457.
//!
//! Invariant: each kind has one status and one `type`, which never change; what failed inside is
//! logged here, once, and not shown.

mod kind;

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode, Uri,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use problem_details::ProblemDetails;
use serde::Serialize;

pub(super) use self::kind::Kind;
use super::{Flaw, Flaws};
use crate::{model::Scope, store};

/// What a client that was told to come back later is asked to wait, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request was not done. Told apart by what the client does about it.
#[derive(Debug)]
pub enum Problem {
    /// The body cannot be read at all; says why.
    Malformed(String),
    /// There is no bearer token.
    NoToken,
    /// The bearer token lets nobody in; says why.
    WrongToken(&'static str),
    /// The bearer token is good, but lacks this scope.
    Forbidden(Scope),
    /// No token is asked for on this machine, but the request is one of a page from elsewhere.
    ForeignPage,
    /// What the path names does not exist; says what.
    NotFound(&'static str),
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    TooSlow,
    /// The change clashes with something else; says with what.
    Conflict(String),
    /// The body is longer than so many bytes.
    TooLarge(usize),
    /// The body is of another type than this one.
    UnsupportedMediaType(&'static str),
    /// The request can be read, but what it says cannot be done.
    Invalid(Flaws),
    /// There is too much to do, or the process is about to end; says which. Whoever refused has
    /// logged what needs to be logged.
    Unavailable(String),
    /// The store failed.
    Store(store::Error),
    /// Something failed that should not have.
    Internal(Box<dyn Error + Send + Sync>),
}

impl Problem {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.kind().status()
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) => Kind::Malformed,
            Self::NoToken | Self::WrongToken(_) => Kind::Unauthorized,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::ForeignPage => Kind::ForeignPage,
            Self::NotFound(_) => Kind::NotFound,
            Self::MethodNotAllowed => Kind::MethodNotAllowed,
            Self::TooSlow => Kind::TooSlow,
            Self::Conflict(_) => Kind::Conflict,
            Self::TooLarge(_) => Kind::TooLarge,
            Self::UnsupportedMediaType(_) => Kind::UnsupportedMediaType,
            Self::Invalid(_) => Kind::Invalid,
            Self::Unavailable(_) | Self::Store(store::Error::Unavailable(_)) => Kind::Unavailable,
            Self::Store(store::Error::Corrupt(_)) | Self::Internal(_) => Kind::Internal,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Malformed(detail) | Self::Conflict(detail) | Self::Unavailable(detail) => {
                detail.clone()
            }
            Self::NoToken => "the request must carry authorization: Bearer …".to_owned(),
            Self::Forbidden(scope) => format!("the token lacks the scope {}", scope.name()),
            Self::ForeignPage => "without a token only programs of this machine are served, under \
                its address or the name localhost, and no pages of another origin"
                .to_owned(),
            Self::WrongToken(detail) | Self::NotFound(detail) => (*detail).to_owned(),
            Self::MethodNotAllowed => "the header allow names the methods of this path".to_owned(),
            Self::TooSlow => "the body must arrive within 10 seconds".to_owned(),
            Self::TooLarge(limit) => format!("the body must not be longer than {limit} bytes"),
            Self::UnsupportedMediaType(expected) => format!("content-type must be {expected}"),
            Self::Invalid(flaws) => flaws.to_string(),
            Self::Store(store::Error::Unavailable(_)) => {
                "the store cannot be reached at the moment".to_owned()
            }
            Self::Store(store::Error::Corrupt(_)) | Self::Internal(_) => {
                "the cause is in the log".to_owned()
            }
        }
    }

    fn log(&self) {
        match self {
            Self::Store(error @ store::Error::Unavailable(_)) => {
                let error: &dyn Error = error;
                tracing::warn!(error, "failed to answer a request, the store is unavailable");
            }
            Self::Store(error @ store::Error::Corrupt(_)) => {
                let error: &dyn Error = error;
                tracing::error!(error, "failed to answer a request");
            }
            Self::Internal(error) => {
                let error: &(dyn Error + 'static) = error.as_ref();
                tracing::error!(error, "failed to answer a request");
            }
            Self::Malformed(_)
            | Self::NoToken
            | Self::WrongToken(_)
            | Self::Forbidden(_)
            | Self::ForeignPage
            | Self::NotFound(_)
            | Self::MethodNotAllowed
            | Self::TooSlow
            | Self::Conflict(_)
            | Self::TooLarge(_)
            | Self::UnsupportedMediaType(_)
            | Self::Invalid(_)
            | Self::Unavailable(_) => {}
        }
    }

    fn headers(&self) -> Option<(http::HeaderName, HeaderValue)> {
        // RFC 6750, section 3: no error code for a request that carries no token.
        let challenge = |text| (WWW_AUTHENTICATE, HeaderValue::from_static(text));
        match self {
            Self::NoToken => Some(challenge("Bearer realm=\"sidehook\"")),
            Self::WrongToken(_) => {
                Some(challenge("Bearer realm=\"sidehook\", error=\"invalid_token\""))
            }
            Self::Forbidden(scope) => {
                let scope = scope.name();
                let text = format!(
                    "Bearer realm=\"sidehook\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                Some((WWW_AUTHENTICATE, HeaderValue::try_from(text).ok()?))
            }
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Some((RETRY_AFTER, RETRY_AFTER_SECONDS))
            }
            _ => None,
        }
    }
}

/// What a problem of ours says besides the members of RFC 9457.
#[derive(Debug, Default, Serialize)]
struct Extensions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Flaw>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let kind = self.kind();
        let details = ProblemDetails::from_status_code(self.status())
            .with_type(Uri::from_static(kind.name()))
            .with_title(kind.title())
            .with_detail(self.detail());
        let header = self.headers();
        let errors = match self {
            Self::Invalid(flaws) => flaws.into_list(),
            _ => Vec::new(),
        };
        let mut response = details.with_extensions(Extensions { errors }).into_response();
        response.headers_mut().extend(header);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Flaws> for Problem {
    fn from(flaws: Flaws) -> Self {
        Self::Invalid(flaws)
    }
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
