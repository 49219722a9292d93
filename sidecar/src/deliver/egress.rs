//! Which addresses a delivery may go to: one rule for creation and for each attempt.
//!
//! Invariant: no connection is made to an address that this rule did not see and allow; a name
//! is allowed only if every address it resolves to is.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;
use url::Host;

use crate::model::{Allowed, Target};

/// The longest a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most addresses of a name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// What the operator allows besides the public addresses.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    networks: Vec<IpNet>,
    hosts: Vec<String>,
}

/// Why nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// The address is not a public one and not allowed.
    #[error("{address} is {kind}, which the egress rule does not allow")]
    Address {
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        kind: &'static str,
    },
    /// The name could not be resolved. Another time it may be.
    #[error("{host} cannot be resolved: {reason}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
}

impl Rule {
    /// The rule with these exceptions.
    pub fn allowing(exceptions: impl IntoIterator<Item = Allowed>) -> Self {
        let mut rule = Self::default();
        for exception in exceptions {
            match exception {
                Allowed::Network(network) => rule.networks.push(network),
                Allowed::Host(host) => rule.hosts.push(host),
            }
        }
        rule
    }

    /// Whether something may be sent to `target`, as far as can be told now.
    pub async fn check(&self, target: &Target) -> Result<(), Denied> {
        match target.url().host() {
            None => Ok(()),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
            Some(Host::Domain(name)) => self.resolve(name).await.map(drop),
        }
    }

    /// Whether a target that is written as an address may be sent to. Names are checked when
    /// they are resolved.
    pub fn check_literal(&self, target: &Target) -> Result<(), Denied> {
        match target.url().host() {
            None | Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
        }
    }

    /// The addresses of `name`, with port 0, every one of them allowed.
    pub async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Denied> {
        let unresolved = |reason: String| Denied::Unresolved { host: name.to_owned(), reason };
        let lookup = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, 0)));
        let addresses: Vec<SocketAddr> = match lookup.await {
            Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved("the resolver did not answer in time".to_owned())),
        };
        if addresses.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        let host_allowed = self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        if !host_allowed {
            addresses.iter().try_for_each(|address| self.check_address(address.ip()))?;
        }
        Ok(addresses)
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Denied> {
        let real = unwrap_mapped(address);
        let metadata = is_metadata(real).then_some("an address where a cloud keeps credentials");
        let Some(kind) = kind_of(real).or(metadata) else {
            return Ok(());
        };
        // Where clouds keep credentials a wide exception is not enough: it must be named singly.
        let covers = |network: &&IpNet| {
            network.contains(&real)
                && (!is_metadata(real) || network.prefix_len() == network.max_prefix_len())
        };
        match self.networks.iter().find(covers) {
            Some(_) => Ok(()),
            None => Err(Denied::Address { address, kind }),
        }
    }
}

/// An IPv4 address in IPv6 clothes is looked at without them: `::ffff:0:0/96` (RFC 4291),
/// `::ffff:0:0:0/96` (RFC 2765) and `64:ff9b::/96` (RFC 6052).
fn unwrap_mapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, a, b, c, d] => {
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => v6.to_ipv4_mapped().map_or(address, IpAddr::from),
    }
}

fn is_metadata(address: IpAddr) -> bool {
    const V4: [Ipv4Addr; 4] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    V4.iter().any(|v4| address == *v4) || address == V6
}

/// What makes an address not public, by the special-purpose registries of IANA (RFC 6890).
fn kind_of(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => DENIED_V4.iter().find(|(net, _)| net.contains(&v4)).map(|found| found.1),
        IpAddr::V6(v6) => DENIED_V6.iter().find(|(net, _)| net.contains(&v6)).map(|found| found.1),
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const DENIED_V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 8), "an address of this network (0.0.0.0/8)"),
    (v4(10, 0, 0, 8), "a private address (10.0.0.0/8)"),
    (v4(100, 64, 0, 10), "a carrier's shared address (100.64.0.0/10)"),
    (v4(127, 0, 0, 8), "a loopback address (127.0.0.0/8)"),
    (v4(169, 254, 0, 16), "a link-local address (169.254.0.0/16)"),
    (v4(172, 16, 0, 12), "a private address (172.16.0.0/12)"),
    (v4(192, 0, 0, 24), "a protocol assignment (192.0.0.0/24)"),
    (v4(192, 0, 2, 24), "a documentation address (192.0.2.0/24)"),
    (v4(192, 88, 99, 24), "a 6to4 relay (192.88.99.0/24)"),
    (v4(192, 168, 0, 16), "a private address (192.168.0.0/16)"),
    (v4(198, 18, 0, 15), "a benchmarking address (198.18.0.0/15)"),
    (v4(198, 51, 100, 24), "a documentation address (198.51.100.0/24)"),
    (v4(203, 0, 113, 24), "a documentation address (203.0.113.0/24)"),
    (v4(224, 0, 0, 4), "a multicast address (224.0.0.0/4)"),
    (v4(240, 0, 0, 4), "a reserved address (240.0.0.0/4)"),
];

const DENIED_V6: [(Ipv6Net, &str); 12] = [
    // Holds ::, ::1 and the addresses that are compatible with IPv4.
    (v6(0, 0, 0, 96), "a loopback or unspecified address (::/96)"),
    (v6(0x64, 0xff9b, 1, 48), "a translated address (64:ff9b:1::/48)"),
    (v6(0x100, 0, 0, 64), "a discard address (100::/64)"),
    (v6(0x2001, 0, 0, 23), "a protocol assignment (2001::/23)"),
    (v6(0x2001, 0xdb8, 0, 32), "a documentation address (2001:db8::/32)"),
    (v6(0x2002, 0, 0, 16), "a 6to4 address (2002::/16)"),
    (v6(0x3fff, 0, 0, 20), "a documentation address (3fff::/20)"),
    (v6(0x5f00, 0, 0, 16), "a segment routing address (5f00::/16)"),
    (v6(0xfc00, 0, 0, 7), "a unique local address (fc00::/7)"),
    (v6(0xfe80, 0, 0, 10), "a link-local address (fe80::/10)"),
    (v6(0xfec0, 0, 0, 10), "a site-local address (fec0::/10)"),
    (v6(0xff00, 0, 0, 8), "a multicast address (ff00::/8)"),
];

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
