//! What is measured of the pipeline.
//!
//! Invariant: cases that are compared with each other differ in one thing.

use crate::backend::Backend;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    /// What the sidecar uses.
    pub(super) backend: Backend,
    /// Where events come from.
    pub(super) way: Way,
    /// Deliveries of each event.
    pub(super) fan_out: usize,
    /// Whether a script makes what is delivered.
    pub(super) script: bool,
    /// Subscriptions that ask for something else.
    pub(super) others: usize,
    /// Deliveries that wait for a receiver that is away.
    pub(super) pending: usize,
    /// Events of one round.
    pub(super) events: usize,
    /// Whether it is among those of a short run.
    pub(super) is_main: bool,
}

/// Where events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Batches straight to the sidecar, as fast as they are delivered.
    Ingest,
    /// Writes of many clients through the gateway, as fast as they are delivered.
    Gateway,
    /// Fifty writes in a second through the gateway.
    Light,
}

const EMBEDDED: Backend = Backend { postgres: false, rabbitmq: false };
const SERVERS: Backend = Backend { postgres: true, rabbitmq: true };

/// The plainest.
const ONE: Case = Case {
    backend: EMBEDDED,
    way: Way::Ingest,
    fan_out: 1,
    script: false,
    others: 0,
    pending: 0,
    events: 16_000,
    is_main: true,
};

const TEN: Case = Case { fan_out: 10, events: 4_000, ..ONE };
const LIGHT: Case = Case { way: Way::Light, events: 400, ..ONE };
const GATEWAY: Case = Case { way: Way::Gateway, events: 8_000, ..ONE };
const BESIDE: Case = Case { others: 10, is_main: false, ..ONE };

/// All cases.
pub(super) const ALL: [Case; 16] = [
    ONE,
    Case { script: true, ..ONE },
    TEN,
    Case { script: true, is_main: false, ..TEN },
    GATEWAY,
    LIGHT,
    BESIDE,
    Case { others: 100_000, ..BESIDE },
    Case { backend: SERVERS, ..ONE },
    Case { backend: SERVERS, script: true, ..ONE },
    Case { backend: SERVERS, ..TEN },
    Case { backend: SERVERS, script: true, is_main: false, ..TEN },
    Case { backend: SERVERS, ..GATEWAY },
    Case { backend: SERVERS, ..LIGHT },
    Case { backend: SERVERS, ..BESIDE },
    Case { backend: SERVERS, others: 100_000, ..BESIDE },
];

impl Case {
    /// What its backend is called.
    pub(super) fn backend(self) -> &'static str {
        match self.backend {
            Backend { postgres: false, .. } => "embedded",
            Backend { postgres: true, .. } => "postgres,rabbitmq",
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> String {
        let Self { fan_out, script, others, pending, .. } = self;
        let way = match self.way {
            Way::Ingest => "",
            Way::Gateway => ", through the gateway",
            Way::Light => ", through the gateway, 50/s",
        };
        let script = if script { ", script" } else { "" };
        let others = if others > 0 { format!(", {others} others") } else { String::new() };
        let pending = if pending > 0 { format!(", {pending} pending") } else { String::new() };
        format!("{}, fan-out {fan_out}{script}{way}{others}{pending}", self.backend())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        for case in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name() == case.name()).count(), 1);
        }
    }
}
