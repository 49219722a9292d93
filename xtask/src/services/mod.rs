//! The servers that Sidehook can use, started for tests.
//!
//! Invariant: a server that is started here shares nothing with one that the machine runs
//! already: neither port, nor data, nor configuration.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::workspace;

pub mod postgres;
pub mod prometheus;
pub mod rabbitmq;

/// Where a service keeps everything unless it is told another folder.
fn folder_of(service: &str) -> PathBuf {
    workspace::target().join("services").join(service)
}

/// What an earlier run left is of no use.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("failed to clear {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))
}
