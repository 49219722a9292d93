//! Since when a receiver does nothing but fail. Pure: the caller supplies the clock, and asks the
//! store, which knows it across processes and restarts.
//!
//! Invariant: a subscription is given up only for what the store has just confirmed, and only after
//! [`FAILURES`] failures in a row were seen here too: one that is rarely asked is not judged by one
//! answer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sidehook_event::UnixMicros;

use super::{circuit::FAILURES, turns::Ended};
use crate::model::SubscriptionId;

/// How long a receiver may do nothing but fail.
pub const LONGEST: Duration = Duration::from_hours(5 * 24);
/// How often the store is told that a receiver works which others may have seen failing.
const REMINDER: Duration = Duration::from_mins(10);

/// What the store is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// That the receiver works.
    Works,
    /// That it fails, to learn since when.
    Fails,
}

/// What is known of the receivers.
#[derive(Debug, Default)]
pub struct Streaks {
    known: Mutex<HashMap<SubscriptionId, Streak>>,
}

#[derive(Debug, Clone, Copy)]
enum Streak {
    /// It works; the store was told so at this time.
    Working { told: UnixMicros },
    /// So many failures in a row were seen. Since when it fails, as far as the store has said.
    Failing { failures: u32, since: Option<UnixMicros> },
}

impl Streaks {
    /// An attempt ended so. Says what the store is to be told, if anything.
    pub fn ended(&self, id: SubscriptionId, ended: Ended, now: UnixMicros) -> Option<News> {
        let mut known = self.known();
        let before = known.get(&id).copied();
        match (ended, before) {
            (Ended::Untold, _) => None,
            (Ended::Well, Some(Streak::Working { told })) if now.since(told) < REMINDER => None,
            (Ended::Well, _) => {
                known.insert(id, Streak::Working { told: now });
                Some(News::Works)
            }
            (Ended::Badly, before) => {
                let (failures, since) = match before {
                    Some(Streak::Failing { failures, since }) => (failures, since),
                    Some(Streak::Working { .. }) | None => (0, None),
                };
                let failures = failures.saturating_add(1);
                known.insert(id, Streak::Failing { failures, since });
                let is_due =
                    since.is_none_or(|since| failures >= FAILURES && now.since(since) >= LONGEST);
                is_due.then_some(News::Fails)
            }
        }
    }

    /// The store says that it fails since then. Whether that is too long by now.
    pub fn fails_since(&self, id: SubscriptionId, since: UnixMicros, now: UnixMicros) -> bool {
        let mut known = self.known();
        let Some(Streak::Failing { failures, since: noted }) = known.get_mut(&id) else {
            return false;
        };
        *noted = Some(since);
        let is_too_long = *failures >= FAILURES && now.since(since) >= LONGEST;
        if is_too_long {
            known.remove(&id);
        }
        is_too_long
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Streak>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sidehook_event::TypeId as _;

    use super::*;

    const HOUR: u64 = 3_600;

    fn id() -> SubscriptionId {
        SubscriptionId::from_bits(1)
    }

    fn at(seconds: u64) -> UnixMicros {
        UnixMicros::EPOCH.after(Duration::from_secs(seconds))
    }

    /// One that fails every hour, of which the store says that it fails since the beginning.
    fn given_up_after(streaks: &Streaks, from: u64) -> Option<u64> {
        (from..200).find(|hour| {
            let now = at(hour * HOUR);
            streaks.ended(id(), Ended::Badly, now) == Some(News::Fails)
                && streaks.fails_since(id(), at(0), now)
        })
    }

    #[test]
    fn one_that_fails_for_five_days_is_given_up() {
        assert_eq!(given_up_after(&Streaks::default(), 0), Some(5 * 24));
    }

    #[test]
    fn after_a_restart_it_is_seen_to_fail_before_it_is_given_up() {
        assert_eq!(given_up_after(&Streaks::default(), 150), Some(150 + u64::from(FAILURES) - 1));
    }

    #[test]
    fn what_the_store_has_heard_since_counts() {
        let streaks = Streaks::default();
        for _ in 0..FAILURES {
            streaks.ended(id(), Ended::Badly, at(0));
            assert!(!streaks.fails_since(id(), at(0), at(0)));
        }
        let now = at(5 * 24 * HOUR);
        assert_eq!(streaks.ended(id(), Ended::Badly, now), Some(News::Fails));
        assert!(!streaks.fails_since(id(), at(4 * 24 * HOUR), now), "it worked elsewhere");
        assert_eq!(streaks.ended(id(), Ended::Badly, now), None);
    }

    #[test]
    fn the_store_is_told_at_the_turns_and_now_and_then_that_it_works() {
        let streaks = Streaks::default();
        let ended = |ended, seconds| streaks.ended(id(), ended, at(seconds));
        assert_eq!(ended(Ended::Well, 0), Some(News::Works));
        assert_eq!(ended(Ended::Well, 599), None);
        assert_eq!(ended(Ended::Well, 600), Some(News::Works));
        assert_eq!(ended(Ended::Badly, 601), Some(News::Fails));
        assert!(!streaks.fails_since(id(), at(601), at(601)));
        assert_eq!(ended(Ended::Badly, 602), None);
        assert_eq!(ended(Ended::Untold, 603), None);
        assert_eq!(ended(Ended::Well, 604), Some(News::Works));
    }

    #[test]
    fn a_success_ends_the_count_of_failures() {
        let streaks = Streaks::default();
        for _ in 1..FAILURES {
            streaks.ended(id(), Ended::Badly, at(0));
        }
        streaks.ended(id(), Ended::Well, at(0));
        streaks.ended(id(), Ended::Badly, at(0));
        assert!(!streaks.fails_since(id(), at(0), at(10 * 24 * HOUR)));
    }
}
