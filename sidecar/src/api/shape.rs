//! How values look in JSON: instants as RFC 3339, durations and ids as text.
//!
//! Invariant: whatever is written here is read back by the same API.

use std::{fmt::Display, time};

use serde::{Serialize, Serializer};
use sidehook_event as event;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

pub(super) use super::read::written;
use super::{
    form::{Reader, named},
    read,
};
use crate::model;

/// Names a shape that stands in many answers, and takes what can be read for what is written.
macro_rules! shapes {
    ($($(#[$about:meta])* $name:ident = $reader:expr;)*) => {$(
        $(#[$about])*
        #[derive(Debug)]
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                told(&$reader)
            }
        }

        impl ToSchema for $name {}
    )*};
}

shapes! {
    /// In UTC, to the microsecond.
    Instant = named::instant().about("RFC 3339, in UTC.");
    /// With its unit.
    Duration = read::text().about("A duration: 90s, 24h, 500ms.");
    /// Of an event.
    EventId = named::id::<event::EventId>();
    /// Of a subscription.
    SubscriptionId = named::id::<model::SubscriptionId>();
    /// Of a delivery.
    DeliveryId = named::id::<model::DeliveryId>();
    /// Of a token.
    TokenId = named::id::<model::TokenId>();
    /// A resource and an action.
    EventType = named::event_type();
    /// What a subscription asks for.
    Pattern = named::pattern();
    /// The layout of a payload.
    Format = read::one_of(&model::Format::NAMES);
    /// How deliveries are signed.
    Scheme = read::one_of(&model::Scheme::NAMES);
    /// Whether deliveries wait for each other.
    Ordering = read::one_of(&model::Order::NAMES);
    /// Where a delivery stands.
    DeliveryState = read::one_of(&model::State::NAMES);
    /// What an attempt came to.
    Outcome = read::one_of(&model::Outcome::NAMES);
    /// Why a delivery was given up.
    Cause = read::one_of(&model::Cause::NAMES);
    /// What a token allows.
    Scope = named::scope();
}

fn told<T: 'static>(reader: &Reader<T>) -> RefOr<Schema> {
    serde_json::from_value(reader.schema()).unwrap_or_default()
}

/// To how many something was done, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    pub(super) count: u64,
    pub(super) dry_run: bool,
}

/// Anything that has a text of its own: ids, instants, patterns.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A duration: `90s`, `24h`.
pub(super) fn duration<S: Serializer>(
    value: &time::Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written(*value))
}

/// Durations.
pub(super) fn durations<S: Serializer>(
    values: &[time::Duration],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().copied().map(written))
}
