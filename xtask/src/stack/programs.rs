//! What a stack is started from: the programs, and the filter.
//!
//! Invariant: what a variable names is taken as it is, and nothing is built in its place.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::tools::{self, cargo::Build};

/// Names a filter to be used in place of one built now.
pub const FILTER: &str = "SIDEHOOK_FILTER_WASM";

/// Names a program `sidehook` to be used in place of one built now.
pub const SIDEHOOK: &str = "SIDEHOOK_PROGRAM";

/// The programs and the filter.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Envoy.
    pub envoy: PathBuf,
    /// The sidecar and everything else that `sidehook` does.
    pub sidehook: PathBuf,
    /// The filter, as WebAssembly.
    pub filter: PathBuf,
}

impl Programs {
    /// Builds what is ours and gets what isn't. What [`tools::envoy::VARIABLE`], [`SIDEHOOK`] and
    /// [`FILTER`] name is taken as it is.
    pub async fn ensure(build: Build) -> Result<Self> {
        let filter = Self::ensure_filter().await?;
        let sidehook = Self::ensure_sidehook(build).await?;
        Ok(Self { envoy: tools::envoy::envoy().await?, sidehook, filter })
    }

    /// Builds the filter alone, unless [`FILTER`] names one.
    pub async fn ensure_filter() -> Result<PathBuf> {
        match std::env::var_os(FILTER) {
            Some(filter) => Ok(filter.into()),
            None => tools::wasm::filter().await.context("failed to build the filter"),
        }
    }

    /// Builds the sidecar alone, unless [`SIDEHOOK`] names one.
    pub async fn ensure_sidehook(build: Build) -> Result<PathBuf> {
        if std::env::var_os(SIDEHOOK).is_none() {
            Self::ensure_script_engine().await?;
        }
        Self::sidehook_with_engine(build).await
    }

    /// The same, with the engine of scripts that is there.
    pub async fn sidehook_with_engine(build: Build) -> Result<PathBuf> {
        match std::env::var_os(SIDEHOOK) {
            Some(sidehook) => Ok(sidehook.into()),
            None => tools::cargo::sidecar(build).await.context("failed to build sidehook"),
        }
    }

    /// Builds the engine of scripts, which becomes part of the sidecar.
    pub async fn ensure_script_engine() -> Result<()> {
        tools::wasm::script_engine().await.context("failed to build the script engine").map(drop)
    }
}
