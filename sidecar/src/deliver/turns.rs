//! Who is attempted next: what was taken from the queue stands in one line per subscription, and
//! the lines take turns. Pure: the caller supplies the clock and the dice.
//!
//! A subscription has so many attempts under way as its circuit allows. What would wait too
//! long, since the line is long or the circuit open, is put off: it goes back to the store, to
//! come again when its turn may be.
//!
//! Invariant: whatever is offered is handed out once, or put off once. No line keeps another from
//! its turn.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use sidehook_event::UnixMicros;

use super::{
    holds::{Holds, Terms},
    line::{Line, PATIENCE},
};
use crate::model::{Pacing, RateLimit, SubscriptionId};

/// What there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attempts under way at a time for one subscription that asks for nothing else.
    pub in_flight: u32,
    /// The most that one may ask for.
    pub most_in_flight: u32,
    /// Pieces in all lines.
    pub all: usize,
}

/// Something that is not attempted now.
#[derive(Debug, PartialEq, Eq)]
pub struct PutOff<T> {
    /// What.
    pub piece: T,
    /// When its turn may come.
    pub until: UnixMicros,
    /// Why.
    pub reason: Reason,
}

/// Why something is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// More of its subscription wait than it takes in a while.
    Full,
    /// Its receiver fails all the time.
    Open,
    /// It would be faster than its subscription wants.
    Paced,
    /// Its subscription is not enabled.
    Disabled,
}

/// Places that a line needs in its subscription's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Whose.
    pub id: SubscriptionId,
    /// How far apart they are.
    pub interval: Duration,
    /// How many.
    pub count: u32,
}

/// How it stands with one subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Deliveries in its line.
    pub waiting: usize,
    /// Attempts under way.
    pub in_flight: u32,
    /// Whether its circuit has opened, and had no success since.
    pub is_open: bool,
}

/// How an attempt ended, as far as its receiver is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The receiver took it.
    Well,
    /// The receiver did not.
    Badly,
    /// It told nothing of the receiver.
    Untold,
}

/// The lines.
#[derive(Debug)]
pub struct Turns<T> {
    limits: Limits,
    holds: Arc<Holds>,
    lines: HashMap<SubscriptionId, Line<T>>,
    /// The lines that may have a turn, each once.
    order: VecDeque<SubscriptionId>,
    /// The lines that may have one at this time.
    sleeping: BTreeSet<(UnixMicros, SubscriptionId)>,
    /// The lines that had nothing left at this time, each once: what is known of their pace holds for a
    /// while.
    resting: VecDeque<(UnixMicros, SubscriptionId)>,
    wishes: Vec<Wish>,
    /// The lines whose circuit has opened, and that had no success since.
    tripped: HashSet<SubscriptionId>,
    waiting: usize,
}

impl<T> Turns<T> {
    /// Without a line.
    pub fn new(limits: Limits, holds: Arc<Holds>) -> Self {
        Self {
            limits,
            holds,
            lines: HashMap::new(),
            order: VecDeque::new(),
            sleeping: BTreeSet::new(),
            resting: VecDeque::new(),
            wishes: Vec::new(),
            tripped: HashSet::new(),
            waiting: 0,
        }
    }

    /// How many more may be offered.
    pub fn room(&self) -> usize {
        self.limits.all.saturating_sub(self.waiting)
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many circuits have opened and had no success since.
    pub fn tripped(&self) -> usize {
        self.tripped.len()
    }

    /// How it stands with one.
    pub fn standing(&self, id: SubscriptionId) -> Standing {
        let (waiting, in_flight) =
            self.lines.get(&id).map_or((0, 0), |line| (line.waiting.len(), line.in_flight));
        Standing { waiting, in_flight, is_open: self.tripped.contains(&id) }
    }

    /// Forgets what was known against the receivers of subscriptions that are sent nothing any
    /// more. Says which those are.
    pub fn forget(&mut self, is_sent: impl Fn(SubscriptionId) -> bool) -> Vec<SubscriptionId> {
        let lines = &self.lines;
        let has_work = |id| lines.get(id).is_some_and(Line::has_work);
        let over: Vec<_> =
            self.tripped.iter().filter(|id| !is_sent(**id) && !has_work(id)).copied().collect();
        for id in &over {
            self.tripped.remove(id);
            self.lines.remove(id);
            self.holds.forget(*id);
        }
        over
    }

    /// Takes a piece into its line, or puts it off.
    pub fn offer(
        &mut self,
        id: SubscriptionId,
        pacing: Pacing,
        piece: T,
        now: UnixMicros,
    ) -> Option<PutOff<T>> {
        let Limits { in_flight, most_in_flight, all } = self.limits;
        let most = pacing.max_in_flight.map_or(in_flight, |own| own.get().min(most_in_flight));
        let line = self.lines.entry(id).or_insert_with(|| Line::new(most, now));
        if line.keep_to(most, pacing.rate_limit.map(RateLimit::interval)) {
            self.holds.forget(id);
        }
        if let Some(until) = line.circuit.open_until(now) {
            let terms = line.terms(Reason::Open, until, until);
            return Some(self.put_off(id, piece, terms));
        }
        if line.waiting.len() >= line.longest(now) || self.waiting >= all {
            let terms = line.terms_when_full(now);
            return Some(self.put_off(id, piece, terms));
        }
        line.waiting.push_back(piece);
        self.waiting += 1;
        self.line_up(id, now);
        None
    }

    /// The piece whose turn it is, if there is any.
    pub fn next(&mut self, now: UnixMicros) -> Option<T> {
        while let Some(id) = self.order.pop_front() {
            let Some(line) = self.lines.get_mut(&id) else { continue };
            line.in_order = false;
            if !line.may_have_a_turn(now) {
                continue;
            }
            let Some(piece) = line.waiting.pop_front() else { continue };
            if let Some(slots) = &mut line.slots {
                slots.take(now);
            }
            line.in_flight += 1;
            self.waiting -= 1;
            self.line_up(id, now);
            return Some(piece);
        }
        None
    }

    /// An attempt has ended. Gives back what is put off because the circuit opened.
    pub fn finished(
        &mut self,
        id: SubscriptionId,
        ended: Ended,
        now: UnixMicros,
        dice: u64,
    ) -> Vec<PutOff<T>> {
        let Some(line) = self.lines.get_mut(&id) else { return Vec::new() };
        line.in_flight = line.in_flight.saturating_sub(1);
        line.pace.ended(now);
        match ended {
            Ended::Well => {
                if line.succeeded(now) {
                    self.holds.release(id);
                }
                self.tripped.remove(&id);
            }
            Ended::Badly => {
                if line.circuit.failed(now, dice) {
                    self.tripped.insert(id);
                }
            }
            Ended::Untold => {}
        }
        let put_off = match line.circuit.open_until(now) {
            Some(until) => self.put_all_off(id, Reason::Open, until),
            None => Vec::new(),
        };
        if let Some(line) = self.lines.get_mut(&id).filter(|line| line.is_idle()) {
            self.holds.forget(id);
            line.drained(now);
            if !line.in_rest {
                line.in_rest = true;
                self.resting.push_back((now, id));
            }
        } else {
            self.line_up(id, now);
        }
        put_off
    }

    /// Places were reserved. Gives back what is put off because they are far away.
    pub fn reserved(
        &mut self,
        id: SubscriptionId,
        from: UnixMicros,
        count: u32,
        now: UnixMicros,
    ) -> Vec<PutOff<T>> {
        let slots = self.lines.get_mut(&id).and_then(|line| line.slots.as_mut());
        let Some(slots) = slots else { return Vec::new() };
        slots.reserved(from, count);
        match slots.next() {
            Some(next) if next > now.after(PATIENCE) => self.put_all_off(id, Reason::Paced, next),
            Some(_) | None => {
                self.line_up(id, now);
                Vec::new()
            }
        }
    }

    /// The places that are needed since this was last asked.
    pub fn wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Lines whose time has come may have a turn, and those that had nothing for a while are gone.
    pub fn wake(&mut self, now: UnixMicros) {
        let has_rested = |(since, _): &(UnixMicros, _)| now.since(*since) >= PATIENCE;
        while let Some((_, id)) = self.resting.front().copied().filter(has_rested) {
            self.resting.pop_front();
            self.rested(id, now);
        }
        while let Some((_, id)) = self.sleeping.first().copied().filter(|(at, _)| *at <= now) {
            self.sleeping.pop_first();
            self.line_up(id, now);
        }
    }

    /// When the time of the next line comes.
    pub fn wakes_at(&self) -> Option<UnixMicros> {
        self.sleeping.first().map(|(at, _)| *at)
    }

    /// Gives back all that wait.
    pub fn clear(&mut self) -> Vec<T> {
        self.waiting = 0;
        self.order.clear();
        self.sleeping.clear();
        self.resting.clear();
        self.tripped.clear();
        let lines = std::mem::take(&mut self.lines);
        lines.into_values().flat_map(|line| line.waiting).collect()
    }

    fn put_all_off(
        &mut self,
        id: SubscriptionId,
        reason: Reason,
        until: UnixMicros,
    ) -> Vec<PutOff<T>> {
        let Some(line) = self.lines.get_mut(&id) else { return Vec::new() };
        self.waiting -= line.waiting.len();
        let terms = line.terms(reason, until, until);
        let pieces = std::mem::take(&mut line.waiting).into_iter();
        pieces.map(|piece| self.put_off(id, piece, terms)).collect()
    }

    /// A line that had nothing left is gone, unless it has something again, or had a moment ago.
    fn rested(&mut self, id: SubscriptionId, now: UnixMicros) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let is_idle = line.is_idle();
        line.in_rest = is_idle && !line.pace.is_over(now);
        if line.in_rest {
            self.resting.push_back((now, id));
        } else if is_idle {
            self.lines.remove(&id);
        }
    }

    fn put_off(&self, id: SubscriptionId, piece: T, terms: Terms) -> PutOff<T> {
        PutOff { piece, until: self.holds.put_off(id, terms), reason: terms.reason }
    }

    fn line_up(&mut self, id: SubscriptionId, now: UnixMicros) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if let Some(slots) = &mut line.slots {
            let interval = slots.interval();
            let wish = slots.wish(line.waiting.len()).map(|count| Wish { id, interval, count });
            self.wishes.extend(wish);
            let next = slots.next().filter(|next| *next > now && !line.waiting.is_empty());
            self.sleeping.extend(next.map(|next| (next, id)));
        }
        if !line.in_order && line.may_have_a_turn(now) {
            line.in_order = true;
            self.order.push_back(id);
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
