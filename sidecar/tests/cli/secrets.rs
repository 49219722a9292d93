//! `sidehook secrets`, and what `serve` says of a key that is missing.
//!
//! Invariant: no key is said but by the command that makes one.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use sidehook::{
    clock::SystemClock,
    model::{
        Format, Headers, Order, Pacing, Retry, SealingKey, Secret, Subscription, SubscriptionId,
        Target, Tls,
    },
    store::{Store as _, seal::Keyring, sqlite::SqliteStore},
};
use sidehook_event::{TypeId as _, UnixMicros};

use crate::{command, printed, said};

fn subscription() -> Subscription {
    Subscription {
        id: SubscriptionId::from_bits(1),
        url: Target::parse("https://example.com/webhook").unwrap(),
        pattern: "people.*".parse().unwrap(),
        filter: None,
        script: None,
        custom_headers: Headers::parse([("authorization", "Bearer x")]).unwrap(),
        custom_payload: serde_json::Map::new(),
        format: Format::Standard,
        signing: format!("whsec_{}", "QUJD".repeat(8)).parse::<Secret>().unwrap().into(),
        enabled: true,
        disabled_reason: None,
        retry: Retry::default(),
        timeout: Duration::from_secs(10),
        tls: Tls::default(),
        pacing: Pacing::default(),
        ordering: Order::None,
        description: None,
        metadata: BTreeMap::new(),
        created_at: UnixMicros::EPOCH,
        updated_at: UnixMicros::EPOCH,
    }
}

/// A new key, as it is written and as it is meant.
fn key() -> (String, SealingKey) {
    let text = printed("secrets generate-key").trim_end().to_owned();
    let key = text.parse().unwrap();
    (text, key)
}

async fn open(path: &Path, key: Option<&SealingKey>) -> SqliteStore {
    let keyring = Keyring::new(key.cloned(), Arc::new(SystemClock::start()));
    SqliteStore::open(path, keyring).await.unwrap()
}

/// Runs a command on the store at `path` with these keys: what it said, and whether it succeeded.
fn run(arguments: &str, path: &Path, keys: &[&str]) -> (String, bool) {
    let mut command = command(arguments);
    command.arg("--store").arg(format!("sqlite:{}", path.display()));
    let output = command.env("SIDEHOOK_SECRET_KEYS", keys.join(",")).output().unwrap();
    let all = said(&output) + &*String::from_utf8_lossy(&output.stdout);
    for key in keys {
        assert!(!all.contains(key), "{all}");
    }
    (all, output.status.success())
}

#[test]
fn the_help_names_every_command() {
    insta::assert_snapshot!(printed("secrets --help"));
}

#[test]
fn every_key_is_another() {
    assert_ne!(key().0, key().0);
}

#[tokio::test]
async fn secrets_move_from_clear_to_a_key_and_on_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let store = open(&path, None).await;
    store.upsert_subscription(subscription(), true).await.unwrap();
    drop(store);
    let ((old, old_key), (new, new_key)) = (key(), key());
    let sealed = |number: &str, with: &SealingKey| {
        format!("sealed {number} anew, all are sealed with {} now\n", with.id())
    };
    for (keys, expected) in [
        (&[&*old][..], sealed("1 subscription", &old_key)),
        (&[&*old], sealed("0 subscriptions", &old_key)),
        (&[&*new, &*old], sealed("1 subscription", &new_key)),
    ] {
        let (told, succeeded) = run("secrets reseal", &path, keys);
        assert!(succeeded && told.ends_with(&expected), "{told}");
    }
    let store = open(&path, Some(&new_key)).await;
    assert_eq!(store.all_subscriptions().await.unwrap(), [subscription()]);
}

#[tokio::test]
async fn a_key_that_is_missing_is_named_and_nothing_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let ((_, sealing), (other, _)) = (key(), key());
    let store = open(&path, Some(&sealing)).await;
    store.upsert_subscription(subscription(), true).await.unwrap();
    drop(store);
    for arguments in ["serve --listen 127.0.0.1:0", "secrets reseal"] {
        for keys in [&[&*other][..], &[]] {
            let (told, succeeded) = run(arguments, &path, keys);
            let missing = format!("key {}, which is not among secret_keys", sealing.id());
            let refused = told.contains(&missing)
                || told.contains("secret_keys holds no key") && keys.is_empty();
            assert!(!succeeded && refused && !told.contains("serving"), "{told}");
        }
    }
    let store = open(&path, Some(&sealing)).await;
    assert_eq!(store.all_subscriptions().await.unwrap(), [subscription()]);
}

#[tokio::test]
async fn a_store_that_is_served_is_not_sealed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let (text, key) = key();
    let _served = open(&path, Some(&key)).await;
    let (told, succeeded) = run("secrets reseal", &path, &[&text]);
    assert!(!succeeded && told.contains("in use by another process"), "{told}");
}
