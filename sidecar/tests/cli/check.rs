//! `sidehook check`: what it finds, says and ends with.
//!
//! Invariant: the servers it meets here answer as the real ones do.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use axum::{Json, Router, http::StatusCode, routing::get};
use serde_json::json;

use crate::{command, printed, said, sidehook};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy/envoy.yaml");

/// What a check printed, and whether it found no problem.
fn check(arguments: &str) -> (String, bool) {
    // No Envoy but the one that a test names.
    let output = command(&format!("check {arguments}")).env("PATH", "").output().unwrap();
    assert!(output.stderr.is_empty(), "{}", said(&output));
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

/// An Envoy that says `answer` and ends with `code`.
fn envoy(folder: &std::path::Path, answer: &str, code: u8) -> String {
    let path = folder.join("envoy");
    let version = "envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL";
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo '{version}' && exit 0\n\
         echo '{answer}' >&2\nexit {code}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn closed_port() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn the_help_names_every_option() {
    insta::assert_snapshot!(printed("check --help"));
}

#[test]
fn the_reference_configuration_has_no_problem() {
    let (told, passed) = check(&format!("--offline --gateway-config {REFERENCE}"));
    assert!(passed, "{told}");
    assert!(told.contains("warning  there is no envoy in $PATH"), "{told}");
    assert!(told.ends_with("0 problems, 1 warning\n"), "{told}");
}

#[test]
fn a_configuration_that_loses_events_is_told_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envoy.yaml");
    let config = fs::read_to_string(REFERENCE).unwrap();
    fs::write(&file, config.replace("merge_slashes: true", "merge_slashes: false")).unwrap();
    let (told, passed) = check(&format!("--offline --gateway-config {}", file.display()));
    let place = "listeners[0].filter_chains[0].filters[0].typed_config.merge_slashes: not true";
    assert!(!passed && told.contains(&format!("problem  static_resources.{place}")), "{told}");
}

#[test]
fn what_envoy_says_of_the_configuration_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = "[2026-01-01 00:00:00.000][1][critical][main] [source/a.cc:1] error: no such file";
    for (code, expected) in [(0, "valid, says Envoy"), (1, "not valid, says Envoy: error: no such")]
    {
        let envoy = envoy(folder.path(), log, code);
        let (told, passed) =
            check(&format!("--offline --gateway-config {REFERENCE} --envoy {envoy}"));
        assert!(passed == (code == 0) && told.contains(expected), "{told}");
        assert!(told.contains("ok       Envoy is of version 1.40.0"), "{told}");
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (filter, text) = (file("filter.wasm", b"\0asm\x01\0\0\0"), file("text", b"a: [\n\x1b"));
    assert!(check(&format!("--offline --filter {filter}")).1);
    for (arguments, expected) in [
        (format!("--filter {text}"), format!("{text}: not a wasm module")),
        ("--filter /no/such/file".to_owned(), "/no/such/file: No such file".to_owned()),
        (format!("--gateway-config {text}"), format!("problem  {text}: ")),
        ("--gateway-config /no/such/file".to_owned(), "/no/such/file: No such file".to_owned()),
        ("--envoy /no/such/envoy".to_owned(), "/no/such/envoy: No such file".to_owned()),
    ] {
        let (told, passed) = check(&format!("--offline {arguments}"));
        assert!(
            !passed && told.contains(&expected) && !told.contains('\x1b'),
            "{arguments}: {told}"
        );
    }
}

#[test]
fn servers_that_are_away_are_named() {
    let (api, admin, gateway) = (closed_port(), closed_port(), closed_port());
    let (told, passed) = check(&format!("--api {api} --admin {admin} --gateway {gateway}"));
    assert!(!passed && told.ends_with("3 problems, 0 warnings\n"), "{told}");
    for (who, remedy) in [
        (format!("the sidecar at {api}/ does not answer"), "start it with `sidehook serve`"),
        (format!("Envoy's admin interface at {admin}/ does not answer"), "start Envoy"),
        (format!("the gateway at {gateway}/ does not answer"), "start Envoy"),
    ] {
        assert!(told.contains(&who) && told.contains(remedy), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_answer_are_judged_by_what_they_say() {
    let unready = (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"detail": "the disk is full"})));
    let servers = Router::new()
        .route("/healthz", get("ok"))
        .route("/readyz", get(unready))
        .route("/ready", get("LIVE\n"))
        .route("/server_info", get(Json(json!({"version": "9e55/1.34.1/Clean/RELEASE/B"}))))
        .route("/stats", get("wasm.envoy.wasm.runtime.v8.active: 3\nserver.uptime: 5\n"));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, servers).await });
    let arguments = format!("--api {url} --admin {url} --gateway {url}");
    let (told, passed) = tokio::task::spawn_blocking(move || check(&arguments)).await.unwrap();
    assert!(!passed);
    insta::assert_snapshot!(told.replace(&url, "http://SERVER"));
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for arguments in ["--api nowhere", "--offline --gateway http://127.0.0.1:8000"] {
        let output = sidehook(&format!("check {arguments}"));
        let flag = arguments.split(' ').next().unwrap();
        assert!(!output.status.success() && said(&output).contains(flag), "{}", said(&output));
    }
}
