//! The life of the plugin in one worker: configured, ticking, drained, gone.
//!
//! All state of a plugin is in its [`Root`]. One virtual machine can run several of them at once,
//! old and new configuration side by side, and they must not meet.
//!
//! Invariant: whoever is let go or answered is in `exchanges` and leaves it with that; the gateway
//! itself does not say who is still alive.

mod asking;
mod delivery;
mod traffic;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use sidehook_event::wire;

use crate::{
    config::Config,
    dice::Dice,
    exchange::{Shows, Watch},
    health::Health,
    host::{Action, ContextId, Host, Level, Moment, Side, Token},
    metrics::Metrics,
    outbox::Outbox,
    register::{self, Register},
};

/// How often deadlines and pauses are looked at. Events themselves never wait for a tick.
const TICK: Duration = Duration::from_millis(100);

/// The tick while more answers are due than one callback may let go.
const BUSY_TICK: Duration = Duration::from_millis(1);

/// How long a plugin that has been replaced may go on sending what it still has.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long the log keeps quiet about a complaint it has already shown.
const QUIET: Duration = Duration::from_secs(30);

/// An exchange that the gateway is carrying out.
#[derive(Debug)]
enum Exchange {
    /// A write near a route that fits none; only whether it succeeds is of interest.
    Unmatched,
    /// A write that waits for the sidecar to say that it stores events.
    Asking(Box<Watch>),
    /// A write whose event is not made yet.
    Watched(Box<Watch>),
    /// The answer waits for its events to be committed.
    Held {
        /// Since when.
        since: Moment,
        /// What becomes of it if they can't be stored.
        strict: bool,
        /// How many of them are not stored yet.
        events: usize,
    },
}

/// A complaint, so that each kind is repeated only now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Complaint {
    Unauthorized,
    Outage,
    Refused,
    Full,
    HeadersStop,
    Observed,
}

/// One plugin in one worker.
#[derive(Debug)]
pub struct Root {
    id: ContextId,
    active: Option<Active>,
}

/// How far the life of a plugin has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It has not been replaced, and the gateway does not end.
    Runs,
    /// As long as the gateway waits for it, it sends what it still has until then.
    Ends(Moment),
    /// It can go.
    Over,
}

/// A plugin that has been configured.
#[derive(Debug)]
struct Active {
    root: ContextId,
    config: Rc<Config>,
    prologue: Vec<u8>,
    exchanges: Register<Exchange>,
    /// Bytes of bodies kept in `exchanges`.
    kept: usize,
    outbox: Outbox,
    health: Health,
    /// Who waits for the sidecar's word.
    asking: VecDeque<ContextId>,
    metrics: Metrics,
    dice: Dice,
    wall: Wall,
    shows: Shows,
    complaints: BTreeMap<Complaint, Moment>,
    tick: Duration,
    /// How many answers had no body shown while it was not known whether that can be.
    stalled: usize,
    life: Life,
    /// The steady clock as it was last looked at: at the latest answer of the API or the sidecar,
    /// and at every tick.
    latest: Moment,
}

/// What the steady clock has to be put forward by to show the time of day. It is read at every
/// tick, so that one clock does for each exchange; a day's time that jumps is followed within one.
#[derive(Debug, Clone, Copy)]
struct Wall {
    ahead: u64,
}

impl Wall {
    fn read(host: &dyn Host) -> Self {
        Self { ahead: host.unix_nanos().unwrap_or_default().saturating_sub(now(host).0) }
    }

    /// Nanoseconds since the Unix epoch at `now`.
    fn unix_nanos(self, now: Moment) -> u64 {
        now.0.saturating_add(self.ahead)
    }
}

impl Root {
    /// A plugin that has not been configured yet, and lets everything pass.
    pub fn new(id: ContextId) -> Self {
        Self { id, active: None }
    }

    /// Reads `length` bytes of configuration. `false` if it is refused; the log then says why,
    /// and the gateway does not start with it. The same plugin can be configured again.
    pub fn configure(&mut self, host: &dyn Host, length: usize) -> bool {
        let json = host.configuration(length).unwrap_or_default();
        let config = match Config::parse(&json) {
            Ok(config) => Rc::new(config),
            Err(invalid) => {
                host.log(Level::Error, &format!("invalid configuration: {invalid}"));
                return false;
            }
        };
        let prologue = wire::prologue(&config.gateway);
        let metrics = Metrics::define(host, &config);
        if host.tick_every(TICK).is_err() {
            host.log(Level::Error, "the gateway gives no ticks, so nothing can be retried");
            return false;
        }
        if let Some(active) = &mut self.active {
            active.outbox.limit(config.buffer);
            active.metrics.replace(host, metrics);
            (active.config, active.prologue) = (config, prologue);
            return true;
        }
        self.active = Some(Active {
            root: self.id,
            outbox: Outbox::new(config.buffer),
            config,
            prologue,
            exchanges: register::empty(),
            kept: 0,
            health: Health::default(),
            asking: VecDeque::new(),
            metrics,
            // Without a seed the clock has to do.
            dice: Dice::new(host.random().unwrap_or_else(|_| now(host).0)),
            wall: Wall::read(host),
            shows: Shows::Unknown,
            complaints: BTreeMap::new(),
            tick: TICK,
            stalled: 0,
            life: Life::Runs,
            latest: now(host),
        });
        true
    }

    /// A request has begun; it has no body if `ended`.
    pub fn request_headers(&mut self, host: &dyn Host, context: ContextId, ended: bool) -> Action {
        self.with(|active| active.request_headers(host, context, ended))
    }

    /// `length` bytes of a body are passing by, the last ones if `ended`.
    pub fn body(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        side: Side,
        length: usize,
        ended: bool,
    ) -> Action {
        self.with(|active| match side {
            Side::Request => active.request_body(host, context, length, ended),
            Side::Response => active.response_body(host, context, length, ended),
        })
    }

    /// The head of an answer has come, and nothing else will if `ended`.
    pub fn response_headers(&mut self, host: &dyn Host, context: ContextId, ended: bool) -> Action {
        self.with(|active| active.response_headers(host, context, ended))
    }

    /// A request or an answer has ended with trailers.
    pub fn trailers(&mut self, host: &dyn Host, context: ContextId, side: Side) -> Action {
        self.with(|active| match side {
            Side::Request => active.request_trailers(context),
            Side::Response => active.response_trailers(host, context),
        })
    }

    /// The exchange is over, for whatever reason.
    pub fn forget(&mut self, host: &dyn Host, context: ContextId) {
        if let Some(active) = &mut self.active {
            active.forget(host, context);
        }
    }

    /// A call to the sidecar was answered.
    pub fn answered(&mut self, host: &dyn Host, token: Token) {
        if let Some(active) = &mut self.active {
            active.answered(host, token);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, host: &dyn Host) {
        if let Some(active) = &mut self.active {
            active.tick(host);
        }
    }

    /// The plugin has been replaced, or the gateway ends. Whether it can go at once; if not, it
    /// will tell the gateway when.
    pub fn end(&mut self, host: &dyn Host) -> bool {
        self.active.as_mut().is_none_or(|active| active.end(host))
    }

    /// Whether the plugin has told the gateway that it can go.
    pub fn is_over(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.life == Life::Over)
    }

    fn with(&mut self, then: impl FnOnce(&mut Active) -> Action) -> Action {
        self.active.as_mut().map_or(Action::Continue, then)
    }
}

impl Active {
    /// Looks at the steady clock.
    fn look(&mut self, host: &dyn Host) -> Moment {
        self.latest = now(host);
        self.latest
    }

    /// Logs a complaint, unless it was logged a short while ago.
    fn complain(&mut self, host: &dyn Host, about: Complaint, level: Level, text: &str) {
        let now = now(host);
        let last = self.complaints.get(&about);
        if last.is_none_or(|last| now.since(*last) >= QUIET) {
            self.complaints.insert(about, now);
            host.log(level, text);
        }
    }
}

fn now(host: &dyn Host) -> Moment {
    host.moment().unwrap_or_default()
}
