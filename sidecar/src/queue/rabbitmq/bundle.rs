//! Work on its way to a worker: some of it in each message, for a broker's work is by the message; and
//! the form of deliveries in one. What is the same for several of them, the event and what is sent, is
//! in it once.
//!
//! Protocol Buffers, as in a gateway's batch: fields are only ever added, and a change that an older
//! build would misread takes a new [`VERSION`], which it refuses.
//!
//! Invariant: what is read is what was written, in the same order, or all of it is refused.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sidehook_event::{Event, EventId, Exchange, TypeId, UnixMicros};

use super::wire::Flaw;
use crate::model::{DeliveryId, DueDelivery, Payload, Series, SubscriptionId};

/// The most events or deliveries of one message. One worker has all of them.
const MOST: usize = 64;
/// How long a message may be in which there is more than one, in bytes of their bodies.
const LONGEST: usize = 128 * 1024;
/// The form that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// Deliveries that go into one message each.
pub(super) fn of_deliveries(deliveries: Vec<DueDelivery>) -> Vec<Vec<DueDelivery>> {
    split(deliveries, |due| due.payload.body.len(), |_, _| true)
}

/// Events that go into one message each, which says once from which gateway they are.
pub(super) fn of_events(events: Vec<Arc<Event>>) -> Vec<Vec<Arc<Event>>> {
    let length = |event: &Arc<Event>| {
        let Exchange { request, response, .. } = &event.exchange;
        request.content.len() + response.content.len()
    };
    split(events, length, |one, next| one.source == next.source)
}

fn split<T>(
    all: Vec<T>,
    length_of: impl Fn(&T) -> usize,
    go_together: impl Fn(&T, &T) -> bool,
) -> Vec<Vec<T>> {
    let mut bundles: Vec<Vec<T>> = Vec::new();
    let mut length = 0;
    for next in all {
        let more = length_of(&next);
        let fits = |last: &Vec<T>| {
            last.len() < MOST
                && length + more <= LONGEST
                && last.first().is_some_and(|first| go_together(first, &next))
        };
        if let Some(last) = bundles.last_mut().filter(|last| fits(last)) {
            length += more;
            last.push(next);
        } else {
            length = more;
            bundles.push(vec![next]);
        }
    }
    bundles
}

/// The body of a message with these.
pub(super) fn encode(deliveries: &[DueDelivery]) -> Vec<u8> {
    let together = deliveries.chunk_by(|one, next| {
        one.event_id == next.event_id && is_same(&one.payload, &next.payload)
    });
    let groups = together.filter_map(|group| group.first().map(|first| Group::of(first, group)));
    Bundle { version: VERSION, groups: groups.collect() }.encode_to_vec()
}

/// Reads the body of a message.
pub(super) fn decode(body: Bytes) -> Result<Vec<DueDelivery>, Flaw> {
    let Bundle { version, groups } =
        Bundle::decode(body).map_err(|error| Flaw::Deliveries(error.to_string()))?;
    if version != VERSION {
        return Err(Flaw::Deliveries(format!("version {version}, this build reads {VERSION}")));
    }
    let mut deliveries = Vec::with_capacity(groups.iter().map(|group| group.items.len()).sum());
    for group in groups {
        group.read(&mut deliveries)?;
    }
    if deliveries.is_empty() {
        return Err(Flaw::Deliveries("there are none in it".to_owned()));
    }
    Ok(deliveries)
}

/// Whether they share their memory, as payloads that are the same do where they are made.
fn is_same(one: &Payload, other: &Payload) -> bool {
    let place = |payload: &Payload| (payload.body.as_ptr(), payload.body.len());
    place(one) == place(other)
        && one.content_type == other.content_type
        && one.headers == other.headers
}

#[derive(Clone, PartialEq, Message)]
struct Bundle {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    groups: Vec<Group>,
}

/// Deliveries of one event that send the same.
#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(string, tag = "2")]
    event_type: String,
    #[prost(string, tag = "3")]
    content_type: String,
    #[prost(message, repeated, tag = "4")]
    headers: Vec<Header>,
    #[prost(bytes = "vec", tag = "5")]
    body: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Item {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    subscription_id: Vec<u8>,
    #[prost(uint32, tag = "3")]
    attempt: u32,
    #[prost(int64, tag = "4")]
    series_at_us: i64,
    #[prost(uint32, tag = "5")]
    earlier_attempts: u32,
    #[prost(int64, tag = "6")]
    lease_until_us: i64,
}

impl Group {
    fn of(first: &DueDelivery, deliveries: &[DueDelivery]) -> Self {
        let Payload { content_type, headers, body } = &first.payload;
        let header =
            |(name, value): &(String, String)| Header { name: name.clone(), value: value.clone() };
        Self {
            event_id: bytes(first.event_id),
            event_type: first.event_type.to_string(),
            content_type: content_type.to_string(),
            headers: headers.iter().map(header).collect(),
            body: body.to_vec(),
            items: deliveries.iter().map(Item::of).collect(),
        }
    }

    fn read(self, into: &mut Vec<DueDelivery>) -> Result<(), Flaw> {
        let event_id: EventId = id(&self.event_id, "event_id")?;
        let event_type = self.event_type.parse().map_err(|_| Flaw::Field("event_type"))?;
        let headers = self.headers.into_iter().map(|header| (header.name, header.value));
        let payload = Payload {
            content_type: self.content_type.into(),
            headers: headers.collect::<Arc<[_]>>(),
            body: self.body.into(),
        };
        for item in self.items {
            into.push(DueDelivery {
                id: id::<DeliveryId>(&item.id, "id")?,
                event_id,
                event_type: sidehook_event::EventType::clone(&event_type),
                subscription_id: id::<SubscriptionId>(&item.subscription_id, "subscription_id")?,
                attempt: item.attempt,
                series: Series {
                    began_at: instant(item.series_at_us, "series_at_us")?,
                    earlier: item.earlier_attempts,
                },
                payload: payload.clone(),
                lease_until: instant(item.lease_until_us, "lease_until_us")?,
            });
        }
        Ok(())
    }
}

impl Item {
    fn of(due: &DueDelivery) -> Self {
        Self {
            id: bytes(due.id),
            subscription_id: bytes(due.subscription_id),
            attempt: due.attempt,
            series_at_us: due.series.began_at.micros(),
            earlier_attempts: due.series.earlier,
            lease_until_us: due.lease_until.micros(),
        }
    }
}

fn bytes(id: impl TypeId) -> Vec<u8> {
    id.bits().to_be_bytes().to_vec()
}

fn id<Id: TypeId>(bytes: &[u8], field: &'static str) -> Result<Id, Flaw> {
    let bytes = bytes.try_into().map_err(|_| Flaw::Field(field))?;
    Ok(Id::from_bits(u128::from_be_bytes(bytes)))
}

fn instant(micros: i64, field: &'static str) -> Result<UnixMicros, Flaw> {
    UnixMicros::checked(micros).ok_or(Flaw::Field(field))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(number: u128, body: &Bytes) -> DueDelivery {
        DueDelivery {
            id: DeliveryId::from_bits(number),
            event_id: EventId::from_bits(2),
            event_type: "people.created".parse().unwrap(),
            subscription_id: SubscriptionId::from_bits(number),
            attempt: 7,
            series: Series { began_at: UnixMicros::new(1_763_890_100_000_000), earlier: 4 },
            payload: Payload {
                content_type: "application/json".into(),
                headers: [("ce-id".to_owned(), "größe".to_owned())].into(),
                body: body.clone(),
            },
            lease_until: UnixMicros::new(1_763_890_200_000_000),
        }
    }

    fn some() -> Vec<DueDelivery> {
        let (one, other) = (Bytes::from(vec![b'1'; 3000]), Bytes::from_static(b"{\"other\":1}"));
        let unmade = DueDelivery { payload: Payload::unmade(), ..due(4, &one) };
        let event_id = EventId::from_bits(9);
        let of_another = DueDelivery { event_id, attempt: 1, ..due(5, &other) };
        vec![due(1, &one), due(2, &one), due(3, &other), unmade, of_another]
    }

    #[test]
    fn deliveries_survive_their_journey_in_their_order() {
        assert_eq!(decode(encode(&some()).into()).unwrap(), some());
    }

    #[test]
    fn what_is_sent_to_several_is_carried_once() {
        let body = Bytes::from(vec![b'1'; 3000]);
        let deliveries: Vec<_> = (0..10).map(|number| due(number, &body)).collect();
        assert!(encode(&deliveries).len() < 4000);
        let read = decode(encode(&deliveries).into()).unwrap();
        assert!(read.windows(2).all(|two| is_same(&two[0].payload, &two[1].payload)));
    }

    #[test]
    fn messages_are_kept_small_but_for_what_is_large_by_itself() {
        let (small, large) = (Bytes::from_static(b"{}"), Bytes::from(vec![b'1'; LONGEST + 1]));
        let lengths = |all| of_deliveries(all).iter().map(Vec::len).collect::<Vec<_>>();
        assert!(lengths(Vec::new()).is_empty());
        assert_eq!(lengths((0..150).map(|number| due(number, &small)).collect()), [64, 64, 22]);
        let mixed = [&small, &large, &large, &small, &small];
        let mixed = mixed.iter().map(|body| due(1, body)).collect();
        assert_eq!(lengths(mixed), [1, 1, 1, 2]);
    }

    #[test]
    fn events_of_different_gateways_do_not_share_a_message() {
        let event = |source: &str| {
            Arc::new(Event {
                id: EventId::from_bits(1),
                event_type: "people.created".parse().unwrap(),
                source: source.to_owned(),
                subject: None,
                parents: Vec::new(),
                sequence: None,
                time: UnixMicros::EPOCH,
                exchange: Exchange::default(),
            })
        };
        let events = ["a", "a", "b", "a"].map(event).to_vec();
        assert_eq!(of_events(events).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    }

    #[test]
    fn what_lacks_anything_or_is_of_another_form_is_refused() {
        let whole = Bundle::decode(encode(&some()).as_slice()).unwrap();
        let flaw_of = |spoil: fn(&mut Bundle)| {
            let mut spoilt = whole.clone();
            spoil(&mut spoilt);
            decode(spoilt.encode_to_vec().into()).unwrap_err().to_string()
        };
        assert!(flaw_of(|bundle| bundle.version = 2).contains("version 2"));
        assert!(flaw_of(|bundle| bundle.groups.clear()).contains("none"));
        assert!(flaw_of(|bundle| bundle.groups[0].event_id.clear()).contains("event_id"));
        assert!(flaw_of(|bundle| bundle.groups[0].event_type.clear()).contains("event_type"));
        let item = |spoil: fn(&mut Item)| {
            let mut spoilt = whole.clone();
            spoil(&mut spoilt.groups[0].items[0]);
            decode(spoilt.encode_to_vec().into()).unwrap_err().to_string()
        };
        assert!(item(|item| item.id.push(0)).contains("id"));
        assert!(item(|item| item.subscription_id.clear()).contains("subscription_id"));
        assert!(item(|item| item.series_at_us = -1).contains("series_at_us"));
        assert!(item(|item| item.lease_until_us = i64::MAX).contains("lease_until_us"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(body: Vec<u8>) {
            prop_assert!(decode(body.into()).is_err());
        }
    }
}
