//! Where Envoy connects to: the API's or the sidecar's URL, reduced to what a cluster needs.
//!
//! Invariant: an endpoint has a host and a port, and whatever else the URL said was refused, not
//! dropped.

use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

use crate::config::{InvalidListen, Listen};

/// A host, a port, and whether to speak TLS to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, as Envoy's `socket_address` takes it: IPv6 without brackets.
    pub address: String,
    /// The port, the scheme's own if the URL has none.
    pub port: u16,
    /// Whether `address` is a name, to be resolved.
    pub is_name: bool,
    /// Whether the scheme is `https`.
    pub tls: bool,
}

/// Why a URL is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidEndpoint {
    /// Not a URL.
    #[error("not a URL: {0} (write it as http://HOST:PORT)")]
    NotAUrl(#[from] url::ParseError),
    /// Neither http nor https.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// Something that belongs to requests, not to a server.
    #[error("must not have {0}: paths pass through Envoy unchanged, so name the server alone")]
    TooMuch(&'static str),
    /// `unix:` with something else than the path of a socket behind it.
    #[error(transparent)]
    Socket(InvalidListen),
}

/// The sidecar, reached over HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sidecar {
    /// At an address.
    Server(Endpoint),
    /// At the socket of this absolute path, on the machine of the gateway.
    Socket(String),
}

impl Sidecar {
    /// Whether Envoy has to resolve where it is.
    pub fn is_name(&self) -> bool {
        match self {
            Self::Server(endpoint) => endpoint.is_name,
            Self::Socket(_) => false,
        }
    }

    /// Whether TLS is spoken to it.
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Server(endpoint) => endpoint.tls,
            Self::Socket(_) => false,
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text)?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(InvalidEndpoint::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidEndpoint::TooMuch("a user or password"));
        }
        if url.path() != "/" {
            return Err(InvalidEndpoint::TooMuch("a path"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidEndpoint::TooMuch("a query or fragment"));
        }
        let (address, is_name) = match url.host().ok_or(url::ParseError::EmptyHost)? {
            Host::Domain(name) => (name.to_owned(), true),
            Host::Ipv4(address) => (address.to_string(), false),
            Host::Ipv6(address) => (address.to_string(), false),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or(url::ParseError::InvalidPort)?;
        Ok(Self { address, port, is_name, tls })
    }
}

impl FromStr for Sidecar {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // As the sidecar itself is told where to listen.
        if text.starts_with("unix:") {
            return match text.parse() {
                Ok(Listen::Unix(path)) => Ok(Self::Socket(path.display().to_string())),
                Ok(Listen::Tcp(_)) => Err(InvalidEndpoint::Socket(InvalidListen::Form)),
                Err(invalid) => Err(InvalidEndpoint::Socket(invalid)),
            };
        }
        text.parse().map(Self::Server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_host_and_port() {
        for (url, address, port, is_name, tls) in [
            ("http://api:3000", "api", 3000, true, false),
            ("http://API.example.com/", "api.example.com", 80, true, false),
            ("https://api.example.com", "api.example.com", 443, true, true),
            ("http://10.0.0.7:81", "10.0.0.7", 81, false, false),
            ("https://[::1]:8443", "::1", 8443, false, true),
        ] {
            let expected = Endpoint { address: address.to_owned(), port, is_name, tls };
            assert_eq!(url.parse(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_names_more_or_less_than_a_server_is_refused() {
        for (url, reason) in [
            ("api:3000", "must begin with http://"),
            ("localhost", "not a URL"),
            ("http://", "not a URL"),
            ("http://api:0", "not a URL"),
            ("http://api/v1", "must not have a path"),
            ("http://ada@api", "must not have a user"),
            ("http://api?x=1", "must not have a query"),
            ("http://api/#x", "must not have a query or fragment"),
        ] {
            let error = url.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.starts_with(reason), "{url}: {error}");
        }
    }

    #[test]
    fn the_sidecar_is_reached_with_or_without_tls() {
        for (text, tls) in [("http://sidecar:5000", false), ("https://sidecar:5002", true)] {
            assert_eq!(text.parse().map(|sidecar: Sidecar| sidecar.has_tls()), Ok(tls), "{text}");
        }
        assert!(!Sidecar::Socket("/run/sidehook/ingest.sock".to_owned()).has_tls());
    }

    #[test]
    fn the_sidecar_may_be_reached_at_a_socket() {
        let socket = Sidecar::Socket("/run/sidehook/ingest.sock".to_owned());
        assert_eq!("unix:/run/sidehook/ingest.sock".parse(), Ok(socket));
        for text in ["unix:", "unix:ingest.sock", "unix:127.0.0.1:5002"] {
            let refused = text.parse::<Sidecar>();
            assert_eq!(refused, Err(InvalidEndpoint::Socket(InvalidListen::Form)), "{text}");
        }
    }
}
