//! Instances between two runs of their scripts.
//!
//! Invariant: an instance only ever runs the script that it was made for, and no more of them are
//! kept than [`MOST`]: the one that was used least lately is given up.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::instance::Instance;
use crate::model::ScriptVersion;

/// Some 400 KiB each.
const MOST: usize = 256;

#[derive(Default)]
pub(super) struct Pool {
    /// The one that was used last stands last.
    idle: Mutex<VecDeque<(ScriptVersion, Instance)>>,
}

impl Pool {
    /// One that is ready for this script; whoever takes it puts it back.
    pub(super) fn take(&self, version: ScriptVersion) -> Option<Instance> {
        let mut idle = self.idle();
        let place = idle.iter().rposition(|(of, _)| *of == version)?;
        idle.remove(place).map(|(_, instance)| instance)
    }

    pub(super) fn put(&self, version: ScriptVersion, instance: Instance) {
        if !instance.is_fit() {
            return;
        }
        let mut idle = self.idle();
        idle.push_back((version, instance));
        let oldest = if idle.len() > MOST { idle.pop_front() } else { None };
        // To give one up takes a while.
        drop(idle);
        drop(oldest);
    }

    pub(super) fn len(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(ScriptVersion, Instance)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
