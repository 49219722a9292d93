//! Where Envoy gets the filter: from a file, or from a server, by its digest.
//!
//! Invariant: what is fetched is run only if it has the digest that was asked for.

use std::str::FromStr;

use url::Url;

use super::endpoint::{Endpoint, InvalidEndpoint};

/// The filter, as Envoy finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// A file.
    File(String),
    /// Something on a server.
    Remote {
        /// The whole URL.
        url: String,
        /// Its server.
        server: Endpoint,
    },
}

/// The SHA-256 of the filter: 64 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256(pub(super) String);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("must be a path without control characters".to_owned());
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Ok(Self::File(text.to_owned()));
        }
        let mut url = Url::parse(text).map_err(|error| InvalidEndpoint::from(error).to_string())?;
        let whole = url.to_string();
        url.set_path("/");
        url.set_query(None);
        let server = url.as_str().parse::<Endpoint>().map_err(|error| error.to_string())?;
        Ok(Self::Remote { url: whole, server })
    }
}

impl FromStr for Sha256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("must be 64 hexadecimal digits, as `sha256sum` prints them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_file_or_on_a_server() {
        let path = "/etc/envoy/sidehook_filter.wasm";
        assert_eq!(path.parse(), Ok(Filter::File(path.to_owned())));
        let url = "https://files.example.com/sidehook/0.1/filter.wasm?x=1";
        let server = "https://files.example.com".parse().unwrap();
        assert_eq!(url.parse(), Ok(Filter::Remote { url: url.to_owned(), server }));
        for wrong in ["", "a\nb", "http://", "https://me:s3cret@files/x.wasm", "http://a/b#c"] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_has_64_hexadecimal_digits() {
        assert_eq!("AB".repeat(32).parse(), Ok(Sha256("ab".repeat(32))));
        for wrong in ["", "ab", &"xy".repeat(32)] {
            assert!(wrong.parse::<Sha256>().is_err(), "{wrong}");
        }
    }
}
