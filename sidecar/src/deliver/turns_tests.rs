//! The turns that lines take, whatever happens to their receivers.
//!
//! Invariant: the time of these tests is made up.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};
use sidehook_event::TypeId as _;

use super::*;
use crate::deliver::{
    circuit::FAILURES,
    line::{FIRST_SPACING, SPACING},
};

const LIMITS: Limits = Limits { in_flight: 4, most_in_flight: 16, all: 1000 };

fn subscription(number: u8) -> SubscriptionId {
    SubscriptionId::from_bits(number.into())
}

fn at(millis: u64) -> UnixMicros {
    UnixMicros::EPOCH.after(Duration::from_millis(millis))
}

/// Pieces of these lines, in this order.
fn offered(turns: &mut Turns<(u8, u32)>, pieces: impl IntoIterator<Item = (u8, u32)>) -> usize {
    let offers = pieces
        .into_iter()
        .filter_map(|piece| turns.offer(subscription(piece.0), Pacing::default(), piece, at(0)));
    offers.count()
}

#[test]
fn lines_take_turns() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    assert_eq!(offered(&mut turns, (0..16).map(|n| (1, n)).chain([(2, 0), (3, 0)])), 0);
    let next: Vec<_> = std::iter::from_fn(|| turns.next(at(0))).collect();
    assert_eq!(next, [(1, 0), (2, 0), (3, 0), (1, 1), (1, 2), (1, 3)]);
}

#[test]
fn a_place_that_becomes_free_is_taken() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    offered(&mut turns, (0..6).map(|n| (1, n)));
    while turns.next(at(0)).is_some() {}
    assert_eq!(turns.finished(subscription(1), Ended::Untold, at(1), 0), []);
    assert_eq!(turns.next(at(1)), Some((1, 4)));
    assert_eq!(turns.next(at(1)), None);
}

#[test]
fn a_line_that_does_not_move_puts_off_and_leaves_the_others_alone() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    assert_eq!(offered(&mut turns, (0..150).map(|n| (1, n))), 134);
    assert_eq!(offered(&mut turns, [(2, 0)]), 0);
    let off = turns.offer(subscription(1), Pacing::default(), (1, 150), at(0)).unwrap();
    let expected = at(100).after(FIRST_SPACING * 134);
    assert_eq!((off.until, off.reason), (expected, Reason::Full));
    // By now it is known that it does not move.
    let mut later = || turns.offer(subscription(1), Pacing::default(), (1, 151), at(1500)).unwrap();
    assert_eq!((later().until, later().until), (at(2500), at(2500).after(SPACING)));
}

#[test]
fn a_circuit_that_opened_counts_until_its_receiver_takes_something() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    offered(&mut turns, (0..8).map(|n| (1, n)).chain([(2, 0)]));
    for failures in 1..=FAILURES {
        assert_eq!(turns.tripped(), 0, "after {failures}");
        turns.next(at(0));
        turns.finished(subscription(1), Ended::Badly, at(0), 0);
    }
    assert_eq!(turns.tripped(), 1);
    turns.finished(subscription(2), Ended::Well, at(0), 0);
    assert_eq!(turns.tripped(), 1, "another's success is nothing to it");
    turns.finished(subscription(1), Ended::Well, at(6_000), 0);
    assert_eq!(turns.tripped(), 0);
}

#[test]
fn a_receiver_that_is_sent_nothing_any_more_does_not_fail() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    offered(&mut turns, (0..6).map(|n| (1, n)));
    for _ in 0..FAILURES - 1 {
        turns.next(at(0));
        turns.finished(subscription(1), Ended::Badly, at(0), 0);
    }
    turns.next(at(0));
    turns.next(at(0));
    assert_eq!(turns.finished(subscription(1), Ended::Badly, at(0), 0).len(), 0);
    let standing = Standing { waiting: 0, in_flight: 1, is_open: true };
    assert_eq!(turns.standing(subscription(1)), standing);
    assert_eq!(turns.forget(|_| false), [], "an attempt is under way");
    turns.finished(subscription(1), Ended::Untold, at(1), 0);
    assert_eq!(turns.forget(|_| true), []);
    assert_eq!(turns.forget(|_| false), [subscription(1)]);
    assert_eq!(turns.standing(subscription(1)), Standing::default());
    assert_eq!((turns.tripped(), offered(&mut turns, [(1, 6)])), (0, 0), "it begins anew");
}

/// Takes so many pieces of the first line, one after the other.
fn taken(turns: &mut Turns<(u8, u32)>, count: u32) {
    for n in 0..count {
        assert_eq!(turns.offer(subscription(1), Pacing::default(), (1, n), at(0)), None);
        turns.next(at(0)).unwrap();
        turns.finished(subscription(1), Ended::Well, at(0), 0);
    }
}

#[test]
fn a_line_that_moves_may_hold_what_it_takes_in_a_while() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    taken(&mut turns, 5);
    // Five in a twentieth of a second, that is two hundred in two.
    assert_eq!(offered(&mut turns, (0..700).map(|n| (1, n))), 700 - 200);
}

#[test]
fn what_is_known_of_a_line_that_has_nothing_is_forgotten_in_a_while() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    taken(&mut turns, 300);
    assert_eq!((turns.lines.len(), turns.resting.len()), (1, 1));
    turns.wake(at(1999));
    assert_eq!(turns.lines.len(), 1);
    turns.wake(at(2000));
    assert_eq!((turns.lines.len(), turns.resting.len()), (0, 0));
}

#[test]
fn a_receiver_that_fails_all_the_time_is_asked_by_one_attempt_when_its_time_is_up() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    offered(&mut turns, (0..16).map(|n| (1, n)));
    let mut put_off = Vec::new();
    for _ in 0..FAILURES {
        turns.next(at(0)).unwrap();
        put_off = turns.finished(subscription(1), Ended::Badly, at(0), 0);
    }
    assert_eq!((put_off.len(), turns.next(at(0))), (11, None));
    assert_eq!(turns.room(), LIMITS.all);
    let times: Vec<_> = put_off.iter().map(|off| off.until).collect();
    assert!(times.is_sorted() && times[0] == at(5_000), "{times:?}");
    assert_eq!(
        turns.offer(subscription(1), Pacing::default(), (1, 50), at(4_999)).unwrap().reason,
        Reason::Open
    );

    assert_eq!(turns.offer(subscription(1), Pacing::default(), (1, 51), at(5_000)), None);
    assert_eq!(turns.offer(subscription(1), Pacing::default(), (1, 52), at(5_000)), None);
    assert_eq!(turns.next(at(5_000)), Some((1, 51)));
    assert_eq!(turns.next(at(5_000)), None, "one is enough to see");
    assert_eq!(turns.finished(subscription(1), Ended::Well, at(5_001), 0), []);
    assert_eq!(turns.next(at(5_001)), Some((1, 52)));
}

#[test]
fn at_the_end_all_that_wait_are_given_back() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    offered(&mut turns, [(1, 0), (1, 1), (2, 0)]);
    turns.next(at(0));
    assert_eq!(turns.clear().len(), 2);
    assert_eq!((turns.next(at(0)), turns.room()), (None, LIMITS.all));
}

fn paced(rate: &str) -> Pacing {
    Pacing { rate_limit: Some(rate.parse().unwrap()), max_in_flight: None }
}

/// Gives lines the places that they wish for, from now on.
fn place(turns: &mut Turns<(u8, u32)>, now: UnixMicros) -> Vec<u32> {
    let wishes = turns.wishes();
    for Wish { id, count, .. } in &wishes {
        assert_eq!(turns.reserved(*id, now, *count, now), []);
    }
    wishes.into_iter().map(|wish| wish.count).collect()
}

#[test]
fn a_paced_line_has_its_turns_an_interval_apart() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    for n in 0..3 {
        assert_eq!(turns.offer(subscription(1), paced("50/s"), (1, n), at(0)), None);
    }
    assert_eq!(turns.next(at(0)), None, "it has no places yet");
    assert_eq!(place(&mut turns, at(5)), [1]);
    assert_eq!((turns.next(at(5)), turns.next(at(5))), (Some((1, 0)), None));
    assert_eq!(place(&mut turns, at(25)), [2]);
    assert_eq!((turns.next(at(25)), turns.next(at(25))), (Some((1, 1)), None));
    turns.wake(at(44));
    assert_eq!(turns.wakes_at(), Some(at(45)));
    assert_eq!(turns.next(at(44)), None);
    turns.wake(at(45));
    assert_eq!(turns.next(at(45)), Some((1, 2)));
}

#[test]
fn what_is_too_fast_for_its_subscription_is_put_off_to_the_pace() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    let mut put_off = Vec::new();
    for n in 0..10 {
        put_off.extend(turns.offer(subscription(1), paced("2/s"), (1, n), at(0)));
    }
    assert!(put_off.iter().all(|off| off.reason == Reason::Paced));
    let until: Vec<_> = put_off.iter().map(|off| off.until).collect();
    assert_eq!(until, (0..6).map(|n| at(1000 + 500 * n)).collect::<Vec<_>>());
    assert_eq!(turns.offer(subscription(2), Pacing::default(), (2, 0), at(0)), None);
}

#[test]
fn what_would_wait_long_for_its_place_is_put_off_until_then() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    let hourly = paced("1/h");
    assert_eq!(turns.offer(subscription(1), hourly, (1, 0), at(0)), None);
    let [wish] = turns.wishes()[..] else { panic!("one place") };
    let hour = at(3_600_000);
    let put_off = turns.reserved(wish.id, hour, wish.count, at(0));
    assert_eq!(put_off, [PutOff { piece: (1, 0), until: hour, reason: Reason::Paced }]);
    assert_eq!(turns.offer(subscription(1), hourly, (1, 1), at(1)).unwrap().reason, Reason::Paced);
    assert_eq!(turns.offer(subscription(1), hourly, (1, 0), hour), None);
    assert_eq!(turns.next(hour), Some((1, 0)), "its place was kept");
}

#[test]
fn a_line_has_as_many_under_way_as_its_subscription_wants_and_no_more_than_may_be() {
    let wide = |own| Pacing { rate_limit: None, max_in_flight: std::num::NonZeroU32::new(own) };
    for (own, expected) in [(1, 1), (10, 10), (500, 16)] {
        let mut turns = Turns::new(LIMITS, Arc::default());
        for n in 0..16 {
            turns.offer(subscription(1), wide(own), (1, n), at(0));
        }
        assert_eq!(std::iter::from_fn(|| turns.next(at(0))).count(), expected.min(16));
    }
}

#[test]
fn a_pace_that_changes_holds_at_once() {
    let mut turns = Turns::new(LIMITS, Arc::default());
    turns.offer(subscription(1), paced("1/h"), (1, 0), at(0));
    turns.offer(subscription(1), paced("1/h"), (1, 1), at(0));
    assert_eq!(turns.offer(subscription(1), Pacing::default(), (1, 2), at(0)), None);
    assert_eq!(std::iter::from_fn(|| turns.next(at(0))).count(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u8),
    Next,
    Finish(u8, Ended),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ended = prop_oneof![Just(Ended::Well), Just(Ended::Badly), Just(Ended::Untold)];
    prop_oneof![
        4 => (0..5_u8).prop_map(Step::Offer),
        4 => Just(Step::Next),
        3 => (0..5_u8, ended).prop_map(|(line, ended)| Step::Finish(line, ended)),
        1 => (0..20_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_and_no_window_is_exceeded(steps in vec(step(), 1..400)) {
        let limits = Limits { in_flight: 3, most_in_flight: 16, all: 30 };
        let mut turns = Turns::new(limits, Arc::default());
        let (mut now, mut number) = (0, 0);
        let (mut inside, mut under_way) = (HashMap::<u32, u8>::new(), HashMap::<u8, u32>::new());
        for step in steps {
            let mut off = Vec::new();
            match step {
                Step::Offer(line) => {
                    number += 1;
                    inside.insert(number, line);
                    off.extend(turns.offer(subscription(line), Pacing::default(), (line, number), at(now)));
                }
                Step::Next => if let Some((line, number)) = turns.next(at(now)) {
                    prop_assert_eq!(inside.remove(&number), Some(line));
                    *under_way.entry(line).or_default() += 1;
                    prop_assert!(under_way[&line] <= limits.in_flight);
                },
                Step::Finish(line, ended) => if under_way.get(&line).is_some_and(|count| *count > 0) {
                    *under_way.entry(line).or_default() -= 1;
                    off = turns.finished(subscription(line), ended, at(now), 7);
                },
                Step::Wait(millis) => now += millis,
            }
            for PutOff { piece: (line, number), until, .. } in off {
                prop_assert_eq!(inside.remove(&number), Some(line));
                prop_assert!(until > at(now));
            }
            prop_assert_eq!(turns.room(), limits.all - inside.len());
        }
        let mut left: Vec<_> = turns.clear().into_iter().map(|(_, number)| number).collect();
        let mut expected: Vec<_> = inside.into_keys().collect();
        left.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(left, expected);
    }
}
