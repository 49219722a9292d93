//! An exception from the egress rule, as the operator writes it.
//!
//! Invariant: a name is in the form in which URLs hold it.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use thiserror::Error;
use url::Host;

/// A network, an address or the name of a host to which deliveries may go although it is not
/// public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Any address of this network.
    Network(IpNet),
    /// Whatever this name resolves to.
    Host(String),
}

/// An exception that is neither an address nor a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is neither a network such as 10.1.0.0/16, nor an address, nor a host name")]
pub struct InvalidAllowed(String);

impl FromStr for Allowed {
    type Err = InvalidAllowed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) => Ok(Self::Host(name)),
            _ => Err(InvalidAllowed(text.to_owned())),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::Host(host) => f.write_str(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_a_network_an_address_or_a_name() {
        assert_eq!("10.1.0.0/16".parse(), Ok(Allowed::Network("10.1.0.0/16".parse().unwrap())));
        assert_eq!("::1".parse(), Ok(Allowed::Network("::1/128".parse().unwrap())));
        assert_eq!("Hooks.Internal".parse(), Ok(Allowed::Host("hooks.internal".to_owned())));
        for text in ["", "10.0.0.0/33", "a b", "http://x", "127.1"] {
            assert!(text.parse::<Allowed>().is_err(), "{text:?}");
        }
    }
}
