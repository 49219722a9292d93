//! Where things lie in the working copy.
//!
//! Invariant: every path that is written to is under `target/`.

use std::path::{Path, PathBuf};

/// The root of the working copy.
pub fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// Whatever is made here, and nothing else, lies under this folder.
pub fn target() -> PathBuf {
    root().join("target")
}

/// What was downloaded or unpacked for the developer commands.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// The logs and data of the run `name`.
pub fn run_folder(name: &str) -> PathBuf {
    target().join("sidehook").join(name)
}
