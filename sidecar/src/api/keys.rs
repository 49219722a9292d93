//! `/.well-known/sidehook-keys`: the public keys that verify `v1a` signatures, as a JSON Web Key Set
//! (RFC 7517, with the keys of RFC 8037).
//!
//! Invariant: nothing here is secret, and nothing tells whose key it is. Whoever asks without a
//! token costs a copy of the answer; it is made anew only when keys begin or cease to sign.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;
use sidehook_event::UnixMicros;
use utoipa::ToSchema;

use super::{
    Context, Problem,
    openapi::Description,
    routes::{Routes, open},
};
use crate::model::{PublicKey, Secret, Subscription};

/// A receiver that meets a key it does not know looks again: there is no need to do so often.
const FRESH: &str = "public, max-age=300";

pub(super) fn routes() -> Routes<Arc<Context>> {
    let last = Arc::new(Mutex::new(None));
    let keys = async move |State(context): State<Arc<Context>>| answer(&context, &last);
    Routes::new().at("/.well-known/sidehook-keys", [open(keys, told)])
}

fn told() -> Description {
    Description::of("listKeys", "The public keys that verify `v1a` signatures")
        .about("A JSON Web Key Set (RFC 7517), each key named by its thumbprint.")
        .shows::<KeySet>(StatusCode::OK, "Those that sign at the moment.")
        .with(StatusCode::OK, "cache-control", "For how long it may be kept.")
}

/// What was answered last.
#[derive(Debug)]
struct Published {
    /// Of the routing table.
    changes: u64,
    /// When the next of the replaced keys no longer signs.
    until: UnixMicros,
    body: Bytes,
}

#[derive(Debug, Serialize, ToSchema)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    r#use: &'static str,
    alg: &'static str,
    kid: String,
}

fn answer(context: &Context, last: &Mutex<Option<Published>>) -> Result<Response, Problem> {
    let now = context.clock.now();
    // Held while the answer is made, so that of many who ask at once one does the work.
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let changes = context.routes.changes();
    let holds = |published: &&Published| published.changes == changes && now < published.until;
    let body = if let Some(published) = last.as_ref().filter(holds) {
        published.body.clone()
    } else {
        let subscriptions = context.routes.subscriptions();
        let set = KeySet { keys: keys(&subscriptions, now) };
        let body = serde_json::to_vec(&set).map_err(|error| Problem::Internal(error.into()))?;
        let body = Bytes::from(body);
        *last = Some(Published { changes, until: until(&subscriptions, now), body: body.clone() });
        body
    };
    Ok(([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, FRESH)], body).into_response())
}

/// The keys of all that sign at `now`, those that were replaced and still sign among them. One
/// that is disabled may be tried, and what it sent just before is perhaps not verified yet.
fn keys(subscriptions: &[Arc<Subscription>], now: UnixMicros) -> Vec<Jwk> {
    let secrets = subscriptions.iter().flat_map(|subscription| subscription.signing.at(now));
    let public = secrets.filter_map(Secret::public_key);
    let by_name: BTreeMap<String, PublicKey> = public.map(|key| (key.thumbprint(), key)).collect();
    let keys = by_name.into_iter().map(|(kid, key)| Jwk {
        kty: "OKP",
        crv: "Ed25519",
        x: key.x(),
        r#use: "sig",
        alg: "EdDSA",
        kid,
    });
    keys.collect()
}

/// Until when nothing ceases to sign that signs at `now`.
fn until(subscriptions: &[Arc<Subscription>], now: UnixMicros) -> UnixMicros {
    let replaced = subscriptions.iter().flat_map(|subscription| &subscription.signing.previous);
    let ends = replaced.map(|outgoing| outgoing.until).filter(|until| now < *until);
    ends.min().unwrap_or(UnixMicros::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outgoing, Scheme, Signing, testing::subscription};

    const NOW: UnixMicros = UnixMicros::new(1_000);

    fn key(seed: u64) -> Secret {
        Secret::generate(Scheme::V1a, || seed)
    }

    fn signed_by(id: u128, current: Secret, previous: &[(u64, i64)]) -> Arc<Subscription> {
        let outgoing = |&(seed, until): &(u64, i64)| Outgoing {
            secret: key(seed),
            until: UnixMicros::new(until),
        };
        let signing = Signing { current, previous: previous.iter().map(outgoing).collect() };
        Arc::new(Subscription { signing, enabled: false, ..subscription(id, "*") })
    }

    fn named(subscriptions: &[Arc<Subscription>], now: UnixMicros) -> Vec<String> {
        keys(subscriptions, now).into_iter().map(|key| key.kid).collect()
    }

    fn names(seeds: impl IntoIterator<Item = u64>) -> Vec<String> {
        let mut names: Vec<_> =
            seeds.into_iter().map(|seed| key(seed).public_key().unwrap().thumbprint()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn each_key_that_signs_is_there_once_in_the_order_of_their_names() {
        let hmac = Secret::generate(Scheme::V1, || 9);
        let all = [
            signed_by(1, key(1), &[(2, 2_000), (3, 1_500)]),
            signed_by(2, hmac, &[(4, 3_000), (5, 1_000)]),
            signed_by(3, key(1), &[]),
        ];
        assert_eq!(named(&all, NOW), names([1, 2, 3, 4]));
        assert_eq!(until(&all, NOW), UnixMicros::new(1_500));
        assert_eq!(named(&all, UnixMicros::new(1_500)), names([1, 2, 4]));
        assert_eq!(until(&all, UnixMicros::new(3_000)), UnixMicros::MAX);
    }
}
