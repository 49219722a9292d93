//! The configuration as it is written: every key, each optional.
//!
//! Invariant: a key that is not here is refused, so that a slip of the pen is seen.

use serde::Deserialize;

use super::keys::WrittenKeys;

/// The keys of the file. Flags and variables have the same names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    /// `127.0.0.1:5000`
    pub(super) listen: Option<String>,
    /// `["ingest", "dispatch", "deliver", "api"]`
    pub(super) roles: Vec<String>,
    /// `127.0.0.1:5002` or `unix:/run/sidehook/ingest.sock`
    pub(super) ingest_listen: Option<String>,
    /// `/etc/sidehook/tls/tls.crt`
    pub(super) ingest_tls_certificate: Option<String>,
    /// `/etc/sidehook/tls/tls.key`
    pub(super) ingest_tls_key: Option<String>,
    /// `/etc/sidehook/tls/ca.crt`
    pub(super) ingest_tls_client_ca: Option<String>,
    /// `127.0.0.1:5003` or `unix:/run/sidehook/metrics.sock`
    pub(super) metrics_listen: Option<String>,
    /// `false`
    pub(super) metrics_per_subscription: Option<bool>,
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`
    pub(super) store: Option<String>,
    /// `["file:/run/secrets/sidehook.key"]`
    pub(super) secret_keys: WrittenKeys,
    /// `false`
    pub(super) insecure_store_secrets_in_clear: Option<bool>,
    /// `local` or `amqp://USER:PASSWORD@HOST:PORT/VHOST`
    pub(super) queue: Option<String>,
    /// `sidehook`
    pub(super) queue_prefix: Option<String>,
    /// `false`
    pub(super) announce: Option<bool>,
    /// `true`
    pub(super) inbound: Option<bool>,
    /// The bearer token of the API.
    pub(super) api_token: Option<String>,
    /// The bearer token of `/ingest`.
    pub(super) ingest_token: Option<String>,
    /// `["10.1.0.0/16", "hooks.internal"]`
    pub(super) egress_allow: Vec<String>,
    /// `http://USER:PASSWORD@HOST:PORT`
    pub(super) egress_proxy: Option<String>,
    /// `false`
    pub(super) egress_https_only: Option<bool>,
    /// `/etc/sidehook/scripts`
    pub(super) scripts: Option<String>,
    /// `/var/cache/sidehook`
    pub(super) script_cache: Option<String>,
    /// `["0s", "5s", "5m"]`
    pub(super) retry_schedule: Vec<String>,
    /// `0.1`
    pub(super) retry_jitter: Option<f64>,
    /// `256`
    pub(super) concurrency: Option<usize>,
    /// `20s`
    pub(super) drain_timeout: Option<String>,
    /// `30d` or `off`
    pub(super) retention: Option<String>,
    /// `http://collector:4318`
    pub(super) traces: Option<String>,
    /// `0.1`
    pub(super) trace_sample: Option<f64>,
}
