//! What is measured of the pipeline.
//!
//! Invariant: cases that are compared with each other differ in one thing.

use crate::backend::Backend;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    /// On what it is played.
    pub(super) setting: Setting,
    /// Where events come from.
    pub(super) way: Way,
    /// Deliveries of each event.
    pub(super) fan_out: usize,
    /// Whether a script makes what is delivered.
    pub(super) script: bool,
    /// Events of one round.
    pub(super) events: usize,
    /// Whether it is among those of a short run.
    pub(super) is_main: bool,
}

/// What is there before an event comes. Each setting has a stack of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    /// What the sidecar uses.
    pub(super) backend: Backend,
    /// Subscriptions that ask for something else.
    pub(super) others: usize,
    /// Deliveries that wait for a receiver that is away.
    pub(super) pending: usize,
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
    /// One write after the other through the gateway, from one client.
    Alone,
    /// The same through a gateway without the filter: nothing comes of it but the API's answer.
    Plain,
}

/// Settings that are compared with each other. Their cases take turns; the others' stacks are not
/// there meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing there but what asks for the events.
    Empty,
    /// Many subscriptions against few.
    Crowd,
    /// Many deliveries that wait against few.
    Backlog,
}

const EMBEDDED: Backend = Backend { postgres: false, rabbitmq: false };
const SERVERS: Backend = Backend { postgres: true, rabbitmq: true };

/// The plainest.
const ONE: Case = Case {
    setting: Setting { backend: EMBEDDED, others: 0, pending: 0 },
    way: Way::Ingest,
    fan_out: 1,
    script: false,
    events: 16_000,
    is_main: true,
};

const TEN: Case = Case { fan_out: 10, events: 4_000, ..ONE };
const GATEWAY: Case = Case { way: Way::Gateway, events: 8_000, ..ONE };
const LIGHT: Case = Case { way: Way::Light, events: 1_000, ..ONE };
const ALONE: Case = Case { way: Way::Alone, events: 1_000, ..ONE };
const PLAIN: Case = Case { way: Way::Plain, ..ALONE };

/// All cases.
pub(super) const ALL: [Case; 23] = [
    PLAIN,
    ONE,
    Case { script: true, ..ONE },
    TEN,
    Case { script: true, is_main: false, ..TEN },
    GATEWAY,
    LIGHT,
    ALONE,
    ONE.beside(10),
    ONE.beside(100_000),
    ONE.behind(1_000),
    ONE.behind(1_000_000),
    ONE.on_servers(),
    Case { script: true, ..ONE }.on_servers(),
    TEN.on_servers(),
    Case { script: true, is_main: false, ..TEN }.on_servers(),
    GATEWAY.on_servers(),
    LIGHT.on_servers(),
    ALONE.on_servers(),
    ONE.beside(10).on_servers(),
    ONE.beside(100_000).on_servers(),
    ONE.behind(1_000).on_servers(),
    ONE.behind(1_000_000).on_servers(),
];

impl Act {
    /// All, in the order in which they are played.
    pub(super) const ALL: [Self; 3] = [Self::Empty, Self::Crowd, Self::Backlog];
}

impl Setting {
    /// With what it is compared.
    pub(super) fn act(self) -> Act {
        match self {
            Self { others: 0, pending: 0, .. } => Act::Empty,
            Self { pending: 0, .. } => Act::Crowd,
            Self { .. } => Act::Backlog,
        }
    }
}

impl Case {
    const fn on_servers(self) -> Self {
        Self { setting: Setting { backend: SERVERS, ..self.setting }, ..self }
    }

    const fn beside(self, others: usize) -> Self {
        Self { setting: Setting { others, ..self.setting }, is_main: false, ..self }
    }

    const fn behind(self, pending: usize) -> Self {
        Self { setting: Setting { pending, ..self.setting }, is_main: false, ..self }
    }

    /// How many deliveries come of each event: none where there is no filter to make one.
    pub(super) fn deliveries_of_each(self) -> usize {
        if self.way == Way::Plain { 0 } else { self.fan_out }
    }

    /// What its backend is called.
    pub(super) fn backend(self) -> &'static str {
        match (self.way, self.setting.backend) {
            (Way::Plain, _) => "none",
            (_, Backend { postgres: false, .. }) => "embedded",
            (_, Backend { postgres: true, .. }) => "postgres,rabbitmq",
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> String {
        let Self { setting: Setting { others, pending, .. }, way, fan_out, script, .. } = self;
        let way = match way {
            Way::Plain => return "no filter, through the gateway, one client".to_owned(),
            Way::Ingest => "",
            Way::Gateway => ", through the gateway",
            Way::Light => ", through the gateway, 50/s",
            Way::Alone => ", through the gateway, one client",
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

    #[test]
    fn what_is_compared_is_played_in_one_act() {
        for act in Act::ALL {
            let played: Vec<_> = ALL.iter().filter(|case| case.setting.act() == act).collect();
            for backend in [EMBEDDED, SERVERS] {
                let here = played.iter().filter(|case| case.setting.backend == backend);
                assert!(here.count() >= 2, "{act:?}");
            }
        }
    }
}
