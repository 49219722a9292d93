//! Cargo itself: builds what the developer commands start.
//!
//! Invariant: the path of a program is the one cargo names, wherever its target folder is.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{command::Program, workspace};

/// Everything, built from scratch on two cores, takes less than that.
const LIMIT: Duration = Duration::from_hours(1);

/// The cargo that runs us, else the one in `PATH`.
pub fn cargo() -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo).in_folder(&workspace::root())
}

/// With what else a program is built. Cargo unites the features of the dependencies of all that
/// it builds at once, so that another choice means to build most of them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// Alone, for a person who waits for it.
    Debug,
    /// Alone, with optimisations.
    Release,
    /// With everything that `cargo test --workspace` builds.
    Tests,
}

/// Builds the sidecar and tells where its program is.
pub async fn sidecar(build: Build) -> Result<PathBuf> {
    let arguments: &[&str] = match build {
        Build::Debug => &["build", "--package=sidehook", "--bin=sidehook"],
        Build::Release => &["build", "--package=sidehook", "--bin=sidehook", "--release"],
        Build::Tests => &["test", "--workspace", "--no-run"],
    };
    program(arguments, "sidehook").await
}

/// The compiler that cargo uses, with its version: `rustc 1.95.0 (59807616e 2026-04-14)`.
pub async fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Program::new(rustc).args(["--version"]).in_folder(&workspace::root()).output().await;
    Ok(said?.trim().to_owned())
}

/// The names of the programs of integration tests.
pub async fn test_programs() -> Result<Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--format-version=1"];
    let told: Value = serde_json::from_str(&cargo().args(arguments).output().await?)?;
    let packages = told.get("packages").and_then(Value::as_array).into_iter().flatten();
    let targets = packages.filter_map(|package| package.get("targets")?.as_array()).flatten();
    let names = targets.filter_map(|target| {
        let is_test = target.pointer("/kind/0")?.as_str()? == "test";
        target.get("name")?.as_str().filter(|_| is_test).map(str::to_owned)
    });
    Ok(names.collect())
}

/// Builds this program with optimisations and tells where it is.
pub async fn xtask_released() -> Result<PathBuf> {
    program(&["build", "--package=xtask", "--bin=xtask", "--release"], "xtask").await
}

/// What the hot paths are made of, and what optimises it as a release does: the packages of ours.
/// Those of others are optimised in every build (`Cargo.toml`), so that none has to be built again.
const HOT: [&str; 4] = ["sidehook", "sidehook-bench", "sidehook-event", "sidehook-filter"];
const AS_RELEASED: [&str; 4] =
    ["opt-level=3", "codegen-units=16", "debug-assertions=false", "overflow-checks=false"];

/// Builds the program that plays the hot paths, with optimisations for these alone, and tells where
/// it is.
pub async fn hot_paths() -> Result<PathBuf> {
    // All of the workspace and as tests, for then the dependencies are those of the tests.
    let mut arguments =
        ["test", "--workspace", "--no-run", "--bench=instructions"].map(str::to_owned).to_vec();
    for package in HOT {
        let settings =
            AS_RELEASED.iter().map(|setting| format!("profile.dev.package.{package}.{setting}"));
        arguments.extend(settings.flat_map(|setting| ["--config".to_owned(), setting]));
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    named(&arguments, "instructions", "bench").await
}

async fn program(arguments: &[&str], name: &str) -> Result<PathBuf> {
    named(arguments, name, "bin").await
}

async fn named(arguments: &[&str], name: &str, kind: &str) -> Result<PathBuf> {
    let messages = ["--quiet", "--message-format=json-render-diagnostics"];
    let messages = cargo().args(arguments).args(messages).within(LIMIT).aloud().output().await?;
    let program = executable(&messages, name, kind);
    program.with_context(|| format!("cargo built {name} but named no program"))
}

/// Finds the program among the messages of a build, which name its tests as well.
fn executable(messages: &str, name: &str, kind: &str) -> Option<PathBuf> {
    let mut artifacts = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    artifacts.find_map(|artifact: Value| {
        let is_test = artifact.pointer("/profile/test")?.as_bool()?;
        let is_program = artifact.pointer("/target/name")?.as_str()? == name
            && artifact.pointer("/target/kind/0")?.as_str()? == kind
            && is_test == (kind == "bench");
        let program = artifact.get("executable")?.as_str()?;
        is_program.then(|| program.into())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let artifact = |kind: &str, test: bool, executable: &str| {
            let target = json!({"name": "sidehook", "kind": [kind]});
            json!({"target": target, "profile": {"test": test}, "executable": executable})
        };
        let messages = [
            json!({"reason": "build-finished", "success": true}),
            artifact("lib", true, "/elsewhere/debug/deps/sidehook-0"),
            artifact("bin", true, "/elsewhere/debug/deps/sidehook-1"),
            artifact("bin", false, "/elsewhere/debug/sidehook"),
            artifact("bench", true, "/elsewhere/debug/deps/sidehook-2"),
        ];
        let messages = messages.map(|message| message.to_string()).join("\n");
        let found = |kind| executable(&messages, "sidehook", kind);
        assert_eq!(found("bin"), Some("/elsewhere/debug/sidehook".into()));
        assert_eq!(found("bench"), Some("/elsewhere/debug/deps/sidehook-2".into()));
        assert_eq!(executable("not JSON", "sidehook", "bin"), None);
    }
}
