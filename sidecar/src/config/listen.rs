//! Where to listen: a TCP address or a Unix socket.
//!
//! Invariant: the path of a socket is absolute, so that it does not depend on the folder in which
//! the process was started.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use thiserror::Error;

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:5002`
    Tcp(SocketAddr),
    /// `unix:/run/sidehook/ingest.sock`
    Unix(PathBuf),
}

/// Text that names no such place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidListen {
    /// Neither of the two forms.
    #[error("must be IP:PORT or unix:/PATH")]
    Form,
    /// Longer than the system's addresses of sockets, of 108 bytes with a zero at the end, and
    /// what is needed to bind one aside.
    #[error("must not be longer than 100 bytes, for the system takes no longer path of a socket")]
    Length,
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Tcp).map_err(|_| InvalidListen::Form);
        };
        // `unix:///run/x.sock` is as good as `unix:/run/x.sock`.
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(InvalidListen::Form);
        }
        if path.len() > 100 {
            return Err(InvalidListen::Length);
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_an_absolute_path() {
        for (text, shown) in [
            ("127.0.0.1:5002", "127.0.0.1:5002"),
            ("[::1]:5002", "[::1]:5002"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()), Ok(shown.into()));
        }
        for text in ["", "5002", "localhost:5002", "unix:", "unix:a.sock", "unix:/", "/run/a"] {
            assert_eq!(text.parse::<Listen>(), Err(InvalidListen::Form), "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(100));
        assert_eq!(long.parse::<Listen>(), Err(InvalidListen::Length));
    }
}
