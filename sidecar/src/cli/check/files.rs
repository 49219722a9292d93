//! Looks at files: the filter, Envoy's configuration, and Envoy itself, which is asked to
//! validate it.
//!
//! Invariant: Envoy is only asked to validate or to tell its version, never to serve, and not
//! waited for longer than [`PATIENCE`].

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::{finding::Finding, stats};
use crate::cli::terminal::escaped;

/// How long Envoy may take to compile the filter and validate a configuration.
const PATIENCE: Duration = Duration::from_mins(1);

/// How many of Envoy's complaints are shown.
const MOST_COMPLAINTS: usize = 3;

/// As much of a complaint as is shown, in characters: Envoy repeats the whole configuration.
const EXCERPT: usize = 300;

/// Reads an Envoy configuration, YAML or JSON.
pub(super) fn read(path: &Path) -> Result<Value, Finding> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Finding::problem(format!("{shown}: {error}"), "name Envoy's configuration file")
    })?;
    serde_saphyr::from_str(&text).map_err(|error| {
        Finding::problem(
            format!("{shown}: {}", escaped(error.to_string().lines().next().unwrap_or_default())),
            "correct the YAML",
        )
    })
}

/// Whether `path` is a wasm module.
pub(super) fn filter(path: &Path) -> Finding {
    let shown = path.display();
    match fs::read(path) {
        Ok(bytes) if bytes.starts_with(b"\0asm") => {
            Finding::fine(format!("{shown}: a wasm module"))
        }
        Ok(_) => Finding::problem(
            format!("{shown}: not a wasm module"),
            "build the filter with `cargo xtask wasm`",
        ),
        Err(error) => Finding::problem(
            format!("{shown}: {error}"),
            "build the filter with `cargo xtask wasm`, or correct --filter",
        ),
    }
}

/// Asks Envoy for its version and, if there is one, what it says of the configuration.
pub(super) async fn envoy(given: Option<PathBuf>, config: Option<&Path>) -> Vec<Finding> {
    let Some(binary) = given.or_else(in_path) else {
        return config.map(|_| no_envoy()).into_iter().collect();
    };
    let version = match output(Command::new(&binary).arg("--version")).await {
        Ok((true, text)) => stats::version(&text),
        Ok((false, text)) => return vec![no_answer(&binary, &excerpt(&text))],
        Err(reason) => return vec![no_answer(&binary, &reason)],
    };
    let mut findings = vec![version];
    if let Some(config) = config {
        let mut validate = Command::new(&binary);
        validate.args(["--mode", "validate", "--log-level", "warning", "-c"]).arg(config);
        findings.push(validation(config, output(&mut validate).await));
    }
    findings
}

fn no_envoy() -> Finding {
    Finding::warning(
        "there is no envoy in $PATH, so the configuration was not validated by Envoy itself",
        "name one with --envoy, or run `envoy --mode validate -c FILE` where Envoy runs",
    )
}

fn no_answer(binary: &Path, reason: &str) -> Finding {
    Finding::problem(
        format!("{}: {reason}", binary.display()),
        "name an Envoy that runs here with --envoy",
    )
}

fn validation(config: &Path, answer: Result<(bool, String), String>) -> Finding {
    let remedy = "correct it; a filter that is missing here may well be there where Envoy runs";
    match answer {
        Ok((true, _)) => Finding::fine(format!("{}: valid, says Envoy", config.display())),
        Ok((false, text)) => Finding::problem(
            format!("{}: not valid, says Envoy: {}", config.display(), excerpt(&text)),
            remedy,
        ),
        Err(reason) => Finding::problem(format!("{}: {reason}", config.display()), remedy),
    }
}

fn in_path() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join("envoy")).find(|path| path.is_file())
}

/// Whether a command succeeded, and what it said on either channel.
async fn output(command: &mut Command) -> Result<(bool, String), String> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, running)
        .await
        .map_err(|_| format!("no answer within {PATIENCE:?}"))?
        .map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// The first complaints, without Envoy's time and thread.
fn excerpt(log: &str) -> String {
    let complaints = log.lines().filter(|line| {
        line.contains("[error]") || line.contains("[critical]") || !line.starts_with('[')
    });
    let shown = complaints.take(MOST_COMPLAINTS).map(|line| {
        let text = line.rsplit_once("] ").map_or(line, |(_, text)| text);
        escaped(&text.chars().take(EXCERPT).collect::<String>())
    });
    shown.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_complaints_are_shown_without_their_trimmings() {
        let log = "[2026-11-23 22:33:47.908][14441][info][main] [source/a.cc:1] loading\n\
            [2026-11-23 22:33:47.908][14441][error][wasm] [source/b.cc:2] wasm log: no \x1b route\n\
            [2026-11-23 22:33:47.908][14441][critical][main] [source/c.cc:3] error initializing\n";
        assert_eq!(excerpt(log), "wasm log: no \\u001b route; error initializing");
    }
}
