//! Where the database is: the address as it is written, and the settings of each connection.
//!
//! Invariant: what is shown of an address has no password in it.

use std::{fmt, str::FromStr as _, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

/// How long the server works on one statement.
const STATEMENT_LIMIT: Duration = Duration::from_secs(4);
/// How long a statement waits for a row that somebody else has locked.
const LOCK_LIMIT: Duration = Duration::from_secs(3);
/// How long the server keeps the locks of a transaction whose client says nothing.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// An address that was read.
#[derive(Clone)]
pub(super) struct Address(PgConnectOptions);

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`. The error says what is wrong.
    pub(super) fn parse(url: &SecretString) -> Result<Self, String> {
        let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|error| {
            // Of the URL itself it says no more than that it is none.
            match error {
                sqlx::Error::Configuration(reason) => reason.to_string(),
                other => other.to_string(),
            }
        })?;
        let host = options.get_host();
        // An address of IPv6 stands in brackets in a URL, and nowhere else.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let bare = bare.map(str::to_owned);
        let options = bare.map_or(options.clone(), |host| options.host(&host));
        let named = options.get_application_name().is_some();
        let options = if named { options } else { options.application_name("sidehook") };
        Ok(Self(options.disable_statement_logging()))
    }

    /// For a connection that changes the schema, or looks at it, and may take its time.
    pub(super) fn patient(&self) -> PgConnectOptions {
        self.0.clone().options(alive())
    }

    /// For a connection that works.
    ///
    /// A plan is made once for each statement, when the tables may have been empty, and kept. So
    /// that none depends on what the tables held, or were thought to hold, at that moment, the
    /// planner is left no choice: each statement is written for one index, and reading a whole
    /// table instead is ruled out; so is sorting what another index has in half the order; so are
    /// bitmaps, which read the entries of dead rows again and again where a plain scan marks them.
    /// (With whole-table scans ruled out any plan that needs
    /// one looks so dear that it would be compiled.)
    pub(super) fn working(&self) -> PgConnectOptions {
        self.0.clone().options(alive()).options([
            ("statement_timeout", millis(STATEMENT_LIMIT)),
            ("lock_timeout", millis(LOCK_LIMIT)),
            ("idle_in_transaction_session_timeout", millis(SILENCE_LIMIT)),
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            ("enable_seqscan", "off".to_owned()),
            ("enable_bitmapscan", "off".to_owned()),
            ("enable_incremental_sort", "off".to_owned()),
            ("max_parallel_workers_per_gather", "0".to_owned()),
            ("jit", "off".to_owned()),
        ])
    }
}

/// The server looks whether we are still there, lest the locks of one who is not outlive it.
fn alive() -> [(&'static str, String); 4] {
    [
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "20000".to_owned()),
    ]
}

fn millis(limit: Duration) -> String {
    limit.as_millis().to_string()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(options) = self;
        let user = options.get_username();
        let database = options.get_database().unwrap_or(user);
        if let Some(socket) = options.get_socket() {
            return write!(f, "postgres://{user}@{}/{database}", socket.display());
        }
        let (host, port) = (options.get_host(), options.get_port());
        write!(f, "postgres://{user}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Result<String, String> {
        let address = Address::parse(&SecretString::from(url))?;
        Ok(format!("{address} {address:?}"))
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown = shown("postgres://me:s3cret@db.example:6000/hooks?sslmode=require").unwrap();
        assert!(shown.starts_with("postgres://me@db.example:6000/hooks "), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn an_address_of_ipv6_is_connected_to_as_such() {
        let address = Address::parse(&"postgres://me@[::1]/hooks".into()).unwrap();
        assert_eq!(address.working().get_host(), "::1");
    }

    #[test]
    fn what_is_wrong_with_it_is_said_without_the_password() {
        for url in ["postgres://me:s3cret@db:port/x", "postgres://me:s3cret@db/x?sslmode=s0metimes"]
        {
            let reason = shown(url).unwrap_err();
            assert!(!reason.is_empty() && !reason.contains("s3cret"), "{reason}");
        }
    }
}
