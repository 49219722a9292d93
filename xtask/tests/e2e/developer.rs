//! `cargo xtask up` and `demo` as a person meets them.
//!
//! Invariant: however `up` ends, nothing that it started is left.

use std::{
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use xtask::{clock::Stopwatch, http::Http, ports, stack, tools::envoy};

use crate::support::{LIMIT, ada, programs, shared};

/// `cargo xtask COMMAND` on ports of its own.
struct Terminal {
    process: Child,
    said: PathBuf,
    gateway: u16,
    ports: Vec<u16>,
    /// Holds what it says.
    _folder: tempfile::TempDir,
}

impl Terminal {
    async fn run(command: &str) -> Result<Self> {
        let programs = programs().await?;
        let folder = tempfile::tempdir()?;
        let said = folder.path().join("said");
        let output = File::create(&said)?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_xtask"));
        process.arg(command).kill_on_drop(true);
        let mut taken = Vec::new();
        for flag in ["--gateway", "--api", "--admin", "--receiver"] {
            let port = ports::free()?;
            process.arg(flag).arg(port.to_string());
            taken.push(port);
        }
        process.env(envoy::VARIABLE, programs.envoy).env(stack::FILTER, programs.filter);
        process.env(stack::SIDEHOOK, programs.sidehook);
        process.stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output));
        let [gateway, ..] = taken.as_slice() else { bail!("no ports") };
        Ok(Self {
            process: process.spawn()?,
            said,
            gateway: *gateway,
            ports: taken,
            _folder: folder,
        })
    }

    /// Runs `up` until it says that it is ready.
    async fn up() -> Result<Self> {
        let mut up = Self::run("up").await?;
        let start = Stopwatch::start();
        while !up.said()?.lines().any(|line| line == "ready") {
            ensure!(start.elapsed() < LIMIT, "not ready: {}", up.said()?);
            ensure!(up.process.try_wait()?.is_none(), "it ended: {}", up.said()?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(up)
    }

    /// Waits until it says this.
    async fn says(&self, what: &str) -> Result<()> {
        let start = Stopwatch::start();
        while !self.said()?.contains(what) {
            ensure!(start.elapsed() < LIMIT, "it never said {what:?}: {}", self.said()?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn said(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.said)?)
    }

    async fn end_with(&mut self, signal: Signal) -> Result<ExitStatus> {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.ok_or_else(|| anyhow::anyhow!("it has ended"))?, signal)?;
        Ok(timeout(LIMIT, self.process.wait()).await??)
    }

    /// Waits until nobody listens on any of its ports.
    async fn nothing_is_left(&self) -> Result<()> {
        let start = Stopwatch::start();
        while let Some(Err(taken)) =
            self.ports.iter().map(|port| ports::require_free(*port, "")).find(Result::is_err)
        {
            ensure!(start.elapsed() < LIMIT, "{taken}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn up_serves_until_it_is_told_to_stop() -> Result<()> {
    let _machine = shared().await;
    for signal in [Signal::INT, Signal::TERM] {
        let mut up = Terminal::up().await?;
        let url = format!("http://127.0.0.1:{}/people/", up.gateway);
        Http::new().post(&url, &ada()).await?.accepted()?;
        let ended = up.end_with(signal).await?;
        ensure!(ended.success(), "{signal:?}: {ended}: {}", up.said()?);
        up.nothing_is_left().await?;
    }
    Ok(())
}

/// What the README has a new user do.
#[tokio::test]
async fn the_receiver_of_up_shows_that_the_signature_is_good() -> Result<()> {
    let _machine = shared().await;
    let mut up = Terminal::up().await?;
    let [gateway, api, _, receiver] = up.ports[..] else { bail!("four ports") };
    let hook = json!({
        "url": format!("http://127.0.0.1:{receiver}/webhook"), "event_type": "created"
    });
    let subscriptions = format!("http://127.0.0.1:{api}/subscriptions/");
    Http::new().post(&subscriptions, &hook).await?.accepted()?;
    let people = format!("http://127.0.0.1:{gateway}/people/");
    Http::new().post(&people, &ada()).await?.accepted()?;
    up.says("✓ verified  people.created").await?;
    up.end_with(Signal::TERM).await?;
    up.nothing_is_left().await
}

#[tokio::test]
async fn nothing_is_left_even_of_an_up_that_is_killed() -> Result<()> {
    let _machine = shared().await;
    let mut up = Terminal::up().await?;
    up.end_with(Signal::KILL).await?;
    up.nothing_is_left().await
}

#[tokio::test]
async fn up_refuses_a_port_in_use_before_it_starts_anything() -> Result<()> {
    let _machine = shared().await;
    let first = Terminal::up().await?;
    let [gateway, api, ..] = first.ports.as_slice() else { bail!("no ports") };
    let mut second = Command::new(env!("CARGO_BIN_EXE_xtask"));
    second.args(["up", "--gateway", &ports::free()?.to_string(), "--api", &api.to_string()]);
    let refused = timeout(LIMIT, second.output()).await??;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success(), "{said}");
    ensure!(said.contains(&api.to_string()) && said.contains("--api PORT"), "{said}");
    // The first one is none the worse for it.
    let url = format!("http://127.0.0.1:{gateway}/people");
    ensure!(Http::new().get(&url).await?.status == 200);
    Ok(())
}

#[tokio::test]
async fn the_demonstration_succeeds() -> Result<()> {
    let _machine = shared().await;
    let mut demo = Terminal::run("demo").await?;
    let ended = timeout(LIMIT, demo.process.wait()).await??;
    let said = demo.said()?;
    ensure!(ended.success(), "{ended}: {said}");
    ensure!(said.matches("signature valid").count() == 5, "{said}");
    demo.nothing_is_left().await
}
