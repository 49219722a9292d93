//! Who is attempted next: what was taken from the queue stands in one line per subscription, and
//! the lines take turns. Pure: the caller supplies the clock and the dice.
//!
//! A subscription has so many attempts under way as its [`Circuit`] allows. What would wait too
//! long, since the line is long or the circuit open, is put off: it goes back to the store, to
//! come again when its turn may be.
//!
//! Invariant: whatever is offered is handed out once, or put off once. No line keeps another from
//! its turn.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use sidehook_event::UnixMicros;

use super::circuit::Circuit;
use crate::model::SubscriptionId;

/// How long a line that is full is left alone.
const REST: Duration = Duration::from_secs(1);
/// How long a piece may wait in its line, as far as the pace of the line tells.
const PATIENCE_SECONDS: usize = 2;
/// How many times its window a line may hold of whose pace little is known.
const UNKNOWN: usize = 4;
/// The time between those that are put off to come again, so that they do not come at once.
const SPACING: Duration = Duration::from_millis(5);

/// What there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attempts under way at a time for one subscription.
    pub in_flight: u32,
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
    lines: HashMap<SubscriptionId, Line<T>>,
    /// The lines that may have a turn, each once.
    order: VecDeque<SubscriptionId>,
    waiting: usize,
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<T>,
    in_flight: u32,
    circuit: Circuit,
    /// Whether it stands in the order.
    in_order: bool,
    /// From when on the next one that is put off comes again.
    next_put_off: UnixMicros,
    pace: Pace,
}

/// How many attempts ended in the second that runs, and in the one before.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: UnixMicros,
    now: usize,
    before: usize,
}

impl<T> Turns<T> {
    /// Without a line.
    pub fn new(limits: Limits) -> Self {
        Self { limits, lines: HashMap::new(), order: VecDeque::new(), waiting: 0 }
    }

    /// How many more may be offered.
    pub fn room(&self) -> usize {
        self.limits.all.saturating_sub(self.waiting)
    }

    /// Takes a piece into its line, or puts it off.
    pub fn offer(&mut self, id: SubscriptionId, piece: T, now: UnixMicros) -> Option<PutOff<T>> {
        let Limits { in_flight, all } = self.limits;
        let line = self.lines.entry(id).or_insert_with(|| Line::new(in_flight, now));
        if let Some(until) = line.circuit.open_until(now) {
            return Some(line.put_off(piece, until, Reason::Open));
        }
        if line.waiting.len() >= line.longest(now) || self.waiting >= all {
            return Some(line.put_off(piece, now.after(REST), Reason::Full));
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
            Ended::Well => line.circuit.succeeded(),
            Ended::Badly => {
                line.circuit.failed(now, dice);
            }
            Ended::Untold => {}
        }
        let mut put_off = Vec::new();
        if let Some(until) = line.circuit.open_until(now) {
            self.waiting -= line.waiting.len();
            for piece in std::mem::take(&mut line.waiting) {
                put_off.push(line.put_off(piece, until, Reason::Open));
            }
        }
        if line.waiting.is_empty()
            && line.in_flight == 0
            && line.circuit == Circuit::new(self.limits.in_flight)
        {
            self.lines.remove(&id);
        } else {
            self.line_up(id, now);
        }
        put_off
    }

    /// Gives back all that wait.
    pub fn clear(&mut self) -> Vec<T> {
        self.waiting = 0;
        self.order.clear();
        let lines = std::mem::take(&mut self.lines);
        lines.into_values().flat_map(|line| line.waiting).collect()
    }

    fn line_up(&mut self, id: SubscriptionId, now: UnixMicros) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if !line.in_order && line.may_have_a_turn(now) {
            line.in_order = true;
            self.order.push_back(id);
        }
    }
}

impl<T> Line<T> {
    fn new(in_flight: u32, now: UnixMicros) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            circuit: Circuit::new(in_flight),
            in_order: false,
            next_put_off: now,
            pace: Pace { since: now, now: 0, before: 0 },
        }
    }

    fn may_have_a_turn(&self, now: UnixMicros) -> bool {
        !self.waiting.is_empty() && self.in_flight < self.circuit.window(now)
    }

    /// How many may wait: those that come to their turn in a while.
    fn longest(&mut self, now: UnixMicros) -> usize {
        let window = usize::try_from(self.circuit.window(now)).unwrap_or(usize::MAX);
        (self.pace.per_second(now) * PATIENCE_SECONDS).max(window * UNKNOWN)
    }

    fn put_off(&mut self, piece: T, earliest: UnixMicros, reason: Reason) -> PutOff<T> {
        let until = self.next_put_off.max(earliest);
        let pace = u32::try_from(self.pace.per_second(earliest)).unwrap_or(u32::MAX);
        self.next_put_off = until.after((REST / pace.max(1)).min(SPACING));
        PutOff { piece, until, reason }
    }
}

impl Pace {
    fn ended(&mut self, now: UnixMicros) {
        self.turn(now);
        self.now += 1;
    }

    fn per_second(&mut self, now: UnixMicros) -> usize {
        self.turn(now);
        self.now.max(self.before)
    }

    fn turn(&mut self, now: UnixMicros) {
        const SECOND: Duration = Duration::from_secs(1);
        let passed = now.since(self.since);
        if passed >= SECOND {
            self.before = if passed < SECOND * 2 { self.now } else { 0 };
            self.now = 0;
            self.since = now;
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
