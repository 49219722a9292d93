//! `docker-compose.yml` against what it relies on: the commands, the Dockerfile, the reference
//! configuration, the list of secrets.
//!
//! Invariant: the file is read as an engine reads it, anchors and merges resolved; nothing here
//! needs an engine.

use std::{collections::BTreeSet, fs};

use serde_json::{Map, Value};

use crate::{command, gateway, printed, said};

/// The image of the `sidehook` command.
const SIDEHOOK: &str = "sidehook";

fn read(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services() -> Map<String, Value> {
    let compose: Value = serde_saphyr::from_str(&read("docker-compose.yml")).unwrap();
    let services = compose.get("services").and_then(Value::as_object).unwrap().clone();
    assert!(services.contains_key("sidecar") && services.contains_key("gateway"));
    services
}

/// The texts of a list, none if there is no list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// A service that ends by itself, and for whose end others wait.
fn is_one_shot(name: &str, services: &Map<String, Value>) -> bool {
    let awaited = format!("/depends_on/{name}/condition");
    let mut conditions = services.values().filter_map(|service| service.pointer(&awaited));
    conditions.any(|condition| condition == "service_completed_successfully")
}

/// What stands between `${` and `:?` in a file.
fn required(text: &str) -> BTreeSet<&str> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once(":?"));
    names.map(|(name, _)| name).filter(|name| !name.contains('}')).collect()
}

#[test]
fn each_command_knows_the_arguments_and_the_variables_that_it_is_given() {
    let ours = services().into_iter().filter(|(_, service)| service["image"] == SIDEHOOK);
    let ours: Vec<_> = ours.collect();
    assert!(ours.len() > 2, "{ours:?}");
    for (name, service) in ours {
        let arguments = texts(&service["command"]);
        let (does, arguments) = arguments.split_first().unwrap();
        let help = printed(&format!("{does} --help"));
        for argument in arguments {
            let flag = argument.split('=').next().unwrap();
            assert!(help.contains(&format!("{flag} ")), "{name}: {flag}");
        }
        for variable in service["environment"].as_object().into_iter().flat_map(Map::keys) {
            let known = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            assert!(known.into_iter().any(|word| word == variable), "{name}: {variable}");
        }
    }
}

#[test]
fn the_gateway_runs_on_the_reference_configuration() {
    let services = services();
    let arguments = texts(&services["gateway-config"]["command"]).join(" ");
    let (arguments, file) = arguments.split_once(" --output=").unwrap();
    let written = command(arguments).output().unwrap();
    assert!(written.status.success(), "{}", said(&written));
    assert_eq!(String::from_utf8(written.stdout).unwrap(), printed(gateway::REFERENCE));
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!(r#"CMD ["--config-path", "{file}""#)), "{file}");
    assert!(read("envoy/envoy.yaml").contains("/etc/envoy/sidehook_filter.wasm"));
    assert!(dockerfile.contains("/sidehook_filter.wasm /etc/envoy/"));
}

#[test]
fn every_service_that_stays_is_watched_and_comes_back() {
    let services = services();
    for (name, service) in &services {
        if is_one_shot(name, &services) {
            assert_eq!(service["restart"], "no", "{name}");
        } else {
            assert!(service["healthcheck"]["test"].is_array(), "{name}");
            assert_eq!(service["restart"], "unless-stopped", "{name}");
        }
    }
}

#[test]
fn a_service_waits_for_the_health_of_one_that_stays_and_the_end_of_one_that_does_not() {
    let services = services();
    for (name, service) in &services {
        for (other, awaited) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(other), "{name}: {other}");
            let condition = if is_one_shot(other, &services) {
                "service_completed_successfully"
            } else {
                "service_healthy"
            };
            assert_eq!(awaited["condition"], condition, "{name}: {other}");
        }
    }
}

#[test]
fn every_image_of_ours_is_a_target_of_the_dockerfile() {
    let dockerfile = read("Dockerfile");
    let services = services();
    let targets = services.values().filter_map(|service| service["build"]["target"].as_str());
    let targets: BTreeSet<_> = targets.collect();
    assert!(targets.contains(SIDEHOOK), "{targets:?}");
    for target in targets {
        let stage = format!(" AS {target}");
        assert!(dockerfile.lines().any(|line| line.ends_with(&stage)), "{target}");
    }
}

#[test]
fn only_the_gateway_is_open_to_everyone() {
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            let port = port.replace("${API_PUBLISH:-127.0.0.1:5000}", "127.0.0.1:5000");
            let open = !port.starts_with("127.0.0.1:");
            assert_eq!(open, port == "8000:8000", "{name}: {port}");
        }
    }
}

#[test]
fn nothing_may_do_more_than_it_must() {
    for (name, service) in services() {
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(service.get("privileged").is_none() && service.get("cap_add").is_none(), "{name}");
    }
}

#[test]
fn every_secret_is_asked_for_and_named_in_the_example_and_none_has_a_value() {
    let text = read("docker-compose.yml");
    let example = read(".env.example");
    let lines = example.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let named: BTreeSet<_> = lines.filter_map(|line| line.strip_suffix('=')).collect();
    assert_eq!(named, required(&text));
    for (name, service) in services() {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["TOKEN", "PASS", "KEYS"].iter().any(|word| variable.contains(word));
            let value = value.as_str().unwrap();
            assert!(!secret || value.starts_with("${"), "{name}: {variable}: {value}");
        }
    }
}

#[test]
fn grafana_shows_every_dashboard_and_the_sidecars_what_they_need() {
    let services = services();
    let volumes = texts(&services["grafana"]["volumes"]);
    let folder = format!("{}/../docs/monitoring/grafana", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let names = files.map(|name| name.into_string().unwrap());
    let boards: Vec<_> = names.filter(|name| name.rsplit('.').next() == Some("json")).collect();
    assert_eq!(boards.len(), 3, "{boards:?}");
    for board in &boards {
        let volume = format!("./docs/monitoring/grafana/{board}:/etc/sidehook/{board}:ro");
        assert!(volumes.contains(&volume.as_str()), "{volume}");
    }
    let home = &services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert!(
        boards.iter().any(|board| *home == format!("/etc/sidehook/{board}").as_str()),
        "{home}"
    );
    let sidecar = &services["sidecar"]["environment"];
    assert_eq!(sidecar["SIDEHOOK_METRICS_PER_SUBSCRIPTION"], "true");
}

#[test]
fn prometheus_asks_services_that_are_there() {
    let services = services();
    let config: Value = serde_saphyr::from_str(&read("docs/monitoring/prometheus.yml")).unwrap();
    let mut hosts = Vec::new();
    for job in config["scrape_configs"].as_array().unwrap() {
        for group in job["static_configs"].as_array().into_iter().flatten() {
            let hosts_of = texts(&group["targets"]).into_iter();
            hosts.extend(hosts_of.map(|target| target.split(':').next().unwrap().to_owned()));
        }
        for group in job["dns_sd_configs"].as_array().into_iter().flatten() {
            hosts.extend(texts(&group["names"]).into_iter().map(str::to_owned));
        }
    }
    assert!(hosts.iter().all(|host| services.contains_key(host)), "{hosts:?}");
    assert!(hosts.len() > 2, "{hosts:?}");
}
