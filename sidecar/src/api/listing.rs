//! Reads which part of a list is asked for, and shows it.
//!
//! Invariant: the pages of a list hold each element once, however many are added meanwhile.

use axum::Json;
use serde::Serialize;
use serde_json::Value;
use sidehook_event::TypeId;

use super::{Flaws, form::Form, read::text};
use crate::model::{InvalidCursor, Page, PageRequest};

/// A part of a list, newest first.
#[derive(Debug, Serialize)]
pub(super) struct Listing<T> {
    data: Vec<T>,
    /// The `cursor` of the next part; null on the last.
    next: Option<String>,
}

/// Shows a page.
pub(super) fn listing<'a, T, Id: ToString, S>(
    page: &'a Page<T, Id>,
    show: impl Fn(&'a T) -> S,
) -> Json<Listing<S>> {
    Json(Listing {
        data: page.data.iter().map(show).collect(),
        next: page.next.as_ref().map(ToString::to_string),
    })
}

/// Reads `limit` and `cursor`.
pub(super) fn page<Id: TypeId>(form: &mut Form) -> PageRequest<Id> {
    let first = PageRequest::<Id>::default();
    PageRequest {
        limit: form.read("limit", limit::<Id>).unwrap_or(first.limit),
        after: form.read("cursor", cursor),
    }
}

fn limit<Id: TypeId>(value: Value) -> Result<u32, Flaws> {
    let largest = PageRequest::<Id>::MAX_LIMIT;
    text(value)?
        .parse()
        .ok()
        .filter(|limit| (1..=largest).contains(limit))
        .ok_or_else(|| Flaws::here(format!("must be a number from 1 to {largest}")))
}

fn cursor<Id: TypeId>(value: Value) -> Result<Id, Flaws> {
    Id::parse(&text(value)?).map_err(|_| Flaws::here(InvalidCursor))
}

#[cfg(test)]
mod tests {
    use sidehook_event::EventId;

    use super::*;

    fn asked(query: &str) -> Result<PageRequest<EventId>, Flaws> {
        let mut form = Form::of_query(Some(query));
        let request = page(&mut form);
        form.finish().map(|()| request)
    }

    #[test]
    fn without_a_wish_it_is_the_first_page_of_the_usual_size() {
        assert_eq!(asked(""), Ok(PageRequest::default()));
    }

    #[test]
    fn a_page_is_asked_for_by_cursor_and_limit() {
        let after = EventId::from_bits(7);
        assert_eq!(
            asked(&format!("cursor={after}&limit=200")),
            Ok(PageRequest { after: Some(after), limit: 200 })
        );
    }

    #[test]
    fn what_no_list_gave_out_is_refused() {
        for limit in ["0", "201", "-1", "ten", "", "4294967297"] {
            assert_eq!(
                asked(&format!("limit={limit}")),
                Err(Flaws::at("limit", "must be a number from 1 to 200"))
            );
        }
        for cursor in ["", "2", "sub_01h2xcejqtf2nbrexx3vqjhp41"] {
            assert_eq!(
                asked(&format!("cursor={cursor}")),
                Err(Flaws::at("cursor", "is not a cursor that this list gave out"))
            );
        }
        assert_eq!(
            asked("offset=10"),
            Err(Flaws::at("offset", "is unknown; there are limit, cursor"))
        );
    }
}
