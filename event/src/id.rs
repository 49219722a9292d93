//! Identifiers: 128 bits, UUIDv7 (RFC 9562), shown as a `TypeID`: a prefix and 26 characters of
//! Crockford's base32 (TypeID specification 0.3).
//!
//! Invariant: text and bits map onto each other one to one; ids minted later by the same clock
//! sort later.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The id of an event, `evt_…`. Also its `webhook-id`, the same on every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

/// Text that is not the id that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not an id of the form {prefix}_ followed by 26 characters of base32")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// What every kind of id can do; the kinds differ in their prefix alone.
pub trait TypeId: Sized + Copy {
    /// The prefix, without the underscore.
    const PREFIX: &'static str;

    /// The id of these bits.
    fn from_bits(bits: u128) -> Self;

    /// The bits of this id.
    fn bits(self) -> u128;

    /// Mints a `UUIDv7` from the time and 64 random bits. The sub-millisecond part of the time
    /// keeps ids of one millisecond in order (RFC 9562, section 6.2, method 3).
    fn mint(unix_nanos: u64, random: u64) -> Self {
        let millis = u128::from(unix_nanos / 1_000_000) & 0xFFFF_FFFF_FFFF;
        // Divided before it is widened: many processors have no division of 128 bits.
        let fraction = u128::from(unix_nanos % 1_000_000 * 4096 / 1_000_000);
        let random = u128::from(random) & 0x3FFF_FFFF_FFFF_FFFF;
        Self::from_bits(millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)
    }

    /// Writes the id as `prefix_base32`.
    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; LENGTH];
        let mut bits = self.bits();
        for slot in text.iter_mut().rev() {
            let digit = usize::try_from(bits & 31).unwrap_or(0);
            *slot = ALPHABET.get(digit).copied().unwrap_or(b'0');
            bits >>= 5;
        }
        f.write_str(Self::PREFIX)?;
        f.write_str("_")?;
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }

    /// Reads what [`TypeId::write`] wrote.
    fn parse(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { prefix: Self::PREFIX };
        let suffix = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.strip_prefix('_'));
        match suffix.map(str::as_bytes) {
            // 26 digits hold 130 bits: the first must leave the upper two unset.
            Some(digits @ [b'0'..=b'7', ..]) if digits.len() == LENGTH => {
                let mut bits = 0_u128;
                for digit in digits {
                    let value = ALPHABET.iter().position(|known| known == digit);
                    let value = value.and_then(|value| u128::try_from(value).ok());
                    bits = bits << 5 | value.ok_or_else(|| invalid.clone())?;
                }
                Ok(Self::from_bits(bits))
            }
            _ => Err(invalid),
        }
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

impl TypeId for EventId {
    const PREFIX: &'static str = "evt";

    fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the `TypeID` specification.
    #[test]
    fn agrees_with_the_specification() {
        let id = EventId::from_bits(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881);
        assert_eq!(id.to_string(), "evt_01h2xcejqtf2nbrexx3vqjhp41");
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in [
            "",
            "evt_",
            "sub_01h2xcejqtf2nbrexx3vqjhp41",
            "evt_01h2xcejqtf2nbrexx3vqjhp4",
            "evt_81h2xcejqtf2nbrexx3vqjhp41",
            "evt_01h2xcejqtf2nbrexx3vqjhp4u",
            "evt_01H2XCEJQTF2NBREXX3VQJHP41",
            "evt_01h2xcejqtf2nbrexx3vqjhpé",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_minted_id_is_a_uuid_of_version_7() {
        let bits = EventId::mint(1_763_890_200_000_042_000, u64::MAX).bits();
        assert_eq!(bits >> 76 & 0xF, 7);
        assert_eq!(bits >> 62 & 0b11, 0b10);
        assert_eq!(bits >> 80, 1_763_890_200_000);
    }

    proptest! {
        #[test]
        fn text_and_bits_map_one_to_one(bits: u128) {
            let id = EventId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        }

        #[test]
        fn later_ids_sort_later(nanos in 0..u64::MAX / 2, step in 1_000_u64..1_000_000_000, a: u64, b: u64) {
            prop_assert!(EventId::mint(nanos, a).to_string() < EventId::mint(nanos + step, b).to_string());
        }
    }
}
