//! Which parts of the work a process does.
//!
//! Invariant: a process has one role at least.

use super::{Error, wrong};

const KEY: &str = "roles";

/// A part of the work that a process can do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Take events from gateways.
    Ingest,
    /// Turn events into deliveries.
    Dispatch,
    /// Bring deliveries to their receivers.
    Deliver,
    /// Serve the API.
    Api,
}

/// The roles of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Role {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("ingest", Self::Ingest),
        ("dispatch", Self::Dispatch),
        ("deliver", Self::Deliver),
        ("api", Self::Api),
    ];
}

impl Roles {
    /// Whether this is one of them.
    pub fn include(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether these are all there are.
    pub fn are_all(&self) -> bool {
        Role::NAMES.iter().all(|(_, role)| self.include(*role))
    }

    /// The roles of these names; all of them if none is named.
    pub(super) fn read(names: &[String]) -> Result<Self, Error> {
        if names.is_empty() {
            return Ok(Self::default());
        }
        let role = |(number, name): (usize, &String)| {
            let known = Role::NAMES.iter().find(|(known, _)| known == &name.trim());
            known.map(|(_, role)| *role).ok_or_else(|| {
                let names = Role::NAMES.map(|(name, _)| name).join(", ");
                wrong(format!("{KEY}[{number}]"), format!("{name:?}: must be one of {names}"))
            })
        };
        Ok(Self(names.iter().enumerate().map(role).collect::<Result<_, _>>()?))
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self(Role::NAMES.map(|(_, role)| role).to_vec())
    }
}
