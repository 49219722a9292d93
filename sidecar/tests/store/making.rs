//! What scripts make, drop or fail to make is stored with the verdict; so are their texts.
//!
//! Invariant: what was made once is what is sent from then on.

use std::collections::BTreeMap;

use sidehook::{
    model::{Cause, DeliveryId, Made, Payload, Script, ScriptVersion, State, Successor, Verdict},
    store::{Due, NewDelivery, Store},
};

use crate::{
    ground::Ground,
    samples::{
        at, dead, delivered, failed, minted, new_delivery, payload, pending, subscription,
        unattempted,
    },
};

/// One delivery that no script has made yet.
async fn one_unmade(store: &dyn Store) -> DeliveryId {
    store.upsert_subscription(subscription(3), true).await.unwrap();
    let unmade = NewDelivery { payload: Payload::unmade(), ..new_delivery(1, 3, Due::At(at(0))) };
    pending(store, 1, vec![unmade]).await;
    minted(1)
}

/// Of sixteen digits, such as no integer of a store has room for.
const VERSION: &str = "ffffffffffffffff";

fn version(digits: &str) -> Option<ScriptVersion> {
    ScriptVersion::parse(digits)
}

fn made(payload: Payload) -> Made {
    Made { payload: Some(payload), script: version(VERSION) }
}

async fn due(store: &dyn Store, now: u64) -> BTreeMap<DeliveryId, Payload> {
    let claimed = store.claim_deliveries(at(now), at(now + 10), 9).await.unwrap();
    claimed.into_iter().map(|due| (due.id, due.payload)).collect()
}

pub(crate) async fn what_is_unmade_is_handed_out_so_until_it_was_made(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_unmade(&*store).await;
    assert!(due(&*store, 0).await[&id].is_unmade());
    let put_back = unattempted(id, 1, Successor::Retry(at(50)));
    store.record(&[put_back]).await.unwrap();
    assert!(due(&*store, 50).await[&id].is_unmade(), "nothing was made of it");

    let retry = failed(id, 1, Successor::Retry(at(200)));
    let verdict = Verdict { made: Some(made(payload(7))), ..retry };
    store.record(&[verdict]).await.unwrap();
    assert_eq!(due(&*store, 200).await[&id], payload(7));
    let (delivery, _) = store.delivery(id).await.unwrap().unwrap();
    assert!(delivery.script.is_some());
    assert_eq!(delivery.script, version(VERSION));
}

pub(crate) async fn each_unmade_one_is_made_by_itself(ground: &mut dyn Ground) {
    let store = ground.store();
    let unmade = |number, subscription| NewDelivery {
        payload: Payload::unmade(),
        ..new_delivery(number, subscription, Due::At(at(0)))
    };
    pending(&*store, 1, vec![unmade(1, 3), unmade(2, 4), new_delivery(3, 5, Due::At(at(0)))]).await;
    let verdict = |number, content| Verdict {
        made: Some(made(payload(content))),
        ..failed(minted(number), 1, Successor::Retry(at(200)))
    };
    store.record(&[verdict(1, 7)]).await.unwrap();
    let all = due(&*store, 300).await;
    assert_eq!(all[&minted(1)], payload(7));
    assert!(all[&minted(2)].is_unmade(), "it is another subscription's");
    assert_eq!(all[&minted(3)], payload(3));
    let two = Verdict { number: 1, ..verdict(2, 8) };
    store.record(&[two]).await.unwrap();
    let all = due(&*store, 400).await;
    assert_eq!((&all[&minted(1)], &all[&minted(2)]), (&payload(7), &payload(8)));
}

pub(crate) async fn what_was_made_stays_as_it_is(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_unmade(&*store).await;
    let verdict = |number, content, until| Verdict {
        made: Some(made(payload(content))),
        ..failed(id, number, Successor::Retry(at(until)))
    };
    store.record(&[verdict(1, 7, 200)]).await.unwrap();
    store.record(&[verdict(2, 8, 300)]).await.unwrap();
    assert_eq!(due(&*store, 300).await[&id], payload(7));
    drop(store);
    ground.crash().await;
    let store = ground.store();
    assert_eq!(due(&*store, 400).await[&id], payload(7));
    store.record(&[delivered(id, 3)]).await.unwrap();
    let (delivery, _) = store.delivery(id).await.unwrap().unwrap();
    assert_eq!(delivery.state, State::Delivered);
}

pub(crate) async fn what_is_filtered_says_why_and_by_which_script(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_unmade(&*store).await;
    let made = Some(Made { payload: None, script: version("8000000000000000") });
    let successor = Successor::Filtered("größer\0 than it may be".to_owned());
    let verdict = Verdict { made, ..unattempted(id, 1, successor) };
    store.record(&[verdict]).await.unwrap();
    let (delivery, log) = store.delivery(id).await.unwrap().unwrap();
    assert_eq!((delivery.state, log.len()), (State::Filtered, 0));
    assert!(delivery.reason.as_deref().is_some_and(|reason| reason.starts_with("größer")));
    assert_eq!((delivery.script, delivery.death), (version("8000000000000000"), None));
    assert_eq!(delivery.finished_at, Some(at(100)));
    assert!(due(&*store, 10_000).await.is_empty(), "it is over");
    store.record(&[delivered(id, 1)]).await.unwrap();
    let (delivery, _) = store.delivery(id).await.unwrap().unwrap();
    assert_eq!(delivery.state, State::Filtered);
}

pub(crate) async fn what_died_of_its_script_is_brought_back_to_be_made(ground: &mut dyn Ground) {
    let store = ground.store();
    let id = one_unmade(&*store).await;
    let made = Some(Made { payload: None, script: version(VERSION) });
    let verdict = Verdict { made, ..unattempted(id, 1, dead(Cause::Script)) };
    store.record(&[verdict]).await.unwrap();
    let (delivery, _) = store.delivery(id).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.script), (State::Dead, version(VERSION)));
    assert_eq!(store.redrive(&[id], at(500)).await.unwrap(), 1);
    assert!(due(&*store, 500).await[&id].is_unmade());
}

pub(crate) async fn the_text_of_a_script_is_read_back_by_its_version(ground: &mut dyn Ground) {
    let store = ground.store();
    let script = Script::new("event.data // größer");
    assert_eq!(store.script(script.version).await.unwrap(), None);
    for now in [1, 2] {
        store.keep_script(&script, at(now)).await.unwrap();
    }
    assert_eq!(store.script(script.version).await.unwrap(), Some(script));
    let other = version(VERSION).unwrap();
    assert_eq!(store.script(other).await.unwrap(), None);
}
