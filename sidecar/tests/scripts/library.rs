//! The library: the scripts that come with the program, and those of a folder.
//!
//! Invariant: what is shipped is what is tried here.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{collections::BTreeSet, fs, path::Path, process::ExitCode};

use clap::Parser as _;
use sidehook::{
    cli::{self, Cli},
    transform::{Library, library::BUILT_IN},
};
use tempfile::TempDir;

use crate::opened::scripts;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts"))
}

fn names(ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name());
    let files = files.map(|file| file.into_string().unwrap());
    files.filter_map(|file| file.strip_suffix(ending).map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_script_makes_of_its_events_what_it_should() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("script-engine");
    let arguments = ["sidehook", "script", "test", "--script-cache"].map(Path::new);
    let cli = Cli::parse_from(arguments.into_iter().chain([&*cache, folder()]));
    let mut out = Vec::new();
    let code = cli::run(cli, &mut out).await.unwrap();
    let told = String::from_utf8(out).unwrap();
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS), "{told}");
    for name in names(".in.json") {
        assert!(told.contains(&format!("ok      {name}\n")), "{name}: {told}");
    }
}

#[test]
fn every_script_is_built_in_and_says_what_it_is_for() {
    let built_in: BTreeSet<_> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(built_in, names(".rhai"));
    let guide = fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, source) in BUILT_IN {
        assert!(source.starts_with("// "), "{name} begins with what it is");
        assert!(source.contains("\n// Receiver: "), "{name} names its receiver");
        assert!(source.contains("\n// Source: https://"), "{name} names a source");
        assert!(guide.contains(&format!("`@{name}`")), "{name} is in README.md");
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn source(library: &Library, name: &str) -> Option<String> {
    library.script(name).map(|script| script.source.to_string())
}

#[test]
fn a_folder_is_looked_at_again_and_a_broken_file_changes_nothing() {
    let scripts = scripts();
    let sandbox = scripts.sandbox().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let library = Library::new(Some(folder.path().to_owned()));
    assert_eq!(library.look(sandbox).unwrap(), Vec::<String>::new());

    write(&folder, "mine.rhai", "event.data.a");
    write(&folder, "Not a name.rhai", "event");
    write(&folder, "other.txt", "event");
    assert_eq!(library.look(sandbox).unwrap(), ["mine"]);
    assert_eq!(library.look(sandbox).unwrap(), Vec::<String>::new(), "nothing new");
    assert_eq!(source(&library, "mine").as_deref(), Some("event.data.a"));

    write(&folder, "mine.rhai", "event.data.(");
    write(&folder, "never.rhai", "(");
    assert_eq!(library.look(sandbox).unwrap(), Vec::<String>::new());
    assert_eq!(source(&library, "mine").as_deref(), Some("event.data.a"), "the last good one");
    assert_eq!(source(&library, "never"), None);
    let listed = library.list();
    let error =
        |name: &str| listed.iter().find(|(known, _)| known == name).unwrap().1.error.clone();
    assert!(error("mine").unwrap().contains("line 1, column 12"), "{:?}", error("mine"));
    assert!(error("never").is_some());

    write(&folder, "mine.rhai", "event.data.b");
    assert_eq!(library.look(sandbox).unwrap(), ["mine"]);
    assert_eq!(source(&library, "mine").as_deref(), Some("event.data.b"));
    fs::remove_file(folder.path().join("mine.rhai")).unwrap();
    assert_eq!(library.look(sandbox).unwrap(), ["mine"]);
    assert_eq!(source(&library, "mine"), None);
}

#[test]
fn a_file_stands_before_the_script_of_the_program_with_its_name() {
    let scripts = scripts();
    let sandbox = scripts.sandbox().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let library = Library::new(Some(folder.path().to_owned()));
    let built_in = source(&library, "slack").unwrap();
    write(&folder, "slack.rhai", "event.data");
    assert_eq!(library.look(sandbox).unwrap(), ["slack"]);
    assert_eq!(source(&library, "slack").as_deref(), Some("event.data"));
    fs::remove_file(folder.path().join("slack.rhai")).unwrap();
    assert_eq!(library.look(sandbox).unwrap(), ["slack"]);
    assert_eq!(source(&library, "slack"), Some(built_in));
}
