//! One exchange about a list of resources becomes one pair of bodies for each of them. Pure.
//!
//! Invariant: either every element of the answer's list has its part, or the exchange stays whole.

use bytes::Bytes;
use sidehook_event::Body;

use crate::{
    config::Bulk,
    pointer::{Pointer, elements},
};

/// The most events that one exchange becomes. What has more elements stays one event.
pub(super) const MOST: usize = 1000;

/// What an exchange has of one element.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) request: Body,
    pub(super) response: Body,
}

/// The parts of an exchange. `None` if it is not about a list: the answer has none, or an empty one,
/// or too long a one. With 207 each element says for itself whether it succeeded, in a way of its
/// own, so that nothing is known of them either.
pub(super) fn divide(
    bulk: &Bulk,
    status: u16,
    request: &Body,
    response: &Body,
) -> Option<Vec<Part>> {
    const MULTI_STATUS: u16 = 207;
    let answered = list(response, bulk.at.as_ref()).filter(|_| status != MULTI_STATUS)?;
    if !(1..=MOST).contains(&answered.len()) {
        return None;
    }
    let sent = list(request, bulk.at.as_ref()).filter(|sent| sent.len() == answered.len());
    let parts = answered.into_iter().enumerate().map(|(index, element)| Part {
        request: match sent.as_ref().and_then(|sent| sent.get(index)) {
            Some(element) => of(request, element),
            None => without(request),
        },
        response: of(response, element),
    });
    Some(parts.collect())
}

fn list<'b>(body: &'b Body, at: Option<&Pointer>) -> Option<Vec<&'b str>> {
    (body.is_whole() && body.content_encoding.is_none())
        .then(|| elements(&body.content, at))
        .flatten()
}

fn of(whole: &Body, element: &str) -> Body {
    Body {
        content: Bytes::copy_from_slice(element.as_bytes()),
        size: u64::try_from(element.len()).unwrap_or(u64::MAX),
        truncated: false,
        ..without(whole)
    }
}

/// A body that says nothing of one element: it is left out, as one that is too long.
fn without(whole: &Body) -> Body {
    Body {
        content: Bytes::new(),
        content_type: whole.content_type.clone(),
        content_encoding: whole.content_encoding.clone(),
        size: whole.size,
        truncated: !whole.content.is_empty() || whole.truncated,
        incomplete: whole.incomplete,
    }
}
