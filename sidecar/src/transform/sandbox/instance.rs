//! One instance of the engine, with one script in it.
//!
//! Invariant: an instance whose call did not end by itself is never called again; what it says is
//! not believed further than the bounds of its memory.

use std::time::Duration;

use sidehook_script_engine::{Mode, Report};
use wasmtime::{Memory, ResourceLimiter, Result, Store, Trap, TypedFunc};

use super::{
    MEMORY,
    allowance::{Allowance, epochs},
    module::Module,
};

/// An instance whose memory is larger after a run is not used again: memory never shrinks.
const GROWN: usize = 8 << 20;
/// An instance is not used more often.
const RUNS: u32 = 5_000;
/// The most bytes of what it says.
const LONGEST: usize = 2 << 20;

/// Why a call did not end by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Killed {
    /// It took too long.
    Time,
    /// It needed too much memory.
    Memory,
    /// It was nested too deeply.
    Stack,
    /// Anything else: a fault of ours.
    Broken(String),
}

/// What an instance is kept from, and whether it tried.
#[derive(Debug, Default)]
pub(super) struct Guest {
    refused: bool,
    allowance: Allowance,
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        self.refused = desired > MEMORY;
        Ok(!self.refused)
    }

    /// The engine's functions are as many as they are.
    fn table_growing(&mut self, current: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(current == 0)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }
}

/// An instance.
pub(super) struct Instance {
    store: Store<Guest>,
    memory: Memory,
    reserve: TypedFunc<u32, u32>,
    compile: TypedFunc<(), u64>,
    run: TypedFunc<(), u64>,
    module: std::sync::Arc<Module>,
    runs: u32,
}

impl Instance {
    /// One without a script.
    pub(super) fn new(module: &std::sync::Arc<Module>, mode: Mode) -> Result<Self> {
        let mut store = Store::new(&module.engine, Guest::default());
        store.limiter(|guest| guest);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().allowance.check()));
        let _running = module.ticker.begin();
        allow(&mut store, super::TIME);
        let instance = module.prepared.instantiate(&mut store)?;
        let memory = instance.get_memory(&mut store, "memory");
        let memory = memory.ok_or_else(|| wasmtime::format_err!("the engine has no memory"))?;
        for (is_wanted, name) in [(mode.watched, "watch"), (mode.unlimited, "lift_limits")] {
            if is_wanted {
                instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ())?;
            }
        }
        Ok(Self {
            reserve: instance.get_typed_func(&mut store, "reserve")?,
            compile: instance.get_typed_func(&mut store, "compile")?,
            run: instance.get_typed_func(&mut store, "run")?,
            module: std::sync::Arc::clone(module),
            store,
            memory,
            runs: 0,
        })
    }

    pub(super) fn compile(&mut self, source: &str, time: Duration) -> Result<Report, Killed> {
        let compile = self.compile.clone();
        self.call(&compile, source.as_bytes(), Some(time))
    }

    pub(super) fn run(&mut self, input: &[u8], time: Duration) -> Result<Report, Killed> {
        let run = self.run.clone();
        self.runs += 1;
        self.call(&run, input, Some(time))
    }

    /// Runs a script in what is left of the time that it was compiled in.
    pub(super) fn run_on(&mut self, input: &[u8]) -> Result<Report, Killed> {
        let run = self.run.clone();
        self.runs += 1;
        self.call(&run, input, None)
    }

    /// Whether its script could be compiled and was run.
    pub(super) fn has_run(&self) -> bool {
        self.runs > 0
    }

    /// How much memory it has. Bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    /// Whether it may run its script again.
    pub(super) fn is_fit(&self) -> bool {
        self.runs < RUNS && self.memory() <= GROWN
    }

    fn call(
        &mut self,
        function: &TypedFunc<(), u64>,
        input: &[u8],
        time: Option<Duration>,
    ) -> Result<Report, Killed> {
        let module = std::sync::Arc::clone(&self.module);
        let _running = module.ticker.begin();
        if let Some(time) = time {
            allow(&mut self.store, time);
        }
        let length = u32::try_from(input.len()).map_err(|_| Killed::Memory)?;
        let at = self.reserve.call(&mut self.store, length);
        let at = at.map_err(|error| self.killed(&error))?;
        let written = self.memory.write(&mut self.store, wide(at), input);
        written.map_err(|error| Killed::Broken(error.to_string()))?;
        let said = function.call(&mut self.store, ());
        let said = said.map_err(|error| self.killed(&error))?;
        self.read(said).ok_or_else(|| Killed::Broken("it said nothing that can be read".to_owned()))
    }

    /// Reads the report that lies where the upper half says, as long as the lower half.
    fn read(&self, said: u64) -> Option<Report> {
        let (at, length) = (usize::try_from(said >> 32).ok()?, said & u64::from(u32::MAX));
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST)?;
        let bytes = self.memory.data(&self.store).get(at..at.checked_add(length)?)?;
        Report::decode(bytes)
    }

    fn killed(&self, error: &wasmtime::Error) -> Killed {
        if self.store.data().refused {
            return Killed::Memory;
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Killed::Time,
            // The engine's own stack lies at the beginning of its memory.
            Some(Trap::StackOverflow | Trap::MemoryOutOfBounds) => Killed::Stack,
            _ => Killed::Broken(error.root_cause().to_string()),
        }
    }
}

fn allow(store: &mut Store<Guest>, time: Duration) {
    store.data_mut().allowance = Allowance::of(time);
    store.set_epoch_deadline(epochs(time));
}

fn wide(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
