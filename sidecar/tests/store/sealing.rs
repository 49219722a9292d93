//! Seals: what shows of a secret in the database, and how one key follows another.
//!
//! Invariant: whoever copies the database without the keys has no secret, and no header.

use futures::future::join_all;
use sidehook::model::{ClientIdentity, Headers, Subscription, Tls};

use crate::{
    ground::{Ground, key},
    samples::{minted, subscription},
};

const HEADER: &str = "Bearer of-a-value-that-is-found-nowhere-else";
const KEY: &str = "a private key that is found nowhere else";

pub(crate) async fn nothing_of_a_secret_or_a_header_shows_in_the_database(ground: &mut dyn Ground) {
    store(ground, 1..=3).await;
    ground.store().upsert_subscription(telling(2), false).await.unwrap();
    ground.store().update_subscription(&telling(3)).await.unwrap();
    assert_eq!(shown(ground).await, Vec::<String>::new());
}

/// Which also shows that the search finds what there is.
pub(crate) async fn without_a_key_they_are_kept_in_clear(ground: &mut dyn Ground) {
    ground.reopen(&[]).await.unwrap();
    store(ground, 1..=1).await;
    assert_eq!(shown(ground).await.len(), 3);
    ground.reopen(&[]).await.unwrap();
    are_read_back(ground, 1..=1).await;
}

pub(crate) async fn what_is_in_clear_is_read_and_sealed_when_there_is_a_key(
    ground: &mut dyn Ground,
) {
    ground.reopen(&[]).await.unwrap();
    store(ground, 1..=5).await;
    ground.reopen(&[1]).await.unwrap();
    are_read_back(ground, 1..=5).await;
    assert_eq!(ground.store().reseal().await.unwrap(), 5);
    assert_eq!(shown(ground).await, Vec::<String>::new());
    are_read_back(ground, 1..=5).await;
}

pub(crate) async fn one_key_follows_another_without_a_loss(ground: &mut dyn Ground) {
    ground.reopen(&[1]).await.unwrap();
    store(ground, 1..=600).await;
    // The new one opens everywhere before it seals anywhere.
    ground.reopen(&[1, 2]).await.unwrap();
    assert_eq!(ground.store().reseal().await.unwrap(), 0);
    ground.reopen(&[2, 1]).await.unwrap();
    are_read_back(ground, 1..=600).await;
    ground.store().update_subscription(&telling(7)).await.unwrap();
    assert_eq!(ground.store().reseal().await.unwrap(), 599);
    assert_eq!(ground.store().reseal().await.unwrap(), 0);
    ground.reopen(&[2]).await.unwrap();
    are_read_back(ground, 1..=600).await;
    let refused = ground.reopen(&[1]).await.unwrap_err();
    assert!(refused.contains(&key(2).id().to_string()), "{refused}");
}

pub(crate) async fn what_changes_while_seals_are_exchanged_is_not_overwritten(
    ground: &mut dyn Ground,
) {
    ground.reopen(&[1]).await.unwrap();
    store(ground, 1..=300).await;
    ground.reopen(&[2, 1]).await.unwrap();
    let changed = |number| Subscription {
        description: Some("changed".to_owned()),
        custom_headers: Headers::parse([("x-changed", &*format!("{HEADER} {number}"))]).unwrap(),
        ..telling(number)
    };
    let store = ground.store();
    let changing = (1..=300).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.update_subscription(&changed(number)).await.unwrap() })
    });
    let (updated, resealed) = tokio::join!(join_all(changing), store.reseal());
    assert!(updated.into_iter().all(|updated| updated.unwrap()));
    assert!(resealed.unwrap() <= 300);
    store.reseal().await.unwrap();
    drop(store);
    ground.reopen(&[2]).await.unwrap();
    for read in ground.store().all_subscriptions().await.unwrap() {
        assert_eq!(read.custom_headers.iter().next().unwrap().0, "x-changed");
    }
}

pub(crate) async fn a_store_whose_key_is_missing_is_left_alone(ground: &mut dyn Ground) {
    ground.reopen(&[1]).await.unwrap();
    store(ground, 1..=2).await;
    for keys in [&[2, 3][..], &[]] {
        let refused = ground.reopen(keys).await.unwrap_err();
        let missing = format!("sealed with the key {}", key(1).id());
        assert!(refused.contains(&missing) && refused.contains("secret_keys"), "{refused}");
    }
    ground.reopen(&[2, 1]).await.unwrap();
    are_read_back(ground, 1..=2).await;
    assert_eq!(ground.store().reseal().await.unwrap(), 2);
}

pub(crate) async fn without_a_key_no_seal_is_exchanged(ground: &mut dyn Ground) {
    ground.reopen(&[]).await.unwrap();
    store(ground, 1..=1).await;
    assert_eq!(ground.store().reseal().await.unwrap(), 0);
    are_read_back(ground, 1..=1).await;
}

/// A subscription with a header that gives it away.
fn telling(number: u64) -> Subscription {
    let custom_headers = Headers::parse([("authorization", HEADER)]).unwrap();
    let client = ClientIdentity { certificate: "public".to_owned(), key: KEY.to_owned().into() };
    let tls = Tls { ca: None, client: Some(client) };
    Subscription { custom_headers, tls, ..subscription(number) }
}

async fn store(ground: &dyn Ground, numbers: std::ops::RangeInclusive<u64>) {
    let store = ground.store();
    for number in numbers {
        store.upsert_subscription(telling(number), true).await.unwrap();
    }
}

async fn are_read_back(ground: &dyn Ground, numbers: std::ops::RangeInclusive<u64>) {
    let store = ground.store();
    for number in numbers {
        let read = store.subscription(minted(number)).await.unwrap();
        assert_eq!(read, Some(telling(number)));
    }
}

/// What is found in the database of that which must not be there.
async fn shown(ground: &dyn Ground) -> Vec<String> {
    let raw = ground.raw().await;
    assert!(holds(&raw, "https://example.com/1"), "the search finds nothing at all");
    let secret = telling(1).signing.current.reveal();
    let forbidden = [secret.trim_start_matches("whsec_"), HEADER, KEY];
    forbidden.into_iter().filter(|text| holds(&raw, text)).map(str::to_owned).collect()
}

fn holds(raw: &[u8], text: &str) -> bool {
    raw.windows(text.len()).any(|window| window == text.as_bytes())
}
