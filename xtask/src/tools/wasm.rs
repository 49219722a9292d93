//! What runs as WebAssembly, the filter and the engine of scripts, with whichever toolchain can
//! build it here.
//!
//! Invariant: a module lies at one path, whatever built it, and names no path of this machine.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{apt, cargo};
use crate::{command::Program, say, workspace};

/// The target of both.
const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's toolchain for browsers: recent, and with the sources of the standard library.
const DEBIAN_PACKAGES: [&str; 4] = ["cargo-web", "lld-19", "rust-web-src", "rustc-web"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// Fetching one component must not take longer than a person would wait for it.
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

/// What the engine's hash tables are seeded with, so that it is the same whoever builds it.
const SEED: &str = "sidehook";

/// Builds the filter and tells where it is: `target/wasm/sidehook_filter.wasm`.
pub async fn filter() -> Result<PathBuf> {
    module("sidehook-filter").await
}

/// Builds the engine of scripts and tells where it is: `target/wasm/sidehook_script_engine.wasm`,
/// where the build of the sidecar looks for it.
pub async fn script_engine() -> Result<PathBuf> {
    module("sidehook-script-engine").await
}

/// Builds the filters that ours is held against, and tells where they are, in one module:
/// `target/wasm/sidehook_filter_baseline.wasm`. Only tests and measurements need it.
pub async fn baseline() -> Result<PathBuf> {
    module("sidehook-filter-baseline").await
}

async fn module(package: &str) -> Result<PathBuf> {
    let toolchain = toolchain().await?;
    let built_in = workspace::target().join("wasm").join(toolchain.folder());
    build(package, toolchain, &built_in).await?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let built = built_in.join(TARGET).join("wasm").join(&file);
    let module = workspace::target().join("wasm").join(file);
    let code = std::fs::read(&built).with_context(|| format!("no {}", built.display()))?;
    if std::fs::read(&module).ok().as_deref() != Some(code.as_slice()) {
        // Renamed into place, for a running Envoy may be about to read it.
        let draft = module.with_extension("draft");
        std::fs::write(&draft, code)?;
        std::fs::rename(draft, &module)?;
    }
    Ok(module)
}

/// Who builds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The cargo that runs us; it has the target's standard library.
    Own,
    /// Debian's, which builds the standard library too.
    Debian,
}

impl Toolchain {
    /// What two toolchains built must not mix.
    fn folder(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Debian => "debian",
        }
    }
}

/// Finds a toolchain; what is there comes before what would have to be installed.
async fn toolchain() -> Result<Toolchain> {
    if own_has_target().await {
        return Ok(Toolchain::Own);
    }
    if debian_is_complete().await {
        return Ok(Toolchain::Debian);
    }
    say::progress(format!("adding the target {TARGET}"));
    let added = Program::new("rustup").args(["target", "add", TARGET]).within(RUSTUP_LIMIT);
    let refusal = added.output().await.err();
    if own_has_target().await {
        return Ok(Toolchain::Own);
    }
    let installed = apt::install(&DEBIAN_PACKAGES, "to compile to WebAssembly").await;
    match (installed, refusal) {
        (Ok(()), _) if debian_is_complete().await => Ok(Toolchain::Debian),
        (Ok(()), _) => bail!("{} do not make a toolchain for {TARGET}", DEBIAN_PACKAGES.join(", ")),
        (Err(error), None) => Err(error),
        (Err(error), Some(refusal)) => Err(error.context(format!(
            "Sidehook needs the target {TARGET}, and `rustup target add {TARGET}` failed: \
             {refusal:#}"
        ))),
    }
}

/// Whether our compiler has the target's standard library, by rustup or by the distribution.
async fn own_has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Program::new(rustc).args(["--print", "target-libdir", "--target", TARGET]);
    let Ok(folder) = asked.in_folder(&workspace::root()).output().await else {
        return false;
    };
    let Ok(files) = std::fs::read_dir(folder.trim()) else {
        return false;
    };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

/// Whether Debian's toolchain is here with the sources that it builds the library from.
async fn debian_is_complete() -> bool {
    if ![DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LINKER].iter().all(|tool| Path::new(tool).exists()) {
        return false;
    }
    match Program::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output().await {
        Ok(root) => Path::new(root.trim()).join("lib/rustlib/src/rust/library").is_dir(),
        Err(_) => false,
    }
}

async fn build(package: &str, toolchain: Toolchain, target_folder: &Path) -> Result<()> {
    let arguments = ["build", "--quiet", "--locked", "--package", package, "--lib"];
    let build = match toolchain {
        Toolchain::Own => cargo::cargo(),
        Toolchain::Debian => Program::new(DEBIAN_CARGO)
            .in_folder(&workspace::root())
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
            .args(["-Zbuild-std=std,panic_abort"]),
    };
    let build = build.args(arguments).args(["--target", TARGET, "--profile", "wasm"]);
    let build = build.args(["--target-dir"]).args([target_folder]);
    // The cargo that runs us may have set flags for another target.
    let build = build.without_env("RUSTFLAGS").without_env("CARGO_BUILD_TARGET");
    build.env("CARGO_ENCODED_RUSTFLAGS", remap()).env("CONST_RANDOM_SEED", SEED).show().await
}

/// Compiler flags under which no path of this machine gets into the module.
fn remap() -> OsString {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(home?.join(".cargo")));
    let folders = [(Some(workspace::root()), "/sidehook"), (cargo_home, "/cargo")];
    let mut flags = OsString::new();
    for (folder, shown) in folders {
        let Some(folder) = folder else { continue };
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(shown);
    }
    flags
}
