//! What is known of contexts, by their numbers.
//!
//! The gateway numbers its contexts one after the other, and every callback begins by looking one
//! of them up: a multiplication is all the hashing that such numbers need, and nobody outside the
//! gateway chooses them.
//!
//! Invariant: numbers that follow each other fall into different places.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::host::ContextId;

/// A `T` for each of some contexts.
pub type Register<T> = HashMap<ContextId, T, BuildHasherDefault<ByNumber>>;

/// Nothing about anybody.
pub const fn empty<T>() -> Register<T> {
    HashMap::with_hasher(BuildHasherDefault::new())
}

/// Spreads numbers (Fibonacci hashing).
#[derive(Debug, Default, Clone, Copy)]
pub struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        hash::{BuildHasher, BuildHasherDefault},
    };

    use super::*;

    #[test]
    fn numbers_in_a_row_are_told_apart_at_both_ends_of_their_hashes() {
        let by_number = BuildHasherDefault::<ByNumber>::new();
        let hashes: Vec<_> =
            (1000..1256).map(|number| by_number.hash_one(ContextId(number))).collect();
        let different =
            |of: fn(u64) -> u64| hashes.iter().map(|hash| of(*hash)).collect::<BTreeSet<_>>().len();
        // A table takes the place from the lower bits, and a first comparison from the upper seven.
        assert_eq!(different(|hash| hash & 255), 256);
        assert!(different(|hash| hash >> 57) > 100);
    }
}
