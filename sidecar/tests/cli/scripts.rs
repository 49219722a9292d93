//! `sidehook script`: what its authors are told.
//!
//! Invariant: every script is a file in a folder of its own test.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{command, printed, said, serve::Sidecar};

const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/script-engine");

fn script(folder: &TempDir, arguments: &str) -> Output {
    let mut command = command(&format!("script {arguments}"));
    command.current_dir(folder.path()).env("SIDEHOOK_SCRIPT_CACHE", CACHE).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn the_help_names_every_option() {
    let help = ["--help", "check --help", "run --help", "test --help", "backtest --help"];
    let help = help.map(|arguments| printed(&format!("script {arguments}")));
    insta::assert_snapshot!(help.join("\n----\n\n"));
}

#[test]
fn what_is_wrong_with_a_script_is_shown_where_it_is() {
    let folder = folder(&[("good.rhai", "event.data"), ("bad.rhai", "let a = 1;\nlet b = [a;\nb")]);
    let checked = script(&folder, "check good.rhai bad.rhai");
    assert!(!checked.status.success());
    assert_eq!(
        told(&checked),
        "good.rhai: fine\n\
         bad.rhai:2:11: Expecting ',' to separate the items of this array literal\n\
         \x20 2 | let b = [a;\n\
         \x20   |           ^\n",
        "{}",
        said(&checked)
    );
    assert!(script(&folder, "check good.rhai").status.success());
    let missing = script(&folder, "check none.rhai");
    assert!(said(&missing).contains("reading none.rhai"), "{}", said(&missing));
}

#[test]
fn a_script_is_run_on_an_event() {
    let folder = folder(&[
        ("a.rhai", "print(\"here\"); send(#{ hi: event.data.name }, #{ headers: #{ a: \"b\" } })"),
        ("drop.rhai", "drop(\"not this one\")"),
        ("fail.rhai", "1;\nevent.data.name.no()"),
        ("event.json", r#"{"type": "people.created", "data": {"name": "Ada"}}"#),
        ("broken.json", "{"),
    ]);
    let ran = script(&folder, "run a.rhai --event event.json");
    assert_eq!(
        told(&ran),
        "log: here\ncontent-type: application/json\na: b\n\n{\n  \"hi\": \"Ada\"\n}\n",
        "{}",
        said(&ran)
    );
    let ran = script(&folder, "run a.rhai --event event.json --json");
    let all: Value = serde_json::from_str(&told(&ran)).unwrap();
    assert_eq!((&all["outcome"], &all["log"]), (&json!("sent"), &json!(["here"])));
    let ran = script(&folder, "run drop.rhai --event event.json");
    assert_eq!((told(&ran).as_str(), ran.status.success()), ("filtered: not this one\n", true));
    let ran = script(&folder, "run fail.rhai --event event.json");
    assert!(told(&ran).starts_with("fail.rhai:2:17: ") && !ran.status.success(), "{}", told(&ran));
    let ran = script(&folder, "run a.rhai --event broken.json");
    assert!(said(&ran).contains("broken.json is not JSON"), "{}", said(&ran));
}

#[test]
fn the_scripts_of_a_folder_are_tested_on_the_events_beside_them() {
    let event = r#"{"data": {"name": "Ada"}}"#;
    let folder = folder(&[
        ("a.rhai", "#{ hi: event.data.name }"),
        ("a.in.json", event),
        ("a.out.json", r#"{"outcome": "sent", "output": {"body": {"hi": "Grace"}}}"#),
        ("a.other.in.json", event),
        ("b.rhai", "1"),
    ]);
    let tested = script(&folder, "test .");
    assert!(!tested.status.success());
    let all = told(&tested);
    assert!(all.contains("failed  a\n        ~ /output/body/hi: \"Grace\" -> \"Ada\"\n"), "{all}");
    assert!(all.contains("failed  a.other\n        reading ./a.other.out.json"), "{all}");
    assert!(all.contains("failed  b: there is no b.in.json\n"), "{all}");
    assert!(all.ends_with("0 as they should be, 3 not\n"), "{all}");
    fs::write(folder.path().join("b.in.json"), event).unwrap();
    assert!(script(&folder, "test . --update").status.success());
    let tested = script(&folder, "test .");
    assert_eq!(
        told(&tested),
        "ok      a\nok      a.other\nok      b\n3 as they should be, 0 not\n"
    );
}

#[test]
fn a_new_version_is_tried_on_what_the_sidecar_has_seen() {
    let sidecar = Sidecar::start("");
    let folder = folder(&[("a.rhai", "#{ id: event.data.id }"), ("bad.rhai", "event.data.no()")]);
    let backtest = |file: &str, more: &str| {
        let arguments = format!("backtest {file} --event-type * {more} --api {}", sidecar.api);
        script(&folder, &arguments)
    };
    let tested = backtest("a.rhai", "");
    assert!(told(&tested).starts_with("0 events: 0 same"), "{} {}", told(&tested), said(&tested));
    assert!(tested.status.success());
    let compared = backtest("a.rhai", "--against bad.rhai --json");
    let all: Value = serde_json::from_str(&told(&compared)).unwrap();
    assert_ne!(all["script_version"], all["against_version"]);
    let refused = backtest("bad.rhai", "--limit 0");
    assert!(said(&refused).contains("limit must be a whole number"), "{}", said(&refused));
    let gone = script(&folder, "run a.rhai --event-id evt_01kar0rze0e008000000000009");
    assert!(!gone.status.success());
}

#[test]
fn the_engine_is_compiled_ahead_of_time() {
    let folder = folder(&[]);
    let cache = folder.path().join("cache");
    let warmed = script(&folder, &format!("warm --script-cache {}", cache.display()));
    assert!(warmed.status.success(), "{}", said(&warmed));
    assert_eq!(fs::read_dir(Path::new(&cache)).unwrap().count(), 1);
}
