//! The Envoy configuration as a page to fill in.
//!
//! Invariant: whatever comes from outside is inserted as a quoted string or a number, so that no
//! value can become YAML of its own.

use std::{fmt, net::SocketAddr, time::Duration};

use askama::Template;

use super::{
    Capture, GatewayArgs, Token,
    endpoint::{Endpoint, Sidecar},
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
    filter: Quoted,
    gateway: Quoted,
    token: Option<Quoted>,
    capture: Quoted,
    hold_timeout: Quoted,
    hold_timeout_text: String,
    held_idle_timeout: Option<String>,
    host_rewrite: Option<Quoted>,
    resources: Vec<WatchedRoute>,
    api: Cluster,
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

struct Cluster {
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
            filter: quoted(&args.filter),
            gateway: quoted(&args.name),
            token: args.token.as_ref().and_then(Token::expose).map(quoted),
            capture: quoted(args.capture.as_str()),
            hold_timeout: quoted(&in_words(hold)),
            hold_timeout_text: in_words(hold),
            held_idle_timeout: holds.then(|| seconds(idle)),
            host_rewrite: renamed.then(|| quoted(&args.upstream.address)),
            resources: args.resources.iter().map(WatchedRoute::from).collect(),
            api: Cluster::from(&args.upstream),
            sidecars: Sidecars::from(&*args.sidecars),
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

impl From<&Endpoint> for Cluster {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            address: quoted(&endpoint.address),
            port: endpoint.port,
            discovery: if endpoint.is_name { "STRICT_DNS" } else { "STATIC" },
            is_name: endpoint.is_name,
            tls: endpoint.tls,
        }
    }
}

impl From<&[Sidecar]> for Sidecars {
    fn from(sidecars: &[Sidecar]) -> Self {
        let are_names = sidecars.iter().any(Sidecar::is_name);
        Self {
            endpoints: sidecars.iter().map(SidecarEndpoint::from).collect(),
            // Envoy resolves an address to itself.
            discovery: if are_names { "STRICT_DNS" } else { "STATIC" },
            are_names,
        }
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
