//! Digests, and ids made of names.
//!
//! Invariant: the same arguments give the same digits on every machine.

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac as _};
use rhai::{Blob, Engine};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Fallible, wrong};

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("sha256", |text: &str| HEXLOWER.encode(&Sha256::digest(text)))
        .register_fn("sha256", |bytes: Blob| HEXLOWER.encode(&Sha256::digest(bytes)))
        .register_fn("sha256_bytes", |text: &str| -> Blob { Sha256::digest(text).to_vec() })
        .register_fn("hmac_sha256", |key: &str, text: &str| -> Fallible<String> {
            Ok(HEXLOWER.encode(&hmac(key.as_bytes(), text.as_bytes())?))
        })
        .register_fn("hmac_sha256", |key: Blob, text: &str| -> Fallible<String> {
            Ok(HEXLOWER.encode(&hmac(&key, text.as_bytes())?))
        })
        .register_fn("hmac_sha256_bytes", |key: &str, text: &str| -> Fallible<Blob> {
            hmac(key.as_bytes(), text.as_bytes())
        })
        .register_fn("uuid_v5", |namespace: &str, name: &str| -> Fallible<String> {
            let namespace = named(namespace)?;
            Ok(Uuid::new_v5(&namespace, name.as_bytes()).to_string())
        })
        .register_fn("is_uuid", |text: &str| Uuid::try_parse(text).is_ok());
}

fn hmac(key: &[u8], text: &[u8]) -> Fallible<Vec<u8>> {
    // A key of any length will do.
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mac = mac.map_err(|error| wrong(format!("hmac_sha256: {error}")))?;
    Ok(mac.chain_update(text).finalize().into_bytes().to_vec())
}

/// A namespace of RFC 9562, section 6.6, or one's own.
fn named(namespace: &str) -> Fallible<Uuid> {
    match namespace {
        "dns" => Ok(Uuid::NAMESPACE_DNS),
        "url" => Ok(Uuid::NAMESPACE_URL),
        own => Uuid::try_parse(own)
            .map_err(|_| wrong("uuid_v5: the namespace must be a UUID, \"dns\" or \"url\"")),
    }
}
