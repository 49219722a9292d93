//! The HTTP client with which the commands ask the sidecar and Envoy.
//!
//! Invariant: no question takes longer than [`PATIENCE`], goes through a proxy, or follows a
//! redirect: each goes to the server that was named.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, redirect};
use rustls::crypto::{CryptoProvider, ring};
use url::Url;

/// How long an answer may take in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client for the servers that belong to this installation.
pub(super) fn client() -> anyhow::Result<Client> {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
    Client::builder()
        .timeout(PATIENCE)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_become_a_path() {
        let server = "http://sidecar:5000/api/".parse().unwrap();
        let address = beneath(&server, &["subscriptions", "a/../b?c", "secret"]);
        assert_eq!(address.as_str(), "http://sidecar:5000/api/subscriptions/a%2F..%2Fb%3Fc/secret");
    }
}
