//! Reads what a path names.
//!
//! Invariant: a path that names nothing is answered like one that names something unknown, so
//! that a client has one case to handle.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;
use sidehook_event::TypeId;

use super::Problem;

/// The variable parts of a path, percent-decoded.
#[derive(Debug)]
pub(super) struct Keys<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Keys<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(keys)) => Ok(Self(keys)),
            // Not UTF-8 after decoding.
            Err(_) => Err(Problem::NotFound("there is nothing at this path")),
        }
    }
}

/// The id that `key` is, or the problem that says `missing`.
pub(super) fn id<Id: TypeId>(key: &str, missing: &'static str) -> Result<Id, Problem> {
    Id::parse(key).map_err(|_| Problem::NotFound(missing))
}
