//! The engine as machine code: compiled once, and kept in a file from then on.
//!
//! Invariant: machine code is run only if this program made it: its file lies in a folder that
//! nobody else can write to, is named after all that it was made of, and begins with the digest of
//! the rest.

#![expect(unsafe_code, reason = "machine code that is read from a file can be anything at all")]

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine, Linker, OptLevel, Result};

use super::{instance::Guest, ticker::Ticker};

/// The engine of scripts; empty in a program that was built without.
pub const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.wasm"));

/// The stack of an instance; a thread has at least twice as much. Bytes.
const STACK: usize = 512 << 10;
/// Bytes of a digest.
const DIGEST: usize = 32;

/// What instances are made of.
pub(super) struct Module {
    pub(super) engine: Engine,
    pub(super) prepared: wasmtime::InstancePre<Guest>,
    pub(super) ticker: Ticker,
}

impl Module {
    pub(super) fn load(wasm: &[u8], cache: Option<PathBuf>) -> Result<Self> {
        let engine = Engine::new(&config())?;
        let module = match cache.map(|folder| Cache { folder, name: name(wasm) }) {
            None => wasmtime::Module::from_binary(&engine, wasm)?,
            Some(cache) => match cache.read(&engine) {
                Some(module) => module,
                None => cache.fill(&engine, wasm)?,
            },
        };
        // Nothing is linked: a module that imports anything is refused here.
        let prepared = Linker::new(&engine).instantiate_pre(&module)?;
        let ticker = Ticker::start(engine.clone());
        Ok(Self { engine, prepared, ticker })
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .cranelift_opt_level(OptLevel::Speed)
        // A trap is told by what happened; nobody reads where inside the engine.
        .wasm_backtrace_max_frames(None);
    config
}

/// Of what was compiled, by which version of what.
fn name(wasm: &[u8]) -> String {
    let digest =
        Sha256::new().chain_update(env!("CARGO_PKG_VERSION")).chain_update(wasm).finalize();
    format!(
        "script-engine-{}.bin",
        data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default())
    )
}

/// Where machine code is kept.
struct Cache {
    folder: PathBuf,
    name: String,
}

impl Cache {
    /// The module, if it is there, whole, and made by the same compiler for the same processor.
    fn read(&self, engine: &Engine) -> Option<wasmtime::Module> {
        let path = self.folder.join(&self.name);
        let bytes = fs::read(&path).ok()?;
        let usable = belongs_to_us(&self.folder).and_then(|()| whole(&bytes));
        let loaded = usable.and_then(|code| {
            // SAFETY: this program wrote these bytes: the folder and the file are its own, and the
            // digest says that they are all there. Another version of the compiler, other flags or
            // another processor are noticed by wasmtime itself.
            unsafe { wasmtime::Module::deserialize(engine, code) }
                .map_err(|error| error.to_string())
        });
        loaded
            .inspect_err(|reason| {
                tracing::info!(path = %path.display(), reason, "machine code is not used");
            })
            .ok()
    }

    /// Compiles the module.
    fn fill(&self, engine: &Engine, wasm: &[u8]) -> Result<wasmtime::Module> {
        tracing::info!("compiling the engine of scripts, which takes some seconds");
        let module = wasmtime::Module::from_binary(engine, wasm)?;
        self.keep(&module);
        Ok(module)
    }

    /// Keeps the module for the next start, if that can be done.
    fn keep(&self, module: &wasmtime::Module) {
        if let Err(error) = self.write(module) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "cannot keep the compiled engine of scripts: it is compiled at each start");
        }
    }

    fn write(&self, module: &wasmtime::Module) -> io::Result<()> {
        let code = module.serialize().map_err(io::Error::other)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        belongs_to_us(&self.folder).map_err(io::Error::other)?;
        let mut draft = tempfile::NamedTempFile::new_in(&self.folder)?;
        draft.write_all(&Sha256::digest(&code))?;
        draft.write_all(&code)?;
        draft.persist(self.folder.join(&self.name))?;
        Ok(())
    }
}

/// Whoever can write to the folder can make this process do anything.
fn belongs_to_us(folder: &Path) -> Result<(), String> {
    let folder = fs::metadata(folder).map_err(|error| error.to_string())?;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&folder.uid());
    if ours && folder.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err("others can write to its folder".to_owned())
}

fn whole(bytes: &[u8]) -> Result<&[u8], String> {
    let (digest, code) = bytes.split_at_checked(DIGEST).ok_or("it is too short")?;
    if Sha256::digest(code).as_slice() == digest {
        Ok(code)
    } else {
        Err("it is damaged".to_owned())
    }
}
