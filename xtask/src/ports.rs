//! Ports on the loopback address.
//!
//! Invariant: a port that is taken is noticed before anything is started.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, bail};

/// Below the range from which the kernel takes the ports of outgoing connections, so that none
/// of those gets in between.
const FIRST: u16 = 12_000;
const COUNT: u16 = 16_000;

/// Refuses a port that is in use; `flag` is the option that names another.
pub fn require_free(port: u16, flag: &str) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            bail!("port {port} cannot be used ({error}); choose another with {flag} PORT")
        }
    }
}

/// A port that nobody uses, and that nobody is given twice within this process.
pub fn free() -> Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin in different places.
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT))?;
    let mut tries = 0..COUNT;
    tries
        .find_map(|_| {
            let offset = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let port = FIRST + offset;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
        })
        .context("no port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused_with_the_flag_that_names_another() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free().unwrap())).unwrap();
        let port = taken.local_addr().unwrap().port();
        let refusal = require_free(port, "--gateway").unwrap_err().to_string();
        assert!(refusal.contains(&port.to_string()), "{refusal}");
        assert!(refusal.contains("--gateway PORT"), "{refusal}");
        drop(taken);
        require_free(port, "--gateway").unwrap();
    }

    #[test]
    fn no_port_is_given_twice() {
        let first = free().unwrap();
        assert_ne!(first, free().unwrap());
    }
}
