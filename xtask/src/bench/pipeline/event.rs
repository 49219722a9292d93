//! What is written and delivered: a person in some 300 bytes of JSON, with a number.
//!
//! Invariant: whatever is made of a person, its number can be read again.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use sidehook_event::{Body, Event, EventId, Exchange, TypeId as _, UnixMicros, wire};

/// The mark before the number.
const MARK: &[u8] = b"\"n\":";

/// The script of the cases with one; what it makes has the number too.
pub(super) const SCRIPT: &str = "#{ n: event.data.n, text: `${event.data.name} joined`, \
    email: mask_email(event.data.email), country: event.data.address.country }";

/// The person of this number.
pub(super) fn person(number: u64) -> Bytes {
    let person = format!(
        concat!(
            r#"{{"n":{},"id":"{}","name":"Ada Lovelace","email":"ada@example.com","#,
            r#""phone":"+44 20 7946 0000","address":{{"street":"12 St James's Square","#,
            r#""city":"London","country":"GB"}},"note":"Enchantress of Number, and the first to see "#,
            r#"that an engine may act on other things besides","tags":["mathematics","a","b"]}}"#
        ),
        number, number
    );
    person.into()
}

/// The number of the person in these bytes.
pub(super) fn number_in(bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let mut digits = digits.map(|digit| u64::from(digit - b'0'));
    let first = digits.next()?;
    digits.try_fold(first, |number, digit| number.checked_mul(10)?.checked_add(digit))
}

/// The type of the events that are delivered.
pub(super) const TYPE: &str = "people.created";

/// A batch of events of this type about these people, as a gateway sends it. They happened `now`,
/// by the clock since the epoch.
pub(super) fn batch(
    numbers: std::ops::Range<u64>,
    event_type: &str,
    now: Duration,
) -> Result<Bytes> {
    let mut batch = wire::prologue("bench");
    for number in numbers {
        batch.extend(wire::frame(&event(number, event_type, now)?));
    }
    Ok(batch.into())
}

fn event(number: u64, event_type: &str, now: Duration) -> Result<Event> {
    let nanos = u64::try_from(now.as_nanos()).context("a clock beyond its years")?;
    let body = |content: Bytes| Body {
        size: content.len() as u64,
        content,
        content_type: Some("application/json".to_owned()),
        ..Body::default()
    };
    Ok(Event {
        id: EventId::mint(nanos, number),
        event_type: event_type.parse()?,
        source: "bench".to_owned(),
        subject: Some(format!("people/{number}")),
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::from_nanos(nanos),
        exchange: Exchange {
            method: "POST".to_owned(),
            path: "/people".to_owned(),
            status: 201,
            response: body(person(number)),
            ..Exchange::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_person_is_read_again() {
        for number in [0, 7, u64::from(u32::MAX)] {
            let person = person(number);
            assert_eq!(number_in(&person), Some(number));
            assert!((280..320).contains(&person.len()), "{}", person.len());
        }
        assert_eq!(number_in(b"{\"n\":"), None);
        assert_eq!(number_in(b"{\"n\":99999999999999999999999}"), None);
    }

    #[test]
    fn a_batch_is_what_a_gateway_sends() {
        let events = wire::decode(batch(5..8, TYPE, Duration::from_secs(1)).unwrap()).unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(number_in(&events[1].exchange.response.content), Some(6));
    }
}
