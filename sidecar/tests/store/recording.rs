//! What an attempt came to is stored with what follows.
//!
//! Invariant: a delivery moves on or stays; it never moves back.

use std::sync::Arc;

use sidehook::{
    model::{
        Attempt, Cause, Delivery, DeliveryId, Outcome, State, Successor, Verdict, operational,
    },
    store::{Dispatched, Due, Store},
};
use sidehook_event::UnixMicros;

use crate::{
    ground::Ground,
    samples::{
        all_unnumbered, at, attempt, dead, delivered, failed, minted, new_delivery, one_pending,
        pending, unattempted, unnumbered,
    },
};

pub(crate) async fn a_success_delivers(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    claim(&*store, at(0)).await;
    record(&*store, &[delivered(id, 1)]).await;
    let (delivery, log) = read(&*store, id).await;
    assert_eq!(log, [attempt(1, Outcome::Success)]);
    assert_eq!(delivery.state, State::Delivered);
    assert_eq!(delivery.attempts, 1);
    assert_eq!(delivery.next_attempt_at, None);
    assert_eq!(delivery.last_outcome, Some(Outcome::Success));
    assert_eq!(delivery.death, None);
    assert_eq!(delivery.finished_at, Some(at(101)));
    assert_eq!(claim(&*store, UnixMicros::MAX).await, []);
}

pub(crate) async fn a_failure_is_tried_again_at_its_time(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    claim(&*store, at(0)).await;
    record(&*store, &[failed(id, 1, Successor::Retry(at(300)))]).await;
    let (delivery, log) = read(&*store, id).await;
    assert_eq!(log, [attempt(1, Outcome::Status)]);
    assert_eq!(delivery.state, State::Pending);
    assert_eq!(delivery.attempts, 1);
    assert_eq!(delivery.next_attempt_at, Some(at(300)));
    assert_eq!(delivery.last_outcome, Some(Outcome::Status));
    assert_eq!(delivery.finished_at, None);
    assert_eq!(claim(&*store, at(299)).await, []);
    assert_eq!(claim(&*store, at(300)).await, [(id, 2)]);
    // In nobody's hands after the failure, in ours after the claim.
    let recovered = u64::from(ground.exclusive());
    assert_eq!(store.recover(at(301)).await.unwrap(), recovered);
}

pub(crate) async fn a_death_has_its_cause(ground: &mut dyn Ground) {
    let store = ground.store();
    for (number, cause) in (1..).zip(Cause::NAMES.map(|(_, cause)| cause)) {
        let id = one_pending(&*store, number).await;
        record(&*store, &[failed(id, 1, dead(cause))]).await;
        let (delivery, log) = read(&*store, id).await;
        assert_eq!(log, [attempt(1, Outcome::Status)]);
        assert_eq!(delivery.state, State::Dead);
        let death = delivery.death.unwrap();
        assert_eq!((death.cause, &*death.error), (cause, "answered 500\0"));
        assert_eq!(delivery.next_attempt_at, None);
        assert_eq!(delivery.finished_at, Some(at(101)));
    }
    assert_eq!(claim(&*store, UnixMicros::MAX).await, []);
}

pub(crate) async fn a_death_is_told_once_as_an_event_to_dispatch(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    let last = failed(id, 1, dead(Cause::Exhausted));
    for _ in 0..2 {
        record(&*store, &[last.clone(), last.clone()]).await;
    }
    let told = operational::of_death(&read(&*store, id).await.0).unwrap();
    let claimed = store.claim_events(at(101), at(200), 10).await.unwrap();
    assert_eq!(all_unnumbered(claimed.clone()), [Arc::new(told.clone())]);
    assert_eq!(store.event(told.id).await.unwrap().map(unnumbered), Some(told));
    drop(store);
    ground.crash().await;
    assert_eq!(ground.store().claim_events(at(200), at(300), 10).await.unwrap(), claimed);
}

pub(crate) async fn a_death_that_was_wanted_or_of_what_told_of_one_is_not_told(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let unwanted = one_pending(&*store, 1).await;
    record(&*store, &[unattempted(unwanted, 1, dead(Cause::Unsubscribed))]).await;
    let first = one_pending(&*store, 2).await;
    record(&*store, &[failed(first, 1, dead(Cause::Exhausted))]).await;
    let told = store.claim_events(at(1_000), at(2_000), 10).await.unwrap();
    let [event] = &*told else { panic!("{told:?}") };
    let deliveries = vec![new_delivery(3, 0, Due::At(at(0)))];
    let dispatched = Dispatched { event: event.clone(), deliveries };
    store.dispatch(&[dispatched], at(0)).await.unwrap();
    record(&*store, &[failed(minted(3), 1, dead(Cause::Exhausted))]).await;
    assert_eq!(read(&*store, minted(3)).await.0.state, State::Dead);
    assert_eq!(store.claim_events(UnixMicros::MAX, UnixMicros::MAX, 10).await.unwrap(), []);
}

pub(crate) async fn a_delivery_that_was_not_attempted_is_put_back(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    claim(&*store, at(0)).await;
    record(&*store, &[unattempted(id, 1, Successor::Retry(at(30)))]).await;
    let (delivery, log) = read(&*store, id).await;
    assert_eq!((delivery.attempts, log), (0, vec![]));
    assert_eq!(delivery.next_attempt_at, Some(at(30)));
    assert_eq!(store.recover(at(20)).await.unwrap(), 0);
    assert_eq!(claim(&*store, at(29)).await, []);
    assert_eq!(claim(&*store, at(30)).await, [(id, 1)]);
}

pub(crate) async fn a_delivery_that_was_not_attempted_can_die(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    let gone = unattempted(id, 1, dead(Cause::Unsubscribed));
    record(&*store, &[gone]).await;
    let (delivery, log) = read(&*store, id).await;
    assert_eq!((delivery.attempts, log), (0, vec![]));
    assert_eq!(delivery.state, State::Dead);
    assert_eq!(delivery.death.unwrap().cause, Cause::Unsubscribed);
    assert_eq!(delivery.last_outcome, None);
}

pub(crate) async fn what_is_recorded_again_changes_nothing(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    claim(&*store, at(0)).await;
    let verdict = failed(id, 1, Successor::Retry(at(10)));
    record(&*store, &[verdict.clone(), verdict.clone()]).await;
    let once = read(&*store, id).await;
    assert_eq!(once.1.len(), 1);
    record(&*store, std::slice::from_ref(&verdict)).await;
    assert_eq!(read(&*store, id).await, once);
    // Not even when the next attempt is under way.
    assert_eq!(claim(&*store, at(10)).await, [(id, 2)]);
    let under_way = read(&*store, id).await;
    record(&*store, &[verdict]).await;
    assert_eq!(read(&*store, id).await, under_way);
    assert_eq!(claim(&*store, at(11)).await, []);

    record(&*store, &[delivered(id, 2), delivered(id, 2)]).await;
    let end = read(&*store, id).await;
    record(&*store, &[delivered(id, 2)]).await;
    assert_eq!(read(&*store, id).await, end);
    assert_eq!(end.1.len(), 2);
}

/// The second copy of a message, of an attempt that was made by the first.
pub(crate) async fn what_is_put_off_late_does_not_disturb_the_retry(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    record(&*store, &[failed(id, 1, Successor::Retry(at(900)))]).await;
    let before = read(&*store, id).await;
    for late in [Successor::Retry(at(5)), dead(Cause::Exhausted)] {
        record(&*store, &[unattempted(id, 1, late)]).await;
        assert_eq!(read(&*store, id).await, before);
    }
    record(&*store, &[unattempted(id, 2, Successor::Retry(at(950)))]).await;
    assert_eq!(read(&*store, id).await.0.next_attempt_at, Some(at(950)));
}

pub(crate) async fn a_delivered_one_is_never_moved_back(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    record(&*store, &[delivered(id, 1)]).await;
    let before = read(&*store, id).await;
    for late in [
        failed(id, 1, Successor::Retry(at(0))),
        failed(id, 1, dead(Cause::Exhausted)),
        unattempted(id, 1, Successor::Retry(at(0))),
        unattempted(id, 1, dead(Cause::Unsubscribed)),
    ] {
        record(&*store, &[late]).await;
        assert_eq!(read(&*store, id).await, before);
    }
    // The attempt that came after was made all the same, and is in the log.
    record(&*store, &[failed(id, 2, Successor::Retry(at(0)))]).await;
    let (delivery, log) = read(&*store, id).await;
    let expected = Delivery { attempts: 2, ..before.0 };
    assert_eq!(delivery, expected);
    assert_eq!(log.len(), 2);
    assert_eq!(claim(&*store, UnixMicros::MAX).await, []);
}

pub(crate) async fn a_dead_one_is_never_revived(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    let dead = failed(id, 2, dead(Cause::Exhausted));
    record(&*store, &[dead]).await;
    let (before, _) = read(&*store, id).await;
    record(&*store, &[delivered(id, 1)]).await;
    record(&*store, &[failed(id, 1, Successor::Retry(at(0)))]).await;
    record(&*store, &[unattempted(id, 1, Successor::Retry(at(0)))]).await;
    let (after, log) = read(&*store, id).await;
    assert_eq!(after, before);
    assert_eq!(numbers(&log), [1, 2]);
    assert_eq!(log[0].outcome, Outcome::Success);
}

pub(crate) async fn a_success_counts_from_any_attempt(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    record(&*store, &[failed(id, 2, Successor::Retry(at(10)))]).await;
    record(&*store, &[delivered(id, 1)]).await;
    let (delivery, log) = read(&*store, id).await;
    assert_eq!(delivery.state, State::Delivered);
    assert_eq!(delivery.attempts, 2);
    assert_eq!(delivery.last_outcome, Some(Outcome::Success));
    assert_eq!(numbers(&log), [1, 2]);
    assert_eq!(claim(&*store, UnixMicros::MAX).await, []);
}

pub(crate) async fn a_failure_counts_from_the_latest_attempt_alone(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    record(&*store, &[failed(id, 2, Successor::Retry(at(10)))]).await;
    let (before, _) = read(&*store, id).await;
    record(&*store, &[failed(id, 1, Successor::Retry(at(5)))]).await;
    assert_eq!(read(&*store, id).await.0, before);
    record(&*store, &[failed(id, 1, dead(Cause::Egress))]).await;
    let (after, log) = read(&*store, id).await;
    assert_eq!(after, before);
    assert_eq!(numbers(&log), [1, 2]);
    let dead = failed(id, 3, dead(Cause::Exhausted));
    record(&*store, &[dead]).await;
    assert_eq!(read(&*store, id).await.0.state, State::Dead);
}

pub(crate) async fn verdicts_of_one_call_are_taken_in_their_order(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    let history = [
        failed(id, 1, Successor::Retry(at(10))),
        failed(id, 2, Successor::Retry(at(20))),
        delivered(id, 3),
        failed(id, 4, dead(Cause::Exhausted)),
    ];
    record(&*store, &history).await;
    let (delivery, log) = read(&*store, id).await;
    assert_eq!(delivery.state, State::Delivered);
    assert_eq!(delivery.finished_at, Some(at(103)));
    assert_eq!(numbers(&log), [1, 2, 3, 4]);
}

pub(crate) async fn a_verdict_on_nothing_does_not_harm_the_others(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    record(&*store, &[]).await;
    record(&*store, &[delivered(minted(99), 1), delivered(id, 1)]).await;
    assert_eq!(read(&*store, id).await.0.state, State::Delivered);
    assert_eq!(store.delivery(minted(99)).await.unwrap(), None);
}

pub(crate) async fn many_verdicts_are_recorded_in_one_call(ground: &mut dyn Ground) {
    let store = ground.store();
    let due = |number| new_delivery(number, number, Due::At(at(0)));
    pending(&*store, 1, (0..1_000).map(due).collect()).await;
    let verdict = |number: u64| match number % 3 {
        0 => delivered(minted(number), 1),
        1 => failed(minted(number), 1, Successor::Retry(at(number))),
        _ => failed(minted(number), 1, dead(Cause::Exhausted)),
    };
    record(&*store, &(0..1_000).map(verdict).collect::<Vec<_>>()).await;
    for number in 0..1_000 {
        let (delivery, log) = read(&*store, minted(number)).await;
        let (state, due) = match number % 3 {
            0 => (State::Delivered, None),
            1 => (State::Pending, Some(at(number))),
            _ => (State::Dead, None),
        };
        assert_eq!((delivery.state, delivery.next_attempt_at), (state, due));
        assert_eq!(log, [verdict(number).attempt.unwrap()]);
    }
}

pub(crate) async fn what_was_recorded_survives_a_crash(ground: &mut dyn Ground) {
    let store = ground.store();
    let done = one_pending(&*store, 1).await;
    let tried = one_pending(&*store, 2).await;
    claim(&*store, at(0)).await;
    let retry = failed(tried, 1, Successor::Retry(at(300)));
    record(&*store, &[delivered(done, 1), retry]).await;
    let before = (read(&*store, done).await, read(&*store, tried).await);
    drop(store);
    ground.crash().await;
    let store = ground.store();
    store.recover(at(1)).await.unwrap();
    assert_eq!(read(&*store, done).await, before.0);
    assert_eq!(read(&*store, tried).await, before.1);
}

async fn record(store: &dyn Store, verdicts: &[Verdict]) {
    store.record(verdicts).await.unwrap();
}

async fn read(store: &dyn Store, id: DeliveryId) -> (Delivery, Vec<Attempt>) {
    store.delivery(id).await.unwrap().unwrap()
}

/// Claims for a minute; what comes is told by its id and the attempt to make.
async fn claim(store: &dyn Store, now: UnixMicros) -> Vec<(DeliveryId, u32)> {
    let until = now.after(std::time::Duration::from_mins(1));
    let claimed = store.claim_deliveries(now, until, 99).await.unwrap();
    claimed.iter().map(|due| (due.id, due.attempt)).collect()
}

fn numbers(log: &[Attempt]) -> Vec<u32> {
    log.iter().map(|attempt| attempt.number).collect()
}
