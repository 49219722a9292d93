//! The secrets to verify with: those that were given, or those of the subscriptions that point
//! here, which the sidecar is asked for.
//!
//! Invariant: the sidecar is asked only when no known secret verifies, and at most once in
//! [`PAUSE`], so that forged webhooks cannot make this a flood of questions; a webhook whose
//! secret is known never waits for an answer.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use reqwest::Client;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::Mutex;
use url::Url;

use super::signature::{Signature, Unverified, verify};
use crate::{
    cli::token::Token,
    clock::Clock,
    model::Secret,
    neighbours::{beneath, client},
};

/// The shortest time between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(1);

/// The most pages of subscriptions to read, so that a server gone wrong is not read for ever.
const MOST_PAGES: usize = 100;

/// Where the secrets come from.
pub(super) enum Secrets {
    /// From the command line.
    Given(Vec<Secret>),
    /// From the sidecar.
    Asked(Asked),
}

/// A sidecar to ask, and what it has said.
pub(super) struct Asked {
    client: Client,
    api: Url,
    token: Option<Token>,
    /// The port at which subscriptions reach this receiver.
    port: u16,
    known: RwLock<Vec<Secret>>,
    /// Monotonic time of the last round of questions; locked by whoever asks.
    last_round: Mutex<Option<Duration>>,
}

/// Why a webhook was not verified.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It is not signed as it must be.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// The secrets could not be asked for.
    #[error("its secret is not known, for the sidecar could not be asked: {0}")]
    Unasked(String),
}

impl Secrets {
    /// The secrets of the subscriptions that the sidecar at `api` delivers to `port`.
    pub(super) fn asked(api: Url, token: Option<Token>, port: u16) -> anyhow::Result<Self> {
        Ok(Self::Asked(Asked {
            client: client()?,
            api,
            token,
            port,
            known: RwLock::default(),
            last_round: Mutex::default(),
        }))
    }

    /// Whether one of the secrets signed `body`.
    pub(super) async fn verify(
        &self,
        signature: Signature<'_>,
        body: &[u8],
        clock: &dyn Clock,
    ) -> Result<(), Refusal> {
        let now = clock.now().seconds();
        let asked = match self {
            Self::Given(secrets) => return Ok(verify(signature, body, secrets, now)?),
            Self::Asked(asked) => asked,
        };
        let verdict = asked.verify(signature, body, now);
        if !is_unknown(verdict) {
            return Ok(verdict?);
        }
        // One asks; whoever comes meanwhile waits and may find the answer there.
        let mut last_round = asked.last_round.lock().await;
        let verdict = asked.verify(signature, body, now);
        if !is_unknown(verdict) {
            return Ok(verdict?);
        }
        let next = last_round.map_or(Duration::ZERO, |last| last.saturating_add(PAUSE));
        clock.sleep(next.saturating_sub(clock.monotonic())).await;
        *last_round = Some(clock.monotonic());
        let answer = asked.ask().await.map_err(|error| Refusal::Unasked(format!("{error:#}")))?;
        *asked.known.write().unwrap_or_else(PoisonError::into_inner) = answer;
        Ok(asked.verify(signature, body, now)?)
    }
}

/// Whether a secret that is not known might verify it.
fn is_unknown(verdict: Result<(), Unverified>) -> bool {
    matches!(verdict, Err(Unverified::NoSecret | Unverified::Mismatch))
}

#[derive(Deserialize)]
struct Subscriptions {
    data: Vec<Subscription>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Subscription {
    id: String,
    url: String,
}

#[derive(Deserialize)]
struct Signing {
    secret: String,
    /// Those before, which sign as well for a while after a rotation.
    previous: Vec<Outgoing>,
}

#[derive(Deserialize)]
struct Outgoing {
    secret: String,
}

impl Asked {
    fn verify(&self, signature: Signature<'_>, body: &[u8], now: i64) -> Result<(), Unverified> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        verify(signature, body, &*known, now)
    }

    async fn ask(&self) -> anyhow::Result<Vec<Secret>> {
        let mut secrets = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut page = beneath(&self.api, &["subscriptions"]);
            page.query_pairs_mut().append_pair("limit", "200");
            if let Some(cursor) = &cursor {
                page.query_pairs_mut().append_pair("cursor", cursor);
            }
            let Subscriptions { data, next } = self.read(page).await?;
            for subscription in data.iter().filter(|subscription| self.is_here(&subscription.url)) {
                let address = beneath(&self.api, &["subscriptions", &subscription.id, "secret"]);
                let Signing { secret, previous } = self.read(address).await?;
                let previous = previous.into_iter().map(|outgoing| outgoing.secret);
                for text in std::iter::once(secret).chain(previous) {
                    let secret = text.parse::<Secret>().with_context(|| subscription.id.clone())?;
                    secrets.push(secret);
                }
            }
            if next.is_none() {
                break;
            }
            cursor = next;
        }
        Ok(secrets)
    }

    /// Only the port tells: this machine has many names, seen from a container.
    fn is_here(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| url.port_or_known_default() == Some(self.port))
    }

    async fn read<T: DeserializeOwned>(&self, address: Url) -> anyhow::Result<T> {
        let shown = format!("GET {}", address.path());
        let mut request = self.client.get(address);
        if let Some(token) = self.token.as_ref().and_then(Token::expose) {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.with_context(|| format!("{shown} at {}", self.api))?;
        let answer = answer.error_for_status().with_context(|| shown.clone())?;
        answer.json().await.with_context(|| format!("reading the answer to {shown}"))
    }
}
