//! Puts the engine of scripts into the program, if it was built: `cargo xtask` builds it before
//! the sidecar, and so does the Dockerfile.
//!
//! Invariant: nothing is compiled or downloaded here. A program without the engine says so as soon
//! as a script is asked for.

use std::{env, fs, path::PathBuf};

/// Names an engine in place of the one that `cargo xtask` built.
const NAMED: &str = "SIDEHOOK_SCRIPT_ENGINE";
const BUILT: &str = "../target/wasm/sidehook_script_engine.wasm";

fn main() -> std::io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let module = env::var_os(NAMED).map_or_else(|| here.join(BUILT), PathBuf::from);
    let embedded = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("engine.wasm");
    let bytes = if module.is_file() { fs::read(&module)? } else { Vec::new() };
    fs::write(embedded, bytes)?;
    println!("cargo::rerun-if-env-changed={NAMED}");
    println!("cargo::rerun-if-changed={}", module.display());
    Ok(())
}
