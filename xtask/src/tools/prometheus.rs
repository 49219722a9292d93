//! Prometheus' own tool for its files, `promtool`.
//!
//! Invariant: no server of Prometheus is started.

use std::path::PathBuf;

use anyhow::Result;

use super::apt;
use crate::command::Program;

/// `promtool`: the one in `PATH`, else the one of Debian's package, which is installed.
pub async fn promtool() -> Result<PathBuf> {
    let in_path = PathBuf::from("promtool");
    if Program::new(&in_path).args(["--version"]).output().await.is_err() {
        apt::install_stopped(&["prometheus"], "to check the alert rules with promtool").await?;
    }
    Ok(in_path)
}
