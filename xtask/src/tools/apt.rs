//! Debian's packages, where this user may install them.
//!
//! Invariant: nothing is installed without saying so.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{command::Program, say};

/// Installs Debian packages, or tells how; `why` completes "needed …".
pub(super) async fn install(packages: &[&str], why: &str) -> Result<()> {
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

async fn apt_get(arguments: &[&str]) -> Result<()> {
    let quiet = Program::new("apt-get").args(["-qq"]).args(arguments);
    quiet.env("DEBIAN_FRONTEND", "noninteractive").output().await.map(drop)
}
