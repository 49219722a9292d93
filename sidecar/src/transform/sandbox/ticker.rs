//! The clock of the sandbox: epochs go by while scripts run.
//!
//! Invariant: while a run is under way an epoch takes [`EPOCH`], and some more on a busy machine;
//! while none is, nothing wakes up.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use wasmtime::Engine;

/// How long an epoch takes.
pub(super) const EPOCH: Duration = Duration::from_millis(5);

/// Lets epochs go by until it is dropped.
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    begun: Condvar,
}

#[derive(Default)]
struct State {
    runs: usize,
    is_over: bool,
}

/// A run that is under way, until it is dropped.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    pub(super) fn start(engine: Engine) -> Self {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        thread::spawn(move || {
            while ticking.wait_for_a_run() {
                thread::sleep(EPOCH);
                engine.increment_epoch();
            }
        });
        Self { shared }
    }

    pub(super) fn begin(&self) -> Running {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.runs += 1;
        if state.runs == 1 {
            self.shared.begun.notify_one();
        }
        Running(Arc::clone(&self.shared))
    }
}

impl Shared {
    /// Whether there is one; else it is all over.
    fn wait_for_a_run(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.runs == 0 && !state.is_over {
            state = self.begun.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).runs -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.shared.begun.notify_one();
    }
}
