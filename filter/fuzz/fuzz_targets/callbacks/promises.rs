//! What the filter promises, whatever the gateway does:
//!
//! - an answer that is held is let go or replaced, once, and nobody is answered twice;
//! - nobody is let go who is not held, or after the end;
//! - nothing is held for ever;
//! - what is sent can be read, and is about an answer 2xx that the API itself gave;
//! - on a strict route no answer goes out whose events are not stored.
//!
//! Invariant: where the gateway refuses to act for an exchange, nothing is promised but that
//! nobody is let go or answered twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde_json::Value;
use sidehook_event::{Event, TypeId, wire};
use sidehook_filter::host::{Action, ContextId, Side, Token};

use crate::gateway::{Fake, Sent};

/// One exchange, from the beginning of a request to the next under its number.
#[derive(Debug, Default)]
struct Life {
    root: u32,
    modes: Modes,
    /// Its number was another's before, whose events may still be under way.
    reused: bool,
    held: [bool; 2],
    replied: bool,
    ended: bool,
    /// The gateway refused to act for it.
    declined: bool,
    strict: bool,
    /// The statuses of answers that the API itself gave.
    answers: BTreeSet<u16>,
    events: BTreeMap<u128, bool>,
}

/// The capture mode of each resource.
pub(crate) type Modes = Rc<BTreeMap<String, String>>;

/// The capture modes of a configuration.
pub(crate) fn modes(config: &Value) -> Modes {
    let text = |value: Option<&Value>| Some(value?.as_str()?.to_owned());
    let otherwise = text(config.get("capture")).unwrap_or_else(|| "durable".into());
    let routes = config.get("routes").and_then(Value::as_array).into_iter().flatten();
    let named = routes.filter_map(|route| {
        let mode = text(route.get("capture")).unwrap_or_else(|| otherwise.clone());
        Some((text(route.get("resource"))?, mode))
    });
    Rc::new(named.collect())
}

/// A call, and the events in it with the exchanges that they are about.
#[derive(Debug)]
struct Travelled {
    root: u32,
    events: Vec<(usize, u128)>,
}

/// What has been seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    lives: Vec<Life>,
    current: BTreeMap<ContextId, usize>,
    calls: Vec<Travelled>,
    /// The gateway has refused to answer in the filter's place, so that strict answers go.
    no_replies: bool,
}

impl Promises {
    /// The number of the next request.
    pub(crate) fn next(&self) -> usize {
        self.lives.len()
    }

    pub(crate) fn begins(&mut self, context: ContextId, root: ContextId, modes: &Modes) {
        let number = self.lives.len();
        let before = self.current.insert(context, number);
        if let Some(life) = before.and_then(|before| self.lives.get_mut(before)) {
            life.ended = true;
        }
        let modes = Rc::clone(modes);
        let reused = before.is_some();
        self.lives.push(Life { root: root.0, modes, reused, ..Life::default() });
    }

    pub(crate) fn is_answered(&mut self, context: ContextId, status: &[u8], by_upstream: bool) {
        let Some(life) = self.life(context) else { return };
        life.held[0] = false;
        let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
        if by_upstream {
            life.answers.extend(status.filter(|status: &u16| (200..300).contains(status)));
        }
    }

    pub(crate) fn ended(&mut self, context: ContextId) {
        if let Some(life) = self.life(context) {
            life.ended = true;
        }
    }

    pub(crate) fn plugin_ended(&mut self, root: ContextId) {
        for life in self.lives.iter_mut().filter(|life| life.root == root.0) {
            life.ended = true;
        }
    }

    /// The sidecar said of a call that its events are stored.
    pub(crate) fn stored(&mut self, root: ContextId, token: Token) {
        let Some(call) = self.calls.get((token.0 as usize).wrapping_sub(1)) else { return };
        for (number, id) in call.events.iter().filter(|_| call.root == root.0) {
            self.lives[*number].events.insert(*id, true);
        }
    }

    /// Looks at what the filter has done in a callback.
    pub(crate) fn look(&mut self, host: &Fake) {
        self.no_replies |= host.refuses.borrow().contains("reply");
        let sent = host.sent.borrow();
        for call in sent.iter().skip(self.calls.len()) {
            let travelled = self.read(call);
            self.calls.push(travelled);
        }
        for context in host.declined.take() {
            if let Some(life) = self.life(context) {
                life.declined = true;
            }
        }
        for (side, resumed) in [(0, host.forwarded.take()), (1, host.resumed.take())] {
            for context in resumed {
                self.is_let_go(context, side);
            }
        }
        for (context, status) in host.replies.take() {
            assert_eq!(status, 503);
            let life = self.life(context).expect("someone is answered who is not there");
            assert!(!life.ended, "{context:?} is answered after its end");
            assert!(!life.replied, "{context:?} is answered twice");
            (life.replied, life.held) = (true, [false; 2]);
        }
    }

    /// What the filter said at the end of a callback.
    pub(crate) fn said(&mut self, context: ContextId, side: Side, action: Action) {
        if let Some(life) = self.life(context).filter(|life| !life.replied && !life.ended) {
            life.held[side as usize] = action != Action::Continue;
        }
    }

    pub(crate) fn is_held(&mut self, context: ContextId, side: Side) -> bool {
        self.life(context).is_some_and(|life| life.held[side as usize])
    }

    /// The calls that were made for each plugin.
    pub(crate) fn calls(&self) -> Vec<(ContextId, Token)> {
        let numbered = self.calls.iter().zip(1..);
        numbered.map(|(call, token)| (ContextId(call.root), Token(token))).collect()
    }

    /// Those who are held although someone could have let them go.
    pub(crate) fn held(&self) -> Vec<usize> {
        let held = |life: &Life| !life.ended && !life.declined && life.held != [false; 2];
        let lives = self.lives.iter().enumerate();
        lives.filter(|(_, life)| held(life)).map(|(number, _)| number).collect()
    }

    fn life(&mut self, context: ContextId) -> Option<&mut Life> {
        self.lives.get_mut(*self.current.get(&context)?)
    }

    fn is_let_go(&mut self, context: ContextId, side: usize) {
        let no_replies = self.no_replies;
        let life = self.life(context).expect("someone is let go who is not there");
        assert!(!life.ended, "{context:?} is let go after its end");
        assert!(life.held[side], "{context:?} is let go although it is not held");
        life.held[side] = false;
        let lost = life.events.values().any(|stored| !stored);
        let promised = side == 1 && life.strict && !life.reused && !no_replies;
        assert!(!promised || !lost, "{context:?} is let go without its events");
    }

    fn read(&mut self, call: &Sent) -> Travelled {
        let root = call.context.expect("a call is made for a plugin").0;
        if call.body.is_empty() {
            return Travelled { root, events: Vec::new() };
        }
        let events = wire::decode(call.body.clone().into()).expect("what is sent can be read");
        let events = events.iter().map(|event| self.belongs(event, root)).collect();
        Travelled { root, events }
    }

    /// The number of the exchange that an event is about.
    fn belongs(&mut self, event: &Event, root: u32) -> (usize, u128) {
        let (_, number) = event.exchange.path.rsplit_once("?n=").expect("the path is whole");
        let number: usize = number.parse().expect("the path is whole");
        let life = &mut self.lives[number];
        assert_eq!(life.root, root, "an event of another plugin's exchange");
        let status = event.exchange.status;
        assert!(
            life.answers.contains(&status),
            "an event about an answer that the API did not give"
        );
        let mode = life.modes.get(event.event_type.resource());
        assert!(mode.is_none_or(|mode| mode != "observe"), "what is only observed is sent");
        life.strict = mode.is_some_and(|mode| mode == "strict");
        let id = event.id.bits();
        life.events.entry(id).or_insert(false);
        (number, id)
    }
}
