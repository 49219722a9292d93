//! Where the store is.
//!
//! Invariant: what is wrong with an address is told without it, for there is a password in it.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::{Error, wrong};

const KEY: &str = "store";

/// Which store, and where it is.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// A file: `sqlite:PATH`.
    Sqlite(PathBuf),
    /// A database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    Postgres(SecretString),
}

/// What may stand behind the question mark; anything else would be passed over in silence.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

impl StoreUrl {
    pub(super) fn read(text: String) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                // `sqlite:///var/lib/x.db` is as good as `sqlite:/var/lib/x.db`.
                let path = path.strip_prefix("//").unwrap_or(path);
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            Some(("postgres" | "postgresql", _)) => {
                check(&text)?;
                Ok(Self::Postgres(text.into()))
            }
            _ => Err(wrong(KEY, "must be sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE")),
        }
    }
}

fn check(text: &str) -> Result<(), Error> {
    let form = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    let escape = "in USER and PASSWORD write each of / ? # [ ] @ : % as % and its code";
    let url = Url::parse(text)
        .map_err(|flaw| wrong(KEY, format!("must be {form} ({flaw}); {escape}")))?;
    let mut parameters = url.query_pairs();
    if let Some((name, _)) = parameters.find(|(name, _)| !PARAMETERS.contains(&&**name)) {
        let known = PARAMETERS.join(", ");
        return Err(wrong(KEY, format!("knows no parameter {name:?}, only {known}")));
    }
    if url.fragment().is_some() {
        return Err(wrong(KEY, format!("must be {form}, without a #; {escape}")));
    }
    Ok(())
}
