//! The ways to receivers by the TLS settings of their subscriptions, each made once and kept.
//!
//! Invariant: connections made with one subscription's certificate are used for no other settings;
//! no more than [`MOST`] are kept beside those of everybody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};

use super::trust::{self, TlsFlaw};
use crate::model::Tls;

/// Each keeps its connections and certificates.
const MOST: usize = 256;

/// What was made of settings.
#[derive(Debug)]
pub(super) struct Kept<T> {
    roots: RootCertStore,
    usual: T,
    make: fn(&T, Arc<ClientConfig>) -> T,
    others: Mutex<Others<T>>,
}

#[derive(Debug)]
struct Others<T> {
    by_settings: HashMap<[u8; 32], (u64, T)>,
    uses: u64,
}

impl<T: Clone> Kept<T> {
    /// `usual` for who has no settings; for the others `make` makes one like it.
    pub(super) fn new(
        roots: RootCertStore,
        usual: T,
        make: fn(&T, Arc<ClientConfig>) -> T,
    ) -> Self {
        let others = Mutex::new(Others { by_settings: HashMap::new(), uses: 0 });
        Self { roots, usual, make, others }
    }

    /// The one for these settings.
    pub(super) fn of(&self, tls: &Tls) -> Result<T, TlsFlaw> {
        if *tls == Tls::default() {
            return Ok(self.usual.clone());
        }
        let key = digest(tls);
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.uses += 1;
        let now = others.uses;
        if let Some((used, kept)) = others.by_settings.get_mut(&key) {
            *used = now;
            return Ok(kept.clone());
        }
        let made = (self.make)(&self.usual, trust::settings(&self.roots, tls)?);
        if others.by_settings.len() >= MOST {
            let oldest = others.by_settings.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(key, _)| *key);
            oldest.and_then(|key| others.by_settings.remove(&key));
        }
        others.by_settings.insert(key, (now, made.clone()));
        Ok(made)
    }
}

fn digest(tls: &Tls) -> [u8; 32] {
    let client = tls.client.as_ref();
    let parts = [
        tls.ca.as_deref(),
        client.map(|client| client.certificate.as_str()),
        client.map(|client| client.key.reveal()),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // Its length keeps one part from running into the next.
        hash.update(part.map_or(0, |part| part.len() + 1).to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.finalize().into()
}
