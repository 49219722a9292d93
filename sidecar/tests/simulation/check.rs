//! What must hold at the end of every run.
//!
//! Invariant: it is judged by what is kept and by what the receivers saw, and by nothing that the
//! code under test says of itself.

use std::{sync::atomic::Ordering, time::Duration};

use sidehook::model::{Attempt, Cause, Outcome, State, Subscription};
use sidehook_event::{EventId, TypeId as _, UnixMicros};

use crate::{
    kept::{Kept, KeptDelivery},
    process::Ground,
};

/// Everything that is wrong.
pub(crate) fn wrong(ground: &Ground, acknowledged: &[EventId], kills: u64) -> Vec<String> {
    let (Ok(kept), Ok(seen)) = (ground.kept.lock(), ground.seen.lock()) else {
        return vec!["a task panicked".to_owned()];
    };
    let mut wrong = seen.wrong.clone();
    for id in acknowledged {
        match kept.events.get(id) {
            None => wrong.push(format!("{id} was acknowledged and is not stored")),
            Some(event) if !event.is_dispatched => wrong.push(format!("{id} is not dispatched")),
            Some(_) => {}
        }
    }
    wrong.extend(kept.events.keys().flat_map(|id| lacking(&kept, *id)));
    let doubled = ground.doubled.load(Ordering::Relaxed);
    for (id, delivery) in &kept.deliveries {
        let Some(subscription) = kept.subscriptions.get(&delivery.subscription_id) else {
            continue;
        };
        let mut flaws = of_delivery(delivery, subscription);
        let receiver = usize::try_from(delivery.subscription_id.bits()).unwrap_or(usize::MAX);
        let name = (receiver, delivery.event_id);
        let asked = seen.asked.get(&name).copied().unwrap_or(0);
        let logged = u64::try_from(delivery.log.len()).unwrap_or(u64::MAX);
        if asked > logged + kills + doubled {
            flaws.push(format!("{asked} requests for {logged} attempts, {kills} kills"));
        }
        if delivery.standing.state == State::Delivered && !seen.taken.contains(&name) {
            flaws.push("delivered, and the receiver knows nothing of it".to_owned());
        }
        wrong.extend(flaws.into_iter().map(|flaw| format!("{id} to {receiver}: {flaw}")));
    }
    wrong
}

/// Subscriptions that asked for an event and have no delivery of it, or two.
fn lacking(kept: &Kept, id: EventId) -> Vec<String> {
    let Some(event) = kept.events.get(&id).filter(|event| event.is_dispatched) else {
        return Vec::new();
    };
    let asking = kept.subscriptions.values().filter(|one| {
        // One that was disabled may not have been asked for any more.
        one.enabled && one.pattern.matches(&event.event.event_type)
    });
    let counted = asking.map(|one| {
        let own = kept.deliveries.values();
        (one.id, own.filter(|d| d.event_id == id && d.subscription_id == one.id).count())
    });
    let lacking = counted.filter(|(_, count)| *count != 1);
    lacking.map(|(one, count)| format!("{id}: {count} deliveries to {one}")).collect()
}

fn of_delivery(delivery: &KeptDelivery, subscription: &Subscription) -> Vec<String> {
    let mut flaws = Vec::new();
    let log: Vec<&Attempt> = delivery.log.values().collect();
    let schedule = &subscription.retry.schedule;
    if log.iter().zip(1..).any(|(attempt, number)| attempt.number != number) {
        flaws.push("its attempts are not numbered one by one".to_owned());
    }
    if log.len() > schedule.len() {
        flaws.push(format!("{} attempts of {}", log.len(), schedule.len()));
    }
    let mut earliest = delivery.created_at;
    for (attempt, wait) in log.iter().zip(schedule.iter()) {
        let due = earliest.after(*wait);
        if attempt.started_at < due {
            flaws.push(format!(
                "attempt {} came {:?} early",
                attempt.number,
                due.since(attempt.started_at)
            ));
        }
        earliest = attempt.started_at.after(attempt.duration);
        // Asked to wait: the next wait counts from the same instant.
        let asked = attempt.response_excerpt.as_deref().and_then(|text| text.strip_prefix("busy "));
        if let Some(seconds) = asked.and_then(|text| text.parse().ok()) {
            let until = earliest.after(Duration::from_secs(seconds));
            let next = log.get(usize::try_from(attempt.number).unwrap_or(usize::MAX));
            // The header has whole seconds, counted from when it was read.
            let early =
                next.is_some_and(|next| next.started_at.after(Duration::from_millis(50)) < until);
            if early {
                flaws.push(format!("attempt {} did not heed Retry-After", attempt.number + 1));
            }
        }
    }
    let last = log.last().map(|attempt| attempt.outcome);
    let standing = &delivery.standing;
    match standing.state {
        State::Pending if subscription.enabled => {
            flaws.push(format!("still pending, due {:?}", standing.due_at.map(UnixMicros::micros)));
        }
        // Of two copies of one attempt the log has the first, and the second may have succeeded.
        State::Delivered if log.is_empty() => flaws.push("delivered without an attempt".to_owned()),
        State::Pending | State::Filtered | State::Delivered => {}
        State::Dead => {
            let exhausted = log.len() == schedule.len() || subscription.retry.horizon.is_some();
            match standing.death.as_ref().map(|death| death.cause) {
                Some(Cause::Exhausted) if exhausted && last != Some(Outcome::Success) => {}
                Some(Cause::Refused) if last == Some(Outcome::Status) => {}
                other => flaws.push(format!("dead of {other:?} after {} attempts", log.len())),
            }
        }
    }
    flaws
}
