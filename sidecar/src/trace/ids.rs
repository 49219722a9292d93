//! The ids of spans, made from the ids of what they are about.
//!
//! Invariant: the same step of the same event or delivery has the same id in every process, and
//! none is zero, which W3C Trace Context keeps for "there is none".

use sha2::{Digest as _, Sha256};
use sidehook_event::{EventId, TypeId as _, UnixMicros};

use crate::model::{DeliveryId, ScriptVersion};

/// The span of a step that an event goes through once.
pub(super) fn of_event(step: &str, id: EventId) -> u64 {
    hashed(&[step.as_bytes(), &id.bits().to_be_bytes()])
}

/// The span of a script's run on an event; it may be run again, at another time.
pub(super) fn of_script(id: EventId, script: ScriptVersion, at: UnixMicros) -> u64 {
    let script = script.to_string();
    let at = at.micros().to_be_bytes();
    hashed(&[b"script", &id.bits().to_be_bytes(), script.as_bytes(), &at])
}

/// The span of an attempt.
pub(super) fn of_attempt(id: DeliveryId, number: u32) -> u64 {
    hashed(&[b"attempt", &id.bits().to_be_bytes(), &number.to_be_bytes()])
}

/// Where a trace stands among all, from 0 to 1, by the part of its id that is random.
pub(super) fn share(trace_id: u128) -> f64 {
    // 32 bits are as many as an f64 holds without rounding, and enough to tell shares apart.
    let random = u32::try_from(trace_id & u128::from(u32::MAX)).unwrap_or(0);
    f64::from(random) / (f64::from(u32::MAX) + 1.0)
}

fn hashed(parts: &[&[u8]]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    let digest = digest.finalize();
    digest.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_and_attempts_are_told_apart() {
        let (event, delivery) = (EventId::from_bits(7), DeliveryId::from_bits(7));
        let ids = [
            of_event("store", event),
            of_event("dispatch", event),
            of_attempt(delivery, 1),
            of_attempt(delivery, 2),
            of_event("store", EventId::from_bits(8)),
        ];
        for (n, id) in ids.iter().enumerate() {
            assert!(!ids[n + 1..].contains(id), "{ids:x?}");
        }
        assert_eq!(of_event("store", event), of_event("store", event));
    }

    proptest! {
        #[test]
        fn a_share_is_one(trace_id: u128) {
            prop_assert!((0.0..1.0).contains(&share(trace_id)));
        }
    }
}
