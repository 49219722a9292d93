//! Why a store did not do as it was told.
//!
//! Invariant: an error says whether the same call may succeed later.

use thiserror::Error;

/// Why the store did not do as it was told.
#[derive(Debug, Error)]
pub enum Error {
    /// It cannot be reached or is overloaded; the same call may succeed later.
    #[error("store unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds cannot be read. Repeating does not help; a person must look.
    #[error("store holds something unreadable: {0}")]
    Corrupt(String),
}

/// The result of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a subscription was not replaced.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// Another subscription has the same pattern and URL.
    #[error("another subscription has the same event_type and url")]
    Taken,
    /// The store did not do as it was told.
    #[error(transparent)]
    Store(#[from] Error),
}
