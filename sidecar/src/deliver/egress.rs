//! Which addresses a delivery may go to: one rule for creation, for a test and for each attempt.
//!
//! Invariant: no connection is made to an address that this rule did not see and allow; a name
//! is allowed only if every address it resolves to is.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use thiserror::Error;
use url::Host;

use super::{
    ranges::{is_metadata, kind_of, unwrap_mapped},
    resolve::{Resolve, SystemResolver},
};
use crate::model::{Allowed, Target};

/// The longest a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most addresses that a name may have.
const MAX_ADDRESSES: usize = 16;

/// What the operator allows besides the public addresses, and what not even those.
#[derive(Debug, Clone)]
pub struct Rule {
    networks: Vec<IpNet>,
    hosts: Vec<String>,
    https_only: bool,
    resolver: Arc<dyn Resolve>,
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
    /// It would go out in clear.
    #[error("must begin with https://: the egress rule does not allow http://")]
    Clear,
    /// The name could not be resolved. Another time it may be.
    #[error("{host} cannot be resolved: {reason}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            hosts: Vec::new(),
            https_only: false,
            resolver: Arc::new(SystemResolver),
        }
    }
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

    /// The same, but nothing goes out in clear if `https_only`.
    #[must_use]
    pub fn https_only(self, https_only: bool) -> Self {
        Self { https_only, ..self }
    }

    /// The same, with names resolved by `resolver`.
    #[must_use]
    pub fn resolving_by(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, ..self }
    }

    /// Whether something may be sent to `target`, as far as can be told now.
    pub async fn check(&self, target: &Target) -> Result<(), Denied> {
        self.check_written(target)?;
        match target.url().host() {
            Some(Host::Domain(name)) => self.resolve(name).await.map(drop),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => Ok(()),
        }
    }

    /// Whether something may be sent to `target` as far as it is written: by its scheme, and its
    /// address if it is one. Names are checked when they are resolved.
    pub fn check_written(&self, target: &Target) -> Result<(), Denied> {
        if self.https_only && !target.is_https() {
            return Err(Denied::Clear);
        }
        match target.url().host() {
            None | Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
        }
    }

    /// Where to connect for `host`, as it stands in a URL: every address is allowed. Whoever calls
    /// connects to these and to no others, so that nobody can resolve the name differently.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Denied> {
        // By the parser of URLs: 127.1 and 0x7f000001 are addresses to a resolver.
        let literal = match Host::parse(host) {
            Ok(Host::Ipv4(address)) => IpAddr::from(address),
            Ok(Host::Ipv6(address)) => IpAddr::from(address),
            Ok(Host::Domain(name)) => {
                let addresses = self.resolve(&name).await?.into_iter();
                return Ok(addresses.map(|address| (address, port).into()).collect());
            }
            Err(error) => {
                let reason = error.to_string();
                return Err(Denied::Unresolved { host: host.to_owned(), reason });
            }
        };
        self.check_address(literal)?;
        Ok(vec![(literal, port).into()])
    }

    /// The addresses of `name`, every one of them allowed.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Denied> {
        let unresolved = |reason: String| Denied::Unresolved { host: name.to_owned(), reason };
        let name = if is_localhost(name) { "localhost" } else { name };
        let addresses =
            match tokio::time::timeout(RESOLVE_TIMEOUT, self.resolver.resolve(name)).await {
                Ok(Ok(addresses)) => addresses,
                Ok(Err(error)) => return Err(unresolved(error.to_string())),
                Err(_) => return Err(unresolved("the resolver did not answer in time".to_owned())),
            };
        match addresses.len() {
            0 => return Err(unresolved("it has no address".to_owned())),
            1..=MAX_ADDRESSES => {}
            count => {
                let reason = format!("it has {count} addresses, more than {MAX_ADDRESSES}");
                return Err(unresolved(reason));
            }
        }
        let named = self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        for address in &addresses {
            // The name stands for whatever it resolves to, but whoever answers for it in the DNS
            // must not get at credentials.
            if !named || is_metadata(unwrap_mapped(*address)) {
                self.check_address(*address)?;
            }
        }
        Ok(addresses)
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Denied> {
        let real = unwrap_mapped(address);
        let metadata = is_metadata(real).then_some("an address where a cloud keeps credentials");
        let Some(kind) = metadata.or_else(|| kind_of(real)) else {
            return Ok(());
        };
        // Where clouds keep credentials a wide exception is not enough: it must be named singly.
        let covers = |network: &&IpNet| {
            network.contains(&real)
                && (metadata.is_none() || network.prefix_len() == network.max_prefix_len())
        };
        match self.networks.iter().find(covers) {
            Some(_) => Ok(()),
            None => Err(Denied::Address { address, kind }),
        }
    }
}

/// The names that are this machine's whatever a resolver says (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
