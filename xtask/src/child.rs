//! A program that runs beside us: started with a log, watched, stopped.
//!
//! Invariant: it ends when we end, even if we are killed with -9: the kernel then sends it SIGTERM.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, Command};

/// Runs a program so that it is told when its parent dies; part of every Debian (util-linux).
const GUARD: &str = "/usr/bin/setpriv";

/// How much of a log tells why its program died.
const LAST_LINES: usize = 15;

/// A program that runs beside us.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    log: PathBuf,
}

/// Where its standard output goes; standard error always goes to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To the log as well.
    Log,
    /// To the terminal.
    Terminal,
}

impl Child {
    /// Starts it. The log is `folder/name.log`; a later start of the same name appends to it.
    pub fn start(
        name: impl Into<String>,
        program: &Path,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        folder: &Path,
        output: Output,
    ) -> Result<Self> {
        let name = name.into();
        fs::create_dir_all(folder)?;
        let log = folder.join(format!("{name}.log"));
        let errors = File::options().create(true).append(true).open(&log)?;
        let output = match output {
            Output::Log => Stdio::from(errors.try_clone()?),
            Output::Terminal => Stdio::inherit(),
        };
        let mut command = guarded(program);
        command.args(arguments.into_iter().map(Into::into));
        // A group of its own, so that Ctrl-C reaches us alone and we can stop things in order.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let process = command
            .spawn()
            .with_context(|| format!("failed to start {name} ({})", program.display()))?;
        Ok(Self { name, process, log })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of its process; none once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.with_context(|| format!("{} has ended already", self.name))?;
        kill_process(pid, signal).with_context(|| format!("failed to signal {}", self.name))
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    /// Waits for an end that was not asked for, and tells of it.
    pub async fn death(&mut self) -> anyhow::Error {
        match self.process.wait().await {
            Ok(status) => anyhow!("{} ended with {status}{}", self.name, self.last_words()),
            Err(error) => anyhow!("{} cannot be watched: {error}", self.name),
        }
    }

    /// Asks it to stop, and after `limit` makes it.
    pub async fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.process.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::TERM)?;
        if let Ok(status) = tokio::time::timeout(limit, self.process.wait()).await {
            return Ok(status?);
        }
        self.process.kill().await?;
        bail!("{} did not stop within {limit:?} and was killed{}", self.name, self.last_words())
    }

    /// The end of its log, to be put after a sentence about it.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let last = lines.split_at(lines.len().saturating_sub(LAST_LINES)).1;
        format!("; the end of {}:\n{}", self.log.display(), last.join("\n"))
    }
}

fn guarded(program: &Path) -> Command {
    if !Path::new(GUARD).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(GUARD);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Child {
        Child::start("shell", Path::new("/bin/sh"), ["-c", script], folder, Output::Log).unwrap()
    }

    #[tokio::test]
    async fn its_last_words_are_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("seq 1 20; echo the reason >&2; exit 4", folder.path());
        assert_eq!(child.ended().await.unwrap().code(), Some(4));
        let words = child.last_words();
        assert!(words.ends_with("\n19\n20\nthe reason"), "{words}");
        assert!(!words.contains("\n6\n"), "{words}");
    }

    #[tokio::test]
    async fn one_that_does_not_stop_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("trap '' TERM; echo deaf; while :; do sleep 1; done", folder.path());
        let log = folder.path().join("shell.log");
        while !fs::read_to_string(&log).unwrap().contains("deaf") {
            tokio::task::yield_now().await;
        }
        let failure = child.stop(Duration::from_millis(50)).await.unwrap_err().to_string();
        assert!(failure.contains("did not stop within 50ms"), "{failure}");
        assert_eq!(child.pid(), None);
    }
}
