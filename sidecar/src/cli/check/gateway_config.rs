//! What is missing in an Envoy configuration for the filter to keep its promises. Pure.
//!
//! Invariant: whatever can lose an event without a trace is a problem, not a warning; each
//! finding names the path of what it is about.

use std::time::Duration;

use serde_json::Value;

use super::{finding::Finding, node::Node};

/// A held stream that may stay silent for longer keeps a client waiting for as long when a VM
/// dies, in seconds.
const LONG_IDLE: f64 = 60.0;

/// Envoy's own `stream_idle_timeout`, in seconds.
const DEFAULT_IDLE: f64 = 300.0;

const MANAGER: &str = "http_connection_manager.v3.HttpConnectionManager";
const WASM: &str = "filters.http.wasm.v3.Wasm";
const ROUTER: &str = "filters.http.router.v3.Router";
const TLS: &str = "transport_sockets.tls.v3.UpstreamTlsContext";
const DECOMPRESSOR: &str = "filters.http.decompressor.v3.Decompressor";

/// Looks at a configuration as parsed from YAML or JSON.
pub(super) fn examine(config: &Value) -> Vec<Finding> {
    let root = Node::root(config);
    let managers = connection_managers(&root);
    let watched: Vec<_> = managers
        .iter()
        .filter_map(|manager| {
            let filters = manager.at("http_filters").elements();
            let position = filters.iter().position(is_ours)?;
            Some((manager, filters, position))
        })
        .collect();
    if watched.is_empty() {
        return vec![Finding::problem(
            "static_resources.listeners: no connection manager has the filter sidehook",
            "add the filter as `sidehook gateway` writes it",
        )];
    }
    let mut findings = Vec::new();
    for (manager, filters, position) in watched {
        let Some(filter) = filters.get(position) else {
            continue;
        };
        findings.extend(place(filters.get(position + 1..).unwrap_or_default(), filter));
        findings.extend(plugin(filter));
        findings.extend(paths(manager));
        match plugin_config(filter) {
            Some(plugin) => {
                findings.push(cluster(&root, filter, &plugin));
                findings.extend(routes(manager, filter, hold_timeout(&plugin)));
            }
            None => findings.push(Finding::problem(
                format!("{}: not readable", filter.at("typed_config.config.configuration").path),
                "write it as a google.protobuf.Struct, or as a StringValue that holds JSON",
            )),
        }
    }
    findings
}

/// The name of the cluster to which the filter sends its events.
pub(super) fn sidecar_cluster(config: &Value) -> Option<String> {
    let managers = connection_managers(&Node::root(config));
    let mut filters = managers.iter().flat_map(|manager| manager.at("http_filters").elements());
    let plugin = plugin_config(&filters.find(is_ours)?)?;
    Some(plugin.pointer("/sidecar/cluster")?.as_str()?.to_owned())
}

fn connection_managers<'a>(root: &Node<'a>) -> Vec<Node<'a>> {
    let mut managers = Vec::new();
    for listener in root.at("static_resources.listeners").elements() {
        let mut chains = listener.at("filter_chains").elements();
        chains.push(listener.at("default_filter_chain"));
        for filter in chains.iter().flat_map(|chain| chain.at("filters").elements()) {
            managers.extend(Some(filter.at("typed_config")).filter(|config| config.is_a(MANAGER)));
        }
    }
    managers
}

fn is_ours(filter: &Node<'_>) -> bool {
    let config = filter.at("typed_config.config");
    let names = [filter.at("name"), config.at("name"), config.at("root_id")];
    filter.at("typed_config").is_a(WASM)
        && names.iter().any(|name| name.text().is_some_and(|name| name.contains("sidehook")))
}

/// Whether the filter sees the API's own answers.
fn place(after: &[Node<'_>], filter: &Node<'_>) -> Option<Finding> {
    let is = |node: &Node<'_>, kind| node.at("typed_config").is_a(kind);
    match after {
        [between @ .., last] if is(last, ROUTER) => {
            let stranger = between.iter().find(|node| !is(node, DECOMPRESSOR));
            Some(stranger.map_or_else(
                || Finding::fine(format!("{}: last before the router", filter.path)),
                |node| {
                    Finding::problem(
                        format!("{}: stands between sidehook and the router", node.path),
                        "move sidehook behind it: what such a filter answers in the API's place \
                         must not look like the API's own",
                    )
                },
            ))
        }
        // Envoy refuses a chain that does not end with a terminal filter.
        _ => None,
    }
}

fn plugin(filter: &Node<'_>) -> Vec<Finding> {
    let config = filter.at("typed_config.config");
    let mut findings = Vec::new();
    let policy = config.at("failure_policy");
    findings.push(if policy.text() == Some("FAIL_RELOAD") {
        Finding::fine(format!("{}: FAIL_RELOAD", policy.path))
    } else {
        Finding::problem(
            format!("{}: not FAIL_RELOAD", policy.path),
            "set failure_policy: FAIL_RELOAD, else one crash of the filter either refuses every \
             write from then on or lets them all pass without an event",
        )
    });
    let flag = config.at("allow_on_headers_stop_iteration");
    findings.push(if flag.is_true() {
        Finding::fine(format!("{}: true", flag.path))
    } else {
        Finding::problem(
            format!("{}: not true", flag.path),
            "set it to true, else an answer's body cannot be seen before the client has the \
             status line",
        )
    });
    findings
}

fn paths(manager: &Node<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = ["normalize_path", "merge_slashes"]
        .map(|name| manager.field(name))
        .into_iter()
        .map(|setting| {
            if setting.is_true() {
                return Finding::fine(format!("{}: true", setting.path));
            }
            Finding::problem(
                format!("{}: not true", setting.path),
                "set it to true, else an API that reads //people/1 or /people/./1 as /people/1 \
                 writes without an event",
            )
        })
        .collect();
    let escaped = manager.field("path_with_escaped_slashes_action");
    findings.push(match escaped.text() {
        Some("REJECT_REQUEST" | "UNESCAPE_AND_REDIRECT" | "UNESCAPE_AND_FORWARD") => {
            Finding::fine(format!("{}: set", escaped.path))
        }
        _ => Finding::warning(
            format!("{}: escaped slashes pass as they are", escaped.path),
            "set it to REJECT_REQUEST unless the API's ids hold slashes: an API that reads \
             /people%2F1 as /people/1 writes without an event",
        ),
    });
    findings
}

/// What the filter itself is told, from either form in which Envoy takes it.
fn plugin_config(filter: &Node<'_>) -> Option<Value> {
    let value = filter.at("typed_config.config.configuration").field("value").value;
    match value {
        Value::String(json) => serde_json::from_str(json).ok().filter(Value::is_object),
        Value::Object(_) => Some(value.clone()),
        _ => None,
    }
}

/// How long answers are held, `None` if no route holds any.
fn hold_timeout(plugin: &Value) -> Option<Duration> {
    let holds =
        |value: &Value| value.get("capture").map(|mode| mode != "best_effort" && mode != "observe");
    let mut routes = plugin.get("routes").and_then(Value::as_array).into_iter().flatten();
    let by_default = holds(plugin).unwrap_or(true);
    if !routes.any(|route| holds(route).unwrap_or(by_default)) {
        return None;
    }
    let text = plugin.get("hold_timeout").and_then(Value::as_str);
    Some(
        text.and_then(|text| humantime::parse_duration(text).ok())
            .unwrap_or(Duration::from_secs(2)),
    )
}

fn cluster(root: &Node<'_>, filter: &Node<'_>, plugin: &Value) -> Finding {
    let path = filter.at("typed_config.config.configuration.value.sidecar.cluster").path;
    let Some(name) = plugin.pointer("/sidecar/cluster").and_then(Value::as_str) else {
        return Finding::problem(format!("{path}: missing"), "name the cluster of the sidecar");
    };
    let clusters = root.at("static_resources.clusters").elements();
    let Some(cluster) = clusters.iter().find(|cluster| cluster.at("name").text() == Some(name))
    else {
        return Finding::problem(
            format!("{path}: there is no cluster {name}"),
            "add it under static_resources.clusters as `sidehook gateway` writes it",
        );
    };
    let options = cluster.field("typed_extension_protocol_options").members();
    let is_http2 = cluster.field("http2_protocol_options").exists()
        || options.iter().any(|o| o.at("explicit_http_config.http2_protocol_options").exists());
    let tls = cluster.at("transport_socket.typed_config");
    if tls.is_a(TLS) && !validates(&tls.at("common_tls_context")) {
        return Finding::problem(
            format!("{}: does not ask who the sidecar is", tls.path),
            "add common_tls_context.validation_context with trusted_ca as `sidehook gateway` \
             writes it, else anybody who comes in between is handed the events",
        );
    }
    if is_http2 {
        let over = if tls.is_a(TLS) { "HTTP/2 and TLS" } else { "HTTP/2" };
        return Finding::fine(format!("{}: {name}, over {over}", cluster.path));
    }
    Finding::problem(
        format!("{}: does not speak HTTP/2", cluster.path),
        "add http2_protocol_options under typed_extension_protocol_options: over HTTP/1 the last \
         events are lost when Envoy stops",
    )
}

/// Whether the other end has to show a certificate of an authority. What comes from elsewhere is
/// trusted to say so.
fn validates(context: &Node<'_>) -> bool {
    let named = ["trusted_ca", "system_root_certs", "ca_certificate_provider_instance"];
    let authorities = |context: &Node<'_>| named.iter().any(|name| context.field(name).exists());
    authorities(&context.at("validation_context"))
        || authorities(&context.at("combined_validation_context.default_validation_context"))
        || context.field("validation_context_sds_secret_config").exists()
        || context.at("combined_validation_context.validation_context_sds_secret_config").exists()
}

fn routes(manager: &Node<'_>, filter: &Node<'_>, hold: Option<Duration>) -> Vec<Finding> {
    let disabled = filter.field("disabled");
    let config = manager.at("route_config");
    if !config.exists() {
        return vec![Finding::warning(
            format!("{}: the routes come from elsewhere and cannot be checked", manager.path),
            "see to it that the routes of the writes enable the filter",
        )];
    }
    let name = filter.at("name").text().unwrap_or_default();
    let watched: Vec<_> = watched_routes(&config, name, disabled.is_true());
    if watched.is_empty() {
        return vec![Finding::problem(
            format!("{}: the filter is disabled and no route enables it", disabled.path),
            format!("add typed_per_filter_config.{name} to the routes of the writes"),
        )];
    }
    let mut findings = vec![if disabled.is_true() {
        Finding::fine(format!("{}: true, and {} routes enable it", disabled.path, watched.len()))
    } else {
        Finding::warning(
            format!("{}: not true, so reads pass through the filter as well", disabled.path),
            "disable it and enable it on the routes of the writes alone",
        )
    }];
    if let Some(hold) = hold {
        let manager_idle = manager.at("stream_idle_timeout").seconds();
        let default = manager_idle.unwrap_or(DEFAULT_IDLE);
        findings.extend(watched.iter().filter_map(|route| idle(route, default, hold)));
    }
    findings
}

/// The routes that run the filter.
fn watched_routes<'a>(config: &Node<'a>, name: &str, disabled: bool) -> Vec<Node<'a>> {
    // The innermost word counts: a route's, its virtual host's, the whole configuration's.
    let says = |node: &Node<'_>| {
        let own = node.at("typed_per_filter_config").field(name);
        own.exists().then(|| !own.at("disabled").is_true())
    };
    let outer = says(config).unwrap_or(!disabled);
    let mut watched = Vec::new();
    for host in config.at("virtual_hosts").elements() {
        let outer = says(&host).unwrap_or(outer);
        let routes = host.at("routes").elements().into_iter();
        watched.extend(routes.filter(|route| says(route).unwrap_or(outer)));
    }
    watched
}

/// Whether a held stream on `route` may stay silent for long enough, and not for too long.
fn idle(route: &Node<'_>, default: f64, hold: Duration) -> Option<Finding> {
    let setting = route.at("route.idle_timeout");
    let seconds = setting.seconds().unwrap_or(default);
    // Zero is for ever.
    if seconds > 0.0 && seconds <= hold.as_secs_f64() {
        return Some(Finding::problem(
            format!("{}: {seconds} s, and answers are held for {hold:?}", setting.path),
            "make it longer than hold_timeout, else Envoy answers 504 while the event is on its way",
        ));
    }
    (seconds > LONG_IDLE || seconds <= 0.0).then(|| {
        Finding::warning(
            format!("{}: more than {LONG_IDLE} s", setting.path),
            "set it to 30s or so: clients whose answers the filter holds wait for this long should \
             its VM die",
        )
    })
}

#[cfg(test)]
#[path = "gateway_config_tests.rs"]
mod tests;
