//! Chromium, which takes pictures of pages, and pngquant, which makes them small.
//!
//! Invariant: it shows nothing to anybody, and asks nobody for anything.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::apt;
use crate::command::Program;

/// What keeps it off the screen and off the network.
pub const HEADLESS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Chromium: the one in `PATH`, else the one of Debian's package. If it or pngquant is missing, both
/// are installed.
pub async fn chromium() -> Result<PathBuf> {
    let in_path = PathBuf::from("chromium");
    let programs = [in_path.as_path(), Path::new("pngquant")];
    let mut is_missing = false;
    for program in programs {
        is_missing |= Program::new(program).args(["--version"]).output().await.is_err();
    }
    if is_missing {
        let packages = ["chromium", "fonts-dejavu-core", "pngquant"];
        apt::install_stopped(&packages, "to take pictures of the dashboards").await?;
    }
    Ok(in_path)
}
