//! The seam between a broker to which others publish events, and the one who stores them.
//!
//! Invariant: a message is settled in one of two ways: its events are stored, or it will never
//! be more than what it is, malformed.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;

/// A message as others published it.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// What the body is said to be.
    pub content_type: Option<String>,
    /// How the body is said to be encoded.
    pub content_encoding: Option<String>,
    /// The headers by their names. An instant is a text, as RFC 3339 has it.
    pub headers: Vec<(String, Header)>,
    /// The body.
    pub body: Bytes,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// A text.
    Text(String),
    /// Something else, which says nothing here.
    Other,
}

/// Why a message is no event, in words for a person, without anything of its payload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Takes a message in: `Ok` when all of its events are stored, for which it waits as long as it
/// takes. Dropped before, it may be stored all the same, and comes again.
pub type TakeIn =
    Arc<dyn Fn(Message) -> BoxFuture<'static, Result<(), Malformed>> + Send + Sync + 'static>;
