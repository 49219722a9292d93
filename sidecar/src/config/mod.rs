//! What the operator decides: one TOML file, over it `SIDEHOOK_…` variables, over them flags.
//!
//! Invariant: a [`Config`] can be served; whatever is wrong with it was said before anything was
//! opened, with the key it is about.

mod keys;
mod roles;
mod listen;
mod store;
pub mod tls;
mod traces;
mod written;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use config::{ConfigError, FileFormat};
use secrecy::SecretString;
use thiserror::Error;
use url::Url;

use crate::model::{Allowed, Proxy, Retry, SealingKey};
pub use listen::{InvalidListen, Listen};
pub use roles::{Role, Roles};
pub use store::StoreUrl;
pub use tls::IngestTls;
pub use traces::Traces;
use written::Written;

/// The configuration of `sidehook serve`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Config {
    /// Where the API listens, and `/ingest` and `/metrics` unless they have a place of their own.
    pub listen: SocketAddr,
    /// What the process does.
    pub roles: Roles,
    /// Where `/ingest` listens, alone.
    pub ingest_listen: Option<Listen>,
    /// How that speaks TLS, if it does.
    pub ingest_tls: Option<IngestTls>,
    /// Where `/metrics` is served, alone.
    pub metrics_listen: Option<Listen>,
    /// Whether there are metrics of single subscriptions.
    pub metrics_per_subscription: bool,
    /// What survives.
    pub store: StoreUrl,
    /// The keys that seal secrets in the store: the first one seals, all of them open.
    pub secret_keys: Vec<SealingKey>,
    /// Whether the operator wants secrets to be in clear where that is no small matter.
    pub insecure_store_secrets_in_clear: bool,
    /// What spreads work.
    pub queue: QueueUrl,
    /// What the names of the broker's exchanges and queues begin with.
    pub queue_prefix: String,
    /// Whether events are published to whoever asks the broker for them.
    pub announce: bool,
    /// Whether events are taken that others publish to the broker.
    pub inbound: bool,
    /// A bearer token that may do everything. Further ones are in the store.
    pub api_token: Option<SecretString>,
    /// A bearer token that may hand in events.
    pub ingest_token: Option<SecretString>,
    /// Where deliveries may go besides public addresses.
    pub egress_allow: Vec<Allowed>,
    /// Through whom deliveries go.
    pub egress_proxy: Option<Proxy>,
    /// Whether nothing goes out in clear.
    pub egress_https_only: bool,
    /// The folder of the library of scripts.
    pub scripts: Option<PathBuf>,
    /// Where the compiled engine of scripts is kept.
    pub script_cache: Option<PathBuf>,
    /// The schedule of subscriptions that have none of their own.
    pub retry: Retry,
    /// The most attempts at a time.
    pub concurrency: usize,
    /// How long a stop waits for what is under way.
    pub drain_timeout: Duration,
    /// How long what is finished is kept; `None` is for ever.
    pub retention: Option<Duration>,
    /// Who is told of traces.
    pub traces: Option<Traces>,
}

/// Which queue, and where it is.
#[derive(Debug, Clone)]
pub enum QueueUrl {
    /// The one inside the process: `local`.
    Local,
    /// A broker: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://`.
    RabbitMq(SecretString),
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be read, or is not TOML.
    #[error("cannot read the configuration: {}", without_excerpt(.0))]
    Unreadable(ConfigError),
    /// A key is unknown, missing or has an impossible value.
    #[error("configuration key {key}: {reason}")]
    Key {
        /// The key, with its path.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The value of a key as a flag or a variable gives it.
#[derive(Debug, Clone)]
pub enum Value {
    /// One text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl Config {
    /// Reads `file` and lets `overrides` replace its keys.
    pub fn read(
        file: Option<PathBuf>,
        overrides: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<Self, Error> {
        let mut layers = config::Config::builder();
        if let Some(path) = file {
            layers = layers.add_source(config::File::from(path).format(FileFormat::Toml));
        }
        for (key, value) in overrides {
            layers = match value {
                Value::Text(text) => layers.set_override(key, text),
                Value::List(texts) => layers.set_override(key, texts),
            }
            .map_err(Error::Unreadable)?;
        }
        let layers = layers.build().map_err(Error::Unreadable)?;
        let written: Written = serde_path_to_error::deserialize(layers).map_err(|error| {
            let key = error.path().to_string();
            let reason = error.into_inner().to_string();
            // An unknown key is named by the reason alone.
            Error::Key { key: if key == "." { "?".to_owned() } else { key }, reason }
        })?;
        Self::try_from(written)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            roles: Roles::default(),
            ingest_listen: None,
            ingest_tls: None,
            metrics_listen: None,
            metrics_per_subscription: false,
            store: StoreUrl::Sqlite(PathBuf::from("sidehook.db")),
            secret_keys: Vec::new(),
            insecure_store_secrets_in_clear: false,
            queue: QueueUrl::Local,
            queue_prefix: "sidehook".to_owned(),
            announce: false,
            inbound: true,
            api_token: None,
            ingest_token: None,
            egress_allow: Vec::new(),
            egress_proxy: None,
            egress_https_only: false,
            scripts: None,
            script_cache: None,
            retry: Retry::default(),
            concurrency: 256,
            drain_timeout: Duration::from_secs(20),
            retention: Some(Duration::from_hours(30 * 24)),
            traces: None,
        }
    }
}

impl TryFrom<Written> for Config {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self, Error> {
        let usual = Self::default();
        let ingest_listen = parsed("ingest_listen", written.ingest_listen.as_deref())?;
        let config = Self {
            roles: Roles::read(&written.roles)?,
            listen: parsed("listen", written.listen.as_deref())?.unwrap_or(usual.listen),
            ingest_tls: IngestTls::read(
                written.ingest_tls_certificate,
                written.ingest_tls_key,
                written.ingest_tls_client_ca,
                ingest_listen.as_ref(),
            )?,
            ingest_listen,
            metrics_listen: parsed("metrics_listen", written.metrics_listen.as_deref())?,
            metrics_per_subscription: written
                .metrics_per_subscription
                .unwrap_or(usual.metrics_per_subscription),
            store: written.store.map_or(Ok(usual.store), StoreUrl::read)?,
            secret_keys: written.secret_keys.read()?,
            insecure_store_secrets_in_clear: written
                .insecure_store_secrets_in_clear
                .unwrap_or(usual.insecure_store_secrets_in_clear),
            queue: written.queue.map_or(Ok(usual.queue), queue_url)?,
            queue_prefix: written.queue_prefix.unwrap_or(usual.queue_prefix),
            announce: written.announce.unwrap_or(usual.announce),
            inbound: written.inbound.unwrap_or(usual.inbound),
            api_token: token("api_token", written.api_token)?,
            ingest_token: token("ingest_token", written.ingest_token)?,
            egress_allow: numbered("egress_allow", &written.egress_allow, |text| {
                text.parse().map_err(|error| format!("{error}"))
            })?,
            egress_proxy: written.egress_proxy.map(egress_proxy).transpose()?,
            egress_https_only: written.egress_https_only.unwrap_or(usual.egress_https_only),
            scripts: written.scripts.map(PathBuf::from),
            script_cache: written.script_cache.map(PathBuf::from),
            retry: Retry {
                schedule: retry_schedule(&written.retry_schedule)?.unwrap_or(usual.retry.schedule),
                jitter: written.retry_jitter.unwrap_or(usual.retry.jitter),
                horizon: usual.retry.horizon,
            },
            concurrency: written.concurrency.unwrap_or(usual.concurrency),
            drain_timeout: duration("drain_timeout", written.drain_timeout, usual.drain_timeout)?,
            retention: retention(written.retention, usual.retention)?,
            traces: Traces::read(written.traces, written.trace_sample)?,
        };
        config.check()
    }
}

impl Config {
    fn check(self) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&self.retry.jitter) {
            return Err(wrong("retry_jitter", "must be 0 to 1"));
        }
        if self.insecure_store_secrets_in_clear && !self.secret_keys.is_empty() {
            let reason = "contradicts secret_keys: with a key, secrets are not stored in clear";
            return Err(wrong("insecure_store_secrets_in_clear", reason));
        }
        if !(1..=65_536).contains(&self.concurrency) {
            return Err(wrong("concurrency", "must be 1 to 65536"));
        }
        match &self.store {
            StoreUrl::Sqlite(_) if !self.roles.are_all() => {
                let reason =
                    "must be all of them on an SQLite file, which one process has to itself";
                return Err(wrong("roles", reason));
            }
            StoreUrl::Postgres(_)
                if self.secret_keys.is_empty() && !self.insecure_store_secrets_in_clear =>
            {
                let reason = "must hold a key for a store in Postgres, which others can read \
                              (`sidehook secrets generate-key` makes one), or \
                              insecure_store_secrets_in_clear be true";
                return Err(wrong("secret_keys", reason));
            }
            StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => {}
        }
        let in_names = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let prefix = &self.queue_prefix;
        if !(1..=100).contains(&prefix.len()) || !prefix.chars().all(in_names) {
            let reason = "must have 1 to 100 characters, of A-Z a-z 0-9 - . _";
            return Err(wrong("queue_prefix", reason));
        }
        let listen = Some(Listen::Tcp(self.listen));
        for (key, own) in
            [("ingest_listen", &self.ingest_listen), ("metrics_listen", &self.metrics_listen)]
        {
            if *own == listen {
                return Err(wrong(key, "must not be the address of listen"));
            }
        }
        if self.metrics_listen.is_some() && self.metrics_listen == self.ingest_listen {
            return Err(wrong("metrics_listen", "must not be that of ingest_listen"));
        }
        Ok(self)
    }
}

/// What is said about a file that cannot be parsed, without the line it is about: a secret may
/// stand there. An excerpt has a bar in its margin.
fn without_excerpt(error: &ConfigError) -> String {
    let said = error.to_string();
    let in_excerpt = |line: &&str| {
        let line = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        line.trim_start().starts_with('|')
    };
    let lines: Vec<_> = said.lines().filter(|line| !in_excerpt(line)).collect();
    lines.join("; ")
}

fn wrong(key: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Key { key: key.into(), reason: reason.into() }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    key: &str,
    text: Option<&str>,
) -> Result<Option<T>, Error> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|error| wrong(key, format!("{text:?}: {error}")))
}

/// What is wrong with it is told without it: there is a password in it.
fn queue_url(text: String) -> Result<QueueUrl, Error> {
    if text == "local" {
        return Ok(QueueUrl::Local);
    }
    let broker = Url::parse(&text).is_ok_and(|url| {
        ["amqp", "amqps"].contains(&url.scheme())
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    if broker {
        return Ok(QueueUrl::RabbitMq(text.into()));
    }
    Err(wrong("queue", "must be local or amqp://USER:PASSWORD@HOST:PORT/VHOST"))
}

fn egress_proxy(url: String) -> Result<Proxy, Error> {
    Proxy::parse(&url.into()).map_err(|invalid| wrong("egress_proxy", invalid.to_string()))
}

fn token(key: &str, text: Option<String>) -> Result<Option<SecretString>, Error> {
    let Some(text) = text else { return Ok(None) };
    // RFC 6750, section 2.1: what may stand behind `Bearer`.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if text.len() < 16 || !text.chars().all(allowed) {
        return Err(wrong(key, "must have 16 characters or more, of A-Z a-z 0-9 - . _ ~ + / ="));
    }
    Ok(Some(text.into()))
}

fn duration(key: &str, text: Option<String>, usual: Duration) -> Result<Duration, Error> {
    let Some(text) = text else { return Ok(usual) };
    humantime::parse_duration(&text).map_err(|error| wrong(key, format!("{text:?}: {error}")))
}

fn retention(text: Option<String>, usual: Option<Duration>) -> Result<Option<Duration>, Error> {
    const KEY: &str = "retention";
    match text.as_deref() {
        None => Ok(usual),
        Some("off") => Ok(None),
        Some(_) => match duration(KEY, text, Duration::ZERO)? {
            // A slip of the pen would delete what its owner still looks at.
            short if short < Duration::from_mins(1) => Err(wrong(KEY, "must be a minute or more")),
            long => Ok(Some(long)),
        },
    }
}

fn numbered<T>(
    key: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Error> {
    let numbered = texts.iter().enumerate();
    numbered
        .map(|(n, text)| parse(text.trim()).map_err(|reason| wrong(format!("{key}[{n}]"), reason)))
        .collect()
}

fn retry_schedule(texts: &[String]) -> Result<Option<Arc<[Duration]>>, Error> {
    let waits = numbered("retry_schedule", texts, |text| {
        let wait = humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"))?;
        if wait > Retry::MAX_WAIT {
            return Err(format!("{text:?}: must be a week at most"));
        }
        Ok(wait)
    })?;
    match waits.len() {
        0 => Ok(None),
        1..=Retry::MAX_ATTEMPTS => Ok(Some(waits.into())),
        _ => Err(wrong("retry_schedule", "must have 50 waits at most")),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
