//! Instances between two runs of their scripts.
//!
//! Invariant: an instance only ever runs the script that it was made for, and no more of them are
//! kept than [`MOST`], nor more memory than [`MEMORY`]: the one that was used least lately is
//! given up.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::instance::Instance;
use crate::model::ScriptVersion;

/// How many are kept.
const MOST: usize = 256;
/// How much memory they have together. Bytes.
const MEMORY: usize = 512 << 20;

#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one that was used last stands last.
    instances: VecDeque<(ScriptVersion, Instance)>,
    /// What they have together.
    memory: usize,
}

impl Pool {
    /// One that is ready for this script; whoever takes it puts it back.
    pub(super) fn take(&self, version: ScriptVersion) -> Option<Instance> {
        let mut idle = self.idle();
        let place = idle.instances.iter().rposition(|(of, _)| *of == version)?;
        let (_, instance) = idle.instances.remove(place)?;
        idle.memory = idle.memory.saturating_sub(instance.memory());
        Some(instance)
    }

    pub(super) fn put(&self, version: ScriptVersion, instance: Instance) {
        if !instance.is_fit() {
            return;
        }
        let mut idle = self.idle();
        idle.memory += instance.memory();
        idle.instances.push_back((version, instance));
        let mut given_up = Vec::new();
        while idle.instances.len() > MOST || idle.memory > MEMORY {
            let Some((_, oldest)) = idle.instances.pop_front() else { break };
            idle.memory = idle.memory.saturating_sub(oldest.memory());
            given_up.push(oldest);
        }
        // To give one up takes a while.
        drop(idle);
        drop(given_up);
    }

    pub(super) fn len(&self) -> usize {
        self.idle().instances.len()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
