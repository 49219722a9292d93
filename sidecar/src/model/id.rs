//! The ids of what the sidecar keeps: `sub_…`, `dlv_…` and `tok_…`, `TypeID`s like the event's.
//!
//! Invariant: an id of one kind is never taken for one of another; the prefix tells them apart.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use sidehook_event::{InvalidId, TypeId};

macro_rules! type_id {
    ($(#[$doc:meta])* $name:ident = $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl TypeId for $name {
            const PREFIX: &'static str = $prefix;

            fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.write(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

type_id! {
    /// The id of a subscription, `sub_…`.
    SubscriptionId = "sub"
}

type_id! {
    /// The id of a delivery, `dlv_…`.
    DeliveryId = "dlv"
}

type_id! {
    /// The id of a token, `tok_…`. It is no secret.
    TokenId = "tok"
}
