//! Who may do what: the tokens of the configuration and those of the store, in memory.
//!
//! Invariant: a face that has ever asked for a token never opens again, for tokens are revoked,
//! not deleted; nothing about a token can be told from how long it takes to refuse another.

mod exposure;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use sidehook_event::UnixMicros;
use subtle::ConstantTimeEq as _;
use tokio::sync::Mutex;

pub use exposure::{Exposure, Open};

use crate::{
    clock::Clock,
    model::{AccessToken, Face, Scope, Scopes, TokenDigest, TokenId, token_id},
    store::{Result, Store, patience::until_stored},
};

/// How long a token that was made or revoked elsewhere may go unnoticed.
const PAUSE: Duration = Duration::from_secs(1);

/// The tokens of the configuration. They cannot be revoked, and do not expire.
#[derive(Debug, Default)]
pub struct Configured {
    /// May do everything.
    pub api: Option<SecretString>,
    /// May hand in events.
    pub ingest: Option<SecretString>,
}

/// Why a bearer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token is carried.
    Missing,
    /// The token was never given out.
    Unknown,
    /// The token's time is over.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The token is good, but not for this.
    Lacking(Scope),
}

/// Whom a token belongs to, as far as that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer(Scopes);

/// All tokens.
#[derive(Debug)]
pub struct Access {
    exposure: Exposure,
    configured: Vec<(TokenDigest, Scopes)>,
    stored: RwLock<Arc<Stored>>,
    /// Held while the store is read and the table changed, so that what was read earlier never
    /// replaces what was read later.
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Stored(HashMap<TokenId, AccessToken>);

impl Access {
    /// The configured tokens alone, until the store is read.
    pub fn new(configured: &Configured, exposure: Exposure) -> Self {
        let Configured { api, ingest } = configured;
        // Should both be the same text, the one that may do more counts: it comes last.
        let configured = [(ingest, Scope::EventsWrite), (api, Scope::Admin)];
        let configured = configured.into_iter().filter_map(|(token, scope)| {
            let digest = TokenDigest::of(token.as_ref()?.expose_secret());
            Some((digest, Scopes::only(scope)))
        });
        Self {
            exposure,
            configured: configured.collect(),
            stored: RwLock::default(),
            reading: Mutex::default(),
        }
    }

    /// Reads every stored token again.
    pub async fn reload(&self, store: &dyn Store) -> Result<()> {
        let _reading = self.reading.lock().await;
        let tokens = store.all_tokens().await?;
        let stored = Stored(tokens.into_iter().map(|token| (token.id, token)).collect());
        *self.stored.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(stored);
        Ok(())
    }

    /// Keeps up with what other processes change, without end. While the store is away the
    /// tokens stay as they are.
    pub async fn watch(&self, store: &dyn Store, clock: &dyn Clock) {
        loop {
            clock.sleep(PAUSE).await;
            until_stored(clock, "read the access tokens", || self.reload(store)).await;
        }
    }

    /// Whether this face serves without a token: on this machine, as long as none was made for it.
    pub fn is_open(&self, face: Face) -> bool {
        !self.exposure.is_exposed(face) && !self.has_token(face)
    }

    /// Refuses to be served where others can reach a face that asks for no token.
    pub fn check_exposure(&self) -> std::result::Result<(), Open> {
        self.exposure.check(|face| self.has_token(face))
    }

    /// Whose token it is. `now` is asked only if that matters.
    pub fn bearer(
        &self,
        token: Option<&str>,
        now: impl FnOnce() -> UnixMicros,
    ) -> std::result::Result<Bearer, Refusal> {
        let token = token.ok_or(Refusal::Missing)?;
        let presented = TokenDigest::of(token);
        // Every digest that could be meant is compared, whatever the others say. Which one that
        // is among the stored follows from the id in the token, which is no secret.
        let mut scopes = None;
        for (digest, configured) in &self.configured {
            if digest.ct_eq(&presented).into() {
                scopes = Some(configured);
            }
        }
        let stored = self.stored();
        let candidate = token_id(token).and_then(|id| stored.0.get(&id));
        let candidate = candidate.filter(|candidate| candidate.digest.ct_eq(&presented).into());
        match (scopes, candidate) {
            (Some(scopes), _) => Ok(Bearer(scopes.clone())),
            (None, None) => Err(Refusal::Unknown),
            (None, Some(token)) if token.revoked_at.is_some() => Err(Refusal::Revoked),
            (None, Some(token)) if token.expires_at.is_some_and(|end| end <= now()) => {
                Err(Refusal::Expired)
            }
            (None, Some(token)) => Ok(Bearer(token.scopes.clone())),
        }
    }

    fn has_token(&self, face: Face) -> bool {
        let configured = self.configured.iter().map(|(_, scopes)| scopes);
        let stored = self.stored();
        let mut all = configured.chain(stored.0.values().map(|token| &token.scopes));
        all.any(|scopes| scopes.concern(face))
    }

    fn stored(&self) -> Arc<Stored> {
        Arc::clone(&self.stored.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bearer {
    /// Whether they may do what `scope` names.
    pub fn check(&self, scope: Scope) -> std::result::Result<(), Refusal> {
        if self.0.allow(scope) { Ok(()) } else { Err(Refusal::Lacking(scope)) }
    }
}

#[cfg(test)]
mod tests;
