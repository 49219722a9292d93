//! What every clock does, run on each implementation.
//!
//! Invariant: a new implementation is one more line at the end.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{collections::HashSet, time::Duration};

use sidehook::clock::{Clock, SystemClock, mint};
use sidehook_event::{EventId, TypeId};

fn time_that_passed_is_never_negative(clock: &dyn Clock) {
    let readings: Vec<Duration> = (0..10_000).map(|_| clock.monotonic()).collect();
    assert!(readings.is_sorted());
}

fn its_instants_are_of_one_time(clock: &dyn Clock) {
    let before = clock.unix_nanos();
    let now = u64::try_from(clock.now().micros()).unwrap();
    let after = clock.unix_nanos();
    assert!(before / 1_000 <= now && now <= after / 1_000);
}

fn its_dice_hardly_repeat_and_use_every_bit(clock: &dyn Clock) {
    let thrown: HashSet<u64> = (0..1_000).map(|_| clock.dice()).collect();
    assert_eq!(thrown.len(), 1_000);
    let seen = thrown.iter().fold((0, u64::MAX), |(any, all), dice| (any | dice, all & dice));
    assert_eq!(seen, (u64::MAX, 0));
}

async fn it_wakes_no_one_too_early(clock: &dyn Clock) {
    for wait in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(30)] {
        let start = clock.monotonic();
        clock.sleep(wait).await;
        assert!(clock.monotonic() >= start.saturating_add(wait), "{wait:?}");
    }
}

async fn ids_minted_later_sort_later(clock: &dyn Clock) {
    let mut ids: Vec<EventId> = Vec::new();
    for _ in 0..5 {
        ids.push(mint(clock));
        clock.sleep(Duration::from_millis(2)).await;
    }
    assert!(ids.is_sorted());
    let written: Vec<String> = ids.iter().map(ToString::to_string).collect();
    assert!(written.is_sorted());
    assert!(ids.iter().all(|id| id.bits() >> 76 & 0xF == 7), "they are of version 7");
}

macro_rules! conforms {
    ($name:ident, $clock:expr) => {
        #[tokio::test]
        async fn $name() {
            let clock = &$clock;
            time_that_passed_is_never_negative(clock);
            its_instants_are_of_one_time(clock);
            its_dice_hardly_repeat_and_use_every_bit(clock);
            it_wakes_no_one_too_early(clock).await;
            ids_minted_later_sort_later(clock).await;
        }
    };
}

conforms!(the_system_clock, SystemClock::start());
