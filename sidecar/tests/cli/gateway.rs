//! `sidehook gateway`: the configuration it writes, and what it refuses to write.
//!
//! Invariant: the examples in `envoy/` are the command's own output.

use std::fs;

use crate::{command, printed, said, sidehook};

/// How the examples in `envoy/` are made; `envoy/README.md` names the same commands.
const EXAMPLES: [(&str, &str); 5] = [
    ("envoy.yaml", REFERENCE),
    (
        "unix-socket.yaml",
        "gateway --upstream http://people:3000 --resource people=/people \
         --sidecar unix:/run/sidehook/ingest.sock",
    ),
    (
        "mutual-tls.yaml",
        "gateway --upstream http://people:3000 --resource people=/people \
         --sidecar https://sidecar:5002 --sidecar-ca /etc/envoy/tls/ca.crt \
         --sidecar-certificate /etc/envoy/tls/tls.crt --sidecar-key /etc/envoy/tls/tls.key",
    ),
    (
        "remote-filter.yaml",
        "gateway --upstream http://people:3000 --resource people=/people \
         --sidecar http://sidecar:5000 --filter http://files:8080/sidehook_filter.wasm \
         --filter-sha256 0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "traces.yaml",
        "gateway --upstream http://people:3000 --resource people=/people \
         --sidecar http://sidecar:5000 --traces http://collector:4318",
    ),
];

/// How `envoy/envoy.yaml` is made.
pub(crate) const REFERENCE: &str = "gateway --upstream http://people:3000 --resource people=/people \
    --sidecar http://sidecar:5000 --listen 0.0.0.0:8000 --admin 0.0.0.0:9901";

#[test]
fn the_help_names_every_option() {
    insta::assert_snapshot!(printed("gateway --help"));
}

#[test]
fn an_api_beside_the_gateway() {
    insta::assert_snapshot!(printed(
        "gateway --upstream http://127.0.0.1:3000 --resource people=/people"
    ));
}

#[test]
fn an_api_behind_tls_with_nested_resources_and_a_token() {
    insta::assert_snapshot!(printed(
        "gateway --upstream https://api.example.com --resource people=/people \
         --resource members=/orgs/{org}/v1.0 --sidecar http://[::1]:5000 --name eu/edge \
         --capture best_effort --token s3cret --filter /opt/sidehook.wasm"
    ));
}

#[test]
fn an_api_at_an_address_that_must_not_lose_an_event() {
    insta::assert_snapshot!(printed(
        "gateway --upstream https://10.0.0.7:8443 --resource people=/people \
         --capture strict --hold-timeout 20500ms --listen [::]:80 --admin 127.0.0.1:9902"
    ));
}

#[test]
fn several_sidecars_on_one_store() {
    insta::assert_snapshot!(printed(
        "gateway --upstream http://127.0.0.1:3000 --resource people=/people \
         --sidecar http://sidecar-a:5000 --sidecar http://10.0.0.8:5000"
    ));
}

#[test]
fn several_sidecars_over_tls_are_known_by_any_of_their_names() {
    let printed = printed(
        "gateway --upstream http://127.0.0.1:3000 --resource people=/people \
         --sidecar https://sidecar-a:5002 --sidecar https://sidecar-a:5003 \
         --sidecar https://10.0.0.8:5002 --sidecar-ca /etc/envoy/ca.crt",
    );
    let cluster = printed.split("    - name: sidehook\n      type").nth(1).unwrap();
    insta::assert_snapshot!(cluster.split("outlier_detection").next().unwrap());
}

#[test]
fn a_sidecar_at_a_socket_is_reached_through_a_pipe() {
    let at = |sidecar: &str| {
        let api = "gateway --upstream http://api:3000 --resource people=/people";
        printed(&format!("{api} --sidecar {sidecar}"))
    };
    let pipe = r#"{ address: { pipe: { path: "/run/sidehook/ingest.sock" } } }"#;
    let address = r#"{ address: { socket_address: { address: "127.0.0.1", port_value: 5000 } } }"#;
    let by_socket = at("unix:/run/sidehook/ingest.sock");
    assert_eq!(by_socket.replace(pipe, address), at("http://127.0.0.1:5000"));
}

fn in_envoy(name: &str) -> String {
    let path = format!("{}/../envoy/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_example_is_what_its_command_writes() {
    for (file, command) in EXAMPLES {
        assert!(
            in_envoy(file) == printed(command),
            "envoy/{file} is out of date; write it anew with\n\
             cargo run -p sidehook -- {command} --output envoy/{file}"
        );
    }
}

#[test]
fn the_readme_names_the_command_of_each_example() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(&in_envoy("README.md").replace("\\\n", " "));
    for (file, command) in EXAMPLES {
        assert!(readme.contains(&words(command)), "envoy/README.md lacks: {command}");
        assert!(readme.contains(&format!("`{file}`")), "envoy/README.md lacks {file}");
    }
}

#[test]
fn a_check_finds_no_problem_in_any_example() {
    let written_by_hand = "per-route.yaml";
    for file in EXAMPLES.map(|(file, _)| file).into_iter().chain([written_by_hand]) {
        let path = format!("{}/../envoy/{file}", env!("CARGO_MANIFEST_DIR"));
        let arguments = format!("check --offline --gateway-config {path}");
        let output = command(&arguments).env("PATH", "").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        // The warning is that there is no Envoy to ask.
        assert!(told.ends_with("\n0 problems, 1 warning\n"), "{file}: {told}");
    }
}

#[test]
fn a_file_is_written_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envoy.yaml");
    let arguments = "gateway --upstream http://api:3000 --resource people=/people";
    let output = command(arguments).arg("--output").arg(&file).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    assert_eq!(fs::read_to_string(file).unwrap(), printed(arguments));
}

#[test]
fn the_token_comes_from_the_environment_and_an_empty_one_is_none() {
    let arguments = "gateway --upstream http://api:3000 --resource people=/people";
    let with_token = |token: &str| {
        let output = command(arguments).env("SIDEHOOK_INGEST_TOKEN", token).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(with_token("s3\"cret").contains(r#"token: "s3\"cret""#));
    assert_eq!(with_token(""), printed(arguments));
}

#[test]
fn what_cannot_work_is_refused_with_the_name_of_its_flag() {
    let api = "gateway --upstream http://api:3000";
    let people = "--resource people=/people";
    for (arguments, flag) in [
        (format!("gateway {people}"), "--upstream"),
        (format!("gateway --upstream http://api/v1 {people}"), "--upstream"),
        (api.to_owned(), "--resource"),
        (format!("{api} --resource People=/people"), "--resource"),
        (format!("{api} {people} --resource staff=/People/"), "--resource"),
        (format!("{api} {people} --listen 8000"), "--listen"),
        (format!("{api} {people} --admin localhost:9901"), "--admin"),
        (format!("{api} {people} --sidecar https://sidecar:5000"), "--sidecar-ca"),
        (format!("{api} {people} --sidecar-ca /ca.crt"), "--sidecar-ca"),
        (
            format!("{api} {people} --sidecar https://a --sidecar http://b --sidecar-ca /ca.crt"),
            "--sidecar",
        ),
        (
            format!("{api} {people} --sidecar https://a --sidecar unix:/b --sidecar-ca /ca.crt"),
            "--sidecar",
        ),
        (
            format!("{api} {people} --sidecar https://a --sidecar-ca /ca.crt --sidecar-key /key"),
            "--sidecar-certificate",
        ),
        (format!("{api} {people} --sidecar unix:ingest.sock"), "--sidecar"),
        (format!("{api} {people} --sidecar unix:/a.sock --sidecar http://b:1"), "--sidecar"),
        (format!("{api} {people} --filter http://a/f.wasm"), "--filter-sha256"),
        (format!("{api} {people} --filter-sha256 {}", "0".repeat(64)), "--filter-sha256"),
        (format!("{api} {people} --filter http://a/f --filter-sha256 abc"), "--filter-sha256"),
        (format!("{api} {people} --capture always"), "--capture"),
        (format!("{api} {people} --hold-timeout 0s"), "--hold-timeout"),
        (format!("{api} {people} --hold-timeout 2"), "--hold-timeout"),
        (format!("{api} {people} --name a\"b"), "--name"),
        (format!("{api} {people} --token töken"), "--token"),
        (format!("{api} {people} --output /no/such/folder/envoy.yaml"), "--output"),
    ] {
        let output = sidehook(&arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments}");
        assert!(said(&output).contains(flag), "{arguments}: {}", said(&output));
    }
}
