//! Runs another program to its end.
//!
//! Invariant: a program that fails is named together with what it said; none outlives its limit.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{process::Command, time::timeout};

/// A program to be run to its end.
#[derive(Debug)]
pub struct Program {
    command: Command,
    shown: String,
    limit: Duration,
    aloud: bool,
}

impl Program {
    /// A program by its name in `PATH`, or by its path. It may take 20 minutes unless
    /// [`Program::within`] says otherwise.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let shown = name.as_ref().to_string_lossy().into_owned();
        let mut command = Command::new(name);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Self { command, shown, limit: Duration::from_mins(20), aloud: false }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Ends it when it takes longer.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Shows on the terminal what it says on standard error, as it says it.
    #[must_use]
    pub fn aloud(mut self) -> Self {
        self.aloud = true;
        self
    }

    /// Runs it and returns what it wrote to standard output. What it says on standard error is
    /// shown only if it fails, or if it runs [`Program::aloud`].
    pub async fn output(mut self) -> Result<String> {
        let stderr = if self.aloud { Stdio::inherit() } else { Stdio::piped() };
        let output = self.command.stdout(Stdio::piped()).stderr(stderr).spawn();
        let output = output.with_context(|| format!("failed to start `{}`", self.shown))?;
        let Ok(ended) = timeout(self.limit, output.wait_with_output()).await else {
            bail!("`{}` took longer than {:?}", self.shown, self.limit);
        };
        let ended = ended.with_context(|| format!("failed to start `{}`", self.shown))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            bail!("`{}` failed with {}:\n{}", self.shown, ended.status, said.trim_end());
        }
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    /// Runs it with its output on the terminal.
    pub async fn show(mut self) -> Result<()> {
        let Ok(ended) = timeout(self.limit, self.command.status()).await else {
            bail!("`{}` took longer than {:?}", self.shown, self.limit);
        };
        let status = ended.with_context(|| format!("failed to start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed with {status}", self.shown);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_program_and_what_it_said() {
        let failure = Program::new("sh").args(["-c", "echo no luck >&2; exit 3"]).output().await;
        let text = format!("{:#}", failure.unwrap_err());
        assert!(
            text.contains("`sh -c") && text.contains("no luck") && text.contains('3'),
            "{text}"
        );
    }

    #[tokio::test]
    async fn none_outlives_its_limit() {
        let sleeper = Program::new("sleep").args(["60"]).within(Duration::from_millis(50));
        let text = sleeper.output().await.unwrap_err().to_string();
        assert_eq!(text, "`sleep 60` took longer than 50ms");
    }
}
