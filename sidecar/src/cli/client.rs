//! The HTTP client with which the commands ask the sidecar and Envoy.
//!
//! Invariant: no question takes longer than [`PATIENCE`], unless it is for what has no end; none
//! goes through a proxy, or follows a redirect: each goes to the server that was named.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::{CryptoProvider, ring};
use serde::Deserialize;
use url::Url;

use super::terminal::escaped;

/// How long an answer may take in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may be silent that gives a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// As much of an answer as is shown, in characters.
const EXCERPT: usize = 200;

/// A client for the servers that belong to this installation.
pub(super) fn client() -> anyhow::Result<Client> {
    built(|builder| builder.timeout(PATIENCE))
}

/// A client for what has no end.
pub(super) fn listening_client() -> anyhow::Result<Client> {
    built(|builder| builder.connect_timeout(PATIENCE).read_timeout(SILENCE))
}

fn built(limits: impl FnOnce(ClientBuilder) -> ClientBuilder) -> anyhow::Result<Client> {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
    limits(Client::builder())
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .context("preparing to ask over HTTP")
}

/// The address of what lies at `segments` beneath `server`.
pub(super) fn beneath(server: &Url, segments: &[&str]) -> Url {
    let mut address = server.clone();
    // Only a URL without a host, such as `mailto:`, has no path to extend.
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    address
}

/// The reason that an answer gives: a problem's detail, else its first words.
pub(super) fn reason_in(body: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        title: Option<String>,
        detail: Option<String>,
    }
    let problem = serde_json::from_str::<Problem>(body).ok();
    let reason = problem.and_then(|problem| problem.detail.or(problem.title));
    let reason: String =
        reason.unwrap_or_else(|| body.trim().to_owned()).chars().take(EXCERPT).collect();
    if reason.is_empty() {
        "no reason given".to_owned()
    } else {
        escaped(&reason.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_become_a_path() {
        let server = "http://sidecar:5000/api/".parse().unwrap();
        let address = beneath(&server, &["subscriptions", "a/../b?c", "secret"]);
        assert_eq!(address.as_str(), "http://sidecar:5000/api/subscriptions/a%2F..%2Fb%3Fc/secret");
    }

    #[test]
    fn the_reason_is_the_problems_own_and_harmless() {
        assert_eq!(reason_in(r#"{"title": "Not ready", "detail": "disk full"}"#), "disk full");
        assert_eq!(reason_in(r#"{"title": "Not ready"}"#), "Not ready");
        assert_eq!(reason_in("no\x1b[2J\nstore"), "no\\u001b[2J store");
        assert_eq!(reason_in(&"a".repeat(1000)).len(), EXCERPT);
        assert_eq!(reason_in(""), "no reason given");
    }
}
