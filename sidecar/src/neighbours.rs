//! The HTTP client for the servers that belong to this installation: the sidecar, Envoy, a collector.
//!
//! Invariant: no question takes longer than [`PATIENCE`], unless it is for what has no end; none
//! goes through a proxy, or follows a redirect: each goes to the server that was named.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::{CryptoProvider, ring};
use url::Url;

/// How long an answer may take in all.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may be silent that gives a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// A client for the servers that belong to this installation.
pub fn client() -> reqwest::Result<Client> {
    built(|builder| builder.timeout(PATIENCE))
}

/// A client for what has no end.
pub fn listening_client() -> reqwest::Result<Client> {
    built(|builder| builder.connect_timeout(PATIENCE).read_timeout(SILENCE))
}

fn built(limits: impl FnOnce(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
    limits(Client::builder()).no_proxy().redirect(redirect::Policy::none()).build()
}

/// The address of what lies at `segments` beneath `server`.
pub fn beneath(server: &Url, segments: &[&str]) -> Url {
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
