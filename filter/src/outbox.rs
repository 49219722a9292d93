//! Events on their way to the sidecar: what is buffered, what travels together, what is sent
//! again and when, and whose answer waits for it. Pure: the caller supplies the clock, the dice
//! and the calls.
//!
//! What is full takes nothing new: the events already in it are older, and someone may wait for
//! them. Nothing in it is ever dropped but an event that the sidecar refused on its own.
//!
//! Invariant: every event pushed is either waiting or in exactly one flight, until it has been
//! committed or refused alone; each holder is handed back once for each of its events.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    config::Limits,
    emit::Verdict,
    host::{ContextId, Moment, Token},
};

/// The most events that travel together. As many answers may be let go at once then, and much
/// more than a thousand in one callback overflow the gateway's stack.
pub const MAX_COMPANY: usize = 256;

/// The most bytes that travel together, unless one event alone has more.
pub const MAX_BATCH: usize = 1 << 20;

/// So old is a flight before a second one starts beside it.
const OLD: Duration = Duration::from_millis(20);

/// The pauses after a failure: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// An answer that waits for an event to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The exchange whose answer waits.
    pub context: ContextId,
    /// How long it waits at most.
    pub until: Moment,
}

/// Events that travel together.
#[derive(Debug)]
pub struct Batch(Vec<Entry>);

/// There is no room for another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What an answer of the sidecar settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Events that are stored now.
    pub committed: usize,
    /// Events that were given up.
    pub refused: usize,
    /// Events that will be sent again.
    pub again: usize,
    /// Whose events are stored, once for each event.
    pub holders: Vec<ContextId>,
    /// Whose events were given up, once for each event.
    pub bereft: Vec<ContextId>,
    /// The time between call and answer.
    pub round_trip: Duration,
}

/// What is buffered and what is in flight.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    waiting: VecDeque<Entry>,
    flights: BTreeMap<Token, Flight>,
    events: usize,
    bytes: usize,
    failures: u32,
    not_before: Moment,
}

#[derive(Debug)]
struct Entry {
    frame: Vec<u8>,
    holder: Option<Holder>,
    /// With how many others at most it may travel, itself included.
    company: usize,
}

#[derive(Debug)]
struct Flight {
    entries: Vec<Entry>,
    since: Moment,
}

impl Batch {
    /// How many events it has.
    pub fn events(&self) -> usize {
        self.0.len()
    }

    /// The batch as it is sent.
    pub fn body(&self, prologue: &[u8]) -> Vec<u8> {
        let length = self.0.iter().map(|entry| entry.frame.len()).sum::<usize>();
        let mut body = Vec::with_capacity(prologue.len().saturating_add(length));
        body.extend(prologue);
        for entry in &self.0 {
            body.extend(&entry.frame);
        }
        body
    }
}

impl Outbox {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            events: 0,
            bytes: 0,
            failures: 0,
            not_before: Moment::default(),
        }
    }

    /// Sets other limits. What is already in stays in.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes the encoded events of one exchange, all or none. Each of them has the holder.
    pub fn push(&mut self, frames: Vec<Vec<u8>>, holder: Option<Holder>) -> Result<(), Full> {
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let events = self.events.saturating_add(frames.len());
        if events > self.limits.max_events || bytes > self.room() {
            return Err(Full);
        }
        self.events = events;
        self.bytes += bytes;
        let entry = |frame| Entry { frame, holder, company: MAX_COMPANY };
        self.waiting.extend(frames.into_iter().map(entry));
        Ok(())
    }

    /// The next batch, if it is time for one. While all goes well one is in flight, and a second
    /// only beside one that is old or when there is a full load; after a failure one at a time,
    /// with pauses.
    pub fn depart(&mut self, now: Moment) -> Option<Batch> {
        let oldest = self.flights.values().map(|flight| flight.since).min();
        let may = match (self.flights.len(), oldest) {
            (0, _) => now >= self.not_before,
            (1, Some(since)) => {
                self.failures == 0 && (now.since(since) >= OLD || self.has_full_load())
            }
            _ => false,
        };
        if may { self.load() } else { None }
    }

    /// Ends the pause after a failure.
    pub fn hurry(&mut self) {
        self.not_before = Moment::default();
    }

    /// The next batch, whatever is in flight: there may be no other occasion.
    pub fn depart_at_once(&mut self) -> Option<Batch> {
        self.load()
    }

    /// A batch left with this token.
    pub fn sent(&mut self, token: Token, batch: Batch, now: Moment) {
        let flight = Flight { entries: batch.0, since: now };
        // A token that is still in use would hide a flight; its events are sent again then.
        if let Some(hidden) = self.flights.insert(token, flight) {
            self.put_back(hidden.entries);
        }
    }

    /// A batch could not be sent.
    pub fn unsent(&mut self, batch: Batch, now: Moment, dice: u64) {
        self.put_back(batch.0);
        self.fail(now, dice);
    }

    /// The call `token` was answered; `None` if it was given up before.
    pub fn answered(
        &mut self,
        token: Token,
        verdict: Verdict,
        now: Moment,
        dice: u64,
    ) -> Option<Settled> {
        let Flight { entries, since } = self.flights.remove(&token)?;
        let mut settled = Settled { round_trip: now.since(since), ..Settled::default() };
        let count = entries.len();
        if matches!(verdict, Verdict::Committed | Verdict::Refused(_)) {
            self.failures = 0;
            self.not_before = Moment::default();
        }
        match verdict {
            Verdict::Committed => {
                settled.committed = count;
                settled.holders = self.let_go(&entries);
            }
            Verdict::Refused(_) if count == 1 => {
                settled.refused = count;
                settled.bereft = self.let_go(&entries);
            }
            Verdict::Refused(_) => {
                // One of them is at fault; in halves the others come through.
                let company = count.div_ceil(2);
                let halves = entries.into_iter().map(|entry| Entry { company, ..entry });
                self.put_back(halves.collect());
                settled.again = count;
            }
            Verdict::Failed(_) => {
                self.put_back(entries);
                self.fail(now, dice);
                settled.again = count;
            }
        }
        Some(settled)
    }

    /// Gives up waiting for calls that should have been answered `patience` after they began,
    /// and gives the number of events that will be sent again.
    pub fn overdue(&mut self, now: Moment, patience: Duration, dice: u64) -> usize {
        let late = |flight: &Flight| now.since(flight.since) > patience;
        let flights = self.flights.iter();
        let tokens: Vec<Token> =
            flights.filter_map(|(token, flight)| late(flight).then_some(*token)).collect();
        let mut again = 0;
        for token in tokens {
            if let Some(flight) = self.flights.remove(&token) {
                again += flight.entries.len();
                self.put_back(flight.entries);
                self.fail(now, dice);
            }
        }
        again
    }

    /// Takes away the holders that have waited long enough, `MAX_COMPANY` at most. Their events
    /// stay.
    pub fn expired(&mut self, now: Moment) -> Vec<ContextId> {
        let flying = self.flights.values_mut().flat_map(|flight| &mut flight.entries);
        let due = flying.chain(&mut self.waiting).filter_map(|entry| {
            let holder = entry.holder.filter(|holder| holder.until <= now)?;
            entry.holder = None;
            Some(holder.context)
        });
        due.take(MAX_COMPANY).collect()
    }

    /// Whether nothing is waiting or in flight.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Whether there is no room for any event.
    pub fn is_full(&self) -> bool {
        self.events >= self.limits.max_events || self.bytes >= self.limits.max_bytes
    }

    /// Whether the last that was heard of the sidecar is a failure.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How many bytes there is room for.
    pub fn room(&self) -> usize {
        self.limits.max_bytes.saturating_sub(self.bytes)
    }

    /// How many events there are, in flight or not.
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn has_full_load(&self) -> bool {
        let bytes = self.waiting.iter().map(|entry| entry.frame.len());
        self.waiting.len() >= MAX_COMPANY || bytes.sum::<usize>() >= MAX_BATCH
    }

    fn load(&mut self) -> Option<Batch> {
        let mut batch = Vec::new();
        let (mut bytes, mut company) = (0_usize, MAX_COMPANY);
        while let Some(next) = self.waiting.front() {
            bytes = bytes.saturating_add(next.frame.len());
            company = company.min(next.company);
            if !batch.is_empty() && (bytes > MAX_BATCH || batch.len() >= company) {
                break;
            }
            batch.extend(self.waiting.pop_front());
        }
        (!batch.is_empty()).then_some(Batch(batch))
    }

    fn put_back(&mut self, entries: Vec<Entry>) {
        for entry in entries.into_iter().rev() {
            self.waiting.push_front(entry);
        }
    }

    fn let_go(&mut self, entries: &[Entry]) -> Vec<ContextId> {
        let bytes: usize = entries.iter().map(|entry| entry.frame.len()).sum();
        self.events = self.events.saturating_sub(entries.len());
        self.bytes = self.bytes.saturating_sub(bytes);
        let holders = entries.iter().filter_map(|entry| entry.holder);
        holders.map(|holder| holder.context).collect()
    }

    fn fail(&mut self, now: Moment, dice: u64) {
        let (first, longest) = BACK_OFF;
        let pause = first.saturating_mul(1 << self.failures.min(10)).min(longest);
        // Somewhere in the upper half, so that many gateways do not come back at once.
        let share = u32::try_from(dice % 1024).unwrap_or(0);
        let pause = pause / 2 + pause / 2 * share / 1024;
        self.failures = self.failures.saturating_add(1);
        self.not_before = self.not_before.max(now.after(pause));
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
