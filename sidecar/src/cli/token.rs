//! A token, as it is given on the command line or in the environment.
//!
//! Invariant: a token fits into a header as it is, and is shown nowhere but where it is exposed
//! by name.

use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};

/// A bearer token, or the empty one of a variable that is set to nothing.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// The token in clear, `None` if it is empty.
    pub fn expose(&self) -> Option<&str> {
        Some(self.0.expose_secret()).filter(|token| !token.is_empty())
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("must be of visible ASCII characters");
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_token_is_none() {
        assert_eq!("".parse::<Token>().unwrap().expose(), None);
        assert_eq!("s3cret".parse::<Token>().unwrap().expose(), Some("s3cret"));
    }

    #[test]
    fn what_would_not_fit_into_a_header_is_refused() {
        assert!("a b".parse::<Token>().is_err());
        assert!("a\r\nx-admin: 1".parse::<Token>().is_err());
    }

    #[test]
    fn a_token_is_not_shown() {
        assert!(!format!("{:?}", "s3cret".parse::<Token>()).contains("s3cret"));
    }
}
