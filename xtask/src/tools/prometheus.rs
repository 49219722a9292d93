//! Prometheus and its tool for its files, `promtool`.
//!
//! Invariant: no server of Prometheus is started by installing it.

use std::path::PathBuf;

use anyhow::Result;

use super::apt;
use crate::command::Program;

/// `promtool`: the one in `PATH`, else the one of Debian's package, which is installed.
pub async fn promtool() -> Result<PathBuf> {
    in_path("promtool", "to check the alert rules with promtool").await
}

/// `prometheus`: the one in `PATH`, else the one of Debian's package, which is installed.
pub async fn server() -> Result<PathBuf> {
    in_path("prometheus", "to ask for figures as a real Prometheus does").await
}

async fn in_path(name: &str, why: &str) -> Result<PathBuf> {
    let in_path = PathBuf::from(name);
    if Program::new(&in_path).args(["--version"]).output().await.is_err() {
        apt::install_stopped(&["prometheus"], why).await?;
    }
    Ok(in_path)
}
