//! The kinds of problems, which clients tell apart by their `type`.
//!
//! Invariant: a kind has one status, one `type` and one title, which never change.

use http::StatusCode;

/// What kind of a problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    Malformed,
    Unauthorized,
    Forbidden,
    ForeignPage,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    Unavailable,
    Internal,
}

impl Kind {
    /// All of them, by their status.
    pub(in crate::api) const ALL: [Self; 13] = [
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ForeignPage,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::Internal,
        Self::Unavailable,
    ];

    pub(in crate::api) fn status(self) -> StatusCode {
        self.told().0
    }

    /// The `type`, a reference relative to the root of this API.
    pub(in crate::api) fn name(self) -> &'static str {
        self.told().1
    }

    pub(in crate::api) fn title(self) -> &'static str {
        self.told().2
    }

    fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => {
                (StatusCode::BAD_REQUEST, "/problems/malformed", "The body cannot be read")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "/problems/unauthorized", "A token is needed")
            }
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "/problems/forbidden", "The token does not allow this")
            }
            Self::ForeignPage => {
                let title = "A token would be needed for this";
                (StatusCode::FORBIDDEN, "/problems/foreign-page", title)
            }
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "/problems/not-found", "There is no such thing")
            }
            Self::MethodNotAllowed => {
                let title = "The method is not allowed here";
                (StatusCode::METHOD_NOT_ALLOWED, "/problems/method-not-allowed", title)
            }
            Self::TooSlow => {
                let title = "The body did not arrive in time";
                (StatusCode::REQUEST_TIMEOUT, "/problems/too-slow", title)
            }
            Self::Conflict => (StatusCode::CONFLICT, "/problems/conflict", "The change clashes"),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "The body is too large")
            }
            Self::UnsupportedMediaType => {
                let (status, title) =
                    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another type");
                (status, "/problems/unsupported-media-type", title)
            }
            Self::Invalid => {
                let title = "The request is not valid";
                (StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid", title)
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "Try again later")
            }
            Self::Internal => {
                let title = "Something failed inside";
                (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", title)
            }
        }
    }
}
