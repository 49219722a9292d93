//! `/.well-known/sidehook-keys`: the public keys that verify `v1a` signatures, as a JSON Web Key Set
//! (RFC 7517, with the keys of RFC 8037).
//!
//! Invariant: nothing here is secret, and nothing tells whose key it is.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use http::header::CACHE_CONTROL;
use serde::Serialize;

use super::{
    Context,
    routes::{Routes, open},
};
use crate::model::{PublicKey, Secret};

/// A receiver that meets a key it does not know looks again: there is no need to do so often.
const FRESH: &str = "public, max-age=300";

pub(super) fn routes() -> Routes<Arc<Context>> {
    Routes::new().at("/.well-known/sidehook-keys", [open(keys)])
}

#[derive(Debug, Serialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Debug, Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    r#use: &'static str,
    alg: &'static str,
    kid: String,
}

/// The keys of all that sign now, those that were replaced and still sign among them.
async fn keys(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let now = context.clock.now();
    let subscriptions = context.routes.subscriptions();
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
    ([(CACHE_CONTROL, FRESH)], Json(KeySet { keys: keys.collect() }))
}
