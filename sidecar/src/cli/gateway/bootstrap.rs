//! The Envoy configuration as a page to fill in.
//!
//! Invariant: whatever comes from outside is inserted as a quoted string or a number, so that no
//! value can become YAML of its own.

use std::{fmt, net::SocketAddr, time::Duration};

use askama::Template;

use super::{
    Capture, GatewayArgs, Token,
    endpoint::{Endpoint, Sidecar},
    filter::{Filter, Sha256},
    resource::Resource,
};

/// A held answer's stream may stay silent for at least this long: what Envoy's own default, five
/// minutes, is cut down to where a dead VM could otherwise keep a client that long.
const SHORTEST_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the API gets to think about a write on top of the time its answer may be held.
const TIME_TO_ANSWER: Duration = Duration::from_secs(15);

/// The configuration, ready to be rendered.
#[derive(Template)]
#[template(path = "envoy.yaml", escape = "none")]
pub(super) struct Bootstrap {
    listen: Socket,
    admin: Socket,
    filter: Code,
    gateway: Quoted,
    token: Option<Quoted>,
    capture: Quoted,
    hold_timeout: Quoted,
    hold_timeout_text: String,
    held_idle_timeout: Option<String>,
    host_rewrite: Option<Quoted>,
    resources: Vec<WatchedRoute>,
    /// Where Envoy tells of its spans, if it does.
    traces: Option<Quoted>,
    /// The API's, that from which the filter is fetched, and the collector of traces.
    clusters: Vec<Cluster>,
    sidecars: Sidecars,
}

struct Socket {
    address: Quoted,
    port: u16,
}

struct WatchedRoute {
    route: Quoted,
    name: Quoted,
    path: Quoted,
    pattern: Quoted,
}

/// What the filter is read from.
enum Code {
    File(Quoted),
    Remote { url: Quoted, sha256: Quoted },
}

struct Cluster {
    name: &'static str,
    address: Quoted,
    port: u16,
    discovery: &'static str,
    is_name: bool,
    tls: bool,
}

/// The sidecars. Any of them takes any batch.
struct Sidecars {
    endpoints: Vec<SidecarEndpoint>,
    discovery: &'static str,
    are_names: bool,
    tls: Option<SidecarTls>,
}

/// How the sidecars are known, and as whom the gateway comes.
struct SidecarTls {
    authority: Quoted,
    identity: Option<Identity>,
    /// The name that is asked for, if they all have the same one.
    name: Option<Quoted>,
    /// The names and addresses in their certificates.
    subjects: Vec<Subject>,
}

struct Identity {
    certificate: Quoted,
    key: Quoted,
}

struct Subject {
    kind: &'static str,
    name: Quoted,
}

struct SidecarEndpoint {
    address: Quoted,
    /// `None` if the address is the path of a socket.
    port: Option<u16>,
}

/// A string in JSON's quotes, which YAML reads as the same string.
struct Quoted(String);

impl From<&GatewayArgs> for Bootstrap {
    fn from(args: &GatewayArgs) -> Self {
        let hold = args.hold_timeout.0;
        let holds = match args.capture {
            Capture::Observe | Capture::BestEffort => false,
            Capture::Durable | Capture::Strict => true,
        };
        let idle = SHORTEST_IDLE_TIMEOUT.max(hold.saturating_add(TIME_TO_ANSWER));
        // A server behind TLS is found by the name in its certificate, which is seldom the name
        // that the gateway's clients use.
        let renamed = args.upstream.tls && args.upstream.is_name;
        Self {
            listen: args.listen.into(),
            admin: args.admin.into(),
            filter: Code::new(&args.filter, args.filter_sha256.as_ref()),
            gateway: quoted(&args.name),
            token: args.token.as_ref().and_then(Token::expose).map(quoted),
            capture: quoted(args.capture.as_str()),
            hold_timeout: quoted(&in_words(hold)),
            hold_timeout_text: in_words(hold),
            held_idle_timeout: holds.then(|| seconds(idle)),
            host_rewrite: renamed.then(|| quoted(&args.upstream.address)),
            resources: args.resources.iter().map(WatchedRoute::from).collect(),
            traces: args.traces.as_ref().map(collector),
            clusters: clusters(args),
            sidecars: Sidecars::from(args),
        }
    }
}

impl From<SocketAddr> for Socket {
    fn from(address: SocketAddr) -> Self {
        Self { address: quoted(&address.ip().to_string()), port: address.port() }
    }
}

impl From<&Resource> for WatchedRoute {
    fn from(resource: &Resource) -> Self {
        Self {
            route: quoted(&format!("write {}", resource.path)),
            name: quoted(&resource.name),
            path: quoted(&resource.path),
            pattern: quoted(&resource.pattern()),
        }
    }
}

fn clusters(args: &GatewayArgs) -> Vec<Cluster> {
    let mut clusters = vec![Cluster::new("api", &args.upstream)];
    if let Filter::Remote { server, .. } = &args.filter {
        clusters.push(Cluster::new("filter", server));
    }
    if let Some(collector) = &args.traces {
        clusters.push(Cluster::new("traces", collector));
    }
    clusters
}

/// Where a collector takes spans (OTLP 1.0, *OTLP/HTTP Request*).
fn collector(endpoint: &Endpoint) -> Quoted {
    let Endpoint { address, port, tls, .. } = endpoint;
    let scheme = if *tls { "https" } else { "http" };
    let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    quoted(&format!("{scheme}://{host}:{port}/v1/traces"))
}

impl Code {
    fn new(filter: &Filter, sha256: Option<&Sha256>) -> Self {
        match filter {
            Filter::File(path) => Self::File(quoted(path)),
            Filter::Remote { url, .. } => {
                let sha256 = sha256.map_or("", |Sha256(digits)| digits);
                Self::Remote { url: quoted(url), sha256: quoted(sha256) }
            }
        }
    }
}

impl Cluster {
    fn new(name: &'static str, endpoint: &Endpoint) -> Self {
        Self {
            name,
            address: quoted(&endpoint.address),
            port: endpoint.port,
            discovery: if endpoint.is_name { "STRICT_DNS" } else { "STATIC" },
            is_name: endpoint.is_name,
            tls: endpoint.tls,
        }
    }
}

impl From<&GatewayArgs> for Sidecars {
    fn from(args: &GatewayArgs) -> Self {
        let sidecars = &args.sidecars;
        let are_names = sidecars.iter().any(Sidecar::is_name);
        Self {
            endpoints: sidecars.iter().map(SidecarEndpoint::from).collect(),
            // Envoy resolves an address to itself.
            discovery: if are_names { "STRICT_DNS" } else { "STATIC" },
            are_names,
            tls: args.sidecar_ca.as_ref().map(|authority| SidecarTls::new(authority, args)),
        }
    }
}

impl SidecarTls {
    fn new(authority: &str, args: &GatewayArgs) -> Self {
        let identity = args.sidecar_certificate.as_ref().zip(args.sidecar_key.as_ref());
        let mut servers: Vec<&Endpoint> = Vec::new();
        for sidecar in &args.sidecars {
            if let Sidecar::Server(endpoint) = sidecar
                && servers.iter().all(|known| known.address != endpoint.address)
            {
                servers.push(endpoint);
            }
        }
        let name = match servers.as_slice() {
            [only] if only.is_name => Some(quoted(&only.address)),
            _ => None,
        };
        Self {
            authority: quoted(authority),
            identity: identity.map(|(certificate, key)| Identity {
                certificate: quoted(certificate),
                key: quoted(key),
            }),
            name,
            subjects: servers.into_iter().map(Subject::from).collect(),
        }
    }
}

impl From<&Endpoint> for Subject {
    fn from(endpoint: &Endpoint) -> Self {
        let kind = if endpoint.is_name { "DNS" } else { "IP_ADDRESS" };
        Self { kind, name: quoted(&endpoint.address) }
    }
}

impl From<&Sidecar> for SidecarEndpoint {
    fn from(sidecar: &Sidecar) -> Self {
        match sidecar {
            Sidecar::Server(endpoint) => {
                Self { address: quoted(&endpoint.address), port: Some(endpoint.port) }
            }
            Sidecar::Socket(path) => Self { address: quoted(path), port: None },
        }
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::Value::from(self.0.as_str()).to_string())
    }
}

fn quoted(text: &str) -> Quoted {
    Quoted(text.to_owned())
}

/// As the filter reads it: whole seconds, else milliseconds.
fn in_words(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// As Envoy reads it: seconds with a fraction.
fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}.{:03}s", duration.as_secs(), duration.subsec_millis())
    }
}
