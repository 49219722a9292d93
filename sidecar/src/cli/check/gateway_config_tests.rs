//! The reference configuration is in order, and each thing taken out of it is found missing.
//!
//! Invariant: every rule has a case that breaks it.

use serde_json::json;

use super::*;

const MANAGER_AT: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";

fn reference() -> Value {
    serde_saphyr::from_str(include_str!("../../../../envoy/envoy.yaml")).unwrap()
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

fn problems(config: &Value) -> Vec<String> {
    let findings = examine(config).into_iter();
    let wrong = findings.filter(|finding| !matches!(finding, Finding::Fine(_)));
    wrong.map(|finding| finding.to_string()).collect()
}

#[test]
fn the_reference_is_in_order() {
    let findings = examine(&reference());
    assert!(findings.iter().all(|finding| matches!(finding, Finding::Fine(_))), "{findings:#?}");
    assert_eq!(sidecar_cluster(&reference()).as_deref(), Some("sidehook"));
}

#[test]
fn each_setting_taken_out_is_missed_at_its_path() {
    let filter = format!("{MANAGER_AT}.http_filters[0]");
    let route = format!("{MANAGER_AT}.route_config.virtual_hosts[0].routes[0]");
    let plugin = format!("{filter}.typed_config.config");
    for (path, level, named) in [
        (format!("{MANAGER_AT}.normalize_path"), "problem", ""),
        (format!("{MANAGER_AT}.merge_slashes"), "problem", ""),
        (format!("{MANAGER_AT}.path_with_escaped_slashes_action"), "warning", ""),
        (format!("{plugin}.failure_policy"), "problem", ""),
        (format!("{plugin}.allow_on_headers_stop_iteration"), "problem", ""),
        (format!("{plugin}.configuration.value.sidecar.cluster"), "problem", ""),
        (format!("{plugin}.configuration"), "problem", ""),
        (format!("{filter}.disabled"), "warning", ""),
        (format!("{filter}.typed_config"), "problem", "static_resources.listeners: no connection"),
        (format!("{route}.typed_per_filter_config"), "problem", "the filter is disabled and no"),
        (format!("{route}.route.idle_timeout"), "warning", ""),
        (format!("{MANAGER_AT}.route_config"), "warning", "the routes come from elsewhere"),
        (
            "static_resources.clusters[1].typed_extension_protocol_options".to_owned(),
            "problem",
            "static_resources.clusters[1]: does not speak HTTP/2",
        ),
        ("static_resources.clusters[1]".to_owned(), "problem", "there is no cluster sidehook"),
    ] {
        let mut config = reference();
        *config.pointer_mut(&pointer(&path)).unwrap() = Value::Null;
        let found = problems(&config);
        let named = if named.is_empty() { path.as_str() } else { named };
        let expected = found.iter().any(|text| text.starts_with(level) && text.contains(named));
        assert!(expected, "without {path}: {found:#?}");
    }
}

#[test]
fn over_tls_a_gateway_must_ask_who_the_sidecar_is() {
    let text = include_str!("../../../../envoy/mutual-tls.yaml");
    let config: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(problems(&config), [""; 0]);
    let over_tls = examine(&config).into_iter().map(|finding| finding.to_string());
    assert!(over_tls.into_iter().any(|text| text.contains("over HTTP/2 and TLS")));
    let tls = "static_resources.clusters[1].transport_socket.typed_config";
    let context = pointer(&format!("{tls}.common_tls_context"));
    for unasked in [json!({}), json!({"validation_context": {}}), Value::Null] {
        let mut config = config.clone();
        *config.pointer_mut(&context).unwrap() = unasked;
        let found = problems(&config);
        assert!(found[0].starts_with("problem") && found[0].contains(tls), "{found:#?}");
    }
    for elsewhere in [
        json!({"validation_context_sds_secret_config": {"name": "ca"}}),
        json!({"combined_validation_context": {"default_validation_context": {"trusted_ca": {}}}}),
    ] {
        let mut config = config.clone();
        *config.pointer_mut(&context).unwrap() = elsewhere;
        assert_eq!(problems(&config), [""; 0]);
    }
}

#[test]
fn a_filter_between_sidehook_and_the_router_is_named() {
    let mut config = reference();
    let filters = config.pointer_mut(&pointer(&format!("{MANAGER_AT}.http_filters"))).unwrap();
    let lua = json!({"name": "lua", "typed_config": {"@type": "x/lua.v3.Lua"}});
    filters.as_array_mut().unwrap().insert(1, lua);
    let found = problems(&config);
    assert!(found[0].contains("http_filters[1]: stands between"), "{found:#?}");
    let decompressor = "x/envoy.extensions.filters.http.decompressor.v3.Decompressor";
    let path = format!("{MANAGER_AT}.http_filters[1].typed_config.@type");
    *config.pointer_mut(&pointer(&path)).unwrap() = decompressor.into();
    assert_eq!(problems(&config), [""; 0]);
}

#[test]
fn a_stream_must_not_end_before_its_hold() {
    let idle = format!("{MANAGER_AT}.route_config.virtual_hosts[0].routes[0].route.idle_timeout");
    for (seconds, expected) in [
        ("2s", Some("problem")),
        ("2.5s", None),
        ("60s", None),
        ("61s", Some("warning")),
        ("0s", Some("warning")),
    ] {
        let mut config = reference();
        *config.pointer_mut(&pointer(&idle)).unwrap() = seconds.into();
        let found = problems(&config);
        assert_eq!(found.len(), usize::from(expected.is_some()), "{seconds}: {found:#?}");
        assert!(found.iter().all(|text| text.starts_with(expected.unwrap_or_default())));
    }
}

#[test]
fn where_nothing_is_held_no_stream_has_to_be_short() {
    let plugin = format!("{MANAGER_AT}.http_filters[0].typed_config.config.configuration.value");
    let idle = format!("{MANAGER_AT}.route_config.virtual_hosts[0].routes[0].route.idle_timeout");
    let mut config = reference();
    *config.pointer_mut(&pointer(&idle)).unwrap() = Value::Null;
    *config.pointer_mut(&pointer(&format!("{plugin}.capture"))).unwrap() = "best_effort".into();
    assert_eq!(problems(&config), [""; 0]);
    config.pointer_mut(&pointer(&format!("{plugin}.routes[0]"))).unwrap()["capture"] =
        "strict".into();
    assert_eq!(problems(&config).len(), 1);
}

#[test]
fn a_plugin_configuration_may_be_a_string_of_json() {
    let path = format!("{MANAGER_AT}.http_filters[0].typed_config.config.configuration.value");
    let mut config = reference();
    let value = config.pointer_mut(&pointer(&path)).unwrap();
    *value = value.to_string().into();
    assert_eq!(problems(&config), [""; 0]);
}

#[test]
fn nonsense_is_told_and_never_a_panic() {
    for nonsense in [json!(null), json!([]), json!({"static_resources": {"listeners": [[1], {}]}})]
    {
        assert!(problems(&nonsense)[0].contains("no connection manager"));
    }
}
