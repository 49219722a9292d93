//! Reads which part of a list is asked for, and shows it.
//!
//! Invariant: the pages of a list hold each element once, however many are added meanwhile.

use axum::Json;
use serde::Serialize;
use serde_json::json;
use sidehook_event::TypeId;

use super::{
    Flaws,
    form::{Form, Reader},
    named,
    read::text,
};
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
pub(super) fn page<Id: TypeId + 'static>(form: &mut Form) -> PageRequest<Id> {
    let first = PageRequest::<Id>::default();
    PageRequest {
        limit: form.read("limit", limit::<Id>()).unwrap_or(first.limit),
        after: form.read("cursor", cursor()),
    }
}

fn limit<Id: TypeId>() -> Reader<u32> {
    let largest = PageRequest::<Id>::MAX_LIMIT;
    let number = text().then(move |text| {
        let number = text.parse().ok().filter(|limit| (1..=largest).contains(limit));
        number.ok_or_else(|| format!("must be a number from 1 to {largest}"))
    });
    number.with(move || {
        json!({
            "type": "integer",
            "minimum": 1,
            "maximum": largest,
            "default": PageRequest::<Id>::DEFAULT_LIMIT,
            "description": "How many are shown at most.",
        })
    })
}

fn cursor<Id: TypeId + 'static>() -> Reader<Id> {
    let read = |value| named::id::<Id>().read(value).map_err(|_| Flaws::here(InvalidCursor));
    let about = "The next of the page before: only what follows it is shown.";
    Reader::new(read, || named::id::<Id>().schema()).about(about)
}

#[cfg(test)]
mod tests {
    use sidehook_event::EventId;

    use super::*;

    fn asked(query: &str) -> Result<PageRequest<EventId>, Flaws> {
        Form::whole_query(Some(query), |form| Some(page(form)))
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
