//! The operator's own proxy, as the configuration names it.
//!
//! Invariant: its password is shown by no text.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is spoken to by TLS.
    pub is_secure: bool,
    /// The value of `proxy-authorization`.
    pub authorization: Option<SecretString>,
}

/// A URL that names no proxy. It is not quoted: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ if it asks for one")]
pub struct InvalidProxy;

impl Proxy {
    /// The proxy at this URL.
    pub fn parse(url: &SecretString) -> Result<Self, InvalidProxy> {
        let url = Url::parse(url.expose_secret()).map_err(|_| InvalidProxy)?;
        let is_secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(InvalidProxy),
        };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        let host = url.host_str().filter(|host| !host.is_empty() && bare).ok_or(InvalidProxy)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(InvalidProxy)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let authorization = has_user.then(|| {
            let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
            let mut user = decoded(url.username());
            user.push(b':');
            user.extend(decoded(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(user)).into()
        });
        Ok(Self { host, port, is_secure, authorization })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_whose_password_is_not_shown() {
        let proxy = Proxy::parse(&"http://user:p%40ss@proxy.internal:3128".into()).unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy.internal:3128)");
        let authorization = proxy.authorization.unwrap();
        assert_eq!(authorization.expose_secret(), "Basic dXNlcjpwQHNz");
        let bare = Proxy::parse(&"https://[fd00::7]".into()).unwrap();
        assert_eq!((&*bare.host, bare.port, bare.is_secure), ("fd00::7", 443, true));
        assert!(bare.authorization.is_none());
    }

    #[test]
    fn what_is_none_is_refused() {
        for url in
            ["", "proxy:3128", "socks5://proxy:1080", "http://", "http://p/path", "http://p?q"]
        {
            assert_eq!(Proxy::parse(&url.into()).map(drop), Err(InvalidProxy), "{url}");
        }
    }
}
