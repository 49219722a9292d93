//! What a name resolves to: the seam between the egress rule and the DNS.
//!
//! Invariant: a resolver only tells; whether an address may be used is the egress rule's to say.

use std::{fmt, io, net::IpAddr};

use async_trait::async_trait;

/// Resolves names. Each call asks anew: a name may have another address each time, and is
/// resolved once per connection.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of `name`, those to be tried first in front; an error when there is none.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks the operating system, as every other program on the machine does.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        Ok(addresses)
    }
}
