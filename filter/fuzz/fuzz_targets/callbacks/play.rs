//! Plays a script on the filter, and watches over its promises.
//!
//! Invariant: in the end the gateway refuses nothing, the sidecar stores everything, and time
//! passes until nobody can have a reason left to be held.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use sidehook_filter::{
    host::{ContextId, Side, Token},
    pairs::Fields,
};

use crate::{
    gateway::{Gateway, ROOT, config, questions::QUESTIONS},
    promises::{Modes, Promises, modes},
    script::{Answer, Callback, Chunk, Details, Plugin, Request, Slot, Status},
};

const OTHER: ContextId = ContextId(2);

/// The first number of an exchange.
const FIRST: u32 = 100;

/// More seconds than anything is waited for, one limit after the other.
const LONG: usize = 400;

/// A run.
pub(crate) struct Play {
    gateway: Gateway,
    promises: Promises,
    modes: BTreeMap<ContextId, Modes>,
    slots: [Option<ContextId>; 8],
    /// Whose the numbers in use are.
    owners: BTreeMap<ContextId, ContextId>,
    alive: BTreeSet<ContextId>,
    next: u32,
    answered: BTreeMap<Token, ContextId>,
}

impl Play {
    pub(crate) fn new(plugins: &[Plugin; 2]) -> Self {
        let mut play = Self {
            gateway: Gateway::new(),
            promises: Promises::default(),
            modes: BTreeMap::new(),
            slots: [None; 8],
            owners: BTreeMap::new(),
            alive: BTreeSet::new(),
            next: FIRST,
            answered: BTreeMap::new(),
        };
        for (root, plugin) in [ROOT, OTHER].into_iter().zip(plugins) {
            if !play.configure(root, &plugin.written()) {
                play.configure(root, &config());
            }
        }
        play
    }

    pub(crate) fn goes_on(&mut self, callback: &Callback) {
        match callback {
            Callback::Exchange(slot, request, sent, answer, answered) => {
                self.exchange(*slot, request, sent, answer, answered);
            }
            Callback::Request(slot, request) => self.request(*slot, request),
            Callback::Body(slot, half, chunk) => self.body(*slot, half.side(), chunk),
            Callback::Trailers(slot, half) => self.trailers(*slot, half.side()),
            Callback::Answer(slot, answer) => self.answer(*slot, answer),
            Callback::Sidecar { back, forged, other, status } => {
                let calls = self.promises.calls();
                let latest = calls.iter().rev().nth((*back).into()).copied();
                let (root, token) = latest.unwrap_or((ROOT, Token(u32::MAX)));
                let root = if *forged { root_of(*other) } else { root };
                self.sidecar(root, token, status);
            }
            Callback::Tick(millis) => self.tick(Duration::from_millis((*millis).into())),
            Callback::Jump(millis) => {
                let now = &self.gateway.host.now;
                now.set(now.get() + Duration::from_millis((*millis).into()));
            }
            Callback::End(slot) => {
                let context = self.enter(*slot);
                self.promises.ended(context);
                self.owners.remove(&context);
                assert!(self.gateway.filter.end(&self.gateway.host, context));
            }
            Callback::Refuse(which) => {
                let what = crate::script::one_of(&QUESTIONS, *which);
                self.gateway.host.refuses.borrow_mut().insert(what);
            }
            Callback::Relent => self.gateway.host.refuses.borrow_mut().clear(),
            Callback::Configure { other, plugin } => {
                self.configure(root_of(*other), &plugin.written());
            }
            Callback::ConfigureWith { other, text } => {
                let root = root_of(*other);
                if self.configure_with(root, text.clone()) {
                    self.modes.insert(root, Modes::default());
                }
            }
            Callback::EndPlugin { other } => {
                self.gateway.host.context.set(Some(root_of(*other)));
                if self.gateway.filter.end(&self.gateway.host, root_of(*other)) {
                    self.plugin_ended(root_of(*other));
                }
            }
        }
        self.promises.look(&self.gateway.host);
    }

    /// All goes well from now on.
    pub(crate) fn ends(mut self) {
        self.gateway.host.refuses.borrow_mut().clear();
        for _ in 0..LONG {
            for (root, token) in self.promises.calls() {
                if self.answered.get(&token) != Some(&root) {
                    self.sidecar(root, token, &Status::NoContent);
                }
            }
            if self.promises.held().is_empty() {
                return;
            }
            self.tick(Duration::from_secs(1));
        }
        let held = self.promises.held();
        assert!(held.is_empty(), "held for ever: {held:?} of {:?}", self.promises);
    }

    fn exchange(
        &mut self,
        slot: Slot,
        request: &Request,
        sent: &[Chunk],
        answer: &Answer,
        answered: &[Chunk],
    ) {
        self.request(slot, request);
        let context = self.context(slot);
        if self.promises.is_held(context, Side::Request) {
            if let Some((root, token)) = self.promises.calls().last().copied() {
                self.sidecar(root, token, &Status::NoContent);
            }
        }
        for chunk in sent {
            self.body(slot, Side::Request, chunk);
        }
        self.answer(slot, answer);
        for chunk in answered {
            self.body(slot, Side::Response, chunk);
        }
    }

    fn request(&mut self, slot: Slot, request: &Request) {
        let place = usize::from(slot.0) % self.slots.len();
        if !request.reused || self.slots[place].is_none() {
            self.next += 1;
            self.slots[place] = Some(ContextId(self.next));
        }
        let context = self.enter(slot);
        let number = self.promises.next();
        let asked = root_of(request.other);
        let before = self.owners.get(&context).filter(|owner| self.alive.contains(owner));
        let root = *before.unwrap_or(&asked);
        self.owners.insert(context, root);
        self.gateway.filter.create(context, Some(asked));
        let modes = self.modes.entry(root).or_default();
        self.promises.begins(context, root, modes);
        let mut fields = vec![
            (b":method".to_vec(), request.method()),
            (b":path".to_vec(), request.path(number)),
        ];
        fields.extend(request.fields.iter().map(crate::content::Field::pair));
        let Gateway { host, filter, .. } = &mut self.gateway;
        host.phase.set(Some(Side::Request));
        *host.fields.borrow_mut() = Fields::of(&fields);
        let action = filter.request_headers(host, context, request.ended);
        self.promises.look(host);
        self.promises.said(context, Side::Request, action);
    }

    fn body(&mut self, slot: Slot, side: Side, chunk: &Chunk) {
        let context = self.enter(slot);
        let bytes = chunk.content.bytes();
        let shown = chunk.shown(bytes.len());
        let Gateway { host, filter, .. } = &mut self.gateway;
        *host.chunk.borrow_mut() = bytes;
        let action = filter.body(host, context, side, shown, chunk.ended);
        self.promises.look(host);
        self.promises.said(context, side, action);
    }

    fn trailers(&mut self, slot: Slot, side: Side) {
        let context = self.enter(slot);
        let Gateway { host, filter, .. } = &mut self.gateway;
        let action = filter.trailers(host, context, side);
        self.promises.look(host);
        self.promises.said(context, side, action);
    }

    fn answer(&mut self, slot: Slot, answer: &Answer) {
        let context = self.enter(slot);
        let Gateway { host, filter, .. } = &mut self.gateway;
        let status = answer.status.text();
        let mut fields: Vec<_> =
            status.map(|status| (b":status".to_vec(), status)).into_iter().collect();
        fields.extend(answer.fields.iter().map(crate::content::Field::pair));
        let details = match &answer.details {
            Details::Upstream => b"via_upstream".to_vec(),
            Details::Local => b"direct_response".to_vec(),
            Details::Any(bytes) => bytes.clone(),
        };
        let status = fields.iter().find(|(name, _)| name == b":status");
        let status = status.map(|(_, status)| status.as_slice()).unwrap_or_default();
        self.promises.is_answered(context, status, details == b"via_upstream");
        host.phase.set(Some(Side::Response));
        *host.fields.borrow_mut() = Fields::of(&fields);
        *host.details.borrow_mut() = details;
        let action = filter.response_headers(host, context, answer.ended);
        self.promises.look(host);
        self.promises.said(context, Side::Response, action);
    }

    fn sidecar(&mut self, root: ContextId, token: Token, status: &Status) {
        let Gateway { host, filter, .. } = &mut self.gateway;
        let status = status.text();
        let number = status.as_deref().and_then(|status| std::str::from_utf8(status).ok());
        let number = number.and_then(|status| status.parse().ok()).unwrap_or(0_u16);
        let is_shown = !host.refuses.borrow().contains("call_status");
        if is_shown && (200..300).contains(&number) {
            self.promises.stored(root, token);
        }
        *host.status.borrow_mut() = status;
        host.phase.set(None);
        host.context.set(Some(root));
        self.answered.insert(token, root);
        filter.answered(host, root, token);
        self.promises.look(host);
        self.said_that_it_can_go(root);
    }

    fn tick(&mut self, after: Duration) {
        let host = &self.gateway.host;
        host.now.set(host.now.get() + after);
        host.phase.set(None);
        for root in [ROOT, OTHER] {
            let Gateway { host, filter, .. } = &mut self.gateway;
            host.context.set(Some(root));
            filter.tick(host, root);
            self.promises.look(host);
            self.said_that_it_can_go(root);
        }
    }

    /// If a plugin said so, it is gone.
    fn said_that_it_can_go(&mut self, root: ContextId) {
        if self.gateway.host.finished.take() > 0 {
            self.plugin_ended(root);
        }
    }

    fn plugin_ended(&mut self, root: ContextId) {
        self.promises.plugin_ended(root);
        self.alive.remove(&root);
    }

    fn configure(&mut self, root: ContextId, config: &Value) -> bool {
        let accepted = self.configure_with(root, config.to_string().into_bytes());
        if accepted {
            self.modes.insert(root, modes(config));
        }
        accepted
    }

    fn configure_with(&mut self, root: ContextId, text: Vec<u8>) -> bool {
        let Gateway { host, filter, .. } = &mut self.gateway;
        let length = text.len();
        *host.config.borrow_mut() = text;
        host.context.set(Some(root));
        filter.create(root, None);
        self.alive.insert(root);
        filter.configure(host, root, length)
    }

    fn context(&self, slot: Slot) -> ContextId {
        let place = usize::from(slot.0) % self.slots.len();
        // A number that was never in use, as long as the slot is empty.
        self.slots[place].unwrap_or(ContextId(FIRST - 1))
    }

    fn enter(&mut self, slot: Slot) -> ContextId {
        let context = self.context(slot);
        self.gateway.host.context.set(Some(context));
        context
    }
}

fn root_of(other: bool) -> ContextId {
    if other { OTHER } else { ROOT }
}
