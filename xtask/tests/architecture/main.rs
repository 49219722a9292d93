//! The architecture, kept: who may use whom, how a file opens, how long it may grow.
//!
//! Invariant: each rule is tried on an example that breaks it, so that a rule which no longer
//! sees anything fails.

#![expect(clippy::expect_used, reason = "a test fails where a panic says why")]

mod layers;
mod shape;
mod source;

use std::{path::Path, process::Command};

use source::Source;

/// Every Rust file of the working copy that git doesn't ignore, new ones included.
fn every_file() -> Vec<Source> {
    let root = xtask::workspace::root();
    let mut git = Command::new("git");
    git.current_dir(&root).args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]);
    let listed = git.output().expect("git lists the files");
    let listed = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let present = listed.lines().filter(|path| root.join(path).exists());
    present
        .map(|path| {
            let text = std::fs::read_to_string(root.join(path)).expect("a listed file is there");
            Source::new(path, &text)
        })
        .collect()
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_working_copy_has_files() {
    let files = every_file();
    for known in ["event/src/lib.rs", "sidecar/src/lib.rs", "filter/src/lib.rs", "xtask/src/lib.rs"]
    {
        assert!(files.iter().any(|file| file.path == Path::new(known)), "{known} was not seen");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_what_it_keeps_true() {
    none(&every_file().iter().flat_map(shape::faults).collect::<Vec<_>>());
}

#[test]
fn the_modules_of_the_sidecar_use_only_what_lies_below_them() {
    none(&every_file().iter().flat_map(layers::faults).collect::<Vec<_>>());
}

#[test]
fn the_contract_needs_nobody_and_the_filter_only_the_contract() {
    let manifest = |package: &str| {
        let path = xtask::workspace::root().join(package).join("Cargo.toml");
        std::fs::read_to_string(path).expect("the package has a manifest")
    };
    let none_of_ours: [&str; 0] = [];
    assert_eq!(layers::ours_in(&manifest("event")), none_of_ours);
    assert_eq!(layers::ours_in(&manifest("filter")), ["sidehook-event"]);
    assert_eq!(
        layers::ours_in("[dependencies]\nsidehook = { path = \"../sidecar\" }"),
        ["sidehook"]
    );
}
