//! `sidehook token`: from the first token to the last, at a sidecar that runs.
//!
//! Invariant: a token is looked for in everything that was said, and found only where `create`
//! printed it.

use std::process::Output;

use crate::{command, printed, said, serve::Sidecar};

fn token(sidecar: &Sidecar, arguments: &str, bearer: &str) -> Output {
    let arguments = format!("token {arguments} --api {}", sidecar.api);
    command(&arguments).env("SIDEHOOK_API_TOKEN", bearer).output().unwrap()
}

/// What a successful run printed.
fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_names_every_option() {
    let help = ["--help", "create --help", "list --help", "revoke --help"];
    let help = help.map(|arguments| printed(&format!("token {arguments}")));
    insta::assert_snapshot!(help.join("\n----\n\n"));
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let sidecar = Sidecar::start("");
    let admin = told(token(&sidecar, "create --name me --scope admin", ""));
    let admin = admin.trim_end();
    assert!(admin.starts_with("shk_") && admin.len() == 89, "{admin}");

    let without = token(&sidecar, "list", "");
    assert!(said(&without).contains("was answered 401"), "{}", said(&without));
    let create = "create --name grafana --scope metrics:read,events:read --expires-in 90d";
    let reader = told(token(&sidecar, create, admin));
    let reader = reader.trim_end();
    let forbidden = token(&sidecar, "list", reader);
    let lacks = "was answered 403: the token lacks the scope admin";
    assert!(said(&forbidden).contains(lacks), "{}", said(&forbidden));

    let list = told(token(&sidecar, "list", admin));
    let grafana = list.lines().find(|line| line.contains("grafana")).unwrap();
    assert!(grafana.contains("events:read metrics:read") && grafana.contains("ends 20"), "{list}");
    let id = grafana.split(' ').next().unwrap();
    assert_eq!(told(token(&sidecar, &format!("revoke {id}"), admin)), "");
    let revoked = token(&sidecar, "list", reader);
    assert!(said(&revoked).contains("the bearer token was revoked"), "{}", said(&revoked));
    let list = told(token(&sidecar, "list", admin));
    assert!(list.contains("  revoked 20"), "{list}");
    let unknown = token(&sidecar, "revoke tok_01h2xcejqtf2nbrexx3vqjhp41", admin);
    assert!(said(&unknown).contains("was answered 404: there is no such token"));

    // What begins each, its id, is no secret; the rest stands nowhere else.
    let database = sidecar.folder.path().join("sidehook.db-wal");
    let stored = std::fs::read(database).unwrap();
    for token in [admin, reader] {
        let secret = &token[30..];
        assert!(!list.contains(secret) && !String::from_utf8_lossy(&stored).contains(secret));
    }
}

#[test]
fn a_token_outlives_the_process_that_made_it() {
    let sidecar = Sidecar::start("");
    let admin = told(token(&sidecar, "create --name me --scope admin", ""));
    let sidecar = Sidecar::start_in(sidecar.stop(), "");
    assert!(told(token(&sidecar, "list", admin.trim_end())).contains("  me  "));
    assert!(said(&token(&sidecar, "list", "")).contains("was answered 401"));
}

#[test]
fn what_cannot_be_made_is_refused_and_told_why() {
    let sidecar = Sidecar::start("");
    for (arguments, reason) in [
        ("create --name a", "--scope"),
        ("create --name a --scope root", "must be one of events:write, events:read"),
        ("create --name a --scope events:read", "scopes must hold admin"),
        ("create --name a --scope admin --expires-in soon", "expires_in must be a duration"),
    ] {
        let refused = token(&sidecar, arguments, "");
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{arguments}");
        assert!(said(&refused).contains(reason), "{arguments}: {}", said(&refused));
    }
}
