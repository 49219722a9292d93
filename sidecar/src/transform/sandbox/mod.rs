//! Where scripts run: the engine of Rhai as WebAssembly, in instances that have nothing but some
//! memory and a while.
//!
//! Invariant: whatever a script does, it ends within its limits, and the process and all other
//! scripts go on as if nothing had been.

mod allowance;
mod instance;
mod module;
mod pool;
mod ticker;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use sidehook_script_engine::{Fault, Mode, Outcome, Report};
use thiserror::Error;

use crate::model::Script;
pub use allowance::thread_time;
use instance::Instance;
pub use instance::Killed;
pub use module::EMBEDDED;
use module::Module;
use pool::Pool;

/// How much of a processor a run may take.
pub const TIME: Duration = Duration::from_millis(100);
/// How much memory an instance may have, its own share included: bytes.
pub const MEMORY: usize = 32 << 20;

/// Why there is no sandbox, or not at the moment. Nothing is wrong with the script.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// The program was built without the engine.
    #[error("this program was built without the engine of scripts (`cargo xtask` builds it)")]
    NoEngine,
    /// The engine cannot be compiled or an instance of it cannot be made.
    #[error("the engine of scripts does not work: {0}")]
    Broken(String),
}

/// What became of a run.
#[derive(Debug)]
pub enum Ran {
    /// It ended by itself.
    Ended(Report),
    /// It reached a limit of the sandbox.
    Killed(Killed),
}

/// Scripts run in it, on the thread of whoever asks.
#[derive(Clone)]
pub struct Sandbox {
    module: Arc<Module>,
    pool: Arc<Pool>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Opens one with the engine that is part of the program. What it is compiled to is kept in
    /// the folder `cache`, from which it is loaded the next time; it takes seconds otherwise.
    pub fn open(cache: Option<PathBuf>) -> Result<Self, Unavailable> {
        Self::of(EMBEDDED, cache)
    }

    /// Opens one with this engine.
    pub fn of(engine: &[u8], cache: Option<PathBuf>) -> Result<Self, Unavailable> {
        if engine.is_empty() {
            return Err(Unavailable::NoEngine);
        }
        let module = Module::load(engine, cache).map_err(|error| broken(&error))?;
        Ok(Self { module: Arc::new(module), pool: Arc::default() })
    }

    /// Compiles a script and says what is wrong with it, if it is not [`Outcome::Ready`].
    pub fn check(&self, source: &str) -> Result<Outcome, Unavailable> {
        let mut instance = self.fresh(Mode::default())?;
        Ok(match instance.compile(source, TIME) {
            Ok(report) => report.outcome,
            Err(killed) => Outcome::Failed(killed.fault(TIME)),
        })
    }

    /// Runs a script on an input. It may have `time` of a processor at most.
    pub fn run(&self, script: &Script, input: &[u8], time: Duration) -> Result<Ran, Unavailable> {
        if let Some(mut used) = self.pool.take(script.version) {
            match used.run(input, time) {
                Ok(report) => {
                    self.pool.put(script.version, used);
                    return Ok(Ran::Ended(report));
                }
                // What earlier runs left behind may have been too much.
                Err(Killed::Memory) => {}
                Err(killed) => return Ok(Ran::Killed(killed)),
            }
        }
        let mut instance = self.fresh(Mode::default())?;
        let ran = compile_and_run(&mut instance, &script.source, input, time);
        // One that fails often must not cost an instance each time.
        if ran.is_ok() && instance.has_run() {
            self.pool.put(script.version, instance);
        }
        Ok(ran.map_or_else(Ran::Killed, Ran::Ended))
    }

    /// Runs a script once and watches it.
    pub fn try_out(&self, source: &str, input: &[u8], mode: Mode) -> Result<Ran, Unavailable> {
        let mut instance = self.fresh(mode)?;
        let ran = compile_and_run(&mut instance, source, input, TIME);
        Ok(ran.map_or_else(Ran::Killed, Ran::Ended))
    }

    /// How many instances are kept, each ready for another run of its script.
    pub fn kept(&self) -> usize {
        self.pool.len()
    }

    fn fresh(&self, mode: Mode) -> Result<Instance, Unavailable> {
        Instance::new(&self.module, mode).map_err(|error| broken(&error))
    }
}

fn compile_and_run(
    instance: &mut Instance,
    source: &str,
    input: &[u8],
    time: Duration,
) -> Result<Report, Killed> {
    let compiled = instance.compile(source, time)?;
    match compiled.outcome {
        Outcome::Ready => instance.run_on(input),
        Outcome::Failed(_) | Outcome::Send { .. } | Outcome::Dropped { .. } => Ok(compiled),
    }
}

fn broken(error: &wasmtime::Error) -> Unavailable {
    Unavailable::Broken(format!("{error:#}"))
}

impl Killed {
    /// What is told to the script's owner.
    pub fn fault(&self, time: Duration) -> Fault {
        match self {
            Self::Time => Fault::new(format!("ran for more than {} ms", time.as_millis())),
            Self::Memory => Fault::new(format!("needed more than {} MiB of memory", MEMORY >> 20)),
            Self::Stack => Fault::new("nested or called itself too deeply"),
            Self::Broken(what) => Fault::new(format!("broke the sandbox that it ran in: {what}")),
        }
    }
}
