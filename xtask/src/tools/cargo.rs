//! Cargo itself: builds what the developer commands start.
//!
//! Invariant: the path of a program is the one cargo names, wherever its target folder is.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{command::Program, workspace};

/// The cargo that runs us, else the one in `PATH`.
pub fn cargo() -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo).in_folder(&workspace::root())
}

/// Builds the sidecar and tells where its program is.
pub async fn sidecar(release: bool) -> Result<PathBuf> {
    let arguments = ["build", "--package", "sidehook", "--bin", "sidehook"];
    let profile = if release { "release" } else { "dev" };
    let build = cargo().args(arguments).args(["--profile", profile]);
    let messages = build.args(["--message-format", "json-render-diagnostics"]).output().await?;
    executable(&messages).context("cargo built the sidecar but named no program")
}

fn executable(messages: &str) -> Option<PathBuf> {
    // The program comes last, after the libraries that it needs.
    let artifacts = messages.lines().rev();
    let mut artifacts = artifacts.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    artifacts.find_map(|line| Some(line.get("executable")?.as_str()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"bytes"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","executable":"/elsewhere/debug/sidehook"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages), Some("/elsewhere/debug/sidehook".into()));
        assert_eq!(executable("not JSON"), None);
    }
}
