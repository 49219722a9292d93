//! Debian's packages, where this user may install them.
//!
//! Invariant: nothing is installed without saying so.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result, bail};
use tokio::sync::Mutex;

use crate::{command::Program, say};

/// Debian installs one thing at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// Installs Debian packages, or tells how; `why` completes "needed …".
pub(super) async fn install(packages: &[&str], why: &str) -> Result<()> {
    let _turn = TURN.lock().await;
    install_now(packages, why).await
}

async fn install_now(packages: &[&str], why: &str) -> Result<()> {
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() || !rustix::process::geteuid().is_root() {
        bail!("needed {why}: as root, `{by_hand}` (or what your system has in its place)");
    }
    say::progress(format!("installing {} ({why})", packages.join(", ")));
    apt_get(&["update"]).await?;
    let arguments: Vec<_> =
        ["install", "--yes", "--no-install-recommends"].iter().chain(packages).copied().collect();
    apt_get(&arguments).await.with_context(|| format!("needed {why}: `{by_hand}`"))
}

/// What Debian asks before it starts the service of a package.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs Debian packages without starting the services that come with them.
pub(crate) async fn install_stopped(packages: &[&str], why: &str) -> Result<()> {
    let _turn = TURN.lock().await;
    let forbidden = forbid_starting();
    let installed = install_now(packages, why).await;
    if forbidden {
        fs::remove_file(POLICY).with_context(|| format!("failed to remove {POLICY} again"))?;
    }
    installed
}

/// Says that no service may be started, unless the machine has a policy of its own or is not
/// ours to change. Returns whether that was said here.
fn forbid_starting() -> bool {
    let policy = fs::File::options().write(true).create_new(true).mode(0o755).open(POLICY);
    // 101 is the policy's word for no.
    policy.is_ok_and(|mut policy| policy.write_all(b"#!/bin/sh\nexit 101\n").is_ok())
}

async fn apt_get(arguments: &[&str]) -> Result<()> {
    let quiet = Program::new("apt-get").args(["-qq"]).args(arguments);
    quiet.env("DEBIAN_FRONTEND", "noninteractive").output().await.map(drop)
}
