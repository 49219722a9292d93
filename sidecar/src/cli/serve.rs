//! `sidehook serve`: takes events, keeps them, delivers them.
//!
//! Invariant: a flag, its variable and its key in the file have the same name and the same form.

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use crate::{
    app,
    config::{Config, Value, tls},
    lifecycle, observe,
};

/// The keys have no flag: a command line is seen by everybody on the machine.
const KEYS: &str = "SIDEHOOK_SECRET_KEYS";

/// What `sidehook serve` is told. All of it but the log may stand in the file too.
#[derive(Debug, Args)]
#[command(after_help = "The keys that encrypt secrets in the store are taken from the file \
    (secret_keys) or the variable SIDEHOOK_SECRET_KEYS; they have no flag.")]
pub struct ServeArgs {
    /// Read the configuration from this TOML file
    #[arg(long, env = "SIDEHOOK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here; beyond loopback tokens are needed [default: 127.0.0.1:5000]
    #[arg(long, env = "SIDEHOOK_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// Do only these parts of the work: ingest, dispatch, deliver, api [default: all of them]
    #[arg(long, env = "SIDEHOOK_ROLES", value_delimiter = ',', value_name = "ROLES", num_args = 1)]
    roles: Vec<String>,
    /// Listen for gateways here alone [default: where the API listens]
    #[arg(long, env = "SIDEHOOK_INGEST_LISTEN", value_name = "ADDRESS|unix:PATH")]
    ingest_listen: Option<String>,
    /// Speak TLS where gateways come in, with this certificate and those above it, as PEM
    #[arg(long, env = "SIDEHOOK_INGEST_TLS_CERTIFICATE", value_name = "FILE")]
    ingest_tls_certificate: Option<String>,
    /// The key of that certificate, as PEM
    #[arg(long, env = "SIDEHOOK_INGEST_TLS_KEY", value_name = "FILE")]
    ingest_tls_key: Option<String>,
    /// Let in only gateways that show a certificate of this authority
    #[arg(long, env = "SIDEHOOK_INGEST_TLS_CLIENT_CA", value_name = "FILE")]
    ingest_tls_client_ca: Option<String>,
    /// Serve /metrics here alone [default: where the API listens]
    #[arg(long, env = "SIDEHOOK_METRICS_LISTEN", value_name = "ADDRESS|unix:PATH")]
    metrics_listen: Option<String>,
    /// Show metrics of single subscriptions too
    #[arg(long, env = "SIDEHOOK_METRICS_PER_SUBSCRIPTION")]
    metrics_per_subscription: bool,
    /// Keep everything here [default: sqlite:sidehook.db]
    #[arg(
        long,
        env = "SIDEHOOK_STORE",
        hide_env_values = true,
        value_name = "sqlite:PATH|postgres://…"
    )]
    store: Option<String>,
    /// Store signing secrets and custom headers unencrypted even on a database server
    #[arg(long, env = "SIDEHOOK_INSECURE_STORE_SECRETS_IN_CLEAR")]
    insecure_store_secrets_in_clear: bool,
    /// Spread work through this: local, or a RabbitMQ [default: local]
    #[arg(long, env = "SIDEHOOK_QUEUE", hide_env_values = true, value_name = "local|amqp://…")]
    queue: Option<String>,
    /// Begin the names of exchanges and queues with this [default: sidehook]
    #[arg(long, env = "SIDEHOOK_QUEUE_PREFIX", value_name = "PREFIX")]
    queue_prefix: Option<String>,
    /// Publish every event to the RabbitMQ, for queues of others [default: false]
    #[arg(long, env = "SIDEHOOK_ANNOUNCE", value_name = "true|false")]
    announce: Option<String>,
    /// Take events that others publish to the RabbitMQ [default: true]
    #[arg(long, env = "SIDEHOOK_INBOUND", value_name = "true|false")]
    inbound: Option<String>,
    /// Let in at the API who carries this bearer token, or one made with `sidehook token`
    #[arg(long, env = "SIDEHOOK_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    /// Let in gateways that carry this bearer token, or one with the scope events:write
    #[arg(long, env = "SIDEHOOK_INGEST_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    ingest_token: Option<String>,
    /// Deliver to this network, address or host although it is not public
    #[arg(
        long,
        env = "SIDEHOOK_EGRESS_ALLOW",
        value_delimiter = ',',
        value_name = "CIDR|HOST",
        num_args = 1
    )]
    egress_allow: Vec<String>,
    /// Deliver through this proxy: http://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "SIDEHOOK_EGRESS_PROXY", hide_env_values = true, value_name = "URL")]
    egress_proxy: Option<String>,
    /// Deliver over https alone
    #[arg(long, env = "SIDEHOOK_EGRESS_HTTPS_ONLY")]
    egress_https_only: bool,
    /// Take the scripts that subscriptions name `@…` from the files of this folder too
    #[arg(long, env = "SIDEHOOK_SCRIPTS", value_name = "FOLDER")]
    scripts: Option<String>,
    /// Keep the compiled engine of scripts in this folder [default: the user's cache]
    #[arg(long, env = "SIDEHOOK_SCRIPT_CACHE", value_name = "FOLDER")]
    script_cache: Option<String>,
    /// Wait so long before each attempt, unless the subscription says otherwise
    /// [default: 0s,5s,5m,30m,2h,5h,10h,14h,20h,24h]
    #[arg(
        long,
        env = "SIDEHOOK_RETRY_SCHEDULE",
        value_delimiter = ',',
        value_name = "WAITS",
        num_args = 1
    )]
    retry_schedule: Vec<String>,
    /// Make at most so many attempts at a time [default: 256]
    #[arg(long, env = "SIDEHOOK_CONCURRENCY", value_name = "COUNT")]
    concurrency: Option<String>,
    /// Wait so long for what is under way when told to stop [default: 20s]
    #[arg(long, env = "SIDEHOOK_DRAIN_TIMEOUT", value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Keep what is finished so long, or `off` for ever [default: 30d]
    #[arg(long, env = "SIDEHOOK_RETENTION", value_name = "DURATION")]
    retention: Option<String>,
    /// Tell this OpenTelemetry collector of traces, over OTLP/HTTP
    #[arg(long, env = "SIDEHOOK_TRACES", value_name = "URL")]
    traces: Option<String>,
    /// Tell of this share of the traces that begin here [default: 1]
    #[arg(long, env = "SIDEHOOK_TRACE_SAMPLE", value_name = "0..1")]
    trace_sample: Option<String>,
    /// Log what passes this filter: a level, or one for each module
    #[arg(long, env = "SIDEHOOK_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log in this form
    #[arg(long, env = "SIDEHOOK_LOG_FORMAT", default_value = "text", value_name = "FORM")]
    log_format: observe::Format,
}

/// Serves until a signal asks for the end.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.configure()?;
    let stop = lifecycle::stop_on_signal().context("listening for signals")?;
    app::serve(config, stop).await?;
    Ok(ExitCode::SUCCESS)
}

impl ServeArgs {
    /// Starts the log and reads the configuration.
    pub(super) fn configure(self) -> anyhow::Result<Config> {
        observe::install(&self.log, self.log_format).context("--log")?;
        Ok(Config::read(self.config.clone(), self.overrides())?)
    }

    fn overrides(self) -> impl Iterator<Item = (&'static str, Value)> {
        let keys = env::var_os(KEYS).map(|keys| keys.to_string_lossy().into_owned());
        let in_clear = self.insecure_store_secrets_in_clear.then(|| "true".to_owned());
        let https_only = self.egress_https_only.then(|| "true".to_owned());
        let per_subscription = self.metrics_per_subscription.then(|| "true".to_owned());
        let texts = [
            ("listen", self.listen),
            ("ingest_listen", self.ingest_listen),
            (tls::CERTIFICATE, self.ingest_tls_certificate),
            (tls::KEY, self.ingest_tls_key),
            (tls::CLIENT_CA, self.ingest_tls_client_ca),
            ("metrics_listen", self.metrics_listen),
            ("metrics_per_subscription", per_subscription),
            ("store", self.store),
            ("secret_keys", keys),
            ("insecure_store_secrets_in_clear", in_clear),
            ("egress_proxy", self.egress_proxy),
            ("egress_https_only", https_only),
            ("scripts", self.scripts),
            ("script_cache", self.script_cache),
            ("queue", self.queue),
            ("queue_prefix", self.queue_prefix),
            ("announce", self.announce),
            ("inbound", self.inbound),
            ("api_token", self.api_token),
            ("ingest_token", self.ingest_token),
            ("concurrency", self.concurrency),
            ("drain_timeout", self.drain_timeout),
            ("retention", self.retention),
            ("traces", self.traces),
            ("trace_sample", self.trace_sample),
        ];
        let lists = [
            ("egress_allow", self.egress_allow),
            ("retry_schedule", self.retry_schedule),
            ("roles", self.roles),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Value::Text(text?))));
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        texts.chain(lists.map(|(key, list)| (key, Value::List(list))))
    }
}
