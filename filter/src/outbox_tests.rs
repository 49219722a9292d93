//! What the outbox does with events, answers and time.
//!
//! Invariant: whatever happens, no event is lost and no holder is handed back twice; the model
//! test at the end tries many orders of happenings.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::emit::Failure;

const START: Moment = Moment(1_000_000_000);
const FAILED: Verdict = Verdict::Failed(Failure::Silence);

fn outbox() -> Outbox {
    Outbox::new(Limits { max_events: 1_000, max_bytes: 4 << 20 })
}

fn after(millis: u64) -> Moment {
    START.after(Duration::from_millis(millis))
}

fn push(outbox: &mut Outbox, events: usize) {
    for _ in 0..events {
        outbox.push(vec![vec![7; 10]], None).unwrap();
    }
}

fn depart(outbox: &mut Outbox, token: u32, now: Moment) -> Option<usize> {
    let batch = outbox.depart(now)?;
    let events = batch.events();
    outbox.sent(Token(token), batch, now);
    Some(events)
}

#[test]
fn the_events_of_one_exchange_come_in_together_or_not_at_all() {
    let limits = Limits { max_events: 3, max_bytes: 100 };
    let mut outbox = Outbox::new(limits);
    assert_eq!(outbox.push(vec![vec![0]; 4], None), Err(Full));
    assert_eq!(outbox.push(vec![vec![0; 40]; 3], None), Err(Full));
    assert!(outbox.is_empty());
    assert_eq!(outbox.push(vec![vec![0]; 3], None), Ok(()));
    assert_eq!(outbox.events(), 3);
}

#[test]
fn the_first_event_leaves_at_once_and_the_next_ones_together() {
    let mut outbox = outbox();
    push(&mut outbox, 1);
    assert_eq!(depart(&mut outbox, 1, START), Some(1));
    push(&mut outbox, 5);
    assert_eq!(depart(&mut outbox, 2, START), None);
    let settled = outbox.answered(Token(1), Verdict::Committed, after(3), 0).unwrap();
    assert_eq!((settled.committed, settled.round_trip), (1, Duration::from_millis(3)));
    assert_eq!(depart(&mut outbox, 2, after(3)), Some(5));
}

#[test]
fn a_second_batch_leaves_beside_an_old_one_or_when_it_is_full_and_a_third_never() {
    let mut outbox = outbox();
    push(&mut outbox, 1);
    assert_eq!(depart(&mut outbox, 1, START), Some(1));
    push(&mut outbox, 1);
    assert_eq!(depart(&mut outbox, 2, after(19)), None);
    assert_eq!(depart(&mut outbox, 2, after(20)), Some(1));
    push(&mut outbox, 300);
    assert_eq!(depart(&mut outbox, 3, after(500)), None);

    let mut outbox = self::outbox();
    push(&mut outbox, 1);
    assert_eq!(depart(&mut outbox, 1, START), Some(1));
    push(&mut outbox, MAX_COMPANY);
    assert_eq!(depart(&mut outbox, 2, START), Some(MAX_COMPANY));
}

#[test]
fn a_batch_is_bounded_in_events_and_bytes() {
    let mut outbox = outbox();
    push(&mut outbox, 300);
    assert_eq!(depart(&mut outbox, 1, START), Some(MAX_COMPANY));

    let mut outbox = self::outbox();
    for size in [MAX_BATCH - 5, 5, 1, MAX_BATCH + 1, 1] {
        outbox.push(vec![vec![0; size]], None).unwrap();
    }
    let batches: Vec<_> =
        std::iter::from_fn(|| outbox.depart_at_once()).map(|batch| batch.events()).collect();
    assert_eq!(batches, [2, 1, 1, 1]);
}

#[test]
fn a_batch_is_its_prologue_and_its_events_in_order() {
    let mut outbox = outbox();
    outbox.push(vec![b"one".to_vec()], None).unwrap();
    outbox.push(vec![b"two".to_vec()], None).unwrap();
    assert_eq!(outbox.depart(START).unwrap().body(b"zero"), b"zeroonetwo");
}

#[test]
fn what_is_full_takes_nothing_new_and_keeps_what_it_has() {
    let mut outbox = Outbox::new(Limits { max_events: 2, max_bytes: 100 });
    assert_eq!(outbox.push(vec![vec![0; 101]], None), Err(Full));
    push(&mut outbox, 2);
    assert_eq!(outbox.push(vec![vec![0]], None), Err(Full));
    // In flight they still count.
    assert_eq!(depart(&mut outbox, 1, START), Some(2));
    assert_eq!(outbox.push(vec![vec![0]], None), Err(Full));
    outbox.answered(Token(1), Verdict::Committed, START, 0).unwrap();
    assert!(outbox.is_empty());
    assert_eq!(outbox.push(vec![vec![0; 100]], None), Ok(()));
    assert!(outbox.is_full());
}

#[test]
fn after_a_failure_one_batch_at_a_time_is_sent_with_growing_pauses() {
    let mut outbox = outbox();
    push(&mut outbox, 1);
    let mut now = START;
    let mut pauses = Vec::new();
    for token in 0..8 {
        assert_eq!(depart(&mut outbox, token, now), Some(1));
        let settled = outbox.answered(Token(token), FAILED, now, 1023).unwrap();
        assert_eq!((settled.again, settled.committed), (1, 0));
        let failed = now;
        while outbox.depart(now).map(|batch| outbox.put_back(batch.0)).is_none() {
            now = now.after(Duration::from_millis(10));
        }
        pauses.push(now.since(failed).as_millis());
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
    assert!(outbox.is_failing());

    push(&mut outbox, 600);
    assert_eq!(depart(&mut outbox, 50, now), Some(MAX_COMPANY));
    assert_eq!(depart(&mut outbox, 51, now.after(OLD)), None);
    outbox.answered(Token(50), Verdict::Committed, now, 0).unwrap();
    assert!(!outbox.is_failing());
    assert_eq!(depart(&mut outbox, 51, now), Some(MAX_COMPANY));
}

#[test]
fn a_pause_is_at_least_half_as_long_as_without_dice() {
    let mut outbox = outbox();
    push(&mut outbox, 1);
    let batch = outbox.depart(START).unwrap();
    outbox.unsent(batch, START, 0);
    assert!(outbox.depart(after(49)).is_none());
    assert!(outbox.depart(after(50)).is_some());
}

#[test]
fn one_bad_event_does_not_take_the_others_with_it() {
    let mut outbox = outbox();
    for event in 0..200_u8 {
        outbox.push(vec![vec![event]], None).unwrap();
    }
    let bad = |batch: &Batch| batch.body(b"").contains(&99);
    let (mut committed, mut refused, mut calls) = (0, 0, 0);
    while let Some(batch) = outbox.depart(START) {
        calls += 1;
        let verdict = if bad(&batch) { Verdict::Refused(400) } else { Verdict::Committed };
        outbox.sent(Token(calls), batch, START);
        let settled = outbox.answered(Token(calls), verdict, START, 0).unwrap();
        committed += settled.committed;
        refused += settled.refused;
    }
    assert_eq!((committed, refused), (199, 1));
    assert!(outbox.is_empty());
    assert!(calls < 20, "{calls} calls");
}

#[test]
fn a_call_that_is_never_answered_is_given_up_and_its_late_answer_ignored() {
    let mut outbox = outbox();
    push(&mut outbox, 3);
    assert_eq!(depart(&mut outbox, 1, START), Some(3));
    let patience = Duration::from_secs(2);
    assert_eq!(outbox.overdue(after(2000), patience, 0), 0);
    assert_eq!(outbox.overdue(after(2001), patience, 0), 3);
    assert!(outbox.is_failing());
    assert_eq!(outbox.answered(Token(1), Verdict::Committed, after(2002), 0), None);
    assert_eq!(outbox.events(), 3);
    assert_eq!(depart(&mut outbox, 2, after(3000)), Some(3));
}

#[test]
fn holders_come_back_with_the_commit_or_when_they_have_waited_long_enough() {
    let mut outbox = outbox();
    for context in 1..=3 {
        let holder = Holder { context: ContextId(context), until: after(u64::from(context) * 100) };
        outbox.push(vec![vec![0]], Some(holder)).unwrap();
    }
    assert_eq!(depart(&mut outbox, 1, START), Some(3));
    assert_eq!(outbox.expired(after(99)), []);
    assert_eq!(outbox.expired(after(100)), [ContextId(1)]);
    assert_eq!(outbox.expired(after(150)), []);
    let settled = outbox.answered(Token(1), FAILED, after(150), 0).unwrap();
    assert_eq!(settled.holders, []);
    assert_eq!(outbox.expired(after(200)), [ContextId(2)]);
    assert_eq!(depart(&mut outbox, 2, after(1000)), Some(3));
    let settled = outbox.answered(Token(2), Verdict::Committed, after(1000), 0).unwrap();
    assert_eq!(settled.holders, [ContextId(3)]);
}

#[test]
fn no_more_holders_expire_at_once_than_one_callback_can_let_go() {
    let mut outbox = outbox();
    for context in 0..600 {
        let holder = Holder { context: ContextId(context), until: START };
        outbox.push(vec![vec![0]], Some(holder)).unwrap();
    }
    let waves = std::iter::repeat_with(|| outbox.expired(START).len());
    let waves: Vec<_> = waves.take(4).collect();
    assert_eq!(waves, [MAX_COMPANY, MAX_COMPANY, 600 - 2 * MAX_COMPANY, 0]);
}

#[derive(Debug, Clone)]
enum Happening {
    Push { size: usize, held: bool },
    Wait(u64),
    Depart,
    DepartAtOnce,
    Refuse(usize),
    Fail(usize),
    Commit(usize),
    GiveUp,
    Expire,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        5 => (1..200_usize, any::<bool>()).prop_map(|(size, held)| Happening::Push { size, held }),
        2 => (1..3_000_u64).prop_map(Happening::Wait),
        5 => Just(Happening::Depart),
        1 => Just(Happening::DepartAtOnce),
        2 => any::<usize>().prop_map(Happening::Refuse),
        2 => any::<usize>().prop_map(Happening::Fail),
        2 => any::<usize>().prop_map(Happening::Commit),
        1 => Just(Happening::GiveUp),
        1 => Just(Happening::Expire),
    ];
    prop::collection::vec(one, 0..200)
}

proptest! {
    /// Every event ends committed or refused alone, each once, and each holder comes back once.
    #[test]
    fn nothing_is_lost_and_nobody_is_let_go_twice(happenings in happenings()) {
        let mut outbox = Outbox::new(Limits { max_events: 50, max_bytes: 4_000 });
        let (mut now, mut next, mut token) = (START, 0_u32, 0_u32);
        let mut left = BTreeSet::new();
        let mut holders = BTreeSet::new();
        let mut flying: BTreeMap<Token, Vec<u32>> = BTreeMap::new();
        let ids = |batch: &Batch| -> Vec<u32> {
            batch.0.iter().map(|e| u32::from_le_bytes(e.frame[..4].try_into().unwrap())).collect()
        };
        let answer = |outbox: &mut Outbox, flying: &mut BTreeMap<Token, Vec<u32>>, left: &mut BTreeSet<u32>, which: usize, verdict, now| {
            let Some(&token) = flying.keys().nth(which % flying.len().max(1)) else { return vec![] };
            let carried = flying.remove(&token).unwrap();
            let settled = outbox.answered(token, verdict, now, 5).unwrap();
            assert_eq!(settled.committed + settled.refused + settled.again, carried.len());
            if settled.again == 0 {
                assert!(carried.iter().all(|id| left.remove(id)));
            }
            [settled.holders, settled.bereft].concat()
        };
        let ending = [Happening::Wait(5_000), Happening::Depart, Happening::Commit(0)];
        for happening in happenings.into_iter().chain(ending.into_iter().cycle().take(300)) {
            let mut freed = vec![];
            match happening {
                Happening::Push { size, held } => {
                    let mut frame = next.to_le_bytes().to_vec();
                    frame.resize(size.max(4), 0);
                    let until = now.after(Duration::from_secs(2));
                    let holder = held.then_some(Holder { context: ContextId(next), until });
                    if outbox.push(vec![frame], holder).is_ok() {
                        left.insert(next);
                        holders.extend(held.then_some(ContextId(next)));
                    }
                    next += 1;
                }
                Happening::Wait(millis) => now = now.after(Duration::from_millis(millis)),
                Happening::Depart | Happening::DepartAtOnce => {
                    let at_once = matches!(happening, Happening::DepartAtOnce);
                    let batch = if at_once { outbox.depart_at_once() } else { outbox.depart(now) };
                    if let Some(batch) = batch {
                        token += 1;
                        flying.insert(Token(token), ids(&batch));
                        outbox.sent(Token(token), batch, now);
                    }
                }
                Happening::Refuse(which) => {
                    freed = answer(&mut outbox, &mut flying, &mut left, which, Verdict::Refused(400), now);
                }
                Happening::Fail(which) => {
                    freed = answer(&mut outbox, &mut flying, &mut left, which, FAILED, now);
                }
                Happening::Commit(which) => {
                    freed = answer(&mut outbox, &mut flying, &mut left, which, Verdict::Committed, now);
                }
                Happening::GiveUp => {
                    outbox.overdue(now, Duration::from_secs(1), 3);
                    flying.retain(|token, _| outbox.flights.contains_key(token));
                }
                Happening::Expire => freed = outbox.expired(now),
            }
            for context in freed {
                prop_assert!(holders.remove(&context));
            }
            prop_assert_eq!(outbox.events(), left.len());
            prop_assert!(outbox.events() <= 50 && outbox.bytes() <= 4_000);
        }
        prop_assert!(left.is_empty() && outbox.is_empty() && outbox.bytes() == 0);
        prop_assert!(holders.is_empty());
    }
}
