//! A slice of a list, newest first, and where the next one begins.
//!
//! Invariant: a cursor is the id of the last element seen, so that what is added meanwhile
//! neither repeats nor hides an element.

use sidehook_event::TypeId;
use thiserror::Error;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest<Id> {
    /// Only elements older than this one.
    pub after: Option<Id>,
    /// At most so many elements, 1 to [`PageRequest::MAX_LIMIT`].
    pub limit: u32,
}

/// A cursor that no list of this kind gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a cursor that this list gave out")]
pub struct InvalidCursor;

impl<Id: TypeId> PageRequest<Id> {
    /// The size of a page when none is asked for.
    pub const DEFAULT_LIMIT: u32 = 50;
    /// The largest page.
    pub const MAX_LIMIT: u32 = 200;

    /// The page behind `cursor`, the first without one.
    pub fn new(cursor: Option<&str>, limit: u32) -> Result<Self, InvalidCursor> {
        let after = cursor.map(Id::parse).transpose().map_err(|_| InvalidCursor)?;
        Ok(Self { after, limit: limit.clamp(1, Self::MAX_LIMIT) })
    }
}

impl<Id: TypeId> Default for PageRequest<Id> {
    fn default() -> Self {
        Self { after: None, limit: Self::DEFAULT_LIMIT }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, Id> {
    /// The elements, newest first.
    pub data: Vec<T>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<Id>,
}

impl<T, Id> Page<T, Id> {
    /// Cuts what a store read, one element more than `limit` if there are more, to a page.
    pub fn cut(mut data: Vec<T>, limit: u32, id: impl Fn(&T) -> Id) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = data.len() > limit;
        data.truncate(limit);
        let next = data.last().filter(|_| more).map(id);
        Self { data, next }
    }
}
